"""`tap-litmos --check`: does an account behave as the tap assumes?

It asks the configured account what the API's documentation leaves open, and reports counts,
shapes and names of fields, never a value of a row.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from tap_litmos.check import boundaries, connectivity, paging, recency, values
from tap_litmos.check.account import BUDGET, Account
from tap_litmos.check.findings import Check, Finding, Report, Verdict
from tap_litmos.errors import RunFailedError
from tap_litmos.redact import HideKey

if TYPE_CHECKING:
    from tap_litmos.tap import TapLitmos

__all__ = ["BUDGET", "CHECKS", "Check", "Finding", "Report", "Verdict", "run_check"]

CHECKS: tuple[Check, ...] = (
    connectivity.endpoints,
    connectivity.clock,
    boundaries.seven_days,
    paging.limit,
    paging.pages,
    paging.order,
    boundaries.windows,
    recency.today,
    connectivity.optional_endpoints,
    connectivity.listings,
    connectivity.other_endpoints,
    recency.lateness,
    values.keys,
    values.schema,
)
"""All checks, in the order in which they are made: some learn what later ones need."""

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


def run_check(tap: TapLitmos) -> int:
    """Check an account: a table goes to stderr, JSON to stdout.

    Returns:
        The exit status: 1 if a guarantee breaks.

    Raises:
        RunFailedError: If the key is refused, or the host does not answer.
    """
    report = _report(tap)
    hide = HideKey(tap.config["api_key"]).hide  # an element's name may hold it
    try:
        sys.stdout.write(hide(report.json()))
        sys.stdout.flush()
    except OSError as error:
        raise RunFailedError(f"Cannot write to stdout: {error}") from None
    finally:  # last, as a terminal shows both
        print(hide(report.table()), file=sys.stderr)  # noqa: T201
    return int(report.breaks)


def _report(tap: TapLitmos) -> Report:
    account = Account(tap)
    findings: list[Finding] = []
    tap.logger.info("Sending at most %d requests; this takes some minutes", BUDGET)
    for check in CHECKS:
        findings.append(check.find(account))
        if not account.survey.pages:  # no endpoint answers
            break
    about: dict[str, object] = {
        "tap_litmos": version("tap-litmos"),
        "checked_at": f"{account.now:%Y-%m-%dT%H:%M:%SZ}",
        "requests": account.requests,
        "retries": account.retries,
        "refused_for_rate": tap.session.rate.slowdowns,
        "rows": account.survey.rows,
        "settings": {name: tap.config.get(name) for name in _SETTINGS},
        "undocumented_endpoints": account.elements,
    }
    return Report(findings, about)
