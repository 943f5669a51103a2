"""Running a tap as a process of its own, and what that took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_litmos.streams import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.server import Server

LAUNCHER = Path(__file__).with_name("launch.py")

ROOT = LAUNCHER.parent.parent

DAY = timedelta(days=1)

DEFAULT_STREAMS = [
    endpoint.stream
    for endpoint in ENDPOINTS
    if endpoint.selected_by_default and endpoint.replication_key
]
"""The streams that a sync reads when it is not told anything else."""


@dataclass(frozen=True)
class Run:
    """What a process took.

    Attributes:
        began: When it was started, by the monotonic clock.
        seconds: How long it ran.
        processor_seconds: The processor time of all its threads, user's and system's.
        peak_megabytes: The most memory that it held at once.
        lines: How many lines it wrote to stdout.
    """

    began: float
    seconds: float
    processor_seconds: float
    peak_megabytes: float
    lines: int


def run(*arguments: str) -> Run:
    """Run Python with these arguments, and read what it writes through a pipe.

    Raises:
        RuntimeError: If it fails.
    """
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TAP_LITMOS_", "LOGLEVEL", "PYTHON"))
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-I", "-S", str(LAUNCHER), str(report), sys.executable]
        with (
            Path(folder, "log").open("w+b") as log,
            subprocess.Popen(  # noqa: S603
                [*command, *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env=clean,
                cwd=ROOT,
            ) as process,
        ):
            lines = 0
            while chunk := os.read(process.stdout.fileno(), 1 << 20) if process.stdout else b"":
                lines += chunk.count(b"\n")
            process.wait()
            log.seek(0)
            said = log.read().decode(errors="replace")
        took = json.loads(report.read_text())
    if took.pop("status") != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{said}")
    return Run(**took, lines=lines)


def sync(
    server: Server,
    *,
    since: datetime | None = None,
    streams: Sequence[str] = DEFAULT_STREAMS,
    bookmark: datetime | None = None,
    module: str = "tap_litmos",
    **settings: Any,
) -> Run:
    """Sync a server with a tap, at any rate unless a setting says otherwise.

    Args:
        server: The server.
        since: The `start_date`; by default a day ago, so that there is one window.
        streams: Which streams to sync.
        bookmark: The bookmark of each stream, if there is to be a state.
        module: Which tap.
        settings: Further settings.
    """
    config = {
        "api_key": server.api_key,
        "api_url": server.url,
        "start_date": (since or datetime.now(UTC) - DAY).date().isoformat(),
        "requests_per_minute": 1_000_000,
        **settings,
    }
    state = {
        "bookmarks": {
            endpoint.stream: {
                "replication_key": endpoint.replication_key,
                "replication_key_value": bookmark.isoformat(),
            }
            for endpoint in ENDPOINTS
            if bookmark and endpoint.stream in streams
        }
    }
    catalog = {
        "streams": [
            {
                "tap_stream_id": endpoint.stream,
                "schema": endpoint.schema(),
                "metadata": [
                    {"breadcrumb": [], "metadata": {"selected": endpoint.stream in streams}}
                ],
            }
            for endpoint in ENDPOINTS
        ]
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-m", module]
        for name, content in (("config", config), ("state", state), ("catalog", catalog)):
            if name == "config" or (module == "tap_litmos" and content):
                path = Path(folder, f"{name}.json")
                path.write_text(json.dumps(content))
                arguments += [f"--{name}", str(path)]
        return run(*arguments)
