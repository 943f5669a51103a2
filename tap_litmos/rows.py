"""The rows of a page in, typed records out. Pure, no I/O.

How Litmos writes its values is gathered from the vendor's document and public clients: see
the docstrings.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import xmltodict

from tap_litmos.bodies import WHITE
from tap_litmos.declaration import OTHER_FIELDS, plain_name
from tap_litmos.streams import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from collections.abc import Set as AbstractSet

    from tap_litmos.bodies import Body
    from tap_litmos.declaration import Endpoint

    Cast = Callable[[str], Any]

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))? ?"
    r"([Zz]|[+-](?:0\d|1[0-4]):?[0-5]\d)?)?",
    re.ASCII,
)
_INTEGER = re.compile(r"([+-]?\d{1,19})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DEEPEST = 50
"""Levels below an element that are kept in `OtherFields`; of deeper ones, only the text."""

_OTHERS = OTHER_FIELDS.name
_INT64 = range(-(2**63), 2**63)


@dataclass(slots=True)
class Page:
    """The rows of a page, in the order in which they were sent.

    Attributes:
        records: The typed rows; None for one that was skipped, as it lacks its primary key.
        versions: Per row: its primary key and replication value, which identify this version
            of the row. Of a skipped row: all that was read of it, as text.
        keys: Per row: its primary key. Of a skipped row: the same as its version.
    """

    records: list[dict[str, Any] | None] = field(default_factory=list)
    versions: list[tuple[Any, ...]] = field(default_factory=list)
    keys: list[tuple[Any, ...]] = field(default_factory=list)


class Reporter(Protocol):
    """Takes reports of rows that do not fit the schema, as `summary.StreamStats` does."""

    def invalid_value(self, field: str, value: str, kind: str) -> None:
        """Report a value that is not of its field's kind: the field is null."""

    def unknown_field(self, element: str) -> None:
        """Report an element that is not in the schema."""

    def defaulted(self, field: str) -> None:
        """Report that a field was not sent and has its default."""

    def row_without_key(self, ids: dict[str, Any]) -> None:
        """Report a row that was skipped since its primary key is not complete."""


