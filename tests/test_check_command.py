"""`--check` as people call it: in a pipe, and interrupted."""

from __future__ import annotations

import json
import signal
import sys
import threading

import pytest
from support import config_for, run_process, started

from tap_litmos.sandbox import Organisation, Sandbox


def test_the_command_writes_json_into_a_pipe_and_the_table_to_stderr() -> None:
    with Sandbox(Organisation(users=20, years=0.1)) as box:
        piped = ("sh", "-c", f'"{sys.executable}" -m tap_litmos "$@" | tee /dev/stderr', "sh")
        run = run_process("--check", config=config_for(box), command=piped)
    assert len(box.requests) == json.loads(run.output)["requests"]
    assert "can rely on the tap for this account" in " ".join(run.log.split())
    assert run.status == 0


@pytest.mark.parametrize("option", ["--check", "--test"])
def test_a_signal_ends_it_at_once(option: str) -> None:
    asked = threading.Event()
    with Sandbox(Organisation(users=2, years=0.1), latency=0.5) as box:
        box.on_request = lambda _: asked.set()
        with started(option, config=config_for(box)) as tap:
            assert asked.wait(60)
            tap.process.send_signal(signal.SIGTERM)
            run = tap.finish()
    assert run.status == 128 + signal.SIGTERM
    assert b"RECORD" not in run.output
    assert "Traceback" not in run.log
