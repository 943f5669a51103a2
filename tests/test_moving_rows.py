"""Rows that change while they are read: none of the others is skipped, none is lost."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from strange import StrangeSandbox as Sandbox
from support import AFTERNOON, catalog_of, config_for, days_ago, org_with_teams, run_tap, truth

if TYPE_CHECKING:
    from support import Run

    from tap_litmos.sandbox import Incoming, Organisation

STREAM = "teams"
PAGE = 120
CLOSED = timedelta(days=12)
OPEN = timedelta(hours=20)
SECOND = timedelta(seconds=1)
AT_ONCE = timedelta(milliseconds=1)


def org_with(count: int, *, ago: timedelta, every: timedelta = AT_ONCE) -> Organisation:
    """Return an organisation with so many teams, which changed one after another."""
    first = (datetime.now(UTC) - ago).replace(minute=0, second=0, microsecond=0)
    return org_with_teams(first + number * every for number in range(count))


def sync(box: Sandbox, state: Any = None, **settings: Any) -> Run:
    settings = {"start_date": days_ago(21), "page_size": PAGE, **settings}
    return run_tap(config=config_for(box, **settings), state=state, catalog=catalog_of(STREAM))


def check_whole(org: Organisation, *runs: Run) -> None:
    """Check that all runs were successes, and together brought the newest version of each row."""
    loaded: dict[Any, Any] = {}
    for run in runs:
        assert run.status == 0, run.errors
        loaded |= run.rows(STREAM)
    assert loaded.items() >= truth(org, STREAM).items()


# A closed window


@pytest.mark.parametrize(
    ("order", "every"),
    [
        ("id", SECOND),
        ("updated", SECOND),
        ("newest", SECOND),
        ("shuffled ties", SECOND),
        ("id", AT_ONCE),  # which cannot be cut
        ("updated", AT_ONCE),
    ],
)
def test_rows_that_leave_a_closed_window_take_no_others_with_them(
    order: Any, every: timedelta
) -> None:
    """Those that moved come with the open window of the same sync, or with the next one."""
    org = org_with(6 * PAGE, ago=CLOSED, every=every)
    with Sandbox(org, moving=7, order=order) as box:
        run = sync(box)
        assert 3 + 6 < len(box.requests) < 100
        box.moving = 0
        check_whole(org, run, sync(box, run.state))


@pytest.mark.parametrize("overfull", [0, 3])
def test_if_nothing_moves_it_costs_nothing(overfull: int) -> None:
    org = org_with(3 * PAGE, ago=CLOSED)
    with Sandbox(org, overfull=overfull) as box:
        run = sync(box)
    check_whole(org, run)
    asked = [(seen.since, seen.to, seen.start) for seen in box.requests]
    assert len(set(asked)) == len(asked)
    # Each page repeats ten rows of the one before.
    offsets = [start for *_, start in asked if start]
    assert offsets == [number * (PAGE - 10) for number in range(1, 4)]


def test_rows_that_are_deleted_take_no_others_with_them() -> None:
    org = org_with(1_000, ago=CLOSED)
    numbers = itertools.count()

    def delete(incoming: Incoming) -> None:
        if incoming.start:
            org.delete(STREAM, f"t{next(numbers)}")

    with Sandbox(org, on_request=delete) as box:
        check_whole(org, sync(box))


def test_paging_ends_though_rows_move_faster_than_they_are_read() -> None:
    """Either with every row, or with a line and the bookmark before the window."""
    org = org_with(800, ago=CLOSED)
    with Sandbox(org, moving=40) as box:
        run = sync(box, page_size=20)
        moving = [seen.since for seen in box.requests if seen.start]
        assert "Traceback" not in run.log
        assert len(box.requests) < 2_500
        if run.status:
            assert moving[0] is not None
            assert run.bookmark(STREAM) <= moving[0]
        box.moving = 0
        then = sync(box, run.state)
    assert then.status == 0
    loaded = run.rows(STREAM) | then.rows(STREAM)
    assert loaded.items() >= truth(org, STREAM).items()


# The open window

BUSY: dict[str, tuple[int, dict[str, Any]]] = {
    "rows change, oldest first": (8, {"moving": 5, "order": "updated"}),
    "rows change, newest first": (8, {"moving": 5, "order": "newest"}),
    "rows change, by id": (8, {"moving": 5, "order": "id"}),
    "many rows change": (4, {"moving": 20, "order": "updated"}),
    "rows are added": (8, {"growing": 5, "order": "updated"}),
    "rows are added in front": (8, {"growing": 5, "order": "newest"}),
    "rows change places": (8, {"moving_without_date": 5, "order": "updated"}),
}


@pytest.mark.parametrize("busy", BUSY)
def test_an_open_window_that_keeps_changing_is_no_failure(busy: str) -> None:
    """Its rows are written; if it is not proved, its bookmark stays, and the log says so."""
    pages, habits = BUSY[busy]
    org = org_with(pages * PAGE, ago=OPEN)
    due = truth(org, STREAM).keys()
    with Sandbox(org, **habits) as box:
        run = sync(box)
        assert run.status == 0
        assert due <= run.rows(STREAM).keys() or "next sync" in run.log
        assert len(box.requests) <= 30
        for habit in ("moving", "growing", "moving_without_date"):
            setattr(box, habit, 0)
        check_whole(org, run, sync(box, run.state))


@pytest.mark.parametrize("order", ["updated", "newest", "id"])
def test_an_open_window_that_grows_as_fast_as_it_is_read_ends(order: Any) -> None:
    """After at most twice the pages that it had, and ten more; the next sync reads it again."""
    with time_machine.travel(AFTERNOON, tick=False) as clock:
        org = org_with(4 * PAGE, ago=OPEN)
        # The clock of a server has whole seconds.
        with Sandbox(org, growing=PAGE, order=order, on_request=lambda _: clock.shift(5)) as box:
            run = sync(box, start_date=days_ago(1), max_concurrent_requests=1)
            assert run.status == 0
            assert len(box.requests) <= 2 * 4 + 10
            assert not run.state["bookmarks"][STREAM]
            assert re.search(r" \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d; the next sync", run.log)
            box.growing = 0
            check_whole(org, run, sync(box, run.state))
