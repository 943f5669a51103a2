"""Rows, and the tables that find them by the date of their last change."""

from __future__ import annotations

from bisect import bisect_left, insort
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_litmos.declaration import Endpoint

Value = str | int | float | bool | datetime | None
Values = dict[str, Value]


class Row:
    """A row of a table.

    Attributes:
        table: The table that it is or was in.
        values: The fields by their canonical names; a field that is missing is null.
        number: The place of the row in its table: later rows have larger ones.
        stamp: When the row last changed, which decides the windows that serve it.
        markup: The row as XML, by spelling; emptied when the row changes.
    """

    __slots__ = ("markup", "number", "stamp", "table", "values")

    def __init__(self, table: Table, values: Values, number: int, stamp: datetime) -> None:
        """Make a row that has not been serialised yet."""
        self.table = table
        self.values = values
        self.number = number
        self.stamp = stamp
        self.markup: dict[str, bytes] = {}

    @property
    def id(self) -> str:
        """The field `Id`."""
        return self.text("Id")

    def text(self, name: str) -> str:
        """Return a field that is text."""
        return cast("str", self.values[name])

    def whole(self, name: str) -> int:
        """Return a field that is an integer."""
        return cast("int", self.values[name])

    def moment(self, name: str) -> datetime:
        """Return a field that is a moment."""
        return cast("datetime", self.values[name])


class Table:
    """The rows of one stream.

    The index by date is built when a window is first asked for, so that filling a table
    costs nothing extra.

    Attributes:
        endpoint: What the rows are.
        rows: All rows, in the order in which they were added.
        version: Grows with every change.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Make an empty table."""
        self.endpoint = endpoint
        self.rows: list[Row] = []
        self.version = 0
        self._numbers = count()
        self._by_date: list[tuple[datetime, int, Row]] | None = None
        self._by_key: dict[tuple[Value, ...], Row] = {}
        names = {field.name for field in endpoint.fields if field.sent}
        # The key of a login is its user: there is one row for each.
        key = [name for name in endpoint.primary_key if name != endpoint.replication_key]
        self._key = key if names.issuperset(key) else []

    def add(self, values: Values) -> Row:
        """Add a row and return it."""
        row = Row(self, values, next(self._numbers), self._stamp(values))
        self.rows.append(row)
        self.version += 1
        if self._key:
            self._by_key[tuple(map(values.get, self._key))] = row
        if self._by_date is not None:
            insort(self._by_date, (row.stamp, row.number, row))
        return row

    def find(self, *key: Value) -> Row | None:
        """Return the row with a primary key; that of a login is just its user."""
        return self._by_key.get(key)

    def get(self, *key: Value) -> Row:
        """Return the row with a primary key, which there must be."""
        return self._by_key[key]

    def change(self, row: Row, values: Mapping[str, Value]) -> None:
        """Give a row other values, so that it moves to the window of its new date."""
        if self._by_date is not None:
            del self._by_date[bisect_left(self._by_date, (row.stamp, row.number))]
        row.values.update(values)
        row.markup.clear()
        row.stamp = self._stamp(row.values)
        self.version += 1
        if self._by_date is not None:
            insort(self._by_date, (row.stamp, row.number, row))

    def remove(self, rows: Iterable[Row]) -> None:
        """Remove rows without a trace."""
        gone = {row.number for row in rows}
        self._fill([row for row in self.rows if row.number not in gone])

    def replace(self, rows: Iterable[Mapping[str, Value]]) -> None:
        """Put these rows in the place of all others."""
        self._fill([])
        for values in rows:
            self.add(dict(values))

    def window(self, first: datetime, end: datetime) -> list[Row]:
        """Return the rows whose last change lies in a window, the longest ago first.

        Args:
            first: The earliest moment of the window.
            end: The moment from which on changes are too late for the window.
        """
        if self._by_date is None:
            self._by_date = sorted((row.stamp, row.number, row) for row in self.rows)
        start = bisect_left(self._by_date, (first,))
        stop = bisect_left(self._by_date, (end,))
        return [row for _, _, row in self._by_date[start:stop]]

    def complete(self, row: Row) -> Values:
        """Return a copy of a row's values that has all fields Litmos can send."""
        get = row.values.get
        fields = self.endpoint.fields
        return {field.name: get(field.name) for field in fields if field.sent}

    def _fill(self, rows: list[Row]) -> None:
        """Keep these rows alone, and build the indexes anew."""
        self.rows = rows
        self.version += 1
        self._by_date = None
        if self._key:
            self._by_key = {tuple(map(row.values.get, self._key)): row for row in rows}

    def _stamp(self, values: Mapping[str, Value]) -> datetime:
        """Return when the row last changed: when it was created if it never did."""
        key = self.endpoint.replication_key
        stamp = (values.get(key) if key else None) or values.get("CreatedDate")
        if not isinstance(stamp, datetime):
            raise TypeError(f"a row of {self.endpoint.stream} has no date: {values}")
        return stamp
