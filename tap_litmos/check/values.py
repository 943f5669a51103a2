"""Whether rows are as declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_litmos.bodies import REPAIR
from tap_litmos.check.account import UnseenError
from tap_litmos.check.findings import breaks, combine, harmless, holds
from tap_litmos.check.survey import REPEATED, SHAPE, SPELLING
from tap_litmos.rows import DEFAULTED, INVALID_VALUE, SHARED_KEY, UNKNOWN_FIELD, WITHOUT_KEY
from tap_litmos.streams import ENDPOINTS
from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    from collections import Counter

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome

_MAX_LISTED = 40
"""Names that are listed."""

_MAX_STREAMS = 4
"""Streams that are listed; more are counted."""

_IN_DOCUMENT = {"module_results.originalmoduleid as orginalmoduleid"}
"""How Litmos' own document misspells a field, in lower case."""

_KEYS = {f"{endpoint.stream}.{name}" for endpoint in ENDPOINTS for name in endpoint.primary_key}


def _listed(names: Counter[str]) -> str:
    """Return names with how often each was met, the most frequent first."""
    shown = [f"{name} {count:,}x" for name, count in names.most_common(_MAX_LISTED)]
    more = [f"and {len(names) - _MAX_LISTED:,} more"] if len(names) > _MAX_LISTED else []
    return ", ".join(shown + more)


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
            detail = f"{detail}. Not valid: {', '.join(invalid)}"
            advice = "Report the keys whose values are not valid: no setting helps"
        outcomes.append(breaks(detail, advice))
    if shared := met[SHARED_KEY]:
        detail = f"different rows have the same key: {_listed(shared)}"
        advice = "Report it; until then, only a target that appends keeps all rows of these streams"
        outcomes.append(breaks(f"{detail}. A target that upserts keeps only the newest", advice))
    if repeated := met[REPEATED]:
        detail = f"the same row came more than once: {_listed(repeated)}"
        outcomes.append(harmless(f"{detail}. A target that upserts keeps it once"))
    if defaulted := met[DEFAULTED]:
        outcomes.append(harmless(f"missing, for which the tap takes false: {_listed(defaulted)}"))
    return combine(*(outcomes or [holds(f"all {pluralize(account.survey.rows, 'row')} do")]))


def schema(account: Account) -> Outcome:
    """Look for unknown elements, values that do not fit, and other spellings."""
    survey = account.survey
    if not survey.rows:
        raise UnseenError("no rows came")
    outcomes = []
    if unknown := survey.met[UNKNOWN_FIELD]:
        advice = "Report the unknown elements, so that they become fields"
        detail = f"unknown elements, kept in OtherFields: {_by_element(unknown)}"
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


def _by_element(unknown: Counter[str]) -> str:
    """Return unknown elements with the streams in which they were met."""
    streams: dict[str, list[str]] = {}
    for name in sorted(unknown):
        stream, _, element = name.partition(".")
        streams.setdefault(element, []).append(stream)
    met = []
    for element, found in streams.items():
        where = ", ".join(found) if len(found) <= _MAX_STREAMS else f"{len(found)} streams"
        met.append(f"{element} in {where}")
    return ", ".join(met[:_MAX_LISTED])


def _is_misspelled(name: str) -> bool:
    """Return whether the two spellings of a field differ by more than case."""
    field, _, element = name.lower().partition(" as ")
    return field.rpartition(".")[2] != element and name.lower() not in _IN_DOCUMENT
