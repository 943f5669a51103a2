"""The command line, and what the SDK offers with it."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    NOT_READY,
    Run,
    catalog_of,
    config_for,
    days_ago,
    fold,
    in_environment,
    run_process,
    run_tap,
    started,
    truth,
)

from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from support import Record


def check_one_line(run: Run, *words: str) -> None:
    """Check that a run ended with one line that says why, and nothing on stdout."""
    assert run.status == 1
    assert not run.output
    assert "Traceback" not in run.log
    last = run.log.strip().splitlines()[-1]
    for word in words:
        assert word in last


# Streams that are closed, and signals


def run_in_shell(redirection: str, *arguments: str, config: dict[str, Any]) -> Run:
    """Run the tap with redirections of a shell."""
    script = f'"$0" -m tap_litmos "$@" {redirection}'
    return run_process(*arguments, config=config, command=("sh", "-c", script, sys.executable))


def test_a_closed_stdout_ends_it_in_a_line(box: Sandbox) -> None:
    check_one_line(run_in_shell(">&-", config=config_for(box)), "stdout is closed")
    assert not box.requests


def test_a_closed_stderr_does_not_matter(box: Sandbox) -> None:
    run = run_in_shell("2>&-", config=config_for(box))
    assert run.status == 0
    assert run.state


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("concurrency", [1, 5])
def test_a_signal_ends_it_at_once_with_the_status_of_shells(
    number: signal.Signals, status: int, concurrency: int, org: Organisation
) -> None:
    ready = threading.Event()

    def hang(incoming: Incoming) -> str | None:
        if incoming.number < 4:  # what is written until then fits into the pipe
            return None
        ready.set()
        return "silent"

    with (
        Sandbox(org, on_request=hang) as box,
        started(config=config_for(box, max_concurrent_requests=concurrency)) as tap,
    ):
        assert ready.wait(60)
        tap.interrupt(number)
        run = tap.finish()
    assert run.status == status
    assert "Traceback" not in run.log
    assert len(run.warnings) == 1
    assert run.output.endswith(b"\n")


# About, version, discovery

NO_NETWORK = """
import sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"}:
        raise RuntimeError(event)
