"""Rows that change while they are paged: none of the others is skipped, none is lost."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest
from strange import StrangeSandbox as Sandbox
from support import (
    NOT_PROVED,
    catalog_of,
    config_for,
    days_ago,
    org_with_teams,
    run_tap,
    truth,
)

from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from tap_litmos.sandbox.tables import Values

Order = Literal["id", "updated"]
STREAM = "teams"
PAGE = 1000


def org_with(count: int, *, ago: timedelta, every: timedelta) -> Organisation:
    """Return an organisation with so many teams, which changed one after another."""
    first = (datetime.now(UTC) - ago).replace(minute=0, second=0, microsecond=0)
    return org_with_teams(first + number * every for number in range(count))


def sync(box: Sandbox, state: Any = None, **settings: Any) -> Any:
    settings = {"start_date": days_ago(21), "page_size": PAGE, **settings}
    return run_tap(config=config_for(box, **settings), state=state, catalog=catalog_of(STREAM))


def is_open(seen: Incoming) -> bool:
    return seen.to is not None and seen.to > seen.at


CLOSED = timedelta(days=12)
OPEN = timedelta(hours=20)


@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("order", ["id", "updated"])
def test_rows_that_leave_a_window_take_no_others_with_them(
    order: Order, concurrency: int
) -> None:
    org = org_with(9 * PAGE, ago=CLOSED, every=timedelta(milliseconds=1))
    with Sandbox(org, moving=27, order=order) as box:
        run = sync(box, max_concurrent_requests=concurrency)
    assert run.status == 0
    assert int(run.stats(STREAM)["reread"]) > 0
    # Those that moved are there in their new version, by the open window of the same sync.
    assert run.rows(STREAM) == truth(org, STREAM)
    asked = [each for each in box.requests if each.stream == STREAM]
    assert is_open(asked[-1])


@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("order", ["id", "updated"])
def test_rows_that_move_within_the_open_window_take_no_others_with_them(
    order: Order, concurrency: int
) -> None:
    org = org_with(9 * PAGE, ago=OPEN, every=timedelta(milliseconds=1))
    with Sandbox(org, moving=27, order=order) as box:
        run = sync(box, max_concurrent_requests=concurrency)
        assert run.status == 0
        assert (int(run.stats(STREAM)["reread"]) > 0) == (order == "updated")
        assert run.rows(STREAM).keys() == truth(org, STREAM).keys()
    with Sandbox(org) as box:
        then = sync(box, run.state)
    # What changed after it was read has a later date than the bookmark.
    assert run.rows(STREAM) | then.rows(STREAM) == truth(org, STREAM)


@pytest.mark.parametrize("overfull", [0, 3])
def test_when_nothing_moves_it_costs_nothing(overfull: int) -> None:
    org = org_with(3 * PAGE, ago=CLOSED, every=timedelta(minutes=1))
    with Sandbox(org, overfull=overfull) as box:
        run = sync(box)
    asked = [(each.since, each.to, each.start) for each in box.requests]
    windows = {(since, to) for since, to, _ in asked}
    assert len(set(asked)) == len(asked)
    assert run.stats(STREAM)["reread"] == "0"
    assert run.stats(STREAM)["rows"] == f"{len(org.rows(STREAM)):,}"
    full = 0
    for since, to in windows:
        starts = sorted(start for *window, start in asked if window == [since, to] and start)
        # Pages overlap by a hundredth.
        assert starts == [(PAGE - 10) * (number + 1) for number in range(len(starts))]
        full += len(starts)
    assert full == 3
    assert len(asked) == len(windows) + full


@pytest.mark.parametrize("overfull", [1, 40])
def test_rows_that_move_between_overfull_pages(overfull: int) -> None:
    org = org_with(2_500, ago=CLOSED, every=timedelta(milliseconds=1))
    with Sandbox(org, moving=7, overfull=overfull) as box:
        run = sync(box, page_size=250)
    with Sandbox(org) as box:
        then = sync(box, run.state)
    assert run.status == then.status == 0
    # Behind a short page another one is asked for, and rows may move after the open window.
    assert run.rows(STREAM).keys() == truth(org, STREAM).keys()
    assert run.rows(STREAM) | then.rows(STREAM) == truth(org, STREAM)


def test_thousands_of_rows_of_one_moment_of_which_some_move() -> None:
    org = org_with(3_000, ago=CLOSED, every=timedelta(0))
    with Sandbox(org, moving=5, order="updated") as box:
        run = sync(box, page_size=500)
    assert run.status == 0
    assert run.rows(STREAM) == truth(org, STREAM)


@pytest.mark.parametrize("concurrency", [1, 5, 32])
def test_the_open_window_waits_until_all_earlier_ones_are_received(concurrency: int) -> None:
    """It waits for its own stream's: meanwhile the windows of others are asked for."""
    early: list[Incoming] = []
    box: Sandbox

    def watch(incoming: Incoming) -> None:
        if is_open(incoming):
            earlier = [each for each in box.requests if each.stream == incoming.stream]
            early.extend(each for each in earlier if each is not incoming and not each.status)

    org = Organisation(users=30, years=0.1, live=False)
    box = Sandbox(org, on_request=watch, latency=0.02)
    with box:
        streams = ("course_results", "module_results", "team_users")
        run = run_tap(
            config=config_for(box, page_size=20, max_concurrent_requests=concurrency),
            catalog=catalog_of(*streams),
        )
    assert run.status == 0
    assert not early
    for stream in streams:
        # Only first pages: behind a short page that could be cut, it is looked in its own turn.
        first = [each for each in box.requests if each.stream == stream and not each.start]
        asked = [is_open(each) for each in first]
        assert asked == sorted(asked)
        assert any(asked)
        assert not all(asked)


