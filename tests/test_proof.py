"""The statements of docs/proof.md, in PostgreSQL and DuckDB, and what they find."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import time_machine
from strange import StrangeSandbox as Sandbox
from support import (
    DECLARATION,
    DEFAULT_STREAMS,
    ENDPOINT,
    Record,
    Run,
    catalog_of,
    config_for,
    days_ago,
    fold,
    page,
    run_tap,
    truth,
)

from scripts.environment import ROOT
from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from destinations import Postgres

    from tap_litmos.declaration import Field

    Answer = tuple[int, Any, bytes] | None


def statements(about: str, document: str) -> list[str]:
    """Return the SQL statements of a document that name a table."""
    text = (ROOT / document).read_text("utf-8")
    found = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    return [" ".join(statement.split()) for statement in found if about in statement]


LISTINGS = {
    "user_ids": "users",
    "course_ids": "courses",
    "learning_path_ids": "learning_paths",
    "team_ids": "teams",
}
LOADED = ("sync_log", *DEFAULT_STREAMS, *LISTINGS)

PROOF = (ROOT / "docs" / "proof.md").read_text("utf-8")
SPANS, HOLES, MISSING, DIGESTS, COUNTS, NEVER_ARRIVED, GONE = statements("", "docs/proof.md")

[LATE] = re.findall(r"`(case when [^`]*? end as complete_to)`", PROOF)
LATE_SPANS = SPANS.replace('"CompleteTo" as complete_to', LATE)

ISO = "%Y-%m-%dT%H:%M:%S.%f"
TYPES = {
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "datetime": "timestamptz",
}


class Warehouse(ABC):
    """Where the statements run."""

    @abstractmethod
    def query(self, sql: str) -> list[Record]:
        """Return the rows that a statement finds; all date-times are texts."""

    @abstractmethod
    def run(self, sql: str) -> None:
        """Run a statement."""


class InDuckDB(Warehouse):
    """Tables in memory."""

    def __init__(self, records: Mapping[str, Sequence[Record]]) -> None:
        self._database = duckdb.connect()
        self._database.execute("set timezone to 'UTC'")
        for stream, rows in records.items():
            fields = DECLARATION[stream].fields
            columns = {field.name: TYPES.get(field.kind, "varchar") for field in fields}
            with NamedTemporaryFile("w", suffix=".jsonl") as file:
                file.writelines(f"{json.dumps(row)}\n" for row in rows)
                file.flush()
                source = f"read_json('{file.name}', columns = {columns})"
                self.run(f"create table {stream} as from {source}")

    def query(self, sql: str) -> list[Record]:
        rows = self._database.execute(f"select to_json(found) from ({sql}) found").fetchall()  # noqa: S608
        return [json.loads(row) for (row,) in rows]

    def run(self, sql: str) -> None:
        self._database.execute(sql)

    def close(self) -> None:
        self._database.close()


class InPostgres(Warehouse):
    """The tables that target-postgres has made."""

    def __init__(self, destination: Postgres) -> None:
        self._destination = destination
        self._schema = destination.config["default_target_schema"]

    def query(self, sql: str) -> list[Record]:
        return self._destination.query(sql, self._schema)

    def run(self, sql: str) -> None:
        self._destination.psql(f"set search_path to {self._schema}; {sql}")


@contextmanager
def in_duckdb(records: Mapping[str, Sequence[Record]]) -> Iterator[InDuckDB]:
    """Yield a database with these rows in its tables."""
    warehouse = InDuckDB(records)
    try:
        yield warehouse
    finally:
        warehouse.close()


def upserted(records: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """Return what tables hold that keep the last row of each key."""
    return {stream: list(fold(stream, rows).values()) for stream, rows in records.items()}


def adapted(statement: str, stream: str) -> str:
    """Return a statement about users as the document says to change it for another stream."""
    declaration = ENDPOINT[stream]
    names = {field.name: field for field in declaration.fields}
    changed = declaration.replication_key or ""
    key = ", '|', ".join(as_text(names[name]) for name in declaration.primary_key)
    if changed in declaration.primary_key:  # it stands in the line once
        replication = as_text(names[changed])
        statement = statement.replace(f", '|', {as_text(names['UpdatedDate'])}", "")
        assert replication
    return (
        statement.replace("'users'", f"'{stream}'")
        .replace("from users", f"from {stream}")
        .replace('concat("Id"', f"concat({key}")
        .replace('"Id" as loaded_key', f"concat({key}) as loaded_key")
        .replace('"UpdatedDate"', f'"{changed}"')
    )


def as_text(field: Field) -> str:
    """Return a field as the line has it of which a digest is made."""
    if field.kind == "datetime":
        return f'cast(extract(epoch from "{field.name}") * 1000000 as bigint)'
    return f'cast("{field.name}" as varchar)' if field.kind == "boolean" else f'"{field.name}"'


def moment(text: str) -> datetime:
    """Return a moment that a warehouse tells; without a zone it is in UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def check_spans(warehouse: Warehouse, streams: Sequence[str], start: datetime) -> None:
    """Check that every stream was read without a hole, from the start until just now."""
    spans = warehouse.query(SPANS)
    assert [row["Stream"] for row in spans] == sorted(streams)
    now = datetime.now(UTC)
    for row in spans:
        assert row["Holes"] == 0
        assert moment(row["ReadFrom"]) <= start
        assert now - timedelta(hours=1) < moment(row["ReadTo"]) <= now
    assert warehouse.query(HOLES) == []
    for row in warehouse.query(LATE_SPANS):
        assert row["Holes"] == 0
        assert moment(row["ReadTo"]) <= now - timedelta(days=1)


