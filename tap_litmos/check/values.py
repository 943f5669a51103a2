"""What rows look like (never a value of one), and whether they are as declared."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import xmltodict
from singer_sdk.exceptions import FatalAPIError

from tap_litmos.bodies import REPAIR, clean_body
from tap_litmos.check.findings import UnseenError, breaks, combine, harmless, holds
from tap_litmos.declaration import Field, plain_name
from tap_litmos.rows import INVALID_VALUE, SHARED_KEY, UNKNOWN_FIELD, WITHOUT_KEY, Findings
from tap_litmos.streams import ENDPOINTS
from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome
    from tap_litmos.declaration import Endpoint

RawRow = Sequence[tuple[Field, str, str]]
"""The elements of a row that belong to a field, with their names and texts as sent."""

SPELLING = "spelling"
SHAPE = "shape"
REPEATED = "repeated row"

_MAX_NAMES = 200
_MAX_NAME = 50
_MAX_DEPTH = 20

_MAX_LISTED = 40
"""Names that are listed."""

_IN_DOCUMENT = {"module_results.originalmoduleid as orginalmoduleid"}
"""How Litmos' own document misspells a field, in lower case."""

_KEYS = {f"{endpoint.stream}.{name}" for endpoint in ENDPOINTS for name in endpoint.primary_key}


_ZONE = re.compile(r":\d\d(\.\d+)? ?([Zz]|[+-]\d\d:?\d\d)\s*\Z")


class Survey:
    """What was met in the rows that were looked at.

    Attributes:
        pages: How many pages came.
        rows: How many rows there were.
        met: By what it was, such as an unknown field, how often it was met in which
            `stream.Field`.
    """

    def __init__(self) -> None:
        """Start without rows."""
        self.pages = self.rows = 0
        self.met: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, endpoint: Endpoint, findings: Findings, rows: Sequence[RawRow]) -> None:
        """Add a page of an endpoint, and what did not fit its schema."""
        self.pages += 1
        self.rows += len(rows)
        stream, kinds = endpoint.stream, {field.name: field.kind for field in endpoint.fields}
        for (what, about), times in findings.counts.items():
            kind = f" ({kinds[about]})" if what == INVALID_VALUE else ""
            self.met[what][f"{stream}.{about[:_MAX_NAME]}{kind}".rstrip(".")] += times
        for field, element, text in (element for row in rows for element in row):
            if field.name != element:
                self.met[SPELLING][f"{stream}.{field.name} as {element}"] += 1
            if field.kind == "datetime" and text.strip():
                self.met[SHAPE][_shape(text.strip())] += 1


def _shape(text: str) -> str:
    """Return how a date-time is written: `9999-99-99T99:99:99.9`, whatever the fraction."""
    text = re.sub(r"[^\W\d_]", lambda letter: letter[0] if letter[0] in "TZ" else "a", text)
    return re.sub(r"\.9+", ".9", re.sub(r"\d", "9", text))[:_MAX_NAME]


def raw_rows(body: bytes, charset: str | None, endpoint: Endpoint) -> list[RawRow]:
    """Return the rows of a page that the tap could read, as they were sent."""
    known, rows = endpoint.elements(), list[RawRow]()

    def take(_: Any, item: Any) -> bool:
        elements = item.items() if isinstance(item, dict) else ()
        rows.append(
            [
                (field, name[:_MAX_NAME], text)
                for name, sent in elements
                for text in (sent if isinstance(sent, list) else [sent])
                if (field := known.get(plain_name(name))) and isinstance(text, str)
            ]
        )
        return True

    content, depth = clean_body(body, charset, Findings()), len(endpoint.nesting)
    xmltodict.parse(content, item_depth=depth, item_callback=take, xml_attribs=False)
    return rows


def names_zone(row: RawRow, name: str | None) -> bool:
    """Return whether a date of a row is written with its zone."""
    return any(field.name == name and _ZONE.search(text) for field, _, text in row)


