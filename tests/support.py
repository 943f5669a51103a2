"""What tests share: running the tap, reading what it says, and the truth to hold it against."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import urlsplit
from urllib.request import url2pathname

from strange import StrangeSandbox

from tap_litmos.__main__ import main
from tap_litmos.sandbox import Incoming, Organisation
from tap_litmos.streams import ENDPOINTS, SYNC_LOG
from tap_litmos.tap import TapLitmos

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_litmos.declaration import Declaration, Endpoint
    from tap_litmos.sandbox import Sandbox

Record = dict[str, Any]
Key = tuple[Any, ...]

ENDPOINT = {endpoint.stream: endpoint for endpoint in ENDPOINTS}
DECLARATION: dict[str, Declaration] = {**ENDPOINT, SYNC_LOG.stream: SYNC_LOG}
"""All streams, that of the tap's own included."""
DEFAULT_STREAMS = sorted(
    each.stream for each in ENDPOINTS if each.selected_by_default and each.replication_key
)
"""The streams that a sync without catalog reads."""

NOTES = ("retries", "pages_reread", "invalid_values", "repairs", "rows_without_key")
"""What the end of a run may note about a stream."""

AFTERNOON = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)
"""A moment far from midnight, for tests that count days."""

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \S+ +\| (?P<level>[A-Z]+) +\| \S+ +\| .*")
"""A line of the log: a date, a time, a level, a logger, and text."""

# What the tap says, where several tests look for it; `errors.py` has all that ends a run.
ACCOUNT = "What was read:"
INVALID_KEY = "the API key is not valid, or the account is not enabled for the API"
KEEPS_FAILING = "keeps failing: "
NO_ANSWER = "does not answer: "
NOT_PROVED = "cannot prove that every row"
NOT_READY = f" of {len(DEFAULT_STREAMS)} endpoints answer: "
RETRYING = "; trying again in "
WITHOUT_KEY = "without primary key"

UNLIMITED = 1_000_000
"""Requests a minute, where the rate is not what a test is about."""


@dataclass(frozen=True)
class Run:
    """What a run of the tap left behind.

    Attributes:
        status: Its exit status.
        output: What it wrote to stdout.
        log: What it wrote to stderr.
    """

    status: int
    output: bytes
    log: str

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The Singer messages; a last line that is not complete is none."""
        return [json.loads(line) for line in self.output.split(b"\n")[:-1]]

    def of_type(self, kind: str, stream: str | None = None) -> list[dict[str, Any]]:
        """Return the messages of a type, of all streams or of one."""
        return [
            each
            for each in self.messages
            if each["type"] == kind and stream in {None, each.get("stream")}
        ]

    def records(self, stream: str) -> list[Record]:
        """Return all records of a stream, as they came."""
        return [each["record"] for each in self.of_type("RECORD", stream)]

    def rows(self, stream: str) -> dict[Key, Record]:
        """Return what a target that upserts has in the end: the last record of each key."""
        return fold(stream, self.records(stream))

    @property
    def states(self) -> list[dict[str, Any]]:
        """The values of all STATE messages."""
        return [each["value"] for each in self.of_type("STATE")]

    @property
    def state(self) -> dict[str, Any]:
        """The value of the last STATE message."""
        return self.states[-1]

    @property
    def warnings(self) -> list[str]:
        """The lines of the log that warn."""
        return self.lines("WARNING")

    @property
    def errors(self) -> list[str]:
        """The lines of the log that tell of errors."""
        return self.lines("ERROR", "CRITICAL")

    def lines(self, *levels: str) -> list[str]:
        """Return the lines of the log at these levels."""
        found = map(LOG_LINE.fullmatch, self.log.splitlines())
        return [line[0] for line in found if line and line["level"] in levels]

    @property
    def failed(self) -> list[str]:
        """The streams that failed, as the last line says."""
        found = re.search(r"((?:\w+, )*\w+) failed[:,] ", self.errors[-1])
        return found[1].split(", ") if found else []

    def stats(self, stream: str) -> dict[str, str]:
        """Return a stream's line of the table at the end of the run, and what it notes.

        What is noted is there by its name, such as `retries`, and "0" if it is not noted.
        """
        lines = self.log.splitlines()
        [heading] = [line for line in lines if line.startswith("stream ")]
        [line] = [line for line in lines if line.split()[:1] == [stream]]
        stats = dict(zip(heading.split(), line.split(), strict=True))
        notes = next((line for line in lines if line.startswith(f"{stream}: ")), "")
        found = re.findall(r"(\w[a-z ]*) ([0-9,]+)", notes.partition(": ")[2])
        named = {words.replace(" ", "_"): number.strip(",") for words, number in found}
        return dict.fromkeys(NOTES, "0") | named | stats

    def bookmark(self, stream: str) -> datetime:
        """Return the bookmark of a stream in the last STATE message."""
        return bookmark(self.state, stream)


def bookmark(state: Mapping[str, Any], stream: str) -> datetime:
    """Return the bookmark of a stream in a state."""
    return moment(state["bookmarks"][stream]["replication_key_value"])


def moment(text: str) -> datetime:
    """Return the moment that a date-time in the tap's output stands for."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def days_ago(days: float) -> str:
    """Return a date so many days ago, as in a setting."""
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()


