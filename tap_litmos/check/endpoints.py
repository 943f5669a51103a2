"""Whether endpoints answer, and whether their pages can be trusted: their size, end and order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from singer_sdk.exceptions import FatalAPIError

from tap_litmos.check.account import LIMIT, NoAnswerError, OnePage
from tap_litmos.check.findings import UnseenError, attempt, breaks, combine, harmless, holds, unseen
from tap_litmos.paginator import MIN_ROWS_TO_PROBE, PageSizes, WindowPaginator
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

_SMALL = 10
"""A limit that is small enough to see whether it is kept."""

_MIN_ROWS = 6
"""Rows of a window, at least, that is read in several pages, and of these pages."""

_FAR = 10_000_000
"""No week has so many rows."""

_MIN_CAP = 100
"""The smallest page that the tap notices to be cut: it is Litmos' default limit (the document)."""

_EARLIER = (*((back, LIMIT) for back in (2, 3, 4)), *((back, 20) for back in (8, 16, 32, 52)))
"""How many windows to go back, each only while the largest page has fewer rows than it says."""

_FIT_A_PAGE = (
    "Set page_size to 1000 and window_days to 1, so that windows fit a page, and report it"
)


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


@cache
def closed_pages(account: Account) -> list[SeenPage]:
    """Return pages of closed windows, those with the most rows first; they are requested once.

    These are the latest closed windows of all endpoints, and earlier ones until there are enough
    rows.
    """
    answering = [page.endpoint for page in newest(account)[0]]
    pages = sorted(ask(account, answering, account.closed_window())[0], key=len, reverse=True)
    busiest = [page.endpoint for page in pages[:2]]
    for back, wanted in _EARLIER:
        if pages and len(pages[0]) < wanted:
            pages += ask(account, busiest, account.closed_window(back))[0]
            pages.sort(key=len, reverse=True)
    return pages


def _largest(account: Account, least: int = 2, most: int | None = None) -> SeenPage:
    """Return the page of a closed window with the most rows within bounds.

    Raises:
        UnseenError: If there is none.
    """
    for page in closed_pages(account):
        if least <= len(page) <= (most or len(page)):
            return page
    raise UnseenError(f"no closed window had {pluralize(least, 'row')} or more")


def _named(page: SeenPage, left: int = 0) -> str:
    """Return the stream of a page and its number of rows; how many left the window since."""
    changed = f"; {pluralize(left, 'row')} changed while it was read" if left else ""
    return f"({page.endpoint.stream}, {pluralize(len(page), 'row')}{changed})"


def limit(account: Account) -> Outcome:
    """Ask for few rows, and behind pages."""
    return combine(attempt(_judge_cap, account), attempt(_judge_small_limit, account))


def _judge_cap(account: Account) -> Outcome:
    sample, is_cut = _cut_page(account)
    rows, page_size = len(sample), account.config["page_size"]
    detail = f"the largest page has {pluralize(rows, 'row')}"
    if not is_cut and 10 * rows >= 9 * LIMIT:
        return holds(detail)
    if not is_cut:
        return unseen(f"{detail}, and none follow", "Check again in a week with more rows")
    account.cut_from = min(account.cut_from, rows)
    detail = f"pages end after {pluralize(rows, 'row')} although more follow"
    size = min(page_size, rows)
    if rows < _MIN_CAP:
        page = account.page(sample.endpoint, sample.window, limit=size)
        if 10 * len(page) < 9 * size:
            detail += ", and rows are left out of such pages: the tap notices neither"
            return breaks(detail, "Report it: no setting helps")
    if rows >= min(_MIN_CAP, page_size):
        return harmless(f"{detail}; the tap notices and keeps reading")
    return breaks(f"{detail}, too few for the tap to notice", f"Set page_size to {rows}")


def _cut_page(account: Account) -> tuple[SeenPage, bool]:
    """Return a page behind which more rows follow, and True; else the largest, and False.

    Of each stream its largest page of 10 to 99 rows is tried, as the tap does not notice that
    such a page is cut.
    """
    sample = _largest(account)
    small: dict[str, SeenPage] = {}
    for page in closed_pages(account):
        if _SMALL <= len(page) < _MIN_CAP and page is not sample:
            small.setdefault(page.endpoint.stream, page)
    for page in (*small.values(), sample):
        if len(page) < LIMIT:
            behind = account.page(page.endpoint, page.window, start=len(page))
            if behind.keys - page.keys:
                return page, True
    return sample, False


