"""Paging against services that are strange: every row that stays comes, or the window fails."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field, replace
from itertools import chain, count, cycle, repeat
from typing import TYPE_CHECKING, Literal

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_litmos.errors import RowsNotProvedError
from tap_litmos.paginator import Position, WindowPaginator
from tap_litmos.windows import WHOLE_LIST, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Version = tuple[int, int]
Order = Literal[
    "stable", "newest first", "ties in any order", "any order", "rotated", "by start"
]
Repeated = Literal["no row", "neighbours", "all again at the end", "anywhere"]


@dataclass
class Page:
    versions: list[Version]

    @property
    def keys(self) -> list[int]:
        return [key for key, _ in self.versions]


@dataclass
class Service:
    """A service that sends the rows of one window.

    Attributes:
        count: How many rows it has at first.
        order: In which order it sends them.
        tie: How many rows have the same date.
        repeated: Which rows it sends twice.
        cap: The most rows it sends at once, whatever is asked for.
        dropped: It leaves out each row with such a number, after it has counted them.
        leave: How many rows leave the window before each request but the first, at most.
        update: How many rows move to the end with a new date, at most.
        grow: How many rows are added before each request but the first.
        seed: What chance is made of.
    """

    count: int
    order: Order = "stable"
    tie: int = 1
    repeated: Repeated = "no row"
    cap: int | None = None
    dropped: int | None = None
    leave: int = 0
    update: int = 0
    grow: int = 0
    seed: int = 0
    requests: list[Position] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret
        self.rows: list[Version] = [(key, 0) for key in range(self.count)]
        self.twice = {key for key, _ in self.rows if self.chance.random() < 0.15}
        self.changed: set[int] = set()
        self.next = self.count

    def page(self, position: Position, limit: int) -> Page:
        if self.requests:
            self._change()
        self.requests.append(position)
        most = min(limit, self.cap or limit)
        rows = self._listed()[position.offset : position.offset + most]
        return Page([row for row in rows if not self.dropped or row[0] % self.dropped])

    def must_come(self) -> set[int]:
        """The rows that were there at first, and stay as they were."""
        first = {key for key in range(self.count) if not self.dropped or key % self.dropped}
        return first - self.changed

    def _change(self) -> None:
        for most, stays in ((self.leave, False), (self.update, True)):
            for _ in range(self.chance.randint(0, most)):
                if self.rows:
                    key, version = self.rows.pop(self.chance.randrange(len(self.rows)))
                    self.changed.add(key)
                    if stays:
                        self.rows.append((key, version + 1))
        for _ in range(self.grow):
            self.rows.append((self.next, 0))
            self.next += 1

    def _listed(self) -> list[Version]:
        rows = list(self.rows)
        if self.order == "newest first":
            rows.reverse()
        if self.order == "ties in any order":
            tie = {
                row: (place // self.tie, self.chance.random()) for place, row in enumerate(rows)
            }
            rows.sort(key=lambda row: tie[row])
        if self.order == "any order":
            self.chance.shuffle(rows)
        if self.order == "rotated":
            first = self.chance.randrange(len(rows) or 1)
            rows = rows[first:] + rows[:first]
        if self.order == "by start":
            by_start = random.Random(self.requests[-1].offset)  # noqa: S311 - no secret
            ties = [rows[place : place + self.tie] for place in range(0, len(rows), self.tie)]
            rows = [row for tie in ties for row in by_start.sample(tie, len(tie))]
        if self.repeated == "neighbours":
            return [each for row in rows for each in [row] * (1 + (row[0] in self.twice))]
        if self.repeated == "all again at the end":
            return rows + [row for row in rows if row[0] in self.twice]
        if self.repeated == "anywhere":
            for row in sorted(row for row in rows if row[0] in self.twice):
                rows.insert(row[0] * 7919 % (len(rows) + 1), row)
        return rows


def some_windows(count: int) -> list[Window]:
    """Return so many windows."""
    since = pendulum.datetime(2026, 1, 1)
    return [Window(since.add(weeks=week), since.add(weeks=week + 1)) for week in range(count)]


def read(service: Service, limit: int) -> tuple[set[int], WindowPaginator]:
    """Read all of a service, and return the rows that came."""
    paginator = WindowPaginator(some_windows(1), limit)
    came: set[int] = set()
    while not paginator.finished:
        page = service.page(paginator.current_value, limit)
        paginator.advance(page)
        if paginator.accepted:
            came.update(page.keys)
    return came, paginator


services = st.builds(
    Service,
    count=st.integers(0, 500),
    order=st.sampled_from(["stable", "newest first", "ties in any order", "any order"]),
    tie=st.sampled_from([2, 5, 20, 60, 150]),
    repeated=st.sampled_from(
        ["no row", "no row", "neighbours", "all again at the end", "anywhere"]
    ),
    leave=st.sampled_from([0, 0, 1, 4]),
    update=st.sampled_from([0, 0, 1, 4]),
    grow=st.sampled_from([0, 0, 0, 1]),
    seed=st.integers(0, 1_000_000),
)


@pytest.mark.parametrize("limit", [20, 50, 100])
@settings(max_examples=max(700, settings().max_examples))
@given(service=services, capped=st.booleans())
def test_no_row_is_lost_in_silence(limit: int, service: Service, capped: bool) -> None:  # noqa: FBT001
    """Order, ties, rows that come twice, caps and moves, in any combination."""
    service = replace(
        service,
        # One that grows, in any order, is read 25 times: it begins with ten pages at most.
        count=service.count % (10 * limit + 1) if service.grow else service.count,
        cap=9 * limit // 10 if capped else None,
    )
    try:
        came, _ = read(service, limit)
    except RowsNotProvedError:
        return  # it says so
    assert service.must_come() <= came


@given(
    count=st.integers(0, 500),
    limit=st.sampled_from([20, 50, 100]),
    order=st.sampled_from(["stable", "newest first", "ties in any order", "any order"]),
    tie=st.sampled_from([2, 5, 20, 60, 150]),
    seed=st.integers(0, 1_000_000),
)
def test_any_order_of_rows_that_come_once_is_read_whole(
    count: int, limit: int, order: Order, tie: int, seed: int
) -> None:
    service = Service(count, order=order, tie=tie, seed=seed)
    came, _ = read(service, limit)
    assert came == set(range(count))


@given(
    count=st.integers(0, 500),
    limit=st.sampled_from([20, 50, 100]),
    repeated=st.sampled_from(["neighbours", "all again at the end", "anywhere"]),
    seed=st.integers(0, 1_000_000),
)
def test_rows_that_come_twice_in_a_stable_order_cost_one_more_reading(
    count: int, limit: int, repeated: Repeated, seed: int
) -> None:
    service = Service(count, repeated=repeated, seed=seed)
    came, _ = read(service, limit)
    assert came == set(range(count))
    assert max(position.reading for position in service.requests) <= 2


@given(
    count=st.integers(0, 300), limit=st.sampled_from([2, 3, 20, 50]), windows=st.integers(1, 3)
)
def test_when_nothing_moves_a_window_costs_its_full_pages_and_one(
    count: int, limit: int, windows: int
) -> None:
    paginator = WindowPaginator(some_windows(windows), limit)
    service, full, probes = Service(count), 0, 0
    while not paginator.finished:
        page = service.page(paginator.current_value, limit)
        full += len(page.versions) == limit
        paginator.advance(page)
        probes += paginator.is_probing
    assert len(service.requests) == windows + full + probes
    assert probes <= windows
    assert paginator.pages_reread == 0


@pytest.mark.parametrize("order", ["stable", "newest first"])
def test_a_window_that_grows_with_each_request_costs_little_more(order: Order) -> None:
    service = Service(7_500, order=order, grow=1)
    came, _ = read(service, 1000)
    assert service.must_come() <= came
    assert 8 <= len(service.requests) <= 11


@pytest.mark.parametrize("tie", [5, 20, 300, 1_500, 6_000])
def test_thousands_of_rows_of_the_same_second_in_any_order(tie: int) -> None:
    service = Service(6_000, order="ties in any order", tie=tie)
    came, _ = read(service, 1000)
    assert came == set(range(6_000))


@pytest.mark.parametrize("tie", [2, 20, 300, 1_500, 6_000])
def test_ties_whose_order_depends_on_start(tie: int) -> None:
    service = Service(6_000, order="by start", tie=tie)
    came, _ = read(service, 1000)
    assert came == set(range(6_000))


@given(count=st.integers(0, 600), limit=st.sampled_from([50, 100]), seed=st.integers(0, 10**6))
def test_rows_that_begin_anywhere_are_not_lost_in_silence(
    count: int, limit: int, seed: int
) -> None:
    """Each page seems to continue the one before, but leaves rows out in between."""
    service = Service(count, order="rotated", seed=seed)
    try:
        came, _ = read(service, limit)
    except RowsNotProvedError:
        return  # it says so
    assert came == set(range(count))


def test_a_row_that_leaves_does_not_hide_one_that_moves() -> None:
    """One row leaves after the first page, and another moves in front three pages later."""

    def rows_by_request() -> Iterator[list[Version]]:
        rows: list[Version] = [(key, 0) for key in range(100)]
        for request in count():
            if request == 1:
                rows.remove((6, 0))
            if request == 4:
                rows.remove((96, 0))
                rows.insert(24, (96, 0))
            yield rows

    paginator = WindowPaginator(some_windows(1), 20)
    assert read_rows(paginator, rows_by_request()) == set(range(100))


@pytest.mark.parametrize(
    ("cap", "dropped"), [(500, None), (100, None), (None, 1000), (950, None)]
)
def test_a_service_that_cuts_its_pages_is_read_to_its_end(
    cap: int | None, dropped: int | None
) -> None:
    service = Service(3_210, cap=cap, dropped=dropped)
    came, paginator = read(service, 1000)
    assert came == service.must_come()
    assert paginator.cuts


@pytest.mark.parametrize("cap", [100, 112, 128, 200])
@pytest.mark.parametrize("seed", range(5))
def test_rows_that_leave_do_not_hide_that_pages_are_cut(cap: int, seed: int) -> None:
    service = Service(1_000, cap=cap, leave=2, seed=seed)
    came, _ = read(service, 1000)
    assert service.must_come() <= came


@pytest.mark.parametrize(("cap", "number", "leave"), [(100, 196, 6), (107, 209, 8)])
def test_probes_that_are_discarded_do_not_show_that_this_was_the_end(
    cap: int, number: int, leave: int
) -> None:
    """Where rows leave with each request, a probe may not continue the page before."""
    for seed in range(60):
        service = Service(count=number, cap=cap, leave=leave, seed=seed)
        came, _ = read(service, 1000)
        assert came.issuperset(service.must_come())


def test_a_row_that_was_missing_in_the_middle_shows_that_another_may_be() -> None:
    first, second, whole = (
        [(key, 0) for key in keys]
        for keys in ([0, 1, 2, 5, 5, 6], [0, 1, 2, 3, 5, 5, 6], range(7))
    )
    rows_by_request = chain([first, second], repeat(whole))
    assert read_rows(WindowPaginator(some_windows(1), 20), rows_by_request) == set(range(7))


def test_a_page_that_grows_with_each_request_is_not_asked_for_again_without_end() -> None:
    service = Service(90, repeated="all again at the end", grow=1)
    with contextlib.suppress(RowsNotProvedError):
        came, _ = read(service, 1000)
        assert service.must_come() <= came
    assert len(service.requests) < 1_000


@settings(max_examples=300)
@given(
    cap=st.integers(100, 999),
    dropped=st.none() | st.integers(11, 200),
    sizes=st.lists(st.integers(0, 1_500) | st.sampled_from([-1, 0, 1]), min_size=1, max_size=9),
)
def test_windows_are_read_whole_wherever_pages_are_cut(
    cap: int, dropped: int | None, sizes: list[int]
) -> None:
    """No window before, whatever its size, hides the cap from those after it."""
    counts = [cap + size if size < 2 else size for size in sizes]  # near the cap
    shown = [Service(count, dropped=dropped).must_come() for count in counts]
    assert read_windows(counts, cap=cap, dropped=dropped)[0] == shown


@given(counts=st.lists(st.integers(0, 899), min_size=1, max_size=60))
def test_the_end_of_a_window_is_looked_at_where_it_is_nearly_the_largest_so_far(
    counts: list[int],
) -> None:
    _, requests = read_windows(counts)
    large = [
        place
        for place, count in enumerate(counts)
        if 10 * count >= 9 * max(100, *counts[: place + 1])
    ]
    assert requests == len(counts) + len(large)


def read_windows(
    counts: list[int], cap: int | None = None, dropped: int | None = None
) -> tuple[list[set[int]], int]:
    """Read windows with so many rows; return the rows of each, and the number of requests."""
    windows = some_windows(len(counts))
    services = {
        window: Service(count, cap=cap, dropped=dropped)
        for window, count in zip(windows, counts, strict=True)
    }
    came: dict[Window, set[int]] = {window: set() for window in windows}
    paginator = WindowPaginator(windows, 1000)
    while not paginator.finished:
        position = paginator.current_value
        page = services[position.window].page(position, 1000)
        paginator.advance(page)
        came[position.window].update(page.keys)
    return list(came.values()), sum(len(service.requests) for service in services.values())


def test_a_row_that_comes_twice_does_not_pass_for_the_seam() -> None:
    """Five rows leave; a row of the first page comes again behind them."""
    rows: list[Version] = [(key, 0) for key in range(60)]
    rows.insert(25, rows[19])
    rows_by_request = chain([rows], repeat(rows[5:]))
    paginator = WindowPaginator([WHOLE_LIST], 20)
    assert read_rows(paginator, rows_by_request) == set(range(60))


def test_two_readings_without_a_row_in_common_prove_nothing() -> None:
    """Two replicas answer in turn, and each sends other rows, one of them twice."""
    paginator = WindowPaginator(some_windows(1), 10)
    replicas = [[(key, 0) for key in keys] for keys in ([1, 1, 2, 3], [4, 4, 5, 6])]
    assert read_rows(paginator, cycle(replicas)) == {1, 2, 3, 4, 5, 6}
    assert paginator.distinct_rows == 6
    assert paginator.pages_reread == 2


@pytest.mark.parametrize("number", [20, 21, 22, 25, 31, 35, 41, 44])
def test_replicas_that_begin_anywhere_do_not_lose_rows_in_silence(number: int) -> None:
    """Two replicas answer in turn, and the second one begins with another row."""
    rows: list[Version] = [(key, 0) for key in range(number)]
    others = [rows[first:] + rows[:first] for first in range(number)]
    assert failures_beside(rows, others) < number / 2


@pytest.mark.parametrize("number", [38, 45, 100])
def test_replicas_on_which_two_rows_stand_elsewhere_do_not_lose_them_in_silence(
    number: int,
) -> None:
    """An odd number of pages: both replicas are asked for each page, in one of two readings."""
    rows: list[Version] = [(key, 0) for key in range(number)]
    chance = random.Random(number)  # noqa: S311 - no secret
    others = [list(rows) for _ in range(500)]
    for other in others:
        for _ in range(2):
            other.insert(chance.randrange(number), other.pop(chance.randrange(number)))
    assert failures_beside(rows, others) < 50


SINCE = pendulum.datetime(2026, 1, 1)


@pytest.mark.parametrize("reading", [3, 4, 5])
@pytest.mark.parametrize(
    "window", [WHOLE_LIST, Window(SINCE, SINCE.add(days=3), is_open=True)], ids=str
)
def test_a_row_that_left_does_not_stand_in_for_one_that_never_came(
    window: Window, reading: int
) -> None:
    """Where another one comes at the same time, the size stays the same."""
    for seed in range(60):
        paginator = WindowPaginator([window], limit=100)
        came = read_rows(paginator, shuffled(paginator, seed, reading))
        assert came.issuperset(range(1, 250))


def shuffled(paginator: WindowPaginator, seed: int, reading: int) -> Iterator[list[Version]]:
    """Yield 250 rows in any order; before a reading the row 0 leaves, and another one comes."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    rows: list[Version] = [(key, 0) for key in range(250)]
    while True:
        if paginator.current_value.reading == reading and (0, 0) in rows:
            rows.remove((0, 0))
            rows.append((250, 0))
        chance.shuffle(rows)
        yield rows


def failures_beside(rows: list[Version], others: Iterable[list[Version]]) -> int:
    """Read the rows from a replica that takes turns with another one, for each of the others.

    Returns:
        How often that ended in an error, which says so; else all rows came.
    """
    failed = 0
    for other in others:
        try:
            came = read_rows(WindowPaginator(some_windows(1), 20), cycle([rows, other]))
        except RowsNotProvedError:
            failed += 1
        else:
            assert len(came) == len(rows)
    return failed


def read_rows(paginator: WindowPaginator, rows_by_request: Iterable[list[Version]]) -> set[int]:
    """Read one window; return the keys of the rows that came.

    Args:
        paginator: It stands before the window.
        rows_by_request: All rows of the window, as each request finds them.
    """
    came: set[int] = set()
    for rows in rows_by_request:
        if paginator.finished:
            break
        offset = paginator.current_value.offset
        page = Page(rows[offset : offset + paginator.limit])
        paginator.advance(page)
        came.update(page.keys if paginator.accepted else ())
    return came


def test_a_finished_paginator_says_so() -> None:
    assert WindowPaginator([], 10).finished
