"""Bad states and catalogs: a clear line, and a safe sync or status 1; no data skipped."""

from __future__ import annotations

import codecs
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support import catalog_of, config_for, run_tap, truth

from tap_litmos.bookmark import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Run

    from tap_litmos.sandbox import Organisation, Sandbox

KEY = "UpdatedDate"


def in_days(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def state_of(value: Any, **more: Any) -> dict[str, Any]:
    entry = {"replication_key": KEY, "replication_key_value": value, "replicated_from": OLD, **more}
    return {"bookmarks": {"users": entry}}


OLD = "2001-01-01T00:00:00Z"
GOOD = state_of(in_days(-1))


def sync(box: Sandbox, state: Any, **settings: Any) -> Run:
    run = run_tap(config=config_for(box, **settings), state=state, catalog=catalog_of("users"))
    assert "Traceback" not in run.log
    return run


# States

NOT_TRUSTED = {
    "no date": state_of("soon"),
    "empty": state_of(""),
    "null": state_of(None),
    "a number": state_of(1767225600),
    "a list": state_of(["2026-01-01"]),
    "past the end of time": state_of("9999-12-31T23:59:59-10:00"),
    "in the future": state_of(in_days(3)),
    "of another key": state_of(in_days(-1), replication_key="CreatedDate"),
    "of no key": state_of(in_days(-1), replication_key=None),
}


@pytest.mark.parametrize("what", NOT_TRUSTED)
def test_a_bookmark_that_cannot_be_trusted_is_not_followed(
    what: str, box: Sandbox, org: Organisation
) -> None:
    run = sync(box, NOT_TRUSTED[what])
    assert run.status == 0
    assert len(run.warnings) == 1
    assert run.rows("users") == truth(org, "users")
    assert datetime.now(UTC) - run.bookmark("users") < timedelta(days=1)


WITHOUT_BOOKMARK = {
    "nothing": {},
    "an empty file": "",
    "no bookmarks": {"bookmarks": {}},
    "an empty one": {"bookmarks": {"users": {}}},
    "partitions": {"bookmarks": {"users": {"partitions": [{"context": {"id": 1}, **GOOD}]}}},
    "progress markers": {"bookmarks": {"users": {"progress_markers": GOOD}}},
    "another tap's": {"bookmarks": {"issues": {"replication_key_value": in_days(-1)}}},
}


@pytest.mark.parametrize("what", WITHOUT_BOOKMARK)
def test_a_state_without_a_bookmark_is_a_backfill(
    what: str, box: Sandbox, org: Organisation
) -> None:
    run = sync(box, WITHOUT_BOOKMARK[what])
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    assert run.state["bookmarks"]["users"].keys() == set(KEYS)
    assert len(run.warnings) == (what in {"an empty file", "another tap's"})


@pytest.mark.parametrize("bookmark", ["0001-01-01T00:00:00Z", "2000-01-01T00:00:00Z"])
def test_a_bookmark_older_than_start_date_is_reported(
    bookmark: str, box: Sandbox, org: Organisation
) -> None:
    run = sync(box, state_of(bookmark), lookback_hours=720)
    assert run.status == 0
    assert len(run.warnings) == 1
    assert run.rows("users") == truth(org, "users")


def test_a_bookmark_moments_ahead_is_followed(box: Sandbox) -> None:
    """Clocks may differ by a little."""
    run = sync(box, state_of(in_days(0.001)))
    assert run.status == 0
    assert not run.warnings
    assert len(box.requests) == 1


def test_a_state_that_does_not_say_from_where_it_was_read_is_reported(box: Sandbox) -> None:
    state = state_of(in_days(-1))
    del state["bookmarks"]["users"]["replicated_from"]
    run = sync(box, state)
    assert run.status == 0
    [warning] = run.warnings
    assert "replicated_from" in warning
    assert len(box.requests) == 1


def test_a_state_with_some_streams_of_others_is_followed_for_those_that_are_known(
    box: Sandbox,
) -> None:
    run = sync(box, {"bookmarks": {**GOOD["bookmarks"], "issues": {}}})
    assert run.status == 0
    [warning] = run.warnings
    assert "'issues'" in warning
    assert len(box.requests) == 1
    assert "issues" not in run.state["bookmarks"]


NO_STATES = {
    "a list of bookmarks": {"bookmarks": []},
    "null": {"bookmarks": None},
    "a bookmark that is null": {"bookmarks": {"users": None}},
    "a bookmark that is text": {"bookmarks": {"users": "2026-01-01"}},
    "bookmarks at the top": {"users": {"replication_key_value": in_days(-1)}},
    "a list": "[]",
    "a text": '"x"',
    "NaN": "NaN",
    "too deep": "[" * 100_000,
    "bytes": "\x00\x01",
}


@pytest.mark.parametrize("what", NO_STATES)
def test_what_is_no_state_ends_the_run_before_any_request(what: str, box: Sandbox) -> None:
    run = sync(box, NO_STATES[what])
    assert run.status == 1
    [line] = run.errors
    assert "tate" in line
    assert not box.requests
    assert not run.output


AS_SAVED: dict[str, Callable[[str], bytes]] = {
    "with a BOM": lambda text: codecs.BOM_UTF8 + text.encode(),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "in UTF-16 without a BOM": lambda text: text.encode("utf-16-le"),
    "indented": lambda text: json.dumps(json.loads(text), indent=4).encode(),
}


@pytest.mark.parametrize("how", AS_SAVED)
def test_files_may_be_as_other_programs_save_them(how: str, box: Sandbox, tmp_path: Path) -> None:
    files = {"config": config_for(box), "state": GOOD, "catalog": catalog_of("users")}
    arguments = []
    for name, content in files.items():
        path = tmp_path / f"{name}.json"
        path.write_bytes(AS_SAVED[how](json.dumps(content)))
        arguments += [f"--{name}", str(path)]
    run = run_tap(*arguments)
    assert run.status == 0
    assert not run.warnings
    assert [seen.stream for seen in box.requests] == ["users"]


LINES = [json.dumps(state) for state in (state_of(in_days(-40)), GOOD)]
AS_KEPT = {
    "a STATE message": {"type": "STATE", "value": GOOD},
    "several lines, of which the last counts": "\n".join(LINES) + "\n",
    "lines of Windows": "\r\n".join(LINES),
    "as Meltano prints it": {"singer_state": GOOD},
    "as Meltano stores it": {"completed": {"singer_state": GOOD}, "partial": {}},
    "partial alone": {"completed": {}, "partial": {"singer_state": GOOD}},
    "partial newer than completed": {
        "completed": {"singer_state": state_of(in_days(-40))},
        "partial": {"singer_state": GOOD},
    },
}


@pytest.mark.parametrize("how", AS_KEPT)
def test_a_state_may_be_as_targets_and_meltano_keep_it(how: str, box: Sandbox) -> None:
    run = sync(box, AS_KEPT[how])
    assert run.status == 0
    assert not run.warnings
    assert len(box.requests) == 1


# Catalogs


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return a catalog with only users selected, whose entry was changed."""
    catalog = catalog_of("users")
    [entry] = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "users"]
    change(entry)
    return catalog


def metadata(entry: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    wanted = [["properties", name] for name in names] if names else [[]]
    return [part["metadata"] for part in entry["metadata"] if part["breadcrumb"] in wanted]


def give(entry: dict[str, Any], *names: str, **values: Any) -> None:
    for found in metadata(entry, *names):
        found.update(values)


def remove(entry: dict[str, Any], *names: str) -> None:
    for name in names:
        del entry["schema"]["properties"][name]
    entry["metadata"] = [
        part for part in entry["metadata"] if part["breadcrumb"][-1:] not in [[n] for n in names]
    ]


def properties(entry: dict[str, Any], **fields: Any) -> None:
    entry["schema"]["properties"].update(fields)


SAFE_CATALOGS: dict[str, Callable[[dict[str, Any]], object]] = {
    "keys deselected": lambda e: give(e, "Id", KEY, selected=False, inclusion="available"),
    "keys not supported": lambda e: give(e, "Id", KEY, selected=True, inclusion="unsupported"),
    "keys not listed": lambda e: remove(e, "Id", KEY),
    "no key properties": lambda e: e.update(key_properties=[]),
    "another replication key": lambda e: e.update(replication_key="X"),
    "keys without a type": lambda e: properties(e, Id={}, UpdatedDate={}),
    "a key of another type": lambda e: properties(e, UpdatedDate={"type": ["null"]}),
    "another name": lambda e: e.update(stream="people"),
    "no method": lambda e: e.pop("replication_method", None),
    "an unknown field": lambda e: properties(e, emial={"type": "string"}),
}


@pytest.mark.parametrize("what", SAFE_CATALOGS)
def test_a_catalog_cannot_take_rows_or_keys_away(
    what: str, box: Sandbox, org: Organisation
) -> None:
    catalog = changed(SAFE_CATALOGS[what])
    run = run_tap(config=config_for(box), catalog=catalog)
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    [schema] = run.of_type("SCHEMA")
    assert schema["key_properties"] == ["Id"]
    assert schema["schema"]["properties"][KEY]["format"] == "date-time"
    assert run.bookmark("users")
    assert run_tap(config=config_for(box), state=run.state, catalog=catalog).status == 0


def test_fields_that_a_stale_catalog_does_not_list_are_left_out(
    box: Sandbox, org: Organisation
) -> None:
    catalog = changed(lambda entry: remove(entry, "City", "Skype"))
    run = run_tap(config=config_for(box), catalog=catalog)
    assert run.status == 0
    assert run.rows("users").keys() == truth(org, "users").keys()
    assert not {"City", "Skype"} & run.records("users")[0].keys()


@pytest.mark.parametrize("listed", [["users"], ["users", "user"]])
def test_a_catalog_may_list_little_of_what_there_is_and_more(
    listed: list[str], box: Sandbox, org: Organisation
) -> None:
    run = run_tap(
        config=config_for(box), catalog={"streams": [{"tap_stream_id": name} for name in listed]}
    )
    assert run.status == 0
    assert run.rows("users").keys() == truth(org, "users").keys()
    assert {seen.stream for seen in box.requests} == {"users"}
    assert ["'user'" in line for line in run.warnings] == [True] * (len(listed) - 1)


@pytest.mark.parametrize("method", ["FULL_TABLE", "LOG_BASED"])
def test_another_method_reads_all_rows(method: str, box: Sandbox, org: Organisation) -> None:
    def full(entry: dict[str, Any]) -> None:
        entry["replication_method"] = method
        give(entry, **{"forced-replication-method": method})

    run = run_tap(config=config_for(box), state=GOOD, catalog=changed(full))
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")


NO_CATALOGS: dict[str, Any] = {
    "a text": {"streams": "users"},
    "no object of streams": {},
    "no streams": {"streams": []},
    "null": {"streams": None},
    "a stream that is null": {"streams": [None]},
    "a stream without a name": {"streams": [{"schema": {}}]},
    "metadata that is null": {"streams": [{"tap_stream_id": "users", "metadata": None}]},
    "metadata without metadata": {
        "streams": [{"tap_stream_id": "users", "metadata": [{"breadcrumb": []}]}]
    },
    "a field that is no object": {
        "streams": [{"tap_stream_id": "users", "schema": {"properties": {"Id": 7}}}]
    },
    "too deep": '{"a":' * 100_000,
}


@pytest.mark.parametrize("what", NO_CATALOGS)
def test_what_is_no_catalog_ends_the_run_before_any_request(what: str, box: Sandbox) -> None:
    run = run_tap(config=config_for(box), catalog=NO_CATALOGS[what])
    assert run.status == 1
    assert "Traceback" not in run.log
    [line] = run.errors
    assert "catalog" in line
    assert not box.requests