def test_the_open_window_is_asked_for_again_when_rows_moved_after_it() -> None:
    """The rows of a page are compared only when it is its turn, and the next may wait."""
    org = org_with(600, ago=CLOSED, every=timedelta(milliseconds=1))
    moved: list[Any] = []

    def move(incoming: Incoming) -> None:
        if incoming.start and not moved:
            for number in range(3):
                moved.extend(org.touch(STREAM, f"t{number}"))

    with Sandbox(org, on_request=move) as box:
        run = sync(box, page_size=500)
    assert run.status == 0
    assert moved
    assert run.rows(STREAM) == truth(org, STREAM)
    asked = [is_open(each) for each in box.requests]
    assert asked[-1]
    last_old = max(place for place, opened in enumerate(asked) if not opened)
    assert asked[last_old + 1 :] == [True]


def test_paging_ends_though_rows_move_faster_than_they_are_read() -> None:
    """Either with every row, or with a line and the bookmark before the window."""
    org = org_with(3_000, ago=CLOSED, every=timedelta(milliseconds=1))
    with Sandbox(org, moving=40) as box:
        run = sync(box, page_size=10)
    assert "Traceback" not in run.log
    assert len(box.requests) < 3_000
    if run.status == 0:
        assert run.rows(STREAM).keys() == truth(org, STREAM).keys()
    else:
        moving = [each.since for each in box.requests if each.start]
        assert moving[0] is not None
        assert run.bookmark(STREAM) <= moving[0]
        assert NOT_PROVED in run.errors[-1]


def test_a_reading_that_gets_no_further_ends_though_each_page_has_new_keys() -> None:
    """The key of a login holds its date: one that moves to the end is a new row."""
    org = Organisation(users=1, years=0.1, live=False)
    at = datetime.now(UTC) - OPEN
    logins: list[Values] = [
        {"Id": f"u{number}", "LastLogin": at + number * timedelta(milliseconds=1)}
        for number in range(40)
    ]
    org.replace_rows("user_logins", logins)

    def stop(incoming: Incoming) -> None:
        if incoming.number == 2_000:
            box.moving = 0  # or it would go on for ever

    with Sandbox(org, moving=5, order="updated", on_request=stop) as box:
        config = config_for(box, start_date=days_ago(2), page_size=20)
        run = run_tap(config=config, catalog=catalog_of("user_logins"))
    assert run.status == 1
    assert NOT_PROVED in run.errors[-1]
    assert len(box.requests) < 2_000


def test_rows_that_are_deleted_while_they_are_paged_take_no_others_with_them() -> None:
    org = org_with(2_000, ago=CLOSED, every=timedelta(milliseconds=1))
    numbers = itertools.count()

    def delete(incoming: Incoming) -> None:
        if incoming.start and incoming.stream == STREAM:
            org.delete(STREAM, f"t{next(numbers)}")

    with Sandbox(org, on_request=delete) as box:
        run = sync(box, page_size=100)
    assert run.status == 0
    assert truth(org, STREAM).keys() <= run.rows(STREAM).keys()


def test_new_rows_in_front_cost_no_row_either() -> None:
    org = org_with(1_000, ago=OPEN, every=timedelta(milliseconds=1))
    before = datetime.now(UTC) - OPEN - timedelta(hours=2)
    numbers = itertools.count()

    def add(incoming: Incoming) -> None:
        if incoming.start and incoming.stream == STREAM:
            rows = org.rows(STREAM)
            new: Values = {"Id": f"n{next(numbers)}", "UpdatedDate": before}
            org.replace_rows(STREAM, [new, *rows])

    with Sandbox(org, on_request=add) as box:
        run = sync(box, page_size=100)
    assert run.status == 0
    assert {key for key in truth(org, STREAM) if key[0].startswith("t")} <= run.rows(
        STREAM
    ).keys()
