"""What lands in real destinations: after killed syncs, a backfill and an incremental sync."""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support import DEFAULT_STREAMS, ENDPOINT, Key, Record, config_for, fold, truth

from scripts.environment import ROOT, environment
from tap_litmos.sandbox import Incoming, Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tap_litmos.declaration import Field

State = dict[str, Any] | None


class Destination:
    """A place to load to.

    Attributes:
        target: The name of the target's command, which is that of its dependency group.
        config: The target's config.
        upserts: Whether it holds one row for each primary key.
    """

    target: str
    config: Mapping[str, Any]
    upserts = False

    def rows(self, stream: str) -> list[Record]:
        """Return all rows of a stream, in the order of their arrival if that is known."""
        raise NotImplementedError

    def check_table(self, stream: str) -> None:
        """Check what the destination knows about the types and keys of a stream."""

    def recover(self) -> None:
        """Do what the documentation asks for after the target was killed."""


class Jsonl(Destination):
    target = "target-jsonl"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = {"destination_path": str(folder), "do_timestamp_file": False}

    def rows(self, stream: str) -> list[Record]:
        file = self.folder / f"{stream}.jsonl"
        lines = file.read_text("utf-8").split("\n") if file.exists() else [""]
        return [json.loads(line) for line in lines[:-1]]

    def recover(self) -> None:
        for file in self.folder.glob("*.jsonl"):
            content = file.read_bytes()
            file.write_bytes(content[: content.rfind(b"\n") + 1])


class Csv(Destination):
    target = "target-csv"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Each run makes files of its own, as it begins by emptying those that are there.
        self.config = {
            "output_path": str(folder),
            "file_naming_scheme": "{stream_name}-{timestamp}.csv",
            "timestamp_format": "%Y%m%dT%H%M%S%f",
        }

    def rows(self, stream: str) -> list[Record]:
        rows = []
        for file in sorted(self.folder.glob(f"{stream}-*.csv")):
            with file.open(encoding="utf-8", newline="") as opened:
                for row in csv.DictReader(opened):
                    assert None not in row
                    rows.append(
                        {
                            each.name: from_text(each, row[each.name])
                            for each in ENDPOINT[stream].fields
                            if each.name in row
                        }
                    )
        return rows


def from_text(field: Field, text: str) -> Any:
    """Return what a cell of a CSV file stands for."""
    if text == "":
        return None
    if field.kind == "boolean":
        return {"True": True, "False": False}[text]
    if field.kind == "datetime":
        return as_moment(text)
    return {"integer": int, "number": float}.get(field.kind, str)(text)


class Postgres(Destination):
    target = "target-postgres"
    upserts = True
    types = {  # noqa: RUF012
        "string": "text",
        "integer": "bigint",
        "number": "numeric",
        "boolean": "boolean",
        "datetime": "timestamp without time zone",
        "others": "text",
    }

    def __init__(self, server: Mapping[str, Any]) -> None:
        self.server = server
        self.config = {**server, "default_target_schema": f"litmos_{secrets.token_hex(4)}"}

    def query(self, sql: str) -> list[Record]:
        """Return the rows that a query finds."""
        found = self.psql(f"select row_to_json(found) from ({sql}) found")  # noqa: S608
        return [json.loads(line) for line in found.splitlines()]

    def psql(self, sql: str) -> str:
        """Run a statement; return what it prints."""
        server = self.server
        done = subprocess.run(  # noqa: S603
            [
                programs_of_postgres()[0] / "psql",
                "-X",
                "-At",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ],
            env={
                **os.environ,
                "PGHOST": server["host"],
                "PGPORT": str(server["port"]),
                "PGUSER": server["user"],
                "PGPASSWORD": server["password"],
                "PGDATABASE": server["database"],
                "PGCLIENTENCODING": "UTF8",
            },
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def rows(self, stream: str) -> list[Record]:
        fields = {each.name: each for each in ENDPOINT[stream].fields}
        found = self.query(f"select * from {self.config['default_target_schema']}.{stream}")  # noqa: S608
        return [
            {
                name: as_moment(value) if fields[name].kind == "datetime" else value
                for name, value in row.items()
                if not name.startswith("_sdc_")
            }
            for row in found
        ]

    def check_table(self, stream: str) -> None:
        endpoint, schema = ENDPOINT[stream], self.config["default_target_schema"]
        where = f"where table_schema = '{schema}' and table_name = '{stream}'"
        columns = self.query(
            f"select column_name, data_type from information_schema.columns {where}"  # noqa: S608
        )
        types = {each["column_name"]: each["data_type"] for each in columns}
        for each in endpoint.fields:
            if not each.opt_in:
                assert types[each.name] == self.types[each.kind]
        keys = self.query(
            "select column_name from information_schema.key_column_usage "  # noqa: S608
            f"{where} order by ordinal_position"
        )
        assert tuple(each["column_name"] for each in keys) == endpoint.primary_key


def as_moment(value: str | None) -> str | None:
    """Return a moment in the shape of the tap; without a zone it is in UTC."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    assert not moment.utcoffset()
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def programs_of_postgres() -> list[Path]:
    """Return the folders in which PostgreSQL's programs may be, the newest first."""
    on_path = shutil.which("initdb")
    packaged = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda each: float(each.parts[-3]),
        reverse=True,
    )
    return [
        each.resolve().parent for each in (*packaged, *([Path(on_path)] if on_path else []))
    ]


