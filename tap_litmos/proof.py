"""Reads a window until it is proved that every row came. Pure: `read` does the I/O.

- A closed window that one reading does not prove is cut by the dates of its rows into parts
  that fit into a page, oldest first. A part that is not proved is cut again, as long as that
  halves it. What cannot be cut (rows of one second, dates read as days) is read again.
- An open window cannot be cut within today, as Litmos serves today's rows only if `to` lies in
  the future (the document). It is read again while its size stays the same and more rows come;
  otherwise the window is left to the next sync.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import pendulum
from singer_sdk.exceptions import FatalAPIError

from tap_litmos.paginator import Keys
from tap_litmos.windows import Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from singer_sdk.helpers.types import Record

    from tap_litmos.paginator import WindowPaginator

    Proof = Generator[Record, None, bool]

MAX_READINGS = 20
"""How often a part that cannot be cut is read again. If rows change places at random with each
request, a million rows take about 15 readings."""

READINGS_BEFORE_RESTART = 7
"""After how many of them the count starts again if rows have left: a row that left before it
was read never comes."""

MAX_FRUITLESS = 5
"""After how many readings in a row without a new row an open window is left to the next sync. Where
rows change places at random with each request, two readings of three bring one that is missing."""

_SECOND = timedelta(seconds=1)


class Read(Protocol):
    """Reads a window once; yields its records, and returns what the paginator found out."""

    def __call__(
        self, window: Window, keys: Keys | None = None, enough: int | None = None, /
    ) -> Generator[Record, None, WindowPaginator]:
        """Read; the arguments are those of `WindowPaginator`."""


def read_closed(read: Read, window: Window) -> Generator[Record, None, None]:
    """Yield the records of a closed window; rows may come more than once.

    Raises:
        FatalAPIError: If it cannot be proved that every row came.
    """
    reading = yield from read(window)
    if not reading.is_proved:
        yield from _prove(read, window, reading)


def read_open(read: Read, window: Window) -> Proof:
    """Yield the records of an open window; return whether it is proved that every row came."""
    first = yield from read(window)
    if first.is_proved_if_open or first.is_outgrown or first.held_back:
        return first.is_proved_if_open
    # Rows that were added in front are on the first pages of the second reading.
    known = (first.keys, first.total) if first.has_seams else ()
    second = yield from read(window, *known)
    if second.is_proved_if_open:
        return True
    return second.total == first.total and (yield from _read_open_again(read, window, second))


def _prove(read: Read, window: Window, before: WindowPaginator) -> Generator[Record, None, None]:
    """Yield the records of a closed window, or part of one, that a reading did not prove."""
    parts = cut(window, before)
    unproved: list[tuple[Window, WindowPaginator]] = []
    for part in parts:
        reading = yield from read(part)
        if reading.is_proved:
            continue
        if 2 * reading.total > before.total:  # cutting does not help
            parts, unproved = [], []
            break
        unproved.append((part, reading))
    if not parts and not (yield from _read_again(read, window, before)):
        raise FatalAPIError(
            f"cannot prove that every row from {window.since:%Y-%m-%d %H:%M:%S} to "
            f"{window.to:%Y-%m-%d %H:%M:%S} came: {before.total:,} rows, {MAX_READINGS} "
            "readings. Run the sync at a quieter time"
        )
    for part, reading in unproved:
        yield from _prove(read, part, reading)


def _read_again(read: Read, window: Window, before: WindowPaginator) -> Proof:
    """Yield the records of a closed window again and again; return whether every row came.

    As many must come as there were before; rows that have left since count if they came.
    """
    keys, total = Keys(), before.total
    for number in range(MAX_READINGS):
        if number % READINGS_BEFORE_RESTART == 0 and before.total != total:
            keys, total = Keys(), before.total
        before = yield from read(window, keys)
        if before.is_intact or len(keys) >= total:
            return True
    return False


def _read_open_again(read: Read, window: Window, before: WindowPaginator) -> Proof:
    """Yield the records of an open window while its size stays; return whether all came.

    As many must come as there are, and the last reading must bring nothing new: a row that was
    added could hide one that is missing.
    """
    keys, total, fruitless = before.keys, before.total, 0
    for _ in range(MAX_READINGS):
        known = len(keys)
        reading = yield from read(window, keys)
        fruitless = fruitless + 1 if len(keys) == known else 0
        if reading.is_intact or total <= known == len(keys):
            return True
        is_settled = fruitless > 0 and reading.has_seams
        if is_settled or reading.total != total or fruitless == MAX_FRUITLESS:
            return False
    return False


def cut(window: Window, reading: WindowPaginator) -> list[Window]:
    """Return the parts of a window, oldest first; empty if it cannot be cut.

    They have about 3/5 of a page each, by the dates of the rows, and overlap by a second, as it
    is not documented whether Litmos includes the ends.

    Args:
        window: The window.
        reading: A reading of it.
    """
    dates = sorted(_moments(reading.dates))
    if dates and dates[0] == dates[-1]:
        return []
    count = max(3, -(-5 * reading.total // (3 * reading.sizes.largest)))
    places = {dates[len(dates) * number // count] for number in range(1, count) if dates}
    seconds = (window.to - window.since).total_seconds()
    middle = window.since + timedelta(seconds=max(2, seconds // 2))
    cuts = _inside(window, places) or _inside(window, [middle])
    starts = [window.since, *(pendulum.instance(at - _SECOND) for at in cuts)]
    ends = [*map(pendulum.instance, cuts), window.to]
    return [Window(*part) for part in zip(starts, ends, strict=True)] if cuts else []


def _inside(window: Window, places: Iterable[datetime]) -> list[datetime]:
    """Return the places at which a window can be cut, sorted; a part has two seconds at least.

    None is a whole minute: the second before it may not exist if clocks are set forward then.
    """
    shifted = {at if at.second else at + _SECOND for at in places}
    return sorted(at for at in shifted if window.since + 2 * _SECOND <= at < window.to)


def _moments(dates: Iterable[str]) -> Iterable[datetime]:
    """Yield the moments (UTC) of dates as records hold them; missing ones are left out."""
    for date in dates:
        if date:
            yield datetime.fromisoformat(date[:19]).replace(tzinfo=UTC)
