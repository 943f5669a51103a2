"""The rows of a page in, typed records out. Pure, no I/O.

How Litmos writes its values is gathered from the vendor's document and public clients: see
the docstrings.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import xmltodict

from tap_litmos.bodies import WHITE
from tap_litmos.declaration import OTHER_FIELDS, plain_name
from tap_litmos.errors import BadBodyError, HostileBodyError
from tap_litmos.streams import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from collections.abc import Set as AbstractSet

    from tap_litmos.declaration import Endpoint

    Cast = Callable[[str], Any]

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))? ?"
    r"([Zz]|[+-](?:0\d|1[0-4]):?[0-5]\d)?)?",
    re.ASCII,
)
_INTEGER = re.compile(r"([+-]?\d{1,19})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
INVALID_VALUE = "invalid_values"
UNKNOWN_FIELD = "unknown_fields"
DEFAULTED = "defaults"
WITHOUT_KEY = "rows_without_key"
SHARED_KEY = "rows_sharing_a_key"

_OTHERS = OTHER_FIELDS.name
_INT64 = range(-(2**63), 2**63)


MAX_ROWS = 100_000
"""Rows of a page; the tap asks for 1,000 at most, and more than these would fill memory."""

MAX_FINDINGS = 1000
"""How many different findings are kept: a hostile body could hold any number."""


class Findings:
    """What did not fit the schema in some rows.

    Attributes:
        counts: How often something happened, by what it was and which field it concerns.
        examples: By the same, the first value that was affected, cut to 100 characters.
    """

    def __init__(self) -> None:
        """Start without findings."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], str] = {}

    def add(self, what: str, about: str = "", example: str = "", *, times: int = 1) -> None:
        """Count a finding, such as `INVALID_VALUE` about the field `Score`."""
        finding = what, about[:100]
        if times and (finding in self.counts or len(self.counts) < MAX_FINDINGS):
            self.counts[finding] += times
            self.examples.setdefault(finding, example[:100])

    def update(self, other: Findings) -> list[tuple[str, str]]:
        """Add other findings; return those that are new."""
        new = [finding for finding in other.counts if finding not in self.counts]
        for (what, about), times in other.counts.items():
            self.add(what, about, other.examples[what, about], times=times)
        return [finding for finding in new if finding in self.counts]

    def count(self, what: str) -> int:
        """Return how often something happened, over all fields."""
        return sum(times for (each, _), times in self.counts.items() if each == what)


@dataclass(slots=True)
class Page:
    """The rows of a page, in the order in which they were sent.

    Attributes:
        records: The typed rows; None for a row that was skipped, as it lacks its primary key.
        keys: By row, its primary key; of a skipped row, all that was read of it, as text.
        dates: By row, its replication value as text; "" if it has none.
    """

    records: list[dict[str, Any] | None] = field(default_factory=list)
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)


