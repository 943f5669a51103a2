"""The command `tap-litmos-sandbox`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest
from support import run_tap

COMMAND = [sys.executable, "-m", "tap_litmos.sandbox", "--users", "10", "--years", "0.1"]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def sandbox(port: int) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "--port", str(port)]
    with subprocess.Popen(  # noqa: S603 - the project's own command
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def printed_config(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended"
    return dict(json.loads("".join(lines)))


def test_it_prints_a_config_that_a_tap_can_use(
    sandbox: subprocess.Popen[str], port: int
) -> None:
    config = printed_config(sandbox)
    assert config["api_url"] == f"http://127.0.0.1:{port}/v1.svc"
    assert run_tap("--test", config=config).status == 0
    assert requests.get(config["api_url"] + "/org/teams", timeout=10).status_code == 401
    sandbox.send_signal(signal.SIGTERM)
    assert sandbox.wait(10) == 0


def test_a_port_in_use_is_said_in_one_line(sandbox: subprocess.Popen[str], port: int) -> None:
    printed_config(sandbox)
    second = subprocess.run(  # noqa: S603 - the project's own command
        [*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert second.stdout == ""
    assert len(second.stderr.splitlines()) == 1
    assert str(port) in second.stderr
