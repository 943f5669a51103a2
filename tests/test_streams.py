"""Every stream and every field: what the catalog says of it, and what arrives."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest
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

from tap_litmos.sandbox import Organisation, Sandbox

if TYPE_CHECKING:
    from tap_litmos.declaration import Endpoint, Field

FACTS: dict[str, Any] = {
    facts["stream"]: facts
    for facts in json.loads(Path(__file__).with_name("endpoints.json").read_text())
}
"""What the vendor's document says."""

JSON_TYPES: dict[str, dict[str, str]] = {
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
}
DELIVERED_AS = {"Score": "number", "Passmark": "number", "TimeTaken": "string"}
"""Fields that are delivered as another type than the facts give, on purpose."""

ALL = {"detect_deletes": True, "include_login_key": True}
"""Settings with which there is every stream and every field."""

LOGIN_LINKS = ("users", "user_logins")
WITH_DATES = sorted(name for name, endpoint in ENDPOINT.items() if not endpoint.is_listing)


def entries(config: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of the catalog by stream."""
    streams = catalog_of(config=config)["streams"]
    return {entry["tap_stream_id"]: entry for entry in streams}


@pytest.fixture(scope="module")
def catalog() -> dict[str, Any]:
    return entries(ALL)


# Against the facts


def test_all_documented_endpoints_are_synced() -> None:
    assert set(FACTS) <= set(DEFAULT_STREAMS)


@pytest.mark.parametrize("stream", FACTS)
def test_a_stream_is_what_the_facts_say(stream: str, catalog: dict[str, Any]) -> None:
    """It may have more fields, which were found in practice."""
    facts, endpoint, entry = FACTS[stream], ENDPOINT[stream], catalog[stream]
    assert endpoint.path == facts["path"]
    assert endpoint.nesting == (facts["root"], facts["item"])
    assert endpoint.references == facts["references"]
    assert entry["key_properties"] == facts["primary_key"]
    assert entry["replication_key"] == facts["replication_key"]
    assert entry["replication_method"] == "INCREMENTAL"
    fields = {field.name: field for field in endpoint.fields}
    for fact in facts["fields"]:
        name, field = fact["name"], fields[fact["name"]]
        assert name in entry["schema"]["properties"]
        assert field.kind == DELIVERED_AS.get(name, fact["type"])
        also = {spelling.lower() for spelling in (name, *field.also_sent_as)}
        assert also == {spelling.lower() for spelling in (name, *fact.get("also_sent_as", ()))}


# The catalog; all of it is reviewed in `snapshots`


def test_the_catalog_lists_every_stream(catalog: dict[str, Any]) -> None:
    assert sorted(catalog) == sorted(DECLARATION)


@pytest.mark.parametrize("stream", DECLARATION)
def test_every_field_is_typed_described_and_available(stream: str, catalog: dict[str, Any]) -> None:
    declaration, entry = DECLARATION[stream], catalog[stream]
    keys = {*declaration.primary_key, declaration.replication_key}
    metadata = {tuple(item["breadcrumb"]): item["metadata"] for item in entry["metadata"]}
    described = [entry["schema"]["description"]]
    assert list(entry["schema"]["properties"]) == [field.name for field in declaration.fields]
    for field in declaration.fields:
        found = dict(entry["schema"]["properties"][field.name])
        title = found.pop("title")
        described.append(found.pop("description"))
        assert title.replace(" ", "").lower() == field.name.lower()
        assert title[0].isupper()
        expected: dict[str, Any] = dict(JSON_TYPES.get(field.kind, {"type": "string"}))
        is_key = field.name in declaration.primary_key
        expected["type"] = [expected["type"], *([] if is_key else ["null"])]
        if is_key and field.kind in {"string", "hash"}:
            expected["maxLength"] = 64 if field.kind == "hash" else 255
        assert found == expected, field.name
        inclusion = "automatic" if field.name in keys else "available"
        assert metadata["properties", field.name]["inclusion"] == inclusion, field.name
    assert all(len(text) >= 8 and text == text.strip() for text in described)
    assert not any("\n" in text for text in described)
    assert metadata[()]["table-key-properties"] == list(declaration.primary_key)
    assert metadata[()].get("replication-key") == declaration.replication_key
    assert metadata[()]["selected-by-default"] is declaration.selected_by_default


@pytest.mark.parametrize("off", [{}, {"include_login_key": False}])
def test_only_login_links_and_listings_are_opted_into(
    off: dict[str, Any], catalog: dict[str, Any]
) -> None:
    found = entries(off)
    assert found.keys() == {name for name in catalog if name in WITH_DATES or name == "sync_log"}
    for stream, entry in found.items():
        fields = catalog[stream]["schema"]["properties"].keys()
        left_out = fields - entry["schema"]["properties"].keys()
        assert left_out == ({"LoginKey"} if stream in LOGIN_LINKS else set())


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
    """Return two rows without a null; if one has true, the other one has false."""
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
            assert list(map(type, record.values())) == [type(want[name]) for name in record]


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%f}"
    return escape(str(value))


SPELLINGS = {
    "as in records": lambda field: field.name,
    "in capitals": lambda field: field.name.upper(),
    "first other name": lambda field: (*field.also_sent_as, field.name)[0],
    "last other name": lambda field: (field.name, *field.also_sent_as)[-1].lower(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_field_arrives_whatever_its_spelling(spelling: str) -> None:
    rows = {stream: rows_of(ENDPOINT[stream]) for stream in WITH_DATES}
    bodies = {}
    for stream, sent in rows.items():
        tags = {field.name: SPELLINGS[spelling](field) for field in ENDPOINT[stream].fields}
        items = [
            "".join(f"<{tags[n]}>{written(value)}</{tags[n]}>" for n, value in row.items())
            for row in sent
        ]
        bodies[stream] = page(stream, *items)
    with serving(bodies) as box:
        check_arrival(box, rows)


def test_login_links_are_delivered_only_if_the_setting_says_so() -> None:
    org = Organisation(users=3, years=0.1, live=False)
    with Sandbox(org) as box:
        asked = run_tap(config=config_for(box, include_login_key=True))
        # A catalog that selects them is not enough.
        default = run_tap(config=config_for(box), catalog=catalog_of(*LOGIN_LINKS, config=ALL))
    for stream in LOGIN_LINKS:
        [schema] = default.of_type("SCHEMA", stream)
        assert "LoginKey" not in schema["schema"]["properties"]
        assert not any("LoginKey" in record for record in default.records(stream))
        assert len(asked.records(stream)) == len(default.records(stream)) > 0
        assert all("loginkey" in record["LoginKey"] for record in asked.records(stream))
    assert "loginkey" not in default.log + asked.log