def missing(warehouse: Warehouse, stream: str) -> int:
    """Return how many rows of a stream are missing for certain."""
    [row] = warehouse.query(adapted(MISSING, stream))
    assert row["Windows"] > 0
    count = row["Missing"]
    assert isinstance(count, int)
    return count


def differing(warehouse: Warehouse, stream: str) -> list[Record]:
    """Return the windows of a stream whose digests differ."""
    windows = warehouse.query(adapted(DIGESTS, stream))
    assert windows
    return [row for row in windows if row["Digest"] != row["Recomputed"]]


# What is broken on purpose


@pytest.fixture(scope="module")
def records() -> dict[str, list[Record]]:
    """Return what a first sync of the last weeks delivers."""
    org = Organisation(users=20, years=0.15, live=False)
    with Sandbox(org) as box:
        config = config_for(box, detect_deletes=True, start_date=days_ago(60))
        run = run_tap(config=config, catalog=catalog_of(*LOADED, config=config))
    assert run.status == 0
    return {stream: run.records(stream) for stream in LOADED}


@pytest.fixture(params=["upserted", "appended"])
def warehouse(
    request: pytest.FixtureRequest, records: dict[str, list[Record]]
) -> Iterator[Warehouse]:
    with in_duckdb(upserted(records) if request.param == "upserted" else records) as found:
        yield found


@pytest.mark.parametrize("stream", ["users", "team_courses", "user_logins", "team_ids"])
def test_a_window_that_is_missing_is_a_hole(warehouse: Warehouse, stream: str) -> None:
    assert warehouse.query(HOLES) == []
    of_stream = f"from sync_log where \"Stream\" = '{stream}'"
    if stream in LISTINGS:
        warehouse.run(f"delete {of_stream}")
        assert stream not in [row["Stream"] for row in warehouse.query(SPANS)]
        return
    windows = warehouse.query(f'select * {of_stream} order by "Since"')
    lost = windows[2]
    warehouse.run(f"delete {of_stream} and \"Since\" = '{lost['Since']}'")
    [hole] = warehouse.query(HOLES)
    assert hole == {"Stream": stream, "HoleFrom": lost["Since"], "HoleTo": lost["To"]}
    assert [row["Stream"] for row in warehouse.query(SPANS) if row["Holes"]] == [stream]