# Running


def run_tap(
    *arguments: str,
    config: Mapping[str, Any] | str | None = None,
    state: Mapping[str, Any] | str | None = None,
    catalog: Mapping[str, Any] | str | None = None,
    env: Mapping[str, str] | None = None,
    messages: int | None = None,
    stdout_error: OSError | None = None,
    minute: float | None = None,
) -> Run:
    """Run the command line in this process, which is faster than in one of its own.

    Args:
        arguments: Further arguments.
        config: The config, or the text of its file. None: no `--config`.
        state: Likewise for `--state`.
        catalog: Likewise for `--catalog`.
        env: The settings in the environment.
        messages: After how many messages the reader closes the pipe. None: it reads all.
        stdout_error: How writing fails then, if otherwise.
        minute: How long a minute takes, in seconds: all waits are counted in it.
    """
    pipe, log = _Pipe(messages, stdout_error or BrokenPipeError()), _Log()
    output = io.TextIOWrapper(pipe, "utf-8", write_through=True)
    root = logging.getLogger()
    level = root.level
    handlers = {handler: list(handler.filters) for handler in root.handlers}
    metrics = logging.getLogger("singer_sdk.metrics")
    metrics.setLevel(logging.NOTSET)  # a tap that a program made has set it
    signals = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    status: Any = 0
    with (
        _command_line(arguments, config, state, catalog) as line,
        mock.patch.dict(os.environ, _environment(env), clear=True),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(log),
        warnings.catch_warnings(),
    ):
        try:
            main(line, tap_with_minute(minute))
        except SystemExit as stop:
            status = stop.code
        finally:
            logging.captureWarnings(capture=False)
            sys.excepthook = sys.__excepthook__
            root.setLevel(level)
            metrics.setLevel(logging.NOTSET)
            root.handlers[:] = handlers
            for each, filters in handlers.items():
                each.filters[:] = filters
            for number, handler in signals.items():
                signal.signal(number, handler)
    return Run(int(status or 0), pipe.getvalue(), log.getvalue())


def tap_with_minute(minute: float | None) -> type[TapLitmos]:
    """Return the tap, for which a minute takes so many seconds."""
    if minute is None:
        return TapLitmos
    return type("TapLitmos", (TapLitmos,), {"minute": minute})


def run_process(
    *arguments: str,
    config: Mapping[str, Any] | str | None = None,
    state: Mapping[str, Any] | str | None = None,
    catalog: Mapping[str, Any] | str | None = None,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = (sys.executable, "-m", "tap_litmos"),
) -> Run:
    """Run the tap in a process of its own; the arguments are those of `run_tap`."""
    with _command_line(arguments, config, state, catalog) as line:
        done = subprocess.run(  # noqa: S603
            [*command, *line],
            env=_environment(env),
            capture_output=True,
            check=False,
            timeout=240,
        )
    return Run(done.returncode, done.stdout, done.stderr.decode())


