"""What the headers of a response say."""

from __future__ import annotations

from email.message import Message
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pendulum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pendulum import DateTime


def charset(headers: Mapping[str, str]) -> str | None:
    """Return the charset that `Content-Type` names; requests' own function has a default."""
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "")
    try:
        return message.get_content_charset()
    except (TypeError, ValueError):  # parameters that continue one another, malformed
        return None


def http_date(text: str) -> DateTime | None:
    """Parse an HTTP date; None if malformed."""
    try:
        return pendulum.instance(parsedate_to_datetime(text)).in_timezone("UTC")
    except (ValueError, TypeError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as seconds or as a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until = http_date(value)
    if until is None:
        return None
    now = http_date(headers.get("Date", "")) or pendulum.now("UTC")
    return max(0.0, (until - now).total_seconds())