def test_a_window_with_rows_left_out_is_a_hole() -> None:
    with Sandbox(Organisation(users=60, years=0.25, live=False), keyless=0.02) as box:
        catalog = catalog_of("sync_log", "module_results")
        run = run_tap(config=config_for(box, start_date=days_ago(110)), catalog=catalog)
    assert run.status == 1
    left_out = [row for row in run.records("sync_log") if row["RowsWithoutKey"]]
    assert left_out
    with in_duckdb({"sync_log": run.records("sync_log")}) as warehouse:
        [span] = warehouse.query(SPANS)
        [late] = warehouse.query(LATE_SPANS)
        holes = warehouse.query(HOLES)
        reached = moment(span["ReadTo"])
    assert late["Holes"] == span["Holes"] > 0
    assert moment(late["ReadTo"]) <= reached
    for row in left_out:
        since, to = moment(row["Since"]), moment(row["To"])
        in_hole = [hole for hole in holes if moment(hole["HoleFrom"]) <= since]
        assert to > reached or any(to <= moment(hole["HoleTo"]) for hole in in_hole)


def test_a_clock_that_ran_ahead_leaves_no_hole() -> None:
    org, ahead = Organisation(users=20, years=0.15, live=False), timedelta(days=10)
    catalog = catalog_of("sync_log", "users")
    with (
        time_machine.travel(datetime.now(UTC) + ahead),
        Sandbox(org, clock_skew=-ahead.total_seconds()) as box,
    ):
        first = run_tap(config=config_for(box), catalog=catalog)
    with Sandbox(org) as box:
        second = run_tap(config=config_for(box), catalog=catalog, state=first.state)
    assert (first.status, second.status) == (0, 0)
    rows = first.records("sync_log") + second.records("sync_log")
    assert any(row["CompleteTo"] < row["Since"] for row in rows)
    with in_duckdb({"sync_log": rows}) as warehouse:
        for statement in (SPANS, LATE_SPANS):
            assert [row["Holes"] for row in warehouse.query(statement)] == [0]
        assert warehouse.query(HOLES) == []


def test_an_end_date_before_what_was_read_leaves_a_hole_until_a_sync_without_it() -> None:
    org = Organisation(users=20, years=0.15, live=False)
    catalog, state = catalog_of("sync_log", "users"), None
    start, end, day_before = days_ago(20), days_ago(50), days_ago(21)
    log: list[Record] = []
    holes = []
    with Sandbox(org) as box:
        for settings in ({"start_date": start}, {"end_date": end}, {}):
            run = run_tap(config=config_for(box, **settings), catalog=catalog, state=state)
            assert run.status == 0
            state = run.state
            log += run.records("sync_log")
            with in_duckdb({"sync_log": log}) as warehouse:
                found = warehouse.query(HOLES)
            holes.append([(hole["HoleFrom"][:10], hole["HoleTo"][:10]) for hole in found])
    assert holes == [[], [(end, day_before)], []]


@pytest.mark.parametrize("stream", ["users", "team_courses", "course_results"])
def test_a_row_that_is_missing_is_counted(warehouse: Warehouse, stream: str) -> None:
    assert missing(warehouse, stream) == 0
    [lost] = warehouse.query(f'select * from {stream} order by "UpdatedDate" limit 1')  # noqa: S608
    key = ENDPOINT[stream].primary_key
    same = " and ".join(f"\"{name}\" = '{lost[name]}'" for name in key)
    warehouse.run(f"delete from {stream} where {same}")  # noqa: S608
    assert missing(warehouse, stream) == 1


def created_or_updated(incoming: Incoming, rows: Sequence[Mapping[str, Any]]) -> Answer:
    """Answer with the users that were created or last changed in a window."""
    if incoming.stream != "users" or incoming.since is None or incoming.to is None:
        return None
    found = [
        f"<Id>{row['Id']}</Id><CreatedDate>{row['CreatedDate']:{ISO}}</CreatedDate>"
        f"<UpdatedDate>{row['UpdatedDate']:{ISO}}</UpdatedDate>"
        for row in rows
        if incoming.since <= row["CreatedDate"] <= incoming.to
        or incoming.since <= row["UpdatedDate"] <= incoming.to
    ]
    start, limit = incoming.start or 0, incoming.limit or 0
    return 200, {}, page("users", *found[start : start + limit])


