"""Rows, and the tables that find them by the date of their last change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_litmos.declaration import Endpoint

Value = str | int | float | bool | datetime | None
Values = dict[str, Value]

_AUDIT = {"CreatedDate", "UpdatedDate", "CreatedBy", "UpdatedBy"}
_OF_EACH_ROW = {"Id", "OriginalId", "Active", *_AUDIT}
_FIRST_ORIGINALS = 8_000_000
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TAILS = ("aA", "Qx", "7d", "kK")


def litmos_id(stream: str, original: int) -> str:
    """Return the text form of an integer id: one to one, and case-sensitive.

    Of every four pairs of neighbours, two have ids that differ by the case of a letter alone.
    """
    pair, which = divmod(original, 2)
    mixed = (pair * 0x9E3779B97F4A7C15 + crc32(stream.encode()) * 0x100000001B3) % 2**64
    text = _TAILS[pair % 4][which]
    for _ in range(11):
        mixed, digit = divmod(mixed, 62)
        text = _DIGITS[digit] + text
    return text


@dataclass(slots=True, eq=False, repr=False)
class Row:
    """A row of a table; `row["Name"]` is a field, None if it is null.

    Attributes:
        table: The table that it is or was in.
        values: The fields by their canonical names; a field that is missing is null.
        number: The place of the row in its table: later rows have larger ones.
        gone: Whether it was deleted.
    """

    table: Table
    values: Values
    number: int
    gone: bool = False

    def __getitem__(self, name: str) -> Any:
        """Return a field."""
        return self.values.get(name)

    @property
    def id(self) -> str:
        """The field `Id`."""
        return str(self.values["Id"])

    @property
    def original(self) -> int:
        """The integer form of its id, if it has an id of its own."""
        return self.table.first_original + self.number

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
        numbers: The numbers of the rows to come.
        first_original: The integer form of the id of row 0.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Make an empty table."""
        self.endpoint = endpoint
        self.fields = {field.name: field for field in endpoint.fields if field.sent}
        self.references = {
            name: target.partition(".")[0]
            for name, target in endpoint.references.items()
            if name in self.fields
        }
        self.what = re.sub("s$", "", endpoint.stream).title().replace("_", "")
        self.rows: list[Row] = []
        self.numbers = count()
        self.first_original = 100_000 + crc32(endpoint.stream.encode()) % _FIRST_ORIGINALS
        self._by_key: dict[tuple[Value, ...], Row] = {}
        # The key of a login is its user: there is one row for each.
        key = [name for name in endpoint.primary_key if name != endpoint.replication_key]
        self.key = key if self.fields.keys() >= set(key) else []

    def referring_to(self, other: Table) -> list[str]:
        """Return the fields that point to rows of a table."""
        stream = other.endpoint.stream
        return [name for name, target in self.references.items() if target == stream]

    def taken_over(self, parent: Row) -> Values:
        """Return the values that a row of this table has from a row to which it refers."""
        other, own = parent.table, {*_OF_EACH_ROW, *self.references}
        found: Values = dict.fromkeys(self.referring_to(other), parent.id)
        if other is not self:
            shared = [name for name in self.fields if name in other.fields and name not in own]
            found |= {name: parent[name] for name in shared}
            original = f"Original{other.what}Id"
            found[original if original in self.fields else "OriginalId"] = parent.original
        return found

    def add(self, values: Values, number: int | None = None) -> Row:
        """Add a row and return it; its number is the next one unless it was taken before."""
        row = Row(self, values, next(self.numbers) if number is None else number)
        self.rows.append(row)
        if self.key:
            self._by_key[tuple(map(values.get, self.key))] = row
        return row

    def find(self, *key: Value) -> Row | None:
        """Return the row with a primary key; that of a login is just its user."""
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
