"""Refusals that are final, and streams that fail alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from errors import ERRORS
from strange import StrangeSandbox as Sandbox
from support import DEFAULT_STREAMS, ENDPOINT, config_for, days_ago, run_tap, truth

from tap_litmos.sandbox import Answer

if TYPE_CHECKING:
    from support import Run

    from tap_litmos.sandbox import Incoming, Organisation

PATH = ENDPOINT["courses"].path


def check_others(run: Run, org: Organisation, failed: str) -> None:
    """Check that all streams but one were read, and have bookmarks."""
    assert run.status == 1
    assert "Traceback" not in run.log
    assert run.failed == [failed]
    assert run.errors[-1] == run.log.rstrip().splitlines()[-1]
    for stream in DEFAULT_STREAMS:
        if stream != failed:
            assert run.rows(stream) == truth(org, stream)
            assert run.bookmark(stream)


def test_what_the_server_says_is_passed_on_in_one_line(org: Organisation) -> None:
    def refuse(incoming: Incoming) -> Answer | None:
        answer = Answer(404, b"<html>", "No\x1b way & never " + 300 * "x")
        return answer if incoming.stream == "courses" else None

    with Sandbox(org, on_request=refuse) as box:
        run = run_tap(config=config_for(box))
    check_others(run, org, "courses")
    assert sum(seen.stream == "courses" for seen in box.requests) == 1
    for line in run.errors:
        assert '"No way & never xxx' in line
        assert len(line) < 500


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (5, 9)])
@pytest.mark.parametrize("fault", [None, "cut"])
def test_a_refused_key_costs_a_request_for_each_reader(
    concurrency: int, most: int, fault: str | None, org: Organisation
) -> None:
    with Sandbox(org, api_key="another", on_request=lambda _: fault) as box:
        run = run_tap(config=config_for(box, api_key="k" * 9, max_concurrent_requests=concurrency))
    assert run.status == 1
    assert len(box.requests) <= most
    [line] = [*run.warnings, *run.errors]
    assert ERRORS["401"].what.rpartition(": ")[2] in line
    assert not run.of_type("RECORD")


def test_a_key_that_is_revoked_during_a_run_ends_it(org: Organisation) -> None:
    def revoke(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (401, {}, b"gone") if incoming.number > 20 else None

    with Sandbox(org, on_request=revoke) as box:
        run = run_tap(config=config_for(box, max_concurrent_requests=1))
    assert run.status == 1
    assert len(box.requests) == 21
    assert len(run.errors) == 1


@pytest.mark.parametrize("status", [403, 500])
def test_a_stream_that_fails_sinks_no_other_and_keeps_its_bookmark(
    status: int, org: Organisation
) -> None:
    with Sandbox(org) as box:
        before = run_tap(config=config_for(box)).state
    org.touch("courses", 3)
    with Sandbox(org, refuse={PATH: status}) as box:
        backfill = run_tap(config=config_for(box), minute=0.1)
        run = run_tap(config=config_for(box), state=before, minute=0.1)
    check_others(backfill, org, "courses")
    assert not backfill.records("courses")
    assert "replication_key_value" not in backfill.state["bookmarks"].get("courses", {})
    assert run.status == 1
    assert run.failed == ["courses"]
    assert run.state["bookmarks"]["courses"] == before["bookmarks"]["courses"]
    with Sandbox(org) as box:
        then = run_tap(config=config_for(box), state=run.state)
    assert then.status == 0
    assert then.rows("courses").items() <= truth(org, "courses").items()
    assert len(then.rows("courses")) >= 3


def test_a_stream_that_fails_in_its_midst_keeps_the_windows_that_were_read(
    org: Organisation,
) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        late = incoming.since is not None and incoming.since.isoformat() > days_ago(15)
        return (403, {}, b"") if incoming.stream == "module_results" and late else None

    with Sandbox(org, on_request=refuse) as box:
        run = run_tap(config=config_for(box))
    check_others(run, org, "module_results")
    kept = run.bookmark("module_results")
    with Sandbox(org) as box:
        then = run_tap(config=config_for(box), state=run.state)
    since: Any = next(seen.since for seen in box.requests if seen.stream == "module_results")
    assert (kept - since).days <= 2
    rows = run.rows("module_results") | then.rows("module_results")
    assert rows == truth(org, "module_results")


def test_each_failed_stream_is_named_with_its_reason(org: Organisation) -> None:
    statuses = {"courses": 403, "teams": 404, "users": 403}
    with Sandbox(org, refuse={ENDPOINT[name].path: statuses[name] for name in statuses}) as box:
        run = run_tap(config=config_for(box, start_date=days_ago(2)))
    assert run.status == 1
    assert run.failed == list(statuses)
    *reasons, _ = run.errors
    for (stream, status), reason in zip(statuses.items(), reasons, strict=True):
        assert f"{stream} failed: {ENDPOINT[stream].path}: Litmos returned {status}" in reason
