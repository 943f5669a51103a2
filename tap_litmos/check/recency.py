"""How the account's present compares with ours: its zone, today's rows, late rows."""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tap_litmos.check.connectivity import newest
from tap_litmos.check.findings import UnseenError, breaks, harmless, holds, unseen
from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    from tap_litmos.check.account import Account, Row, SeenPage
    from tap_litmos.check.findings import Outcome

    Found = tuple[SeenPage, Row]

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)

STEP = timedelta(minutes=15)
"""What the offsets of all time zones are multiples of."""

_WEST, _EAST = -13, 15
"""Hours, each one more than the outermost zone, as a bisection never reaches its bounds."""

_MAX_ROWS_TRIED = 2
_SOON = timedelta(minutes=7)
"""Rows that appear within that time are not late."""


def midnight(moment: datetime) -> datetime:
    """Return the midnight before a moment."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _recent(account: Account) -> list[Found]:
    """Return the newest rows, each with its page, by date; those of cut pages come first.

    Raises:
        UnseenError: If no row has a date that may be of the present in some zone.
    """
    first, last = account.now - 3 * _DAY, account.now + _EAST * _HOUR
    pages, _ = newest(account)
    found = [(page, row) for page in pages for row in page.rows if first <= row.date <= last]
    if not found:
        raise UnseenError("no row has a date of the last days")
    return sorted(found, key=lambda pair: (len(pair[0]) < account.cut_from, pair[1].date))


def _clocks(account: Account) -> list[datetime]:
    """Return the present by this machine's clock, and by the server's."""
    now = datetime.now(UTC)
    return [now, now - (account.clock_ahead or timedelta(0))]


def _age(account: Account, moment: datetime) -> timedelta:
    """Return how far a moment is from the present, by the nearer of both clocks."""
    return min(abs(clock - moment) for clock in _clocks(account))


def find_zones(account: Account, shift: timedelta | None, *, names_zone: bool) -> None:
    """Find out in which zones windows are read and rows are written, if anything tells.

    Args:
        account: The account; receives both zones.
        shift: By how much windows are ahead of the dates of rows; None if unknown.
        names_zone: Whether the row that told so names its zone, so that its date is UTC.
    """
    with suppress(UnseenError):
        account.windows_zone = _zone_of_windows(account, shift or timedelta(0))
    if names_zone:
        account.rows_zone = 0.0
    elif shift is not None and account.windows_zone is not None:
        account.rows_zone = account.windows_zone - shift / _HOUR
    else:
        with suppress(UnseenError):
            last = max(row.date for _, row in _recent(account))
            account.rows_zone = 0.0 if _age(account, last) < STEP / 2 else None
    if shift is not None and account.rows_zone is not None and account.windows_zone is None:
        account.windows_zone = account.rows_zone + shift / _HOUR


def _zone_of_windows(account: Account, shift: timedelta) -> float | None:
    """Return by how many hours the service's present is ahead of UTC; None if nothing tells.

    Rows of its today come only if `to` lies in its future (the document).
    """
    now = datetime.now(UTC)
    for page, row in _first_of_today(account, shift)[:_MAX_ROWS_TRIED]:
        first, date = _earliest_to(account, (page, row), shift, now), row.date + shift
        last = first - STEP
        account.today = date, first
        # At midnight it may be that only the day counts.
        if date < last and last.date() == first.date():
            here = first - STEP / 2
            return 0.0 if _age(account, here) < STEP / 2 else round((here - now) / STEP) / 4
    return None


def _first_of_today(account: Account, shift: timedelta) -> list[Found]:
    """Return each page's first row of the newest day, whole pages first, then by date.

    Raises:
        UnseenError: If there is none that is included for its date alone.
    """
    recent = _recent(account)
    today = (recent[-1][1].date + shift).date()
    first: dict[str, Found] = {}
    for page, row in recent:
        if row.is_plain and (row.date + shift).date() == today:
            first.setdefault(page.endpoint.stream, (page, row))
    if not first:
        raise UnseenError("the rows of that day were created the day before")
    return sorted(first.values(), key=lambda pair: len(pair[0]) >= account.cut_from)


def _earliest_to(account: Account, found: Found, shift: timedelta, now: datetime) -> datetime:
    """Return the first `to` that brings a row, of moments that are 15 minutes apart.

    Each lies 7.5 minutes from the time of any zone.

    Raises:
        UnseenError: If there is none within a day, or all do.
    """
    page, row = found
    since = midnight(row.date + shift) - _DAY
    moments = [(now + (n + 0.5) * STEP).replace(microsecond=0) for n in range(4 * _WEST, 4 * _EAST)]

    def serves(to: datetime) -> bool:
        return to > since and account.is_served(page.endpoint, row, since, to)

    place = bisect_left(moments, True, key=serves)  # noqa: FBT003
    if place in {0, len(moments)}:
        raise UnseenError("the newest row is not of today")
    return moments[place]


def today(account: Account) -> Outcome:
    """Report whether the service's present mattered when its zone was looked for."""
    date, first = account.today or (account.now, account.now)
    if date < first - STEP:
        return holds("rows of today came, but none with to in the past")
    zone = account.windows_zone
    here = min(_clocks(account)) + _HOUR * (zone or 0.0)
    if account.today and zone is not None and first < here and first.date() == here.date():
        return harmless("rows of today come even if to lies in the past")
    raise UnseenError("no row of today was old enough to ask for it with an earlier to")


def lateness(account: Account) -> Outcome:
    """Read the newest rows once more: do any appear that are older than the first reading?"""
    recent = _recent(account)
    page, zone = recent[-1][0], timedelta(hours=account.rows_zone or 0.0)
    again = account.page(page.endpoint, page.window)
    new = set(again.rows) - set(page.rows)
    if max(len(page), len(again)) >= account.cut_from:
        new = set()
    latest = max((page.requested_at + zone - row.date for row in new), default=timedelta(0))
    age = _age(account, max(row.date for row in [*new, *(row for _, row in recent)]) - zone)
    detail = f"the newest row was {pluralize(round(age.total_seconds() / 60), 'minute')} old"
    if latest > _SOON:
        return _judge_late(account, latest / _HOUR, detail)
    if new or age <= _SOON:
        return holds(detail)
    advice = "Log in to Litmos, and run it again at once"
    return unseen(f"{detail}, and none appeared since", advice)


def _judge_late(account: Account, hours: float, detail: str) -> Outcome:
    """Judge that rows appeared so many hours after their date."""
    if account.rows_zone is None and hours < -_WEST:
        raise UnseenError("the zone is unknown, and so is what is late in it")
    detail = f"{detail}, and rows appeared {hours:,.1f} hours after their date"
    hours += max(0.0, -(account.windows_zone or 0.0))  # in the west, both add up
    lookback: int = account.config["lookback_hours"]
    if hours < lookback:
        return harmless(f"{detail}; lookback_hours, {lookback}, makes up for it")
    return breaks(detail, f"Set lookback_hours to {math.ceil(hours) + 24}")
