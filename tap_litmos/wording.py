"""How messages are worded: numbers and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def pluralize(number: float, noun: str) -> str:
    """Return a number with its noun: `1 request`, `1,200 requests`, `2 retries`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def aligned(table: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return the lines of a table as plain text, as a log has no known width.

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