def to_datetime(text: str) -> str | None:
    """Return a date-time as RFC 3339 in UTC with six fraction digits.

    Litmos sends ISO date-times without a zone, or with `Z`, and 0 to 7 fraction digits; they
    are UTC (inferred). `0001-01-01…` is .NET's "no date" (inferred) and becomes None.

    Raises:
        ValueError: If malformed.
    """
    match = _MOMENT.fullmatch(text.strip())
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
        ValueError: If malformed.
    """
    match = _INTEGER.fullmatch(text.strip())
    if match is None or (value := int(match[1])) not in _INT64:
        raise ValueError(text)
    return value


def to_number(text: str) -> float:
    """Return a finite number.

    Raises:
        ValueError: If malformed.
    """
    if _NUMBER.fullmatch(text.strip()) is None or not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def to_boolean(text: str) -> bool:
    """Return a boolean from `true` or `false` in any case, or `1` or `0`.

    Raises:
        ValueError: If malformed.
    """
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise ValueError(text)
    return value


_CASTS: dict[str, Cast] = {
    "datetime": to_datetime,
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
}


class _Target(NamedTuple):
    """The field that takes an element, and the cast of its text."""

    name: str
    cast: Cast


_UNKNOWN = _Target("unknown", str)
"""The target of elements that no field takes; they go to `OtherFields`."""

_IGNORED = _Target("ignored", str)
"""The target of elements that are dropped."""

_MOST_NAMES = 1000
"""How many names of elements are remembered, so that a hostile body cannot fill memory."""


class RowReader:
    """Reads the rows of one stream; compiled once from its declaration.

    A record holds exactly the selected fields and the keys, JSON-ready. What is missing, empty
    or marked as `i:nil` is None or the field's default. Text is as it was sent.
    """

    def __init__(
        self, endpoint: Endpoint, selected: AbstractSet[str], reporter: Reporter
    ) -> None:
        """Compile the reader.

        Args:
            endpoint: The declaration of the stream.
            selected: The names of the fields that records shall hold. The primary key and
                the replication key are held in any case.
            reporter: Takes reports of what does not fit the schema.
        """
        self._reporter = reporter
        self._depth = len(endpoint.nesting)
        self._primary_key = endpoint.primary_key
        self._version_fields = endpoint.key_fields
        self._hash_field = next(
            (field.name for field in endpoint.fields if field.kind == "hash"), None
        )
        written = selected | set(endpoint.key_fields)
        # A hash is taken over all fields, whatever is selected: `_complete` drops the rest.
        kept = [field for field in endpoint.fields if self._hash_field or field.name in written]
        # What each record starts from.
        self._blank_record: dict[str, Any] = dict.fromkeys(field.name for field in kept)
        self._hash_only = self._blank_record.keys() - written
        self._defaults = {
            field.name: field.default for field in kept if field.default is not None
        }
        self._targets = _Targets(endpoint, self._blank_record, reporter)

    def set_constant(self, name: str, value: str) -> None:
        """Give a field that Litmos does not send, if it is written, a value in each record."""
        if name in self._blank_record:
            self._blank_record[name] = value

    def read(self, body: Body) -> Page:
        """Return the rows of a page that `bodies.clean_body` has passed."""
        page = Page()
        key_length = len(self._primary_key)

        def read_row(_: list[tuple[str, Any]], item: Any) -> bool:
            record = self._record(_elements(item))
            version: tuple[Any, ...] = tuple(map(record.__getitem__, self._version_fields))
            key = version[:key_length]
            if None in key:
                self._reporter.row_without_key(_ids(record))
                page.records.append(None)
                version = key = (repr(record),)  # so that the paginator tells it from others
            else:
                page.records.append(record)
            page.versions.append(version)
            page.keys.append(key)
            return True  # go on to the next row

        # xmltodict calls `read_row` with each row, and holds only that one.
        xmltodict.parse(
            body.content,
            item_depth=self._depth,
            item_callback=read_row,
            xml_attribs=False,
            strip_whitespace=False,
        )
        return page

    def _record(self, elements: dict[str, Any]) -> dict[str, Any]:
        """Return the record of a row, whose elements are given by name as sent."""
        record, others = self._blank_record.copy(), {}
        for element, sent in elements.items():
            # The field that takes it, and its cast; unknown elements have a target too.
            target = self._targets[element]
            # Fields that are not kept are ignored; in a listing, so are unknown elements.
            if sent is None or target is _IGNORED:
                continue
            if target is _UNKNOWN:
                others[element] = sent
                continue
            name, cast = target
            if type(sent) is str and record[name] is None:
                # Fast path: text that fits a field that is still empty.
                try:
                    record[name] = cast(sent)
                except ValueError:
                    pass
                else:
                    continue
            # All else: nested or repeated elements, and text that does not fit.
            if left := self._put_all(record, target, sent):
                others[element] = left
        return self._complete(record, others)  # with defaults, hash, `OtherFields`

    def _put_all(self, record: dict[str, Any], target: _Target, sent: Any) -> list[Any]:
        """Put what was sent into a field; return the values that it does not hold."""
        values = sent if isinstance(sent, list) else [sent]
        return [value for value in values if not self._try_put(record, target, value)]

    def _try_put(self, record: dict[str, Any], target: _Target, value: Any) -> bool:
        """Put a value into its field if that is empty; return whether the field holds it."""
        name, cast = target
        text = value if isinstance(value, str) else _as_json(_pruned(value))
        if not text or (cast is not str and not text.strip()):
            return True
        try:
            fitting = cast(text)
        except ValueError:
            if record[name] is None:
                kind = cast.__name__.removeprefix("to_")
                self._reporter.invalid_value(name, text.strip(), kind)
            return False
        if record[name] is None:
            record[name] = fitting
        return fitting is None or fitting == record[name]

    def _complete(self, record: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
        """Return a record with what the tap adds to it.

        Args:
            record: The record.
            others: What no field took, by element.
        """
        misfits = {self._targets[element].name for element in others}
        for name, default in self._defaults.items():
            # Do not default a field whose value was sent but invalid.
            if record[name] is None and name not in misfits:
                record[name] = default
                self._reporter.defaulted(name)
        if self._hash_field:
            record[self._hash_field] = _digest(record | {_OTHERS: _as_json(_pruned(others))})
            others = self._drop_hash_only(record, others)
        if others and _OTHERS in record:
            record[_OTHERS] = _as_json(_pruned(others))
        return record

    def _drop_hash_only(self, record: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
        """Drop the fields that only the hash needed; return the others without theirs."""
        for name in self._hash_only:
            del record[name]
        return {
            element: sent
            for element, sent in others.items()
            if self._targets[element].name not in self._hash_only
        }


class _Targets(dict[str, _Target]):
    """What takes each element, by its name as sent: which field, with which cast.

    It fills itself as names come.
    """

    def __init__(self, endpoint: Endpoint, kept: Container[str], reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter
        # Only ids are read of a listing; names and addresses stay out.
        self._unknown = _IGNORED if endpoint.is_listing else _UNKNOWN
        self._known = {
            name: _Target(field.name, _CASTS.get(field.kind, str))
            if field.name in kept
            else _IGNORED
            for name, field in endpoint.elements().items()
        }

    def __missing__(self, element: str) -> _Target:
        target = self._known.get(plain_name(element), self._unknown)
        if target is _UNKNOWN:
            self._reporter.unknown_field(element)
        if len(self) < _MOST_NAMES:
            self[element] = target
        return target


def _elements(item: Any) -> dict[str, Any]:
    """Return the elements of a row; text in the place of elements is named `#text`."""
    if isinstance(item, dict):
        return item
    return {"#text": item} if item and item.strip(WHITE) else {}


def _ids(record: dict[str, Any]) -> dict[str, Any]:
    """Return the ids by which to find a row whose primary key is incomplete."""
    return {
        name: value
        for name, value in record.items()
        if value is not None and name.endswith("Id")
    }


def _pruned(sent: Any, depth: int = 0) -> Any:
    """Return what an element holds, without secrets and what is empty; None if nothing is left.

    Of what nests deeper than `_DEEPEST` levels, only the text is kept.
    """
    if isinstance(sent, dict) and depth <= _DEEPEST:
        return _pruned_elements(sent, depth)
    if isinstance(sent, list) and depth <= _DEEPEST:
        values = [left for each in sent if (left := _pruned(each, depth + 1)) is not None]
        return values[0] if len(values) == 1 else values or None
    return _all_text(sent)


def _pruned_elements(elements: dict[str, Any], depth: int) -> dict[str, Any] | None:
    pruned = {name: _pruned(sent, depth + 1) for name, sent in _without_secrets(elements)}
    return {
        name: left
        for name, left in pruned.items()
        # White space between elements says nothing.
        if left is not None and (name != "#text" or left.strip(WHITE))
    } or None


def _all_text(sent: Any) -> str | None:
    """Return all text in an element but secrets, in its order."""
    texts: list[str] = []
    waiting = [sent]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif value is not None:
            is_list = isinstance(value, list)
            waiting += reversed(
                value if is_list else [sent for _, sent in _without_secrets(value)]
            )
    return "".join(texts) or None


def _without_secrets(elements: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, sent) for name, sent in elements.items() if plain_name(name) not in SECRETS]


def _as_json(value: Any) -> str | None:
    """Return a value as JSON text that is always the same, None for None."""
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a row's values, as 64 hexadecimal digits.

    It is taken over the JSON text of all fields that are not null, sorted by name, without
    white space, in UTF-8.
    """
    values = {name: value for name, value in record.items() if value is not None}
    return hashlib.sha256((_as_json(values) or "").encode()).hexdigest()
