"""What a check finds, and the report of all findings."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tap_litmos.wording import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_litmos.check.account import Account

    Look = Callable[[Account], "Outcome"]

_WIDTH = 80
_MAX_DETAIL = 400
"""Characters of a detail in the table; the JSON has all of it."""


class UnseenError(Exception):
    """There is not enough to look at; the message says what is missing."""

    advice = "Run it again when more has changed in Litmos"


class Verdict(StrEnum):
    """How the account compares with what the tap assumes, in the order of the report."""

    BREAKS = "breaks a guarantee"
    HARMLESS = "differs but is harmless"
    UNSEEN = "could not be seen"
    HOLDS = "holds"


_ORDER = list(Verdict)
_SHORT = dict(zip(Verdict, ("BREAKS", "differs", "not seen", "holds"), strict=True))
"""The verdicts as the table shows them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found about a claim.

    Attributes:
        verdict: How it compares with what the tap assumes.
        detail: Counts, shapes and names; never a value of a row.
        advice: What to do, with the setting that helps; empty if there is nothing to do.
    """

    verdict: Verdict
    detail: str
    advice: str = ""


def holds(detail: str) -> Outcome:
    """Return that the account is as the tap assumes."""
    return Outcome(Verdict.HOLDS, detail)


def harmless(detail: str, advice: str = "") -> Outcome:
    """Return that the account differs, and why that does no harm."""
    return Outcome(Verdict.HARMLESS, detail, advice)


def breaks(detail: str, advice: str) -> Outcome:
    """Return that a guarantee breaks, and what to do."""
    return Outcome(Verdict.BREAKS, detail, advice)


def unseen(detail: str, advice: str = "") -> Outcome:
    """Return why a claim could not be checked, and what would help."""
    return Outcome(Verdict.UNSEEN, detail, advice)


def combine(*outcomes: Outcome) -> Outcome:
    """Return several outcomes as one, with the worst verdict."""
    verdict = min((outcome.verdict for outcome in outcomes), key=_ORDER.index)
    advice = dict.fromkeys(outcome.advice for outcome in outcomes if outcome.advice)
    return Outcome(verdict, "; ".join(outcome.detail for outcome in outcomes), ". ".join(advice))


def attempt(look: Look, account: Account) -> Outcome:
    """Return what a function finds, or why it finds nothing."""
    try:
        return look(account)
    except UnseenError as error:
        return unseen(str(error), error.advice)


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim and what was found, as both are reported.

    Attributes:
        name: The check's name, the same in every report.
        topic: What it is about, in a word.
        claim: What the tap assumes.
        verdict: See `Outcome`, as for the others.
    """

    name: str
    topic: str
    claim: str
    verdict: Verdict
    detail: str
    advice: str


def find(account: Account, topic: str, claim: str, look: Look) -> Finding:
    """Check a claim."""
    return Finding(look.__name__, topic, claim, *astuple(attempt(look, account)))


class Report:
    """All findings about an account; what does not hold comes first.

    Attributes:
        findings: In the order of the report.
        about: What else a bug report needs, such as the version; JSON-ready.
    """

    def __init__(self, findings: Sequence[Finding], about: dict[str, object]) -> None:
        """Sort the findings."""
        self.findings = sorted(findings, key=lambda finding: _ORDER.index(finding.verdict))
        self.about = about
        self._counts = Counter(finding.verdict for finding in findings)

    @property
    def breaks(self) -> bool:
        """Whether a guarantee would break."""
        return Verdict.BREAKS in self._counts

    def json(self) -> str:
        """Return the report as JSON, to attach to a bug report."""
        findings = [asdict(finding) for finding in self.findings]
        report = {**self.about, "conclusion": self.conclusion(), "findings": findings}
        return json.dumps(report, indent=2) + "\n"

    def table(self) -> str:
        """Return the report as a table of 80 columns, and the conclusion."""
        heading = "topic", "verdict", "what the tap assumes, and what was found"
        lines = aligned([heading, *(row for each in self.findings for row in _rows(each))], left=3)
        end = [textwrap.fill(line, _WIDTH, break_on_hyphens=False) for line in self.conclusion()]
        return "\n".join([*lines, "", *end])

    def conclusion(self) -> list[str]:
        """Return in a sentence whether to rely on the tap for the account, and what helps."""
        broken = [f"{found.claim}" for found in self.findings if found.verdict is Verdict.BREAKS]
        if broken:
            text = f'Do not rely on the tap for this account yet. Broken: "{"; ".join(broken)}"'
        elif not self.about["rows"]:
            text = "No rows came, so nothing shows whether you can rely on the tap here"
        elif Verdict.UNSEEN in self._counts:
            text = "As far as could be seen, you can rely on the tap for this account"
        else:
            text = "You can rely on the tap for this account"
        counts = [
            f"{verdict}: {self._counts[verdict]}" for verdict in _ORDER if self._counts[verdict]
        ]
        differing = [found for found in self.findings if found.verdict is not Verdict.UNSEEN]
        advice = dict.fromkeys(f"{found.advice}." for found in differing if found.advice)
        return [f"{text} ({', '.join(counts)}).", *advice]


def _rows(finding: Finding) -> list[tuple[str, str, str]]:
    """Return the lines of a finding; only the first has its topic and verdict."""
    detail = finding.detail
    if len(detail) > _MAX_DETAIL:
        detail = f"{detail[:_MAX_DETAIL].rsplit(', ', 1)[0]}, …"
    width, lines = _WIDTH - len("Paging  not seen  "), list[str]()
    for text, indent in ((finding.claim, ""), (detail, "  "), (finding.advice, "  ")):
        lines += textwrap.wrap(
            f"{text[:1].upper()}{text[1:]}." if text else "",
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
    first = finding.topic, _SHORT[finding.verdict], lines[0]
    return [first, *(("", "", line) for line in lines[1:])]
