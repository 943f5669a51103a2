"""Date windows, and the paginator that walks (window, offset). Pure arithmetic, no I/O.

All times are UTC. Litmos takes `since` and `to` at most 7 days apart (the document). Whether
it reads them as instants or as days, in which zone, and with which ends inclusive is not
documented. Windows that share their boundaries, all at midnight, serve the same rows in every
reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pendulum

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from pendulum import DateTime

LONGEST_DAYS = 7
"""The longest span between `since` and `to`, in days (the document)."""

_REREADS = 100


class RowsKeepMovingError(Exception):
    """The rows of a window move faster than its pages can be read."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time to ask for.

    Attributes:
        since: The start, a midnight in UTC.
        to: The end, a midnight in UTC.
        is_open: Whether it reaches into the future, so that it must be read again later.
    """

    since: DateTime
    to: DateTime
    is_open: bool = False

    def bookmark(self, requested_at: DateTime) -> DateTime:
        """Return up to when all rows were served once this window has been read.

        That is the window's end, but never later than the moment of asking, and for an open
        window never within a day of its end: Litmos serves no rows of the current day unless
        `to` lies in the future (the document), in a zone that is not documented.

        Args:
            requested_at: When the window's first page was requested, by the earlier of the
                server's clock and ours.
        """
        return min(requested_at, self.to.subtract(days=1) if self.is_open else self.to)


def midnight(moment: DateTime) -> DateTime:
    """Return the midnight (UTC) at or before a moment of any zone."""
    return moment.in_timezone("UTC").start_of("day")


def windows(
    start: DateTime, now: DateTime, *, days: int, end: DateTime | None = None
) -> Iterator[Window]:
    """Cut the time from start to now, or to an end, into windows, oldest first.

    Windows share their boundaries, which all lie at midnight (UTC); none is longer than 7
    days. Finished windows span `days`, but for the last of them, which may be shorter.
    Without an end, the last window is open: it begins at least a day before now, ends at
    least a day after it, and spans three to seven days, whatever `days` is.

    Args:
        start: The moment from which rows are wanted; the first window contains it.
        now: The current moment.
        days: The span of a finished window, 1 to 7.
        end: Where to stop: at the first midnight at or after it, or at today's midnight
            where that is earlier. None: go on to now.
    """
    since, today = midnight(start), midnight(now)
    if end is None:
        latest_start, last = today.subtract(days=1), today.add(days=2)
        since = min(since, latest_start)
        while (last - since).days > LONGEST_DAYS:
            to = min(since.add(days=days), latest_start)
            yield Window(since, to)
            since = to
        yield Window(since, last, is_open=True)
        return
    last = midnight(end)
    last = min(last if last == end else last.add(days=1), today)
    while since < last:
        to = min(since.add(days=days), last)
        yield Window(since, to)
        since = to


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins.

    Attributes:
        window: The span of time, or None for an endpoint that takes no dates.
        offset: The 0-based number of its first row within the window.
    """

    window: Window | None
    offset: int = 0

    def following(self, limit: int, overlap: int = 1) -> Position:
        """Return the position of the page after this one, which repeats its last rows."""
        return Position(self.window, max(0, self.offset + limit - overlap))


def page_limit(page_size: int) -> int:
    """Return how many rows to ask for: at least two, as pages of one row cannot overlap."""
    return max(page_size, 2)


class WindowPaginator:
    """Walks (window, offset) so that no row is skipped while rows move underneath.

    A row that is updated leaves its window, and all rows behind it move up: the next offset
    would skip as many. So a page repeats the last row of the page before it, which costs
    nothing, as a full page is followed by another request in any case. Where two pages have
    no unchanged row in common, rows have moved, and the paginator steps back, further each
    time, until they meet or the window is read anew.

    Attributes:
        limit: Rows to ask for at once.
        position: The page to request next; None when all windows are finished.
        steps_back: How often rows had moved.
    """

    def __init__(self, windows: Iterable[Window | None], page_size: int) -> None:
        """Stand before the first page of the first window.

        Args:
            windows: What to walk, oldest first.
            page_size: Rows to ask for at once.
        """
        self.limit = page_limit(page_size)
        self.steps_back = 0
        self.position: Position | None = None
        self._page = Position(None)
        self._versions: AbstractSet[Hashable] = frozenset()
        self._overlap = 1
        self._rereads = 0
        self._windows = iter(windows)
        self._next_window()

    def advance(self, rows: int, versions: AbstractSet[Hashable]) -> bool:
        """Take in the page at the current position, and move on.

        Args:
            rows: How many rows it has.
            versions: For each row what tells it, and this state of it, from all others.

        Returns:
            Whether the page continues what was read before. If not, it is to be discarded.

        Raises:
            RowsKeepMovingError: If stepping back does not help.
            ValueError: If all windows are finished.
        """
        if self.position is None:
            raise ValueError("All windows are finished.")
        if self.position.offset and self._versions.isdisjoint(versions):
            self._step_back()
            return False
        if rows >= self.limit:
            self._overlap = min(self._overlap, self.limit // 2)
            self._page, self._versions = self.position, versions
            self.position = self._page.following(self.limit, self._overlap)
        else:
            self._next_window()
        return True

    def _next_window(self) -> None:
        self._overlap = 1
        self._rereads = 0
        self._versions = frozenset()
        try:
            self.position = Position(next(self._windows))
        except StopIteration:
            self.position = None
            return
        self._page = self.position

    def _step_back(self) -> None:
        self.steps_back += 1
        self._rereads += 1
        if self._rereads > _REREADS:
            raise RowsKeepMovingError
        self._overlap = max(2 * self._overlap, self.limit // 8)
        self.position = self._page.following(self.limit, self._overlap)


def parse_moment(text: str) -> DateTime:
    """Read an ISO date or date-time; without a zone it is UTC.

    Raises:
        ValueError: If it is neither.
        TypeError: If it is no text.
    """
    moment = pendulum.instance(datetime.fromisoformat(text), tz="UTC")
    try:
        return moment.in_timezone("UTC")
    except OverflowError as error:
        raise ValueError(str(error)) from error
