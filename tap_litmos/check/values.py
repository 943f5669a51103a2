"""Whether rows are what their declarations say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_litmos.check.findings import UnseenError, breaks, claim, harmless, holds
from tap_litmos.streams import ENDPOINTS
from tap_litmos.wording import counted

if TYPE_CHECKING:
    from collections import Counter

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome
    from tap_litmos.check.survey import Survey

_MOST = 40
"""How many names are listed."""

_MANY = 5
"""Streams that are counted, not listed."""

_IN_DOCUMENT = {"module_results.OriginalModuleId as OrginalModuleId".lower()}
"""How Litmos' own document misspells a field, in small letters."""

_KEYS = {f"{endpoint.stream}.{name}" for endpoint in ENDPOINTS for name in endpoint.primary_key}
"""The fields by which rows are told apart."""


def _surveyed(account: Account) -> Survey:
    """Return what was met, if anything was.

    Raises:
        UnseenError: If no row came.
    """
    if not account.survey.rows:
        raise UnseenError("no row came")
    return account.survey


def _listed(names: Counter[str]) -> str:
    """Return names with how often each was met, the most frequent first."""
    shown = [f"{name} {count:,}x" for name, count in names.most_common(_MOST)]
    more = [f"and {len(names) - _MOST:,} more"] if len(names) > _MOST else []
    return ", ".join(shown + more)


@claim("Values", "Rows have the fields that are declared", "read all")
def unknown_fields(account: Account) -> Outcome:
    survey = _surveyed(account)
    if not survey.unknown:
        return holds(f"no unknown field in {counted(survey.rows, 'row')}")
    streams: dict[str, list[str]] = {}
    for name in sorted(survey.unknown):
        stream, _, element = name.partition(".")
        streams.setdefault(element, []).append(stream)
    met = [
        f"{element} in {', '.join(found) if len(found) < _MANY else f'{len(found)} streams'}"
        for element, found in streams.items()
    ]
    return harmless(
        f"also {'; '.join(met[:_MOST])}. They are kept in OtherFields",
        "Report the unknown fields, so that they are declared",
    )


@claim("Values", "Fields are spelled as in the document", "read all names")
def spelling(account: Account) -> Outcome:
    survey = _surveyed(account)
    other = sorted(
        name
        for name in survey.spelled
        if len(set(_spellings(name))) > 1 and name.lower() not in _IN_DOCUMENT
    )
    if not other:
        names = ", ".join(sorted(survey.spelled)) or "none"
        return holds(f"all as the document has them, or in another case: {names}")
    return harmless(f"{', '.join(other)}; the tap knows these spellings")


def _spellings(name: str) -> tuple[str, str]:
    """Return the two spellings of a field, in small letters."""
    field, _, element = name.partition(" as ")
    return field.rpartition(".")[2].lower(), element.lower()


@claim("Values", "Values fit their fields", "read all of them")
def fit(account: Account) -> Outcome:
    survey = _surveyed(account)
    if not survey.invalid_values:
        return holds(f"all {survey.filled:,} do")
    return harmless(
        f"all but {_listed(survey.invalid_values)}; the field is null then, and the text is in "
        "OtherFields",
        "Report the fields whose values do not fit",
    )


@claim("Values", "Date-times are written as ISO 8601", "read all of them")
def date_shapes(account: Account) -> Outcome:
    survey = _surveyed(account)
    if not survey.shapes:
        raise UnseenError("no row has a date")
    detail = f"{_listed(survey.shapes)} (9 is a digit, .9 any fraction)"
    if any(name.endswith("(datetime)") for name in survey.invalid_values):
        return harmless(
            f"{detail}; null where they are not dates", "Report how dates are written"
        )
    return holds(detail)


@claim("Values", "Rows have their primary key", "read all rows")
def keys(account: Account) -> Outcome:
    survey = _surveyed(account)
    if survey.rows_without_key:
        detail = (
            f"all but {_listed(survey.rows_without_key)}; such rows are skipped, and the "
            "bookmark stays before them"
        )
        invalid = sorted(name for name in survey.invalid_values if name.split()[0] in _KEYS)
        if invalid:
            return breaks(
                f"{detail}. Not valid: {', '.join(invalid)}",
                "Report the keys whose values are not valid: no setting helps",
            )
        return breaks(detail, "Correct the rows without key in Litmos; a sync names them")
    if survey.defaulted:
        return harmless(f"{_listed(survey.defaulted)} missing; false is taken")
    return holds(f"all of {counted(survey.rows, 'row')} do")


@claim("Values", "Pages are in UTF-8", "read their headers")
def encoding(account: Account) -> Outcome:
    survey = _surveyed(account)
    others = sorted(survey.encodings.keys() - {"utf-8"})
    if others:
        return harmless(f"also {', '.join(others)}, which the tap reads")
    return holds("all are")


@claim("Values", "Pages are well-formed XML", "parsed them")
def repairs(account: Account) -> Outcome:
    survey = _surveyed(account)
    if survey.repairs:
        repairs = [counted(count, what) for what, count in survey.repairs.items()]
        return harmless(f"{', '.join(repairs)} in the pages; the tap repairs and logs them")
    return holds("all are")
