"""What is fetched ahead, without threads: whatever is predicted, what is asked for comes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_litmos.bodies import Body
from tap_litmos.errors import StreamFailedError
from tap_litmos.fetcher import ExpectedPages, Request
from tap_litmos.paginator import Position
from tap_litmos.transport import FetchedPage
from tap_litmos.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 10
NOW = pendulum.datetime(2026, 3, 10, 15, 30)


def windows_of(count: int) -> list[Window]:
    """Return so many windows, of which the last is open."""
    days = [NOW.start_of("day").add(days=number) for number in range(count + 1)]
    *finished, last = (Window(since, to) for since, to in pairwise(days))
    return [*finished, replace(last, is_open=True)]


def predict(position: Position, rows: int) -> Position | None:
    return replace(position, offset=position.offset + LIMIT - 1) if rows >= LIMIT else None


def page_of(rows: int) -> FetchedPage:
    return FetchedPage(Body(b"", rows=rows), NOW)


class Simulation:
    """Requests, answers and a paginator that go on in any order, and the rules they keep."""

    def __init__(self, count: int, choose: Callable[[int], int]) -> None:
        self._windows = windows_of(count)
        self._choose = choose
        self._in_flight: list[Request] = []
        self.pages = ExpectedPages(self._windows, predict)
        self.requests = 0
        self.asked: Counter[Position] = Counter()

    def run(self, *, surprises: int) -> None:
        """Read all windows; the paginator goes another way than predicted so many times."""
        for window in self._windows:
            position: Position | None = Position(window)
            while position is not None:
                rows = self._page(position)
                self.asked[position] += 1
                position = predict(position, rows)
                if surprises and self._choose(2) == 0:
                    surprises -= 1
                    position = Position(window, self._choose(30), 1 + self._choose(3))
            self.pages.discard_window(window)
            self._in_flight = [each for each in self._in_flight if self._is_awaited(each)]

    def _page(self, position: Position) -> int:
        """Return the rows of a page, when it has arrived."""
        while True:
            request = self.pages.request_for(position)
            self._check(position)
            if request is not None and request.result is not None:
                self.pages.hand_out(position)
                assert isinstance(request.result, FetchedPage)
                return request.result.body.rows
            if request is None and self._choose(2) == 0:
                self._request(position)
            elif (ahead := self.pages.next_due()) is not None and self._choose(2) == 0:
                self._check_turn(ahead)
                self._request(ahead)
            elif self._in_flight:
                arrived = self._in_flight.pop(self._choose(len(self._in_flight)))
                self.pages.arrive(arrived, page_of(self._choose(2) * LIMIT))
            elif request is None:
                self._request(position)

    def _request(self, position: Position) -> None:
        self._in_flight.append(self.pages.request(position))
        self.requests += 1

    def _is_awaited(self, request: Request) -> bool:
        return self.pages.requested.get(request.position) is request

    def _check_turn(self, ahead: Position) -> None:
        """The open window waits until those before it have arrived."""
        awaited = {each.position.window for each in self._in_flight if self._is_awaited(each)}
        assert not ahead.window.is_open or awaited <= {ahead.window}

    def _check(self, asked: Position) -> None:
        expected = self.pages._expected
        assert not expected & self.pages.requested.keys()
        assert asked in {*expected, *self.pages.requested}
        assert self.pages.in_flight == sum(map(self._is_awaited, self._in_flight))


@given(count=st.integers(1, 6), surprises=st.integers(0, 4), data=st.data())
def test_every_page_that_is_asked_for_comes_whatever_the_order(
    count: int, surprises: int, data: st.DataObject
) -> None:
    def choose(many: int) -> int:
        return data.draw(st.integers(0, many - 1))

    simulation = Simulation(count, choose)
    simulation.run(surprises=surprises)
    assert not simulation.pages.expected
    assert not simulation.pages.requested
    if not surprises:
        assert set(simulation.asked.values()) == {1}
        assert simulation.requests == len(simulation.asked)


def test_a_page_that_nobody_could_fetch_is_expected_again() -> None:
    [window] = windows_of(1)
    pages = ExpectedPages([window], predict)
    pages.put_back(pages.request(Position(window)))
    assert pages.next_due() == Position(window)
    assert not pages.requested


def test_a_stream_that_failed_expects_nothing_more() -> None:
    first, last = windows_of(2)
    pages = ExpectedPages([first, last], predict)
    request = pages.request(Position(first))
    pages.arrive(request, StreamFailedError("refused"))
    assert pages.next_due() is None
    assert pages.request_for(Position(first)) is request


@pytest.mark.parametrize("probing", [False, True])
def test_the_open_window_is_read_again_where_rows_may_have_moved_into_it(
    probing: bool,  # noqa: FBT001
) -> None:
    first, last = windows_of(2)
    pages = ExpectedPages([first, last], predict)
    for window in (first, last):
        pages.arrive(pages.request(Position(window)), page_of(3))
    pages.hand_out(Position(first))
    assert pages.request_for(Position(first, offset=3), probing=probing) is None
    assert (Position(last) in pages.requested) is probing


def test_a_page_that_is_thrown_away_lets_no_other_be_expected() -> None:
    first, last = windows_of(2)
    pages = ExpectedPages([first, last], predict)
    late = pages.request(Position(first))
    pages.discard_window(first)
    for result in (page_of(LIMIT), StreamFailedError("refused")):
        pages.arrive(late, result)
        assert pages.next_due() == Position(last)


def test_a_window_that_went_another_way_than_predicted_is_not_fetched_ahead() -> None:
    [window] = windows_of(1)
    pages = ExpectedPages([window], predict)
    pages.arrive(pages.request(Position(window)), page_of(3))
    pages.hand_out(Position(window))
    again = Position(window, reading=2)
    assert pages.request_for(again) is None
    pages.arrive(pages.request(again), page_of(LIMIT))
    assert pages.expected == 0
