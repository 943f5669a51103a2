"""The account of a run: exactly what was read."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from strange import StrangeSandbox as Sandbox
from support import (
    ACCOUNT,
    DEFAULT_STREAMS,
    ENDPOINT,
    catalog_of,
    command_with_minute,
    config_for,
    days_ago,
    page,
    run_process,
    run_tap,
    serving,
    started,
)

from tap_litmos.sandbox import Incoming, Organisation
from tap_litmos.summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def log_config(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the log consists of structured records."""
    path = tmp_path / "logging.yaml"
    formatter = {"()": "singer_sdk.logging.StructuredFormatter"}
    handler = {"class": "logging.StreamHandler", "formatter": "json"}
    path.write_text(
        yaml.safe_dump(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"json": formatter},
                "handlers": {"console": {**handler, "stream": "ext://sys.stderr"}},
                "root": {"level": "INFO", "handlers": ["console"]},
            }
        )
    )
    return {"SINGER_SDK_LOG_CONFIG": str(path)}


def record(log: str) -> dict[str, Any]:
    """Return the one structured record with the account."""
    extras = [each["extra"] for each in structured(log)]
    [account] = [each["run_summary"] for each in extras if "run_summary" in each]
    found: dict[str, Any] = account
    return found


def structured(log: str) -> list[dict[str, Any]]:
    """Return the records of a log that consists of nothing else."""
    return [json.loads(line) for line in log.splitlines()]


def test_the_figures_are_exact(org: Organisation, log_config: dict[str, str]) -> None:
    with Sandbox(org, faults=0.15, fault_kinds=("500", "cut", "drop")) as box:
        run = run_process(
            config=config_for(box, page_size=20),
            env=log_config,
            command=command_with_minute(0.5),
        )
    assert run.status == 0
    summary = record(run.log)
    requests = Counter(each.stream for each in box.requests)
    failed = Counter(each.stream for each in box.requests if each.fault)
    windows = {
        stream: {each.since for each in box.requests if each.stream == stream}
        for stream in DEFAULT_STREAMS
    }
    assert summary["streams"].keys() == set(DEFAULT_STREAMS)
    for stream, figures in summary["streams"].items():
        assert figures.pop("seconds") > 0
        # A row stamped exactly midnight is in two windows.
        assert len(run.rows(stream)) <= figures.pop("distinct_rows") <= figures["rows"]
        assert figures == {
            "rows": len(run.records(stream)),
            "windows": len(windows[stream]),
            "requests": requests[stream],
            "retries": failed[stream],
            "pages_reread": 0,
            "invalid_values": 0,
            "repairs": 0,
            "rows_without_key": 0,
            "unknown_fields": 0,
        }
    totals = summary["totals"]
    assert totals["rows"] == len(run.of_type("RECORD"))
    assert totals["requests"] == len(box.requests)
    assert totals["retries"] == failed.total()
    assert totals["retries"] > 5


def test_the_table_says_the_same(org: Organisation) -> None:
    with Sandbox(org) as box:
        run = run_tap(config=config_for(box))
    for stream in DEFAULT_STREAMS:
        line = run.stats(stream)
        assert line["rows"] == f"{len(run.records(stream)):,}"
        requests = sum(each.stream == stream for each in box.requests)
        assert line["requests"] == str(requests)
    total = run.stats("total")
    assert total["requests"] == f"{len(box.requests):,}"
    assert total["rows"] == f"{len(run.of_type('RECORD')):,}"


def test_the_table_of_all_streams_fits_80_columns(caplog: pytest.LogCaptureFixture) -> None:
    summary = RunSummary(logging.getLogger("test"))
    for stream in ENDPOINT:
        stats = summary.of(stream)
        stats.rows, stats.distinct_rows, stats.windows = 345_678, 345_677, 34_567
        stats.requests, stats.seconds = 34_567, 3_456.7
    caplog.set_level(logging.INFO)
    summary.close()
    _, heading, *lines = caplog.messages[0].splitlines()
    assert heading.split() == ["stream", "rows", "distinct", "windows", "requests", "seconds"]
    assert [line.split()[0] for line in lines] == [*ENDPOINT, "total"]
    assert len({len(line.split()) for line in lines}) == 1
    assert len(heading) <= 80
    assert {len(line) for line in lines} == {len(heading)}


