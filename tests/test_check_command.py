"""`--check` as people call it: in a pipe, on a terminal, and interrupted."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import sys
import threading

import pytest
from support import config_for, days_ago, page, run_process, started

from tap_litmos.check import BUDGET, CHECKS
from tap_litmos.sandbox import Organisation, Sandbox


def test_the_command_writes_json_into_a_pipe_and_the_table_to_stderr() -> None:
    org = Organisation(users=20, years=0.1)
    with Sandbox(org) as box:
        run = run_process("--check", config=config_for(box))
        assert run.status == 0
        assert len(box.requests) == json.loads(run.output)["requests"] <= BUDGET
        assert "can rely on the tap for this account" in " ".join(run.log.split())
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
    assert run.warnings[-1].endswith("Interrupted")
    assert "Traceback" not in run.log


def test_a_signal_ends_it_while_connections_are_made_to_a_host_that_is_silent_now() -> None:
    empty = page("users")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1.svc"
        config = {"api_key": "k", "start_date": days_ago(9), "api_url": url}
        with started("--check", config=config) as tap:
            with server.accept()[0] as first:
                first.recv(1 << 16)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(empty)}\r\n"
                first.sendall(f"{head}Connection: close\r\n\r\n".encode() + empty)
            # One connection waits to be accepted, and there is no room for the others.
            select.select([server], [], [])
            tap.process.send_signal(signal.SIGTERM)
            run = tap.finish()
    assert run.status == 128 + signal.SIGTERM
    assert "Traceback" not in run.log
