"""What a check is, and what it finds."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tap_litmos.check.account import BudgetSpentError
from tap_litmos.errors import StreamFailedError
from tap_litmos.wording import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_litmos.check.account import Account

    Look = Callable[[Account], "Outcome"]

_WIDTH = 80
_LONGEST = 400
"""Characters of a detail in the table; the JSON has all of it."""


class Verdict(StrEnum):
    """How what came compares with what the tap assumes."""

    HOLDS = "holds"
    HARMLESS = "differs but is harmless"
    BREAKS = "breaks a guarantee"
    UNSEEN = "could not be seen"


_SHORT = {
    Verdict.HOLDS: "holds",
    Verdict.HARMLESS: "differs",
    Verdict.BREAKS: "BREAKS",
    Verdict.UNSEEN: "not seen",
}
"""The verdicts as the table shows them."""


class UnseenError(Exception):
    """There is not enough to look at; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came.

    Attributes:
        verdict: How it compares with what the tap assumes.
        detail: Counts, shapes and names; never a value of a row.
        advice: What to do, with the setting that helps; for what could not be seen, where to
            look. Nothing where nothing is to be done.
    """

    verdict: Verdict
    detail: str
    advice: str = ""


def holds(detail: str) -> Outcome:
    """Return that it is as the tap assumes."""
    return Outcome(Verdict.HOLDS, detail)


def harmless(detail: str, advice: str = "") -> Outcome:
    """Return that it differs, and why that does no harm."""
    return Outcome(Verdict.HARMLESS, detail, advice)


def breaks(detail: str, advice: str) -> Outcome:
    """Return that a guarantee breaks, and what to do."""
    return Outcome(Verdict.BREAKS, detail, advice)


def unseen(detail: str, advice: str = "") -> Outcome:
    """Return why it could not be seen, and where to look."""
    return Outcome(Verdict.UNSEEN, detail, advice)


@dataclass(frozen=True, slots=True)
class Finding:
    """A check and its outcome, as both are reported.

    Attributes:
        name: The check's name, the same in every report.
        topic: What it is about, in a word.
        claim: What the tap assumes.
        how: How that was checked.
        verdict: See `Outcome`, as for the others.
    """

    name: str
    topic: str
    claim: str
    how: str
    verdict: Verdict
    detail: str
    advice: str


@dataclass(frozen=True, slots=True)
class Check:
    """Something that the tap assumes, and how to look for it.

    Attributes:
        name: A name for it.
        topic: What it is about, in a word.
        claim: What the tap assumes.
        how: How it is checked.
        look: Looks for it in an account.
    """

    name: str
    topic: str
    claim: str
    how: str
    look: Look

    def find(self, account: Account) -> Finding:
        """Look, and return what came, even if that is nothing."""
        try:
            outcome = self.look(account)
        except BudgetSpentError as error:
            outcome = unseen(str(error), "Run it again when fewer requests fail")
        except UnseenError as error:
            outcome = unseen(str(error), "Run it again when more has changed in Litmos")
        except StreamFailedError as error:
            why = f"status {error.status}" if error.status else "it kept failing"
            outcome = unseen(f"a request was not answered ({why})", "See Reach")
        return Finding(self.name, self.topic, self.claim, self.how, *astuple(outcome))


def claim(topic: str, text: str, how: str) -> Callable[[Look], Check]:
    """Make a check of a function that looks for something; its name is that of the check.

    Args:
        topic: What it is about, in a word.
        text: What the tap assumes.
        how: How it is checked.
    """
    return lambda look: Check(look.__name__, topic, text, how, look)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about an account.

    Attributes:
        findings: In the order in which they are shown.
        about: What else a bug report needs, such as the version; JSON-ready.
    """

    findings: Sequence[Finding]
    about: dict[str, object]

    def of(self, verdict: Verdict) -> list[Finding]:
        """Return the findings with a verdict."""
        return [finding for finding in self.findings if finding.verdict is verdict]

    @property
    def breaks(self) -> bool:
        """Whether a guarantee would break."""
        return bool(self.of(Verdict.BREAKS))

    def json(self) -> str:
        """Return the report as JSON, to be attached to a bug report."""
        report = {
            **self.about,
            "conclusion": self.conclusion(),
            "findings": [asdict(finding) for finding in self.findings],
        }
        return json.dumps(report, indent=2) + "\n"

    def table(self) -> str:
        """Return the report as a table of 80 columns, and the conclusion."""
        what = "what the tap assumes, how it was checked, what was found"
        rows = [row for finding in self.findings for row in _rows(finding)]
        lines = aligned([("topic", "verdict", what), *rows], left=3)
        end = (
            textwrap.fill(line, _WIDTH, break_on_hyphens=False) for line in self.conclusion()
        )
        return "\n".join([*lines, "", *end])

    def conclusion(self) -> list[str]:
        """Return in a sentence whether to rely on the tap for the account, and what helps."""
        counts = [
            f"{verdict}: {len(found)}" for verdict in Verdict if (found := self.of(verdict))
        ]
        broken, missing = self.of(Verdict.BREAKS), self.of(Verdict.UNSEEN)
        if broken:
            claims = "; ".join(finding.claim for finding in broken)
            said = f'Do not rely on the tap for this account yet. Broken: "{claims}"'
        elif not self.about["rows"]:
            said = (
                "No row came, so nothing shows whether you can rely on the tap for this account"
            )
        elif missing:
            said = "As far as could be seen, you can rely on the tap for this account"
        else:
            said = "You can rely on the tap for this account"
        settings = dict.fromkeys(
            finding.advice
            for finding in [*broken, *self.of(Verdict.HARMLESS)]
            if finding.advice
        )
        return [f"{said} ({', '.join(counts)}).", *(f"{advice}." for advice in settings)]


def _rows(finding: Finding) -> list[tuple[str, str, str]]:
    """Return the lines of a finding; only the first has its topic and verdict."""
    detail = finding.detail
    if len(detail) > _LONGEST:
        detail = f"{detail[:_LONGEST].rsplit(', ', 1)[0]}, …"
    texts = [f"{finding.claim}.", f"Checked: {finding.how}. Found: {detail}."]
    if finding.advice:
        texts.append(f"{finding.advice}.")
    width = _WIDTH - len("Paging  not seen  ")
    lines = []
    for number, text in enumerate(texts):
        indent = "  " if number else ""
        lines += textwrap.wrap(
            text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
    first = (finding.topic, _SHORT[finding.verdict], lines[0])
    return [first, *(("", "", line) for line in lines[1:])]