def to_datetime(text: str) -> str | None:
    """Return a date-time as RFC 3339 in UTC with six fraction digits.

    Litmos sends ISO date-times without a zone, or with `Z`, and 0 to 7 fraction digits; they
    are UTC (inferred). `0001-01-01…` is .NET's "no date" (inferred) and becomes None.

    Raises:
        ValueError: If malformed.
        OverflowError: If it is not a year from 1 to 9999 in UTC.
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
        at += ahead if zone[0] == "-" else -ahead
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

    def __init__(self, endpoint: Endpoint, selected: AbstractSet[str]) -> None:
        """Compile the reader.

        Args:
            endpoint: The declaration of the stream.
            selected: The names of the fields that records shall hold. The primary key and
                the replication key are held in any case.
        """
        self._names = tuple(name.lower() for name in endpoint.nesting)
        self._primary_key = endpoint.primary_key
        self._replication_key = endpoint.replication_key or ""
        self._hash_field = endpoint.hash_field
        self._defaults = endpoint.defaults
        written = selected | set(endpoint.key_fields)
        # A hash is taken over all fields, whatever is selected: `_complete` drops the rest.
        names = [field.name for field in endpoint.fields]
        kept = [name for name in names if self._hash_field or name in written]
        # What each record starts from.
        self._blank_record: dict[str, Any] = dict.fromkeys(kept)
        self._hash_only = self._blank_record.keys() - written
        self._targets = _Targets(endpoint, self._blank_record)

    def read(self, content: bytes, findings: Findings) -> Page:
        """Return the rows of a page.

        Args:
            content: XML that `bodies.clean_body` has passed.
            findings: Receives what does not fit the schema.

        Raises:
            BadBodyError: If it holds anything but rows.
            HostileBodyError: If it has more than 100,000 rows.
        """
        page = Page()

        def read_row(path: list[tuple[str, Any]], item: Any) -> bool:
            names = tuple(name.lower() for name, _ in path)
            if names != self._names:
                raise BadBodyError(f"the response has <{path[-1][0]:.50}> instead of rows")
            record = self._record(_elements(item), findings)
            key = tuple(map(record.__getitem__, self._primary_key))
            page.dates.append(record.get(self._replication_key) or "")
            page.records.append(None if None in key else record)
            if None in key:
                ids = {name: value for name, value in record.items() if value and name[-2:] == "Id"}
                findings.add(WITHOUT_KEY, example=str(ids))
                key = (repr(record),)  # the paginator still tells it from others
            page.keys.append(key)
            if len(page.keys) > MAX_ROWS:
                raise HostileBodyError(f"the response has more than {MAX_ROWS:,} rows")
            return True  # go on to the next row

        # xmltodict calls `read_row` with each row, and holds only that one.
        parse = partial(xmltodict.parse, content, strip_whitespace=False)
        parse(item_depth=len(self._names), item_callback=read_row, xml_attribs=False)
        if not page.keys:
            self._check_empty(xmltodict.parse(content))
        return page

    def _check_empty(self, document: Any) -> None:
        """Refuse a document without rows unless it is an empty page.

        Raises:
            BadBodyError: If it has another root, is marked as nil, or holds text.
        """
        for name in [*self._names[:-1], ""]:
            inner = document if isinstance(document, dict) else {"#text": document}
            found = "|".join(key for key in inner if key[0] != "@" or key[-3:] == "nil")
            if not found:
                return
            if found.lower() != name:
                raise BadBodyError(f"the response has {document!s:.50} instead of rows")
            document = inner.get(found)
            if document is None:
                return

    def _record(self, elements: dict[str, Any], findings: Findings) -> dict[str, Any]:
        """Return the record of a row, whose elements are given by name as sent."""
        record, others = self._blank_record.copy(), {}
        for element, sent in elements.items():
            # The field that takes it, and its cast; unknown elements have a target too.
            target = self._targets[element]
            # Fields that are not kept are ignored; in a listing, so are unknown elements.
            if sent is None or target is _IGNORED:
                continue
            if target is _UNKNOWN:
                findings.add(UNKNOWN_FIELD, element)
                others[element] = sent
            elif left := _put(record, target, sent, findings):
                others[element] = left
        return self._complete(record, others, findings)

    def _complete(
        self, record: dict[str, Any], others: dict[str, Any], findings: Findings
    ) -> dict[str, Any]:
        """Return a record with its defaults, its hash, and `OtherFields`.

        Args:
            record: The record.
            others: What no field took, by element.
            findings: Receives which fields have their default.
        """
        misfits = {self._targets[element].name for element in others}
        for name, default in self._defaults.items():
            # Do not default a field whose value was sent but invalid.
            if record[name] is None and name not in misfits:
                record[name] = default
                findings.add(DEFAULTED, name)
        if self._hash_field:
            record[self._hash_field] = _digest(record | {_OTHERS: _as_json(_pruned(others))})
            others = self._without_unselected(others)
            for name in self._hash_only:
                del record[name]
        if others and _OTHERS in record:
            record[_OTHERS] = _as_json(_pruned(others))
        return record

    def _without_unselected(self, others: dict[str, Any]) -> dict[str, Any]:
        """Return what no field took, without values of fields that are not selected."""
        unselected = {name for name in others if self._targets[name].name in self._hash_only}
        return {name: sent for name, sent in others.items() if name not in unselected}


def _put(record: dict[str, Any], target: _Target, sent: Any, findings: Findings) -> Sequence[Any]:
    """Put what was sent into its field; return the values that the field does not hold."""
    if type(sent) is str and record[target.name] is None:
        # Fast path: text that fits a field that is still empty.
        try:
            record[target.name] = target.cast(sent)
        except (ValueError, OverflowError):
            pass
        else:
            return ()
    # All else: nested or repeated elements, and text that does not fit.
    values = sent if isinstance(sent, list) else [sent]
    return [value for value in values if not _try_put(record, target, value, findings)]


def _try_put(record: dict[str, Any], target: _Target, value: Any, findings: Findings) -> bool:
    """Put a value into its field if that is empty; return whether the field holds it."""
    name, cast = target
    text = value if isinstance(value, str) else _as_json(_pruned(value))
    if not text or (cast is not str and not text.strip()):
        return True
    try:
        fitting = cast(text)
    except (ValueError, OverflowError):
        if record[name] is None:
            findings.add(INVALID_VALUE, name, text.strip())
        return False
    if record[name] is None:
        record[name] = fitting
    return fitting is None or fitting == record[name]


class _Targets(dict[str, _Target]):
    """What takes each element, by its name as sent: which field, with which cast.

    It fills itself as names come.
    """

    def __init__(self, endpoint: Endpoint, kept: Container[str]) -> None:
        super().__init__()
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
        if len(self) < _MOST_NAMES:
            self[element] = target
        return target


def _elements(item: Any) -> dict[str, Any]:
    """Return the elements of a row; text instead of elements is named `#text`."""
    elements: dict[str, Any] = item if isinstance(item, dict) else {"#text": item}
    if not (elements.get("#text") or "").strip(WHITE):
        elements.pop("#text", None)  # white space between elements
    return elements


def _pruned(sent: Any) -> Any:
    """Return what an element holds, without secrets and empty values; None if nothing is left."""
    if isinstance(sent, list):
        values = [left for value in sent if (left := _pruned(value)) is not None]
        return values[0] if len(values) == 1 else values or None
    return _pruned_elements(sent) if isinstance(sent, dict) else sent or None


def _pruned_elements(elements: dict[str, Any]) -> dict[str, Any] | None:
    public = (item for item in _elements(elements).items() if plain_name(item[0]) not in SECRETS)
    pruned = {name: _pruned(sent) for name, sent in public}
    return {name: left for name, left in pruned.items() if left is not None} or None


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
