"""Rows drawn from the declarations: ids, references, dates and authors.

Nothing here knows what a stream means: keys, references and kinds of fields say what a row
needs, so a new endpoint has rows as soon as it is declared.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tap_litmos import streams

from . import names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from tap_litmos.declaration import Endpoint, Field

Value = str | int | float | bool | datetime | None
Values = dict[str, Value]

_OWN = {"Id", "OriginalId", "Active", "CreatedDate", "UpdatedDate", "CreatedBy", "UpdatedBy"}
_TAILS = ("aA", "Qx", "7d", "kK")


def litmos_id(stream: str, original: int) -> str:
    """Return the text form of an integer id, which is case-sensitive.

    Of every four pairs of neighbours, two have ids that differ only in the case of a letter.
    """
    pair, which = divmod(original, 2)
    digest = sha256(f"{stream} {pair}".encode()).digest()
    return b64encode(digest, b"xY")[:11].decode() + _TAILS[pair % 4][which]


@dataclass(slots=True, eq=False, repr=False)
class Row:
    """A row of a table; `row["Name"]` is a field, None if it is null.

    Attributes:
        table: The table that contains or contained it.
        values: The fields by their canonical names; a missing field is null.
        number: Its place in the table: later rows have larger numbers.
        parents: The rows that it was created from, such as the user and course of a result.
        gone: Whether it was deleted.
    """

    table: Table
    values: Values
    number: int
    parents: tuple[Row, ...] = ()
    gone: bool = False

    def __getitem__(self, name: str) -> Any:
        """Return a field."""
        return self.values.get(name)

    @property
    def id(self) -> str:
        """The field `Id`."""
        return str(self.values["Id"])

    @property
    def stamp(self) -> datetime:
        """When the row last changed, or was created: this decides which windows serve it."""
        stamp: datetime = self[self.table.endpoint.replication_key or ""] or self["CreatedDate"]
        return stamp


class Table:
    """The rows of one stream.

    Attributes:
        endpoint: What the rows are.
        fields: Its fields that Litmos sends.
        references: The streams to whose ids fields point.
        what: What a row is, in the singular, such as `LearningPath`.
        rows: All rows, in the order in which they were added.
        added: How many rows were ever added.
        first_original: The integer id of row 0.
        key: The primary key; for logins, of which each user has one row, only the user.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Create an empty table."""
        self.endpoint = endpoint
        self.fields = {field.name: field for field in endpoint.fields if field.sent}
        targets = endpoint.references.items()
        self.references = {name: target.partition(".")[0] for name, target in targets}
        self.what = re.sub("s$", "", endpoint.stream).title().replace("_", "")
        self.rows: list[Row] = []
        self.added = 0
        self.first_original = 100_000 + crc32(endpoint.stream.encode()) % 8_000_000
        self._by_key: dict[tuple[Value, ...], Row] = {}
        key = [name for name in endpoint.primary_key if name != endpoint.replication_key]
        self.key = key if self.fields.keys() >= set(key) else []

    def referring_to(self, other: Table) -> list[str]:
        """Return the fields that point to rows of a table."""
        stream = other.endpoint.stream
        return [name for name, target in self.references.items() if target == stream]

    def inherited(self, parent: Row) -> Values:
        """Return the values that a row of this table shares with a row that it refers to."""
        other, own = parent.table, {*_OWN, *self.references, self.endpoint.replication_key}
        found: Values = dict.fromkeys(self.referring_to(other), parent.id)
        if other is not self:
            shared = (self.fields.keys() & other.fields.keys()) - own
            found |= {name: parent[name] for name in shared}
            original = f"Original{other.what}Id"
            name = original if original in self.fields else "OriginalId"
            found[name] = other.first_original + parent.number
        return found

    def add(self, values: Values, *parents: Row) -> Row:
        """Add a row and return it."""
        row = Row(self, values, self.added, parents)
        self.added += 1
        self.rows.append(row)
        if self.key:
            self._by_key[tuple(map(values.get, self.key))] = row
        return row

    def find(self, *key: Value) -> Row | None:
        """Return the row with a key."""
        return self._by_key.get(key)

    def remove(self, rows: Iterable[Row]) -> None:
        """Remove rows without a trace."""
        for row in rows:
            row.gone = True
            self._by_key.pop(tuple(map(row.values.get, self.key)), None)
        self.rows = [row for row in self.rows if not row.gone]

    def complete(self, row: Row) -> Values:
        """Return a copy of a row's values that has all fields Litmos can send."""
        return {name: row[name] for name in self.fields}


