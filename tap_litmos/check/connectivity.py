"""Whether the account answers: its endpoints, and the clock of the server."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from tap_litmos.check.account import NoAnswerError, OnePage
from tap_litmos.check.findings import breaks, harmless, holds, unseen
from tap_litmos.paginator import PageSizes
from tap_litmos.streams import ENDPOINTS
from tap_litmos.windows import WHOLE_LIST
from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_litmos.check.account import Account, SeenPage
    from tap_litmos.check.findings import Outcome
    from tap_litmos.declaration import Endpoint
    from tap_litmos.windows import Window

    Answers = tuple[list[SeenPage], str]

_DELTAS = [endpoint for endpoint in ENDPOINTS if not endpoint.is_listing]
DEFAULT = [endpoint for endpoint in _DELTAS if endpoint.selected_by_default]
OFF_BY_DEFAULT = [endpoint for endpoint in _DELTAS if not endpoint.selected_by_default]
_LISTINGS = [endpoint for endpoint in ENDPOINTS if endpoint.is_listing]

_MAX_CLOCK_DIFFERENCE = timedelta(seconds=10)
_MAX_SERVER_AHEAD = timedelta(hours=10)
"""Windows end a day ahead, and a zone may take 14 hours of it."""

_NAMES_ONLY = 10
"""Rows to ask for if only the names of their elements are of interest."""

_UNDOCUMENTED = (
    *("/sessions/future", "/sessions/past", "/org/ecommerce/coursesessions"),
    *("/users/details", "/coursecustomfields", "/bulkimports"),
)
"""Endpoints whose answers are not documented well enough to make streams of them (the vendor's
pages name them). No endpoint lists attendance: it takes a request per session."""


def ask(account: Account, endpoints: Iterable[Endpoint], window: Window) -> Answers:
    """Return the first pages of a window, and which streams refused, with the status."""
    pages, refused = [], []
    for endpoint in endpoints:
        try:
            pages.append(account.page(endpoint, window, survey=True))
        except NoAnswerError as error:
            refused.append(f"{endpoint.stream} ({error.status or 'keeps failing'})")
    return pages, ", ".join(refused)


@cache
def newest(account: Account) -> Answers:
    """Return the newest pages, and which streams refused; they are requested once."""
    return ask(account, DEFAULT, account.open_window)


def endpoints(account: Account) -> Outcome:
    """Ask each endpoint for the newest rows."""
    pages, refused = newest(account)
    count = len(pages)
    if not refused:
        rows = pluralize(account.survey.rows, "row")
        return holds(f"all {count} answered, with {rows} of the last days")
    advice = "Use the key of an Account Owner, or deselect the streams that are refused"
    if not count:
        advice = "Check the settings api_url and region"
    detail = f"{count or 'none'} of {len(DEFAULT)} answered; refused: {refused}"
    return breaks(detail, f"{advice}; the log has the reasons")


def optional_endpoints(account: Account) -> Outcome:
    """Ask the lists of ids, and the endpoints of streams that are off by default."""
    lists = ask(account, _LISTINGS, WHOLE_LIST)[1]
    streams = ask(account, OFF_BY_DEFAULT, account.open_window)[1]
    if lists and account.config["detect_deletes"]:
        return breaks(f"refused: {lists}", "Set detect_deletes to false")
    refused = ", ".join(filter(None, [lists, streams]))
    if refused:
        return harmless(f"refused: {refused}", f"Do not select {refused}")
    return holds(f"all {len(OFF_BY_DEFAULT) + len(_LISTINGS)} answered")


def clock(account: Account) -> Outcome:
    """Compare the clocks."""
    ahead = account.clock_ahead
    if ahead is None:
        return unseen("the server sends no date", "Compare this machine's clock yourself")
    if abs(ahead) <= _MAX_CLOCK_DIFFERENCE:
        return holds("they agree to a few seconds")
    minutes = abs(ahead).total_seconds() / 60
    detail = f"this machine's clock and the server's differ by {minutes:.0f} minutes"
    if -ahead > _MAX_SERVER_AHEAD:
        return breaks(f"{detail}, so windows end too early", "Set this machine's clock")
    return harmless(f"{detail}; bookmarks follow the earlier of the two")


def other_endpoints(account: Account) -> Outcome:
    """List the elements of endpoints that the tap does not read, without their values."""
    for path in _UNDOCUMENTED:
        endpoint = replace(DEFAULT[0], stream=path, path=path, nesting=())
        window = account.open_window if path.startswith("/org/") else WHOLE_LIST
        with suppress(NoAnswerError):
            account.read(endpoint, OnePage(window, PageSizes(_NAMES_ONLY)))
    if not account.elements:
        return holds(f"the account has none of the {len(_UNDOCUMENTED)} others that are known")
    return harmless(
        f"the account also offers {', '.join(account.elements)}; the JSON names their elements",
        "If you need one of the other endpoints, attach the JSON to a request for a stream",
    )
