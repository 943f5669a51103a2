"""What lands in real destinations: after killed syncs, a backfill and an incremental sync."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from destinations import (
    IN_FOLDERS,
    IN_POSTGRES,
    USUAL,
    Destination,
    Jsonl,
    Postgres,
    opened,
)
from support import DEFAULT_STREAMS, ENDPOINT, Key, catalog_of, config_for, fold, truth
from test_proof import (
    COUNTS,
    GONE,
    LISTINGS,
    LOADED,
    NEVER_ARRIVED,
    InPostgres,
    Warehouse,
    check_spans,
    differing,
    in_duckdb,
    missing,
    statements,
    upserted,
)

from scripts.environment import environment
from tap_litmos.sandbox import Incoming, Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tap_litmos.declaration import Field

State = dict[str, Any] | None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try the usual targets, or with `--all-targets` all that the documentation lists."""
    if "destination" in metafunc.fixturenames:
        every = metafunc.config.getoption("all_targets")
        groups = [*IN_FOLDERS, *IN_POSTGRES] if every else USUAL
        metafunc.parametrize("destination", groups, indirect=True)


@pytest.fixture
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    with opened(request.param, tmp_path) as place:
        yield place


class Pause:
    """Holds the answer to one of the next requests until it is told to go on."""

    def __init__(self) -> None:
        self.reached, self.over = threading.Event(), threading.Event()
        self.left = -1

    def after(self, requests: int) -> None:
        """Hold the answer to the request after so many."""
        self.reached.clear()
        self.over.clear()
        self.left = requests

    def __call__(self, _: Incoming) -> None:
        self.left -= 1
        if self.left == 0:
            self.reached.set()
            self.over.wait(60)


class Pipeline:
    """The tap and a target, run one after another with the state that was left."""

    def __init__(
        self,
        box: Sandbox,
        destination: Destination,
        folder: Path,
        catalog: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.state: State = None
        self._tap, self._target, self._saved = (
            folder / f"{name}.json" for name in ("tap", "target", "state")
        )
        self._options: list[str | Path] = []
        if catalog is not None:
            file = folder / "catalog.json"
            file.write_text(json.dumps(catalog))
            self._options = ["--catalog", file]
        self._tap.write_text(json.dumps(config_for(box, page_size=100, **settings)))
        self._target.write_text(json.dumps(destination.config))
        self._command = environment(destination.group) / destination.target
        self._env = {**os.environ, "TZ": "America/New_York", **destination.env}
        self._recover = destination.recover
        self._log = folder / "log"

    def run(self, kill: Callable[[Sequence[subprocess.Popen[bytes]]], None] | None = None) -> None:
        """Sync; a state that the target has told is used by the next sync.

        Args:
            kill: Given the processes of the target and of the tap, ends some of them.
        """
        tap: list[str | Path] = [sys.executable, "-m", "tap_litmos", "--config", self._tap]
        tap += self._options
        if self.state is not None:
            self._saved.write_text(json.dumps(self.state))
            tap += ["--state", self._saved]
        with (
            self._log.open("a") as log,
            subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=log) as source,  # noqa: S603
            subprocess.Popen(  # noqa: S603
                [self._command, "--config", self._target],
                stdin=source.stdout,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
            ) as sink,
        ):
            assert source.stdout
            source.stdout.close()
            if kill:
                kill((sink, source))
            told, _ = sink.communicate(timeout=120)
        if kill:
            self._recover()
        else:
            assert (source.returncode, sink.returncode) == (0, 0), self.said()
        with suppress(IndexError):
            self.state = json.loads(told.splitlines()[-1])

    def said(self) -> str:
        """Return what the tap and the target have written to stderr."""
        return self._log.read_text()[-5000:]


def check(destination: Destination, org: Organisation, gone: Mapping[str, set[Key]]) -> None:
    """Check that a destination holds exactly what there is, by key, type and value.

    Args:
        destination: The destination.
        org: The truth.
        gone: For each stream the keys of rows that were there in an earlier sync, and are
            not any more: no delta tells of that.
    """
    for stream in DEFAULT_STREAMS:
        rows = destination.rows(stream)
        loaded = fold(stream, rows)
        expected = {
            key: {name: destination.expected(value) for name, value in row.items()}
            for key, row in truth(org, stream).items()
        }
        assert {key: row for key, row in loaded.items() if key not in gone[stream]} == expected
        for row in rows:
            for field in ENDPOINT[stream].fields:
                check_type(field, row.get(field.name))
        if destination.upserts:
            assert len(rows) == len(loaded)
        destination.check_table(stream)


