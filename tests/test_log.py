"""What a person sees: the log, and how far a sync is."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import (
    ACCOUNT,
    DEFAULT_STREAMS,
    LOG_LINE,
    RETRYING,
    catalog_of,
    config_for,
    days_ago,
    page,
    run_process,
    run_tap,
    serving,
)

from tap_litmos import progress

if TYPE_CHECKING:
    from pathlib import Path

    from tap_litmos.sandbox import Incoming, Organisation

FEW = ("course_results", "module_results", "team_users")
PROGRESS = re.compile(
    r".* \| (?P<percent>\d+)%, about (?P<minutes>\d+) min and (?P<left>\d+) windows? left, "
    r"(?:reading (?P<stream>\w+), )?(?P<rows>[\d,]+) rows? so far"
)
"""How far a sync is, in a line."""


def test_the_log_has_one_shape_and_ends_with_what_was_read(box: Sandbox) -> None:
    run = run_process(config=config_for(box), catalog=catalog_of(*FEW))
    assert run.status == 0
    assert "METRIC" not in run.log
    lines = run.log.splitlines()
    table = next(at for at, line in enumerate(lines) if ACCOUNT in line)
    assert all(map(LOG_LINE.fullmatch, lines[: table + 1]))
    assert [line.split()[0] for line in lines[table + 1 :]] == ["stream", *FEW, "total"]
    [plan] = [line for line in lines if "Reading " in line]
    windows = {(seen.stream, seen.since) for seen in box.requests}
    assert f"Reading {len(windows)} windows of 3 streams" in plan


@pytest.mark.parametrize("how", ["LOGLEVEL", "a logging configuration"])
def test_metrics_are_logged_if_asked_for(how: str, box: Sandbox, tmp_path: Path) -> None:
    path, env = tmp_path / "logging.json", {"LOGLEVEL": "info"}
    if how != "LOGLEVEL":
        env = {"SINGER_SDK_LOG_CONFIG": str(path)}
    handlers = {"own": {"class": "logging.StreamHandler"}}
    config = {"version": 1, "disable_existing_loggers": False, "handlers": handlers}
    loggers = {"singer_sdk.metrics": {"level": "INFO", "handlers": ["own"]}}
    path.write_text(json.dumps({**config, "loggers": loggers}))
    run = run_process(config=config_for(box), catalog=catalog_of("users"), env=env)
    assert run.status == 0
    assert "METRIC" in run.log


def test_a_fault_that_several_requests_meet_is_reported_once(long_org: Organisation) -> None:
    """All those that are in flight together; the next ones succeed."""
    together = threading.Barrier(4)

    def fail_together(incoming: Incoming) -> str | None:
        if incoming.number not in {2, 3, 4, 5}:
            return None
        together.wait(30)
        return "500"

    with Sandbox(long_org, on_request=fail_together) as opened:
        config = config_for(opened, max_concurrent_requests=4)
        run = run_tap(config=config, catalog=catalog_of("users"))
    assert run.status == 0
    assert run.stats("users")["retries"] == "4"
    [warning] = run.warnings
    assert RETRYING in warning


def test_unknown_fields_of_all_streams_are_reported_in_one_line() -> None:
    pages = {
        name: page(name, "<Id>1</Id><Shoe>42</Shoe><Hat>x</Hat>") for name in ("courses", "teams")
    }
    with serving(pages) as box:
        run = run_tap(config=config_for(box, start_date=days_ago(2)))
    assert run.status == 0
    [warning] = run.warnings
    assert "courses: Hat, Shoe; teams: Hat, Shoe" in warning


def test_a_line_now_and_then_tells_how_far_a_sync_is(
    org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.02)
    with Sandbox(org, latency=0.1) as opened:
        config = config_for(opened, start_date=days_ago(20), max_concurrent_requests=1)
        run = run_tap(config=config, catalog=catalog_of("teams", "users"))
    assert run.status == 0
    shown = [line for line in map(PROGRESS.fullmatch, run.log.splitlines()) if line]
    left = [int(line["left"]) for line in shown]
    assert left == sorted(left, reverse=True)
    assert set(left) >= set(range(1, len(opened.requests)))
    percents = [int(line["percent"]) for line in shown]
    assert percents == sorted(percents)
    assert percents[-1] > 80
    assert {line["stream"] for line in shown} <= {None, "teams", "users"}
    rows = [int(line["rows"].replace(",", "")) for line in shown]
    assert rows == sorted(rows)
    assert 0 < rows[-1] <= len(run.of_type("RECORD"))


def test_the_time_left_follows_from_the_rate(box: Sandbox, monkeypatch: Any) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    run = run_tap(config=config_for(box, requests_per_minute=18, start_date=days_ago(1)), minute=1)
    assert run.status == 0
    assert len(box.requests) == len(DEFAULT_STREAMS)
    shown = [line for line in map(PROGRESS.fullmatch, run.log.splitlines()) if line]
    assert shown[0]["minutes"] == str(round(int(shown[0]["left"]) / 18))
