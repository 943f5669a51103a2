"""How the account reads `since` and `to`: how long, as what, with which ends."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from tap_litmos.check.finder import closed_pages, is_served, open_pages, probes
from tap_litmos.check.findings import UnseenError, breaks, claim, harmless, holds, unseen
from tap_litmos.check.reach import OFF_BY_DEFAULT
from tap_litmos.windows import LONGEST_DAYS
from tap_litmos.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tap_litmos.check.account import Account
    from tap_litmos.check.finder import Probe
    from tap_litmos.check.findings import Outcome
    from tap_litmos.check.pages import SeenPage

    Serves = Callable[[datetime], bool]

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
STEP = timedelta(minutes=15)
"""What the offsets of all time zones are multiples of."""

_FURTHEST = 14
"""Hours; no zone is further from UTC."""

SAFE_LOOKBACK = 24
"""Hours of `lookback_hours` that make up for any zone."""

_LATER = "Run it again in a week"

_MOST_PROBES = 4
"""Rows that are tried, each of another page."""

_FEW_ROWS = 90
"""Rows of a window that surely fit a page."""


@dataclass(frozen=True, slots=True)
class End:
    """How an end of a window is read.

    Attributes:
        reading: As a moment, or as a day whose time does not count; None: as neither.
        included: Whether rows of that very moment or day are served; None: not known, as no
            row lies on a whole second.
        shift: How far the end can move past the date written in a row while the row is still
            served.
    """

    reading: Literal["moment", "day"] | None
    included: bool | None = None
    shift: timedelta = timedelta(0)

    @property
    def skips_a_day(self) -> bool:
        """Whether it is a day whose rows are not served."""
        return self.reading == "day" and self.included is False


def _read_ends(account: Account) -> tuple[Probe, End, End]:
    """Return how `since` and `to` are read, and the row by which that was found out.

    Raises:
        UnseenError: If no row could be used.
    """
    found = _candidates(account, closed_pages(account))
    if not any(_is_whole(probe) for probe in found):
        # The logs have whole seconds, where an account has them.
        logs = account.look_at(OFF_BY_DEFAULT, account.closed_window())
        found = _candidates(account, logs) + found
    for probe in found[:_MOST_PROBES]:
        # There may be too many rows around it, or it was changed meanwhile.
        with suppress(UnseenError):
            if is_served(account, probe, probe.day - _DAY, probe.day + 2 * _DAY):
                since = _read_end(account, probe, forward=True)
                return probe, since, _read_end(account, probe, forward=False)
    raise UnseenError("no row of the last weeks could be used")


def _candidates(account: Account, pages: list[SeenPage]) -> list[Probe]:
    """Return the best row of each page, the best first."""
    latest = account.open_window.since - 2 * _DAY
    found = []
    for page in sorted(pages, key=lambda page: (page.rows >= _FEW_ROWS, page.rows)):
        usable = [
            probe
            for probe in probes(page)
            if probe.is_plain
            and page.window.since <= probe.day <= latest
            and probe.day + 2 * _SECOND < probe.date < probe.day + _DAY - 2 * _SECOND
        ]
        found += sorted(usable, key=_is_whole)[-1:]
    return sorted(found, key=_is_whole, reverse=True)


def _is_whole(probe: Probe) -> bool:
    return not probe.date.microsecond


def _read_end(account: Account, probe: Probe, *, forward: bool) -> End:
    """Find the latest `since` with which a row is served, or the earliest `to`.

    The likely seconds are tried, each with the one after it.

    Args:
        account: The account.
        probe: The row.
        forward: Whether to move `since`, going forward; else `to` is moved, going back.
    """

    def serves(end: datetime) -> bool:
        since, to = (end, probe.day + 2 * _DAY) if forward else (probe.day - _DAY, end)
        return is_served(account, probe, since, to)

    step = _SECOND if forward else -_SECOND
    second = probe.date.replace(microsecond=0)
    here = second if forward or _is_whole(probe) else second + _SECOND
    # Of a day, the last second of going forward is 23:59:59, that of going back 00:00:00.
    of_day = probe.day + _DAY - _SECOND if forward else probe.day
    tomorrow = _DAY if forward else -_DAY
    likely = (
        (here, End("moment", True if _is_whole(probe) else None)),
        (here - step, End("moment", included=False)),
        (here + step, End("moment", included=True)),  # fractions are cut off, or rounded
        (of_day, End("day", included=True)),
        (of_day - tomorrow, End("day", included=False)),
    )
    for last, end in likely:
        if serves(last) and not serves(last + step):
            return end
    return End(None, shift=_shift(here, serves, forward=forward))


def _shift(here: datetime, serves: Serves, *, forward: bool) -> timedelta:
    """Return by how many quarters of an hour an end may go beyond a row's date, or less."""
    sign = 1 if forward else -1
    served, beyond = -16 * 4, 16 * 4  # quarters of an hour, further than any zone
    while beyond - served > 1:
        middle = (served + beyond) // 2
        if serves(here + sign * middle * STEP):
            served = middle
        else:
            beyond = middle
    return sign * served * STEP


