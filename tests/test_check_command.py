"""`--check` as people call it: in a pipe, on a terminal, and interrupted."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sys
import threading

from support import config_for, run_process, started

from tap_litmos.check import BUDGET, CHECKS
from tap_litmos.sandbox import Organisation, Sandbox


def test_the_command_writes_json_into_a_pipe_and_the_table_to_stderr() -> None:
    org = Organisation(users=20, years=0.1)
    with Sandbox(org) as box:
        run = run_process("--check", config=config_for(box))
        assert run.status == 0
        assert len(box.requests) == json.loads(run.output)["requests"] <= BUDGET
        assert "can be trusted to the tap" in " ".join(run.log.split())
        piped = run_process(
            "--check",
            config=config_for(box),
            command=("sh", "-c", f'"{sys.executable}" -m tap_litmos "$@" | head -n 1', "sh"),
        )
        assert piped.output == b"{\n"


def test_on_a_terminal_it_is_the_same_table() -> None:
    own, descriptor = pty.openpty()
    raw = bytearray()

    def read() -> None:
        try:
            while data := os.read(own, 1 << 16):
                raw.extend(data)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    with Sandbox(Organisation(users=20, years=0.1)) as box:
        with started("--check", config=config_for(box), stderr=descriptor) as tap:
            assert tap.finish().status == 0
        os.close(descriptor)
        reader.join(30)
        os.close(own)
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", bytes(raw)).decode()
    lines = re.split(r"[\r\n]+", text)
    rows = [line for line in lines if re.match(r"(Reach|Paging|Dates|Values|Rate) ", line)]
    assert len(rows) == len(CHECKS)
    assert max(map(len, rows)) <= 80


def test_a_signal_ends_it_at_once() -> None:
    asked = threading.Event()
    with Sandbox(Organisation(users=2, years=0.1), latency=0.5) as box:
        box.on_request = lambda _: asked.set()
        with started("--check", config=config_for(box)) as tap:
            assert asked.wait(60)
            tap.process.send_signal(signal.SIGTERM)
            run = tap.finish()
    assert run.status == 128 + signal.SIGTERM
    assert not run.output
    assert "Traceback" not in run.log
