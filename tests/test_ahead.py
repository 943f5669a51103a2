"""Fetching ahead: as many requests at once as allowed, and nothing else is any different."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from strange import StrangeSandbox as Sandbox
from support import (
    AFTERNOON,
    DEFAULT_STREAMS,
    ENDPOINT,
    catalog_of,
    changed_at,
    config_for,
    days_ago,
    page,
    run_tap,
    started,
    truth,
)

from tap_litmos import fetcher, transport
from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[[Incoming], Any]

FEW = ("course_results", "module_results", "team_users")


@pytest.fixture
def no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first request of a run go alone only until others can be sent."""
    monkeypatch.setattr(fetcher, "HEAD_START", 0.0)


def asked(requests: list[Incoming]) -> Counter[tuple[Any, ...]]:
    return Counter((each.stream, *sorted(each.query.items())) for each in requests)


# How many, and which


@pytest.mark.usefixtures("no_head_start")
@pytest.mark.parametrize("most", [1, 2, 5, 32])
def test_as_many_requests_are_in_flight_as_allowed_and_never_more(
    most: int, long_org: Organisation
) -> None:
    reached, exceeded = threading.Event(), threading.Event()

    def wait_for_others(_: Incoming) -> None:
        if box.max_in_flight > most:
            exceeded.set()
        elif box.max_in_flight == most and not reached.is_set():
            exceeded.wait(0.3)  # long enough for one more to come
            reached.set()
        assert reached.wait(30)

    box = Sandbox(long_org, on_request=wait_for_others)
    with box:
        run = run_tap(config=config_for(box, page_size=50, max_concurrent_requests=most))
    assert run.status == 0
    assert reached.is_set()
    assert box.max_in_flight == most


@pytest.mark.usefixtures("no_head_start")
@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_request_for_a_total_is_one_of_those_in_flight(
    most: int,
) -> None:
    total, listed = threading.Event(), threading.Event()

    def wait_for_total(incoming: Incoming) -> None:
        if incoming.path == ENDPOINT["user_ids"].total_path:
            total.set()
        elif listed.is_set():
            total.wait(0.3)  # long enough for it to come beside the others
        elif incoming.stream == "user_ids":
            listed.set()

    box = Sandbox(Organisation(users=20, years=0.3, live=False), on_request=wait_for_total)
    with box:
        config = config_for(box, detect_deletes=True, max_concurrent_requests=most)
        run = run_tap(config=config)
    assert run.status == 0
    assert total.is_set()
    assert box.max_in_flight == most
    assert run.warnings == []


def test_what_is_asked_for_and_delivered_is_what_a_sequential_tap_would() -> None:
    """Nothing differs but the order of the requests."""
    with time_machine.travel(AFTERNOON, tick=False):
        org = Organisation(users=30, years=0.3, live=False)
        with Sandbox(org) as box:
            settings = {"page_size": 10, "window_days": 6}
            one = run_tap(config=config_for(box, **settings, max_concurrent_requests=1))
            expected = asked(box.requests)
            assert one.status == 0
            assert max(expected.values()) == 1
            assert len([each for each in box.requests if each.start]) > 50
            for most in (2, 5, 32):
                box.requests.clear()
                config = config_for(box, **settings, max_concurrent_requests=most)
                several = run_tap(config=config)
                assert several.status == 0
                assert asked(box.requests) == expected
                assert several.output == one.output


def test_rows_leave_in_order_although_answers_do_not_come_in_order(
    long_org: Organisation,
) -> None:
    with Sandbox(long_org) as box:
        config = config_for(box, page_size=40, max_concurrent_requests=1)
        expected = run_tap(config=config, catalog=catalog_of(*FEW), minute=0.6)
    with Sandbox(
        long_org, on_request=lambda each: "500" if each.number % 3 == 0 else None
    ) as box:
        config = config_for(box, page_size=40, max_concurrent_requests=12)
        run = run_tap(config=config, catalog=catalog_of(*FEW), minute=0.6)
    answered = [each.since for each in box.requests if each.since and each.status == 200]
    assert answered != sorted(answered)
    assert [each["record"] for each in run.of_type("RECORD")] == [
        each["record"] for each in expected.of_type("RECORD")
    ]


