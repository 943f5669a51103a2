"""What Litmos requires of a request, by its document on date range delta queries."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_LIMIT = 100
TICK = timedelta(microseconds=1)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_MAX_SOURCE_LENGTH = 50
_MAX_LIMIT = 1000
_MAX_DAYS = 7.0


class RefusedError(Exception):
    """A request that Litmos refuses.

    Attributes:
        status: The status code of the response.
    """

    def __init__(self, status: int, message: str = "") -> None:
        """Store the status code and the message."""
        super().__init__(message)
        self.status = status


def moment(text: str | None) -> datetime | None:
    """Return what `YYYY-MM-DD HH:MM:SS` means in UTC, or None if the text is invalid."""
    try:
        return datetime.fromisoformat(f"{text}Z") if _MOMENT.fullmatch(text or "") else None
    except ValueError:
        return None


def number(text: str | None) -> int | None:
    """Return a non-negative number, or None if the text is invalid."""
    return int(text) if text and _NUMBER.fullmatch(text) else None


def check_source(query: Mapping[str, str]) -> None:
    """Refuse a request without a `source` of 1 to 50 characters."""
    if not 1 <= len(query.get("source", "")) <= _MAX_SOURCE_LENGTH:
        raise RefusedError(400, "The source parameter is required, with 50 characters at most")


def paging(query: Mapping[str, str]) -> tuple[int, int]:
    """Return `start` and `limit`, in rows."""
    start = number(query.get("start", "0"))
    limit = number(query.get("limit", str(DEFAULT_LIMIT)))
    if start is None:
        raise RefusedError(400, "The start parameter must be a number from 0")
    if not limit or limit > _MAX_LIMIT:
        raise RefusedError(400, f"The limit parameter must be a number from 1 to {_MAX_LIMIT}")
    return start, limit


def span(query: Mapping[str, str], max_days: float = _MAX_DAYS) -> tuple[datetime, datetime]:
    """Return `since` and `to`."""
    since, to = moment(query.get("since")), moment(query.get("to"))
    if since is None or to is None:
        raise RefusedError(406, "The since and to parameters are required: YYYY-MM-DD HH:MM:SS")
    if since > to:
        raise RefusedError(406, "The since date must not be later than the to date")
    if to - since > timedelta(days=max_days):
        raise RefusedError(406, "The date range must be equal or less than 7 days")
    return since, to


def window(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Return the half-open interval that a request selects.

    It includes rows of the current day only if `to` is in the future.
    """
    since, to = span(query)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    end = to + TICK
    return since, end if to > now else min(end, today)
