"""What a person sees: the log, and how far a sync is."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import sys
import termios
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest import mock

import pyte
import pytest
import yaml
from support import (
    ACCOUNT,
    INVALID_KEY,
    LOG_LINE,
    RETRYING,
    Run,
    catalog_of,
    command_with_minute,
    config_for,
    days_ago,
    page,
    run_process,
    run_tap,
    started,
    truth,
)

from tap_litmos import progress
from tap_litmos.progress import Progress
from tap_litmos.rate import RateLimit
from tap_litmos.sandbox import Incoming, Organisation, Sandbox
from tap_litmos.summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW = ("course_results", "module_results", "team_users")

PROGRESS = re.compile(
    r".*?(?P<percent>\d+)%, (?P<time>.+) and (?P<left>\d+) requests? left"
    r", stream (?P<number>\d+) of (?P<of>\d+)"
    r"(?:, waiting (?P<waiting>\d+) s for the rate limit)?"
    r", (?P<stream>\w+) (?P<date>\d{4}-\d\d-\d\d)"
    r", (?P<rows>[\d,]+) rows?"
)
"""How far a sync is, in a line."""


# What is said, and what is not


def said_by_the_sdk(run: Run) -> list[str]:
    """Return which of the SDK's own lines are in a log."""
    lines = ("METRIC", "Beginning sync of", "Skipping deselected", "Skipping parse of env")
    return [each for each in lines if each in run.log]


def test_the_log_is_what_the_tap_says_in_short_lines(box: Sandbox) -> None:
    run = run_process(config=config_for(box), catalog=catalog_of(*FEW))
    assert run.status == 0
    assert not said_by_the_sdk(run)
    version, plan, read, *table = run.log.splitlines()
    assert all(map(LOG_LINE.fullmatch, (version, plan, read)))
    assert "Plan: 3 streams since " in plan
    assert [line.split()[0] for line in table] == ["stream", *FEW, "total"]


def test_discovery_says_nothing() -> None:
    assert not run_process("--discover").log


@pytest.mark.parametrize("variable", ["LOGLEVEL", "TAP_LITMOS_LOGLEVEL"])
def test_who_sets_a_level_gets_the_log_of_the_sdk(variable: str, box: Sandbox) -> None:
    config, catalog = config_for(box), catalog_of("users")
    run = run_process(config=config, catalog=catalog, env={variable: "info"})
    assert len(said_by_the_sdk(run)) == 4
    quiet = run_process(config=config, catalog=catalog, env={variable: "warning"})
    assert quiet.status == 0
    assert not quiet.log


@pytest.mark.parametrize(
    ("level", "loggers", "expected"),
    [
        ("INFO", {}, []),
        ("INFO", {"singer_sdk.metrics": {"level": "INFO"}}, ["METRIC"]),
        ("DEBUG", {}, ["METRIC", "Beginning sync of", "Skipping deselected", "Skipping parse"]),
    ],
)
def test_a_logging_configuration_decides_about_metrics(
    level: str, loggers: dict[str, Any], expected: list[str], box: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "logging.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"own": {"format": "own: %(message)s"}},
                "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
                "root": {"level": level, "handlers": ["own"]},
                "loggers": loggers,
            }
        )
    )
    run = run_process(
        config=config_for(box),
        catalog=catalog_of("users"),
        env={"SINGER_SDK_LOG_CONFIG": str(path)},
    )
    assert "own: Plan: " in run.log
    assert [each.startswith(tuple(expected)) for each in said_by_the_sdk(run)] == [True] * len(
        expected
    )


def test_a_fault_that_several_requests_meet_is_told_once(org: Organisation) -> None:
    """All those that are in flight together; the next ones succeed."""
    failing = threading.Barrier(4)

    def fail_together(incoming: Incoming) -> str | None:
        if incoming.number in {2, 3, 4, 5}:
            failing.wait(30)
            return "500"
        return None

    with Sandbox(org, on_request=fail_together) as opened:
        config = config_for(opened, max_concurrent_requests=4)
        run = run_tap(config=config, catalog=catalog_of("users"))
    assert run.status == 0
    assert run.stats("users")["retries"] == "4"
    [warning] = run.warnings
    assert f"users: {RETRYING}" in warning


def test_a_wrong_key_is_one_line(box: Sandbox) -> None:
    run = run_tap(config=config_for(box, api_key="wrong"))
    assert run.status == 1
    assert "stream " not in run.log
    [line] = [*run.warnings, *run.errors]
    assert INVALID_KEY in line


# How far it is


