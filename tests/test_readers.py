"""Windows side by side: how many, which, in which order, and nothing else is any different."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
import time_machine
from strange import StrangeSandbox as Sandbox
from support import AFTERNOON, ENDPOINT, catalog_of, config_for, days_ago, page, run_tap, started

from tap_litmos.sandbox import Incoming, Organisation

FEW = ("course_results", "module_results", "team_users")
NOBODY_WAITS = 30
"""Seconds after which a test fails that waits for another request."""


def is_open(seen: Incoming) -> bool:
    return seen.to is not None and seen.to > seen.at


@pytest.mark.parametrize("most", [1, 2, 12])
def test_as_many_requests_are_in_flight_as_allowed_and_never_more(
    most: int, org: Organisation
) -> None:
    reached = threading.Event()

    def wait_for_others(_: Incoming) -> None:
        if box.max_in_flight == most:
            reached.set()
        assert reached.wait(NOBODY_WAITS)

    with Sandbox(org, on_request=wait_for_others) as box:
        run = run_tap(config=config_for(box, max_concurrent_requests=most))
    assert run.status == 0
    assert box.max_in_flight == most


def test_what_is_asked_for_and_delivered_does_not_depend_on_how_many_read() -> None:
    """Nothing differs but the order of the requests; rows leave in the order of the plan."""

    def asked(box: Sandbox) -> Counter[Any]:
        return Counter((seen.stream, *sorted(seen.query.items())) for seen in box.requests)

    with time_machine.travel(AFTERNOON, tick=False):
        org = Organisation(users=20, years=0.2, live=False)
        with Sandbox(org) as box:
            config = config_for(box, page_size=100, window_days=6, max_concurrent_requests=1)
            one = run_tap(config=config)
            expected = asked(box)
            box.requests.clear()
            several = run_tap(config=config | {"max_concurrent_requests": 12})
    assert one.status == several.status == 0
    assert max(expected.values()) == 1
    assert asked(box) == expected
    assert several.output == one.output


def test_an_open_window_begins_after_those_before_it_and_ends_before_a_gap(
    org: Organisation,
) -> None:
    """A row that changes moves from closed windows into the open one."""
    together: list[Incoming] = []

    def watch(incoming: Incoming) -> None:
        others = [seen for seen in box.requests if seen.stream == incoming.stream]
        together.extend(
            seen
            for seen in others
            if seen is not incoming and not seen.status and (is_open(seen) or is_open(incoming))
        )

    box = Sandbox(org, on_request=watch, latency=0.02)
    with box:
        config = config_for(box, page_size=100, window_days=1, max_concurrent_requests=12)
        late = run_tap(config=config | {"start_date": days_ago(15)}, catalog=catalog_of(*FEW))
        between = len(box.requests)
        early = run_tap(config=config, state=late.state, catalog=catalog_of(*FEW))
    assert late.status == early.status == 0
    assert not together
    assert box.max_in_flight > 3
    for stream in FEW:
        first = [is_open(seen) for seen in box.requests[:between] if seen.stream == stream]
        assert first == sorted(first)
        assert set(first) == {False, True}
        then = [is_open(seen) for seen in box.requests[between:] if seen.stream == stream]
        assert then == sorted(then, reverse=True)
        assert set(then) == {False, True}


@pytest.mark.parametrize("most", [1, 5])
def test_an_endpoint_that_is_refused_costs_one_request(most: int, org: Organisation) -> None:
    with Sandbox(org, refuse={ENDPOINT["teams"].path: 403}) as box:
        config = config_for(box, max_concurrent_requests=most)
        run = run_tap(config=config, catalog=catalog_of("teams", "users"))
    assert run.status == 1
    assert run.failed == ["teams"]
    assert Counter(seen.stream for seen in box.requests)["teams"] == 1
    assert run.rows("users")


@pytest.mark.parametrize(("most", "least"), [(1, 1), (5, 5_000 // 80 + 1)])
def test_a_target_that_reads_slowly_lets_some_rows_wait_and_no_more(
    most: int, least: int, org: Organisation
) -> None:
    """No window fits into the pipe, so nearly all that was read beyond it waits in memory."""
    body = page("users", *(f"<Id>{n}</Id><Skype>{'x' * 1_500}</Skype>" for n in range(80)))
    reached = threading.Event()
    leads: list[int] = []
    windows_taken = 1

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        leads.append(incoming.number - windows_taken)
        if incoming.number == least:
            reached.set()
        return 200, {}, body

    with Sandbox(org, on_request=answer) as box:
        config = config_for(box, start_date=days_ago(620), max_concurrent_requests=most)
        with started(config=config, catalog=catalog_of("users")) as tap:
            assert reached.wait(NOBODY_WAITS)
            for windows_taken in range(2, 20):  # noqa: B007 - `answer` reads it
                tap.read(200_000)
            run = tap.finish()
    assert run.status == 0
    assert max(leads[: least + 19]) <= least + (most if most > 1 else 0)
    assert len(box.requests) == len(run.records("users")) / 80 > least + 20


@pytest.mark.parametrize("how", ["done", "refused"])
def test_no_thread_stays_behind_when_a_run_ends(how: str, org: Organisation) -> None:
    before = set(threading.enumerate())
    hook: Any = (lambda _: (403, {}, b"")) if how == "refused" else None
    with Sandbox(org, on_request=hook) as box:
        run = run_tap(config=config_for(box, max_concurrent_requests=12))
    assert run.status == (1 if how == "refused" else 0)
    for thread in set(threading.enumerate()) - before:
        thread.join(NOBODY_WAITS)
        assert not thread.is_alive()
