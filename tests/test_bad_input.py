"""Bad states and catalogs: a clear line, and a safe sync or status 1; no data skipped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support import (
    ENDPOINT,
    catalog_of,
    config_for,
    run_tap,
    truth,
)

from tap_litmos.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Run

    from tap_litmos.sandbox import Organisation

KEY = "UpdatedDate"


def state_of(value: Any, **more: Any) -> dict[str, Any]:
    return {
        "bookmarks": {"users": {"replication_key": KEY, "replication_key_value": value, **more}}
    }


def sync(box: Sandbox, state: Any, *streams: str, **settings: Any) -> Run:
    catalog = catalog_of(*(streams or ("users",)))
    run = run_tap(config=config_for(box, **settings), state=state, catalog=catalog)
    assert "Traceback" not in run.log
    return run


def in_days(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


NOT_TRUSTED = {
    "no date": (state_of("soon"), "'soon' is not a date"),
    "empty": (state_of(""), "'' is not a date"),
    "a number": (state_of(1767225600), "1767225600 is not a date"),
    "a list": (state_of(["2026-01-01"]), "is not a date"),
    "past the end of time": (state_of("9999-12-31T23:59:59-10:00"), "is not a date"),
    "in the future": (state_of(in_days(3)), "is in the future"),
    "far in the future": (state_of("9999-12-31T00:00:00Z"), "is in the future"),
    "of another key": (state_of(in_days(-1), replication_key="CreatedDate"), "'CreatedDate'"),
    "of no key": (state_of(in_days(-1), replication_key=None), "replication key None"),
}


@pytest.mark.parametrize("what", NOT_TRUSTED)
def test_a_bookmark_that_cannot_be_trusted_is_not_followed(
    what: str, box: Sandbox, org: Organisation
) -> None:
    state, words = NOT_TRUSTED[what]
    run = sync(box, state)
    assert run.status == 0
    [warning] = run.warnings
    assert "users: the bookmark" in warning
    assert words in warning
    assert "reading from start_date again" in warning
    assert run.rows("users") == truth(org, "users")
    assert datetime.now(UTC) - run.bookmark("users") < timedelta(days=1)


WITHOUT_BOOKMARK = {
    "nothing": {},
    "no bookmarks": {"bookmarks": {}},
    "an empty one": {"bookmarks": {"users": {}}},
    "null": state_of(None),
    "partitions": {
        "bookmarks": {
            "users": {
                "partitions": [
                    {
                        "context": {"id": 1},
                        "replication_key": KEY,
                        "replication_key_value": in_days(-1),
                    }
                ]
            }
        }
    },
    "partitions of another shape": {"bookmarks": {"users": {"partitions": "x"}}},
    "progress markers": {
        "bookmarks": {
            "users": {
                "progress_markers": {
                    "replication_key": KEY,
                    "replication_key_value": in_days(-1),
                }
            }
        }
    },
    "progress markers of another shape": {"bookmarks": {"users": {"progress_markers": "x"}}},
}


@pytest.mark.parametrize("what", WITHOUT_BOOKMARK)
def test_a_state_without_a_bookmark_is_a_backfill(
    what: str, box: Sandbox, org: Organisation
) -> None:
    run = sync(box, WITHOUT_BOOKMARK[what])
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    assert run.state["bookmarks"]["users"].keys() == {
        "replication_key",
        "replication_key_value",
        "replicated_from",
    }


@pytest.mark.parametrize("bookmark", ["0001-01-01T00:00:00Z", "2000-01-01T00:00:00Z"])
def test_a_bookmark_older_than_start_date_is_told_of(
    bookmark: str, box: Sandbox, org: Organisation
) -> None:
    run = sync(box, state_of(bookmark), lookback_hours=720)
    assert run.status == 0
    [warning] = run.warnings
    assert "start_date" in warning
    assert run.rows("users") == truth(org, "users")


def test_a_bookmark_that_cannot_be_trusted_is_dropped_though_its_stream_fails(
    org: Organisation,
) -> None:
    with Sandbox(org, refuse={ENDPOINT["users"].path: 403}) as box:
        run = sync(box, state_of("soon"), "users", "teams")
    assert run.status == 1
    assert not run.state["bookmarks"]["users"]


def test_a_bookmark_moments_ahead_is_followed(box: Sandbox) -> None:
    """Clocks may differ by a little."""
    run = sync(box, state_of(in_days(0.001)))
    assert run.status == 0
    assert not run.warnings
    assert len(box.requests) == 1


REFUSED_STATES = {
    "no object of bookmarks": {"bookmarks": []},
    "null": {"bookmarks": None},
    "a bookmark that is no object": {"bookmarks": {"users": "2026-01-01"}},
    "a bookmark that is null": {"bookmarks": {"users": None}},
    "another tap's": {"bookmarks": {"issues": {"replication_key_value": in_days(-1)}}},
    "bookmarks at the top": {"users": {"replication_key_value": in_days(-1)}},
    "a list": "[]",
    "a text": '"x"',
    "no JSON": "{",
    "NaN": "NaN",
    "too deep": "[" * 100_000,
    "bytes": "\x00\x01",
}


@pytest.mark.parametrize("what", REFUSED_STATES)
def test_a_state_that_is_none_ends_the_run(what: str, box: Sandbox) -> None:
    run = sync(box, REFUSED_STATES[what])
    assert run.status == 1
    [line] = run.errors
    assert "tate" in line
    assert not box.requests
    assert not run.output


def test_a_state_with_some_streams_of_others_is_followed_where_it_is_known(
    box: Sandbox,
) -> None:
    state = state_of(in_days(-1))
    state["bookmarks"]["issues"] = {"replication_key_value": in_days(-1)}
    run = sync(box, state)
    assert run.status == 0
    [warning] = run.warnings
    assert "Unknown stream 'issues' in the state ignored" in warning
    assert len(box.requests) == 1


def test_a_state_of_a_tap_with_a_stream_of_the_same_name_is_not_followed(
    box: Sandbox, org: Organisation
) -> None:
    state = {
        "bookmarks": {
            "users": {"replication_key": "updated_at", "replication_key_value": in_days(-1)}
        }
    }
    run = sync(box, state)
    assert run.rows("users") == truth(org, "users")
    assert "replication key 'updated_at'" in run.warnings[0]


# Catalogs


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return a catalog with only users selected, whose entry was changed."""
    catalog = catalog_of("users")
    [entry] = [each for each in catalog["streams"] if each["tap_stream_id"] == "users"]
    change(entry)
    return catalog


