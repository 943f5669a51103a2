"""Whether the account answers: its endpoints, and the clock of the server."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_litmos.check.account import NoAnswerError, OnePage
from tap_litmos.check.findings import breaks, combine, harmless, holds, unseen
from tap_litmos.paginator import PageSizes
from tap_litmos.streams import ENDPOINTS
from tap_litmos.windows import WHOLE_LIST
from tap_litmos.wording import duration, pluralize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome
    from tap_litmos.declaration import Endpoint
    from tap_litmos.windows import Window

_DELTAS = [endpoint for endpoint in ENDPOINTS if not endpoint.is_listing]
DEFAULT = [endpoint for endpoint in _DELTAS if endpoint.selected_by_default]
OFF_BY_DEFAULT = [endpoint for endpoint in _DELTAS if not endpoint.selected_by_default]
_LISTINGS = [endpoint for endpoint in ENDPOINTS if endpoint.is_listing]

_MAX_CLOCK_DIFFERENCE = timedelta(seconds=10)
_MAX_SERVER_AHEAD = timedelta(hours=10)
"""Windows end a day ahead, and a zone may take 14 hours of it."""

_NAMES_ONLY = 10
"""Rows to ask for if only the names of their elements are of interest."""

_UNDOCUMENTED = {
    "sessions to come": "/sessions/future",
    "past sessions": "/sessions/past",
    "sessions for sale": "/org/ecommerce/coursesessions",
    "points and profiles": "/users/details",
    "labels of custom fields": "/coursecustomfields",
    "bulk imports": "/bulkimports",
}
"""Endpoints whose answers are not documented well enough to make streams of them (the vendor's
pages name them). No endpoint lists attendance: it takes a request per session."""


def endpoints(account: Account) -> Outcome:
    """Ask each endpoint for the newest rows."""
    count, refused = _ask(account, DEFAULT, account.open_window)
    if not refused:
        rows = pluralize(account.survey.rows, "row")
        return holds(f"all {count} answered, with {rows} of the last days")
    advice = "Use the key of an Account Owner, or deselect the streams that are refused"
    if not count:
        advice = "Check the settings api_url and region"
    detail = f"{count or 'none'} of {len(DEFAULT)} answered; refused: {refused}"
    return breaks(detail, f"{advice}; the log has the reasons")


def _ask(account: Account, endpoints: Sequence[Endpoint], window: Window) -> tuple[int, str]:
    """Return how many endpoints answered, and the streams of the others with the status."""
    refused = []
    for endpoint in endpoints:
        try:
            account.page(endpoint, window, survey=True)
        except NoAnswerError as error:
            refused.append(f"{endpoint.stream} ({error.status or 'keeps failing'})")
    return len(endpoints) - len(refused), ", ".join(refused)


def optional_endpoints(account: Account) -> Outcome:
    """Ask the endpoints of streams that are off by default, and the lists of ids."""
    _, lists = _ask(account, _LISTINGS, WHOLE_LIST)
    _, streams = _ask(account, OFF_BY_DEFAULT, account.open_window)
    outcomes = []
    if lists and account.config["detect_deletes"]:
        outcomes.append(breaks(f"refused: {lists}", "Set detect_deletes to false"))
    elif lists:
        outcomes.append(harmless(f"refused: {lists}", "Leave detect_deletes off"))
    if streams:
        outcomes.append(harmless(f"refused: {streams}", f"Do not select {streams}"))
    every = len(OFF_BY_DEFAULT) + len(_LISTINGS)
    return combine(*(outcomes or [holds(f"all {every} answered")]))


def clock(account: Account) -> Outcome:
    """Compare the clocks."""
    ahead = account.clock_ahead
    if ahead is None:
        return unseen("the server sends no date", "Compare this machine's clock yourself")
    if abs(ahead) <= _MAX_CLOCK_DIFFERENCE:
        return holds("they agree to a few seconds")
    way = "ahead of" if ahead > timedelta(0) else "behind"
    detail = f"this machine's clock is {duration(abs(ahead).total_seconds())} {way} the server's"
    if -ahead > _MAX_SERVER_AHEAD:
        return breaks(f"{detail}, so windows end too early", "Set this machine's clock")
    return harmless(f"{detail}; bookmarks follow the earlier of the two")


def other_endpoints(account: Account) -> Outcome:
    """List the elements of endpoints that the tap does not read, without their values."""
    for name, path in _UNDOCUMENTED.items():
        endpoint = replace(DEFAULT[0], stream=name, path=path, nesting=())
        window = account.open_window if path.startswith("/org/") else WHOLE_LIST
        with suppress(NoAnswerError):
            account.read(endpoint, OnePage(window, PageSizes(_NAMES_ONLY)))
    found = [f"{name} ({path})" for name, path in _UNDOCUMENTED.items() if path in account.elements]
    if not found:
        return holds(f"of {len(_UNDOCUMENTED)} other endpoints none answers")
    return harmless(
        f"the account also offers {', '.join(found)}; the JSON names their elements",
        "If you need one of the other endpoints, attach the JSON to a request for a stream",
    )