@contextmanager
def postgres() -> Iterator[dict[str, Any]]:
    """Run a PostgreSQL of its own, and yield how to reach it."""
    folders = programs_of_postgres()
    if not folders:
        pytest.skip("there is no PostgreSQL here")
    programs, password = folders[0], secrets.token_hex()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        # PostgreSQL refuses to run as root.
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            other = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres", "postgres")
        data = Path(folder, "data")

        def run(program: str, *arguments: str | Path) -> None:
            subprocess.run(  # noqa: S603
                [programs / program, "-D", data, *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=folder,
                **other,
            )

        secret = Path(folder, "password")
        secret.write_text(password)
        options = ("--username=tap", "--auth=scram-sha-256", f"--pwfile={secret}")
        run("initdb", *options, "--encoding=UTF8", "--no-locale", "--no-sync")
        server = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c timezone=UTC"
        run("pg_ctl", "start", "-w", "-l", Path(folder, "log"), "-o", server)
        try:
            yield {
                "host": "127.0.0.1",
                "port": port,
                "user": "tap",
                "password": password,
                "database": "postgres",
            }
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")


@pytest.fixture(params=["target-jsonl", "target-csv", "target-postgres"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    folder = tmp_path / "loaded"
    if request.param == "target-jsonl":
        yield Jsonl(folder)
    elif request.param == "target-csv":
        yield Csv(folder)
    else:
        with postgres() as server:
            yield Postgres(server)


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
        self._command = environment(destination.target) / destination.target
        self._recover = destination.recover
        self._log = folder / "log"

    def run(
        self, kill: Callable[[Sequence[subprocess.Popen[bytes]]], None] | None = None
    ) -> None:
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
        loaded, expected = fold(stream, rows), truth(org, stream)
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


def statements(about: str, document: str = "docs/destinations.md") -> list[str]:
    """Return the SQL statements of a document that name a table."""
    text = (ROOT / document).read_text("utf-8")
    found = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    return [" ".join(each.split()) for each in found if about in each]


def test_every_row_lands_whatever_happens(destination: Destination, tmp_path: Path) -> None:
    org, pause = Organisation(users=60, years=0.25, live=False), Pause()
    nothing: dict[str, set[Key]] = {stream: set() for stream in DEFAULT_STREAMS}
    with Sandbox(org, on_request=pause) as box:
        pipeline = Pipeline(box, destination, tmp_path)

        def kill(number: int) -> Callable[[Sequence[subprocess.Popen[bytes]]], None]:
            def killed(processes: Sequence[subprocess.Popen[bytes]]) -> None:
                assert pause.reached.wait(60), pipeline.said()
                for each in processes[-number:]:
                    each.kill()
                pause.over.set()

            return killed

        pause.after(90)
        pipeline.run(kill(1))
        seen = sum(len(destination.rows(stream)) for stream in DEFAULT_STREAMS[:3])
        assert seen > 0 or destination.target != "target-jsonl"
        pause.after(60)
        pipeline.run(kill(2))
        pipeline.run()
        check(destination, org, nothing)

        before = {stream: truth(org, stream) for stream in DEFAULT_STREAMS}
        org.touch("team_courses", 3, Active=False)
        org.touch("courses", 2, Description=None, Price=0.5)
        org.happen(30)
        count = len(box.requests)
        pipeline.run()
        assert len(box.requests) - count == len(DEFAULT_STREAMS)
        gone = {stream: set(before[stream]) - set(truth(org, stream)) for stream in before}
        assert any(truth(org, stream) != before[stream] for stream in before)
        check(destination, org, gone)
    if isinstance(destination, Jsonl):
        check_that_duplicates_are_dropped(destination, org, gone["course_results"])


def check_that_duplicates_are_dropped(
    destination: Jsonl, org: Organisation, gone: set[Key]
) -> None:
    """Check that the documented statement leaves one row for each key, the newest."""
    assert len(destination.rows("course_results")) > len(truth(org, "course_results"))
    [statement] = statements("course_results")
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


def test_rows_that_were_deleted_for_good_are_marked(tmp_path: Path) -> None:
    org = Organisation(users=40, years=0.1, live=False)
    with postgres() as server, Sandbox(org) as box:
        destination = Postgres(server)
        pipeline = Pipeline(box, destination, tmp_path, detect_deletes=True)
        pipeline.run()
        before = set(truth(org, "users"))
        org.delete("users", 3)
        pipeline.run()
        gone = before - set(truth(org, "users"))
        [statement] = statements("user_ids")
        schema = destination.config["default_target_schema"]
        joined_later = """set timezone to 'UTC';
            insert into users ("Id", "CreatedDate")
            values ('joined later', now() + interval '1 minute');"""
        destination.psql(f"set search_path to {schema}; {joined_later} {statement}")
        marked = destination.query(
            f'select "Id" from {schema}.users where _sdc_deleted_at is not null'  # noqa: S608
        )
        assert {(each["Id"],) for each in marked} == gone
        assert len(gone) == 3