def element_names(body: bytes) -> list[str]:
    """Return the names of the elements of any document that hold text, each with its parents.

    Raises:
        FatalAPIError: If it is not XML.
    """
    try:
        document = xmltodict.parse(body, xml_attribs=False)
    except (expat.ExpatError, ValueError) as error:
        raise FatalAPIError("the response is not XML") from error
    if "html" in map(str.lower, document):
        raise FatalAPIError("the response is an HTML page")
    return list(islice(dict.fromkeys(_paths(document, ())), _MAX_NAMES))


def _paths(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    for item in node if isinstance(node, list) else [node]:
        if not isinstance(item, dict) or len(path) == _MAX_DEPTH:
            yield "/".join(path)
            continue
        for name, child in item.items():
            yield from _paths(child, (*path, name[:_MAX_NAME]))


def _listed(names: Counter[str]) -> str:
    """Return names with how often each was met, the most frequent first."""
    shown = [f"{name} {count:,}x" for name, count in names.most_common(_MAX_LISTED)]
    return ", ".join(shown + ["…"] * (len(names) > _MAX_LISTED))


def keys(account: Account) -> Outcome:
    """Look for rows without key, rows that share one, and rows that came twice."""
    met, outcomes = account.survey.met, []
    if not account.survey.rows:
        raise UnseenError("no rows came")
    if missing := met[WITHOUT_KEY]:
        detail = f"rows without key, which the tap skips: {_listed(missing)}"
        invalid = sorted(name for name in met[INVALID_VALUE] if name.split()[0] in _KEYS)
        advice = "Correct the rows without key in Litmos; a sync names them"
        if invalid:
            detail += f". Not valid: {', '.join(invalid)}"
            advice = "Report the keys whose values are not valid: no setting helps"
        outcomes.append(breaks(detail, advice))
    if shared := met[SHARED_KEY]:
        detail = f"different rows have the same key: {_listed(shared)}"
        advice = "Report it; until then, only a target that appends keeps all rows of these streams"
        outcomes.append(breaks(f"{detail}. A target that upserts keeps only the newest", advice))
    if repeated := met[REPEATED]:
        detail = f"the same row came more than once: {_listed(repeated)}"
        outcomes.append(harmless(f"{detail}. A target that upserts keeps it once"))
    return combine(*(outcomes or [holds(f"{pluralize(account.survey.rows, 'row')} read")]))


def schema(account: Account) -> Outcome:
    """Look for unknown elements, values that do not fit, and other spellings."""
    survey = account.survey
    if not survey.rows:
        raise UnseenError("no rows came")
    outcomes = []
    if unknown := survey.met[UNKNOWN_FIELD]:
        advice = "Report the unknown elements, so that they become fields"
        detail = f"unknown elements, kept in OtherFields: {_listed(unknown)}"
        outcomes.append(harmless(detail, advice))
    if invalid := survey.met[INVALID_VALUE]:
        detail = f"values that do not fit, kept in OtherFields: {_listed(invalid)}"
        outcomes.append(harmless(detail, "Report the fields whose values do not fit"))
    if spelled := sorted(filter(_is_misspelled, survey.met[SPELLING])):
        outcomes.append(harmless(f"other spellings, which the tap knows: {', '.join(spelled)}"))
    if repairs := survey.met[REPAIR]:
        outcomes.append(harmless(f"repaired, as a sync does: {_listed(repairs)}"))
    rows = holds(f"{pluralize(survey.rows, 'row')} of {pluralize(survey.pages, 'page')} read")
    shapes = holds(f"dates are written as {_listed(survey.met[SHAPE])} (9 is a digit)")
    return combine(*(outcomes or [rows]), shapes)


def _is_misspelled(name: str) -> bool:
    """Return whether the two spellings of a field differ by more than case."""
    field, _, element = name.lower().partition(" as ")
    return field.rpartition(".")[2] != element and name.lower() not in _IN_DOCUMENT
