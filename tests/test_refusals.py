"""Refusals that are final, and streams that fail alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from errors import ERRORS, MEANINGS
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    INVALID_KEY,
    KEEPS_FAILING,
    NO_ANSWER,
    catalog_of,
    config_for,
    days_ago,
    run_tap,
    truth,
)

if TYPE_CHECKING:
    from tap_litmos.sandbox import Incoming, Organisation

OTHERS = [stream for stream in DEFAULT_STREAMS if stream != "courses"]


@pytest.mark.parametrize("status", MEANINGS)
def test_a_refusal_is_told_in_words_with_what_the_server_says(
    status: int, org: Organisation
) -> None:
    body = "<html><style>a {b: c}</style><h1>No\n\n way &amp; never</h1><p>again</html>"

    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        headers = {"Content-Type": "text/html"}
        said = (status, headers, (body + "<p>x" * 5_000).encode())
        return said if incoming.stream == "courses" else None

    with Sandbox(org, on_request=refuse) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_tap(config=config, catalog=catalog_of("courses", "users"))
    assert run.status == 1
    assert "Traceback" not in run.log
    asked = [each for each in box.requests if each.stream == "courses"]
    assert len(asked) == 1
    for line in run.errors:
        assert (
            f"GET {ENDPOINT['courses'].path} returned {status}: {MEANINGS[status]} Server " in line
        )
        if status != 204:
            assert "No way & never again" in line
        assert "<" not in line
        assert "b: c" not in line
        assert len(line) < 700
    assert run.failed == ["courses"]
    assert run.errors[-1] == run.log.rstrip().splitlines()[-1]


def test_the_reason_phrase_is_told(org: Organisation) -> None:
    with Sandbox(org, refuse={ENDPOINT["courses"].path: 403}) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("courses"))
    assert "The feature is not enabled for this account" in run.errors[-1]


@pytest.mark.parametrize("concurrency", [1, 5, 32])
def test_a_refused_key_costs_one_request(concurrency: int, org: Organisation) -> None:
    with Sandbox(org, api_key="another") as box:
        config = config_for(box, api_key="wrong-key", max_concurrent_requests=concurrency)
        run = run_tap(config=config)
    assert run.status == 1
    assert len(box.requests) == 1
    [line] = run.errors
    assert INVALID_KEY in line
    assert "Invalid API key" in line
    assert ERRORS["401"].next in line
    assert "Traceback" not in run.log
    assert not run.of_type("RECORD")
    assert run.log.rstrip().splitlines()[-1] == line


def test_a_key_that_is_revoked_meanwhile_ends_the_run(org: Organisation) -> None:
    def revoke(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (401, {}, b"gone") if incoming.number > 20 else None

    with Sandbox(org, on_request=revoke) as box:
        run = run_tap(config=config_for(box, max_concurrent_requests=1))
    assert run.status == 1
    assert len(box.requests) == 21
    assert INVALID_KEY in run.errors[-1]


def test_a_refusal_whose_body_is_cut_is_final_all_the_same(org: Organisation) -> None:
    with Sandbox(org, api_key="another", on_request=lambda _: "cut") as box:
        run = run_tap(config=config_for(box, api_key="wrong-key"))
    assert run.status == 1
    assert len(box.requests) == 1
    assert INVALID_KEY in run.errors[-1]


def test_a_stream_that_is_refused_sinks_no_other(org: Organisation) -> None:
    with Sandbox(org, refuse={ENDPOINT["courses"].path: 403}) as box:
        run = run_tap(config=config_for(box))
    assert run.status == 1
    for stream in OTHERS:
        assert run.rows(stream) == truth(org, stream)
        assert run.bookmark(stream)
    assert not run.records("courses")
    assert "replication_key_value" not in run.state["bookmarks"].get("courses", {})
    assert run.failed == ["courses"]
    assert "403" in run.errors[-1]


def test_five_minutes_of_500_sink_one_stream_and_leave_its_bookmark(org: Organisation) -> None:
    with Sandbox(org) as box:
        before = run_tap(config=config_for(box)).state
    org.touch("courses", 3)
    org.touch("users", 3)
    with Sandbox(org, refuse={ENDPOINT["courses"].path: 500}) as box:
        run = run_tap(config=config_for(box), state=before, minute=0.1)
    assert run.status == 1
    assert run.state["bookmarks"]["courses"] == before["bookmarks"]["courses"]
    for stream in OTHERS:
        assert run.bookmark(stream).isoformat() > before["bookmarks"][stream][
            "replication_key_value"
        ].removesuffix("Z")
    assert run.failed == ["courses"]
    assert f"{KEEPS_FAILING}Litmos returned 500" in run.errors[-1]
    with Sandbox(org) as box:
        then = run_tap(config=config_for(box), state=run.state, minute=0.1)
    assert then.status == 0
    changed = truth(org, "courses")
    assert then.rows("courses").items() <= changed.items()
    assert len(then.rows("courses")) >= 3


def test_a_stream_that_fails_in_its_midst_keeps_the_windows_that_were_read(
    org: Organisation,
) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        late = incoming.since is not None and incoming.since.isoformat() > days_ago(15)
        return (403, {}, b"") if incoming.stream == "module_results" and late else None

    with Sandbox(org, on_request=refuse) as box:
        run = run_tap(config=config_for(box))
    assert run.status == 1
    assert run.records("module_results")
    kept = run.bookmark("module_results")
    with Sandbox(org) as box:
        then = run_tap(config=config_for(box), state=run.state)
    asked = [each.since for each in box.requests if each.stream == "module_results"]
    assert asked[0] is not None
    assert (kept - asked[0]).days <= 2
    rows = run.rows("module_results") | then.rows("module_results")
    assert rows == truth(org, "module_results")


def test_every_failed_stream_is_named(org: Organisation) -> None:
    refused = {ENDPOINT[stream].path: 403 for stream in ("courses", "users", "teams")}
    with Sandbox(org, refuse=refused) as box:
        run = run_tap(config=config_for(box, start_date=days_ago(2)))
    assert run.status == 1
    assert run.failed == ["courses", "teams", "users"]
    *reasons, _ = run.errors
    for stream, reason in zip(run.failed, reasons, strict=True):
        assert f"{stream} failed: GET {ENDPOINT[stream].path} returned 403" in reason


def test_different_reasons_are_all_given_though_no_stream_succeeds(org: Organisation) -> None:
    refused = {ENDPOINT["courses"].path: 403, ENDPOINT["users"].path: 404}
    with Sandbox(org, refuse=refused) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("courses", "users"))
    assert run.status == 1
    assert run.failed == ["courses", "users"]
    courses, users, _ = run.errors
    assert "courses failed: GET /org/courses returned 403: " in courses
    assert f"users failed: GET {ENDPOINT['users'].path} returned 404: " in users


def test_a_server_that_is_not_there_ends_the_run_once(org: Organisation) -> None:
    with Sandbox(org) as box:
        config = config_for(box)
    run = run_tap(config=config, minute=0.05)
    assert run.status == 1
    [line] = run.errors
    assert f"{NO_ANSWER}the connection failed (" in line
    assert "Connection refused" in line
    assert "Traceback" not in run.log
