"""Rows drawn from the declarations: ids, references, dates, authors, and the activity logs.

Nothing here knows a stream by name but the logs: keys, references and kinds of fields say
what a row needs, so that a new endpoint has rows as soon as it is declared.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tap_litmos import streams

from . import names
from .tables import Table, litmos_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from random import Random

    from tap_litmos.declaration import Field

    from .tables import Row, Value, Values

_ASSIGNMENTS = {"user_courses", "learning_path_users", "team_courses", "team_learning_paths"}
_PEOPLE = {"users", "teams"}
_CONTENT = {"courses", "learning_paths"}
_AUTHORED_BY_SYSTEM = 0.15


def milliseconds(at: datetime) -> datetime:
    """Cut a moment to whole milliseconds, the resolution of Litmos."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Ledger:
    """The tables of the organisation. Every moment is aware, in UTC.

    Attributes:
        tables: The tables by stream.
        random: Decides whatever is left to chance.
        admins: The users who administer the organisation.
    """

    def __init__(self, random: Random) -> None:
        """Start with empty tables of all streams but the plain listings."""
        deltas = [endpoint for endpoint in streams.ENDPOINTS if endpoint.replication_key]
        self.tables = {endpoint.stream: Table(endpoint) for endpoint in deltas}
        self.random = random
        self.admins: list[Row] = []
        self._logged: set[tuple[object, ...]] = set()

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return self.random.random() < share

    def pick(self, stream: str) -> Row | None:
        """Return any row of a stream, None if it has none."""
        table = self.tables.get(stream)
        return self.random.choice(table.rows) if table and table.rows else None

    def add(self, stream: str, at: datetime, *parents: Row, **given: Value) -> Row:
        """Add a row that is created at a moment, and log it.

        Args:
            stream: The stream.
            at: The moment.
            parents: The rows to which it refers. It takes over the fields that it shares
                with them, such as their names.
            given: Fields that are not to be drawn.
        """
        table, number = self.tables[stream], next(self.tables[stream].numbers)
        known: Values = {
            **dict.fromkeys(table.references),
            **dict.fromkeys([*table.key, table.original_of(table)], number),
            "CreatedDate": at,
            "CreatedBy": self.author(),
            "UpdatedDate": at,
            "UpdatedBy": 0,
            table.endpoint.replication_key or "": at,
        }
        if "Id" in table.references:  # of such rows it is null until they change
            known["UpdatedDate"] = None
        else:
            known["Id"] = litmos_id(stream, number)
        for parent in parents:
            known |= table.taken_over(parent)
        known |= given
        values = {
            name: known[name] if name in known else self.draw(field, number)
            for name, field in table.fields.items()
        }
        row = table.add(
            {name: _as_kind(table.fields[name], value) for name, value in values.items()},
            number,
        )
        self._log_addition(row, at, parents)
        return row

    def _log_addition(self, row: Row, at: datetime, parents: Iterable[Row]) -> None:
        stream = row.table.endpoint.stream
        if stream in _PEOPLE | _CONTENT:
            log = "activity_actions" if stream in _PEOPLE else "activity_content"
            self.log(log, f"{row.table.what} Created", at, row)
        elif stream in _ASSIGNMENTS | {"team_users"} and not row["IsInTeamLibrary"]:
            self.log("activity_assignments", "Assigned", at, *sorted(parents, key=_role))

    def invent(self, stream: str, at: datetime) -> None:
        """Add a row of any stream that refers to any rows, if there is a place for it."""
        table = self.tables[stream]
        known: Values = {name: False for name in table.key if name not in table.references}
        date = {table.endpoint.replication_key or "": at}
        parents = list(filter(None, map(self.pick, dict.fromkeys(table.references.values()))))
        for parent in parents:
            known |= table.taken_over(parent)
        key = [known.get(name) for name in table.key]
        if None not in key and not table.find(*key):
            flags = {name: False for name in table.key if table.fields[name].kind == "boolean"}
            self.add(stream, at, *parents, **flags, **date)

    def draw(self, field: Field, number: int) -> Value:
        """Return any value for a field that no other one depends on."""
        texts = names.ANY_TEXT if field.kind == "string" else None
        if choices := names.CHOICES.get(field.name, texts):
            value = self.random.choice(choices)
            if not isinstance(value, str):
                return value
            return value.format(n=number, byte=number % 254 + 1, title=field.title)
        if field.kind == "boolean":
            return self.chance(0.2)
        return number % 100 if field.kind in {"integer", "number"} else None

    def author(self) -> int:
        """Return who does something: mostly an administrator, else the system."""
        if not self.admins or self.chance(_AUTHORED_BY_SYSTEM):
            return -1
        return self.random.choice(self.admins).number

    def change(self, row: Row, at: datetime, **values: Value) -> None:
        """Change a row at a moment, never to an earlier one than that of its last change."""
        last = row["UpdatedDate"]
        values["UpdatedDate"] = max(at, last) if last else at
        if row["UpdatedBy"] is not None:
            author = self.author()
            values["UpdatedBy"] = str(author) if isinstance(row["UpdatedBy"], str) else author
        row.values |= values

    def delete(self, rows: list[Row], at: datetime) -> None:
        """Remove rows and all that refer to them, without a trace.

        Rows that refer to one of their own stream, such as the reports of a deleted manager,
        stay and lose the reference.
        """
        while rows:
            table = rows[0].table
            here = [row for row in rows if row.table is table]
            rows = [row for row in rows if row.table is not table]
            table.remove(here)
            for referring, name in self._referring(here):
                if referring.table is table:
                    self.change(referring, at, **{name: None})
                else:
                    rows.append(referring)
        self.admins = [row for row in self.admins if not row.gone]

    def _referring(self, rows: list[Row]) -> list[tuple[Row, str]]:
        """Return the rows that refer to some rows by their own ids, and by which field."""
        table, keys = rows[0].table, {row["Id"] for row in rows}
        if "Id" in table.references:
            return []
        return [
            (row, name)
            for other in self.tables.values()
            for name, target in other.references.items()
            if target == table.endpoint.stream
            for row in other.rows
            if row[name] in keys
        ]

    def log(self, stream: str, what: str, at: datetime, *objects: Row, **more: Value) -> None:
        """Write a line to an activity log: who did what, to what, and for whom."""
        values: Values = {"ActivityType": what, **more}
        for prefix, row in zip(("Object", "TargetObject"), objects, strict=False):
            values[f"{prefix}Type"] = row.table.what
            values[f"{prefix}Id"] = row.id
            values[f"Original{prefix}Id"] = row.number
            values[f"{prefix}Name"] = row["FullName"] or row["Name"]
        by = self.random.choice(self.admins) if self.admins else None
        values["ActivityBy"] = by.number if by else -1
        values["ActivityByUserName"] = by["UserName"] if by else None
        self.write(stream, at, values)

    def write(self, stream: str, at: datetime, values: Values) -> None:
        """Write a line to a log, in which no two are alike; its dates are whole seconds."""
        at = at.replace(microsecond=0)
        while (line := (stream, at, *values.values())) in self._logged:
            at += timedelta(seconds=1)
        self._logged.add(line)
        table = self.tables[stream]
        table.add({**values, table.endpoint.replication_key or "": at})


def _as_kind(field: Field, value: Value) -> Value:
    """Return a value of a field; numbers of rows are text where the field is."""
    return str(value) if type(value) is int and field.kind == "string" else value


def _role(row: Row) -> int:
    """Return the place of a row in a line of a log: what, for which team, for whom."""
    return {"teams": 1, "users": 2}.get(row.table.endpoint.stream, 0)