@pytest.mark.parametrize("means", ["updated", "created or updated", "by day, in another zone"])
def test_nothing_is_called_missing_whatever_the_service_means(means: str) -> None:
    org = Organisation(users=40, years=0.15, live=False)
    rows: list[dict[str, Any]] = list(org.rows("users"))
    for row in rows:
        row["UpdatedDate"] = min(row["CreatedDate"] + timedelta(days=10), org.now())
    org.replace_rows("users", rows)
    habits: dict[str, dict[str, Any]] = {
        "updated": {},
        "created or updated": {"on_request": lambda incoming: created_or_updated(incoming, rows)},
        "by day, in another zone": {"reading": "day", "zone": -8},
    }
    with Sandbox(org, **habits[means]) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("sync_log", "users"))
    assert run.status == 0
    loaded = {stream: run.records(stream) for stream in ("sync_log", "users")}
    elsewhere = sum(row["Rows"] - row["RowsDatedInWindow"] for row in loaded["sync_log"])
    assert (elsewhere > 20) == (means == "created or updated")
    with in_duckdb(upserted(loaded)) as warehouse:
        assert missing(warehouse, "users") == 0
        exact = "zone" not in means
        assert differing(warehouse, "users") == [] or not exact
        for number, row in enumerate(loaded["users"][:3], 1):
            warehouse.run(f"delete from users where \"Id\" = '{row['Id']}'")  # noqa: S608
            assert missing(warehouse, "users") == number or not exact
        warehouse.run("delete from users")
        [counted] = warehouse.query(MISSING)
        assert counted["Missing"] == counted["Rows"]


def test_a_row_that_was_altered_changes_the_digest(records: dict[str, list[Record]]) -> None:
    with in_duckdb(upserted(records)) as warehouse:
        assert differing(warehouse, "users") == []
        [row] = warehouse.query('select "Id" from users order by "UpdatedDate" limit 1')
        later = "\"UpdatedDate\" + interval '1 millisecond'"
        warehouse.run(f'update users set "UpdatedDate" = {later} where "Id" = \'{row["Id"]}\'')  # noqa: S608
        assert len(differing(warehouse, "users")) == 1


def test_ids_that_have_not_changed_since_the_start_date_never_arrived(
    records: dict[str, list[Record]],
) -> None:
    with in_duckdb(records) as warehouse:
        never = {row["Id"] for row in warehouse.query(NEVER_ARRIVED)}
    latest = max(row["ListedAt"] for row in records["user_ids"])
    listed = {row["Id"] for row in records["user_ids"] if row["ListedAt"] == latest}
    assert never == listed - {row["Id"] for row in records["users"]}


def test_the_statement_of_the_readme_marks_deleted_rows_in_duckdb() -> None:
    org = Organisation(users=40, years=0.1, live=False)
    runs: list[Run] = []
    with Sandbox(org) as box:
        config = config_for(box, detect_deletes=True)
        runs.append(run_tap(config=config))
        before = set(truth(org, "users"))
        org.delete("users", 3)
        runs.append(run_tap(config=config, state=runs[0].state))
    loaded = {
        stream: [row for run in runs for row in run.records(stream)]
        for stream in ("users", "user_ids")
    }
    later = f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%S.%fZ}"
    loaded["users"].append({"Id": "joined later", "CreatedDate": later})
    with in_duckdb(upserted(loaded)) as warehouse:
        warehouse.run("alter table users add column _sdc_deleted_at timestamp")
        [statement] = statements("user_ids", "docs/destinations.md")
        warehouse.run(statement)
        marked = warehouse.query('select "Id" from users where _sdc_deleted_at is not null')
    assert {(row["Id"],) for row in marked} == before - set(truth(org, "users"))
    assert len(marked) == 3
