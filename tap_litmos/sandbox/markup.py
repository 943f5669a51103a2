"""Rows as the XML that Litmos sends."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from tap_litmos.endpoints import Endpoint, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def page(endpoint: Endpoint, rows: Iterable[Row], spelling: Spelling) -> bytes:
    """Return rows as a page, which has an empty root if there are none."""
    *wrappers, _ = endpoint.nesting
    head = f'<{wrappers[0]} xmlns:i="{XSI}"'
    body = b"".join(
        [row.markup.get(spelling) or _serialise(endpoint, row, spelling) for row in rows]
    )
    if not body:
        return f"{head}/>".encode()
    opening = "".join(f"<{name}>" for name in wrappers[1:])
    closing = "".join(f"</{name}>" for name in reversed(wrappers))
    return f"{head}>{opening}".encode() + body + closing.encode()


def listing(endpoint: Endpoint, names: tuple[str, ...], rows: Iterable[Row]) -> bytes:
    """Return rows as a page of a plain listing, which has few fields."""
    root, item = endpoint.nesting
    body = "".join(
        f"<{item}>{''.join(_element(endpoint.stream, row, name, name) for name in names)}</{item}>"
        for row in rows
    )
    head = f'<{root} xmlns:i="{XSI}"'
    return f"{head}>{body}</{root}>".encode() if body else f"{head}/>".encode()


def _serialise(endpoint: Endpoint, row: Row, spelling: Spelling) -> bytes:
    """Return a row as XML, and keep it until the row changes."""
    stream, item = endpoint.stream, endpoint.nesting[-1]
    parts = [f"<{item}>"]
    for field in endpoint.fields:
        place = (stream, field.name)
        if field.kind == "hash" or (
            place in _NOT_IN_DOCUMENT
            and spelling == "document"
            and row.values.get(field.name) is None
        ):
            continue
        parts.append(_element(stream, row, field.name, _spell(stream, field, spelling)))
        if spelling == "document" and place in _REPEATED:
            again = _REPEATED[place]
            parts.append(_element(stream, row, again, again))
    parts.append(f"</{item}>")
    row.markup[spelling] = "".join(parts).encode()
    return row.markup[spelling]


def _spell(stream: str, field: Field, spelling: Spelling) -> str:
    """Return the element name under which a field is sent."""
    if spelling == "document":
        return _IN_DOCUMENT.get((stream, field.name), field.name)
    if spelling == "alternate":
        return (field.also_sent_as or (_OTHER_CASE.get(field.name, field.name),))[0]
    return field.name


def _element(stream: str, row: Row, name: str, tag: str) -> str:
    """Return one field of a row; some nulls are marked as such, some are just empty."""
    value = row.values.get(name)
    if value is None:
        return f"<{tag}/>" if len(name) % 2 else f'<{tag} i:nil="true"/>'
    if type(value) is str:
        if _SPECIAL.search(value):
            value = _SPECIAL.sub(_escape, value)
        return f"<{tag}>{value}</{tag}>"
    return f"<{tag}>{_text(stream, row, name, value)}</{tag}>"


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
