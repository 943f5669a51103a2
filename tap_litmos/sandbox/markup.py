"""Rows as the XML that Litmos sends."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_litmos.declaration import Endpoint, Field

    from .tables import Row

XSI = "http://www.w3.org/2001/XMLSchema-instance"

# How the vendor's document spells these fields.
_IN_DOCUMENT = {
    ("module_results", "OriginalModuleId"): "OrginalModuleId",
    ("course_results", "UserName"): "Username",
    ("user_courses", "Id"): "ID",
}
# Fields that the document lacks: sent only if they have a value.
_NOT_IN_DOCUMENT = {"ProfileType", "TeamAssignment", "LearningPathAssignment"}
# Fields after which the document repeats another element.
_REPEATED = {("course_results", "CreatedBy"): "UpdatedDate"}

_WITH_ZONE = {"users", "user_logins"}
_WITH_SPACE = {"activity_content", "activity_settings", "activity_logins"}
_SPECIAL = re.compile(r"[&<>\x00-\x08\x0b-\x1f]")


Column = tuple[str, str, str]
"""How a field is written: its canonical name, its element name, and its element if null."""


class Writer:
    """Writes pages as the vendor's document shows them."""

    def page(self, endpoint: Endpoint, rows: Iterable[Row]) -> bytes:
        """Return rows as a page: an empty root element if there are none."""
        columns = list(self._columns(endpoint))
        inner = "".join(self.item(endpoint, row, columns) for row in rows)
        root, *wrappers, _ = endpoint.nesting
        head = f'<{root} xmlns:i="{XSI}"'
        if not inner:
            return f"{head}/>".encode()
        for name in reversed(wrappers):
            inner = f"<{name}>{inner}</{name}>"
        return f"{head}>{inner}</{root}>".encode()

    def _columns(self, endpoint: Endpoint) -> Iterator[Column]:
        if endpoint.is_listing:
            yield from (column(name, name) for name in ("Id", "Name", "Active"))
            return
        for field in endpoint.fields:
            if field.sent:
                yield from self.columns_of(endpoint.stream, field)

    def columns_of(self, stream: str, field: Field) -> Iterator[Column]:
        """Yield how a field is written, with an element that the document repeats after it."""
        place = (stream, field.name)
        name, tag, null = column(field.name, _IN_DOCUMENT.get(place, field.name))
        yield name, tag, "" if name in _NOT_IN_DOCUMENT else null
        if place in _REPEATED:
            yield column(_REPEATED[place], _REPEATED[place])

    def item(self, endpoint: Endpoint, row: Row, columns: Iterable[Column]) -> str:
        """Return a row as XML."""
        item = endpoint.nesting[-1]
        elements = (
            null if row[name] is None else f"<{tag}>{self._text(row, name)}</{tag}>"
            for name, tag, null in columns
        )
        return f"<{item}>{''.join(elements)}</{item}>"

    def _text(self, row: Row, name: str) -> str:
        value = row[name]
        if isinstance(value, str):
            return self.escaped(value, row)
        if isinstance(value, datetime):
            return self.moment(value, row, name)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return repr(value) if value else "0.00"
        return str(value)

    def moment(self, value: datetime, row: Row, name: str) -> str:
        """Return a date-time in UTC, with a `Z` where the document has one now and then."""
        stream = row.table.endpoint.stream
        text = value.replace(tzinfo=None).isoformat(" " if stream in _WITH_SPACE else "T")
        text = text.rstrip("0") if "." in text else text
        has_zone = stream in _WITH_ZONE and name != "UpdatedDate" and row.number % 3 == 0
        return f"{text}Z" if has_zone else text

    def escaped(self, value: str, row: Row) -> str:  # noqa: ARG002 - for subclasses
        """Return text as XML."""
        return _SPECIAL.sub(_escape, value)


def column(name: str, tag: str) -> Column:
    """Return how a field is written: some nulls are marked, others are empty elements."""
    marked = name.endswith("Date") or len(name) % 2 == 0  # the document has LastLogin blank
    return name, tag, f'<{tag} i:nil="true"/>' if marked else f"<{tag}/>"


def _escape(match: re.Match[str]) -> str:
    """Escape a character as .NET does: references even to characters that XML forbids."""
    letter = match[0]
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter) or f"&#x{ord(letter):X};"