def test_a_header_that_is_malformed_is_no_traceback(org: Organisation) -> None:
    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {"X-One": "1\r\nno header"}, page("users", "<Id>1</Id>")

    with Sandbox(org, on_request=answer) as box:
        run = run_process(
            config=config_for(box, start_date=days_ago(1)), catalog=catalog_of("users")
        )
    assert run.status == 0
    assert "Traceback" not in run.log


def test_the_plan_is_told_first(box: Sandbox) -> None:
    config = config_for(box, start_date=days_ago(20), requests_per_minute=2)
    run = run_tap(config=config, catalog=catalog_of("teams", "courses"), minute=0.05)
    assert run.status == 0
    count = len(box.requests)
    assert count >= 4
    plan = run.log.splitlines()[1]
    assert plan.endswith(
        f"Plan: 2 streams since {days_ago(21)}; at least {count} requests, "
        f"{(count - 1) // 2} min at 2 requests a minute"
    )


def test_the_plan_of_a_listing_has_no_date(box: Sandbox) -> None:
    config = config_for(box, detect_deletes=True, requests_per_minute=100)
    run = run_tap(config=config, catalog=catalog_of("user_ids", config=config))
    assert "Plan: 1 stream; at least 1 request, less than a minute at 100 requests a minute" in (
        run.log
    )


class Lines(logging.Handler):
    """Notes the lines about progress."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        if PROGRESS.fullmatch(record.getMessage()):
            self.came.release()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Let lines come fast, and note them."""
    monkeypatch.setattr(progress, "EVERY", 0.02)
    noted, logger = Lines(), logging.getLogger("tap-litmos")
    logger.addHandler(noted)
    yield noted
    logger.removeHandler(noted)


def test_a_line_now_and_then_tells_how_far_a_sync_is(lines: Lines) -> None:
    """One after another, and so that a line comes during each request."""

    def hold(_: Incoming) -> None:
        while lines.came.acquire(blocking=False):
            pass
        for _line in range(2):  # the first one may have been on its way already
            assert lines.came.acquire(timeout=30)

    with Sandbox(Organisation(users=10, years=0.1, live=False), on_request=hold) as opened:
        config = config_for(opened, start_date=days_ago(20), max_concurrent_requests=1)
        run = run_tap(config=config, catalog=catalog_of("teams", "users"))
    assert run.status == 0
    shown = [line for line in map(PROGRESS.fullmatch, run.log.splitlines()) if line]
    count = len(opened.requests)
    left = [int(line["left"]) for line in shown]
    assert left == sorted(left, reverse=True)
    assert set(left) >= set(range(1, count + 1))
    percents = [int(line["percent"]) for line in shown]
    assert percents == sorted(percents)
    assert percents[-1] > 80
    assert {(line["number"], line["of"], line["stream"]) for line in shown} == {
        ("1", "2", "teams"),
        ("2", "2", "users"),
    }
    dates = {datetime.fromisoformat(line["date"]).replace(tzinfo=UTC) for line in shown}
    assert dates == {each.since for each in opened.requests}
    rows = [int(line["rows"].replace(",", "")) for line in shown]
    assert rows == sorted(rows)
    assert 0 < rows[-1] <= len(run.of_type("RECORD"))


def test_the_line_says_when_the_rate_limit_is_waited_for(
    lines: Lines, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RateLimit, "waiting", 12.4)

    def hold(_: Incoming) -> None:
        assert lines.came.acquire(timeout=30)

    with Sandbox(org, on_request=hold) as opened:
        run = run_tap(config=config_for(opened), catalog=catalog_of("users"))
    assert run.status == 0
    shown = [line for line in map(PROGRESS.fullmatch, run.log.splitlines()) if line]
    assert shown
    assert {line["waiting"] for line in shown} == {"12"}


def progress_of(
    summary: RunSummary, left: int = 1, rate: int = 90, waiting: float = 0.0
) -> Progress:
    return Progress(
        summary,
        mock.Mock(RateLimit, requests_per_minute=rate, waiting=waiting),
        requests_left=lambda: left,
        logger=summary.logger,
    )


@pytest.mark.parametrize(
    ("left", "rate", "waiting", "expected"),
    [
        (0, 90, 0.0, "100%, less than a minute and 0 requests left, 1 row"),
        (1, 90, 1.9, "95%, less than a minute and 1 request left, 1 row"),
        (80, 20, 2.5, "20%, 4 min and 80 requests left, waiting 2 s for the rate limit, 1 row"),
        (8_980, 90, 0.0, "0%, 1 h 40 min and 8,980 requests left, 1 row"),
    ],
)
def test_percent_and_time_follow_from_what_is_left(
    left: int, rate: int, waiting: float, expected: str
) -> None:
    summary = RunSummary(logging.getLogger("test"))
    stats = summary.of("users")
    stats.requests, stats.retries, stats.rows = 25, 5, 1
    shown = progress_of(summary, left, rate, waiting)
    assert shown.line() == expected


