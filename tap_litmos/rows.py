"""Bytes of XML in, typed rows out. Pure, no I/O.

How Litmos writes its values is gathered from the vendor's document and public clients: see
the docstrings. Every body is treated as hostile.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from xml.parsers import expat

import xmltodict

from tap_litmos.errors import BadBodyError, HostileBodyError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from collections.abc import Set as AbstractSet

    from tap_litmos.declaration import Endpoint, Field

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))? ?([Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_INTEGER = re.compile(r"([+-]?\d{1,19})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LONG = range(-(2**63), 2**63)

_RAW_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));", re.DOTALL
)
_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}encoding=["']([\w.-]+)["']""")


@dataclass(frozen=True, slots=True)
class Body:
    """A well-formed page, still as bytes.

    Attributes:
        content: The XML document.
        rows: How many rows it appears to have; `RowReader.read` counts them exactly.
        replaced: How many characters that XML forbids were replaced.
    """

    content: bytes
    rows: int
    replaced: int = 0


@dataclass(slots=True)
class Page:
    """The rows of a page.

    Attributes:
        count: How many rows were sent, with those that were left out.
        records: The typed rows, in their order.
        versions: For each record its primary key and replication key, then something as
            telling for each row that was left out.
    """

    count: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    versions: list[Hashable] = field(default_factory=list)


class Reporter(Protocol):
    """Whom a `RowReader` tells what it could not use."""

    def invalid_value(self, field: str, value: str, kind: str) -> None:
        """Take note of a value that is not of its field's kind, and became null."""

    def unknown(self, element: str) -> None:
        """Take note of an element that no schema knows, and was left out."""

    def row_without_key(self, ids: dict[str, Any]) -> None:
        """Take note of a row without its primary key, which was left out."""


def check(content: bytes, nesting: tuple[str, ...]) -> Body:
    """Check that an answer is a well-formed page, and mend the characters XML forbids.

    Litmos writes control characters as references such as `&#x1F;`, which XML 1.0 forbids
    (inferred from what .NET does). They are replaced by U+FFFD.

    Args:
        content: The body of the answer.
        nesting: The element names from the expected root down to the row.

    Raises:
        BadBodyError: If it is cut short, not XML, or has another root.
        HostileBodyError: If it declares a document type.
    """
    replaced = 0
    try:
        root = _root(content)
    except expat.ExpatError:
        content, replaced = _mend(content)
        try:
            root = _root(content)
        except expat.ExpatError as error:
            where = f"line {error.lineno}, column {error.offset}"
            what = expat.ErrorString(error.code)
            raise BadBodyError(f"the answer is no XML ({what}: {where})") from None
    if root.lower() != nesting[0].lower():
        raise BadBodyError(f"the answer is <{root[:50]}> instead of <{nesting[0]}>")
    end = f"</{nesting[-1]}>".encode()
    rows = content.count(end) or content.lower().count(end.lower())
    return Body(content, rows, replaced)


def _root(content: bytes) -> str:
    """Return the name of the root of a well-formed document without document type."""
    parser = expat.ParserCreate()
    names: list[str] = []

    def start(name: str, _: dict[str, str]) -> None:
        names.append(name)
        parser.StartElementHandler = None

    def refuse(name: str, *_: object) -> None:
        if name.lower() == "html":
            raise BadBodyError("the answer is an HTML page")
        raise HostileBodyError(
            "the answer declares a document type, which is refused: it could expand without "
            "bounds or read files"
        )

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)  # noqa: FBT003
    except (LookupError, ValueError) as error:
        raise BadBodyError(f"the answer's encoding cannot be read ({error})") from None
    return names[0]


def _mend(content: bytes) -> tuple[bytes, int]:
    """Replace what XML forbids, raw or as a reference; return the document and the count."""
    declared = _ENCODING.match(content)
    if declared and declared[1].lower() not in {b"utf-8", b"us-ascii"}:
        return content, 0
    replaced = 0
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode(errors="replace")
        replaced = text.count(REPLACEMENT)
    text, raw = _RAW_FORBIDDEN.subn(REPLACEMENT, text)
    replaced += raw

    def mend(match: re.Match[str]) -> str:
        nonlocal replaced
        hexadecimal, decimal = match.groups()
        if not hexadecimal and not decimal:
            return match[0]
        digits = (hexadecimal or decimal).lstrip("0")[:8]
        code = int(digits or "0", 16 if hexadecimal else 10)
        if code <= sys.maxunicode and not _RAW_FORBIDDEN.match(chr(code)):
            return match[0]
        replaced += 1
        return REPLACEMENT

    return _REFERENCE.sub(mend, text).encode(), replaced


