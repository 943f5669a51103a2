"""One walk over a window: which pages are asked for, and what they prove."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pendulum
import pytest
from singer_sdk.exceptions import FatalAPIError

from tap_litmos.paginator import Keys, PageSizes, WindowPaginator, count_repeated
from tap_litmos.proof import cut
from tap_litmos.rows import SHARED_KEY, Page
from tap_litmos.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOW = pendulum.datetime(2026, 3, 10, 15)
CLOSED = Window(NOW.subtract(days=9).start_of("day"), NOW.subtract(days=2).start_of("day"))
OPEN = Window(CLOSED.to, NOW.add(days=2).start_of("day"), is_open=True)
BEFORE = "2026-03-10T12:00:00.000000Z"


def page(keys: Iterable[int], dates: Sequence[str] | str = BEFORE) -> Page:
    found = list(keys)
    dated = [dates] * len(found) if isinstance(dates, str) else list(dates)
    records: list[dict[str, Any] | None] = [
        {"Id": key, "UpdatedDate": date} for key, date in zip(found, dated, strict=True)
    ]
    return Page(records, [(key,) for key in found], dated)


class Walk:
    """Feeds pages to a paginator, as the SDK does.

    Attributes:
        offsets: Which offset each page was asked for.
        written: The records that were written, by page.
    """

    def __init__(
        self,
        *pages: Page,
        limit: int = 100,
        window: Window = CLOSED,
        sizes: PageSizes | None = None,
        keys: Keys | None = None,
        enough: int | None = None,
    ) -> None:
        self.reading = WindowPaginator(window, sizes or PageSizes(limit), keys, enough)
        self.offsets: list[int] = []
        self.written: list[list[dict[str, Any]]] = []
        for each_page in pages:
            self.feed(each_page)

    def feed(self, sent: Page) -> None:
        assert not self.reading.finished
        self.offsets.append(self.reading.current_value)
        response: Any = SimpleNamespace(page=sent, requested_at=NOW, server_time=NOW)
        self.written.append(list(self.reading.rows_to_write(response)))
        self.reading.advance(response)


def test_keys_know_the_newest_date_of_each() -> None:
    keys = Keys()
    older = [keys.add([("a", date), ("b", "1")]) for date in ("2", "3", "1", "2", "3")]
    assert older == [set(), set(), {0}, {0}, set()]
    assert (len(keys), keys.count_until("1"), keys.count_until("3")) == (2, 1, 2)


def test_a_page_below_90_rows_ends_its_window() -> None:
    walk = Walk(page(range(89)), limit=1000)
    assert walk.reading.finished
    assert walk.reading.is_proved


@pytest.mark.parametrize(("rows", "is_over"), [(89, True), (90, False), (100, False)])
def test_behind_90_rows_that_are_the_largest_page_one_more_is_asked_for(
    rows: int,
    is_over: bool,  # noqa: FBT001
) -> None:
    assert Walk(page(range(rows)), limit=1000).reading.finished == is_over


@pytest.mark.parametrize(("rows", "is_over"), [(449, True), (450, False)])
def test_a_page_that_is_more_than_a_tenth_smaller_than_the_largest_ends_its_window(
    rows: int,
    is_over: bool,  # noqa: FBT001
) -> None:
    sizes = PageSizes(1000)
    Walk(page(range(500)), sizes=sizes)
    assert Walk(page(range(rows)), sizes=sizes).reading.finished == is_over


def test_pages_overlap_by_ten_rows() -> None:
    walk = Walk(page(range(100)), page(range(90, 190)), page(range(180, 200)))
    assert walk.offsets == [0, 90, 180]
    assert walk.reading.is_proved
    assert walk.reading.total == 200


@pytest.mark.parametrize(("limit", "offsets"), [(2, [0, 1, 2]), (5, [0, 3, 6]), (7, [0, 4, 8])])
def test_small_pages_overlap_by_half(limit: int, offsets: list[int]) -> None:
    walk = Walk(*(page(range(at, at + limit)) for at in offsets[:2]), page([]), limit=limit)
    assert walk.offsets == offsets


def test_a_second_page_with_nothing_new_proves_the_first() -> None:
    reading = Walk(page(range(100)), page(range(90, 100))).reading
    assert reading.is_snapshot
    assert reading.is_proved


def test_rows_that_left_a_full_page_prove_nothing() -> None:
    # 300 of 1,200 rows left after the first page, so the second one begins behind all of them.
    reading = Walk(page(range(1000)), page([]), limit=1000).reading
    assert reading.finished
    assert not reading.is_proved


def test_a_closed_window_needs_exact_seams_and_an_exact_count() -> None:
    assert Walk(page(range(100)), page(range(90, 150))).reading.is_proved
    one_left = Walk(page(range(100)), page(range(91, 150))).reading
    assert one_left.has_seams
    assert not one_left.is_proved
    twice = Walk(page(range(100)), page([*range(90, 150), 120])).reading
    assert twice.is_exact
    assert not twice.is_proved


def test_an_open_window_needs_seams_and_at_least_as_many_rows() -> None:
    added = Walk(page(range(100)), page([*range(80, 100), *range(100, 150)]), window=OPEN).reading
    assert added.has_seams
    assert not added.is_proved_if_open  # ten rows in front have not come
    assert Walk(page(range(100)), page(range(90, 150)), window=OPEN).reading.is_proved_if_open
    broken = Walk(page(range(100)), page(range(98, 150)), window=OPEN).reading
    assert not broken.is_proved_if_open


def test_a_second_reading_counts_with_the_first_and_ends_early() -> None:
    first = Walk(page(range(100)), page([*range(80, 100), *range(100, 150)]), window=OPEN).reading
    in_front = page([*range(200, 210), *range(90)])
    second = Walk(in_front, window=OPEN, keys=first.keys, enough=first.total).reading
    assert second.finished
    assert second.is_proved_if_open


def test_a_window_that_is_capped_is_read_on_while_pages_bring_new_rows() -> None:
    sizes = PageSizes(1000)
    capped = Walk(page(range(100)), page(range(90, 190)), sizes=sizes).reading
    assert sizes.is_capped
    assert not capped.finished
    assert not Walk(page(range(75)), sizes=sizes).reading.finished
    assert Walk(page(range(69)), sizes=sizes).reading.finished


def test_pages_a_little_longer_than_asked_leave_no_gap() -> None:
    walk = Walk(page(range(103)), page(range(90, 150)))
    assert walk.offsets == [0, 90]
    assert walk.reading.is_proved


def test_rows_added_in_front_may_repeat_a_page() -> None:
    walk = Walk(*[page(range(20))] * 5, limit=20, window=OPEN)
    assert not walk.reading.finished


@pytest.mark.parametrize("rows", [100, 300])
def test_twenty_pages_that_bring_almost_nothing_new_are_refused(rows: int) -> None:
    walk = Walk()
    for at in range(0, 19 * 90, 90):
        walk.feed(page((at + number) % rows for number in range(100)))
    with pytest.raises(FatalAPIError):
        walk.feed(page((19 * 90 + number) % rows for number in range(100)))


def test_a_window_that_grows_as_fast_as_it_is_read_is_left() -> None:
    after = "2026-03-10T15:00:01.000000Z"
    walk = Walk(page(range(100)), page(range(90, 190)), window=OPEN)
    at = 180
    while not walk.reading.finished:
        walk.feed(page(range(at, at + 100), after))
        at += 90
    assert walk.reading.is_outgrown
    assert not walk.reading.is_proved_if_open
    assert len(walk.offsets) == 10


# Two rows with one key


OLD, NEW = "2026-03-02T00:00:00.000000Z", "2026-03-03T00:00:00.000000Z"


def test_on_a_page_the_newest_row_of_a_key_is_written_last() -> None:
    walk = Walk(page([1, 2, 1], [NEW, NEW, OLD]))
    assert [row["UpdatedDate"] for row in walk.written[0] if row["Id"] == 1] == [OLD, NEW]
    assert walk.reading.findings.count(SHARED_KEY) == 1
    assert walk.reading.is_proved


def test_a_row_that_comes_twice_shares_no_key() -> None:
    assert Walk(page([1, 2, 1], NEW)).reading.findings.count(SHARED_KEY) == 0


def test_an_older_row_on_a_later_page_is_held_back_and_its_window_not_proved() -> None:
    walk = Walk(page(range(100), NEW), page([*range(90, 100), 5], [NEW] * 10 + [OLD]))
    assert 5 not in [row["Id"] for row in walk.written[1]]
    assert walk.reading.held_back == 1
    assert walk.reading.findings.count(SHARED_KEY) == 1
    assert not walk.reading.is_proved
    assert not walk.reading.is_proved_if_open


def test_a_newer_row_on_a_later_page_is_written() -> None:
    walk = Walk(page(range(100), OLD), page([*range(90, 100), 5], [OLD] * 10 + [NEW]))
    assert 5 in [row["Id"] for row in walk.written[1]]
    assert walk.reading.held_back == 0


# Page sizes


def test_after_a_second_timeout_in_a_row_pages_are_halved() -> None:
    sizes = PageSizes(1000)
    reading = WindowPaginator(CLOSED, sizes)
    assert not reading.failed(is_timeout=True)
    assert not reading.failed(is_timeout=False)
    assert not reading.failed(is_timeout=True)
    assert reading.failed(is_timeout=True)
    assert reading.limit == 500
    for _ in range(9):
        reading.failed(is_timeout=True)
    assert reading.limit == 25
    assert reading.retries == 13


def test_after_an_outage_pages_grow_again() -> None:
    sizes = PageSizes(1000)
    sizes.succeeded(1000, 1000)
    for limit in (1000, 500, 250):
        sizes.failed(limit)
    assert sizes.limit == 125
    limits = []
    while sizes.limit < 1000:
        sizes.succeeded(0, sizes.limit)
        limits.append(sizes.limit)
    assert limits == [250, 500, 1000]


def test_a_size_is_the_ceiling_if_its_double_fails_after_it_came() -> None:
    sizes = PageSizes(1000)
    assert sizes.failed(1000) == 500
    sizes.succeeded(500, 500)
    assert sizes.limit == 1000
    assert sizes.failed(1000) == 500
    sizes.succeeded(500, 500)
    assert sizes.limit == 500


def test_a_smaller_next_page_overlaps_too() -> None:
    sizes = PageSizes(1000)
    walk = Walk(page(range(1000)), sizes=sizes)
    sizes.limit = 6
    walk.reading.limit = 1000
    walk.feed(page(range(990, 1990)))
    assert walk.offsets == [0, 990]
    assert walk.reading.current_value == 1980


# Seams


@pytest.mark.parametrize(
    ("before", "after", "repeated"),
    [
        ("abc", "cde", 1),
        ("abc", "bcd", 2),
        ("abc", "abc", 3),
        ("abc", "xyz", 0),
        ("abc", "", 0),
        ("aba", "aba", 3),
        ("abab", "abx", 2),
        ("abca", "acb", 1),
        ("abc", "bd", 0),
    ],
)
def test_count_repeated(before: str, after: str, repeated: int) -> None:
    assert count_repeated(list(before), list(after)) == repeated


# Cutting


def dated(count: int, seconds: int = 60) -> Walk:
    dates = [
        f"{CLOSED.since.add(seconds=at * seconds):%Y-%m-%dT%H:%M:%S.%f}Z" for at in range(count)
    ]
    return Walk(page(range(count), dates), limit=count)


def test_parts_cover_a_window_and_overlap_by_a_second() -> None:
    parts = cut(CLOSED, dated(600).reading)
    assert len(parts) == 3
    assert parts[0].since == CLOSED.since
    assert parts[-1].to == CLOSED.to
    for part, following in pairwise(parts):
        assert (part.to - following.since).total_seconds() == 1
        assert part.to.second  # a second before a full minute may not exist on a switch of clocks
    assert not any(part.is_open for part in parts)


def test_there_are_enough_parts_for_pages_of_three_fifths() -> None:
    reading = dated(600).reading
    reading.sizes.largest = 100
    assert len(cut(CLOSED, reading)) == 10


def test_rows_of_one_second_are_not_cut() -> None:
    assert cut(CLOSED, dated(10, seconds=0).reading) == []


def test_without_dates_a_window_is_cut_in_the_middle() -> None:
    parts = cut(CLOSED, Walk(page(range(100), "")).reading)
    assert [len(parts), parts[0].to] == [2, CLOSED.since.add(days=3, hours=12, seconds=1)]


@pytest.mark.parametrize(("seconds", "count"), [(2, 0), (3, 2)])
def test_the_shortest_part_that_is_cut_has_three_seconds(seconds: int, count: int) -> None:
    window = Window(CLOSED.since, CLOSED.since.add(seconds=seconds))
    assert len(cut(window, Walk(page(range(100), "")).reading)) == count
