"""Whether rows are as declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_litmos.bodies import REPAIR
from tap_litmos.check.account import UnseenError
from tap_litmos.check.findings import breaks, claim, combine, harmless, holds
from tap_litmos.rows import DEFAULTED, INVALID_VALUE, UNKNOWN_FIELD, WITHOUT_KEY
from tap_litmos.streams import ENDPOINTS
from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    from collections import Counter

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome
    from tap_litmos.check.survey import Survey

_MAX_LISTED = 40
"""Names that are listed."""

_MAX_STREAMS = 4
"""Streams that are listed; more are counted."""

_IN_DOCUMENT = {"module_results.originalmoduleid as orginalmoduleid"}
"""How Litmos' own document misspells a field, in lower case."""

_KEYS = {f"{endpoint.stream}.{name}" for endpoint in ENDPOINTS for name in endpoint.primary_key}


def _survey(account: Account) -> Survey:
    """Return what was met.

    Raises:
        UnseenError: If no rows came.
    """
    if not account.survey.rows:
        raise UnseenError("no rows came")
    return account.survey


def _listed(names: Counter[str]) -> str:
    """Return names with how often each was met, the most frequent first."""
    shown = [f"{name} {count:,}x" for name, count in names.most_common(_MAX_LISTED)]
    more = [f"and {len(names) - _MAX_LISTED:,} more"] if len(names) > _MAX_LISTED else []
    return ", ".join(shown + more)


@claim("Values", "Every row has its own primary key, and comes once in a window")
def keys(account: Account) -> Outcome:
    survey = _survey(account)
    outcomes = []
    if missing := survey.met(WITHOUT_KEY):
        outcomes.append(_judge_missing(missing, survey))
    if shared := +survey.shared:
        outcomes.append(
            breaks(
                f"different rows have the same key: {_listed(shared)}. A target that upserts "
                "keeps only the newest of them",
                "Report the streams in which rows share a key; until then load them into a target "
                "that appends",
            )
        )
    if repeated := +survey.repeated:
        outcomes.append(
            harmless(
                f"the same row came more than once: {_listed(repeated)}. A target that upserts "
                "keeps one"
            )
        )
    if defaulted := survey.met(DEFAULTED):
        outcomes.append(harmless(f"{_listed(defaulted)} missing; the tap takes false"))
    return combine(outcomes or [holds(f"so it is for all {pluralize(survey.rows, 'row')}")])


def _judge_missing(missing: Counter[str], survey: Survey) -> Outcome:
    """Judge rows without key."""
    detail = (
        f"rows without key: {_listed(missing)}. The tap skips them, and the bookmark stays "
        "before them"
    )
    invalid = sorted(name for name in survey.met(INVALID_VALUE) if name.split()[0] in _KEYS)
    if invalid:
        return breaks(
            f"{detail}. Not valid: {', '.join(invalid)}",
            "Report the keys whose values are not valid: no setting helps",
        )
    return breaks(detail, "Correct the rows without key in Litmos; a sync names them")


@claim("Values", "Rows fit the schema")
def schema(account: Account) -> Outcome:
    survey = _survey(account)
    outcomes = []
    if unknown := survey.met(UNKNOWN_FIELD):
        outcomes.append(
            harmless(
                f"unknown elements: {_by_element(unknown)}. They are kept in OtherFields",
                "Report the unknown elements, so that they become fields",
            )
        )
    if invalid := survey.met(INVALID_VALUE):
        outcomes.append(
            harmless(
                f"values that do not fit: {_listed(invalid)}. The field is null then, and the "
                "text is in OtherFields",
                "Report the fields whose values do not fit",
            )
        )
    if spelled := sorted(filter(_is_misspelled, survey.spelled)):
        outcomes.append(harmless(f"other spellings, which the tap knows: {', '.join(spelled)}"))
    if repairs := survey.met(REPAIR):
        outcomes.append(harmless(f"repaired, as the tap does: {_listed(repairs)}"))
    fits = holds(f"{pluralize(survey.rows, 'row')} of {pluralize(survey.pages, 'page')} were read")
    shapes = holds(f"dates are written as {_listed(survey.shapes) or 'nothing'}")
    return combine([*(outcomes or [fits]), shapes])


def _by_element(unknown: Counter[str]) -> str:
    """Return unknown elements with the streams in which they were met."""
    streams: dict[str, list[str]] = {}
    for name in sorted(unknown):
        stream, _, element = name.partition(".")
        streams.setdefault(element, []).append(stream)
    met = [
        f"{element} in "
        f"{', '.join(found) if len(found) <= _MAX_STREAMS else pluralize(len(found), 'stream')}"
        for element, found in streams.items()
    ]
    return ", ".join(met[:_MAX_LISTED])


def _is_misspelled(name: str) -> bool:
    """Return whether the two spellings of a field differ by more than case."""
    field, _, element = name.lower().partition(" as ")
    return field.rpartition(".")[2] != element and name.lower() not in _IN_DOCUMENT
