"""How the account's clock and its rows' dates compare with the present."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING

import pendulum

from tap_litmos.check.boundaries import SAFE_LOOKBACK, STEP
from tap_litmos.check.finder import is_served, open_pages, probes
from tap_litmos.check.findings import UnseenError, breaks, claim, harmless, holds, unseen
from tap_litmos.windows import EARLIEST, parse_moment

if TYPE_CHECKING:
    from tap_litmos.check.account import Account
    from tap_litmos.check.finder import Probe
    from tap_litmos.check.findings import Outcome
    from tap_litmos.check.pages import SeenPage

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)

_WEST, _EAST = -13, 15
"""Hours, each one more than the outermost zone, as a bisection never meets its bounds."""

_MOST_PROBES = 2
"""Rows that are tried, each of another page."""

_SOON = timedelta(minutes=7)
"""Rows that appear within that time are not late."""


def _newest(account: Account) -> tuple[SeenPage, datetime]:
    """Return the page with the newest row, and its date; whole pages are preferred.

    Raises:
        UnseenError: If no row has a date of the last days.
    """
    pages = [
        (page.rows < account.cut_from, max(dates), place, page)
        for place, page in enumerate(open_pages(account))
        if (dates := _recent(account, page))
    ]
    if not pages:
        raise UnseenError("no row has a date of the last days")
    _, date, _, page = max(pages)
    return page, date


def _newest_date(account: Account) -> datetime:
    """Return the newest date of any row, on whichever page."""
    return max(date for page in open_pages(account) for date in _recent(account, page))


def _recent(account: Account, page: SeenPage) -> list[datetime]:
    """Return the dates of a page but those that are not of the present in any zone."""
    first, last = account.now - 3 * _DAY, account.now + _EAST * _HOUR
    return [date for date in page.dates if date is not None and first <= date <= last]


def _clocks(account: Account, now: datetime) -> list[datetime]:
    """Return a moment of this machine's clock, and what the server's clock shows then."""
    return [now, now - timedelta(seconds=account.clock_ahead or 0.0)]


def _is_now(account: Account, moment: datetime, now: datetime) -> bool:
    """Return whether either clock shows a moment, as exactly as zones need it."""
    return any(abs(moment - clock) < STEP / 2 for clock in _clocks(account, now))


def _first_of_its_day(account: Account, date: datetime) -> list[Probe]:
    """Return the first row of the day of a date in each page, the earliest first.

    Whole pages come before those that may be cut.

    Raises:
        UnseenError: If there is none that is included for this date alone.
    """
    found = []
    for place, page in enumerate(open_pages(account)):
        rows = [
            (page.rows >= account.cut_from, probe.date, place, probe)
            for probe in probes(page)
            if probe.is_plain and probe.date.date() == date.date()
        ]
        found += sorted(rows, key=itemgetter(1))[:1]
    if not found:
        raise UnseenError("the rows of that day were created the day before")
    return [probe for *_, probe in sorted(found)]


def _earliest_to(account: Account, probe: Probe, now: datetime) -> tuple[datetime, datetime]:
    """Return the last `to` that does not bring a row, and the first that does.

    They are 15 minutes apart, and each lies 7.5 minutes from the time of any zone.

    Raises:
        UnseenError: If there is none of both within a day.
    """

    def at(steps: int) -> datetime:
        return (now + (steps + 0.5) * STEP).replace(microsecond=0)

    low, high = _WEST * 4, _EAST * 4
    while high - low > 1:
        middle = (low + high) // 2
        if is_served(account, probe, probe.day - _DAY, at(middle)):
            high = middle
        else:
            low = middle
    if low == _WEST * 4 or high == _EAST * 4:
        raise UnseenError("the newest row is not of today")
    return at(low), at(high)


def _find_zone(account: Account) -> float:
    """Return by how many hours the dates of rows are ahead of UTC.

    The service's own present tells: rows of its today come only if `to` lies in its future
    (the document). Where they come in any case, rows that are new tell.

    Raises:
        UnseenError: If neither tells.
    """
    _, newest = _newest(account)
    now = pendulum.now("UTC")
    with suppress(UnseenError):
        for probe in _first_of_its_day(account, newest)[:_MOST_PROBES]:
            before, after = _earliest_to(account, probe, now)
            # At midnight it may be that only the day counts.
            if probe.date < before and before.date() == after.date():
                here = after - STEP / 2
                hours = (here - now).total_seconds() / 3600
                return 0.0 if _is_now(account, here, now) else round(4 * hours) / 4
    if _is_now(account, _newest_date(account), account.now):
        return 0.0
    raise UnseenError("the newest row is neither of the last minutes nor of today")


@claim(
    "Dates",
    "Dates are in UTC",
    "compared the newest rows, or the to that brings them, with the clock",
)
def zone(account: Account) -> Outcome:
    hours = account.zone = _find_zone(account)
    if not hours:
        return holds("they are in UTC")
    lookback: int = account.config["lookback_hours"]
    detail = f"they are in UTC{hours:+g} h"
    if lookback < SAFE_LOOKBACK:
        return breaks(
            f"{detail}, and lookback_hours is {lookback}",
            f"Set lookback_hours to {SAFE_LOOKBACK}",
        )
    return harmless(
        f"{detail}; windows overlap enough that no row is lost, but date-times are written as "
        "they come, not in UTC",
        f"{'Subtract' if hours > 0 else 'Add'} {abs(hours):g} hours where you query date-times",
    )


@claim("Dates", "Rows of today come only if to lies in the future", "asked for them both ways")
def today(account: Account) -> Outcome:
    """Ask for rows of today with a `to` that lies right before now."""
    _, newest = _newest(account)
    here = min(_clocks(account, pendulum.now("UTC"))) + timedelta(hours=account.zone or 0.0)
    if newest.date() < here.date():
        raise UnseenError("no row is of today")
    probe, past = _first_of_its_day(account, newest)[0], here - 60 * _SECOND
    if past <= probe.date:
        raise UnseenError("no row of today is old enough to ask for it with an earlier to")
    if is_served(account, probe, probe.day - _DAY, past.replace(microsecond=0)):
        if account.zone is None:
            raise UnseenError("the zone is not known, nor what the past is in it")
        return harmless("rows of today come even if to lies in the past")
    return holds("rows of today came, but none with to a minute ago")


@claim("Dates", "Rows appear at once", "looked for rows that came while the check ran")
def lateness(account: Account) -> Outcome:
    """Read the newest rows once more: do those appear that are older than the first reading?"""
    page, _ = _newest(account)
    zone = timedelta(hours=account.zone or 0.0)
    again = account.fetch_again(page.request)
    known = set(page.versions)
    is_whole = max(page.rows, again.rows) < account.cut_from
    late = [
        (page.requested_at + zone) - pendulum.instance(probe.date)
        for probe in probes(again)
        if is_whole and probe.version not in known
    ]
    newest = _newest_date(account)
    age = min(abs(now + zone - newest) for now in _clocks(account, account.now))
    seen = f"the newest row was {age.total_seconds() / 60:,.0f} minutes old"
    latest = max(late, default=timedelta(0))
    if latest > _SOON:
        return _judge_late(account, latest.total_seconds() / 3600, seen)
    if late or age <= _SOON:
        return holds(seen)
    return unseen(
        f"{seen}, and none appeared meanwhile", "Log in to Litmos, and run it again at once"
    )


def _judge_late(account: Account, hours: float, seen: str) -> Outcome:
    """Judge that rows appeared so many hours after their date."""
    if account.zone is None and hours < -_WEST:
        raise UnseenError("the zone is not known, nor what is late in it")
    detail = f"{seen}, and rows appeared {hours:,.1f} hours after their date"
    hours += max(0.0, -(account.zone or 0.0))  # in the west, both add up
    lookback: int = account.config["lookback_hours"]
    if hours < lookback:
        return harmless(f"{detail}; lookback_hours, {lookback}, makes up for it")
    return breaks(detail, f"Set lookback_hours to {math.ceil(hours) + 24}")


@claim(
    "Dates",
    "start_date reaches back to the oldest rows",
    "looked for the oldest row among those that came",
)
def oldest(account: Account) -> Outcome:
    """Compare `start_date` with the earliest creation of any row that was seen."""
    if account.survey.oldest is None:
        raise UnseenError("no row says when it was created")
    created = max(parse_moment(account.survey.oldest), EARLIEST)
    start = parse_moment(account.config["start_date"])
    detail = f"the oldest row seen was created in {created:%Y-%m}"
    if start <= created:
        return holds(f"{detail}, not before start_date")
    return harmless(
        f"{detail}, before start_date; what has not changed since start_date is not read, "
        "such as the courses of newer results",
        f"Set start_date to {created:%Y-%m}-01 if you want all",
    )
