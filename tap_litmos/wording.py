"""How messages are worded: numbers, tables, durations, and hints."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FILES = {
    "--config": 'settings such as {"start_date": "2026-01-31"}',
    "--state": "the last STATE message that the target emitted, or its value",
    "--catalog": "what --discover prints",
}
"""What the files of the command line hold."""


def counted(number: float, noun: str) -> str:
    """Return a number with its noun: `1 request`, `1,200 requests`, `2 retries`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def aligned(table: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return the lines of a table.

    It is plain text: a log has no width that could be known, and may add its own prefix.

    Args:
        table: The cells, row by row.
        left: How many columns are text, on the left; the others are numbers.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def duration(seconds: float) -> str:
    """Return a span of time, rounded: `less than a minute`, `5 min`, `1 h 20 min`."""
    if seconds < 60:  # noqa: PLR2004
        return "less than a minute"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name that is most alike in any spelling, or nothing."""
    spellings = {name.lower(): name for name in known}
    close = difflib.get_close_matches(name.lower(), spellings, n=1)
    return f"; did you mean {spellings[close[0]]!r}?" if close else ""
