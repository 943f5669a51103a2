"""Every stream and every field: what the catalog says of it, and what arrives."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from xml.sax.saxutils import escape

import pytest
from strange import Spelling
from strange import StrangeSandbox as Sandbox
from support import (
    DECLARATION,
    DEFAULT_STREAMS,
    ENDPOINT,
    Record,
    canonical,
    catalog_of,
    config_for,
    days_ago,
    page,
    run_tap,
    serving,
)

from tap_litmos.sandbox import Organisation

if TYPE_CHECKING:
    from tap_litmos.declaration import Endpoint, Field

HERE = Path(__file__).parent
FACTS: dict[str, Any] = {
    each["stream"]: each for each in json.loads((HERE / "endpoints.json").read_text())
}
SNAPSHOTS = HERE / "snapshots"
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
JSON_TYPES = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "datetime": "string",
    "hash": "string",
    "others": "string",
}
DELIVERED_AS = {"Score": "number", "Passmark": "number", "TimeTaken": "string"}
"""Fields that are delivered as another type than the facts give, on purpose."""

LOGIN_LINKS = ("users", "user_logins")
STREAMS_WITH_DATES = sorted(name for name, each in ENDPOINT.items() if each.replication_key)


@pytest.fixture(scope="module")
def catalog() -> dict[str, Any]:
    """Return the entries of the catalog with all streams that there can be."""
    config = {
        "api_key": "k",
        "start_date": "2026-01-01",
        "detect_deletes": True,
        "include_login_key": True,
    }
    run = run_tap("--discover", config=config)
    assert run.status == 0
    return {each["tap_stream_id"]: each for each in json.loads(run.output)["streams"]}


def metadata(entry: dict[str, Any], *breadcrumb: str) -> dict[str, Any]:
    found: dict[str, Any]
    [found] = [
        each["metadata"]
        for each in entry["metadata"]
        if each["breadcrumb"] == [part for name in breadcrumb for part in ("properties", name)]
    ]
    return found


# Against the facts


def test_all_documented_endpoints_are_streams_that_are_synced() -> None:
    assert sorted(FACTS) == DEFAULT_STREAMS
    assert len(FACTS) == 17


@pytest.mark.parametrize("stream", FACTS)
def test_a_stream_is_what_the_facts_say(stream: str, catalog: dict[str, Any]) -> None:
    facts, endpoint, entry = FACTS[stream], ENDPOINT[stream], catalog[stream]
    assert endpoint.path == facts["path"]
    assert endpoint.nesting == (facts["root"], facts["item"])
    assert endpoint.references == facts["references"]
    assert entry["key_properties"] == facts["primary_key"]
    assert entry["replication_key"] == facts["replication_key"]
    assert entry["replication_method"] == "INCREMENTAL"
    names = [each["name"] for each in facts["fields"]]
    assert list(entry["schema"]["properties"]) == [*names, "OtherFields"]
    sent = [field for field in endpoint.fields if field.sent]
    kinds = {field.name: field.kind for field in sent}
    assert kinds == {
        each["name"]: DELIVERED_AS.get(each["name"], each["type"]) for each in facts["fields"]
    }
    for fact, field in zip(facts["fields"], sent, strict=True):
        known = {name.lower() for name in (field.name, *field.also_sent_as)}
        assert known == {name.lower() for name in (fact["name"], *fact.get("also_sent_as", ()))}


# The catalog


def test_the_catalog_lists_every_stream(catalog: dict[str, Any]) -> None:
    assert sorted(catalog) == sorted(DECLARATION)


@pytest.mark.parametrize("stream", DECLARATION)
def test_every_field_is_typed_and_described(stream: str, catalog: dict[str, Any]) -> None:
    endpoint, schema = DECLARATION[stream], catalog[stream]["schema"]
    assert schema["type"] == "object"
    described = {"": schema["description"]}
    for field in endpoint.fields:
        found = dict(schema["properties"][field.name])
        described[field.name] = found.pop("description")
        title = found.pop("title")
        assert title.replace(" ", "").lower() == field.name.lower()
        assert title[0].isupper()
        nullable = [] if field.name in endpoint.primary_key else ["null"]
        expected: dict[str, Any] = {"type": [JSON_TYPES[field.kind], *nullable]}
        if field.kind == "datetime":
            expected["format"] = "date-time"
        if field.name in endpoint.primary_key and field.kind in {"string", "hash"}:
            expected["maxLength"] = 64 if field.kind == "hash" else 255
        assert found == expected, field.name
    for name, text in described.items():
        assert len(text) >= 8, name
        assert len(text.splitlines()) == 1, name
        assert text == text.strip(), name


@pytest.mark.parametrize("stream", DECLARATION)
def test_keys_are_automatic_and_all_else_is_available(
    stream: str, catalog: dict[str, Any]
) -> None:
    endpoint, entry = DECLARATION[stream], catalog[stream]
    keys = {*endpoint.primary_key, endpoint.replication_key}
    for field in endpoint.fields:
        inclusion = "automatic" if field.name in keys else "available"
        assert metadata(entry, field.name)["inclusion"] == inclusion, field.name
    root = metadata(entry)
    assert root["table-key-properties"] == list(endpoint.primary_key)
    assert root.get("replication-key") == endpoint.replication_key
    assert root["selected-by-default"] is endpoint.selected_by_default


@pytest.mark.parametrize("stream", DECLARATION)
def test_only_login_links_are_left_out_by_default(stream: str, catalog: dict[str, Any]) -> None:
    found = json.loads(run_tap("--discover").output)["streams"]
    [properties] = [
        each["schema"]["properties"] for each in found if each["tap_stream_id"] == stream
    ] or [catalog[stream]["schema"]["properties"]]
    left_out = catalog[stream]["schema"]["properties"].keys() - properties.keys()
    assert left_out == ({"LoginKey"} if stream in LOGIN_LINKS else set())


@pytest.mark.parametrize("stream", DECLARATION)
def test_the_catalog_entry_is_the_reviewed_one(stream: str, catalog: dict[str, Any]) -> None:
    """With UPDATE_SNAPSHOTS=1 in the environment the files are written anew, for review."""
    path = SNAPSHOTS / f"{stream}.json"
    if UPDATE:
        text = json.dumps(catalog[stream], indent=2, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")
    assert path.exists(), "set UPDATE_SNAPSHOTS=1 once, and review the new file"
    assert catalog[stream] == json.loads(path.read_text(encoding="utf-8"))


def test_there_is_a_snapshot_for_each_stream_and_no_other() -> None:
    assert sorted(path.stem for path in SNAPSHOTS.iterdir()) == sorted(DECLARATION)


def test_a_field_that_is_opted_into_needs_its_setting() -> None:
    for stream, endpoint in ENDPOINT.items():
        hidden = {"LoginKey"} if stream in LOGIN_LINKS else set()
        for off in (False, None, "true", 1):
            assert endpoint.opted_out({"include_login_key": off}) == hidden
        assert endpoint.opted_out({}) == hidden
        assert not endpoint.opted_out({"include_login_key": True})
        properties = endpoint.schema(hidden)["properties"]
        assert endpoint.schema()["properties"].keys() - properties.keys() == hidden


@pytest.mark.parametrize("stream", ENDPOINT)
def test_the_last_field_is_the_taps_own(stream: str) -> None:
    endpoint = ENDPOINT[stream]
    last = "ListedAt" if endpoint.is_listing else "OtherFields"
    assert endpoint.fields[-1].name == last
    assert replace(endpoint, title="another").fields == endpoint.fields


# What arrives


def value_of(field: Field, number: int, endpoint: Endpoint) -> Any:
    """Return a value that no other field of the row has, or a boolean."""
    if field.name == endpoint.replication_key:
        recently = datetime.now(UTC) - timedelta(hours=1)
        return recently.replace(microsecond=number * 1000)
    match field.kind:
        case "integer":
            return 1_000_000 + number
        case "number":
            return number + 0.25
        case "boolean":
            return number % 2 == 0
        case "datetime":
            return datetime(2024, 2, 29, 1, 2, number % 60, number * 1000, tzinfo=UTC)
        case _:
            return f" {field.name} <é😀> &amp; "


def rows_of(endpoint: Endpoint) -> list[Record]:
    """Return two rows without a null; where one has true, the other one has false."""
    return [
        {
            field.name: value_of(field, number + place, endpoint)
            for number, field in enumerate(endpoint.fields)
            if field.sent
        }
        for place in (0, 1)
    ]


def without_hash(endpoint: Endpoint, record: Record) -> Record:
    hashes = {field.name for field in endpoint.fields if field.kind == "hash"}
    return {name: value for name, value in record.items() if name not in hashes}


def check_arrival(box: Sandbox, rows: dict[str, list[Record]]) -> None:
    """Check that these rows of all streams arrive, whole and typed, and no others."""
    config = config_for(box, start_date=days_ago(1), include_login_key=True)
    run = run_tap(config=config, catalog=catalog_of(*rows, config=config))
    assert run.status == 0
    assert not run.warnings
    for stream, sent in rows.items():
        endpoint = ENDPOINT[stream]
        expected = [canonical(endpoint, row, all_fields=True) for row in sent]
        records = [without_hash(endpoint, record) for record in run.records(stream)]
        assert records == expected
        for record, want in zip(records, expected, strict=True):
            assert {name: type(value) for name, value in record.items()} == {
                name: type(value) for name, value in want.items()
            }


@pytest.mark.parametrize("spelling", get_args(Spelling))
def test_every_field_arrives_typed_in_every_spelling_of_the_sandbox(spelling: Spelling) -> None:
    org = Organisation(users=1, years=0.1, live=False)
    rows = {stream: rows_of(ENDPOINT[stream]) for stream in STREAMS_WITH_DATES}
    for stream, sent in rows.items():
        org.replace_rows(stream, sent)
    with Sandbox(org, spelling=spelling) as box:
        check_arrival(box, rows)


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%f}"
    return escape(str(value))


SPELLINGS = {
    "as in records": lambda field: field.name,
    "in capitals": lambda field: field.name.upper(),
    "in small letters": lambda field: field.name.lower(),
    "first other name": lambda field: (*field.also_sent_as, field.name)[0],
    "last other name": lambda field: (field.name, *field.also_sent_as)[-1].lower(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_field_arrives_whatever_its_spelling(spelling: str) -> None:
    rows = {stream: rows_of(ENDPOINT[stream]) for stream in STREAMS_WITH_DATES}
    bodies = {}
    for stream, sent in rows.items():
        tags = {
            field.name: SPELLINGS[spelling](field)
            for field in ENDPOINT[stream].fields
            if field.sent
        }
        items = [
            "".join(
                f"<{tags[name]}>{written(value)}</{tags[name]}>" for name, value in row.items()
            )
            for row in sent
        ]
        bodies[stream] = page(stream, *items)
    with serving(bodies) as box:
        check_arrival(box, rows)


def test_login_links_are_delivered_only_when_asked_for() -> None:
    org = Organisation(users=3, years=0.1, live=False)
    with Sandbox(org) as box:
        asked = run_tap(config=config_for(box, include_login_key=True))
        # A catalog that selects them is not enough.
        catalog = json.loads(
            run_tap("--discover", config=config_for(box, include_login_key=True)).output
        )
        default = run_tap(config=config_for(box), catalog=catalog)
    for stream in LOGIN_LINKS:
        [schema] = default.of_type("SCHEMA", stream)
        assert "LoginKey" not in schema["schema"]["properties"]
        assert default.records(stream)
        assert not any("LoginKey" in record for record in default.records(stream))
        assert len(asked.records(stream)) == len(default.records(stream))
        assert all("loginkey" in record["LoginKey"] for record in asked.records(stream))
    assert "loginkey" not in default.log + asked.log