sys.addaudithook(refuse)
from tap_litmos.__main__ import main
main()
"""


def test_version_and_help_of_the_installed_command() -> None:
    assert f"tap-litmos v{version('tap-litmos')}," in run_process("--version").output.decode()
    command = (str(Path(sys.executable).parent / "tap-litmos"),)
    text = run_process("--help", command=command).output.decode()
    assert {"--check", "--test", "--config"} <= set(text.split())


@pytest.mark.parametrize("form", [[], ["--format", "json"], ["--format", "markdown"]])
def test_about(form: list[str]) -> None:
    run = run_tap("--about", *form)
    assert run.status == 0
    assert not run.errors
    text = run.output.decode()
    assert "window_days" in text
    if "json" in form:
        assert {"catalog", "state", "batch"} <= set(json.loads(text)["capabilities"])


def test_discovery_needs_neither_config_nor_network() -> None:
    run = run_process("--discover", command=(sys.executable, "-c", NO_NETWORK))
    assert run.status == 0
    streams = {entry["tap_stream_id"] for entry in json.loads(run.output)["streams"]}
    assert set(DEFAULT_STREAMS) <= streams
    assert not [*run.warnings, *run.errors]


def test_discovery_with_a_config_asks_for_nothing(box: Sandbox) -> None:
    run = run_tap("--discover", config=config_for(box))
    assert run.status == 0
    assert json.loads(run.output) == json.loads(run_tap("--discover").output)
    assert not box.requests


# Trying a connection


@pytest.mark.parametrize("is_full", [False, True])
def test_test_costs_one_request_a_stream(is_full: bool, org: Organisation) -> None:  # noqa: FBT001
    now = datetime.now(UTC)
    if is_full:
        org = Organisation(users=1, years=0.1, live=False)
        for stream in DEFAULT_STREAMS:
            endpoint = ENDPOINT[stream]
            row: Record = dict.fromkeys(endpoint.primary_key, 1)
            row |= {"CreatedDate": now, endpoint.replication_key or "": now}
            org.replace_rows(stream, [row] * 9)
    with Sandbox(org) as box:
        run = run_tap("--test", config=config_for(box, page_size=2 if is_full else 1000))
    assert run.status == 0
    assert not [*run.warnings, *run.errors]
    assert Counter(seen.stream for seen in box.requests) == Counter(DEFAULT_STREAMS)
    assert all(seen.to and seen.to >= now + timedelta(days=1) for seen in box.requests)
    count = len(DEFAULT_STREAMS)
    assert f"{count} of {count} endpoints answer; ready to sync" in run.log.splitlines()[-1]


def test_test_says_which_endpoints_do_not_answer_and_why(org: Organisation) -> None:
    refused = {"courses": 404, "teams": 403}
    with Sandbox(org, refuse={ENDPOINT[name].path: refused[name] for name in refused}) as box:
        run = run_tap("--test", config=config_for(box))
    assert len(box.requests) == len(DEFAULT_STREAMS)
    assert run.status == 1
    *reasons, verdict = run.errors
    assert f"{len(DEFAULT_STREAMS) - 2}{NOT_READY}" in verdict
    assert run.failed == list(refused)
    for (stream, status), reason in zip(refused.items(), reasons, strict=True):
        assert f"{stream} failed: {ENDPOINT[stream].path}: Litmos returned {status}" in reason


def test_test_asks_for_the_streams_that_a_catalog_selects(box: Sandbox) -> None:
    catalog = catalog_of("teams", "activity_logins")
    run = run_tap("--test", config=config_for(box), catalog=catalog)
    assert run.status == 0
    assert {seen.stream for seen in box.requests} == {"teams", "activity_logins"}


def test_test_schema_asks_for_nothing(box: Sandbox) -> None:
    run = run_tap("--test=schema", config=config_for(box))
    assert run.status == 0
    assert {message["type"] for message in run.messages} == {"SCHEMA"}
    assert not box.requests


# Files


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
@pytest.mark.parametrize("content", [" x", "{", "[]", "\x00", None])
def test_a_file_that_is_broken_or_missing_ends_the_run(
    option: str, content: str | None, box: Sandbox
) -> None:
    files: dict[str, Any] = {"config": config_for(box), option: content}
    arguments = [f"--{option}", "nowhere.json"] if content is None else []
    check_one_line(run_tap(*arguments, **files), f"--{option} ")
    assert not box.requests


def test_without_config_the_environment_is_read(box: Sandbox) -> None:
    env = in_environment(config_for(box, start_date=days_ago(1)))
    assert run_process(env=env).status == 0
    assert len(box.requests) == len(DEFAULT_STREAMS)
    assert run_process("--config", "ENV", env=env).status == 0


def test_config_files_may_be_several(box: Sandbox, tmp_path: Path) -> None:
    secret, config = tmp_path / "secret.json", config_for(box, start_date=days_ago(1))
    secret.write_text(json.dumps({"api_key": config.pop("api_key")}))
    assert run_tap("--config", str(secret), config=config).status == 0
    assert len(box.requests) == len(DEFAULT_STREAMS)


# Selection


def test_only_selected_streams_are_read_and_nothing_but_messages_is_on_stdout(
    box: Sandbox, org: Organisation
) -> None:
    run = run_process(config=config_for(box), catalog=catalog_of("teams", "users"))
    assert run.status == 0
    assert {message["type"] for message in run.messages} == {"SCHEMA", "RECORD", "STATE"}
    assert {seen.stream for seen in box.requests} == {"teams", "users"}
    assert {schema["stream"] for schema in run.of_type("SCHEMA")} == {"teams", "users"}
    for stream in ("teams", "users"):
        assert run.rows(stream) == truth(org, stream)


def test_every_field_but_the_keys_can_be_left_out(box: Sandbox) -> None:
    keys = {stream: set(ENDPOINT[stream].key_fields) for stream in DEFAULT_STREAMS}
    unselected = {
        stream: {f.name: False for f in ENDPOINT[stream].fields if f.name not in keys[stream]}
        for stream in keys
    }
    run = run_tap(config=config_for(box), catalog=catalog_of(*keys, fields=unselected))
    assert run.status == 0
    for schema in run.of_type("SCHEMA"):
        assert set(schema["schema"]["properties"]) == keys[schema["stream"]]
    for stream, names in keys.items():
        assert run.records(stream)
        assert all(set(record) == names for record in run.records(stream))


def test_a_field_is_left_out_alone(box: Sandbox, org: Organisation) -> None:
    fields = {"users": {"Email": False, "LastName": False}}
    run = run_tap(config=config_for(box), catalog=catalog_of("users", fields=fields))
    expected = truth(org, "users")
    for row in expected.values():
        del row["Email"], row["LastName"]
    assert run.rows("users") == expected


def test_nothing_selected_is_nothing_to_do(box: Sandbox) -> None:
    run = run_tap(config=config_for(box), catalog=catalog_of())
    assert run.status == 0
    assert not run.of_type("RECORD")
    assert not box.requests


@pytest.mark.parametrize("kept", ["none", "empty", "fields"])
def test_a_catalog_without_metadata_of_a_stream_selects_it(
    kept: str, box: Sandbox, org: Organisation
) -> None:
    names = ("users", "team_courses")
    streams = [s for s in catalog_of(*names)["streams"] if s["tap_stream_id"] in names]
    for stream in streams:
        fields = [part for part in stream.pop("metadata") if part["breadcrumb"]]
        if kept != "none":
            stream["metadata"] = fields if kept == "fields" else []
    run = run_tap(config=config_for(box), catalog={"streams": streams})
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    assert run.rows("team_courses") == truth(org, "team_courses")
    for message in run.of_type("SCHEMA"):
        assert message["schema"]["properties"].keys() >= set(message["key_properties"])


# Stream maps, flattening


def test_stream_maps(box: Sandbox, org: Organisation) -> None:
    maps = {
        "users": {
            "Email": None,
            "Domain": "UserName.split('@')[-1]",
            "Key": "md5(Id)",
            "__filter__": "Active",
        },
        "teams": {"__alias__": "groups"},
        "courses": None,
    }
    run = run_tap(
        config=config_for(box, stream_maps=maps), catalog=catalog_of("users", "teams", "courses")
    )
    assert run.status == 0
    wanted = {key: row for key, row in truth(org, "users").items() if row["Active"]}
    assert run.rows("users").keys() == wanted.keys()
    for key, row in run.rows("users").items():
        assert "Email" not in row
        assert len(row["Key"]) == 32
        assert row["Domain"] == wanted[key]["UserName"].split("@")[-1]
    groups = [message["record"] for message in run.of_type("RECORD", "groups")]
    assert fold("teams", groups) == truth(org, "teams")
    assert not run.of_type("RECORD", "teams")
    assert run.bookmark("users")


@pytest.mark.parametrize("maps", [{"courses": None}, {"__else__": None, "users": {}}])
def test_a_stream_that_a_map_drops_is_not_read_and_keeps_its_bookmark(
    maps: dict[str, Any], box: Sandbox, org: Organisation
) -> None:
    config, catalog = config_for(box), catalog_of("users", "courses")
    before = run_tap(config=config, catalog=catalog, state={}).state
    box.requests.clear()
    run = run_tap(config={**config, "stream_maps": maps}, catalog=catalog, state=before)
    assert run.status == 0
    assert {seen.stream for seen in box.requests} == {"users"}
    assert run.state["bookmarks"]["courses"] == before["bookmarks"]["courses"]
    assert {schema["stream"] for schema in run.of_type("SCHEMA")} == {"users"}
    assert run.rows("users").items() <= truth(org, "users").items()


def test_flattening_changes_nothing_in_flat_rows(box: Sandbox, org: Organisation) -> None:
    run = run_tap(config=config_for(box, flattening_enabled=True, flattening_max_depth=2))
    assert run.status == 0
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == truth(org, stream)
