"""The account of a run: exactly what was read."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    catalog_of,
    config_for,
    page,
    run_tap,
    serving,
)

from tap_litmos.summary import Summary

if TYPE_CHECKING:
    import pytest

    from tap_litmos.sandbox import Incoming, Organisation


def record(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the one structured record with the account."""
    [found] = [vars(line)["run_summary"] for line in caplog.records if "run_summary" in vars(line)]
    account: dict[str, Any] = found
    return account


def test_the_figures_are_exact(long_org: Organisation, caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox(long_org, faults=0.15, fault_kinds=("500", "cut", "drop")) as box:
        run = run_tap(config=config_for(box, page_size=20), minute=0.5)
    assert run.status == 0
    account = record(caplog)
    requests = Counter(seen.stream for seen in box.requests)
    failed = Counter(seen.stream for seen in box.requests if seen.fault)
    assert account["streams"].keys() == set(DEFAULT_STREAMS)
    for stream, figures in account["streams"].items():
        assert figures["rows"] == len(run.records(stream))
        assert figures["requests"] == requests[stream]
        assert figures["retries"] == failed[stream]
        assert figures["windows"] >= 5
        assert figures["seconds"] > 0
        line = run.stats(stream)
        for name in ("rows", "requests", "windows", "retries", "pages_reread"):
            assert line[name] == f"{figures[name]:,}"
    assert account["totals"]["rows"] == len(run.of_type("RECORD"))
    assert account["totals"]["requests"] == len(box.requests)
    assert account["totals"]["retries"] == failed.total() > 5
    total = run.stats("total")
    assert total["requests"] == f"{len(box.requests):,}"
    assert total["rows"] == f"{len(run.of_type('RECORD')):,}"


def test_the_table_of_all_streams_fits_80_columns(caplog: pytest.LogCaptureFixture) -> None:
    summary = Summary(logging.getLogger("test"))
    for stream in ENDPOINT:
        stats = summary.of(stream)
        stats.rows, stats.windows, stats.requests, stats.seconds = 345_678, 34_567, 34_567, 3_456.7
    caplog.set_level(logging.INFO)
    summary.close(0)
    [said] = [line.getMessage() for line in caplog.records if line.name == "test"]
    _, heading, *lines = said.splitlines()
    assert [line.split()[0] for line in lines] == [*ENDPOINT, "total"]
    assert {len(line) for line in lines} == {len(heading)}
    assert len(heading) <= 80


def test_it_is_noted_that_others_use_the_key(
    org: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_one(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (429, {"Retry-After": "0"}, b"") if incoming.number == 3 else None

    with Sandbox(org, on_request=refuse_one) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("users"), minute=0.05)
    assert run.status == 0
    assert record(caplog)["slowdowns"] == 1


def test_what_did_not_fit_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    body = page(
        "module_results",
        "<ModuleResultId>1</ModuleResultId><Score>abc</Score><Surprise>x</Surprise>",
        "<ModuleResultId>2</ModuleResultId><Score>1&#x1F;</Score><Surprise>y</Surprise>",
        "<Score>1</Score><Other>z</Other>",
    )
    with serving({"module_results": body}) as box:
        run = run_tap(config=config_for(box))
    assert run.status == 1
    figures = record(caplog)["streams"]["module_results"]
    assert figures["rows"] == 2
    assert (figures["invalid_values"], figures["repairs"]) == (2, 1)
    assert figures["rows_without_key"] == 1


def test_a_failed_stream_says_why(org: Organisation, caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox(org, refuse={ENDPOINT["courses"].path: 403}) as box:
        run_tap(config=config_for(box))
    account = record(caplog)
    assert "403" in account["streams"]["courses"]["failure"]
    assert "failure" not in account["streams"]["users"]