def test_the_table_leaves_out_what_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Distinct rows where all are, and streams that were not reached."""
    summary = RunSummary(logging.getLogger("test"))
    summary.of("users").rows = summary.of("users").distinct_rows = 5
    summary.of("teams")
    caplog.set_level(logging.INFO)
    summary.close()
    _, heading, *lines = caplog.messages[0].splitlines()
    assert heading.split() == ["stream", "rows", "windows", "requests", "seconds"]
    assert [line.split()[0] for line in lines] == ["users", "total"]


def test_it_is_noted_that_others_use_the_key(log_config: dict[str, str]) -> None:
    def refuse_one(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (429, {"Retry-After": "0"}, b"") if incoming.number == 3 else None

    org = Organisation(users=5, years=0.1, live=False)
    with Sandbox(org, on_request=refuse_one) as box:
        run = run_process(
            config=config_for(box, requests_per_minute=100),
            catalog=catalog_of("users"),
            env=log_config,
            command=command_with_minute(0.05),
        )
    assert run.status == 0
    assert record(run.log)["slowdowns"] == 1
    [message] = [each["message"] for each in structured(run.log) if ACCOUNT in each["message"]]
    *_, retries, slowdowns = message.splitlines()
    assert retries == "users: 1 retry"
    assert slowdowns == "Slowed down 1 time, as another client uses this key"


def test_what_did_not_fit_is_counted(log_config: dict[str, str]) -> None:
    body = page(
        "module_results",
        "<ModuleResultId>1</ModuleResultId><Score>abc</Score><Surprise>x</Surprise>",
        "<ModuleResultId>2</ModuleResultId><Score>1&#x1F;</Score><Surprise>y</Surprise>",
        "<Score>1</Score><Other>z</Other>",
    )
    with serving({"module_results": body}) as box:
        run = run_process(config=config_for(box), env=log_config)
    assert run.status == 1
    figures = record(run.log)["streams"]["module_results"]
    assert figures["rows"] == 2
    assert (figures["invalid_values"], figures["repairs"]) == (2, 1)
    assert figures["rows_without_key"] == 1
    assert figures["unknown_fields"] == 2


def test_a_page_of_another_window_is_warned_of(org: Organisation) -> None:
    def cached(days: float) -> Callable[[Incoming], tuple[int, dict[str, str], bytes]]:
        body = page("users", f"<Id>1</Id><UpdatedDate>{days_ago(days)}</UpdatedDate>")
        return lambda _: (200, {}, body)

    told = {}
    for days in (20, 0):
        with Sandbox(org, on_request=cached(days)) as box:
            config = config_for(box, start_date=days_ago(20))
            run = run_tap(config=config, catalog=catalog_of("users"))
        assert run.status == 0
        told[days] = [line for line in run.warnings if "last changed before that" in line]
    assert len(told[20]) == len(box.requests) - 1  # in the first window it is right
    assert not told[0]  # Litmos may serve what was created in a window, and updated since


def test_a_failed_stream_says_why(org: Organisation, log_config: dict[str, str]) -> None:
    with Sandbox(org, refuse={"/org/courses": 403}) as box:
        run = run_process(config=config_for(box), env=log_config)
    streams = record(run.log)["streams"]
    assert "403" in streams["courses"]["failure"]
    assert "failure" not in streams["users"]


@pytest.mark.parametrize("concurrency", [1, 5])
def test_an_interrupted_run_accounts_for_what_was_done(
    concurrency: int, org: Organisation, log_config: dict[str, str]
) -> None:
    ready = threading.Event()

    def hang(incoming: Incoming) -> str | None:
        if incoming.number < 6:
            return None
        ready.set()
        return "timeout"

    with Sandbox(org, on_request=hang, timeout_hold=100) as box:
        config = config_for(box, max_concurrent_requests=concurrency)
        with started(config=config, env=log_config) as tap:
            assert ready.wait(60)
            tap.process.terminate()
            run = tap.finish()
        seen = len(box.requests)
    assert run.status == 143
    totals = record(run.log)["totals"]
    # The signal may have come between a message and its count.
    assert len(run.of_type("RECORD")) - totals["rows"] in {0, 1}
    assert totals["windows"] - len(run.of_type("STATE")) in {0, 1}
    # What a thread was about to send, when all was stopped, may never have arrived.
    assert seen <= totals["requests"] < seen + concurrency
