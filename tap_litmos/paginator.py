"""The paginator: walks the offsets of one window once, and tells whether every row came.

Litmos documents no order of its rows, and sends no count. A page is one snapshot, so a window
that fits into one page needs no proof. Several pages are proved by

- **seams**: each page repeats the last rows of the page before
- **a count**: as many different rows came as the service has, by the offset of the final page
  and its rows

A window that this does not prove is cut, or read again: see `proof`. Pure, no I/O.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import FatalAPIError
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_litmos.rows import SHARED_KEY, Findings
from tap_litmos.windows import format_moment

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    import requests
    from pendulum import DateTime

    from tap_litmos.rows import Page
    from tap_litmos.windows import Window

OVERLAP = 10
"""Rows of the page before that a page is asked to repeat."""

MIN_SEAM = 3
"""Rows that it must repeat: fewer could match by chance."""

MIN_ROWS_TO_PROBE = 90
"""A shorter page always ends its window: Litmos' default limit is 100 (the document)."""

MIN_LIMIT = 25
"""The smallest limit to try on a service that fails on larger pages."""

PAGES_TO_BRING_ROWS = 20
"""After so many pages at least half of the rows must be different ones."""

MAX_PAGES = 20_000
"""How many pages a window may have; a service could send new rows for ever."""


class Keys:
    """The different keys that came, with the newest date of each.

    They are kept in a temporary database, so memory does not grow with a window. It is closed
    with the object: a finalizer in Python would swallow the exit of a signal handler.
    """

    def __init__(self) -> None:
        """Start without keys."""
        self._db = sqlite3.connect("", check_same_thread=False)
        self._db.execute("CREATE TABLE keys (key INTEGER PRIMARY KEY, date TEXT)")
        self._count = 0

    def __len__(self) -> int:
        """Return how many different keys came."""
        return self._count

    def add(self, rows: Sequence[tuple[Hashable, str]]) -> set[int]:
        """Add the keys and dates of a page's rows.

        Returns:
            The positions of rows that are older than an earlier row with the same key.
        """
        hashed = [(hash(key), date) for key, date in rows]
        select = "SELECT key, date FROM keys WHERE key IN (SELECT value FROM json_each(?))"
        known = dict(self._db.execute(select, (json.dumps([key for key, _ in hashed]),)))
        insert = "INSERT INTO keys VALUES (?, ?) ON CONFLICT DO UPDATE SET date = excluded.date"
        newer = [(key, date) for key, date in hashed if key not in known or date > known[key]]
        self._db.executemany(insert, newer)
        self._count += len({key for key, _ in newer} - known.keys())
        return {at for at, (key, date) in enumerate(hashed) if date < known.get(key, "")}

    def count_until(self, date: str) -> int:
        """Return how many keys have no date later than this one."""
        count = "SELECT count(*) FROM keys WHERE date <= ?"
        return int(self._db.execute(count, (date,)).fetchone()[0])


