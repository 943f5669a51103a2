"""Rows drawn from the declarations: ids, references, dates and authors.

Nothing here knows what a stream means: keys, references and kinds of fields say what a row
needs, so that a new endpoint has rows as soon as it is declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_litmos import streams

from . import names
from .tables import Table, litmos_id

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from tap_litmos.declaration import Field

    from .tables import Row, Value, Values


def milliseconds(at: datetime) -> datetime:
    """Cut a moment to whole milliseconds, the resolution of Litmos."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Ledger:
    """The tables of the organisation. Every moment is aware, in UTC.

    Attributes:
        tables: The tables by stream.
        random: Decides whatever is left to chance.
    """

    def __init__(self, random: Random) -> None:
        """Start with empty tables of all streams but the plain listings."""
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
        """Add a row that is created at a moment, or return the one that has its key already.

        The dates of logs, which have no key, are whole seconds.

        Args:
            stream: The stream.
            at: The moment.
            parents: The rows to which it refers. It takes over the fields that it shares
                with them, such as their names.
            given: Fields that are not to be drawn.
        """
        table = self.tables[stream]
        number, at = next(table.numbers), at if table.key else at.replace(microsecond=0)
        original = table.first_original + number
        known = _identity(table, original) | _dates(table, at)
        for parent in parents:
            known |= table.taken_over(parent)
        if (key := table.endpoint.replication_key) and key != "UpdatedDate":
            known[key] = at
        known |= given
        values = {
            name: _as_kind(field, known[name] if name in known else self.draw(field, original))
            for name, field in table.fields.items()
        }
        return table.find(*map(values.get, table.key)) or table.add(values, number)

    def invent(self, stream: str, at: datetime) -> None:
        """Add a row of any stream that refers to any rows of others, if they have some."""
        targets = [each for each in self.tables[stream].references.values() if each != stream]
        parents = [row for row in map(self.pick, targets) if row]
        if len(parents) == len(targets):
            self.add(stream, at, *parents)

    def draw(self, field: Field, number: int) -> Value:
        """Return any value for a field that no other one depends on."""
        if field.name.startswith("Original"):
            return number
        texts = names.ANY_TEXT if field.kind == "string" else None
        if choices := names.CHOICES.get(field.name, texts):
            value = self.random.choice(choices)
            if not isinstance(value, str):
                return value
            return value.format(n=number, byte=number % 254 + 1, title=field.title)
        if field.kind == "boolean":
            return self.chance(0.2)
        return number % 100 if field.kind in {"integer", "number"} else None

    def change(self, row: Row, at: datetime, **values: Value) -> None:
        """Change a row at a moment, never to an earlier one than that of its last change."""
        last = row["UpdatedDate"]
        values["UpdatedDate"] = max(at, last) if last else at
        row.values |= values

    def delete(self, rows: list[Row], at: datetime) -> None:
        """Remove rows of a stream and all that refer to them, without a trace.

        Rows that refer to one of their own stream, such as the reports of a deleted manager,
        stay and lose the reference.
        """
        if not rows:
            return
        table, ids = rows[0].table, {row["Id"] for row in rows}
        table.remove(rows)
        for other in self.tables.values():
            for name in other.referring_to(table):
                referring = [row for row in other.rows if row[name] in ids]
                if other is not table:
                    self.delete(referring, at)
                    continue
                for row in referring:
                    self.change(row, at, **{name: None})


def _identity(table: Table, original: int) -> Values:
    """Return the ids of a new row, and references that are not known yet."""
    own: Values = (
        {} if "Id" in table.references else {"Id": litmos_id(table.endpoint.stream, original)}
    )
    numbered = [name for name in table.key if table.fields[name].kind != "boolean"]
    return {**dict.fromkeys(numbered, original), **dict.fromkeys(table.references), **own}


def _dates(table: Table, at: datetime) -> Values:
    """Return the dates of a new row; a row that joins two others has none of its change yet."""
    unchanged = "Id" in table.references and "CreatedDate" in table.fields
    return {"CreatedDate": at, "UpdatedDate": None if unchanged else at}


def _as_kind(field: Field, value: Value) -> Value:
    """Return a value of a field; numbers of rows are text where the field is."""
    return str(value) if type(value) is int and field.kind == "string" else value
