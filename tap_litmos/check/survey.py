"""What rows look like (names, shapes and counts, never a value), and what the tap makes of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import xmltodict
from singer_sdk.exceptions import FatalAPIError

from tap_litmos.bodies import clean_body
from tap_litmos.declaration import plain_name
from tap_litmos.rows import INVALID_VALUE, Findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_litmos.declaration import Endpoint, Field

MAX_NAMES = 200
MAX_NAME = 50
_MAX_DATE = 40
_MAX_DEPTH = 20

_ZONE = re.compile(r":\d\d(?:\.\d+)? ?(?:[Zz]|[+-]\d\d:?\d\d)\s*\Z")


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it was sent: its fields, with the name and the text of each element."""

    elements: list[tuple[Field, str, str]]

    def names_zone(self, name: str | None) -> bool:
        """Return whether a date is written with its zone."""
        return any(
            field.name == name and bool(_ZONE.search(text)) for field, _, text in self.elements
        )


def raw_rows(body: bytes, charset: str | None, endpoint: Endpoint) -> list[RawRow]:
    """Return the rows of a page that the tap could read, as they were sent."""
    known, rows = endpoint.elements(), []

    def take(_: list[tuple[str, Any]], item: Any) -> bool:
        elements = item.items() if isinstance(item, dict) else ()
        rows.append(
            RawRow(
                [
                    (known[plain_name(name)], name[:MAX_NAME], str(text or ""))
                    for name, text in elements
                    if plain_name(name) in known
                ]
            )
        )
        return True

    content = clean_body(body, endpoint.nesting, charset, Findings())
    xmltodict.parse(
        content, item_depth=len(endpoint.nesting), item_callback=take, xml_attribs=False
    )
    return rows


def element_names(body: bytes) -> list[str]:
    """Return the names of the elements of any document that hold text, each with its parents.

    Raises:
        FatalAPIError: If it is not XML.
    """
    try:
        document = xmltodict.parse(body, xml_attribs=False)
    except (expat.ExpatError, ValueError) as error:
        raise FatalAPIError("the response is not XML") from error
    if "html" in {name.lower() for name in document}:
        raise FatalAPIError("the response is an HTML page")
    return list(islice(dict.fromkeys(_paths(document, ())), MAX_NAMES))


def _paths(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    for item in node if isinstance(node, list) else [node]:
        if isinstance(item, dict) and len(path) < _MAX_DEPTH:
            for name, child in item.items():
                if name != "#text":
                    yield from _paths(child, (*path, name[:MAX_NAME]))
        else:
            yield "/".join(path)


@dataclass(slots=True)
class Survey:
    """What was met in the rows that were looked at.

    Attributes:
        pages: How many pages came.
        rows: How many rows there were.
        spelled: Elements whose name is not the field's own, as `stream.Field as Element`.
        shapes: How date-times are written, with 9 for a digit and a for a letter.
        findings: What did not fit the schema, by what it was, as `stream.Field`.
        repeated: Rows that came once more, exactly the same, by stream.
        shared: Rows that differ from another with their key, by stream.
    """

    pages: int = 0
    rows: int = 0
    spelled: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Counter[str]] = field(default_factory=dict)
    repeated: Counter[str] = field(default_factory=Counter)
    shared: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        endpoint: Endpoint,
        findings: Findings,
        rows: Sequence[RawRow],
        repeated: int,
        shared: int,
    ) -> None:
        """Add a page.

        Args:
            endpoint: Where it came from.
            findings: What did not fit the schema.
            rows: Its rows.
            repeated: How many of them came once more, exactly the same.
            shared: How many differ from another with their key.
        """
        stream, kinds = endpoint.stream, {field.name: field.kind for field in endpoint.fields}
        self.pages += 1
        self.rows += len(rows)
        self.repeated += Counter({stream: repeated})
        self.shared += Counter({stream: shared})
        for (what, about), times in findings.counts.items():
            name = f"{stream}.{about[:MAX_NAME]}" if about else stream
            kind = f" ({kinds[about]})" if what == INVALID_VALUE else ""
            self.met(what)[name + kind] += times
        for known, element, text in (element for row in rows for element in row.elements):
            if known.name != element:
                self.spelled[f"{stream}.{known.name} as {element}"] += 1
            if known.kind == "datetime" and text.strip():
                self.shapes[shape(text.strip())] += 1

    def met(self, what: str) -> Counter[str]:
        """Return what was met of a kind, by `stream.Field`."""
        return self.findings.setdefault(what, Counter())


def shape(text: str) -> str:
    """Return how a date-time is written: `9999-99-99T99:99:99.9`, whatever the fraction."""
    text = re.sub(r"[^\W\d_]", lambda letter: letter[0] if letter[0] in "TZ" else "a", text)
    return re.sub(r"\.9+", ".9", re.sub(r"\d", "9", text))[:_MAX_DATE]