def test_other_streams_go_on_while_one_waits_for_the_rows_of_its_last_windows(
    org: Organisation,
) -> None:
    """Its open window must wait; theirs need not."""
    first, *others = sorted(FEW)
    asked_for: set[str | None] = set()
    changed = threading.Condition()

    def hold(incoming: Incoming) -> None:
        with changed:
            asked_for.add(incoming.stream)
            changed.notify_all()
            if incoming.stream == first and incoming.since != box.requests[0].since:
                assert changed.wait_for(lambda: asked_for.issuperset(others), timeout=30)

    box = Sandbox(org, on_request=hold)
    with box:
        config = config_for(box, start_date=days_ago(9), max_concurrent_requests=5)
        run = run_tap(config=config, catalog=catalog_of(*FEW))
    assert run.status == 0


# What is ahead is not yet delivered


@pytest.mark.parametrize("most", [1, 5, 32])
def test_a_state_never_claims_a_row_that_was_not_written_before(
    most: int, long_org: Organisation
) -> None:
    with Sandbox(long_org) as box:
        run = run_tap(config=config_for(box, page_size=30, max_concurrent_requests=most))
    assert run.status == 0
    due = {
        stream: sorted(
            (changed_at(stream, row), key) for key, row in truth(long_org, stream).items()
        )
        for stream in DEFAULT_STREAMS
    }
    written: dict[str, set[Any]] = {stream: set() for stream in DEFAULT_STREAMS}
    states = 0
    for message in run.messages:
        if message["type"] == "RECORD":
            name, record = message["stream"], message["record"]
            written[name].add(tuple(record[key] for key in ENDPOINT[name].primary_key))
        elif message["type"] == "STATE":
            states += 1
            for stream, each in message["value"]["bookmarks"].items():
                until = each.get("replication_key_value", "")
                missing = {key for at, key in due[stream] if at < until} - written[stream]
                assert not missing
    assert states > 100
    assert all(written[stream] == {key for _, key in due[stream]} for stream in due)


@pytest.mark.parametrize("most", [1, 3, 12])
def test_a_reader_that_does_not_read_lets_a_few_pages_wait_and_no_more(
    most: int, org: Organisation
) -> None:
    """The first page does not fit into the pipe; all others are those ahead of it."""
    bound = 1 + (most + transport.PAGES_AHEAD if most > 1 else 0)
    rows = [f"<Id>{number}</Id><Skype>{'x' * 10_000}</Skype>" for number in range(50)]
    body = page("users", *rows)
    reached, exceeded = threading.Event(), threading.Event()

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        if incoming.number >= bound:
            reached.set()
        if incoming.number > bound:
            exceeded.set()
        return 200, {}, body

    with Sandbox(org, on_request=answer) as box:
        config = config_for(box, start_date=days_ago(300), max_concurrent_requests=most)
        with started(config=config, catalog=catalog_of("users")) as tap:
            assert reached.wait(60)
            assert not exceeded.wait(0.5)
            run = tap.finish()
    assert run.status == 0
    assert len(box.requests) > 40
    assert len(run.records("users")) == 50 * len(box.requests)


# Nothing stays behind


MIDWAY = 30


def interrupt(_: Incoming) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


ENDS: dict[str, tuple[Hook, int]] = {
    "with a key that is refused": (lambda _: (401, {}, b""), 1),
    "by a signal": (interrupt, 128 + signal.SIGTERM),
}


@pytest.mark.parametrize("how", ENDS)
def test_no_thread_stays_behind_when_a_run_is_ended(how: str, long_org: Organisation) -> None:
    """Those that wait for an answer are woken up."""
    hook, status = ENDS[how]
    before = set(threading.enumerate())
    others_wait, over = threading.Event(), threading.Event()

    def end_midway(incoming: Incoming) -> Any:
        if incoming.number == MIDWAY:
            assert others_wait.wait(30)
            return hook(incoming)
        if incoming.number > MIDWAY:
            if incoming.number > MIDWAY + 5:
                others_wait.set()
            over.wait(30)
        return None

    with Sandbox(long_org, on_request=end_midway) as box:
        run = run_tap(config=config_for(box, max_concurrent_requests=12))
        left = [each for each in threading.enumerate() if each not in before]
        for thread in left:
            if "_fetch" in thread.name or "_tick" in thread.name:
                thread.join(2)  # it may be about to end
                assert not thread.is_alive()
        over.set()
    assert run.status == status
    assert "Traceback" not in run.log
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("messages", [None, 50])
def test_no_thread_stays_behind_when_a_run_ends(
    messages: int | None, org: Organisation
) -> None:
    """Neither when all is done, nor when nobody reads any more."""
    before = set(threading.enumerate())
    with Sandbox(org) as box:
        run = run_tap(config=config_for(box, max_concurrent_requests=12), messages=messages)
    assert run.status == (1 if messages else 0)
    assert set(threading.enumerate()) <= before
