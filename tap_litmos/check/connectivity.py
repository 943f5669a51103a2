"""Whether the account answers: its endpoints, and the clock of the server."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tap_litmos.check.account import NoAnswerError, OnePage
from tap_litmos.check.findings import breaks, claim, harmless, holds, unseen
from tap_litmos.declaration import Endpoint
from tap_litmos.paginator import PageSizes
from tap_litmos.streams import ENDPOINTS
from tap_litmos.windows import WHOLE_LIST
from tap_litmos.wording import duration, pluralize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome
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


@claim("Reach", "Every endpoint that a sync reads by default answers")
def endpoints(account: Account) -> Outcome:
    count, refused = _ask(account, DEFAULT, account.open_window)
    if not refused:
        rows = pluralize(account.survey.rows, "row")
        return holds(f"all {count} answered, with {rows} of the last days")
    if not count:
        return breaks(
            f"none of {len(DEFAULT)} answered: {refused}",
            "Check the settings api_url and region; the log has the reasons",
        )
    return breaks(
        f"{count} of {len(DEFAULT)} answered; refused: {refused}",
        "Use the key of an Account Owner, or deselect the streams that are refused; the log has "
        "the reasons",
    )


def _ask(account: Account, endpoints: Sequence[Endpoint], window: Window) -> tuple[int, str]:
    """Return how many endpoints answered, and the streams of the others with the status."""
    refused = []
    for endpoint in endpoints:
        try:
            account.page(endpoint, window, survey=True)
        except NoAnswerError as error:
            refused.append(f"{endpoint.stream} ({error.status or 'keeps failing'})")
    return len(endpoints) - len(refused), ", ".join(refused)


@claim("Reach", "The streams that are off by default can be selected")
def optional_endpoints(account: Account) -> Outcome:
    count, refused = _ask(account, OFF_BY_DEFAULT, account.open_window)
    if not refused:
        return holds(f"all {count} answered")
    return harmless(
        f"{count} of {len(OFF_BY_DEFAULT)} answered; refused: {refused}",
        f"Do not select {refused}",
    )


@claim("Reach", "The lists of ids, which show what was deleted, answer")
def listings(account: Account) -> Outcome:
    count, refused = _ask(account, _LISTINGS, WHOLE_LIST)
    if not refused:
        return holds(f"all {count} answered")
    if account.config["detect_deletes"]:
        return breaks(f"refused: {refused}", "Set detect_deletes to false")
    return harmless(
        f"refused: {refused}; a sync reads them only with detect_deletes",
        "Leave detect_deletes off",
    )


@claim("Reach", "This machine's clock agrees with the server's")
def clock(account: Account) -> Outcome:
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


@claim("Reach", "The tap reads every endpoint that is known of this API")
def other_endpoints(account: Account) -> Outcome:
    """List the elements of endpoints that the tap does not read, without their values."""
    for name, path in _UNDOCUMENTED.items():
        endpoint = _without_rows(name, path)
        window = account.open_window if path.startswith("/org/") else WHOLE_LIST
        try:
            stream = account.read(
                endpoint, OnePage(window, PageSizes(_NAMES_ONLY)), limit=_NAMES_ONLY
            )
        except NoAnswerError:
            continue
        account.elements[path] = stream.elements
    if not account.elements:
        return holds(f"of {len(_UNDOCUMENTED)} others that exist, this account answers none")
    names = [f"{name} ({path})" for name, path in _UNDOCUMENTED.items() if path in account.elements]
    return harmless(
        f"this account also answers {', '.join(names)}, which the tap does not read; the JSON "
        "lists the names of their elements",
        "To ask for a stream of one of those, attach the JSON",
    )


def _without_rows(name: str, path: str) -> Endpoint:
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
