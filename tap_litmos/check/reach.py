"""Whether the account answers: host, key, clock, endpoints, rate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tap_litmos.check.account import BudgetSpentError
from tap_litmos.check.findings import breaks, claim, harmless, holds, unseen
from tap_litmos.check.survey import element_paths
from tap_litmos.declaration import Endpoint
from tap_litmos.errors import StreamFailedError
from tap_litmos.streams import ENDPOINTS
from tap_litmos.windows import WHOLE_LIST
from tap_litmos.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome
    from tap_litmos.check.pages import SeenPage
    from tap_litmos.windows import Window

_HTML = re.compile(rb"\s*<html\b", re.IGNORECASE)

DELTAS = [endpoint for endpoint in ENDPOINTS if not endpoint.is_listing]
DEFAULT = [endpoint for endpoint in DELTAS if endpoint.selected_by_default]
OFF_BY_DEFAULT = [endpoint for endpoint in DELTAS if not endpoint.selected_by_default]
_LISTINGS = [endpoint for endpoint in ENDPOINTS if endpoint.is_listing]

_GOOD_CLOCK = 10
"""Seconds that clocks may differ by without a word."""

_LONGEST_AHEAD = 10
"""Hours by which the server's clock may be ahead: windows end a day ahead, and a zone may take
14 hours of it."""


def _not_read(name: str, path: str) -> Endpoint:
    return Endpoint(
        stream=name,
        path=path,
        nesting=(),
        title=name,
        description=name,
        primary_key=(),
        replication_key=None,
        fields=(),
    )


_NOT_READ = [
    _not_read("sessions to come", "/sessions/future"),
    _not_read("past sessions", "/sessions/past"),
    _not_read("sessions for sale", "/org/ecommerce/coursesessions"),
    _not_read("points and profiles", "/users/details"),
    _not_read("labels of custom fields", "/coursecustomfields"),
    _not_read("bulk imports", "/bulkimports"),
]
"""Endpoints whose answers are not documented well enough to read them (the vendor's pages name
them). Attendance has none that lists it: it costs a request for each session."""


@claim(
    "Reach", "Each endpoint of the default streams answers", "asked each for the newest rows"
)
def endpoints(account: Account) -> Outcome:
    """Ask each of the default endpoints for the newest rows."""
    pages, refused = _ask(account, DEFAULT, account.open_window)
    rows = counted(sum(page.rows for page in pages), "row")
    if not refused:
        return holds(f"all {len(DEFAULT)} answered, with {rows} of the last days")
    if not pages:
        return breaks(
            f"none of {len(DEFAULT)} answered: {refused}",
            "Check the settings api_url and region; run tap-litmos --test for the reason",
        )
    return breaks(
        f"{len(pages)} of {len(DEFAULT)} answered; refused: {refused}",
        "Run tap-litmos --test for the reason; use the key of an Account Owner, or deselect "
        "the streams that are refused",
    )


def _ask(
    account: Account, endpoints: Sequence[Endpoint], window: Window
) -> tuple[list[SeenPage], str]:
    """Return the pages of endpoints, and the streams of those that refuse, with the status.

    Raises:
        BudgetSpentError: If not all of them could be asked.
    """
    pages = account.look_at(endpoints, window)
    refusals = [
        (endpoint.stream, error)
        for endpoint in endpoints
        if (error := account.refusal(endpoint, window)) is not None
    ]
    if len(pages) + len(refusals) < len(endpoints):
        raise BudgetSpentError
    return pages, ", ".join(
        f"{stream} ({error.status or 'keeps failing'})" for stream, error in refusals
    )


@claim("Reach", "The region is right and the key accepted", "asked with it")
def key(account: Account) -> Outcome:
    """Report that the key was accepted: a wrong one would have ended the check."""
    where = "the host in api_url" if account.config.get("api_url") else "the region's host"
    return holds(f"{where} accepts the key")


@claim("Reach", "This machine's clock is right", "compared it with Date headers")
def clock(account: Account) -> Outcome:
    ahead = account.clock_ahead
    if ahead is None:
        return unseen("the server sends no date", "Compare this machine's clock yourself")
    way = "ahead of" if ahead > 0 else "behind"
    detail = f"this machine's clock is {abs(ahead):,.0f} s {way} the server's"
    if abs(ahead) <= _GOOD_CLOCK:
        return holds(detail)
    if ahead < -3600 * _LONGEST_AHEAD:
        return breaks(f"{detail}, so that windows end too early", "Set this machine's clock")
    return harmless(f"{detail}; bookmarks follow the earlier of the two")


@claim(
    "Reach",
    "The streams that are off by default can be selected",
    "asked each for the newest rows",
)
def optional_endpoints(account: Account) -> Outcome:
    pages, refused = _ask(account, OFF_BY_DEFAULT, account.open_window)
    if not refused:
        return holds(f"all {len(pages)} answered")
    found = [page.endpoint.stream for page in pages]
    return harmless(
        f"the account has {', '.join(found) or 'none'}; refused: {refused}. They are off "
        "by default",
        f"Do not select {refused}",
    )


@claim(
    "Reach",
    "The listings of ids, which show what was deleted, answer",
    "asked each for its first page",
)
def listings(account: Account) -> Outcome:
    pages, refused = _ask(account, _LISTINGS, WHOLE_LIST)
    if not refused:
        return holds(f"all {len(pages)} answered")
    if account.config["detect_deletes"]:
        return breaks(f"refused: {refused}", "Set detect_deletes to false")
    return harmless(
        f"refused: {refused}. They are only asked with detect_deletes",
        "Leave detect_deletes off",
    )


@claim("Reach", "Answers come well within request_timeout", "timed all requests")
def time(account: Account) -> Outcome:
    timeout = account.config["request_timeout"]
    detail = f"the slowest answer took {account.slowest:.1f} s of {timeout} s"
    if account.slowest <= timeout / 2:
        return holds(detail)
    return harmless(f"{detail}; what takes longer is sent again", "Raise request_timeout")


@claim("Reach", "Requests do not fail", "counted those that were sent again")
def failures(account: Account) -> Outcome:
    failed = account.retries - account.rate.refusals
    if failed <= 0:
        return holds(f"no failure in {counted(account.requests, 'request')}")
    return harmless(
        f"{failed} of {counted(account.requests, 'request')} failed and were sent again, as "
        "the tap does"
    )


@claim("Rate", "Nobody else spends the rate of the key", "counted refusals while the check ran")
def refusals(account: Account) -> Outcome:
    requests, rate = account.requests, account.config["requests_per_minute"]
    if not account.rate.refusals:
        return holds(f"no refusal in {counted(requests, 'request')}")
    return harmless(
        f"{account.rate.refusals} of {counted(requests, 'request')} refused (429 or 503) and "
        "sent again: others may use the key, or the service was busy",
        f"If refusals stay, set requests_per_minute below {rate}, and rate_limit_file where "
        "several runs share this machine",
    )


@claim(
    "Reach",
    "The account answers nothing that the tap does not read",
    "asked undocumented endpoints for sessions, points, custom fields",
)
def other_endpoints(account: Account) -> Outcome:
    """Report which endpoints answer that the tap does not read, with their element names."""
    found = []
    for endpoint, body in zip(_NOT_READ, account.bodies(_NOT_READ), strict=True):
        if not isinstance(body, StreamFailedError) and not _HTML.match(body.content):
            names = ", ".join(_new_names(element_paths(body.content))) or "no elements"
            found.append(f"{endpoint.stream} ({endpoint.path}): {names}")
    if not found:
        return holds(f"none of {len(_NOT_READ)} further endpoints answered")
    return harmless(
        f"the account answers {'; '.join(found)}. The tap does not read them",
        "Attach the JSON to a request for a new stream if you need one of those",
    )


def _new_names(paths: Iterable[str]) -> list[str]:
    """Return the paths but those of fields that a user profile has."""
    [users] = [endpoint for endpoint in ENDPOINTS if endpoint.stream == "users"]
    known = {"/".join([*users.nesting, field.name]) for field in users.fields}
    return [path for path in paths if path not in known]