def check_type(field: Field, value: Any) -> None:
    """Check that a value, if there is one, has the type of its field; true is no 1."""
    kinds: dict[str, tuple[type, ...]] = {
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    if value is not None:
        assert isinstance(value, kinds.get(field.kind, (str,)))
        assert isinstance(value, bool) == (field.kind == "boolean")


def test_every_row_lands_whatever_happens(destination: Destination, tmp_path: Path) -> None:
    org, pause = Organisation(users=25, years=0.09, live=False), Pause()
    with Sandbox(org, on_request=pause) as box:
        catalog = catalog_of(*LOADED, config=config_for(box, detect_deletes=True))
        pipeline = Pipeline(box, destination, tmp_path, catalog, detect_deletes=True)

        def kill(number: int) -> Callable[[Sequence[subprocess.Popen[bytes]]], None]:
            def killed(processes: Sequence[subprocess.Popen[bytes]]) -> None:
                assert pause.reached.wait(60), pipeline.said()
                for process in processes[-number:]:
                    process.kill()
                pause.over.set()

            return killed

        pause.after(45)
        pipeline.run(kill(1))
        if destination.target == "target-jsonl":  # others write, and make tables, in batches
            assert any(destination.rows(stream) for stream in DEFAULT_STREAMS[:3])
        pause.after(30)
        pipeline.run(kill(2))
        pipeline.run()
        check(destination, org, {stream: set() for stream in DEFAULT_STREAMS})
        with warehouse_of(destination) as warehouse:
            if warehouse:
                check_proof(warehouse, org, set())

        before = {stream: truth(org, stream) for stream in DEFAULT_STREAMS}
        org.touch("team_courses", 3, Active=False)
        org.touch("courses", 2, Description=None, Price=0.5)
        org.happen(30)
        org.delete("users", 3)
        count = len(box.requests)
        pipeline.run()
        assert len(box.requests) - count == len(DEFAULT_STREAMS) + len(LISTINGS)
        gone = {stream: set(before[stream]) - set(truth(org, stream)) for stream in before}
        assert any(truth(org, stream) != before[stream] for stream in before)
        assert len(gone["users"]) == 3
        check(destination, org, gone)
        with warehouse_of(destination) as warehouse:
            if warehouse:
                check_proof(warehouse, org, {key for (key,) in gone["users"]})
    if isinstance(destination, Jsonl):
        check_that_duplicates_are_dropped(destination, org, gone["course_results"])
    if type(destination) is Postgres:
        check_that_rows_that_are_gone_get_marked(destination, {key for (key,) in gone["users"]})


@contextmanager
def warehouse_of(destination: Destination) -> Iterator[Warehouse | None]:
    """Yield where the statements of docs/proof.md find what a destination holds, if they can."""
    if type(destination) is Postgres:
        yield InPostgres(destination)
    elif isinstance(destination, Jsonl):
        loaded = {stream: destination.rows(stream) for stream in LOADED}
        with in_duckdb(upserted(loaded)) as found:
            yield found
    else:
        yield None


def check_proof(warehouse: Warehouse, org: Organisation, gone: set[str]) -> None:
    """Check that the log proves in SQL that every row came, and which users are gone."""
    check_spans(warehouse, LOADED[1:], org.start)
    for stream in DEFAULT_STREAMS:
        assert missing(warehouse, stream) == 0
        if not gone:
            assert differing(warehouse, stream) == []
    [counts] = warehouse.query(COUNTS)
    users = len(org.rows("users"))
    assert (counts["Listed"], counts["Loaded"]) == (users, users + len(gone))
    assert {row["Id"] for row in warehouse.query(GONE)} == gone
    assert warehouse.query(NEVER_ARRIVED) == []


def check_that_duplicates_are_dropped(
    destination: Jsonl, org: Organisation, gone: set[Key]
) -> None:
    """Check that the documented statement leaves one row for each key, the newest."""
    assert len(destination.rows("course_results")) > len(truth(org, "course_results"))
    [statement] = statements("course_results", "docs/destinations.md")
    with duckdb.connect() as database:
        file = destination.folder / "course_results.jsonl"
        database.execute(f"create view course_results as from read_json('{file}')")
        found = database.execute(
            f"select Id, UserId, Completed, PercentageComplete from ({statement})"  # noqa: S608
        ).fetchall()
    assert len(found) == len({row[:2] for row in found})
    expected = truth(org, "course_results")
    assert {row[:2]: row[2:] for row in found if row[:2] not in gone} == {
        key: (row["Completed"], row["PercentageComplete"]) for key, row in expected.items()
    }


def check_that_rows_that_are_gone_get_marked(destination: Postgres, gone: set[str]) -> None:
    """Check what the documented statement does with users that are not listed any more."""
    [statement] = statements("user_ids", "docs/destinations.md")
    schema = destination.config["default_target_schema"]
    joined_later = """set timezone to 'UTC';
        insert into users ("Id", "CreatedDate")
        values ('joined later', now() + interval '1 minute');"""
    destination.psql(f"set search_path to {schema}; {joined_later} {statement}")
    marked = destination.query(
        f'select "Id" from {schema}.users where _sdc_deleted_at is not null'  # noqa: S608
    )
    assert {row["Id"] for row in marked} == gone