@claim(
    "Dates",
    "since and to are moments",
    "moved both ends of a window over a row, second by second",
)
def reading(account: Account) -> Outcome:
    probe, since, to = _read_ends(account)
    where = f"(a row of {probe.endpoint.stream})"
    if since.reading is None or to.reading is None:
        return _judge_shift(account, where, since, to)
    if (since.reading, to.reading) == ("moment", "moment"):
        return holds(f"both are moments {where}")
    detail = f"since is a {since.reading}, to is a {to.reading} {where}"
    needed = SAFE_LOOKBACK + 24
    if since.skips_a_day and account.config["lookback_hours"] < needed:
        return breaks(
            f"{detail}; windows begin a day after since, so that late rows may be missed",
            f"Set lookback_hours to {needed}",
        )
    return harmless(f"{detail}; all windows begin and end at midnight, where both are the same")


def _judge_shift(account: Account, where: str, since: End, to: End) -> Outcome:
    hours = max(abs(since.shift), abs(to.shift)) / timedelta(hours=1)
    detail = f"dates are read {hours:g} hours apart from how rows write them {where}"
    lookback: int = account.config["lookback_hours"]
    if hours > _FURTHEST:
        return unseen(f"windows include a row for another reason than its date {where}", _LATER)
    if lookback >= SAFE_LOOKBACK:
        return harmless(f"{detail}; lookback_hours, {lookback}, makes up for it")
    return breaks(detail, f"Set lookback_hours to {SAFE_LOOKBACK}")


@claim(
    "Dates",
    "A window includes one of its ends at least",
    "put a row's own second on either end",
)
def ends(account: Account) -> Outcome:
    _, since, to = _read_ends(account)
    if since.reading is None or to.reading is None:
        return unseen("since and to are read neither as moments nor as days", "See above")
    detail = f"since is {_included(since)}, to is {_included(to)}"
    if since.skips_a_day and to.reading == "moment":
        return breaks(
            f"{detail}; since is a day, to a moment, so that rows of the day at which two "
            "windows meet are never served",
            "Report that windows leave a day between them: no setting helps",
        )
    if since.included or to.included:
        return holds(f"{detail}; windows share their ends")
    if since.included is False and to.included is False:
        lost = "of the day" if "day" in {since.reading, to.reading} else "of the very second"
        return breaks(
            f"{detail}, so that rows {lost} at which two windows meet are never served",
            "Report that windows include neither end: no setting helps",
        )
    return unseen(f"{detail}: no row lies on a whole second", _LATER)


def _included(end: End) -> str:
    if end.included is None:
        return "not known"
    return "included" if end.included else "not included"


@claim("Dates", "The date of a row lies in the window that serves it", "compared them")
def within(account: Account) -> Outcome:
    """Count rows whose date lies outside the closed window that served them."""
    rows = outside = 0
    for page in closed_pages(account):
        since, to = page.window.since - _DAY, page.window.to + _DAY
        dates = [date for date in page.dates if date is not None]
        rows += len(dates)
        outside += sum(not since <= date <= to for date in dates)
    if not rows:
        raise UnseenError("no row of a closed window has a date")
    if not outside:
        return holds(f"so did all of {counted(rows, 'row')}")
    return harmless(
        f"{outside:,} of {counted(rows, 'row')} have another date; the bookmark is the end of "
        "a window, never the date of a row"
    )


@claim("Dates", f"A window may have exactly {LONGEST_DAYS} days", "asked for a closed one")
def seven_days(account: Account) -> Outcome:
    """Ask for closed windows as long as possible, and find out how long that is."""
    pages = open_pages(account)
    if not pages:
        raise UnseenError("no endpoint answered")
    endpoint = pages[0].endpoint
    for days in range(LONGEST_DAYS, 0, -1):
        account.span = days
        window = account.closed_window()
        if account.look_at([endpoint], window):
            break
        refusal = account.refusal(endpoint, window)
        if refusal is None or not refusal.status:  # not for its length
            account.span = LONGEST_DAYS
            raise UnseenError("a closed window did not come")
    else:
        return breaks(
            "no closed window was answered, however short", "Report that windows fail"
        )
    if account.span == LONGEST_DAYS:
        return holds(f"{LONGEST_DAYS} days were answered")
    detail = f"windows of {account.span} days and less were answered, longer ones refused"
    wanted: int = account.config["window_days"]
    if wanted <= account.span:
        return harmless(f"{detail}; window_days is {wanted}")
    return breaks(detail, f"Set window_days to {account.span}")
