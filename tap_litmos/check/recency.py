"""How the account's present compares with ours: its zone, today's rows, late rows."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pendulum

from tap_litmos.check.account import UnseenError
from tap_litmos.check.connectivity import DEFAULT
from tap_litmos.check.findings import breaks, claim, harmless, holds, unseen

if TYPE_CHECKING:
    from datetime import datetime

    from tap_litmos.check.account import Account, Row, SeenPage
    from tap_litmos.check.findings import Outcome

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)

STEP = timedelta(minutes=15)
"""What the offsets of all time zones are multiples of."""

_WEST, _EAST = -13, 15
"""Hours, each one more than the outermost zone, as a bisection never reaches its bounds."""

_MAX_ROWS_TRIED = 2
_SOON = timedelta(minutes=7)
"""Rows that appear within that time are not late."""


def _pages(account: Account) -> list[SeenPage]:
    """Return the newest pages; those that may be cut come last."""
    pages = account.look_at(DEFAULT, account.open_window)
    return sorted(pages, key=lambda page: len(page) >= account.cut_from)


def _recent(account: Account, page: SeenPage) -> list[datetime]:
    """Return the dates of a page that may be of the present in some zone."""
    first, last = account.now - 3 * _DAY, account.now + _EAST * _HOUR
    return [row.date for row in page.rows if row.date is not None and first <= row.date <= last]


def _newest(account: Account) -> tuple[SeenPage, datetime]:
    """Return the page with the newest row, whole pages before others, and its date.

    Raises:
        UnseenError: If no row has a date of the last days.
    """
    pages = [(max(dates), page) for page in _pages(account) if (dates := _recent(account, page))]
    if not pages:
        raise UnseenError("no row has a date of the last days")
    whole = [(date, page) for date, page in pages if len(page) < account.cut_from]
    date, page = max(whole or pages, key=lambda found: found[0])
    return page, date


def _clocks(account: Account) -> list[datetime]:
    """Return the present by this machine's clock, and by the server's."""
    now = pendulum.now("UTC")
    return [now, now - (account.clock_ahead or timedelta(0))]


def _is_now(account: Account, moment: datetime) -> bool:
    """Return whether either clock shows a moment, as exactly as zones need it."""
    return any(abs(moment - clock) < STEP / 2 for clock in _clocks(account))


def find_zones(account: Account, shift: timedelta | None, *, names_zone: bool) -> None:
    """Find out in which zones windows are read and rows are written, if anything tells.

    Args:
        account: The account; receives both zones.
        shift: By how much windows are ahead of the dates of rows; None if unknown.
        names_zone: Whether the row that told so names its zone, so that its date is UTC.
    """
    windows, rows = _zone_of_windows(account, shift or timedelta(0)), None
    ahead = None if shift is None else shift / _HOUR
    if names_zone:
        rows = 0.0
    elif windows is not None and ahead is not None:
        rows = windows - ahead
    else:
        dates = [date for page in _pages(account) for date in _recent(account, page)]
        rows = 0.0 if dates and _is_now(account, max(dates)) else None
    if windows is None and rows is not None and ahead is not None:
        windows = rows + ahead
    account.windows_zone, account.rows_zone = windows, rows


def _zone_of_windows(account: Account, shift: timedelta) -> float | None:
    """Return by how many hours the service's present is ahead of UTC; None if nothing tells.

    Rows of its today come only if `to` lies in its future (the document).
    """
    with suppress(UnseenError):
        now = pendulum.now("UTC")
        for page, row in _first_of_today(account, shift)[:_MAX_ROWS_TRIED]:
            before, after = _earliest_to(account, page, row, shift, now)
            # At midnight it may be that only the day counts.
            if _in_window(row, shift) < before and before.date() == after.date():
                here = after - STEP / 2
                hours = (here - now) / _HOUR
                return 0.0 if _is_now(account, here) else round(4 * hours) / 4
    return None


def _in_window(row: Row, shift: timedelta) -> datetime:
    """Return the date of a row as windows have it."""
    assert row.date is not None
    return row.date + shift


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _first_of_today(account: Account, shift: timedelta) -> list[tuple[SeenPage, Row]]:
    """Return each page's first row of the newest day, whole pages first, then by date.

    Raises:
        UnseenError: If there is none that is included for its date alone.
    """
    today = (_newest(account)[1] + shift).date()
    found = []
    for page in _pages(account):
        rows = [row for row in page.rows if row.is_plain and _in_window(row, shift).date() == today]
        if rows:
            found.append((page, min(rows, key=lambda row: _in_window(row, shift))))
    if not found:
        raise UnseenError("the rows of that day were created the day before")
    return sorted(
        found, key=lambda probe: (len(probe[0]) >= account.cut_from, _in_window(probe[1], shift))
    )


def _earliest_to(
    account: Account, page: SeenPage, row: Row, shift: timedelta, now: datetime
) -> tuple[datetime, datetime]:
    """Return the last `to` that does not bring a row, and the first that does.

    They are 15 minutes apart, and each lies 7.5 minutes from the time of any zone.

    Raises:
        UnseenError: If there is none of both within a day.
    """

    def at(steps: int) -> datetime:
        return (now + (steps + 0.5) * STEP).replace(microsecond=0)

    since = _midnight(_in_window(row, shift)) - _DAY
    low, high = _WEST * 4, _EAST * 4
    while high - low > 1:
        middle = (low + high) // 2
        if at(middle) > since and account.is_served(page.endpoint, row, since, at(middle)):
            high = middle
        else:
            low = middle
    if low == _WEST * 4 or high == _EAST * 4:
        raise UnseenError("the newest row is not of today")
    return at(low), at(high)


@claim("Dates", "Today's rows come only if to lies in the future")
def today(account: Account) -> Outcome:
    """Ask for rows of today with a `to` that lies right before now."""
    zone = account.windows_zone
    shift = _HOUR * ((zone or 0.0) - (account.rows_zone or 0.0)) if zone is not None else None
    here = min(_clocks(account)) + timedelta(hours=zone or 0.0)
    page, row = _first_of_today(account, shift or timedelta(0))[0]
    date = _in_window(row, shift or timedelta(0))
    if date.date() < here.date():
        raise UnseenError("no row is of today")
    past = (here - timedelta(minutes=1)).replace(microsecond=0)
    if past <= date:
        raise UnseenError("no row of today is old enough to ask for it with an earlier to")
    if not account.is_served(page.endpoint, row, _midnight(date) - _DAY, past):
        return holds("rows of today came, but none with to a minute ago")
    if zone is None:
        raise UnseenError("the zone is unknown, and so is what the past is in it")
    return harmless("rows of today come even if to lies in the past")


@claim("Dates", "Rows appear within minutes")
def lateness(account: Account) -> Outcome:
    """Read the newest rows once more: do any appear that are older than the first reading?"""
    page, _ = _newest(account)
    zone = timedelta(hours=account.rows_zone or 0.0)
    again = account.page(page.endpoint, page.window, fresh=True)
    is_whole = max(len(page), len(again)) < account.cut_from
    late = [
        page.requested_at + zone - row.date
        for row in again.rows
        if is_whole and row.date is not None and row not in set(page.rows)
    ]
    dates = [date for page in [again, *_pages(account)] for date in _recent(account, page)]
    age = min(abs(clock + zone - max(dates)) for clock in _clocks(account))
    detail = f"the newest row was {age.total_seconds() / 60:,.0f} minutes old"
    latest = max(late, default=timedelta(0))
    if latest > _SOON:
        return _judge_late(account, latest / _HOUR, detail)
    if late or age <= _SOON:
        return holds(detail)
    return unseen(
        f"{detail}, and none appeared since", "Log in to Litmos, and run it again at once"
    )


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
