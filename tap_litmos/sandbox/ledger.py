"""How rows come, change and go: ids, dates, authors, and the logs of activities."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from .tables import Row, Table, Value, Values

DAY = timedelta(days=1)

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TAILS = ("aA", "Qx", "7d", "kK")
_FIRST_ORIGINALS = {
    "users": 5_104_201,
    "courses": 211_870,
    "modules": 1_409_655,
    "learning_paths": 31_502,
    "teams": 82_333,
    "achievements": 9_120_040,
    "module_results": 301_554_817,
}
_NULL_UNTIL_UPDATED = {
    "achievements",
    "course_modules",
    "learning_path_results",
    "learning_path_users",
    "module_results",
    "team_users",
}
_KINDS = {
    "users": ("User", "OriginalId", "FullName"),
    "teams": ("Team", "OriginalTeamId", "Name"),
    "courses": ("Course", "OriginalCourseId", "Name"),
    "learning_paths": ("Learning Path", "OriginalId", "Name"),
}


def litmos_id(stream: str, original: int) -> str:
    """Return the text form of an integer id: one to one, and case-sensitive.

    Of every four pairs of neighbours, two have ids that differ by the case of a letter alone.
    """
    pair, which = divmod(original, 2)
    mixed = (pair * 0x9E3779B97F4A7C15 + _FIRST_ORIGINALS[stream] * 0x100000001B3) % 2**64
    text = _TAILS[pair % 4][which]
    for _ in range(11):
        mixed, digit = divmod(mixed, 62)
        text = _DIGITS[digit] + text
    return text


def milliseconds(at: datetime) -> datetime:
    """Cut a moment to whole milliseconds, the resolution of Litmos."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Ledger:
    """The tables of the organisation, and who does what when.

    Every moment is aware, in UTC.

    Attributes:
        tables: The tables by stream.
        random: Decides whatever is left to chance.
        admins: The users who administer the organisation.
        lists: Rows that belong to another one, by what they are and the other one's id.
    """

    def __init__(self, tables: Mapping[str, Table], random: Random) -> None:
        """Start with empty tables."""
        self.tables = tables
        self.random = random
        self.admins: list[Row] = []
        self.lists: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        self._originals = dict(_FIRST_ORIGINALS)
        self._logged: set[tuple[object, ...]] = set()

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return self.random.random() < share

    def next_id(self, stream: str) -> tuple[int, str]:
        """Return the next ids of a stream, as an integer and as text."""
        original = self._originals[stream]
        self._originals[stream] += 1
        return original, litmos_id(stream, original)

    def author(self) -> int:
        """Return who does something: mostly an administrator, else the system or nobody."""
        if not self.admins or self.chance(0.15):
            return -1
        return 0 if self.chance(0.05) else self.random.choice(self.admins).whole("OriginalId")

    def add(self, stream: str, at: datetime, **values: Value) -> Row:
        """Add a row that is created at a moment, by whomever."""
        table = self.tables[stream]
        created: Values = {
            "CreatedDate": at,
            "CreatedBy": self.author(),
            "UpdatedDate": None if stream in _NULL_UNTIL_UPDATED else at,
        }
        if stream != "course_results":  # of which the document has no UpdatedBy
            created["UpdatedBy"] = 0
        return table.add(created | values)

    def change(self, row: Row, at: datetime, **values: Value) -> None:
        """Change a row at a moment, never to an earlier one than that of its last change."""
        last = row.values.get("UpdatedDate")
        values["UpdatedDate"] = max(at, last) if isinstance(last, datetime) else at
        if "UpdatedBy" in row.values:
            author = self.author()
            text = isinstance(row.values["UpdatedBy"], str)
            values["UpdatedBy"] = str(author) if text else author
        row.table.change(row, values)

    def delete(self, rows: list[Row], at: datetime) -> None:
        """Remove rows of one stream and all that refer to them, without a trace.

        Rows that refer to one of their own stream, such as the reports of a deleted manager,
        stay and lose the reference.
        """
        if not rows:
            return
        stream, keys = rows[0].table.endpoint.stream, {row.values.get("Id") for row in rows}
        rows[0].table.remove(rows)
        gone = set(map(id, rows))
        for members in self.lists.values():
            members[:] = [row for row in members if id(row) not in gone]
        self.admins = [row for row in self.admins if id(row) not in gone]
        for table in self.tables.values():
            for field, target in table.endpoint.references.items():
                if target != f"{stream}.Id":
                    continue
                referring = [row for row in table.rows if row.values.get(field) in keys]
                if table.endpoint.stream != stream:
                    self.delete(referring, at)
                    continue
                for row in referring:
                    self.change(row, at, **{field: None})

    def log(
        self, stream: str, what: str, of: Row, target: Row | None, at: datetime, **more: Value
    ) -> None:
        """Write a line to one of the activity logs."""
        values: Values = {"ActivityType": what, **more}
        for prefix, row in (("Object", of), ("TargetObject", target)):
            if row:
                kind, original, name = _KINDS[row.table.endpoint.stream]
                values[f"{prefix}Type"] = kind
                values[f"{prefix}Id"] = row.id
                values[f"Original{prefix}Id"] = row.values[original]
                values[f"{prefix}Name"] = row.values[name]
        if self.admins:
            admin = self.random.choice(self.admins)
            values["ActivityBy"] = admin.values["OriginalId"]
            values["ActivityByUserName"] = admin.values["UserName"]
        else:
            values["ActivityBy"] = -1
        values["ActivityDate"] = self._unlike(stream, what, of.id, target and target.id, at=at)
        self.tables[stream].add(values)

    def log_login(self, user: Row, at: datetime) -> None:
        """Write a login to its log."""
        original = user.whole("OriginalId")
        self.tables["activity_logins"].add(
            {
                "ActivityType": "Login",
                "UserId": user.id,
                "OriginalUserId": original,
                "UserName": user.values["UserName"],
                "IPAddress": f"203.0.113.{original % 254 + 1}",
                "LoginDate": self._unlike("activity_logins", original, at=at),
            }
        )

    def _unlike(self, *what: object, at: datetime) -> datetime:
        """Return a moment in whole seconds at which the log has no such line yet."""
        at = at.replace(microsecond=0)
        while (*what, at) in self._logged:
            at += timedelta(seconds=1)
        self._logged.add((*what, at))
        return at