def _judge_small_limit(account: Account) -> Outcome:
    sample = _largest(account, least=_SMALL + 1)
    rows = len(account.page(sample.endpoint, sample.window, limit=_SMALL))
    detail = f"{pluralize(rows, 'row')} for a limit of {_SMALL}"
    if rows == _SMALL:
        return holds(detail)
    if rows > _SMALL:
        return harmless(f"{detail}; the tap continues behind the limit, and its pages overlap")
    if len(account.page(sample.endpoint, sample.window)) < len(sample):
        raise UnseenError("rows left the window while it was read")
    account.is_filtered = True
    detail += "; rows are left out of pages"
    if _is_small(account):
        detail += ", which the tap does not notice with so small a page_size"
        return breaks(detail, "Set page_size to 1000")
    return harmless(f"{detail}. The tap keeps reading")


def _is_small(account: Account) -> bool:
    """Return whether a page that lacks a tenth of its rows would pass for the last one."""
    return bool(9 * account.config["page_size"] <= 10 * MIN_ROWS_TO_PROBE)


def pages(account: Account) -> Outcome:
    """Read a window in several pages, and ask far behind it."""
    return combine(attempt(_judge_end, account), attempt(_judge_joined, account))


def _judge_end(account: Account) -> Outcome:
    sample = _largest(account, least=1)
    rows = len(account.page(sample.endpoint, sample.window, start=_FAR))
    if not rows:
        return holds(f"nothing follows the last row {_named(sample)}")
    return breaks(
        f"pages without end: {rows:,} rows from {_FAR:,} on {_named(sample)}", _FIT_A_PAGE
    )


def _judge_joined(account: Account) -> Outcome:
    """Compare a window in one page with the same in several, but for rows that left it."""
    whole = _largest(account, least=_MIN_ROWS, most=account.cut_from - 1)
    if account.is_filtered and not _is_small(account):
        return unseen("small pages do not tell, as rows are left out of them")
    reading = WindowPaginator(whole.window, PageSizes(max(_MIN_ROWS, len(whole) // 2)))
    try:
        account.read(whole.endpoint, reading)
    except FatalAPIError as error:
        return breaks(f"{error} {_named(whole)}", _FIT_A_PAGE)
    is_proved, came = reading.is_proved, len(reading.keys)
    then = account.page(whole.endpoint, whole.window)
    reading.keys.add([(key, "") for key in whole.keys & then.keys])
    missing, left = len(reading.keys) - came, len(whole.keys - then.keys)
    name = f"in pages of half the window {_named(whole, left)}"
    if missing and not left and (is_proved or _in_same_order(whole, then)):
        return breaks(f"{pluralize(missing, 'row')} did not come {name}", _FIT_A_PAGE)
    if is_proved:
        return holds(f"the same rows {name}")
    return harmless(f"rows moved or came twice {name}. The tap reads such a window again in parts")


def order(account: Account) -> Outcome:
    """Read a window twice; a row that left it or came makes no difference."""
    sample = _largest(account)
    again = account.page(sample.endpoint, sample.window)
    name = _named(sample, len(set(sample.rows) - set(again.rows)))
    if _in_same_order(sample, again):
        return holds(f"the same order twice {name}")
    if repeated := len(sample) - len(set(sample.rows)):
        detail = f"rows changed places, and {repeated:,} came twice {name}. The stream fails"
        advice = "Report that rows move and come twice: no setting helps"
        return breaks(f"{detail} if more of them than fit a page changed in one second", advice)
    detail = f"rows changed places {name}. The tap reads until it has proved that all came"
    return harmless(detail, "Keep page_size at 1000, so that few windows have several pages")


def _in_same_order(sample: SeenPage, again: SeenPage) -> bool:
    """Return whether the rows that are in both pages have the same order in both."""
    both = set(sample.rows) & set(again.rows)
    first, second = ([row for row in page.rows if row in both] for page in (sample, again))
    return first == second