class PageSizes:
    """What is known about the sizes of a stream's pages; its windows share it.

    Attributes:
        limit: How many rows to ask for.
        largest: The size of the largest page so far, in rows, at least 1; 0: none came.
        is_capped: Whether rows were seen to follow a page shorter than its limit.
        has_shrunk: Whether the limit was ever reduced.
    """

    def __init__(self, limit: int) -> None:
        """Start with the limit that is configured."""
        self.limit = self._max = self._last_success = limit
        self.largest = 0
        self.is_capped = self.has_shrunk = False

    def succeeded(self, rows: int, limit: int) -> None:
        """Record that a page came; double the limit again if it was reduced."""
        self.largest = max(self.largest, rows, 1)
        self._last_success, self.limit = limit, min(2 * limit, self._max)

    def failed(self, limit: int) -> int:
        """Record that pages of this limit fail; return half of it, but at least 25."""
        half = max(limit // 2, min(limit, MIN_LIMIT))
        if half == self._last_success:  # pages of half the size came, so it is no outage
            self._max = half
        self.limit = min(self.limit, half)
        self.has_shrunk = True
        return half

    def expects_more(self, rows: int, limit: int, new: int) -> bool:
        """Return whether rows may follow a page with so many rows, so many of them new."""
        is_near_largest = rows >= MIN_ROWS_TO_PROBE and 10 * rows >= 9 * self.largest
        # A capped page that also lacks hidden rows is smaller still.
        may_be_capped = self.is_capped and new > OVERLAP and 10 * rows >= 7 * self.largest
        return rows >= limit or is_near_largest or may_be_capped


class WindowPaginator(BaseAPIPaginator[int]):
    """Walks one window once. Its token is the offset of a page.

    Attributes:
        window: The window.
        sizes: What is known about the sizes of the stream's pages.
        keys: The keys that came, with those of earlier readings if they were passed.
        limit: How many rows the current page is asked for.
        total: How many rows the service has, by the last page.
        has_seams: Whether each page so far continues the one before.
        is_exact: Whether each page repeated exactly the rows it was asked to repeat.
        is_outgrown: Whether the reading stopped, as rows were added as fast as it read.
        held_back: How many rows were not written, as a newer row with their key had been.
        retries: How many requests had to be sent again.
        findings: What did not fit the schema.
        requested_at: When the first page was requested, by the earlier of both clocks (UTC).
        dates: Dates of some rows, as records hold them.
    """

    def __init__(
        self,
        window: Window,
        sizes: PageSizes,
        keys: Keys | None = None,
        enough: int | None = None,
    ) -> None:
        """Start a reading.

        Args:
            window: The window to read.
            sizes: What is known about the stream's pages.
            keys: The keys of earlier readings; they count too.
            enough: How many different keys end the reading. None: it goes to the end.
        """
        super().__init__(0)
        self.window = window
        self.keys: Keys = Keys() if keys is None else keys
        self.limit: int = sizes.limit
        self.total = self.held_back = self.retries = 0
        self.has_seams = self.is_exact = True
        self.is_outgrown = False
        self.findings = Findings()
        self.requested_at: DateTime | None = None
        self.dates: list[str] = []
        self.sizes = sizes
        self._enough = enough
        self._has_more = False
        self._timeouts = 0
        self._started_at = ""
        self._last_page: Sequence[Hashable] = ()
        self._was_short = False

    @property
    def is_snapshot(self) -> bool:
        """Whether the first page had all rows; the next page, if any, brought nothing new."""
        return not self._has_more and self.has_seams and not self.held_back

    @property
    def is_intact(self) -> bool:
        """Whether nothing moved while it was read."""
        return self.is_snapshot or self.is_exact

    @property
    def is_proved(self) -> bool:
        """Whether every row of a closed window came; asked when the reading is over.

        Exactly as many must come as there are: otherwise a row that left the window could hide
        one that was skipped.
        """
        has_all = self.is_exact and len(self.keys) == self.total
        return self.is_snapshot or (has_all and not self.held_back)

    @property
    def is_proved_if_open(self) -> bool:
        """The same for an open window: rows may be added to it, but none leaves it."""
        has_all = len(self.keys) >= (self._enough or self.total)
        is_whole = self.has_seams and has_all and not self.is_outgrown
        return self.is_snapshot or (is_whole and not self.held_back)

    def rows_to_write(self, response: requests.Response) -> Iterator[dict[str, Any]]:
        """Yield a page's records so that, of rows with one key, the newest is written last.

        An older row is held back if a newer one came on an earlier page. Its window is not
        proved then, and is read again in parts.
        """
        page: Page = vars(response)["page"]
        if self.requested_at is None:
            self.requested_at = vars(response)["requested_at"]
            self._started_at = format_moment(vars(response)["server_time"])
        order = list(range(len(page.keys)))
        if len(set(page.keys)) < len(order):
            order.sort(key=page.dates.__getitem__)
            distinct = set(zip(page.keys, map(str, page.records), strict=True))
            self.findings.add(SHARED_KEY, times=len(distinct) - len(set(page.keys)))
        older = self.keys.add([(page.keys[at], page.dates[at]) for at in order])
        self.held_back += len(older)
        self.findings.add(SHARED_KEY, times=len(older))
        for place, at in enumerate(order):
            record = page.records[at]
            if record is not None and place not in older:
                yield record

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        return True  # an empty page counts too

    @override
    def get_next(self, response: requests.Response) -> int | None:
        page: Page = vars(response)["page"]
        rows, limit, sizes = len(page.keys), self.limit, self.sizes
        new = len(set(page.keys).difference(self._last_page))
        asked = self.total - self.current_value
        self.total, self._timeouts = self.current_value + rows, 0
        if self.count > 1:
            self._check_seam(page, asked, new)
        sizes.succeeded(rows, limit)
        self.dates += page.dates[:: max(1, rows // 100)]
        self._last_page, self._was_short = page.keys, rows < limit
        self.limit = sizes.limit
        if self._is_over() or not sizes.expects_more(rows, limit, new):
            return None
        return self.current_value + min(rows, limit) - min(OVERLAP, limit // 2, self.limit // 2)

    def _check_seam(self, page: Page, asked: int, new: int) -> None:
        """Compare a page with the one before.

        Raises:
            FatalAPIError: If the service sends the same rows for ever.
        """
        repeated = count_repeated(self._last_page, page.keys)
        self.has_seams &= repeated >= min(MIN_SEAM, self.limit // 2)
        self.is_exact &= repeated == asked
        self._has_more |= new > 0
        self.sizes.is_capped |= self._was_short and new > OVERLAP
        if self.count >= MAX_PAGES:
            raise FatalAPIError(f"more than {MAX_PAGES:,} pages. Set window_days lower")
        if self.count % PAGES_TO_BRING_ROWS == 0 and self.total > 2 * len(self.keys):
            raise FatalAPIError("the service keeps sending pages, but almost no new rows")

    def _is_over(self) -> bool:
        """Return whether to stop early: enough rows came, or the window grows too fast.

        It grows too fast if it has taken more than twice the pages that it had when the reading
        began, and five; this is looked at every fifth page.
        """
        if self._enough and self.has_seams and len(self.keys) >= self._enough:
            return True
        if self.window.is_open and self.count % 5 == 0:
            rows_then = self.keys.count_until(self._started_at)
            pages_then = -(-rows_then // self.sizes.largest)
            self.is_outgrown = self.count > 2 * pages_then + 5
        return self.is_outgrown

    def failed(self, *, is_timeout: bool) -> bool:
        """Record a failed try; return whether the page is to be smaller from now on."""
        self.retries += 1
        self._timeouts = self._timeouts + 1 if is_timeout else 0
        before = self.limit
        if self._timeouts > 1:
            self.limit = self.sizes.failed(self.limit)
        return self.limit < before


def count_repeated(before: Sequence[Hashable], page: Sequence[Hashable]) -> int:
    """Return how many of the last rows of the page before a page begins with."""
    # A service may send a row twice, so its first place need not be the right one.
    starts = (at for at, key in enumerate(before) if page and key == page[0])
    tails = (len(before) - at for at in starts if before[at:] == page[: len(before) - at])
    return next(tails, 0)
