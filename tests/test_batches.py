"""Batch messages: a STATE never comes before the BATCH that holds its rows."""

from __future__ import annotations

import random
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    Record,
    batch_config,
    changed_at,
    config_for,
    days_ago,
    fold,
    rows_of,
    run_process,
    run_tap,
    started,
    truth,
)

if TYPE_CHECKING:
    from pathlib import Path

    from support import Run

    from tap_litmos.sandbox import Incoming, Organisation


def settings(box: Sandbox, folder: Path, **more: Any) -> dict[str, Any]:
    return config_for(box, batch_config=batch_config(folder), lookback_hours=0, **more)


def delivered(run: Run) -> dict[str, list[Record]]:
    """Return the rows of all announced files."""
    rows: dict[str, list[Record]] = {stream: [] for stream in DEFAULT_STREAMS}
    for message in run.of_type("BATCH"):
        rows[message["stream"]] += rows_of(message)
    return rows


def check_states(run: Run, org: Organisation, before: dict[str, list[Record]]) -> None:
    """Check that each STATE promises no row that no BATCH before it holds."""
    had = {stream: list(each) for stream, each in before.items()}
    for message in run.messages:
        if message["type"] == "BATCH":
            had[message["stream"]] += rows_of(message)
        if message["type"] != "STATE":
            continue
        for stream, bookmark in message["value"]["bookmarks"].items():
            until = bookmark.get("replication_key_value", "")
            promised = {
                key for key, row in truth(org, stream).items() if changed_at(stream, row) < until
            }
            assert promised <= fold(stream, had[stream]).keys()


def test_every_row_is_in_a_batch_before_its_state(long_org: Organisation, tmp_path: Path) -> None:
    with Sandbox(long_org) as box:
        run = run_process(config=settings(box, tmp_path, page_size=30))
        requests = len(box.requests)
        again = run_tap(config=settings(box, tmp_path), state=run.state)
        assert len(box.requests) - requests == len(DEFAULT_STREAMS)
    assert run.status == again.status == 0
    rows = delivered(run)
    check_states(run, long_org, {stream: [] for stream in DEFAULT_STREAMS})
    for stream in DEFAULT_STREAMS:
        assert fold(stream, rows[stream]) == truth(long_org, stream)
        assert run.bookmark(stream) > datetime.now(UTC) - timedelta(minutes=5)
    assert len(run.of_type("BATCH")) > len(DEFAULT_STREAMS)
    assert not run.of_type("RECORD")


@pytest.mark.parametrize("seed", range(2))
def test_killed_again_and_again_it_loses_nothing(
    seed: int, long_org: Organisation, tmp_path: Path
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    state: dict[str, Any] = {}
    rows: dict[str, list[Record]] = {stream: [] for stream in DEFAULT_STREAMS}
    with Sandbox(long_org) as box:
        for kill in range(5):
            config = settings(box, tmp_path, page_size=chance.choice([5, 1000]))
            with started(config=config, state=state) as tap:
                if kill < 4:
                    tap.read(chance.randrange(5_000, 20_000))
                    tap.process.send_signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
                run = tap.finish()
            assert "Traceback" not in run.log
            check_states(run, long_org, rows)
            for stream, each in delivered(run).items():
                rows[stream] += each
            state = [state, *run.states][-1]
    assert run.status == 0
    for stream in DEFAULT_STREAMS:
        assert fold(stream, rows[stream]) == truth(long_org, stream)


def test_a_target_that_closes_the_pipe_again_and_again_misses_nothing(
    box: Sandbox, org: Organisation, tmp_path: Path
) -> None:
    config = config_for(box, batch_config=batch_config(tmp_path))
    rows: dict[str, list[Record]] = {stream: [] for stream in DEFAULT_STREAMS}
    state: dict[str, Any] = {}
    for messages in (3, 9, 20, None):
        run = run_tap(config=config, state=state, messages=messages)
        assert (run.status == 0) is (messages is None)
        state = [state, *run.states][-1]
        for stream, each in delivered(run).items():
            rows[stream] += each
    for stream in DEFAULT_STREAMS:
        assert fold(stream, rows[stream]) == truth(org, stream)


def test_a_stream_that_fails_keeps_what_was_read(long_org: Organisation, tmp_path: Path) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        late = incoming.since is not None and incoming.since.isoformat() > days_ago(20)
        return (403, {}, b"") if incoming.stream == "module_results" and late else None

    with Sandbox(long_org, on_request=refuse) as box:
        run = run_process(config=settings(box, tmp_path))
    assert run.status == 1
    rows = delivered(run)
    assert rows["module_results"]
    check_states(run, long_org, {stream: [] for stream in DEFAULT_STREAMS})
    for stream in DEFAULT_STREAMS:
        if stream != "module_results":
            assert fold(stream, rows[stream]) == truth(long_org, stream)


def test_no_version_of_a_listing_is_announced(box: Sandbox, tmp_path: Path) -> None:
    config = config_for(box, detect_deletes=True, batch_config=batch_config(tmp_path))
    run = run_tap(config=config)
    assert run.status == 0
    assert {each["type"] for each in run.messages} == {"SCHEMA", "BATCH", "STATE"}
