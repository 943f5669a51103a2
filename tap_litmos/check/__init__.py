"""`tap-litmos --check`: does an account behave as the tap takes for granted?

It asks the configured account, of which nothing was ever documented well enough, and reports
counts, shapes and names of fields, never a value of a row.
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

__all__ = ["BUDGET", "CHECKS", "Check", "Finding", "Report", "Verdict", "check"]

CHECKS: tuple[Check, ...] = (
    reach.ENDPOINTS_ANSWER,
    reach.KEY,
    reach.CLOCK,
    boundaries.WEEK,
    paging.LIMIT_IS_KEPT,
    paging.END,
    paging.SMALL_LIMIT,
    paging.ORDER,
    boundaries.READING,
    boundaries.ENDS,
    present.ZONE,
    present.TODAY,
    reach.OPTIONAL,
    reach.LISTINGS,
    reach.OTHERS,
    present.LATENESS,
    paging.SMALL_PAGES,
    boundaries.WITHIN,
    present.OLDEST,
    paging.REPEATS,
    values.KEYS,
    values.UNKNOWN,
    values.SPELLING,
    values.FIT,
    values.SHAPES,
    values.NULL,
    values.ENCODING,
    values.REPAIRS,
    reach.TIME,
    reach.FAILURES,
    reach.RATE,
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
"""The settings that a bug report needs; none of them tells who asks."""


def check(config: Mapping[str, Any], *, logger: logging.Logger) -> Report:
    """Ask an account, at most 150 times, and return what was found.

    Args:
        config: The settings, valid and with their defaults.
        logger: Where progress and warnings go.

    Raises:
        RunFailedError: If the key is refused, or the host does not answer.
    """
    findings: list[Finding] = []
    with Account(config, logger=logger) as account:
        for each in CHECKS:
            findings.append(each.find(account))
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
