"""The paginator: walks (window, offset), and proves that no row of a window was missed.

Litmos documents no order of its rows, and sends no count, so the pages must show both. A row
that is updated while a closed window is read may leave it, and all rows after it move up. So
each page begins a little further back, and repeats the last rows of the page before, ten of a
thousand by default.

To read a window once, page by page, is a *reading*. It proves the window if both hold:

- **seams**: each page begins with the last rows of the page before, in the same order; some may
  have left, but enough must remain. Otherwise it is discarded, and the paginator steps back
  until the two meet. If even a step back over a whole page does not help, the seam is *broken*:
  the reading goes on without seams, and proves nothing alone.
- **a count**: at least as many different rows came as the service has: the offset of the final
  page plus its rows.

While the window is not proved it is read again, its pages cut at other places. Readings prove
it together if they agree, or bring as many rows together as there are;
`WindowPaginator._judge_reading` has the rules, for broken seams too. If nothing helps, the
stream fails.

A page with fewer rows than were asked for is *short*. It ends the reading unless the service
may have cut it: then one more page is asked for, a *probe*. Once a probe has brought more than
a few rows, short pages are taken for cut ones.

For example, pages of 4 rows that repeat 2, and *c* leaves after the first page:

    asked for  came     does it continue the last page that was accepted?
    0 to 3     a b c d
    2 to 5     d e f g  no, only *d* repeats, and two must: discarded, and a step back
    0 to 3     a b d e  yes: *a b d* repeat, though *c* has left; *e* is new
    2 to 5     d e f g  yes
    4 to 7     f g h i  yes
    6 to 9     h i      yes, and it is short: the service has 6 + 2 rows, and with *c* 9 came:
                        proved
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_litmos.errors import RowsNotProvedError
from tap_litmos.hashes import Hashes, distinct
from tap_litmos.windows import WHOLE_LIST, Window

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

_MAX_READINGS = 25
"""The most times that a window is read. A million rows that change places at random with each
request need about 15."""

DEFAULT_LIMIT = 100
"""Rows of a page that is asked for without a limit (the document). A service that sends fewer
than this at once is not expected."""

_COME_AND_GONE = 3
"""In how many readings of an open window a row must come to count, where several prove it.
Measured with 250 rows in random order, of which one left: with 1, it stood in for one that
never came in 120 of 1,000 windows, with 2 in 8, with 3 in none of 4,000."""

_MAX_PROBES = 10
"""How often in a reading a page is asked for only to see that nothing follows."""

_FEW_IN_A_ROW = 3
"""Where pages are cut: after so many pages in a row with hardly a new row, a reading ends."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins.

    Attributes:
        window: The span of time.
        offset: The 0-based number of its first row within the window.
        reading: Which reading of the window it belongs to, from 1.
    """

    window: Window
    offset: int = 0
    reading: int = 1

    def query(self, limit: int) -> dict[str, str | int]:
        """Return the parameters that ask for the page.

        Args:
            limit: The most rows to ask for.
        """
        return {"start": self.offset, "limit": limit, **self.window.query()}


class Page(Protocol):
    """What the paginator needs of a page, as `rows.Page` has it.

    Attributes:
        versions: For each row its primary key and its replication value, in the order in which
            the rows were sent.
        keys: For each row its primary key, in the same order.
    """

    @property
    def versions(self) -> Sequence[Hashable]:
        """The versions of the rows."""

    @property
    def keys(self) -> Sequence[Hashable]:
        """The keys of the rows."""


@dataclass(slots=True)
class _Seam:
    """How the next page is to continue the last one.

    Attributes:
        intact: False once it is broken, as no step back has helped.
        rows: The versions of the last page.
        offset: Where the last page began.
        step: How many of its rows were asked for: a service may send more.
        overlap: How many of them the next page is asked to repeat.
        needed: How many of them it has to repeat.
        came_again: Whether a step back over a whole page brought the last page a second time,
            unchanged.
    """

    intact: bool = True
    rows: Sequence[Hashable] = ()
    offset: int = 0
    step: int = 0
    overlap: int = 0
    needed: int = 0
    came_again: bool = False

    @property
    def next_offset(self) -> int:
        """Where the next page is to begin."""
        return self.offset + self.step - self.overlap

    def surplus(self, repeated: int) -> int:
        """Return by how many rows a page repeats more of the last one than it was asked to."""
        return max(0, repeated - (len(self.rows) - self.step + self.overlap))

    def meet(self, page: Page) -> int | None:
        """Return how many rows of a page repeat the last one; None if it does not continue it.

        It is 0 only where there is no seam to look at: on the first page, behind a page of one
        row, and once the seam is broken.
        """
        if not self.intact or not self.needed:
            return 0
        repeated = count_repeated(self.rows, page.versions, self.needed)
        if repeated is None and self.came_again:
            # Though the last page came a second time unchanged, the next one does not continue
            # it: the order depends on `start`. Another step back would loop.
            self.intact, repeated = False, 0
        return repeated

    def step_back(self) -> None:
        """Let the next page begin further back, as the one that came did not continue."""
        if self.overlap < self.step - 1:
            # Doubled, as requests cost more than rows that come twice. Mostly an eighth of a
            # page is enough at once.
            self.overlap = min(max(2 * self.overlap, self.step // 8), self.step - 1)
        elif self.overlap < self.step:
            self.overlap = self.step  # last, as a cache may have the page of the same offset
        else:
            # Not even a page from the same offset continues it: stop looking for seams.
            self.intact = False
            self.overlap = self.needed

    def follow(self, page: Page, position: Position, limit: int, needed: int) -> None:
        """Let the next page continue a page that came.

        Args:
            page: The page.
            position: Where it began.
            limit: Rows that were asked for.
            needed: Rows that the next page has to repeat, if there are as many.
        """
        self.came_again = position.offset == self.offset and self.rows == page.versions
        self.rows, self.offset = page.versions, position.offset
        self.step = min(len(page.versions), limit)
        self.overlap = self.needed = min(needed, self.step - 1) if self.intact else 0
        if position.offset == 0 and position.reading > 1:
            # The n-th reading goes on after an n-th of its first page, so that its pages are
            # cut at other places than those of the reading before.
            self.overlap = max(self.overlap, self.step - self.step // position.reading - 1)


@dataclass(slots=True)
class _Reading:
    """What one reading of a window has brought.

    Attributes:
        seam: How its next page is to continue the last one.
        versions: The hashes of the rows' versions, without what pages repeat at their seams.
        keys: The hashes of their keys, likewise without repeats.
        total: How many rows the service has, by the offset and the rows of the last page.
        unread: How many rows were added in front of its pages meanwhile, and so not read: the
            pages repeat as many more than they were asked to.
        hidden: How many rows its pages but the last may have lacked, as the service hides up
            to a tenth.
        pages: How many pages were accepted.
        discarded: How many pages were not.
        probes: How many pages were asked for only to see that nothing follows.
        few_new: How many short pages brought hardly a new row since the last one that did. A
            page nearly as large as the largest is not counted, as it may be a cut one.
        check_at: After how many pages to look whether any of them brought a new row. It
            doubles with each look, as counting takes time.
        furthest: The end of the page that reached furthest, by its offset and rows.
        at_check: How many different rows there were, and the furthest, at the last such look.
        is_sound: Whether all its pages met, and no row came twice. Known once it is over.
    """

    seam: _Seam = field(default_factory=_Seam)
    versions: Hashes = field(default_factory=Hashes)
    keys: Hashes = field(default_factory=Hashes)
    total: int = 0
    unread: int = 0
    hidden: int = 0
    pages: int = 0
    discarded: int = 0
    probes: int = 0
    few_new: int = 0
    check_at: int = 16
    furthest: int = 0
    at_check: tuple[int, int] = (0, 0)
    is_sound: bool = False

    def extend(self, page: Page, repeated: int) -> None:
        """Take in the rows of a page, but for the first `repeated` ones."""
        if self.seam.needed:
            self.unread += self.seam.surplus(repeated)
        self.versions.extend(page.versions[repeated:])
        self.keys.extend(page.keys[repeated:])
        self.pages += 1

    def refuse_endless(self) -> None:
        """Raise an error if pages go on without a new row, or in no order at all."""
        if self.pages < self.check_at:
            return
        (rows, furthest), self.at_check = self.at_check, (distinct(self.keys), self.furthest)
        self.check_at *= 2
        is_in_no_order = not self.seam.intact and not self.has_duplicates()
        if self.at_check[0] <= rows:
            raise RowsNotProvedError("it goes on sending pages, but no new rows")
        # A row that moves may be a new one by its key.
        if is_in_no_order or self.furthest <= furthest:
            raise RowsNotProvedError("its rows change places faster than they can be read")

    def has_duplicates(self) -> bool:
        """Whether a row came twice in the same state, so that another may not have come."""
        return distinct(self.versions) < len(self.versions)

    @property
    def may_be_whole(self) -> bool:
        """Whether all its pages met, and all rows but hidden ones may have come."""
        return self.seam.intact and len(self.versions) + self.hidden >= self.total

    def agrees_with(self, before: _Reading) -> bool:
        """Whether both bring the same rows in the same order, but for those that came or left.

        They must have a row in common.

        Their pages were cut at other places, so an order that depends on the request shows.
        It also shows where pages had to be discarded although no row left, as happens where
        replicas take turns and a few rows stand at other places on one of them.
        This takes memory for each row, but only where seams and the count have proved nothing.
        """
        if not (self.may_be_whole and before.may_be_whole):
            return False
        if self.total == before.total and (self.discarded or before.discarded):
            return False
        common = set(self.versions).intersection(before.versions)
        if not common:
            return False

        def shared(reading: _Reading) -> list[int]:
            return [version for version in reading.versions if version in common]

        # Rows come at either end. One in the middle was missing before, so others may still.
        known = set(before.keys)
        places = [place for place, version in enumerate(self.versions) if version in common]
        middle = islice(self.keys, places[0], places[-1])
        return shared(self) == shared(before) and known.issuperset(middle)


class WindowPaginator(BaseAPIPaginator[Position]):
    """Walks the windows of a stream, in their order, page by page.

    Attributes:
        limit: Rows to ask for at once.
        accepted: Whether the last page was taken in. If not, it does not continue the page
            before, and is to be discarded: another one is asked for, from further back. If
            that never helps, the seam is broken.
        is_probing: Whether the next page is asked for only to see that nothing follows.
        cuts: Whether the service was seen to send fewer rows than it was asked for, although it
            has more.
        pages_reread: How often it went back: from a page that it discarded, or to the
            beginning for a further reading.
        distinct_rows: How many different primary keys came in the windows that are done.
    """

    def __init__(self, windows: Iterable[Window], limit: int) -> None:
        """Start at the first page of the first window.

        Args:
            windows: What to walk, in the order of the plan.
            limit: Rows to ask for at once.
        """
        self._windows = iter(windows)
        first = next(self._windows, None)
        super().__init__(Position(first or WHOLE_LIST))  # without windows, never asked for
        self._finished = first is None
        self.limit = limit
        self.accepted = self.is_probing = self.cuts = False
        self.pages_reread = self.distinct_rows = 0
        # Fewer rows could match by chance, where rows come twice or in any order.
        self._needed = min(max(5, limit // 100), limit // 2)
        self._largest = 0  # rows of the largest page
        self._has_probed = False
        # The keys of each reading since the last one at which rows may have left the window.
        self._keys_so_far: list[Hashes] = []
        self._before: _Reading | None = None
        self._reading = _Reading()

    def predict(self, position: Position, rows: int) -> Position | None:
        """Guess which page will be asked for after one; None if that is likely the last.

        May be called from any thread.

        Args:
            position: Where the page begins.
            rows: How many rows it has.
        """
        step = min(rows, self.limit)
        if step < self.limit and not (self.cuts and step):
            return None
        return replace(position, offset=position.offset + step - min(self._needed, step - 1))

    @override
    def advance(self, response: Page) -> None:  # type: ignore[override]
        """Take in the page at the current position, and move on.

        Args:
            response: The rows of the page, already parsed.

        Raises:
            RowsNotProvedError: If rows are missing and reading again does not help, or if pages
                go on without end.
        """
        super().advance(response)  # type: ignore[arg-type]

    @override
    def get_next(self, response: Page) -> Position | None:  # type: ignore[override]
        """Return which page to ask for next; None if all windows are read."""
        position, seam = self.current_value, self._reading.seam
        # How many of its first rows repeat the page before; 0: there is no seam to look at, as
        # on the first page; None: it does not continue the page before.
        repeated = seam.meet(response)
        self.accepted = repeated is not None
        if repeated is None:
            self.pages_reread += 1
            self._reading.discarded += 1
            seam.step_back()
            return replace(position, offset=seam.next_offset)
        # How many of its rows the page before did not have.
        new = self._take_in(response, position.offset, repeated)
        if self._is_proved_early():  # by this reading and the one before
            return self._next_window()
        rows = len(response.versions)
        # A page follows a full one, and a short one that may be cut: then it may be a probe.
        if rows >= self.limit or self._goes_on_after(rows, new):
            seam.follow(response, position, self.limit, self._needed)
            return replace(position, offset=seam.next_offset)
        # The reading is over. If nothing is proved, the same window is read from its beginning.
        return self._next_window() if self._judge_reading() else self._read_again()

    # Within a reading

    def _take_in(self, page: Page, offset: int, repeated: int) -> int:
        """Add a page to the reading; return how many rows the page before did not have."""
        reading = self._reading
        seam, rows = reading.seam, len(page.versions)
        # Two pages of a few rows may be equal, where the service hides rows in front of them.
        is_few = rows <= self._needed and seam.intact
        if not is_few and seam.rows == page.versions and offset != seam.offset:
            raise RowsNotProvedError("it sends the same page again, whatever `start` asks for")
        new = len(set(page.versions).difference(seam.rows))
        end = offset + rows
        # A few rows may have been added meanwhile. More mean that the last page was cut.
        self.cuts = self.cuts or (self.is_probing and end > reading.total + self._needed)
        self.is_probing = False
        if new > self._needed:
            reading.few_new = 0
        elif not nearly(rows, self._largest):  # a page as large as others may be cut again
            reading.few_new += 1
        reading.total = end
        reading.furthest = max(reading.furthest, end)
        # The page before can lack no more rows than the service has from its offset on.
        full = min(self.limit, end - seam.offset)
        reading.hidden += min(max(0, full - len(seam.rows)), len(seam.rows) // 9)
        self._largest = max(self._largest, rows)
        reading.extend(page, repeated)
        reading.refuse_endless()
        return new

    def _goes_on_after(self, rows: int, new: int) -> bool:
        """Decide whether to ask for a page after a short one, and note if it is a probe.

        A short page need not be the last: a service may cap its pages, ignore `limit`, or leave
        rows out after it has counted them. Once rows have followed a probe, short pages of the
        stream are taken for cut ones.

        Args:
            rows: How many rows the short page has.
            new: How many of them the page before it did not have.
        """
        reading = self._reading
        # A page from further back may be cut before its first new row.
        if not rows or (not new and reading.seam.overlap <= reading.seam.needed):
            return False
        # Many probes say nothing: where rows are added with each request, each probe may bring
        # some, and where rows leave, each may be discarded. Then go on as where pages are cut.
        if self.cuts or reading.probes >= _MAX_PROBES:
            # In a window that grows with each request, a page may always bring a few new rows.
            return reading.few_new < _FEW_IN_A_ROW
        self.is_probing = self._may_be_cut(rows)
        reading.probes += self.is_probing
        return self.is_probing

    def _may_be_cut(self, rows: int) -> bool:
        """Decide whether a short page could be a cut one.

        Where pages are capped, a cut one is as large as any so far, but for a tenth of its rows
        that may be hidden. Each such page may be cut, since one window that ends where pages
        are cut says nothing of the next.
        """
        capped = nearly(rows, DEFAULT_LIMIT) and (
            nearly(rows, self._largest) or not self._has_probed
        )
        self._has_probed = self._has_probed or capped
        return capped or nearly(rows, self.limit)

    # Readings of a window

    def _judge_reading(self) -> bool:
        """Return whether the window is proved, now that a reading is over.

        A reading is *sound* if its seams held and, but for what pages repeat at their seams, no
        row came twice in the same version (key and replication value). One of these proves the
        window:

        - the reading is sound, as many different rows came as the service has, and none was
          added in front of its pages meanwhile, as no page repeated more rows than it was asked
          to
        - the one before was sound, and as many new rows have come since as it lacked
        - both bring the same rows in the same order: see `_Reading.agrees_with`
        - the readings after the last one at which rows may have left have together as many
          different rows as the service; some rows of earlier ones may be gone by now. In an
          open window a row may leave while another one comes, which the size does not show: so
          there, as many rows must have come in three readings each
        """
        reading, before = self._reading, self._before
        if self._missing_rows_came():
            return True
        reading.is_sound = reading.seam.intact and not reading.has_duplicates()
        if reading.is_sound and not reading.unread and distinct(reading.keys) >= reading.total:
            return True
        if before is None:
            return False
        if reading.agrees_with(before):
            return True
        if self._rows_may_have_left(before):
            # Rows that are gone by now would count as rows that came.
            self._keys_so_far.clear()
            return False
        self._keys_so_far.append(reading.keys)
        of = _COME_AND_GONE if self.current_value.window.is_open else 1
        return distinct(*self._keys_so_far, of=of) >= reading.total

    def _rows_may_have_left(self, before: _Reading) -> bool:
        """Return whether, by its size, rows may have left the window since the reading before.

        An open window, or a list, keeps a row that is updated. A closed one loses it, and gains
        none.
        """
        if self.current_value.window.is_open:
            return self._reading.total < before.total
        return self._reading.total != before.total

    def _is_proved_early(self) -> bool:
        """Return whether this reading has brought by now what the one before lacked.

        Counting takes time: it is done after 1, 2, 4, 8 … pages.
        """
        return self._reading.pages.bit_count() == 1 and self._missing_rows_came()

    def _missing_rows_came(self) -> bool:
        """Return whether as many new rows have come by now as a sound reading lacked.

        Rows that were added in front while others were read mostly stand on the first pages.
        """
        before = self._before
        return (
            before is not None
            and before.is_sound
            and self._reading.seam.intact
            and distinct(before.keys, self._reading.keys)
            >= max(before.total, distinct(before.keys) + before.unread)
        )

    def _read_again(self) -> Position:
        position = self.current_value
        if position.reading >= _MAX_READINGS:
            raise RowsNotProvedError(
                f"it has {self._reading.total:,} rows, but only "
                f"{distinct(self._reading.keys, *self._keys_so_far):,} different ones came in "
                f"{_MAX_READINGS} readings"
            )
        self._before, self._reading = self._reading, _Reading()
        self.pages_reread += 1
        return Position(position.window, reading=position.reading + 1)

    def _next_window(self) -> Position | None:
        # Where three readings or more were needed, some are not kept, nor their rows counted.
        before = [self._before.keys] if self._before else []
        self.distinct_rows += distinct(self._reading.keys, *before, *self._keys_so_far)
        self._keys_so_far.clear()
        self._before, self._reading = None, _Reading()
        window = next(self._windows, None)
        return None if window is None else Position(window)


def nearly(rows: int, full: int) -> bool:
    """Return whether so many rows may be a full page, as a tenth of one may be hidden."""
    return 10 * rows >= 9 * full


def count_repeated(
    previous: Sequence[Hashable], page: Sequence[Hashable], needed: int
) -> int | None:
    """Return how many rows at the beginning of a page repeat the end of the page before.

    They stand in the same order; rows of the page before may have left since. Where rows come
    twice, they may seem to repeat several parts: the one with the fewest gaps is meant.

    Args:
        previous: The rows of the page before.
        page: The rows of the page.
        needed: How many have to be repeated; None is returned if there are fewer.
    """
    runs = [
        (len(previous) - start - length, length)
        for start, row in enumerate(previous)
        if page and row == page[0] and (length := _run(previous, start, page)) >= needed
    ]
    return min(runs)[1] if runs else None


def _run(previous: Sequence[Hashable], start: int, page: Sequence[Hashable]) -> int:
    """Return how many rows of a page are found in the page before, from a place on."""
    length = 0
    for row in page:
        try:
            start = previous.index(row, start) + 1
        except ValueError:
            break
        length += 1
    return length