# On a terminal


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what may be set around the tests, and would decide in the terminal's place."""
    for name in ("COLUMNS", "LINES", "PYTHONUNBUFFERED", "TERM"):
        monkeypatch.delenv(name, raising=False)


MOVES = " left, stream "
"""What only the line that moves says."""


class Terminal:
    """A terminal, and what is seen on it."""

    def __init__(self, width: int = 300) -> None:
        height = 300
        self.screen = pyte.Screen(width, height)
        self.moved = threading.Event()
        self._own, self.descriptor = pty.openpty()
        termios.tcsetwinsize(self.descriptor, (height, width))
        self._raw = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        stream = pyte.ByteStream(self.screen)
        while True:
            try:
                data = os.read(self._own, 1 << 16)
            except OSError:  # the other end is closed
                return
            self._raw += data
            stream.feed(data)
            if any(MOVES in line for line in self.screen.display):
                self.moved.set()

    def close(self) -> None:
        """Wait for all that was written."""
        os.close(self.descriptor)
        self._reader.join(30)
        os.close(self._own)

    @property
    def shown(self) -> list[str]:
        """What is on the screen, without empty lines."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    @property
    def written(self) -> list[str]:
        """The lines that were written, which the terminal may have wrapped."""
        return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._raw.decode()))


@pytest.mark.usefixtures("no_variables")
@pytest.mark.parametrize("width", [300, 70])
def test_on_a_terminal_the_log_and_the_line_that_moves_do_not_tear_each_other(
    width: int, long_org: Organisation
) -> None:
    terminal = Terminal(width)

    def fail_below_the_line(incoming: Incoming) -> str | None:
        if incoming.number > 12:
            assert terminal.moved.wait(60)
        return "500" if incoming.number % 4 == 0 else None

    with Sandbox(long_org, on_request=fail_below_the_line) as opened:
        with started(
            config=config_for(opened, max_concurrent_requests=1),
            catalog=catalog_of(*FEW),
            command=command_with_minute(3.0),
            stderr=terminal.descriptor,
        ) as tap:
            run = tap.finish()
        terminal.close()
    assert run.status == 0
    assert terminal.moved.is_set()
    assert not any(MOVES in line for line in terminal.shown)
    moved = [line for line in terminal.written if MOVES in line]
    assert max(map(len, moved)) <= width
    failed = [each for each in opened.requests if each.fault == "500"]
    assert len(failed) > 10
    whole = [line for line in terminal.written if LOG_LINE.fullmatch(line)]
    assert len([line for line in whole if re.search(r"retrying in \d+ s$", line)]) == len(failed)
    if width == 300:
        table = next(at for at, line in enumerate(terminal.shown) if ACCOUNT in line)
        assert terminal.shown[:table] == [line.rstrip() for line in whole[:table]]
        listed = [line.split()[0] for line in terminal.shown[table:]]
        assert [name for name in listed if name in FEW] == sorted(FEW)
    for stream in FEW:
        assert run.rows(stream) == truth(long_org, stream)


@pytest.mark.usefixtures("no_variables")
def test_on_a_terminal_each_window_reaches_the_target_at_once(org: Organisation) -> None:
    """The line that moves must not keep back what is written to stdout."""
    terminal = Terminal()
    arrived = threading.Event()
    in_time: list[bool] = []

    def hold(incoming: Incoming) -> None:
        if incoming.number == 3:
            in_time.append(arrived.wait(10))

    with Sandbox(org, on_request=hold) as opened:
        config = config_for(opened, max_concurrent_requests=1)
        catalog = catalog_of("users")
        with started(config=config, catalog=catalog, stderr=terminal.descriptor) as tap:
            assert tap.process.stdout is not None
            assert any(b'"STATE"' in line for line in tap.process.stdout)
            arrived.set()
            run = tap.finish()
        terminal.close()
    assert run.status == 0
    assert in_time == [True]


class DumbTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_where_no_line_can_be_erased_the_log_tells_how_far_it_is(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", DumbTerminal())
    summary = RunSummary(logging.getLogger("tap-litmos"))
    summary.of("users")
    shown = progress_of(summary)
    shown.reached("users", "2026-01-01 to 2026-01-08")
    with shown:
        assert lines.came.acquire(timeout=30)