def output_of(
    program: Path,
    *arguments: str | Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    status: int = 0,
) -> str:
    """Run the command of a tool; return all it says, stderr included.

    Args:
        program: The command.
        arguments: Its arguments.
        env: Its environment.
        cwd: The folder to run it in. None: this one.
        status: The exit status with which it has to end.
    """
    done = subprocess.run(  # noqa: S603
        [program, *arguments],
        cwd=cwd,
        env=env,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@contextlib.contextmanager
def _command_line(
    arguments: Sequence[str],
    config: Mapping[str, Any] | str | None,
    state: Mapping[str, Any] | str | None,
    catalog: Mapping[str, Any] | str | None,
) -> Iterator[list[str]]:
    """Yield the arguments with those of the files, which are there meanwhile."""
    line: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("config", config), ("state", state), ("catalog", catalog)):
            if content is not None:
                path = Path(folder, f"{name}.json")
                path.write_text(content if isinstance(content, str) else json.dumps(content))
                line += [f"--{name}", str(path)]
        yield [*line, *arguments]


def _environment(settings: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment with no settings of the tap or of logging but these."""
    names = re.compile("TAP_LITMOS|^LOGLEVEL$|^SINGER_SDK_LOG_CONFIG$")
    inherited = {name: each for name, each in os.environ.items() if not names.search(name)}
    return {**inherited, **(settings or {})}


class _Log(io.StringIO):
    """Takes what is written to stderr, but not by threads that an earlier run left behind."""

    def __init__(self) -> None:
        super().__init__()
        self._others = set(threading.enumerate()) - {threading.current_thread()}

    def write(self, text: str, /) -> int:
        is_ours = threading.current_thread() not in self._others
        return super().write(text) if is_ours else len(text)


class _Pipe(io.BytesIO):
    """Takes what is written to stdout, until its reader closes the pipe."""

    def __init__(self, messages: int | None, error: OSError) -> None:
        super().__init__()
        self._left = messages
        self._error = error

    def write(self, data: Any, /) -> int:
        lines = bytes(data).splitlines(keepends=True)[: self._left]
        if self._left is not None:
            self._left -= len(lines)
        if data and not lines:
            raise self._error
        return super().write(b"".join(lines))


def batch_config(folder: Path) -> dict[str, Any]:
    """Return the setting with which rows go into files in a folder, 40 in each."""
    return {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": folder.as_uri(), "prefix": "tap-"},
        "batch_size": 40,
    }


def rows_of(batch: Mapping[str, Any]) -> list[Record]:
    """Return the rows of the files of a BATCH message."""
    rows: list[Record] = []
    for url in batch["manifest"]:
        with gzip.open(url2pathname(urlsplit(url).path), "rt") as file:
            rows += [json.loads(line) for line in file]
    return rows


# Settings and catalogs


def config_for(box: Sandbox, **settings: Any) -> dict[str, Any]:
    """Return a config for a sandbox, in which the rate is no limit."""
    return {**box.config(), "requests_per_minute": UNLIMITED, **settings}


def in_environment(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of the environment that stand for a config."""
    return {f"TAP_LITMOS_{name.upper()}": str(value) for name, value in config.items()}


def catalog_of(
    *streams: str,
    fields: Mapping[str, Mapping[str, bool]] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the catalog that `--discover` prints, with only these streams selected.

    Args:
        streams: The streams to select.
        fields: For a stream the fields to select, or not, instead of what is the default.
        config: The config for `--discover`.
    """
    matter = ("detect_deletes", "include_login_key")
    settings = {name: value for name, value in (config or {}).items() if name in matter}
    catalog: dict[str, Any] = json.loads(_discovered(json.dumps(settings)))
    for stream in catalog["streams"]:
        name = stream["tap_stream_id"]
        chosen = (fields or {}).get(name, {})
        for each in stream["metadata"]:
            if not each["breadcrumb"]:
                each["metadata"]["selected"] = name in streams
            elif each["breadcrumb"][-1] in chosen:
                each["metadata"]["selected"] = chosen[each["breadcrumb"][-1]]
    return catalog


@cache
def _discovered(config: str) -> bytes:
    return run_tap("--discover", config=config).output


# The truth


def changed_at(stream: str, row: Record) -> Any:
    """Return when a row last changed: the date by which requests for its stream select."""
    return row[ENDPOINT[stream].replication_key or "CreatedDate"] or row["CreatedDate"]


def fold(stream: str, records: Sequence[Record]) -> dict[Key, Record]:
    """Return the last of the records for each primary key."""
    key = DECLARATION[stream].primary_key
    return {tuple(map(record.get, key)): record for record in records}


def truth(org: Organisation, stream: str, *, all_fields: bool = False) -> dict[Key, Record]:
    """Return the rows of a stream by primary key, as the tap should deliver them.

    Args:
        org: The organisation.
        stream: The stream.
        all_fields: Whether to include fields that are not selected by default.
    """
    endpoint = ENDPOINT[stream]
    rows = [canonical(endpoint, row, all_fields=all_fields) for row in org.rows(stream)]
    return fold(stream, rows)


def canonical(endpoint: Endpoint, values: Mapping[str, Any], *, all_fields: bool = False) -> Record:
    """Return a row of the sandbox in the form that records have."""
    row: Record = {}
    for each in endpoint.fields:
        if each.kind == "others":
            row[each.name] = None
        if not each.sent or (each.opt_in and not all_fields):
            continue
        value = values.get(each.name)
        if isinstance(value, datetime):
            value = f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
        row[each.name] = value
    return row


def org_with_teams(dates: Iterable[datetime]) -> Organisation:
    """Return an organisation with the teams t0, t1, …, which changed at these moments."""
    org = Organisation(users=1, years=0.1, live=False)
    org.replace_rows(
        "teams",
        [{"Id": f"t{number}", "UpdatedDate": date} for number, date in enumerate(dates)],
    )
    return org


# Pages as a test wants them


def page(stream: str, *rows: str) -> bytes:
    """Return a page of a stream with rows whose elements are given as XML."""
    *outer, item = ENDPOINT[stream].nesting
    inner = "".join(f"<{item}>{row}</{item}>" for row in rows)
    for name in reversed(outer):
        namespace = ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
        inner = f"<{name}{namespace if name == outer[0] else ''}>{inner}</{name}>"
    return inner.encode()


def serving(bodies: Mapping[str, bytes]) -> StrangeSandbox:
    """Return a sandbox that answers with these bodies for the open windows of streams.

    All other pages are empty.
    """

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        name = incoming.stream or ""
        newest = incoming.to is None or incoming.to > datetime.now(UTC)
        body = bodies.get(name) if newest and not incoming.start else None
        return 200, {}, body or page(name)

    return StrangeSandbox(Organisation(users=1, years=0.1, live=False), on_request=answer)


# The tap in a process of its own, to be interrupted


def command_with_minute(seconds: float) -> tuple[str, ...]:
    """Return the command with a minute of that many seconds, in which all waits are counted."""
    code = (
        "from tap_litmos.__main__ import main; from tap_litmos.tap import TapLitmos; "
        f"main(tap=type('TapLitmos', (TapLitmos,), {{'minute': {seconds!r}}}))"
    )
    return sys.executable, "-c", code


class Started:
    """A running tap, whose output waits in a pipe until it is read."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self._output = b""

    def read(self, count: int) -> None:
        """Read so many bytes of its output, or all if there are no more."""
        assert self.process.stdout is not None
        self._output += self.process.stdout.read(count)

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self._log.read_text("utf-8")

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal, and once more if it came just before Python began to wait.

        Python notices such a signal only when the wait is over, or when another one comes.
        """
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(number)
            self.process.wait(timeout=20)

    def finish(self) -> Run:
        """Read what is left, wait for its end, and return the run."""
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            self._output += pipe.read()
        status = self.process.wait(timeout=60)
        return Run(status, self._output, self.log)


@contextlib.contextmanager
def started(
    *arguments: str,
    config: Mapping[str, Any] | str | None = None,
    state: Mapping[str, Any] | str | None = None,
    catalog: Mapping[str, Any] | str | None = None,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = (sys.executable, "-m", "tap_litmos"),
    stdout: int = subprocess.PIPE,
    stderr: int | None = None,
) -> Iterator[Started]:
    """Start the tap; the arguments are those of `run_process`, and where its output goes."""
    with (
        _command_line(arguments, config, state, catalog) as line,
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(  # noqa: S603
            [*command, *line],
            env=_environment(env),
            stdout=stdout,
            stderr=log if stderr is None else stderr,
        ) as process,
    ):
        try:
            yield Started(process, Path(log.name))
        finally:
            process.kill()
