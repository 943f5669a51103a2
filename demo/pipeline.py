"""Runs the sandbox, and syncs it through the tap into files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from subprocess import PIPE
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGGING = "logging.json"
"""A file in the folder of every demo."""

_PATIENCE = 10

_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "%(levelname)s %(message)s"},
        "json": {"()": "singer_sdk.logging.StructuredFormatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "text"},
        "file": {"class": "logging.FileHandler", "formatter": "json", "mode": "w"},
    },
    "root": {"level": "INFO", "handlers": ["console", "file"]},
}


class DemoError(Exception):
    """The demo cannot continue. The message is for the user."""


@dataclass(frozen=True)
class Sync:
    """What a sync did.

    Attributes:
        files: Where its rows are.
        streams: For each stream the figures of the run summary.
        totals: Their sums.
    """

    files: Path
    streams: dict[str, dict[str, Any]]
    totals: dict[str, Any]


@contextmanager
def _running(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program; stop it at the end of the block if it is still running."""
    try:
        process = subprocess.Popen(command, text=True, **options)  # noqa: S603 - our own
    except OSError as error:
        raise DemoError(f"Cannot run {command[0]}: {error.strerror}") from None
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
                process.kill()


def _module(name: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", name, *arguments]


@contextmanager
def sandbox(*, users: int, years: float) -> Iterator[dict[str, Any]]:
    """Serve an organisation on a free port, and yield a config for the tap.

    It has no rate limit: at that of Litmos, a year of history would take ten minutes.
    """
    options = ("--port", "0", "--users", str(users), "--years", str(years))
    command = _module("tap_litmos.sandbox", *options)
    with _running(*command, stdout=PIPE, stderr=PIPE) as process:
        printed = _first_object(process.stdout)
        if not printed:
            reason = process.stderr.read() if process.stderr else ""
            raise DemoError(f"The sandbox did not start: {reason.strip()}")
        config: dict[str, Any] = json.loads(printed)
        where = config["api_url"]
        print(f"Serving a made-up organisation of {users} people at {where}", flush=True)  # noqa: T201
        yield config


def _first_object(lines: IO[str] | None) -> str:
    """Return the first JSON object, which ends with a line that starts with `}`."""
    text = ""
    for line in lines or ():
        text += line
        if line.startswith("}"):
            break
    return text


def catalog() -> dict[str, dict[str, Any]]:
    """Return the tap's catalog entries, by stream."""
    found = subprocess.run(  # noqa: S603 - our own
        _module("tap_litmos", "--discover"), check=True, capture_output=True, text=True
    )
    return {stream["tap_stream_id"]: stream for stream in json.loads(found.stdout)["streams"]}


def sync(name: str, directory: Path, config: dict[str, Any], target: Path) -> Sync:
    """Sync with the tap through target-jsonl into a folder of files.

    Args:
        name: The name of the sync. It resumes from the state of an earlier one, if any.
        directory: Where everything is kept.
        config: The tap's config.
        target: The command target-jsonl.

    Raises:
        DemoError: If the tap or the target fails.
    """
    files, logs, state = directory / name, directory / "logs", directory / "state.json"
    files.mkdir(parents=True)
    logs.mkdir(exist_ok=True)
    settings = {
        "tap": config,
        "target": {"destination_path": str(files), "do_timestamp_file": False},
        "logging": json.loads(json.dumps(_LOGGING)),
    }
    log, errors = logs / f"{name}.jsonl", logs / f"{name}.txt"
    settings["logging"]["handlers"]["file"]["filename"] = str(log)
    for program, values in settings.items():
        (directory / f"{program}.json").write_text(json.dumps(values, indent=2))
    tap = _module("tap_litmos", "--config", directory / "tap.json")
    if state.exists():
        tap += ["--state", state]
    load = (target, "--config", directory / "target.json")
    # The SDK reads this file as YAML, which includes JSON.
    environment = os.environ | {"SINGER_SDK_LOG_CONFIG": str(directory / LOGGING)}
    with (
        errors.open("w") as messages,
        _running(*tap, stdout=PIPE, stderr=messages, env=environment) as source,
        _running(*load, stdin=source.stdout, stdout=PIPE, stderr=messages) as sink,
    ):
        if source.stdout:
            source.stdout.close()
        states = sink.communicate()[0].splitlines()
        source.wait()
    if source.returncode or sink.returncode or not states:
        last = "\n".join(errors.read_text().splitlines()[-5:])
        raise DemoError(f"The sync failed; {errors} ends with\n{last}")
    state.write_text(states[-1])
    extras = [json.loads(line)["extra"] for line in log.read_text().splitlines()]
    [found] = [extra["run_summary"] for extra in extras if "run_summary" in extra]
    return Sync(files, found["streams"], found["totals"])
