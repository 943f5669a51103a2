"""How the account reads `since` and `to`: as what, in which zone, with which ends."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from tap_litmos.check.account import NoAnswerError, UnseenError
from tap_litmos.check.connectivity import DEFAULT, OFF_BY_DEFAULT
from tap_litmos.check.findings import attempt, breaks, claim, combine, harmless, holds, unseen
from tap_litmos.check.paging import closed_pages
from tap_litmos.check.recency import STEP, find_zones
from tap_litmos.windows import LONGEST_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tap_litmos.check.account import Account, Row, SeenPage
    from tap_litmos.check.findings import Outcome
    from tap_litmos.declaration import Endpoint

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)

_MAX_SHIFT = timedelta(hours=14)
"""No two zones in use are further apart from UTC."""

_REACH = _MAX_SHIFT + _DAY
"""How far from a row's date an end of a window may matter, if it is read as a day."""

_SAFE_LOOKBACK = 24
"""Hours of `lookback_hours` that make up for any zone."""

_MAX_ROWS_TRIED = 4
_MAX_ROWS_OF_A_WINDOW = 90
"""Windows with fewer rows are preferred: they surely fit a page."""


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
        included = {None: "", True: ", included", False: ", not included"}[self.included]
        return f"a {self.reading}{included}"


@dataclass(frozen=True, slots=True)
class _Ends:
    """How both ends are read.

    Attributes:
        since: The beginning.
        to: The end.
        stream: The stream of the row by which that was found out.
        row: The row.
    """

    since: _End
    to: _End
    stream: str
    row: Row

    @property
    def skips_a_day(self) -> bool:
        """Whether windows begin with the day after `since`."""
        return self.since.reading == "day" and self.since.included is False


@claim("Dates", f"A window may have exactly {LONGEST_DAYS} days")
def seven_days(account: Account) -> Outcome:
    """Ask for closed windows as long as possible, and find out how long that is."""
    pages = account.look_at(DEFAULT, account.open_window)
    for days in range(LONGEST_DAYS, 0, -1):
        account.span = days
        try:
            account.page(pages[0].endpoint, account.closed_window(), survey=True)
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
    wanted: int = account.config["window_days"]
    if wanted <= account.span:
        return harmless(f"{detail}; window_days is {wanted}")
    return breaks(detail, f"Set window_days to {account.span}")


@claim("Dates", "since and to are moments in UTC, at least one of them included")
def windows(account: Account) -> Outcome:
    outcomes: list[Outcome] = []
    ends: list[_Ends] = []

    def look(account: Account) -> Outcome:
        ends.append(_find_ends(account))
        return _judge_ends(ends[0], account.config["lookback_hours"])

    outcomes.append(attempt(look, account))
    shift = ends[0].since.shift if ends else None
    find_zones(account, shift, names_zone=bool(ends and ends[0].row.names_zone))
    outcomes.append(_judge_zones(account, shift))
    if account.strangers:
        outcomes.append(_judge_strangers(account))
    return combine(outcomes)


def _find_ends(account: Account) -> _Ends:
    """Return how `since` and `to` are read.

    Raises:
        UnseenError: If no row could be used.
    """
    found = _candidates(account, closed_pages(account))
    if not any(_is_whole(row) for _, row in found):
        # The logs have whole seconds, if an account has them.
        found += _candidates(account, account.look_at(OFF_BY_DEFAULT, account.closed_window()))
    found.sort(key=lambda probe: (not _is_whole(probe[1]), probe[1].names_zone))
    for endpoint, row in found[:_MAX_ROWS_TRIED]:
        # There may be too many rows around it, or it was changed meanwhile.
        with suppress(UnseenError):
            return _read_ends(account, endpoint, row)
    raise UnseenError("no row of the last weeks could be used")


def _candidates(account: Account, pages: Iterable[SeenPage]) -> list[tuple[Endpoint, Row]]:
    """Return the best row of each page, small pages first."""
    latest = account.open_window.since - 2 * _DAY
    found = []
    for page in sorted(pages, key=lambda page: (len(page) >= _MAX_ROWS_OF_A_WINDOW, len(page))):
        usable = [
            row
            for row in page.rows
            if row.date is not None
            and row.is_plain
            and page.window.since <= row.date <= latest
            and 2 * _SECOND < row.date - _midnight(row.date) < _DAY - 2 * _SECOND
        ]
        best = sorted(usable, key=lambda row: (_is_whole(row), not row.names_zone))
        found += [(page.endpoint, row) for row in best[-1:]]
    return found


