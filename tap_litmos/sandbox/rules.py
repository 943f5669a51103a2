"""What Litmos demands of a request, and which rows it answers with."""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from typing import TYPE_CHECKING

from .habits import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .habits import Habits

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_LONGEST_SOURCE = 50
_MAX_LIMIT = 1000
_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)


class RefusedError(Exception):
    """A request that Litmos does not answer.

    Attributes:
        status: The status code of the refusal.
    """

    def __init__(self, status: int, message: str) -> None:
        """Take the message of the refusal."""
        super().__init__(message)
        self.status = status


def moment(text: str | None) -> datetime | None:
    """Return what `YYYY-MM-DD HH:MM:SS` means, in UTC, or None if it is not of that form."""
    try:
        return datetime.fromisoformat(f"{text}Z") if _MOMENT.fullmatch(text or "") else None
    except ValueError:
        return None


def number(text: str | None) -> int | None:
    """Return a non-negative number, or None if the text is none."""
    return int(text) if text and _NUMBER.fullmatch(text) else None


def check_source(query: Mapping[str, str]) -> None:
    """Demand a `source` of 1 to 50 characters."""
    if not 1 <= len(query.get("source", "")) <= _LONGEST_SOURCE:
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


def _span(query: Mapping[str, str], longest_days: float) -> tuple[datetime, datetime]:
    """Return `since` and `to`, or refuse them."""
    since, to = moment(query.get("since")), moment(query.get("to"))
    if since is None or to is None:
        raise RefusedError(406, "The since and to parameters are required: YYYY-MM-DD HH:MM:SS")
    if since.year == MINYEAR or to.year == MAXYEAR:
        raise RefusedError(406, "The since and to parameters are out of range")
    if since > to:
        raise RefusedError(406, "The since date must not be later than the to date")
    if to - since > timedelta(days=longest_days):
        raise RefusedError(406, "The date range must be equal or less than 7 days")
    return since, to


def window(
    query: Mapping[str, str], now: datetime, habits: Habits
) -> tuple[datetime, datetime]:
    """Return the half-open interval in which rows must have changed.

    Args:
        query: The parameters of the request.
        now: The present moment: the current day is in the window only if `to` is later.
        habits: How the service reads them.
    """
    since, to = _span(query, habits.longest_days)
    zone, late = timedelta(hours=habits.zone), timedelta(seconds=habits.late)
    here = now + zone
    tick, today = _TICK, here.replace(hour=0, minute=0, second=0, microsecond=0)
    if habits.reading == "day":
        since, to = (at.replace(hour=0, minute=0, second=0) for at in (since, to))
        tick, here = _DAY, today
    first = since if habits.inclusive[0] else since + tick
    end = to + tick if habits.inclusive[1] else to
    end = (end if to > here else min(end, today)) - zone
    return first - zone, min(end, now - late) if late else end
