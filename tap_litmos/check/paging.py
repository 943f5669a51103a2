"""Whether pages can be trusted: their order, their size, their end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_litmos.check.finder import closed_pages, largest, named
from tap_litmos.check.findings import UnseenError, breaks, claim, harmless, holds, unseen
from tap_litmos.check.pages import LIMIT, PageRequest
from tap_litmos.errors import RowsNotProvedError
from tap_litmos.paginator import DEFAULT_LIMIT, Position, WindowPaginator, nearly
from tap_litmos.wording import counted

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tap_litmos.check.account import Account
    from tap_litmos.check.findings import Outcome
    from tap_litmos.check.pages import SeenPage

_SMALL = 10
"""A limit that is small enough to see whether it is kept."""

_FEW = 6
"""Rows of a window, at least, that is read in small pages, and of these."""

_MOST_REQUESTS = 80
"""What reading a window in small pages may cost."""

_ENOUGH = 40
"""Pages in which a window surely ends, unless its rows change places."""

_FAR = 10_000_000
"""No week has so many rows."""

_FIT_A_PAGE = (
    "Set page_size to 1000 and window_days to 1, so that windows fit a page, and report it"
)


@claim("Paging", "Rows come in the same order each time", "read the largest page twice")
def order(account: Account) -> Outcome:
    """Read a window that fits a page twice; a row that left it or came makes no difference."""
    sample = largest(account)
    again = account.fetch_again(sample.request)
    left = len(set(sample.versions) - set(again.versions))
    if _in_same_order(sample, again):
        return holds(f"the same order twice ({named(sample)}){_changed(left)}")
    if sample.repeated:
        return breaks(
            f"rows changed places, and {sample.repeated:,} came twice ({named(sample)}), so "
            "that nothing proves that every row came. Such a stream fails",
            "Report that rows move and come twice: no setting helps",
        )
    ties = "rows of the same second" if _only_ties(sample, again) else "rows"
    return harmless(
        f"{ties} changed places ({named(sample)}). The tap reads again until it can prove that "
        "every row came, which costs requests",
        "Keep page_size at 1000, so that fewer windows have several pages",
    )


def _in_same_order(sample: SeenPage, again: SeenPage) -> bool:
    """Whether the rows that are in both pages have the same order in both."""
    both = set(sample.versions) & set(again.versions)

    def common(page: SeenPage) -> list[object]:
        return [version for version in page.versions if version in both]

    return common(sample) == common(again)


def _only_ties(sample: SeenPage, again: SeenPage) -> bool:
    """Whether rows changed places only with those of the same second."""

    def seconds(page: SeenPage) -> list[str]:
        return [f"{date:%Y%m%d%H%M%S}" if date else "" for date in page.dates]

    return seconds(sample) == seconds(again)


@dataclass(slots=True)
class _InPages:
    """What reading a window in small pages came to.

    Attributes:
        keys: The keys of the rows that came.
        reread: How many pages had to be read again.
        pages: How many pages came.
        is_over: Whether that was the end.
        failure: Why it cannot be proved that every row came; nothing if it can.
    """

    keys: set[Hashable] = field(default_factory=set)
    reread: int = 0
    pages: int = 0
    is_over: bool = False
    failure: str = ""


def _read_in_pages(account: Account, whole: SeenPage) -> _InPages:
    """Let the tap's own paginator read a window, about half of its rows at a time."""
    limit = max(_FEW, whole.rows // 2)
    paginator = WindowPaginator([whole.window], limit)
    read, most = _InPages(), min(_MOST_REQUESTS, account.requests_left - 1)
    while not read.is_over and read.pages < most:
        position = paginator.current_value
        page = account.fetch_again(PageRequest(whole.endpoint, position, limit))
        try:
            paginator.advance(page)
        except RowsNotProvedError as error:
            read.failure = str(error)
        if paginator.accepted:
            read.keys.update(page.keys)
        read.pages += 1
        read.reread = paginator.pages_reread
        read.is_over = paginator.finished or bool(read.failure)
    return read


@claim("Paging", "A window in small pages is the same as in one", "read one both ways")
def small_pages(account: Account) -> Outcome:
    """Compare a window in one page with the same in small pages, but for rows that left."""
    try:
        whole = largest(account, least=_FEW, most=account.cut_from - 1)
    except UnseenError:
        whole = largest(account, least=_FEW)
    read = _read_in_pages(account, whole)
    then = account.fetch_again(whole.request)
    left = len(set(whole.keys) - set(then.keys))
    missing = len(set(whole.keys) & set(then.keys) - read.keys)
    name = f"{named(whole)}{_changed(left)}"
    if not read.is_over and not left and _in_same_order(whole, then):
        is_whole = whole.rows < account.cut_from
        return _judge_quiet_pages(read, name, is_whole=is_whole)
    return _judge_pages(read, name, left=left, missing=missing)


def _changed(left: int) -> str:
    return f"; {counted(left, 'row')} changed meanwhile" if left else ""


def _judge_quiet_pages(read: _InPages, name: str, *, is_whole: bool) -> Outcome:
    """Judge a window whose end was not reached, although its rows keep their places.

    Args:
        read: What came in small pages.
        name: The window in words.
        is_whole: Whether the window is known to fit a page.
    """
    if not is_whole or read.pages < _ENOUGH:
        return unseen(f"the budget ended before the window ({name})", "Run it again")
    return breaks(
        f"{read.pages} pages did not prove that every row came, although no row changed its "
        f"place ({name})",
        _FIT_A_PAGE,
    )


def _judge_pages(read: _InPages, name: str, *, left: int, missing: int) -> Outcome:
    """Judge a window that was read in small pages.

    Args:
        read: What that came to.
        name: The window in words.
        left: How many of its rows left it meanwhile.
        missing: How many of those that stayed did not come.
    """
    if not (read.is_over or read.reread):
        return unseen(f"the budget ended before the window ({name})", "Run it again")
    if not read.is_over or (read.failure and left):
        return harmless(
            f"rows change places so fast that {read.pages} pages did not prove that every row "
            f"came ({name}). Such a stream fails with a line, and its bookmark stays",
            "Keep page_size at 1000, and sync at a quieter time",
        )
    if read.failure or missing:
        what = read.failure or f"{counted(missing, 'row')} of the window did not come"
        return breaks(f"{what} ({name})", _FIT_A_PAGE)
    if read.reread:
        return harmless(
            f"the same rows ({name}), but {counted(read.reread, 'page')} had to be read again, "
            "as rows moved or came twice"
        )
    return holds(f"the same rows ({name})")


@claim(
    "Paging",
    f"A page may have {LIMIT:,} rows, and a shorter one is the last",
    "asked behind the largest pages",
)
def limit(account: Account) -> Outcome:
    """Ask behind pages whether they were cut."""
    sample, is_cut = _cut_page(account)
    page_size: int = account.config["page_size"]
    if not is_cut:
        if sample.rows >= LIMIT:
            return holds(f"the largest page has {counted(sample.rows, 'row')}")
        if nearly(sample.rows, LIMIT):
            return holds(f"the largest page has {counted(sample.rows, 'row')}, and none follow")
        return unseen(
            f"the largest page has {counted(sample.rows, 'row')}, and none follow",
            "Look at a week with more than 1,000 rows of one stream",
        )
    account.cut_from = min(account.cut_from, sample.rows)
    detail = f"pages end after {counted(sample.rows, 'row')} although more follow"
    if sample.rows < DEFAULT_LIMIT and _leaves_rows_out(
        account, sample, min(page_size, sample.rows)
    ):
        return breaks(
            f"{detail}, and rows are left out of such pages: the tap sees neither",
            "Report it: no setting helps",
        )
    if sample.rows >= DEFAULT_LIMIT or sample.rows >= page_size:
        return harmless(f"{detail}; the tap sees that and reads on")
    return breaks(
        f"{detail}, too few for the tap to see that", f"Set page_size to {sample.rows}"
    )


def _cut_page(account: Account) -> tuple[SeenPage, bool]:
    """Return a page behind which more rows follow, and True; else the largest, and False.

    Of each stream its largest page of 10 to 99 rows is tried, as the tap does not see for
    itself that such a page is cut.
    """
    sample = largest(account)
    small: dict[str, SeenPage] = {}
    for page in closed_pages(account):
        if _SMALL <= page.rows < DEFAULT_LIMIT and page is not sample:
            small.setdefault(page.endpoint.stream, page)
    for page in (*small.values(), sample):
        behind = account.fetch(_behind(page, page.rows)) if page.rows < LIMIT else page
        if set(behind.keys) - set(page.keys):
            return page, True
    return sample, False


def _leaves_rows_out(account: Account, sample: SeenPage, size: int) -> bool:
    """Return whether a page of a size brings clearly fewer rows."""
    page = account.fetch(PageRequest(sample.endpoint, Position(sample.window), limit=size))
    return not nearly(page.rows, size)


def _behind(sample: SeenPage, start: int) -> PageRequest:
    return PageRequest(sample.endpoint, Position(sample.window, start))


@claim("Paging", "A page has as many rows as asked for", f"asked for {_SMALL} rows")
def small_limit(account: Account) -> Outcome:
    sample = largest(account, least=_SMALL + 1)
    page = account.fetch(PageRequest(sample.endpoint, Position(sample.window), limit=_SMALL))
    if page.rows == _SMALL:
        return holds(f"{_SMALL} rows for a limit of {_SMALL}")
    detail = f"{counted(page.rows, 'row')} for a limit of {_SMALL}"
    if page.rows < _SMALL:
        if account.fetch_again(sample.request).rows < sample.rows:
            raise UnseenError("rows left the window meanwhile")
        if nearly(DEFAULT_LIMIT, account.config["page_size"]):
            return breaks(
                f"{detail}; rows are left out of pages, and the tap does not see it with so "
                "small a page_size",
                "Set page_size to 1000",
            )
        return harmless(f"{detail}; rows are left out of pages. The tap reads on")
    return harmless(f"{detail}; the tap goes on behind the limit, and its pages overlap")


@claim("Paging", "Behind the last row comes nothing", "asked far behind it")
def end(account: Account) -> Outcome:
    sample = largest(account, least=1)
    # Of a page that may not be the last, nobody knows how far behind it is far.
    start = sample.rows + 10 * LIMIT if sample.rows < account.cut_from else _FAR
    page = account.fetch(_behind(sample, start))
    if not page.rows:
        return holds(f"no row from {start:,} on ({named(sample)})")
    return breaks(
        f"{counted(page.rows, 'row')} from {start:,} on ({named(sample)}): windows of more "
        "than a page cannot be read",
        "Set window_days to 1, so that more windows fit a page, and report it",
    )


@claim("Values", "A row comes once in a window", "compared the keys in pages")
def repeats(account: Account) -> Outcome:
    """Count rows that come more than once in a page."""
    twice: Counter[str] = Counter()
    rows = 0
    for sample in account.surveyed:
        rows += sample.rows
        twice[sample.endpoint.stream] += sample.repeated
    twice = +twice
    if not rows:
        raise UnseenError("no rows came")
    if not twice:
        return holds(f"none of {counted(rows, 'row')} came twice")
    return harmless(
        f"{counted(twice.total(), 'row')} of {rows:,} came more than once, in "
        f"{', '.join(sorted(twice))}. A target that upserts holds each once",
    )
