"""Rows as the XML that Litmos sends."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from .tables import is_sent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_litmos.declaration import Endpoint

    from .tables import Row, Value

Spelling = Literal["document", "canonical", "alternate"]

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


def page(endpoint: Endpoint, rows: Iterable[Row], spelling: Spelling) -> bytes:
    """Return rows as a page, which has an empty root if there are none."""
    columns = _columns(endpoint, spelling)
    parts = []
    for row in rows:
        if row.markup is None or row.markup[0] != spelling:
            row.markup = spelling, _serialise(endpoint, row, columns)
        parts.append(row.markup[1])
    return _wrap(endpoint, b"".join(parts))


def listing(endpoint: Endpoint, names: tuple[str, ...], rows: Iterable[Row]) -> bytes:
    """Return rows as a page of a plain listing, which has few fields."""
    columns = [_column(name, name) for name in names]
    return _wrap(endpoint, b"".join(_serialise(endpoint, row, columns) for row in rows))


def _wrap(endpoint: Endpoint, rows: bytes) -> bytes:
    """Put serialised rows into the elements around them."""
    root, *wrappers = endpoint.nesting[:-1]
    head = f'<{root} xmlns:i="{XSI}"'
    if not rows:
        return f"{head}/>".encode()
    opening = "".join(f"<{name}>" for name in wrappers)
    closing = "".join(f"</{name}>" for name in reversed([root, *wrappers]))
    return f"{head}>{opening}".encode() + rows + closing.encode()


def _columns(endpoint: Endpoint, spelling: Spelling) -> list[Column]:
    """Return how all fields of a stream are written."""
    columns = []
    for field in endpoint.fields:
        if not is_sent(field):
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


def _column(name: str, tag: str, *, optional: bool = False) -> Column:
    """Return how a field is written: some nulls are marked as such, some are just empty."""
    marked = name.endswith("Date") or len(name) % 2 == 0  # LastLogin is blank by the document
    null = f'<{tag} i:nil="true"/>' if marked else f"<{tag}/>"
    return Column(name, tag, null, optional)


def _serialise(endpoint: Endpoint, row: Row, columns: Iterable[Column]) -> bytes:
    """Return a row as XML."""
    item, get = endpoint.nesting[-1], row.values.get
    parts = [f"<{item}>"]
    for name, tag, null, optional in columns:
        value = get(name)
        if value is None:
            if not optional:
                parts.append(null)
            continue
        if type(value) is not str:
            text = _text(endpoint.stream, row, name, value)
        elif _SPECIAL.search(value):
            text = _SPECIAL.sub(_escape, value)
        else:
            text = value
        parts.append(f"<{tag}>{text}</{tag}>")
    parts.append(f"</{item}>")
    return "".join(parts).encode()


def _text(stream: str, row: Row, name: str, value: Value) -> str:
    """Return a value that is not text as Litmos writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if value else "0.00"
    if not isinstance(value, datetime):
        return str(value)
    text = value.replace(tzinfo=None).isoformat(" " if stream in _WITH_SPACE else "T")
    if "." in text:
        text = text.rstrip("0")
    with_zone = stream in _WITH_ZONE and name != "UpdatedDate" and row.number % 3 == 0
    return f"{text}Z" if with_zone else text


def _escape(match: re.Match[str]) -> str:
    """Escape a character as .NET does: what XML forbids becomes a reference all the same."""
    letter = match[0]
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter) or f"&#x{ord(letter):X};"
