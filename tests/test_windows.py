"""The arithmetic of windows and pages, by properties."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pendulum
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tap_litmos.windows import (
    Position,
    RowsKeepMovingError,
    Window,
    WindowPaginator,
    midnight,
    parse_moment,
    windows,
)

if TYPE_CHECKING:
    from pendulum import DateTime

ZONES = ["UTC", "Australia/Sydney", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Apia"]
moments = st.builds(
    lambda at, zone: pendulum.instance(at, tz="UTC").in_timezone(zone),
    st.datetimes(pendulum.datetime(2023, 1, 1).naive(), pendulum.datetime(2026, 1, 1).naive()),
    st.sampled_from(ZONES),
)
days = st.integers(1, 7)


def check_windows(found: list[Window], start: DateTime, longest: int) -> None:
    assert found[0].since <= start
    for before, after in pairwise(found):
        assert before.to == after.since
    for each in found:
        assert each.since == midnight(each.since)
        assert each.to == midnight(each.to)
        assert each.since.timezone_name == each.to.timezone_name == "UTC"
        assert 0 < (each.to - each.since).days <= 7
    for each in found[:-2]:
        assert (each.to - each.since).days == longest
    for each in found[:-1]:
        assert (each.to - each.since).days <= longest
        assert not each.is_open


@given(start=moments, now=moments, longest=days)
def test_windows_cover_the_time_up_to_now(start: DateTime, now: DateTime, longest: int) -> None:
    assume(start <= now)
    found = list(windows(start, now, days=longest))
    check_windows(found, start, longest)
    last = found[-1]
    assert last.is_open
    assert last.since <= now.subtract(days=1)
    assert last.to >= now.add(days=1)
    assert 3 <= (last.to - last.since).days <= 7


@given(start=moments, end=moments, now=moments, longest=days)
def test_windows_stop_at_the_end_and_before_the_future(
    start: DateTime, end: DateTime, now: DateTime, longest: int
) -> None:
    assume(start <= now and start < end)
    found = list(windows(start, now, days=longest, end=end))
    if not found:
        assert midnight(start) == midnight(now)
        return
    check_windows(found, start, longest)
    assert not any(each.is_open for each in found)
    assert found[-1].to <= now
    assert found[-1].to < end.add(days=1)
    assert found[-1].to >= min(end, midnight(now))


@given(now=moments, longest=days, lookback=st.integers(0, 96))
def test_an_up_to_date_sync_is_one_window(now: DateTime, longest: int, lookback: int) -> None:
    start = now.subtract(hours=lookback)
    assert len(list(windows(start, now, days=longest))) == 1


@given(start=moments, now=moments, later=st.integers(0, 100_000), longest=days)
def test_bookmarks_never_pass_the_moment_of_asking(
    start: DateTime, now: DateTime, later: int, longest: int
) -> None:
    assume(start <= now)
    requested_at = now.add(minutes=later)
    for each in windows(start, now, days=longest):
        assert each.bookmark(requested_at) <= min(requested_at, each.to)
        if not each.is_open:
            assert each.bookmark(requested_at) == each.to
        elif later == 0:
            assert each.bookmark(requested_at) == now


def test_an_open_window_that_is_requested_late_does_not_claim_its_end() -> None:
    since = pendulum.datetime(2026, 1, 1)
    window = Window(since, since.add(days=3), is_open=True)
    assert window.bookmark(since.add(days=10)) == since.add(days=2)


class Rows:
    """Rows of a window that move while they are paged."""

    def __init__(self, count: int) -> None:
        self.rows: list[tuple[int, int]] = [(number, 0) for number in range(count)]
        self.moved: set[int] = set()

    def leave(self, place: int) -> None:
        number, _ = self.rows.pop(place % len(self.rows))
        self.moved.add(number)

    def to_the_end(self, place: int) -> None:
        number, version = self.rows.pop(place % len(self.rows))
        self.rows.append((number, version + 1))
        self.moved.add(number)

    def page(self, offset: int, limit: int) -> list[tuple[int, int]]:
        return self.rows[offset : offset + limit]


@given(
    count=st.integers(0, 200),
    size=st.integers(1, 30),
    extra=st.integers(0, 3),
    windows_read=st.integers(1, 3),
)
def test_when_nothing_moves_each_page_is_asked_for_once(
    count: int, size: int, extra: int, windows_read: int
) -> None:
    paginator = WindowPaginator([None] * windows_read, size)
    asked: list[Position] = []
    full = 0
    seen: list[tuple[int, int]] = []
    while paginator.position is not None:
        asked.append(paginator.position)
        rows = Rows(count).page(paginator.position.offset, paginator.limit)
        if len(rows) == paginator.limit:
            rows = Rows(count).page(paginator.position.offset, paginator.limit + extra)
            full += 1
        seen += rows
        assert paginator.advance(len(rows), frozenset(rows))
    assert len(asked) == windows_read + full
    assert set(seen) == set(Rows(count).rows)
    for before, after in pairwise(asked):
        assert after.offset - before.offset <= max(size, 2)
    assert paginator.steps_back == 0


@settings(max_examples=300)
@given(data=st.data(), count=st.integers(1, 150), size=st.integers(2, 30))
def test_no_row_that_stays_is_lost_when_others_move(
    data: st.DataObject, count: int, size: int
) -> None:
    """Rows leave the window, or move to its end, between any two requests."""
    server = Rows(count)
    moves = data.draw(
        st.lists(
            st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), max_size=size // 2),
            max_size=12,
        )
    )
    paginator = WindowPaginator([None], size)
    seen: set[int] = set()
    pending = iter(moves)
    while paginator.position is not None:
        rows = server.page(paginator.position.offset, paginator.limit)
        if paginator.advance(len(rows), frozenset(rows)):
            seen |= {number for number, _ in rows}
        for leaves, place in next(pending, []):
            if server.rows:
                (server.leave if leaves else server.to_the_end)(place)
    assert set(range(count)) - server.moved <= seen


def test_paging_ends_even_when_rows_keep_moving() -> None:
    server = Rows(5_000)
    paginator = WindowPaginator([None], 100)
    seen: set[int] = set()
    while paginator.position is not None:
        rows = server.page(paginator.position.offset, paginator.limit)
        if paginator.advance(len(rows), frozenset(rows)):
            seen |= {number for number, _ in rows}
        for _ in range(3):
            server.leave(0)
    assert set(range(5_000)) - server.moved <= seen
    assert paginator.steps_back > 0


def test_paging_gives_up_when_rows_move_faster_than_they_are_read() -> None:
    server = Rows(10_000)
    paginator = WindowPaginator([None], 10)

    def read() -> None:
        while paginator.position is not None:
            rows = server.page(paginator.position.offset, paginator.limit)
            paginator.advance(len(rows), frozenset(rows))
            for _ in range(50):
                server.to_the_end(0)

    with pytest.raises(RowsKeepMovingError):
        read()


def test_a_finished_paginator_says_so() -> None:
    with pytest.raises(ValueError, match="finished"):
        WindowPaginator([], 10).advance(0, frozenset())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", "2024-02-29T00:00:00+00:00"),
        ("2024-02-29T10:00:00", "2024-02-29T10:00:00+00:00"),
        ("2024-02-29 10:00:00Z", "2024-02-29T10:00:00+00:00"),
        ("2024-02-29T10:00:00+11:00", "2024-02-28T23:00:00+00:00"),
    ],
)
def test_moments_are_read_as_utc(text: str, moment: str) -> None:
    assert parse_moment(text) == pendulum.parse(moment)


@pytest.mark.parametrize("text", ["", "soon", "2024", "12:00", "2024-13-01", "2024-02-30"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"iso|Invalid|day|month"):
        parse_moment(text)