def metadata(entry: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    wanted = [["properties", name] for name in names] if names else [[]]
    return [each["metadata"] for each in entry["metadata"] if each["breadcrumb"] in wanted]


def deselect(entry: dict[str, Any], *names: str) -> None:
    for each in metadata(entry, *names):
        each.update(selected=False, inclusion="available")


def remove(entry: dict[str, Any], *names: str) -> None:
    for name in names:
        del entry["schema"]["properties"][name]
    entry["metadata"] = [
        each for each in entry["metadata"] if each["breadcrumb"][-1:] not in [[n] for n in names]
    ]


def exclude(entry: dict[str, Any], *names: str) -> None:
    for each in metadata(entry, *names):
        each.update(selected=True, inclusion="unsupported")


SAFE_CATALOGS: dict[str, tuple[dict[str, Any], str]] = {
    "key deselected": (changed(lambda entry: deselect(entry, "Id")), "are keys"),
    "replication key deselected": (
        changed(lambda entry: deselect(entry, KEY)),
        "written although they are not selected: UpdatedDate",
    ),
    "both deselected": (changed(lambda entry: deselect(entry, "Id", KEY)), "Id, UpdatedDate"),
    "key not listed": (changed(lambda entry: remove(entry, "Id")), "are keys"),
    "keys not supported": (changed(lambda entry: exclude(entry, "Id", KEY)), "are keys"),
    "no key properties": (changed(lambda entry: entry.update(key_properties=[])), ""),
    "another replication key": (changed(lambda entry: entry.update(replication_key="X")), ""),
    "keys without a type": (
        changed(lambda entry: entry["schema"]["properties"].update({"Id": {}, KEY: {}})),
        "",
    ),
    "a key of another type": (
        changed(lambda entry: entry["schema"]["properties"].update({KEY: {"type": ["null"]}})),
        "",
    ),
    "a name that is none": (
        changed(lambda entry: entry.update(stream=["users"])),
        "users: its other name in the catalog, ['users'], ignored",
    ),
    "no method": (changed(lambda entry: entry.pop("replication_method", None)), ""),
    "an unknown field": (
        changed(lambda entry: entry["schema"]["properties"].update(emial={"type": "string"})),
        "users: unknown field 'emial' in the catalog ignored; did you mean 'Email'?",
    ),
}


@pytest.mark.parametrize("what", SAFE_CATALOGS)
def test_a_catalog_cannot_take_rows_or_keys_away(
    what: str, box: Sandbox, org: Organisation
) -> None:
    catalog, words = SAFE_CATALOGS[what]
    run = run_tap(config=config_for(box), catalog=catalog)
    assert run.status == 0
    assert "Traceback" not in run.log
    assert words in "".join(run.warnings)
    assert bool(run.warnings) == bool(words)
    assert run.rows("users") == truth(org, "users")
    [schema] = run.of_type("SCHEMA")
    assert schema["key_properties"] == ["Id"]
    assert schema["schema"]["properties"][KEY]["format"] == "date-time"
    assert run.bookmark("users")
    then = run_tap(config=config_for(box), state=run.state, catalog=catalog)
    assert then.status == 0


def test_fields_that_a_stale_catalog_does_not_list_are_named(
    box: Sandbox, org: Organisation
) -> None:
    catalog = changed(lambda entry: remove(entry, "City", "Skype"))
    run = run_tap(config=config_for(box), catalog=catalog)
    assert run.status == 0
    [warning] = run.warnings
    assert "are missing and not written; --discover lists them: City, Skype" in warning
    assert run.rows("users").keys() == truth(org, "users").keys()
    assert not {"City", "Skype"} & run.records("users")[0].keys()


def test_a_stream_that_a_catalog_does_not_know_is_named(box: Sandbox, org: Organisation) -> None:
    catalog = catalog_of("users")
    catalog["streams"].append(
        {"tap_stream_id": "user", "stream": "user", "schema": {}, "metadata": []}
    )
    run = run_tap(config=config_for(box), catalog=catalog)
    assert run.status == 0
    [warning] = run.warnings
    assert "Unknown stream 'user' in the catalog ignored; did you mean 'users'?" in warning
    assert run.rows("users") == truth(org, "users")


@pytest.mark.parametrize("method", ["FULL_TABLE", "LOG_BASED"])
def test_another_method_reads_all_rows(method: str, box: Sandbox, org: Organisation) -> None:
    def full(entry: dict[str, Any]) -> None:
        entry["replication_method"] = method
        for each in metadata(entry):
            each["forced-replication-method"] = method

    state = state_of(in_days(-1))
    run = run_tap(config=config_for(box), state=state, catalog=changed(full))
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    assert f"catalog requests {method}" in run.log


def test_a_stream_that_is_listed_with_nothing_else_is_synced(
    box: Sandbox, org: Organisation
) -> None:
    run = run_tap(config=config_for(box), catalog={"streams": [{"tap_stream_id": "users"}]})
    assert run.status == 0
    assert run.rows("users").keys() == truth(org, "users").keys()


def test_a_stream_with_two_names_in_the_catalog_keeps_its_own(
    box: Sandbox, org: Organisation
) -> None:
    catalog = changed(lambda entry: entry.update(stream="people"))
    run = run_tap(config=config_for(box), catalog=catalog)
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    [warning] = run.warnings
    assert "users: its other name in the catalog, 'people', ignored" in warning


REFUSED_CATALOGS: dict[str, Any] = {
    "nothing": {},
    "no streams": {"streams": []},
    "a text": {"streams": "users"},
    "null": {"streams": None},
    "a stream that is null": {"streams": [None]},
    "a stream without a name": {"streams": [{"schema": {}}]},
    "a stream with a number for a name": {"streams": [{"tap_stream_id": 5}]},
    "metadata that is null": {"streams": [{"tap_stream_id": "users", "metadata": None}]},
    "metadata without metadata": {
        "streams": [{"tap_stream_id": "users", "metadata": [{"breadcrumb": []}]}]
    },
    "a field that is no object": {
        "streams": [{"tap_stream_id": "users", "schema": {"properties": {"Id": 7}}}]
    },
    "a list": "[]",
    "no JSON": "{",
    "too deep": '{"a":' * 100_000,
}


@pytest.mark.parametrize("what", REFUSED_CATALOGS)
def test_a_catalog_that_is_none_ends_the_run(what: str, box: Sandbox) -> None:
    run = run_tap(config=config_for(box), catalog=REFUSED_CATALOGS[what])
    assert run.status == 1
    assert "Traceback" not in run.log
    [line] = run.errors
    assert "--catalog" in line
    assert not box.requests


def test_a_catalog_that_selects_nothing_is_told_of(box: Sandbox) -> None:
    run = run_tap(config=config_for(box), catalog=catalog_of())
    assert run.status == 0
    assert "The catalog selects no stream" in run.warnings[0]
    assert not box.requests
