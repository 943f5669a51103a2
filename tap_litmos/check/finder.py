"""Finds the windows with enough rows to look at, and rows in windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pendulum

from tap_litmos.check.findings import UnseenError
from tap_litmos.check.pages import LIMIT, PageRequest
from tap_litmos.check.reach import DEFAULT
from tap_litmos.paginator import Position
from tap_litmos.windows import Window
from tap_litmos.wording import counted

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from datetime import datetime

    from tap_litmos.check.account import Account
    from tap_litmos.check.pages import SeenPage
    from tap_litmos.declaration import Endpoint

_DAY = timedelta(days=1)

_MOST_PAGES = 4
"""Pages in which a row is looked for."""

_FEWEST = 20
"""Rows with which a window is worth reading."""

_EARLIER = (
    *((back, LIMIT) for back in (2, 3, 4)),
    *((back, _FEWEST) for back in (8, 16, 32, 52)),
)
"""How many windows to go back, each only while the largest page has fewer rows than it says."""


def open_pages(account: Account) -> list[SeenPage]:
    """Return the newest pages of all endpoints that answer."""
    return account.look_at(DEFAULT, account.open_window)


def closed_pages(account: Account) -> list[SeenPage]:
    """Return pages of closed windows, those with the most rows first.

    These are the latest closed windows of all endpoints, and earlier ones until there are
    enough rows. It may be called again, as no page is requested twice.
    """
    latest = account.look_at(
        [page.endpoint for page in open_pages(account)], account.closed_window()
    )
    pages = _by_rows(latest)
    busiest = [page.endpoint for page in pages[:2]]
    for back, wanted in _EARLIER:
        if pages and pages[0].rows < wanted:
            pages = _by_rows(pages + account.look_at(busiest, account.closed_window(back)))
    return pages


def largest(account: Account, least: int = 2, most: int | None = None) -> SeenPage:
    """Return the page of a closed window with the most rows within bounds.

    Raises:
        UnseenError: If there is none.
    """
    for page in closed_pages(account):
        if least <= page.rows and (most is None or page.rows <= most):
            return page
    raise UnseenError(f"no closed window had {counted(least, 'row')} or more")


def named(page: SeenPage) -> str:
    """Describe a page by its stream and its number of rows."""
    return f"{page.endpoint.stream}, {counted(page.rows, 'row')}"


def _by_rows(pages: list[SeenPage]) -> list[SeenPage]:
    return sorted(pages, key=lambda page: -page.rows)


@dataclass(frozen=True, slots=True)
class Probe:
    """A row by which to find out what a window includes.

    Attributes:
        endpoint: Where it is served.
        version: What tells it from others.
        date: When it last changed, as it says.
        created: When it was created, as it says.
    """

    endpoint: Endpoint
    version: Hashable
    date: datetime
    created: datetime | None

    @property
    def is_plain(self) -> bool:
        """Whether windows around its date include it for this date alone.

        "Created or updated" (the document) may mean either date.
        """
        created = self.created or self.date
        return created == self.date or created < self.day - _DAY

    @property
    def day(self) -> datetime:
        """The midnight before its date."""
        return self.date.replace(hour=0, minute=0, second=0, microsecond=0)


def probes(page: SeenPage) -> Iterator[Probe]:
    """Yield the rows of a page that have a date."""
    rows = zip(page.versions, page.dates, page.created, strict=True)
    for version, date, created in rows:
        if date is not None:
            yield Probe(page.endpoint, version, date, created)


def is_served(account: Account, probe: Probe, since: datetime, to: datetime) -> bool:
    """Return whether a window includes a row."""
    window = Window(pendulum.instance(since), pendulum.instance(to))
    seen: set[Hashable] = set()
    for _ in range(_MOST_PAGES):
        page = account.fetch(PageRequest(probe.endpoint, Position(window, len(seen))))
        if probe.version in page.versions:
            return True
        new = set(page.keys) - seen
        if not new or page.rows < account.cut_from:
            return False
        seen |= new
    raise UnseenError("the windows have too many rows to find one of them")
