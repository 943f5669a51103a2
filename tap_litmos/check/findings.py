"""What a check finds, and the report of all findings."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from functools import partial
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

    def __init__(self, detail: str, advice: str = "Run it again when there are more rows") -> None:
        """Make the error; the advice says what would help."""
        super().__init__(detail)
        self.advice = advice


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


holds = partial(Outcome, Verdict.HOLDS)
harmless = partial(Outcome, Verdict.HARMLESS)
breaks = partial(Outcome, Verdict.BREAKS)
unseen = partial(Outcome, Verdict.UNSEEN)


def attempt(look: Look, account: Account) -> Outcome:
    """Return what a function finds, or why it finds nothing."""
    try:
        return look(account)
    except UnseenError as error:
        return unseen(str(error), error.advice)


def combine(*outcomes: Outcome) -> Outcome:
    """Return several outcomes as one, with the worst verdict."""
    verdict = min((outcome.verdict for outcome in outcomes), key=_ORDER.index)
    advice = dict.fromkeys(outcome.advice for outcome in outcomes if outcome.advice)
    return Outcome(verdict, "; ".join(outcome.detail for outcome in outcomes), ". ".join(advice))


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
    """Return what a function finds about a claim."""
    return Finding(look.__name__, topic, claim, *astuple(attempt(look, account)))


class Report:
    """All findings about an account; what does not hold comes first.

    Attributes:
        findings: In the order of the report.
        about: What else a bug report needs, such as the version; JSON-ready.
    """

    def __init__(self, findings: Sequence[Finding], about: dict[str, object]) -> None:
        """Sort the findings."""
        self.findings = sorted(findings, key=lambda found: _ORDER.index(found.verdict))
        self.about = about

    @property
    def breaks(self) -> bool:
        """Whether a guarantee would break."""
        return self.findings[0].verdict is Verdict.BREAKS

    def json(self) -> str:
        """Return the report as JSON, to attach to a bug report."""
        findings = [asdict(finding) for finding in self.findings]
        report = {**self.about, "conclusion": self.conclusion(), "findings": findings}
        return json.dumps(report, indent=2) + "\n"

    def table(self) -> str:
        """Return the report as a table of 80 columns, and the conclusion."""
        rows = [("topic", "verdict", "what the tap assumes, and what was found")]
        for finding in self.findings:
            first, *others = _lines(finding)
            rows.append((finding.topic, _SHORT[finding.verdict], first))
            rows += (("", "", line) for line in others)
        end = (line for text in self.conclusion() for line in _wrap(text, _WIDTH))
        return "\n".join([*aligned(rows, left=3), "", *end])

    def conclusion(self) -> list[str]:
        """Return in a sentence whether to rely on the tap for the account, and what helps."""
        counts = Counter(finding.verdict for finding in self.findings)
        text = "You can rely on the tap for this account"
        if self.breaks:
            claims = "; ".join(found.claim for found in self.findings[: counts[Verdict.BREAKS]])
            text = f'Do not rely on the tap for this account yet. Broken: "{claims}"'
        elif not self.about["rows"]:
            text = "No rows came, so nothing shows whether you can rely on the tap here"
        elif counts[Verdict.UNSEEN]:
            text = "As far as could be seen, you can rely on the tap for this account"
        shown = ", ".join(
            f"{verdict}: {counts[verdict]}" for verdict in sorted(counts, key=_ORDER.index)
        )
        differing = self.findings[: counts[Verdict.BREAKS] + counts[Verdict.HARMLESS]]
        return [f"{text} ({shown}).", *dict.fromkeys(f"{f.advice}." for f in differing if f.advice)]


def _lines(finding: Finding) -> list[str]:
    """Return what the table says of a finding."""
    detail = textwrap.shorten(finding.detail, _MAX_DETAIL, placeholder=" …")
    width = _WIDTH - len("Paging  not seen  ")
    lines = _wrap(f"{finding.claim}.", width)
    for text in filter(None, (detail, finding.advice)):
        lines += [f"  {line}" for line in _wrap(f"{text[0].upper()}{text[1:]}.", width - 2)]
    return lines


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)
