"""The command line, and what the SDK offers with it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    NOT_READY,
    Record,
    Run,
    catalog_of,
    config_for,
    days_ago,
    fold,
    in_environment,
    run_process,
    run_tap,
    truth,
)

from tap_litmos.sandbox import Organisation, Sandbox


def check_one_line(run: Run, *words: str) -> None:
    """Check that a run ended with one line that says why, and nothing on stdout."""
    assert run.status not in {0, None}
    assert not run.output
    assert "Traceback" not in run.log
    last = run.log.strip().splitlines()[-1]
    for word in words:
        assert word in last


NO_NETWORK = """
import sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"}:
        raise RuntimeError(event)
sys.addaudithook(refuse)
from tap_litmos.__main__ import main
main()
"""


# Streams that are closed, and logging that is set up wrongly


def run_in_shell(redirection: str, *arguments: str, config: dict[str, Any]) -> Run:
    """Run the tap with redirections of a shell."""
    script = f'"$0" -m tap_litmos "$@" {redirection}'
    shell = ("sh", "-c", script, sys.executable)
    return run_process(*arguments, config=config, command=shell)


@pytest.mark.parametrize("arguments", [(), ("--test",), ("--check",)])
def test_a_closed_stdout_ends_it_in_a_line(arguments: tuple[str, ...], box: Sandbox) -> None:
    run = run_in_shell(">&-", *arguments, config=config_for(box))
    check_one_line(run, "stdout is closed")
    assert not box.requests


@pytest.mark.parametrize("arguments", [(), ("--test",), ("--check",)])
def test_a_closed_stderr_does_not_matter(arguments: tuple[str, ...], box: Sandbox) -> None:
    run = run_in_shell("2>&-", *arguments, config=config_for(box))
    assert run.status == 0
    assert run.output


def test_logging_that_cannot_be_set_up_ends_it_in_a_line(tmp_path: Path) -> None:
    run = run_process(env={"LOGLEVEL": "loud"})
    check_one_line(run, "Unknown level: 'LOUD'", "check LOGLEVEL")
    path = tmp_path / "logging.yaml"
    for content in ("a: [", "version: 2", "1", ""):
        path.write_text(content)
        run = run_process(env={"SINGER_SDK_LOG_CONFIG": str(path)})
        check_one_line(run, "Logging cannot be set up", "SINGER_SDK_LOG_CONFIG")


# About, version, discovery


def test_version() -> None:
    for run in (run_tap("--version"), run_process("--version")):
        assert run.status == 0
        assert f"tap-litmos v{version('tap-litmos')}," in run.output.decode()


def test_the_installed_command_is_the_module() -> None:
    command = (str(Path(sys.executable).parent / "tap-litmos"),)
    assert (
        run_process("--help", command=command).output.decode().split("\n", 1)[1]
        == (run_process("--help").output.decode().split("\n", 1)[1])
    )


@pytest.mark.parametrize("arguments", [[], ["--format", "json"], ["--format", "markdown"]])
def test_about(arguments: list[str]) -> None:
    run = run_tap("--about", *arguments)
    assert run.status == 0
    assert not run.errors
    text = run.output.decode()
    for setting in ("api_key", "window_days", "TAP_LITMOS" if not text else "region"):
        assert setting in text
    if "json" in arguments:
        assert json.loads(text)["name"] == "tap-litmos"
        assert {"catalog", "state", "discover", "about", "batch"} <= set(
            json.loads(text)["capabilities"]
        )


def test_discovery_needs_neither_config_nor_network() -> None:
    run = run_process("--discover", command=(sys.executable, "-c", NO_NETWORK))
    assert run.status == 0
    streams = {each["tap_stream_id"] for each in json.loads(run.output)["streams"]}
    assert set(DEFAULT_STREAMS) <= streams
    assert not run.warnings


def test_discovery_with_a_config_asks_for_nothing(box: Sandbox) -> None:
    run = run_tap("--discover", config=config_for(box))
    assert run.status == 0
    assert json.loads(run.output) == json.loads(run_tap("--discover").output)
    assert not box.requests


# Trying a connection


@pytest.mark.parametrize("page_size", [2, 1000])
def test_test_costs_one_request_a_stream(page_size: int, org: Organisation) -> None:
    now = datetime.now(UTC)
    with Sandbox(org) as box:
        org_rows = {stream: len(org.rows(stream)) for stream in DEFAULT_STREAMS}
        assert min(org_rows.values()) > 0
        run = run_tap("--test", config=config_for(box, page_size=page_size))
        assert run.status == 0
        assert Counter(seen.stream for seen in box.requests) == Counter(DEFAULT_STREAMS)
        assert len(box.requests) == 17
        assert all(seen.to and seen.to >= now + timedelta(days=1) for seen in box.requests)
        assert all(seen.start == 0 for seen in box.requests)
    assert run.log.endswith(" 17 of 17 endpoints answer; ready to sync\n")
    assert len(run.log.splitlines()) == 1


@pytest.mark.parametrize("option", ["--test", "--test=records"])
def test_test_says_which_endpoints_do_not_answer_and_why(option: str, org: Organisation) -> None:
    refused = {"courses": 404, "teams": 403}
    with Sandbox(org, refuse={ENDPOINT[each].path: refused[each] for each in refused}) as box:
        run = run_tap(option, config=config_for(box))
        assert len(box.requests) == 17
    assert run.status == 1
    *reasons, verdict = run.errors
    assert f"15{NOT_READY}" in verdict
    assert run.failed == list(refused)
    for (stream, status), reason in zip(refused.items(), reasons, strict=True):
        assert f"{stream} failed: GET {ENDPOINT[stream].path} returned {status}: " in reason


def test_test_says_once_why_no_endpoint_answers(box: Sandbox) -> None:
    config = config_for(box)
    config["api_url"] += "/elsewhere"
    run = run_tap("--test", config=config)
    assert run.status == 1
    [verdict] = run.errors
    assert f" 0{NOT_READY}all 17 streams failed for the same reason: " in verdict
    assert f"GET {ENDPOINT[DEFAULT_STREAMS[0]].path} returned 404" in verdict


def test_test_asks_for_the_streams_that_a_catalog_selects(box: Sandbox) -> None:
    catalog = catalog_of("teams", "activity_logins")
    run = run_tap("--test", config=config_for(box), catalog=catalog)
    assert run.status == 0
    assert {seen.stream for seen in box.requests} == {"teams", "activity_logins"}
    assert run.log.endswith(" 2 of 2 endpoints answer; ready to sync\n")
    run = run_tap("--test", config=config_for(box), catalog="{}")
    check_one_line(run, "is not a Singer catalog")


def test_check_says_that_it_uses_no_catalog(box: Sandbox) -> None:
    config = config_for(box, api_key="wrong")
    run = run_tap("--check", config=config, catalog=catalog_of("teams"))
    assert len(run.warnings) == 1
    assert "--catalog ignored" in run.warnings[0]


def test_test_asks_for_no_more_when_pages_are_full() -> None:
    org = Organisation(users=1, years=0.1, live=False)
    now = datetime.now(UTC)
    for stream in DEFAULT_STREAMS:
        endpoint = ENDPOINT[stream]
        row: Record = dict.fromkeys(endpoint.primary_key, 1)
        row |= {"CreatedDate": now, endpoint.replication_key or "": now}
        org.replace_rows(stream, [row] * 9)
    with Sandbox(org) as box:
        run = run_tap("--test", config=config_for(box, page_size=2))
        assert run.status == 0
        assert len(box.requests) == 17
        assert not run.warnings


def test_test_says_when_the_key_is_wrong(box: Sandbox) -> None:
    run = run_tap("--test", config=config_for(box, api_key="wrong"))
    assert run.status == 1
    assert len(box.requests) == 1
    assert "API key" in run.log.strip().splitlines()[-1]


def test_test_schema_asks_for_nothing(box: Sandbox) -> None:
    run = run_tap("--test=schema", config=config_for(box))
    assert run.status == 0
    assert {each["type"] for each in run.messages} == {"SCHEMA"}
    assert not box.requests


# Files that are not there, or not what they should be


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
@pytest.mark.parametrize("content", [" x", "{", "[]", "5", '"text"', "\x00"])
def test_a_broken_file_ends_the_run(option: str, content: str, box: Sandbox) -> None:
    files: dict[str, Any] = {"config": config_for(box), option: content}
    run = run_tap(**files)
    check_one_line(run)
    assert f"--{option}" in run.log.splitlines()[-1]
    assert not box.requests


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
def test_a_missing_file_ends_the_run(option: str, box: Sandbox, tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere.json")
    config = None if option == "config" else config_for(box)
    check_one_line(run_tap(f"--{option}", path, config=config), option, path)
    assert not box.requests


def test_without_config_the_environment_is_read(box: Sandbox) -> None:
    config = config_for(box, start_date=days_ago(1))
    env = in_environment(config)
    run = run_process(env=env)
    assert run.status == 0
    assert len(box.requests) == 17
    assert run.records("users") or run.of_type("SCHEMA", "users")
    assert run_process("--config", "ENV", env=env).status == 0


def test_config_files_may_be_several(box: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    config = config_for(box, start_date=days_ago(1))
    secret.write_text(json.dumps({"api_key": config.pop("api_key")}))
    assert run_tap("--config", str(secret), config=config).status == 0
    assert len(box.requests) == 17


def test_nothing_but_messages_is_on_stdout(box: Sandbox, org: Organisation) -> None:
    run = run_process(config=config_for(box))
    assert run.status == 0
    assert {each["type"] for each in run.messages} == {"SCHEMA", "RECORD", "STATE"}
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == truth(org, stream)


# Selection


def test_only_selected_streams_are_read(box: Sandbox, org: Organisation) -> None:
    run = run_tap(config=config_for(box), catalog=catalog_of("teams", "users"))
    assert run.status == 0
    assert {seen.stream for seen in box.requests} == {"teams", "users"}
    assert {each["stream"] for each in run.of_type("SCHEMA")} == {"teams", "users"}
    for stream in ("teams", "users"):
        assert run.rows(stream) == truth(org, stream)


@pytest.mark.parametrize("stream", DEFAULT_STREAMS)
def test_every_field_but_the_keys_can_be_left_out(stream: str, box: Sandbox) -> None:
    endpoint = ENDPOINT[stream]
    keys = set(endpoint.key_fields)
    unselected = {each.name: False for each in endpoint.fields if each.name not in keys}
    run = run_tap(config=config_for(box), catalog=catalog_of(stream, fields={stream: unselected}))
    assert run.status == 0
    [schema] = run.of_type("SCHEMA", stream)
    assert set(schema["schema"]["properties"]) == keys
    assert run.records(stream)
    assert all(set(record) == keys for record in run.records(stream))


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
    catalog = catalog_of("users", "team_courses", "sync_log")
    chosen = [each for each in catalog["streams"] if each["metadata"][-1]["metadata"]["selected"]]
    for each in chosen:
        of_fields = [part for part in each["metadata"] if part["breadcrumb"]]
        each["metadata"] = of_fields if kept == "fields" else []
        if kept == "none":
            del each["metadata"]
    run = run_tap(config=config_for(box), catalog={"streams": chosen})
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    assert run.rows("team_courses") == truth(org, "team_courses")
    assert run.of_type("RECORD", "sync_log")
    for message in run.of_type("SCHEMA"):
        assert message["schema"]["properties"].keys() >= set(message["key_properties"])
        for record in run.records(message["stream"]):
            assert record.keys() <= message["schema"]["properties"].keys()


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
        config=config_for(box, stream_maps=maps),
        catalog=catalog_of("users", "teams", "courses"),
    )
    assert run.status == 0
    wanted = {key: row for key, row in truth(org, "users").items() if row["Active"]}
    assert run.rows("users").keys() == wanted.keys()
    for key, row in run.rows("users").items():
        assert "Email" not in row
        assert len(row["Key"]) == 32
        assert row["Domain"] == wanted[key]["UserName"].split("@")[-1]
    groups = [each["record"] for each in run.of_type("RECORD", "groups")]
    assert fold("teams", groups) == truth(org, "teams")
    assert not run.of_type("RECORD", "teams")
    assert not run.of_type("RECORD", "courses")
    assert run.bookmark("users")


@pytest.mark.parametrize("map_of", ["userz", "user", "of userz"])
def test_a_stream_map_for_no_stream_is_warned_of(map_of: str, box: Sandbox) -> None:
    """Else the addresses that it was to leave out would be written without a word."""
    maps: dict[str, Any] = {"*ids": None, "copy": {"__source__": "users"}, "__else__": None}
    wrong = {"Email": None, **({"__source__": "userz"} if map_of == "of userz" else {})}
    run = run_tap(
        config=config_for(box, stream_maps={**maps, map_of: wrong}, detect_deletes=True),
        catalog=catalog_of("users"),
    )
    assert run.status == 0
    [warning] = run.warnings
    assert "unknown stream" in warning
    assert "users" in warning


def test_a_broken_stream_map_ends_the_run(box: Sandbox) -> None:
    maps = {"users": {"Sum": "1 +"}}
    check_one_line(run_tap(config=config_for(box, stream_maps=maps)))
    assert not box.requests


def test_flattening_changes_nothing_in_flat_rows(box: Sandbox, org: Organisation) -> None:
    config = config_for(box, flattening_enabled=True, flattening_max_depth=2)
    run = run_tap(config=config)
    assert run.status == 0
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == truth(org, stream)
