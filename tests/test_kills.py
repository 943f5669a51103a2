"""Killed anywhere: the next sync goes on from the last STATE line, and loses nothing."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    Record,
    Run,
    bookmark,
    config_for,
    fold,
    run_process,
    run_tap,
    started,
    truth,
)

from tap_litmos.sandbox import Organisation

if TYPE_CHECKING:
    from tap_litmos.sandbox import Incoming

KILLS = 6
"""In one sync; there are several."""

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def check_end(run: Run, how: signal.Signals) -> None:
    """Check that what a killed tap left behind is whole except for its last line."""
    assert all(message["type"] in {"RECORD", "SCHEMA", "STATE"} for message in run.messages)
    rest = run.output.rpartition(b"\n")[2]
    assert not rest or rest.startswith(b'{"type":'[: len(rest)])
    if how is signal.SIGKILL:
        assert run.status == -signal.SIGKILL
        return
    if run.status == 0:  # it had ended before the signal came
        assert "What was read:" in run.log
        return
    assert run.status == 128 + how
    assert "Interrupted" in run.log.splitlines()[-1]
    assert "Traceback" not in run.log
    assert "ignored" not in run.log


def test_killed_again_and_again_a_sync_delivers_every_row() -> None:
    chance = random.Random(1)  # noqa: S311 - no secret
    org = Organisation(users=25, years=0.12, live=False)
    records: dict[str, list[Record]] = {stream: [] for stream in DEFAULT_STREAMS}
    state: dict[str, Any] = {}
    with Sandbox(org) as box:
        size = len(run_tap(config=config_for(box)).output)
        for kill in range(KILLS + 1):
            box.requests.clear()
            config = config_for(
                box,
                page_size=chance.choice([20, 100, 1000]),
                max_concurrent_requests=chance.choice([1, 5, 12]),
                lookback_hours=0,
            )
            with started(config=config, state=state) as tap:
                how = chance.choice([signal.SIGTERM, signal.SIGKILL])
                if kill < KILLS:
                    tap.read(chance.randrange(2, size // (2 * KILLS)))
                    tap.process.send_signal(how)
                run = tap.finish()
            if kill < KILLS:
                check_end(run, how)
            else:
                assert run.status == 0
            for stream in state.get("bookmarks", {}):  # what was finished is not read again
                done = bookmark(state, stream) - timedelta(days=3)
                asked = [seen.since for seen in box.requests if seen.stream == stream]
                assert all(since is not None and since >= done for since in asked)
            for stream in DEFAULT_STREAMS:
                records[stream] += run.records(stream)
            state = [state, *run.states][-1]
    for stream in DEFAULT_STREAMS:
        assert fold(stream, records[stream]) == truth(org, stream)


# Nothing holds the end up


@pytest.mark.parametrize("how", SIGNALS)
def test_a_target_that_does_not_read_does_not_hold_the_end_up(how: signal.Signals) -> None:
    org = Organisation(users=60, years=0.2, live=False)
    reading, writing = os.pipe()
    with Sandbox(org) as box, started(config=config_for(box), stdout=writing) as tap:
        while select.select([], [writing], [], 0)[1]:  # until the pipe is full
            assert tap.process.poll() is None
        tap.process.send_signal(how)
        status = tap.process.wait(timeout=30)
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123 - it has no path
            check_end(Run(status, pipe.read(), tap.log), how)


WAITS: dict[str, tuple[str | None, int, dict[str, Any]]] = {
    "requests that hang": ("timeout", 5, {}),
    "a wait between two tries": ("503", 3, {"max_concurrent_requests": 1}),
    "a wait for the rate": (None, 1, {"requests_per_minute": 1}),
}


@pytest.mark.parametrize("wait", WAITS)
def test_no_wait_holds_the_end_up(wait: str, org: Organisation) -> None:
    fault, requests, settings = WAITS[wait]
    ready = threading.Event()

    def answer(incoming: Incoming) -> str | None:
        if incoming.number == requests:
            ready.set()
        return fault

    with Sandbox(org, on_request=answer, timeout_hold=100) as box:
        with started(config=config_for(box, **settings)) as tap:
            assert ready.wait(60)
            tap.interrupt(signal.SIGTERM)
            check_end(tap.finish(), signal.SIGTERM)
        assert len(box.requests) == requests


def test_a_target_that_closes_the_pipe_ends_the_run_with_a_line() -> None:
    org = Organisation(users=60, years=0.2, live=False)
    with Sandbox(org) as box, started(config=config_for(box)) as tap:
        tap.read(1)
        assert tap.process.stdout is not None
        tap.process.stdout.close()
        assert tap.process.wait(timeout=60) == 1
        log = tap.log
    assert " CRITICAL " in log.splitlines()[-1]
    assert "Traceback" not in log
    assert "BrokenPipe" not in log


INTERRUPTED = """
import os
from tap_litmos.__main__ import main
from tap_litmos.tap import TapLitmos

class Interrupted(TapLitmos):
    def load_state(self, state):
        os.kill(os.getpid(), {number})
        super().load_state(state)

main(tap=Interrupted)
"""


@pytest.mark.parametrize("how", SIGNALS)
def test_a_signal_before_the_sync_is_no_success(how: signal.Signals, box: Sandbox) -> None:
    command = (sys.executable, "-c", INTERRUPTED.format(number=int(how)))
    run = run_process(config=config_for(box), state={"bookmarks": {}}, command=command)
    check_end(run, how)
    assert not box.requests
