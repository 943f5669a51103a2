"""`tap-litmos --check`: does an account behave as the tap assumes?

It asks the configured account what the API's documentation leaves open, and reports counts,
shapes and names of fields, never a value of a row.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from tap_litmos.check import dates, endpoints, values
from tap_litmos.check.account import BUDGET, Account
from tap_litmos.check.findings import Report, find
from tap_litmos.redact import HideKey

if TYPE_CHECKING:
    from tap_litmos.tap import TapLitmos

CHECKS = (
    ("Reach", "Every endpoint that a sync reads by default answers", endpoints.endpoints),
    ("Reach", "This machine's clock agrees with the server's", endpoints.clock),
    ("Dates", "A window may have exactly 7 days", dates.seven_days),
    ("Paging", "A page has as many rows as requested, up to 1,000", endpoints.limit),
    ("Paging", "Several pages bring the same rows as one, and then nothing", endpoints.pages),
    ("Paging", "Rows come in the same order every time", endpoints.order),
    ("Dates", "since and to are moments in UTC, one of them included", dates.windows),
    ("Dates", "Today's rows come only if to lies in the future", dates.today),
    ("Reach", "The endpoints that are off by default answer", endpoints.optional_endpoints),
    ("Reach", "The tap reads all that the account offers", endpoints.other_endpoints),
    ("Dates", "Rows appear within minutes", dates.lateness),
    ("Values", "Every row has a primary key of its own, and comes once", values.keys),
    ("Values", "Rows fit the schema", values.schema),
)
"""Topic, claim and check, in the order in which they are made: some learn what later ones need."""

_SETTINGS = (
    *("region", "page_size", "window_days", "lookback_hours", "requests_per_minute"),
    *("max_concurrent_requests", "request_timeout", "detect_deletes"),
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
    finally:  # last, as a terminal shows both
        print(hide(report.table()), file=sys.stderr)  # noqa: T201
    return int(report.breaks)


def _report(tap: TapLitmos) -> Report:
    account, findings = Account(tap), []
    tap.logger.info("Sending at most %d requests; this takes some minutes", BUDGET)
    for topic, claim, look in CHECKS:
        findings.append(find(account, topic, claim, look))
        if not account.survey.pages:  # no endpoint answers
            break
    about: dict[str, object] = {
        "tap_litmos": version("tap-litmos"),
        "checked_at": f"{account.now:%Y-%m-%dT%H:%M:%SZ}",
        "requests": account.requests,
        "retries": account.retries,
        "slowdowns": tap.session.rate.slowdowns,
        "rows": account.survey.rows,
        "settings": {name: tap.config.get(name) for name in _SETTINGS},
        "undocumented_endpoints": account.elements,
    }
    return Report(findings, about)
