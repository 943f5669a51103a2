"""Places to load to: their targets, and what they hold afterwards."""

from __future__ import annotations

import csv
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support import ENDPOINT, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_litmos.declaration import Field


class Destination:
    """A place to load to.

    Attributes:
        group: The dependency group of the target.
        target: The name of its command.
        config: The target's config.
        env: What the documentation adds to the target's environment.
        upserts: Whether it holds one row for each primary key.
    """

    group: str
    target: str
    config: Mapping[str, Any]
    env: Mapping[str, str] = {}
    upserts = False

    def rows(self, stream: str) -> list[Record]:
        """Return all rows of a stream, in the order of their arrival if that is known."""
        raise NotImplementedError

    def expected(self, value: Any) -> Any:
        """Return what becomes of a value on its way, where that is known to differ."""
        return value

    def check_table(self, stream: str) -> None:
        """Check what the destination knows about the types and keys of a stream."""

    def recover(self) -> None:
        """Do what the documentation asks for after the target was killed."""


class Jsonl(Destination):
    group = target = "target-jsonl"

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
    group = target = "target-csv"

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
                            field.name: from_text(field, row[field.name])
                            for field in ENDPOINT[stream].fields
                            if field.name in row
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
    group = target = "target-postgres"
    env = {"PGTZ": "UTC"}  # noqa: RUF012
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

    def query(self, sql: str, schema: str = "public") -> list[Record]:
        """Return the rows that a query finds, which need not name the schema."""
        query = f"set search_path to {schema}; select row_to_json(found) from ({sql}) found"  # noqa: S608
        return [json.loads(line) for line in self.psql(query).splitlines()[1:]]

    def psql(self, sql: str) -> str:
        """Run a statement; return what it prints."""
        url = "postgresql://{user}:{password}@{host}:{port}/{database}?client_encoding=UTF8"
        options = ("-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", url.format(**self.server))
        psql = programs_of_postgres()[0] / "psql"
        return subprocess.check_output([psql, *options, "-c", sql], encoding="utf-8")  # noqa: S603

    def rows(self, stream: str) -> list[Record]:
        found = self.query(f"select * from {self.config['default_target_schema']}.{stream}")  # noqa: S608
        return [typed(stream, row) for row in found]

    def check_table(self, stream: str) -> None:
        endpoint, schema = ENDPOINT[stream], self.config["default_target_schema"]
        where = f"where table_schema = '{schema}' and table_name = '{stream}'"
        columns = self.query(
            f"select column_name, data_type from information_schema.columns {where}"  # noqa: S608
        )
        types = {column["column_name"]: column["data_type"] for column in columns}
        for field in endpoint.fields:
            if not field.opt_in:
                assert types[self.column(field.name)] == self.types[field.kind]
        keys = self.query(
            "select column_name from information_schema.key_column_usage "  # noqa: S608
            f"{where} order by ordinal_position"
        )
        assert [key["column_name"] for key in keys] == [
            self.column(name) for name in endpoint.primary_key
        ]

    def column(self, name: str) -> str:
        """Return the name of a field's column."""
        return name


class PipelinewisePostgres(Postgres):
    group = "pipelinewise-target-postgres"
    env = {}  # noqa: RUF012
    types = Postgres.types | {
        "string": "character varying",
        "integer": "numeric",
        "number": "double precision",
        "others": "character varying",
    }

    def __init__(self, server: Mapping[str, Any]) -> None:
        super().__init__(server)
        self.config = {**self.config, "dbname": server["database"]}

    def expected(self, value: Any) -> Any:
        return escaped(value)

    def column(self, name: str) -> str:
        return name.lower()


class Sqlite(Destination):
    group = target = "target-sqlite"
    upserts = True

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "loaded.db"
        self.config = {"database": str(self.file)}

    def rows(self, stream: str) -> list[Record]:
        connection = sqlite3.connect(self.file)
        connection.row_factory = sqlite3.Row
        try:
            found = connection.execute(f"select * from {stream}").fetchall()  # noqa: S608
        finally:
            connection.close()
        return [typed(stream, dict(row)) for row in found]


class Parquet(Destination):
    group = target = "target-parquet"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = {"destination_path": str(folder)}

    def rows(self, stream: str) -> list[Record]:
        rows: list[Record] = []
        for file in sorted((self.folder / stream).glob("*.parquet")):
            with duckdb.connect() as database:
                found = database.execute("from read_parquet(?)", [str(file)])
                rows += [typed(stream, row) for row in records(found)]
        return rows


class DuckDB(Destination):
    group = target = "target-duckdb"
    upserts = True

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "loaded.duckdb"
        self.config = {"path": str(self.file), "default_target_schema": "main"}

    def rows(self, stream: str) -> list[Record]:
        with duckdb.connect(str(self.file)) as database:
            found = records(database.execute(f"from {stream}"))
        return [typed(stream, row) for row in found]


def records(found: duckdb.DuckDBPyConnection) -> list[Record]:
    """Return the rows that a statement has found."""
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def typed(stream: str, row: Record) -> Record:
    """Return the fields of a row, by the names and with the types that the tap gives them.

    Args:
        stream: The stream.
        row: A row of a table, in which names may be in lower case or snake case, date-times
            without zone, and booleans integers.
    """
    fields = {plain(field.name): field for field in ENDPOINT[stream].fields}
    return {
        fields[name].name: _typed(fields[name], value)
        for name, value in ((plain(name), value) for name, value in row.items())
        if name in fields
    }


def _typed(field: Field, value: Any) -> Any:
    if field.kind == "datetime":
        return as_moment(str(value) if isinstance(value, datetime) else value)
    if field.kind == "boolean" and type(value) is int:
        return {0: False, 1: True}[value]
    return value


def plain(name: str) -> str:
    """Return the name of a column as it is whatever its case."""
    return name.replace("_", "").lower()


def escaped(value: Any) -> Any:
    """Return a text with the control characters in it written out."""
    names = str.maketrans({"\t": "\\t", "\r": "\\r", "\n": "\\n"})
    return value.translate(names) if isinstance(value, str) else value


def as_moment(value: str | None) -> str | None:
    """Return a moment in the shape of the tap; without a zone it is in UTC."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    assert not moment.utcoffset()
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def programs_of_postgres() -> list[Path]:
    """Return the folders in which PostgreSQL's programs may be, the newest first."""
    packaged = [file.parent for file in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    packaged.sort(key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    return packaged + ([Path(on_path).resolve().parent] if on_path else [])


@contextmanager
def postgres() -> Iterator[dict[str, Any]]:
    """Run a PostgreSQL of its own, whose zone is not UTC, and yield how to reach it."""
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
        server = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c timezone=America/New_York"
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


IN_FOLDERS: dict[str, Callable[[Path], Destination]] = {
    kind.group: kind for kind in (Jsonl, Csv, Sqlite, Parquet, DuckDB)
}
IN_POSTGRES: dict[str, Callable[[Mapping[str, Any]], Destination]] = {
    kind.group: kind for kind in (Postgres, PipelinewisePostgres)
}
USUAL = ("target-jsonl", "target-postgres")
"""The groups that are tried without `--all-targets`."""


@contextmanager
def opened(group: str, folder: Path) -> Iterator[Destination]:
    """Yield a new place to load to, for the target of a dependency group."""
    if group in IN_FOLDERS:
        yield IN_FOLDERS[group](folder / "loaded")
    else:
        with postgres() as server:
            yield IN_POSTGRES[group](server)
