"""`tap-litmos --check`: does an account behave as the tap assumes?

It asks the configured account what the API's documentation leaves open, and reports counts,
shapes and names of fields, never a value of a row.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tap_litmos.check import boundaries, paging, present, reach, values
from tap_litmos.check.account import BUDGET, Account
from tap_litmos.check.findings import Check, Finding, Report, Verdict

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

    from tap_litmos.transport import Transport

__all__ = ["BUDGET", "CHECKS", "Check", "Finding", "Report", "Verdict", "check"]

CHECKS: tuple[Check, ...] = (
    reach.endpoints,
    reach.key,
    reach.clock,
    boundaries.seven_days,
    paging.limit,
    paging.end,
    paging.small_limit,
    paging.order,
    boundaries.reading,
    boundaries.ends,
    present.zone,
    present.today,
    reach.optional_endpoints,
    reach.listings,
    reach.other_endpoints,
    present.lateness,
    paging.small_pages,
    boundaries.within,
    present.oldest,
    paging.repeats,
    values.keys,
    values.unknown_fields,
    values.spelling,
    values.fit,
    values.date_shapes,
    values.encoding,
    values.repairs,
    reach.time,
    reach.failures,
    reach.refusals,
)
"""All checks, in the order in which they are made: some learn what later ones need."""

_TOPICS = ("Reach", "Paging", "Dates", "Values", "Rate")
_SETTINGS = (
    "region",
    "page_size",
    "window_days",
    "lookback_hours",
    "requests_per_minute",
    "max_concurrent_requests",
    "request_timeout",
    "detect_deletes",
)
"""The settings that a bug report needs; none of them identifies the account."""


def check(config: Mapping[str, Any], transport: Transport, *, logger: logging.Logger) -> Report:
    """Ask an account, at most 150 times, and return what was found.

    Args:
        config: The settings, valid and with their defaults.
        transport: What to ask with; it is closed in the end.
        logger: Where progress and warnings go.

    Raises:
        RunFailedError: If the key is refused, or the host does not answer.
    """
    findings: list[Finding] = []
    with Account(config, transport, logger=logger) as account:
        for look in CHECKS:
            findings.append(look.find(account))
            if not account.surveyed:  # no endpoint answers: there is nothing to look at
                break
    findings.sort(key=lambda finding: _TOPICS.index(finding.topic))
    about: dict[str, object] = {
        "tap_litmos": version("tap-litmos"),
        "checked_at": f"{account.now:%Y-%m-%dT%H:%M:%SZ}",
        "requests": account.requests,
        "rows": account.survey.rows,
        "settings": {name: config.get(name) for name in _SETTINGS},
    }
    return Report(findings, about)
