"""Batch messages: a STATE never comes before the BATCH that holds its rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

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
    truth,
)

if TYPE_CHECKING:
    from pathlib import Path

    from support import Run

    from tap_litmos.sandbox import Incoming, Organisation


class Target:
    """A target that loads batches, and checks that each STATE promises no row before its BATCH."""

    def __init__(self, org: Organisation) -> None:
        self._org = org
        self.rows: dict[str, list[Record]] = {stream: [] for stream in DEFAULT_STREAMS}

    def take(self, run: Run) -> None:
        assert not run.of_type("RECORD")
        for message in run.messages:
            if message["type"] == "BATCH":
                self.rows[message["stream"]] += rows_of(message)
            elif message["type"] == "STATE":
                for stream, bookmark in message["value"]["bookmarks"].items():
                    self._check(stream, bookmark.get("replication_key_value", ""))

    def _check(self, stream: str, until: str) -> None:
        promised = {
            key for key, row in truth(self._org, stream).items() if changed_at(stream, row) < until
        }
        assert promised <= fold(stream, self.rows[stream]).keys()

    def check_all(self, *failed: str) -> None:
        for stream in set(DEFAULT_STREAMS) - set(failed):
            assert fold(stream, self.rows[stream]) == truth(self._org, stream)


def settings(box: Sandbox, folder: Path, **more: Any) -> dict[str, Any]:
    return config_for(box, batch_config=batch_config(folder), lookback_hours=0, **more)


def test_every_row_is_in_a_batch_before_its_state(box: Sandbox, tmp_path: Path) -> None:
    target = Target(box.org)
    run = run_process(config=settings(box, tmp_path, page_size=30))
    target.take(run)
    target.check_all()
    for stream in DEFAULT_STREAMS:
        assert run.bookmark(stream) > datetime.now(UTC) - timedelta(minutes=5)
    assert len(run.of_type("BATCH")) > len(DEFAULT_STREAMS)
    box.requests.clear()
    again = run_tap(config=settings(box, tmp_path), state=run.state)
    assert run.status == again.status == 0
    assert len(box.requests) == len(DEFAULT_STREAMS)


def test_a_target_that_closes_the_pipe_again_and_again_misses_nothing(
    box: Sandbox, tmp_path: Path
) -> None:
    target, state = Target(box.org), dict[str, Any]()
    for messages in (3, 9, 20, None):
        config = settings(box, tmp_path)
        run = run_tap(config=config, state=state, messages=messages)
        assert (run.status == 0) is (messages is None)
        target.take(run)
        state = [state, *run.states][-1]
    target.check_all()


def test_a_stream_that_fails_keeps_what_was_read(org: Organisation, tmp_path: Path) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        late = incoming.since is not None and incoming.since.isoformat() > days_ago(20)
        return (403, {}, b"") if incoming.stream == "module_results" and late else None

    target = Target(org)
    with Sandbox(org, on_request=refuse) as box:
        run = run_tap(config=settings(box, tmp_path))
    assert run.status == 1
    target.take(run)
    assert target.rows["module_results"]
    target.check_all("module_results")


def test_no_version_of_a_listing_is_announced(box: Sandbox, tmp_path: Path) -> None:
    run = run_tap(config=settings(box, tmp_path, detect_deletes=True))
    assert run.status == 0
    assert {message["type"] for message in run.messages} == {"SCHEMA", "BATCH", "STATE"}
