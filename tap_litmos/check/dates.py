"""How the account reads `since` and `to`: their ends and zones, today's rows, and late ones."""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from tap_litmos.check.account import NoAnswerError
from tap_litmos.check.endpoints import OFF_BY_DEFAULT, ask, closed_pages, newest
from tap_litmos.check.findings import UnseenError, breaks, combine, harmless, holds, unseen
from tap_litmos.windows import LONGEST_DAYS
from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_litmos.check.account import Account, Row, SeenPage
    from tap_litmos.check.findings import Outcome
    from tap_litmos.declaration import Endpoint

    Found = tuple[SeenPage, Row]

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)

_STEP = timedelta(minutes=15)
"""What the offsets of all time zones are multiples of."""

_WEST, _EAST = -13, 15
"""Hours, each one more than the outermost zone, as a bisection never reaches its bounds."""

_MAX_ROWS_TRIED = 2
_SOON = timedelta(minutes=7)
"""Rows that appear within that time are not late."""

_MAX_SHIFT = timedelta(hours=14)
"""No zone is further from UTC."""

_REACH = _MAX_SHIFT + _DAY
"""How far from a row's date an end of a window may matter, if it is read as a day."""

_SAFE_LOOKBACK = 24
"""Hours of `lookback_hours` that make up for any zone."""


