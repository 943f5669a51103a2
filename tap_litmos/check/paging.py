"""Whether pages can be trusted: their size, their end, their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tap_litmos.check.account import LIMIT, UnseenError
from tap_litmos.check.connectivity import DEFAULT
from tap_litmos.check.findings import breaks, claim, combine, harmless, holds, unseen
from tap_litmos.errors import in_one_line
from tap_litmos.paginator import MIN_ROWS_TO_PROBE, PageSizes, WindowPaginator
from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    import requests

    from tap_litmos.check.account import Account, SeenPage
    from tap_litmos.check.findings import Outcome
    from tap_litmos.windows import Window

_SMALL = 10
"""A limit that is small enough to see whether it is kept."""

_MIN_ROWS = 6
"""Rows of a window, at least, that is read in several pages, and of these pages."""

_MAX_PAGES = 12
"""Pages in which half a window at a time is surely read."""

_FAR = 10_000_000
"""No week has so many rows."""

_MIN_CAP = 100
"""The smallest page that the tap notices to be cut: it is Litmos' default limit (the document)."""

_MIN_USEFUL_ROWS = 20
_EARLIER = (
    *((back, LIMIT) for back in (2, 3, 4)),
    *((back, _MIN_USEFUL_ROWS) for back in (8, 16, 32, 52)),
)
"""How many windows to go back, each only while the largest page has fewer rows than it says."""

_FIT_A_PAGE = (
    "Set page_size to 1000 and window_days to 1, so that windows fit a page, and report it"
)


def closed_pages(account: Account) -> list[SeenPage]:
    """Return pages of closed windows, those with the most rows first.

    These are the latest closed windows of all endpoints, and earlier ones until there are enough
    rows. It may be called again, as no page is requested twice.
    """
    answering = [page.endpoint for page in account.look_at(DEFAULT, account.open_window)]
    latest = account.look_at(answering, account.closed_window())
    pages = sorted(latest, key=len, reverse=True)
    busiest = [page.endpoint for page in pages[:2]]
    for back, wanted in _EARLIER:
        if pages and len(pages[0]) < wanted:
            pages += account.look_at(busiest, account.closed_window(back))
            pages.sort(key=len, reverse=True)
    return pages


def _largest(account: Account, least: int = 2, most: int | None = None) -> SeenPage:
    """Return the page of a closed window with the most rows within bounds.

    Raises:
        UnseenError: If there is none.
    """
    for page in closed_pages(account):
        if least <= len(page) and (most is None or len(page) <= most):
            return page
    raise UnseenError(f"no closed window had {pluralize(least, 'row')} or more")


def _named(page: SeenPage, left: int = 0) -> str:
    """Return the stream of a page and its number of rows; how many left the window since."""
    changed = f"; {pluralize(left, 'row')} changed while it was read" if left else ""
    return f"({page.endpoint.stream}, {pluralize(len(page), 'row')}{changed})"


@claim("Paging", f"A page has as many rows as requested, up to {LIMIT:,}")
def limit(account: Account) -> Outcome:
    return combine([_judge_cap(account), _judge_small_limit(account)])


def _judge_cap(account: Account) -> Outcome:
    """Ask behind pages whether they were cut."""
    sample, is_cut = _cut_page(account)
    rows, page_size = len(sample), account.config["page_size"]
    if not is_cut:
        detail = f"the largest page has {pluralize(rows, 'row')}"
        if rows >= LIMIT:
            return holds(detail)
        if 10 * rows >= 9 * LIMIT:
            return holds(f"{detail}, and none follow")
        return unseen(
            f"{detail}, and none follow", "Look at a week with more than 1,000 rows of a stream"
        )
    account.cut_from = min(account.cut_from, rows)
    detail = f"pages end after {pluralize(rows, 'row')} although more follow"
    size = min(page_size, rows)
    if rows < _MIN_CAP and 10 * len(_first(account, sample, size)) < 9 * size:
        return breaks(
            f"{detail}, and rows are left out of such pages: the tap notices neither",
            "Report it: no setting helps",
        )
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
        if len(page) < LIMIT and _behind(account, page, len(page)).keys - page.keys:
            return page, True
    return sample, False


def _behind(account: Account, page: SeenPage, start: int) -> SeenPage:
    return account.page(page.endpoint, page.window, start=start)


def _first(account: Account, page: SeenPage, limit: int) -> SeenPage:
    return account.page(page.endpoint, page.window, limit=limit)


def _judge_small_limit(account: Account) -> Outcome:
    sample = _largest(account, least=_SMALL + 1)
    rows = len(_first(account, sample, _SMALL))
    detail = f"{pluralize(rows, 'row')} for a limit of {_SMALL}"
    if rows == _SMALL:
        return holds(detail)
    if rows > _SMALL:
        return harmless(f"{detail}; the tap continues behind the limit, and its pages overlap")
    if len(account.page(sample.endpoint, sample.window, fresh=True)) < len(sample):
        raise UnseenError("rows left the window while it was read")
    account.is_filtered = True
    detail = f"{detail}; rows are left out of pages"
    if _is_small(account):
        return breaks(
            f"{detail}, which the tap does not notice with so small a page_size",
            "Set page_size to 1000",
        )
    return harmless(f"{detail}. The tap keeps reading")


