"""Rows as the XML that Litmos sends."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_litmos.declaration import Endpoint

    from .habits import Habits
    from .tables import Row, Value

XSI = "http://www.w3.org/2001/XMLSchema-instance"

# How the vendor's document spells these fields.
_IN_DOCUMENT = {
    ("module_results", "OriginalModuleId"): "OrginalModuleId",
    ("course_results", "UserName"): "Username",
    ("user_courses", "Id"): "ID",
}
# Fields that the document does not have: sent if they have a value, or in other spellings.
_NOT_IN_DOCUMENT = {
    ("users", "ProfileType"),
    ("user_logins", "ProfileType"),
    ("course_results", "UpdatedBy"),
    ("course_results", "LearningPathAssignment"),
    ("course_results", "TeamAssignment"),
}
# Where the document has a second element of the same name: the field after which it comes.
_REPEATED = {("course_results", "CreatedBy"): "UpdatedDate"}
# Spellings that differ by case alone.
_OTHER_CASE = {"Id": "ID", "UserName": "Username", "ActivityByUserName": "ActivityByUsername"}

_WITH_ZONE = {"users", "user_logins"}
_WITH_SPACE = {"activity_content", "activity_settings", "activity_logins"}
_LISTED = ("Id", "Name", "Active")
_LISTED_OF = {
    "user_ids": ("Id", "UserName", "FirstName", "LastName", "Active", "Email"),
    "course_ids": ("Id", "Code", "Name", "Active"),
}
_RAW_EVERY = 4

_SPECIAL = re.compile(r"[&<>\x00-\x08\x0b-\x1f]")


class Column(NamedTuple):
    """How a field is written.

    Attributes:
        name: Its canonical name.
        tag: The element name.
        null: The whole element if the field is null.
        optional: Whether it is left out altogether if it is null.
    """

    name: str
    tag: str
    null: str
    optional: bool = False


class Writer:
    """Writes pages as a service with certain habits does."""

    def __init__(self, habits: Habits) -> None:
        """Take the habits."""
        self._habits = habits
        self._zone = timedelta(hours=habits.zone)

    def page(self, endpoint: Endpoint, rows: Iterable[Row]) -> bytes:
        """Return rows as a page, which has an empty root if there are none."""
        if endpoint.replication_key is None:
            names = _LISTED_OF.get(endpoint.stream, _LISTED)
            columns = [_column(name, name) for name in names]
        else:
            columns = self._columns(endpoint)
        inner = [self._serialise(endpoint, row, columns) for row in rows]
        root, *wrappers = endpoint.nesting[:-1]
        head = f'<{root} xmlns:i="{XSI}"'
        if not inner:
            return f"{head}/>".encode()
        opening = "".join(f"<{name}>" for name in wrappers)
        closing = "".join(f"</{name}>" for name in reversed([root, *wrappers]))
        return f"{head}>{opening}".encode() + b"".join(inner) + closing.encode()

    def paginated(self, page: bytes, query: Mapping[str, str], total: int) -> bytes:
        """Return a page wrapped with how many rows there are; only the names are documented."""
        counts = {
            "BatchParam": "",
            "BatchSize": query.get("limit", ""),
            "Start": query.get("start", "0"),
            "TotalCount": total,
        }
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in counts.items())
        head = f"<PaginatedResult><Pagination>{inner}</Pagination>"
        return head.encode() + page + b"</PaginatedResult>"

    def _columns(self, endpoint: Endpoint) -> list[Column]:
        """Return how all fields of a stream are written."""
        columns, spelling = [], self._habits.spelling
        for field in endpoint.fields:
            if not field.sent:
                continue
            place = (endpoint.stream, field.name)
            tag = field.name
            if spelling == "document":
                tag = _IN_DOCUMENT.get(place, tag)
            elif spelling == "alternate":
                tag = (field.also_sent_as or (_OTHER_CASE.get(tag, tag),))[0]
            optional = spelling == "document" and place in _NOT_IN_DOCUMENT
            columns.append(_column(field.name, tag, optional=optional))
            if spelling == "document" and place in _REPEATED:
                columns.append(_column(_REPEATED[place], _REPEATED[place]))
        return columns

    def _serialise(self, endpoint: Endpoint, row: Row, columns: Iterable[Column]) -> bytes:
        """Return a row as XML."""
        item, values = endpoint.nesting[-1], row.values
        if self._habits.lacks_key(row):
            columns = [column for column in columns if column.name not in endpoint.primary_key]
        parts = [f"<{item}>"]
        for name, tag, null, optional in columns:
            value = values.get(name)
            if value is not None:
                parts.append(f"<{tag}>{self._text(endpoint.stream, row, name, value)}</{tag}>")
            elif not optional:
                parts.append(null)
        if self._habits.unknown_fields:
            parts.append(f"<JobRole>Role {row.number % 7}</JobRole>")
            parts.append(f"<Points>{row.number % 100}</Points>")
        parts.append(f"</{item}>")
        return "".join(parts).encode()

    def _text(self, stream: str, row: Row, name: str, value: Value) -> str:
        """Return a value as Litmos writes it."""
        if isinstance(value, str):
            return self._escaped(value, row)
        if isinstance(value, datetime):
            may_say_zone = stream in _WITH_ZONE and name != "UpdatedDate"
            says_zone = may_say_zone and row.number % 3 == 0 and not self._zone
            return self._moment(value, stream) + "Z" * says_zone
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return repr(value) if value else "0.00"
        return str(value)

    def _escaped(self, value: str, row: Row) -> str:
        text = _SPECIAL.sub(_escape, value) if _SPECIAL.search(value) else value
        if self._habits.raw and row.number % _RAW_EVERY == 0:
            text = text.replace(" &amp; ", " & ").replace("\xa0", "&nbsp;")
        return text

    def _moment(self, value: datetime, stream: str) -> str:
        local = (value + self._zone).replace(tzinfo=None)
        text = local.isoformat(" " if stream in _WITH_SPACE else "T")
        return text.rstrip("0") if "." in text else text


def _column(name: str, tag: str, *, optional: bool = False) -> Column:
    """Return how a field is written: some nulls are marked as such, some are just empty."""
    marked = name.endswith("Date") or len(name) % 2 == 0  # LastLogin is blank by the document
    null = f'<{tag} i:nil="true"/>' if marked else f"<{tag}/>"
    return Column(name, tag, null, optional)


def _escape(match: re.Match[str]) -> str:
    """Escape a character as .NET does: what XML forbids becomes a reference all the same."""
    letter = match[0]
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter) or f"&#x{ord(letter):X};"