def _midnight(moment: datetime) -> datetime:
    """Return the midnight before a moment."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class _End:
    """How an end of a window is read.

    Attributes:
        reading: As a moment, or as a day whose time does not count.
        included: Whether rows of that very moment or day are served; None: unknown, as the row
            does not lie on a whole second.
        shift: By how much it is ahead of the date that is written in the row.
    """

    reading: Literal["moment", "day"]
    included: bool | None
    shift: timedelta = timedelta(0)

    def __str__(self) -> str:
        included = {None: "", True: " and included", False: " and not included"}[self.included]
        return f"a {self.reading}{included}"


def seven_days(account: Account) -> Outcome:
    """Ask for closed windows as long as possible, and find out how long that is."""
    endpoint = newest(account)[0][0].endpoint
    for days in range(LONGEST_DAYS, 0, -1):
        account.span = days
        try:
            account.page(endpoint, account.closed_window())
            break
        except NoAnswerError as error:
            if error.status is None:  # not for its length
                account.span = LONGEST_DAYS
                raise
    else:
        return breaks("every closed window was refused, however short", "Report that windows fail")
    if account.span == LONGEST_DAYS:
        return holds(f"{LONGEST_DAYS} days were answered")
    detail = f"windows of {account.span} days and less were answered, longer ones refused"
    if account.config["window_days"] <= account.span:
        return harmless(f"{detail}; window_days is {account.config['window_days']}")
    return breaks(detail, f"Set window_days to {account.span}")


def windows(account: Account) -> Outcome:
    """Move both ends of a window over a row, second by second, and find out the zones."""
    shift, names_zone = None, False
    try:
        endpoint, row, since, to = _find_ends(account)
    except UnseenError as error:
        ends = unseen(str(error), error.advice)
    else:
        detail = f"since is read as {since}, to as {to} (a row of {endpoint.stream})"
        ends = _judge_ends(detail, since, to, account.config["lookback_hours"])
        shift, names_zone = since.shift, row.names_zone
    _find_zones(account, shift, names_zone=names_zone)
    outcomes = [ends, _judge_zones(account, shift or timedelta(0))]
    if account.strangers:
        streams = ", ".join(sorted(account.strangers))
        detail = f"no row of a page has a date near the window: {streams}. Such streams fail"
        outcomes.append(breaks(detail, f"Deselect and report {streams}"))
    return combine(*outcomes)


def _find_ends(account: Account) -> tuple[Endpoint, Row, _End, _End]:
    """Return a row, and how `since` and `to` are read.

    Raises:
        UnseenError: If no row could be used.
    """
    found = _candidates(account, closed_pages(account))
    if not any(_is_whole(row) for _, row in found):
        # The logs have whole seconds, if an account has them.
        logs, _ = ask(account, OFF_BY_DEFAULT, account.closed_window())
        found = _candidates(account, closed_pages(account) + logs)
    for endpoint, row in found[:_MAX_ROWS_TRIED]:
        # There may be too many rows around it, or it was changed meanwhile.
        with suppress(UnseenError):
            return endpoint, row, *_read_ends(account, endpoint, row)
    raise UnseenError("no row of the last weeks could be used")


def _candidates(account: Account, pages: Iterable[SeenPage]) -> list[tuple[Endpoint, Row]]:
    """Return the best row of each endpoint, the best first."""
    latest = account.open_window.since - 2 * _DAY
    found = [(page, row) for page in pages for row in page.rows if _is_usable(page, row, latest)]
    found.sort(key=lambda pair: (not _is_whole(pair[1]), pair[1].names_zone, len(pair[0])))
    best: dict[str, tuple[Endpoint, Row]] = {}
    for page, row in found:
        best.setdefault(page.endpoint.stream, (page.endpoint, row))
    return list(best.values())


def _is_usable(page: SeenPage, row: Row, latest: datetime) -> bool:
    is_far_from_midnight = time(0, 0, 2) < row.date.time() < time(23, 59, 57)
    return page.window.since <= row.date <= latest and row.is_plain and is_far_from_midnight


def _is_whole(row: Row) -> bool:
    return not row.date.microsecond


def _read_ends(account: Account, endpoint: Endpoint, row: Row) -> tuple[_End, _End]:
    """Move both ends of a window over a row, and see when it is served.

    Raises:
        UnseenError: If the row cannot be used.
    """
    second = row.date.replace(microsecond=0)
    before, after = second - _REACH - 10 * _HOUR, second + _REACH + 10 * _HOUR
    if not account.is_served(endpoint, row, before, after):
        raise UnseenError("the row has changed")
    reach = range(-(_REACH // _SECOND), _REACH // _SECOND)

    def edge(guess: datetime, step: timedelta) -> datetime:
        """Return the latest `since` with which it is served, or the earliest `to`."""

        def serves(at: datetime) -> bool:
            since, to = (at, after) if step == _SECOND else (before, at)
            return account.is_served(endpoint, row, since, to)

        if serves(guess) and not serves(guess + step):
            return guess
        beyond = bisect_left(reach, True, key=lambda n: not serves(second + n * step))  # noqa: FBT003
        return second + (reach[0] + beyond - 1) * step

    last = edge(second, _SECOND)
    since = _decode(last, second, _SECOND, is_whole=_is_whole(row))
    here = second if _is_whole(row) else second + _SECOND
    first = edge(_midnight(last) if since.reading == "day" else here + since.shift, -_SECOND)
    to = _decode(first, here, -_SECOND, is_whole=_is_whole(row))
    return since, to


def _decode(edge: datetime, second: datetime, step: timedelta, *, is_whole: bool) -> _End:
    """Return how an end is read.

    Args:
        edge: The latest `since` with which a row is served, or the earliest `to`.
        second: The second of the row.
        step: A second; a negative one for `to`.
        is_whole: Whether the row lies on that second.

    Raises:
        UnseenError: If the row is served for another reason than its date.
    """
    sign = step // _SECOND
    if edge == _midnight(edge) + (_DAY - _SECOND if sign > 0 else timedelta(0)):
        return _End("day", included=sign * (edge.date() - second.date()).days >= 0)
    shift = round((edge - second) / _STEP) * _STEP
    beyond = (edge - second - shift) // step
    if abs(shift) > _MAX_SHIFT or abs(beyond) > 1:
        raise UnseenError("windows include a row for another reason than its date")
    return _End("moment", {0: is_whole or None, 1: True, -1: False}[beyond], shift)


def _judge_ends(detail: str, since: _End, to: _End, lookback: int) -> Outcome:
    """Judge how `since` and `to` are read."""
    days = {since.reading, to.reading}
    skips_a_day = since.reading == "day" and since.included is False
    if skips_a_day and to.reading == "moment":
        detail = f"{detail}; so the day at which two windows meet is never served"
        return breaks(detail, "Report that windows leave a day between them: no setting helps")
    if not {since.included, to.included} - {False}:
        what = "day" if "day" in days else "very second"
        detail = f"{detail}; so rows of the {what} at which two windows meet are never served"
        return breaks(detail, "Report that windows include neither end: no setting helps")
    if skips_a_day and lookback < 2 * _SAFE_LOOKBACK:
        detail = f"{detail}; windows begin a day after since, so late rows may be missed"
        return breaks(detail, f"Set lookback_hours to {2 * _SAFE_LOOKBACK}")
    if "day" in days:
        return harmless(f"{detail}; windows begin and end at midnight, where both are the same")
    if True in {since.included, to.included}:
        return holds(detail)
    return unseen(f"{detail}: no row lies on a whole second", "Run it again in a week")


def _judge_zones(account: Account, shift: timedelta) -> Outcome:
    """Judge in which zones windows are read and rows are written."""
    windows, rows = account.windows_zone, account.rows_zone
    if windows is None and not shift:
        return unseen("the zone is unknown, as the newest row is not of today")
    if not (windows or rows or shift):
        return holds("the zone is UTC")
    detail = f"since and to are {shift / _HOUR:+g} h ahead of the dates of rows"
    if windows is not None:
        detail = f"since and to are read in {_zone(windows)}, rows are in {_zone(rows)}"
    if account.config["lookback_hours"] < _SAFE_LOOKBACK:
        return breaks(detail, f"Set lookback_hours to {_SAFE_LOOKBACK}")
    detail += "; windows overlap enough, so no row is lost"
    if not rows:
        return harmless(detail)
    advice = f"{'Subtract' if rows > 0 else 'Add'} {abs(rows):g} hours where you query date-times"
    return harmless(f"{detail}, but the tap takes date-times for UTC", advice)


def _zone(hours: float | None) -> str:
    return "an unknown zone" if hours is None else f"UTC{hours:+g} h" if hours else "UTC"


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


def _find_zones(account: Account, shift: timedelta | None, *, names_zone: bool) -> None:
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
            account.rows_zone = 0.0 if _age(account, last) < _STEP / 2 else None
    if shift is not None and account.rows_zone is not None and account.windows_zone is None:
        account.windows_zone = account.rows_zone + shift / _HOUR


def _zone_of_windows(account: Account, shift: timedelta) -> float | None:
    """Return by how many hours the service's present is ahead of UTC; None if nothing tells.

    Rows of its today come only if `to` lies in its future (the document).
    """
    now = datetime.now(UTC)
    for page, row in _first_of_today(account, shift)[:_MAX_ROWS_TRIED]:
        first, date = _earliest_to(account, (page, row), shift, now), row.date + shift
        last = first - _STEP
        account.today = date, first
        # At midnight it may be that only the day counts.
        if date < last and last.date() == first.date():
            here = first - _STEP / 2
            return 0.0 if _age(account, here) < _STEP / 2 else round((here - now) / _STEP) / 4
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
    since = _midnight(row.date + shift) - _DAY
    moments = [
        (now + (n + 0.5) * _STEP).replace(microsecond=0) for n in range(4 * _WEST, 4 * _EAST)
    ]

    def serves(to: datetime) -> bool:
        return to > since and account.is_served(page.endpoint, row, since, to)

    place = bisect_left(moments, True, key=serves)  # noqa: FBT003
    if place in {0, len(moments)}:
        raise UnseenError("the newest row is not of today")
    return moments[place]


def today(account: Account) -> Outcome:
    """Report whether the service's present mattered when its zone was looked for."""
    date, first = account.today or (account.now, account.now)
    if date < first - _STEP:
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