def _is_whole(row: Row) -> bool:
    return row.date is not None and not row.date.microsecond


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _read_ends(account: Account, endpoint: Endpoint, row: Row) -> _Ends:
    """Move both ends of a window over a row, and see when it is served.

    Raises:
        UnseenError: If the row cannot be used.
    """
    date = row.date
    assert date is not None

    def serves(since: datetime, to: datetime) -> bool:
        return account.is_served(endpoint, row, since, to)

    second = date.replace(microsecond=0)
    before, after = second - _REACH - 10 * _HOUR, second + _REACH + 10 * _HOUR
    if not serves(before, after):
        raise UnseenError("the row has changed")
    last = _edge(lambda at: serves(at, after), second, _SECOND)
    since = _decode(last, second, _SECOND, is_whole=_is_whole(row))
    here = second if _is_whole(row) else second + _SECOND
    guess = _midnight(last) if since.reading == "day" else here + since.shift
    first = _edge(lambda at: serves(before, at), guess, -_SECOND)
    to = _decode(first, here, -_SECOND, is_whole=_is_whole(row))
    if not serves(before, after - _SECOND):  # not the window of above, which is known
        raise UnseenError("the row has changed")
    return _Ends(since, to, endpoint.stream, row)


def _edge(serves: Callable[[datetime], bool], guess: datetime, step: timedelta) -> datetime:
    """Return the latest `since` with which a row is served, or the earliest `to`.

    Args:
        serves: Whether it is served.
        guess: The likely moment.
        step: A second; a negative one for `to`.
    """
    if serves(guess) and not serves(guess + step):
        return guess
    start = guess - step * (_REACH // _SECOND)
    served, beyond = 0, 2 * (_REACH // _SECOND)
    while beyond - served > 1:
        middle = (served + beyond) // 2
        served, beyond = (middle, beyond) if serves(start + middle * step) else (served, middle)
    return start + served * step


def _decode(edge: datetime, second: datetime, step: timedelta, *, is_whole: bool) -> _End:
    """Return how an end is read whose edge was found.

    Args:
        edge: The latest `since` with which a row is served, or the earliest `to`.
        second: The second of the row.
        step: A second; a negative one for `to`.
        is_whole: Whether the row lies on that second.

    Raises:
        UnseenError: If the row is served for another reason than its date.
    """
    forward = step > timedelta(0)
    if edge == _midnight(edge) + (_DAY - _SECOND if forward else timedelta(0)):
        days = (edge.date() - second.date()).days
        return _End("day", included=days * (1 if forward else -1) >= 0)
    shift = round((edge - second) / STEP) * STEP
    beyond = (edge - second - shift) / step
    if abs(shift) > _MAX_SHIFT or abs(beyond) > 1:
        raise UnseenError("windows include a row for another reason than its date")
    return _End("moment", included=beyond > 0 if beyond or not is_whole else True, shift=shift)


def _judge_ends(ends: _Ends, lookback: int) -> Outcome:
    since, to = ends.since, ends.to
    detail = f"since is {since}, to is {to} (a row of {ends.stream})"
    if ends.skips_a_day and to.reading == "moment":
        return breaks(
            f"{detail}; so the day at which two windows meet is never served",
            "Report that windows leave a day between them: no setting helps",
        )
    if since.included is False and to.included is False:
        what = "day" if "day" in {since.reading, to.reading} else "very second"
        return breaks(
            f"{detail}; so rows of the {what} at which two windows meet are never served",
            "Report that windows include neither end: no setting helps",
        )
    if ends.skips_a_day and lookback < _SAFE_LOOKBACK + 24:
        return breaks(
            f"{detail}; windows begin a day after since, so late rows may be missed",
            f"Set lookback_hours to {_SAFE_LOOKBACK + 24}",
        )
    if "day" in {since.reading, to.reading}:
        return harmless(f"{detail}; all windows begin and end at midnight, where both are the same")
    if since.included or to.included:
        return holds(detail)
    return unseen(f"{detail}: no row lies on a whole second", "Run it again in a week")


def _judge_zones(account: Account, shift: timedelta | None) -> Outcome:
    """Judge in which zones windows are read and rows are written."""
    windows, rows, lookback = (
        account.windows_zone,
        account.rows_zone,
        account.config["lookback_hours"],
    )
    if windows is None and not shift:
        return unseen(
            "the zone is unknown, as the newest row is neither of the last minutes nor of today",
            "Run it again when more has changed in Litmos",
        )
    if windows == 0 and rows in {0, None}:
        return holds("the zone is UTC")
    if windows is None:
        assert shift is not None
        detail = f"since and to are read {shift / _HOUR:+g} h from the dates of rows"
    else:
        detail = f"since and to are read in {_zone(windows)}"
    if rows is not None:
        detail += f", and rows are in {_zone(rows)}"
    if (windows or shift) and lookback < _SAFE_LOOKBACK:
        return breaks(
            f"{detail}; lookback_hours is {lookback}", f"Set lookback_hours to {_SAFE_LOOKBACK}"
        )
    detail += "; windows overlap enough, so no row is lost"
    if not rows:
        return harmless(detail)
    return harmless(
        f"{detail}, but the tap takes date-times for UTC",
        f"{'Subtract' if rows > 0 else 'Add'} {abs(rows):g} hours where you query date-times",
    )


def _zone(hours: float) -> str:
    return f"UTC{hours:+g} h" if hours else "UTC"


def _judge_strangers(account: Account) -> Outcome:
    streams = ", ".join(sorted(account.strangers))
    return breaks(
        f"no row of a page lay near the dates that were requested: {streams}. A sync takes such a "
        "page for a wrong one, and the stream fails",
        "Deselect the streams whose pages have rows of other dates, and report them",
    )
