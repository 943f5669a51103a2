"""What rows look like: names, shapes and counts, never a value."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from tap_litmos.declaration import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_litmos.bodies import Body
    from tap_litmos.declaration import Endpoint, Field
    from tap_litmos.rows import Page

_MOST_NAMES = 200
_LONGEST_NAME = 50
_LONGEST_DATE = 40


@dataclass(slots=True)
class Survey:
    """What was met in the rows that were looked at.

    Attributes:
        rows: How many rows there were.
        filled: How many elements had a text.
        spelled: Elements whose name is not the field's own, as `stream.Field as Element`.
        unknown: Elements that no field knows, as `stream.Element`.
        invalid_values: Values that are not valid for their field, as `stream.Field (kind)`.
        shapes: How date-times are written, with 9 for a digit and a for a letter.
        rows_without_key: Rows without their primary key, by stream.
        defaulted: Parts of keys that were missing and have a default, as `stream.Field`.
        repairs: What had to be repaired in bodies.
        encodings: The encodings of bodies.
        oldest: The earliest `CreatedDate`, as the tap writes it; for a month only.
    """

    rows: int = 0
    filled: int = 0
    spelled: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    invalid_values: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    rows_without_key: Counter[str] = field(default_factory=Counter)
    defaulted: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    oldest: str | None = None

    def reporter(self, endpoint: Endpoint) -> _Reporter:
        """Return what a `RowReader` of the stream's rows reports to."""
        return _Reporter(self, endpoint.stream)

    def take(self, endpoint: Endpoint, body: Body, page: Page) -> None:
        """Look at a page of rows."""
        self.rows += len(page.records)
        self.repairs.update(body.repairs)
        self.encodings[body.encoding] += 1
        created = (record.get("CreatedDate") for record in page.records if record)
        self.oldest = min(filter(None, [self.oldest, *created]), default=None)
        known = endpoint.elements()
        for element in _elements(body.content, depth=len(endpoint.nesting) + 1):
            self._take_element(endpoint.stream, element, known.get(plain_name(element.name)))

    def _take_element(self, stream: str, element: Element, field: Field | None) -> None:
        text = element.text.strip()
        self.filled += bool(text)
        if field is not None and field.name != element.name:
            self.spelled[f"{stream}.{field.name} as {element.name}"] += 1
        if field is not None and field.kind == "datetime" and text:
            self.shapes[shape(text)] += 1


class _Reporter:
    """Counts for one stream what does not fit the schema."""

    def __init__(self, survey: Survey, stream: str) -> None:
        self._survey = survey
        self._stream = stream

    def invalid_value(self, field: str, value: str, kind: str) -> None:  # noqa: ARG002
        self._survey.invalid_values[f"{self._stream}.{field} ({kind})"] += 1

    def unknown_field(self, element: str) -> None:
        if len(self._survey.unknown) < _MOST_NAMES:
            self._survey.unknown[f"{self._stream}.{element[:_LONGEST_NAME]}"] += 1

    def defaulted(self, field: str) -> None:
        self._survey.defaulted[f"{self._stream}.{field}"] += 1

    def row_without_key(self, ids: dict[str, Any]) -> None:  # noqa: ARG002 - they are values
        self._survey.rows_without_key[self._stream] += 1


@dataclass(slots=True)
class Element:
    """An element of a document.

    Attributes:
        name: Its name.
        text: Its text.
    """

    name: str
    text: str = ""


def _elements(content: bytes, depth: int) -> Iterator[Element]:
    """Yield all elements at a depth of a well-formed document; its root is at depth 1."""
    found: list[Element] = []
    parser = expat.ParserCreate()
    at = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal at
        at += 1
        if at == depth:
            found.append(Element(name[:_LONGEST_NAME]))

    def end(_: str) -> None:
        nonlocal at
        at -= 1

    def text(data: str) -> None:
        if at >= depth and len(found[-1].text) < _LONGEST_DATE:
            found[-1].text += data

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.Parse(content, True)  # noqa: FBT003
    return iter(found)


def element_paths(content: bytes) -> list[str]:
    """Return the names of the elements of a well-formed document, each below its parent's.

    Those that hold nothing but others are left out, as they begin the names of these.
    """
    parser = expat.ParserCreate()
    path: list[str] = []
    found: dict[str, None] = {}

    def start(name: str, _: dict[str, str]) -> None:
        found.pop("/".join(path), None)
        path.append(name[:_LONGEST_NAME])
        if len(found) < _MOST_NAMES:
            found["/".join(path)] = None

    def end(_: str) -> None:
        path.pop()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(content, True)  # noqa: FBT003
    return list(found)


def shape(text: str) -> str:
    """Return how a date-time is written: `9999-99-99T99:99:99.9`, whatever the fraction."""
    text = re.sub(r"[^\W\d_]", lambda letter: letter[0] if letter[0] in "TZ" else "a", text)
    return re.sub(r"\.9+", ".9", re.sub(r"\d", "9", text))[:_LONGEST_DATE]
