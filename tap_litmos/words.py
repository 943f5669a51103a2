"""Numbers and spans of time in words."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """Return a number with its noun: `1 request`, `1,200 requests`, `2 retries`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def duration(seconds: float) -> str:
    """Return a span of time, rounded: `less than a minute`, `5 min`, `1 h 20 min`."""
    if seconds < 60:  # noqa: PLR2004
        return "less than a minute"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
