"""What a check finds, and the report of all findings."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tap_litmos.check.account import BudgetSpentError, NoAnswerError, UnseenError
from tap_litmos.wording import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_litmos.check.account import Account

    Look = Callable[[Account], "Outcome"]

_WIDTH = 80
_MAX_DETAIL = 400
"""Characters of a detail in the table; the JSON has all of it."""


class Verdict(StrEnum):
    """How the account compares with what the tap assumes, in the order of the report."""

    BREAKS = "breaks a guarantee"
    HARMLESS = "differs but is harmless"
    UNSEEN = "could not be seen"
    HOLDS = "holds"


_SHORT = {
    Verdict.BREAKS: "BREAKS",
    Verdict.HARMLESS: "differs",
    Verdict.UNSEEN: "not seen",
    Verdict.HOLDS: "holds",
}
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


def combine(outcomes: Sequence[Outcome]) -> Outcome:
    """Return several outcomes as one, with the worst verdict."""
    worst = min(outcomes, key=lambda outcome: list(Verdict).index(outcome.verdict))
    advice = dict.fromkeys(outcome.advice for outcome in outcomes if outcome.advice)
    return Outcome(
        worst.verdict, "; ".join(outcome.detail for outcome in outcomes), ". ".join(advice)
    )


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


@dataclass(frozen=True, slots=True)
class Check:
    """Something that the tap assumes, and how to look for it.

    Attributes:
        name: Its name.
        topic: What it is about, in a word.
        claim: What the tap assumes.
        look: Looks for it in an account.
    """

    name: str
    topic: str
    claim: str
    look: Look

    def find(self, account: Account) -> Finding:
        """Return what was found, even if that is nothing."""
        return Finding(self.name, self.topic, self.claim, *astuple(attempt(self.look, account)))


def attempt(look: Look, account: Account) -> Outcome:
    """Return what a function finds, or why it finds nothing."""
    try:
        return look(account)
    except BudgetSpentError as error:
        return unseen(str(error), "Run it again when fewer requests fail")
    except UnseenError as error:
        return unseen(str(error), "Run it again when more has changed in Litmos")
    except NoAnswerError as error:
        return unseen(f"a request was not answered ({error})", "Run it again later")


def claim(topic: str, text: str) -> Callable[[Look], Check]:
    """Make a check of a function, whose name becomes that of the check.

    Args:
        topic: What it is about, in a word.
        text: What the tap assumes.
    """
    return lambda look: Check(look.__name__, topic, text, look)


class Report:
    """All findings about an account; what does not hold comes first.

    Attributes:
        findings: In the order of the report.
        about: What else a bug report needs, such as the version; JSON-ready.
    """

    def __init__(self, findings: Sequence[Finding], about: dict[str, object]) -> None:
        """Sort the findings."""
        order = list(Verdict)
        self.findings = sorted(findings, key=lambda finding: order.index(finding.verdict))
        self.about = about

    def of(self, verdict: Verdict) -> list[Finding]:
        """Return the findings with a verdict."""
        return [finding for finding in self.findings if finding.verdict is verdict]

    @property
    def breaks(self) -> bool:
        """Whether a guarantee would break."""
        return bool(self.of(Verdict.BREAKS))

    def json(self) -> str:
        """Return the report as JSON, to attach to a bug report."""
        report = {
            **self.about,
            "conclusion": self.conclusion(),
            "findings": [asdict(finding) for finding in self.findings],
        }
        return json.dumps(report, indent=2) + "\n"

    def table(self) -> str:
        """Return the report as a table of 80 columns, and the conclusion."""
        rows = [row for finding in self.findings for row in _rows(finding)]
        lines = aligned(
            [("topic", "verdict", "what the tap assumes, and what was found"), *rows], left=3
        )
        end = (textwrap.fill(line, _WIDTH, break_on_hyphens=False) for line in self.conclusion())
        return "\n".join([*lines, "", *end])

    def conclusion(self) -> list[str]:
        """Return in a sentence whether to rely on the tap for the account, and what helps."""
        broken = self.of(Verdict.BREAKS)
        if broken:
            claims = "; ".join(finding.claim for finding in broken)
            text = f'Do not rely on the tap for this account yet. Broken: "{claims}"'
        elif not self.about["rows"]:
            text = "No rows came, so nothing shows whether you can rely on the tap here"
        elif self.of(Verdict.UNSEEN):
            text = "As far as could be seen, you can rely on the tap for this account"
        else:
            text = "You can rely on the tap for this account"
        counts = Counter(finding.verdict for finding in self.findings)
        shown = ", ".join(f"{verdict}: {counts[verdict]}" for verdict in Verdict if counts[verdict])
        acted_on = [*broken, *self.of(Verdict.HARMLESS)]
        advice = dict.fromkeys(finding.advice for finding in acted_on if finding.advice)
        return [f"{text} ({shown}).", *(f"{line}." for line in advice)]


def _rows(finding: Finding) -> list[tuple[str, str, str]]:
    """Return the lines of a finding; only the first has its topic and verdict."""
    detail = finding.detail
    if len(detail) > _MAX_DETAIL:
        detail = f"{detail[:_MAX_DETAIL].rsplit(', ', 1)[0]}, …"
    texts = [finding.claim, *(f"  {text}" for text in (detail, finding.advice) if text)]
    width = _WIDTH - len("Paging  not seen  ")
    lines = []
    for text in texts:
        indent = "  " if text.startswith(" ") else ""
        lines += textwrap.wrap(f"{text}.", width, subsequent_indent=indent, break_on_hyphens=False)
    first = (finding.topic, _SHORT[finding.verdict], lines[0])
    return [first, *(("", "", line) for line in lines[1:])]
