"""Rows as the XML that Litmos sends."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_litmos.declaration import Endpoint, Field

    from .habits import Habits
    from .tables import Row

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
    """

    name: str
    tag: str
    null: str


class Writer:
    """Writes pages as a service with certain habits does."""

    def __init__(self, habits: Habits) -> None:
        """Take the habits."""
        self._habits = habits
        self._zone = timedelta(hours=habits.zone)

    def page(self, endpoint: Endpoint, rows: Iterable[Row]) -> bytes:
        """Return rows as a page, which has an empty root if there are none."""
        columns = list(self._columns(endpoint))
        inner = "".join(self._serialise(endpoint, row, columns) for row in rows)
        root, *wrappers, _ = endpoint.nesting
        head = f'<{root} xmlns:i="{XSI}"'
        if not inner:
            return f"{head}/>".encode()
        for name in reversed(wrappers):
            inner = f"<{name}>{inner}</{name}>"
        return f"{head}>{inner}</{root}>".encode()

    def _columns(self, endpoint: Endpoint) -> Iterator[Column]:
        """Yield how all fields of a stream are written."""
        if endpoint.is_listing:
            names = _LISTED_OF.get(endpoint.stream, _LISTED)
            yield from (_column(name, name) for name in names)
            return
        for field in endpoint.fields:
            if field.sent:
                yield from self._columns_of(endpoint.stream, field)

    def _columns_of(self, stream: str, field: Field) -> Iterator[Column]:
        """Yield how a field is written, which may be two elements in the document."""
        name, place = field.name, (stream, field.name)
        match self._habits.spelling:
            case "canonical":
                yield _column(name, name)
            case "alternate":
                yield _column(name, *(field.also_sent_as or (_OTHER_CASE.get(name, name),))[:1])
            case "document":
                column = _column(name, _IN_DOCUMENT.get(place, name))
                yield column._replace(null="") if place in _NOT_IN_DOCUMENT else column
                if place in _REPEATED:
                    yield _column(_REPEATED[place], _REPEATED[place])

    def _serialise(self, endpoint: Endpoint, row: Row, columns: Iterable[Column]) -> str:
        """Return a row as XML."""
        item = endpoint.nesting[-1]
        lacking = endpoint.primary_key if self._habits.lacks_key(row) else ()
        text = "".join(
            null if row[name] is None else f"<{tag}>{self._text(row, name)}</{tag}>"
            for name, tag, null in columns
            if name not in lacking
        )
        if self._habits.unknown_fields:
            text += f"<JobRole>Role {row.number % 7}</JobRole>"
            text += f"<Points>{row.number % 100}</Points>"
        return f"<{item}>{text}</{item}>"

    def _text(self, row: Row, name: str) -> str:
        """Return a value as Litmos writes it."""
        value = row[name]
        if isinstance(value, str):
            return self._escaped(value, row)
        if isinstance(value, datetime):
            return self._moment(value, row, name)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return repr(value) if value else "0.00"
        return str(value)

    def _moment(self, value: datetime, row: Row, name: str) -> str:
        stream = row.table.endpoint.stream
        local = (value + self._zone).replace(tzinfo=None)
        text = local.isoformat(" " if stream in _WITH_SPACE else "T")
        text = text.rstrip("0") if "." in text else text
        may_say_zone = stream in _WITH_ZONE and name != "UpdatedDate" and not self._zone
        return text + "Z" * (may_say_zone and row.number % 3 == 0)

    def _escaped(self, value: str, row: Row) -> str:
        text = _SPECIAL.sub(_escape, value)
        if self._habits.raw and row.number % _RAW_EVERY == 0:
            text = text.replace(" &amp; ", " & ").replace("\xa0", "&nbsp;")
        return text


def _column(name: str, tag: str) -> Column:
    """Return how a field is written: some nulls are marked as such, some are just empty."""
    marked = name.endswith("Date") or len(name) % 2 == 0  # LastLogin is blank by the document
    return Column(name, tag, f'<{tag} i:nil="true"/>' if marked else f"<{tag}/>")


def _escape(match: re.Match[str]) -> str:
    """Escape a character as .NET does: what XML forbids becomes a reference all the same."""
    letter = match[0]
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter) or f"&#x{ord(letter):X};"
