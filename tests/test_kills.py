"""Killed anywhere: the next sync goes on from the last STATE line, and loses nothing."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from errors import ERRORS
from strange import StrangeSandbox as Sandbox
from support import (
    ACCOUNT,
    DEFAULT_STREAMS,
    Record,
    Run,
    bookmark,
    catalog_of,
    command_with_minute,
    config_for,
    days_ago,
    fold,
    run_process,
    run_tap,
    started,
    truth,
)

from tap_litmos.sandbox import Organisation

if TYPE_CHECKING:
    from tap_litmos.sandbox import Incoming

KILLS = 8
"""In one sync; there are several."""


def check_end(run: Run, how: signal.Signals) -> None:
    """Check that what a killed tap left behind is whole but for its last line."""
    messages = run.messages
    assert all(each["type"] in {"RECORD", "SCHEMA", "STATE"} for each in messages)
    rest = run.output.rpartition(b"\n")[2]
    assert not rest or rest.startswith((b'{"type":"', b'{"type": "'[: len(rest)]))
    if how is signal.SIGKILL:
        assert run.status == -signal.SIGKILL
        return
    assert run.status == 128 + how
    assert ACCOUNT in run.log
    assert "Interrupted. The next sync resumes from " in run.log.splitlines()[-1]
    assert "Traceback" not in run.log
    assert "ignored" not in run.log


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_a_sync_delivers_every_row(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    org = Organisation(users=40, years=0.3, seed=seed, live=False)
    records: dict[str, list[Record]] = {stream: [] for stream in DEFAULT_STREAMS}
    state: dict[str, Any] = {}
    with Sandbox(org) as box:
        size = len(run_tap(config=config_for(box)).output)
        for kill in range(KILLS + 1):
            box.requests.clear()
            config = config_for(
                box,
                page_size=chance.choice([3, 20, 1000]),
                max_concurrent_requests=chance.choice([1, 5, 12]),
                lookback_hours=0,
            )
            with started(config=config, state=state) as tap:
                if kill < KILLS:
                    how = chance.choice([signal.SIGTERM, signal.SIGKILL])
                    tap.read(chance.randrange(2, size // KILLS))
                    tap.process.send_signal(how)
                    run = tap.finish()
                    check_end(run, how)
                else:
                    run = tap.finish()
                    assert run.status == 0
            for stream, bookmarks in state.get("bookmarks", {}).items():
                # What was finished is not read again.
                done = bookmark(state, stream) - timedelta(days=3)
                asked = [each.since for each in box.requests if each.stream == stream]
                assert bookmarks
                assert all(since is not None and since >= done for since in asked)
            for stream in DEFAULT_STREAMS:
                records[stream] += run.records(stream)
            state = [state, *run.states][-1]
    for stream in DEFAULT_STREAMS:
        assert fold(stream, records[stream]) == truth(org, stream)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_target_that_does_not_read_does_not_hold_the_end_up(how: signal.Signals) -> None:
    org = Organisation(users=60, years=0.2, live=False)
    reading, writing = os.pipe()
    with Sandbox(org) as box, started(config=config_for(box), stdout=writing) as tap:
        while select.select([], [writing], [], 0)[1]:  # until the pipe is full
            assert tap.process.poll() is None
        tap.process.send_signal(how)
        status = tap.process.wait(timeout=10)
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123 - it has no path
            check_end(Run(status, pipe.read(), tap.log), how)


INTERRUPTED = """
import os
from tap_litmos.cli import CommandLineTap

class Interrupted(CommandLineTap):
    def load_state(self, state):
        os.kill(os.getpid(), {number})
        super().load_state(state)

Interrupted.cli()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_sync_is_no_success(how: signal.Signals, org: Organisation) -> None:
    """It comes while the SDK has installed handlers of its own, which end in status 0."""
    command = (sys.executable, "-c", INTERRUPTED.format(number=int(how)))
    with Sandbox(org) as box:
        run = run_process(config=config_for(box), state={}, command=command)
    assert run.status == 128 + how
    assert "Interrupted" in run.log
    assert not box.requests


def terminate_when(
    ready: threading.Event, config: dict[str, Any], minute: float = 60.0, streams: Any = ()
) -> Run:
    """Run the tap, and terminate it at a moment."""
    catalog = catalog_of(*streams) if streams else None
    command = command_with_minute(minute)
    with started(config=config, catalog=catalog, command=command) as tap:
        assert ready.wait(60)
        tap.process.send_signal(signal.SIGTERM)
        tap.process.wait(timeout=15)
        run = tap.finish()
    check_end(run, signal.SIGTERM)
    return run


def test_requests_that_hang_do_not_hold_the_end_up(org: Organisation) -> None:
    ready = threading.Event()
    numbers: list[int] = []

    def hang(incoming: Incoming) -> str:
        numbers.append(incoming.number)
        if len(numbers) == 5:
            ready.set()
        return "timeout"

    with Sandbox(org, on_request=hang, timeout_hold=100) as box:
        run = terminate_when(ready, config_for(box))
        assert f"Read 0 rows in {len(box.requests)} requests" in run.log


def test_a_wait_between_two_tries_does_not_hold_the_end_up(org: Organisation) -> None:
    ready = threading.Event()

    def fail(incoming: Incoming) -> str:
        if incoming.number == 2:  # after which it waits for the minute to turn
            ready.set()
        return "503"

    with Sandbox(org, on_request=fail) as box:
        terminate_when(ready, config_for(box, max_concurrent_requests=1))


def test_a_wait_for_the_rate_does_not_hold_the_end_up(org: Organisation) -> None:
    ready = threading.Event()

    def note(_: Incoming) -> None:
        ready.set()

    with Sandbox(org, on_request=note) as box:
        terminate_when(ready, config_for(box, requests_per_minute=1))
    assert len(box.requests) == 1


def silent_server(backlog: int = 8) -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=backlog)


def test_a_handshake_that_hangs_does_not_hold_the_end_up() -> None:
    with silent_server() as server:
        ready = threading.Event()
        opened: list[socket.socket] = []

        def accept() -> None:
            opened.append(server.accept()[0])
            ready.set()

        threading.Thread(target=accept, daemon=True).start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/v1.svc"
        terminate_when(ready, {"api_key": "k", "start_date": days_ago(9), "api_url": url})
        for each in opened:
            each.close()


def test_a_second_signal_ends_it_for_good(org: Organisation) -> None:
    """Even if the log cannot be written, as nobody reads it."""
    ready = threading.Event()

    def hang(_: Incoming) -> str:
        ready.set()
        return "timeout"

    with (
        Sandbox(org, on_request=hang, timeout_hold=100) as box,
        started(config=config_for(box)) as tap,
    ):
        assert ready.wait(60)
        tap.process.send_signal(signal.SIGTERM)
        tap.process.send_signal(signal.SIGTERM)
        assert tap.process.wait(timeout=15) in {143, -signal.SIGTERM}


def test_a_target_that_closes_the_pipe_ends_the_run_with_a_line() -> None:
    big = Organisation(users=60, years=0.2, live=False)
    with Sandbox(big) as box, started(config=config_for(box)) as tap:
        tap.read(1)
        assert tap.process.stdout is not None
        tap.process.stdout.close()
        assert tap.process.wait(timeout=60) == 1
        log = tap.log
    assert "Traceback" not in log
    assert "BrokenPipe" not in log
    assert ERRORS["a target that is gone"].what in log.splitlines()[-1]
    assert ACCOUNT in log