def to_datetime(text: str) -> str | None:
    """Return a date-time as RFC 3339 in UTC with six fraction digits.

    Litmos sends ISO date-times without a zone, or with `Z`, and 0 to 7 fraction digits; they
    are UTC (inferred). `0001-01-01…` is .NET's "no date" (inferred) and becomes None.

    Raises:
        ValueError: If it is no date-time.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, time, fraction, zone = match.groups("")
    if day == "0001-01-01":
        return None
    at = datetime.fromisoformat(f"{day}T{time or '00:00'}")
    if zone not in {"", "Z", "z"}:
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        try:
            at += ahead if zone[0] == "-" else -ahead
        except OverflowError as error:
            raise ValueError(text) from error
    return f"{at.isoformat()}.{fraction[:6]:0<6}Z"


def to_integer(text: str) -> int:
    """Return a whole number of at most 64 bits; `100.0` is one.

    Raises:
        ValueError: If it is none.
    """
    match = _INTEGER.fullmatch(text)
    if match is None or (value := int(match[1])) not in _LONG:
        raise ValueError(text)
    return value


def to_number(text: str) -> float:
    """Return a finite number.

    Raises:
        ValueError: If it is none.
    """
    if _NUMBER.fullmatch(text) is None or not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def to_boolean(text: str) -> bool:
    """Return a boolean from `true` or `false` in any case, or `1` or `0`.

    Raises:
        ValueError: If it is none.
    """
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise ValueError(text)
    return value


_CASTS: dict[str, Callable[[str], Any]] = {
    "datetime": to_datetime,
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
}


class RowReader:
    """Reads the rows of one stream; compiled once from its declaration.

    A record holds exactly the selected fields, JSON-ready: what is missing, empty or
    `i:nil` is None, text is as it was sent.
    """

    def __init__(
        self, endpoint: Endpoint, selected: AbstractSet[str], reporter: Reporter
    ) -> None:
        """Compile the reader.

        Args:
            endpoint: The declaration of the stream.
            selected: The names of the fields that records shall hold. The primary key and
                the replication key are held in any case.
            reporter: Whom to tell what could not be used.
        """
        automatic = set(endpoint.automatic)
        self._reporter = reporter
        self._path = [name.lower() for name in endpoint.nesting]
        self._row = endpoint.nesting[-1]
        self._primary_key = endpoint.primary_key
        self._ids_only = endpoint.is_listing
        self._version = endpoint.automatic
        self._hash = next((each.name for each in endpoint.fields if each.kind == "hash"), None)
        kept = [
            each
            for each in endpoint.fields
            if self._hash or each.name in selected or each.name in automatic
        ]
        self._empty: dict[str, Any] = dict.fromkeys(each.name for each in kept)
        self._dropped = [
            name for name in self._empty if name not in selected and name not in automatic
        ]
        self._known: dict[str, Field | None] = {"#text": None}
        for each in endpoint.fields:
            for name in (each.name, *each.also_sent_as):
                self._known[name.lower()] = each if each in kept else None
        self._targets: dict[str, tuple[str, Callable[[str], Any] | None] | None] = {}

    def read(self, body: Body) -> Page:
        """Return the rows of a page that `check` has passed.

        Raises:
            BadBodyError: If it holds something else in the place of the rows.
        """
        page = Page()

        def take(path: list[tuple[str, Any]], item: Any) -> bool:
            names = [name.lower() for name, _ in path]
            if names != self._path:
                if names[:-1] == self._path[:-1] and isinstance(item, dict):
                    raise BadBodyError(
                        f"the answer has rows <{path[-1][0][:50]}> instead of <{self._row}>; "
                        "a newer version of the tap may know them"
                    )
                self._reporter.unknown("/".join(name for name, _ in path)[:200])
                return True
            page.count += 1
            record = self._record(item if isinstance(item, dict) else {})
            if any(record[name] is None for name in self._primary_key):
                ids = {
                    name: value
                    for name, value in record.items()
                    if value is not None and (name.endswith("Id") or name.startswith("Origin"))
                }
                self._reporter.row_without_key(ids)
                left_out.append(repr(record))
                return True
            page.records.append(record)
            page.versions.append(tuple(map(record.__getitem__, self._version)))
            return True

        left_out: list[Hashable] = []
        xmltodict.parse(
            body.content,
            item_depth=len(self._path),
            item_callback=take,
            xml_attribs=False,
            strip_whitespace=False,
        )
        page.versions += left_out
        return page

    def _record(self, item: dict[str, Any]) -> dict[str, Any]:
        record = self._empty.copy()
        for element, sent in item.items():
            target = self._targets.get(element) or self._target(element)
            if target is None or sent is None:
                continue
            name, cast = target
            value = sent if type(sent) is str else _text(sent)
            if value is None or record[name] is not None:
                continue
            if cast is None:
                record[name] = value
            elif value := value.strip():
                try:
                    record[name] = cast(value)
                except ValueError:
                    self._reporter.invalid_value(name, value, cast.__name__.removeprefix("to_"))
        if self._hash:
            record[self._hash] = _digest(record)
            for name in self._dropped:
                del record[name]
        return record

    def _target(self, element: str) -> tuple[str, Callable[[str], Any] | None] | None:
        """Return the name and the cast for an element, or None if it is not wanted."""
        if element in self._targets:
            return self._targets[element]
        lowered = element.lower()
        if lowered not in self._known:
            if not self._ids_only:
                self._reporter.unknown(element)
            return None
        known = self._known[lowered]
        target = None if known is None else (known.name, _CASTS.get(known.kind))
        self._targets[element] = target
        return target


def _text(sent: Any) -> str | None:
    """Return the text of an element that is repeated or has children.

    Of a repeated element it is the first that is not empty. Children, which no declared
    field has, are kept as JSON.
    """
    if isinstance(sent, list):
        return next((text for each in sent if (text := _text(each)) is not None), None)
    if isinstance(sent, dict):
        text = sent.get("#text")
        children = {name: child for name, child in sent.items() if name != "#text"}
        if isinstance(text, str) and text.strip():
            children["#text"] = text
        try:
            return json.dumps(children, ensure_ascii=False)
        except RecursionError:
            return None
    return sent if isinstance(sent, str) else None


def _digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a row's values, as 64 hexadecimal digits.

    It is taken over the JSON text of all fields that are not null, sorted by name, without
    white space, in UTF-8.
    """
    values = {name: value for name, value in record.items() if value is not None}
    canonical = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