def _is_small(account: Account) -> bool:
    """Return whether a page that lacks a tenth of its rows would pass for the last one."""
    return bool(9 * account.config["page_size"] <= 10 * MIN_ROWS_TO_PROBE)


@claim("Paging", "Several pages bring the same rows as one, and then nothing")
def pages(account: Account) -> Outcome:
    return combine([_judge_end(account), _judge_joined(account)])


def _judge_end(account: Account) -> Outcome:
    sample = _largest(account, least=1)
    # If more rows may follow, nobody knows how far behind them is far.
    start = len(sample) + 10 * LIMIT if len(sample) < account.cut_from else _FAR
    rows = len(_behind(account, sample, start))
    if not rows:
        return holds(f"no row from {start:,} on {_named(sample)}")
    return breaks(
        f"{pluralize(rows, 'row')} from {start:,} on {_named(sample)}: windows of more than a "
        "page cannot be read",
        "Set window_days to 1, so that more windows fit a page, and report it",
    )


class _Pages(WindowPaginator):
    """Reads a window in pages, a bounded number of them."""

    def __init__(self, window: Window, sizes: PageSizes) -> None:
        super().__init__(window, sizes)
        self.seen: set[tuple[Any, ...]] = set()
        self.is_over = False

    @override
    def get_next(self, response: requests.Response) -> int | None:
        self.seen.update(vars(response)["page"].keys)
        following = super().get_next(response)
        self.is_over = following is None
        return None if self.count >= _MAX_PAGES else following


def _judge_joined(account: Account) -> Outcome:
    """Compare a window in one page with the same in several, but for rows that left it."""
    try:
        whole = _largest(account, least=_MIN_ROWS, most=account.cut_from - 1)
    except UnseenError:
        whole = _largest(account, least=_MIN_ROWS)
    if account.is_filtered and not _is_small(account):
        return unseen("rows are left out of small pages, so these do not tell")
    reading = _Pages(whole.window, PageSizes(max(_MIN_ROWS, len(whole) // 2)))
    failure = ""
    try:
        account.read(whole.endpoint, reading)
    except FatalAPIError as error:
        failure = in_one_line(error)
    then = account.page(whole.endpoint, whole.window, fresh=True)
    left = len(whole.keys - then.keys)
    name = _named(whole, left)
    missing = len(whole.keys & then.keys - reading.seen)
    is_still = not left and _in_same_order(whole, then)
    if failure:
        return breaks(f"{failure} {name}", _FIT_A_PAGE)
    if not reading.is_over:
        return _judge_endless(account, whole, name, is_still=is_still)
    if missing and not left and (is_still or reading.is_proved):
        rows = pluralize(missing, "row")
        return breaks(f"{rows} did not come in pages of half the window {name}", _FIT_A_PAGE)
    if reading.is_proved:
        return holds(f"the same rows {name}")
    return harmless(
        f"{pluralize(reading.count, 'page')} did not prove that every row came, as rows moved or "
        f"came twice {name}. The tap reads such a window again in parts, which costs requests"
    )


def _judge_endless(account: Account, whole: SeenPage, name: str, *, is_still: bool) -> Outcome:
    """Judge a window whose end was not reached."""
    if len(whole) >= account.cut_from or not is_still:
        return unseen(f"the window has more than {_MAX_PAGES} pages {name}", "Run it again")
    return breaks(
        f"{_MAX_PAGES} pages of half the window did not reach its end {name}", _FIT_A_PAGE
    )


@claim("Paging", "Rows come in the same order every time")
def order(account: Account) -> Outcome:
    """Read a window twice; a row that left it or came makes no difference."""
    sample = _largest(account)
    again = account.page(sample.endpoint, sample.window, fresh=True)
    name = _named(sample, len(set(sample.rows) - set(again.rows)))
    if _in_same_order(sample, again):
        return holds(f"the same order twice {name}")
    if sample.repeated:
        return breaks(
            f"rows changed places, and {sample.repeated:,} came twice {name}. If more rows than "
            "fit a page changed in the same second, the tap cannot prove that all came, and the "
            "stream fails",
            "Report that rows move and come twice: no setting helps",
        )
    what = "rows of the same second" if _seconds(sample) == _seconds(again) else "rows"
    return harmless(
        f"{what} changed places {name}. The tap reads on until it can prove that every row came, "
        "which costs requests",
        "Keep page_size at 1000, so that fewer windows have several pages",
    )


def _in_same_order(sample: SeenPage, again: SeenPage) -> bool:
    """Return whether the rows that are in both pages have the same order in both."""
    both = set(sample.rows) & set(again.rows)
    first, second = ([row for row in page.rows if row in both] for page in (sample, again))
    return first == second


def _seconds(page: SeenPage) -> list[str]:
    return [f"{row.date:%Y%m%d%H%M%S}" if row.date else "" for row in page.rows]
