"""Loads the files of all syncs into DuckDB, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from demo.marts import Rows

_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "string": "VARCHAR"}


class Warehouse:
    """A database of all rows from the syncs, in the schema `litmos`."""

    def __init__(self, file: Path, catalog: Mapping[str, Mapping[str, Any]]) -> None:
        """Create an empty database.

        Args:
            file: Where to keep it. Its name must differ from the schema's.
            catalog: The streams as the tap describes them.
        """
        file.unlink(missing_ok=True)
        self._catalog = catalog
        self._connection = duckdb.connect(str(file))
        self._connection.execute("create schema litmos")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def load(self, folders: Iterable[Path]) -> None:
        """Load each stream into a table with every row of every sync.

        Two columns are added, as Meltano's targets do: `_sdc_sequence`, the number of the
        sync, and `_sdc_batched_at`, when it wrote the file (UTC).

        Args:
            folders: The files of the syncs, oldest sync first.
        """
        for stream, entry in self._catalog.items():
            parts = [
                f"select *, {number} as _sdc_sequence, to_timestamp({path.stat().st_mtime})"  # noqa: S608
                f" at time zone 'UTC' as _sdc_batched_at from {self._file(path, entry)}"
                for number, folder in enumerate(folders)
                if (path := folder / f"{stream}.jsonl").exists()
            ]
            if parts:
                self._connection.execute(
                    f'create table litmos."{stream}" as {" union all ".join(parts)}'
                )

    def changes(self, before: Path, after: Path) -> dict[str, tuple[int, int]]:
        """Return the numbers of new and of changed rows in a sync, by stream."""
        found = {}
        for stream, entry in self._catalog.items():
            old, new = before / f"{stream}.jsonl", after / f"{stream}.jsonl"
            if not new.exists():
                continue
            keys = ", ".join(f'"{name}"' for name in entry["key_properties"])
            differing = f"select * from {self._file(new, entry)}"  # noqa: S608
            added = f"select distinct {keys} from ({differing})"  # noqa: S608
            if old.exists():
                differing += f" except select * from {self._file(old, entry)}"  # noqa: S608
                added += f" except select {keys} from {self._file(old, entry)}"  # noqa: S608
            [different] = self.query(
                f"select count(distinct ({keys})) as number from ({differing})"  # noqa: S608
            )
            [fresh] = self.query(f"select count(*) as number from ({added})")  # noqa: S608
            found[stream] = fresh["number"], different["number"] - fresh["number"]
        return found

    def query(self, sql: str) -> Rows:
        """Return the rows of a query."""
        result = self._connection.execute(sql)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _file(self, path: Path, entry: Mapping[str, Any]) -> str:
        """Return the SQL that reads a file as a table with the columns of the schema."""
        columns = ", ".join(
            f"'{name}': '{_type(schema)}'" for name, schema in entry["schema"]["properties"].items()
        )
        quoted = str(path).replace("'", "''")
        return f"read_json('{quoted}', format='newline_delimited', columns={{{columns}}})"


def _type(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "TIMESTAMP"
    [kind] = [name for name in schema["type"] if name != "null"]
    return _TYPES[kind]