def milliseconds(at: datetime) -> datetime:
    """Return a time in whole milliseconds, the resolution of Litmos."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Ledger:
    """The tables of the organisation. Every time is aware, in UTC.

    Attributes:
        tables: The tables by stream.
        random: The source of all chance.
    """

    def __init__(self, random: Random) -> None:
        """Start with empty tables of all streams except the plain listings."""
        deltas = [endpoint for endpoint in streams.ENDPOINTS if endpoint.replication_key]
        self.tables = {endpoint.stream: Table(endpoint) for endpoint in deltas}
        self.random = random

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return self.random.random() < share

    def pick(self, stream: str) -> Row | None:
        """Return any row of a stream, None if it has none."""
        rows = self.tables[stream].rows
        return self.random.choice(rows) if rows else None

    def add(self, stream: str, at: datetime, *parents: Row, **given: Value) -> Row:
        """Add a row, or return the existing row with its key.

        Args:
            stream: The stream.
            at: When the row is created. Logs, which have no key, have whole seconds.
            parents: The rows that it refers to and shares fields with, such as names.
            given: Fields that are not drawn.
        """
        table = self.tables[stream]
        original = table.first_original + table.added
        at = at if table.key else at.replace(microsecond=0)
        known = _defaults(table, at, original)
        for parent in parents:
            known |= table.inherited(parent)
        known |= given
        values = {
            name: _as_kind(field, known[name] if name in known else self.draw(field, original))
            for name, field in table.fields.items()
        }
        return table.find(*(values[name] for name in table.key)) or table.add(values, *parents)

    def invent(self, stream: str, at: datetime) -> None:
        """Add a row of any stream that refers to any rows of others, if these have some."""
        targets = [name for name in self.tables[stream].references.values() if name != stream]
        parents = [row for row in map(self.pick, targets) if row]
        if len(parents) == len(targets):
            self.add(stream, at, *parents)

    def draw(self, field: Field, number: int) -> Value:
        """Return any value for a field that no other field depends on."""
        if field.name.startswith("Original"):
            return number
        texts = names.ANY_TEXT if field.kind == "string" else None
        if choices := names.CHOICES.get(field.name, texts):
            item = self.random.choice(choices)
            filled = {"n": number, "byte": number % 254 + 1}
            return item.format(**filled) if isinstance(item, str) else item
        if field.kind == "boolean":
            return self.chance(0.2)
        return number % 100 if field.kind in {"integer", "number"} else None

    def change(self, row: Row, at: datetime, **values: Value) -> None:
        """Change a row at a time, but never earlier than its last change."""
        last = row["UpdatedDate"]
        values["UpdatedDate"] = max(at, last) if last else at
        row.values |= values

    def delete(self, rows: list[Row], at: datetime) -> None:
        """Remove rows of a stream and all that refer to them, without a trace.

        A row that refers to its own stream, such as a report of a deleted manager, stays and
        loses the reference.
        """
        if not rows:
            return
        table, ids = rows[0].table, {row["Id"] for row in rows}
        table.remove(rows)
        for other in self.tables.values():
            for name in other.referring_to(table):
                referring = [row for row in other.rows if row[name] in ids]
                if other is table:
                    for row in referring:
                        self.change(row, at, **{name: None})
                else:
                    self.delete(referring, at)


def _defaults(table: Table, at: datetime, original: int) -> Values:
    """Return the ids and dates of a new row, and null for references."""
    numbered = [name for name in table.key if table.fields[name].kind != "boolean"]
    values: Values = dict.fromkeys(numbered, original)
    values["Id"] = litmos_id(table.endpoint.stream, original)
    values |= dict.fromkeys(table.references)
    values[table.endpoint.replication_key or ""] = at
    # A row that joins two others has not been updated yet.
    joins = "Id" in table.references and "CreatedDate" in table.fields
    return values | {"CreatedDate": at, "UpdatedDate": None if joins else at}


def _as_kind(field: Field, value: Value) -> Value:
    """Return a value of a field; numbers of rows are text where the field is."""
    return str(value) if type(value) is int and field.kind == "string" else value
