"""Date windows: which spans of time a sync asks for. Pure arithmetic, no I/O.

All times here are UTC. Litmos takes `since` and `to` at most 7 days apart, and returns the rows
that were created or updated between them (the document). It does not document whether the two
are moments or days, in which zone, or whether they are included. Windows share their
boundaries, all at midnight: there is no gap as long as Litmos includes one of the two ends,
which `--check` tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pendulum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pendulum import DateTime

LONGEST_DAYS = 7
"""The longest span between `since` and `to`, in days (the document)."""

_OPEN_DAYS = 3
"""The shortest open window, in days: yesterday, which is not over in some zone, today, and
tomorrow, since Litmos serves today's rows only if `to` is in the future (the document)."""

_FORMAT = "%Y-%m-%d %H:%M:%S"

EARLIEST = pendulum.datetime(1990, 1, 1)
"""Earlier dates are taken for mistakes."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time to ask for.

    Attributes:
        since: The start, a midnight in UTC.
        to: The end, a midnight in UTC.
        is_open: Whether it reaches into the future, so that rows may be added to it, and it
            must be read again later. If not, it is *closed*.
    """

    since: DateTime
    to: DateTime
    is_open: bool = False

    def __str__(self) -> str:
        """Return the window as messages show it: its two dates."""
        return f"{self.since:%Y-%m-%d} to {self.to:%Y-%m-%d}"

    def query(self) -> dict[str, str]:
        """Return `since` and `to` in the format that Litmos demands (the document)."""
        return {"since": f"{self.since:{_FORMAT}}", "to": f"{self.to:{_FORMAT}}"}

    def complete_until(self, requested_at: DateTime) -> DateTime:
        """Return the moment up to which all rows have been served, once this window is read.

        It is the time of the request, but at most the end of a closed window, or a day before
        the end of an open one. For example, an open window that is planned on 1 May ends at
        00:00 on 3 May. Where Litmos reads that in a zone ahead of UTC, it is still 2 May in UTC
        then; rows that change later on 2 May (UTC) are not in the window, however late it is
        requested. So it is complete until 00:00 on 2 May.

        Args:
            requested_at: When the window's first page was requested, by the earlier of the
                server's clock and ours: a clock that is ahead must not carry the bookmark past
                rows that are still to come.
        """
        return min(requested_at, self.to.subtract(days=1) if self.is_open else self.to)


class _WholeList(Window):
    """All that exists: what a full listing asks for. Its dates are never sent."""

    __slots__ = ()

    def __str__(self) -> str:
        return "the list"

    def query(self) -> dict[str, str]:
        return {}

    def complete_until(self, requested_at: DateTime) -> DateTime:
        return requested_at


WHOLE_LIST: Window = _WholeList(EARLIEST, EARLIEST)


def midnight(moment: DateTime) -> DateTime:
    """Return the midnight (UTC) at or before a moment of any zone."""
    return moment.in_timezone("UTC").start_of("day")


def start_for(start_date: DateTime) -> DateTime:
    """Return the `since` that includes a date in any zone.

    It lies at the midnight (UTC) a day before: where Litmos reads `since` in a zone west of
    UTC, the first hours of the date itself would be left out. No zone is more than 12 hours
    west of UTC.
    """
    return midnight(start_date).subtract(days=1)


def split_into_windows(since: DateTime, now: DateTime, *, days: int) -> Iterator[Window]:
    """Cut the time from a moment to now into windows, oldest first.

    Windows share their boundaries, which all lie at midnight (UTC); none is longer than 7
    days. The last window is open: it begins yesterday or earlier, and ends with tomorrow. So it
    spans at least three days, and at most the larger of `days` and three. With `days` 7, eight
    days become a closed window of five days and an open one of three, not of seven and one.

    Args:
        since: The moment from which rows are wanted: the first window begins at its midnight,
            but no later than yesterday's.
        now: The current moment.
        days: The span of a closed window, 1 to 7; the last of them may be shorter.
    """
    yesterday = midnight(now).subtract(days=1)
    end = yesterday.add(days=_OPEN_DAYS)
    since = min(midnight(since), yesterday)
    # What is left is read as the open window once it fits into one: that saves a request.
    while (end - since).days > max(days, _OPEN_DAYS):
        to = min(since.add(days=days), yesterday)
        yield Window(since, to)
        since = to
    yield Window(since, end, is_open=True)


def split_forwards(since: DateTime, to: DateTime, *, days: int) -> Iterator[Window]:
    """Cut the time between two midnights into closed windows, oldest first.

    Args:
        since: The beginning of the oldest window.
        to: The end of the newest window.
        days: The span of a window, 1 to 7; the newest may be shorter.
    """
    while since < to:
        end = min(since.add(days=days), to)
        yield Window(since, end)
        since = end


def split_backwards(since: DateTime, to: DateTime, *, days: int) -> Iterator[Window]:
    """Cut the time between two midnights into closed windows, newest first.

    So each window touches those that are read before it.

    Args:
        since: The beginning of the oldest window.
        to: The end of the newest window.
        days: The span of a window, 1 to 7; the oldest may be shorter.
    """
    while since < to:
        start = max(since, to.subtract(days=days))
        yield Window(start, to)
        to = start


def next_midnight(moment: DateTime, *, at_most: DateTime) -> DateTime:
    """Return the first midnight (UTC) at or after a moment, but at most a given midnight."""
    moment = min(moment, at_most)
    before = midnight(moment)
    return before if before == moment else before.add(days=1)


def parse_moment(text: str) -> DateTime:
    """Read an ISO date or date-time; without a zone it is UTC.

    Raises:
        ValueError: If it is neither.
        TypeError: If it is not a string.
    """
    moment = pendulum.instance(datetime.fromisoformat(text), tz="UTC")
    try:
        return moment.in_timezone("UTC")
    except OverflowError as error:
        raise ValueError(str(error)) from error


def format_moment(moment: DateTime) -> str:
    """Return a moment as records and states hold it: RFC 3339 in UTC, with microseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
