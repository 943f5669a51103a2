"""The account that is checked: asks for pages, one after the other, and few enough of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pendulum
import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_litmos.check.findings import UnseenError
from tap_litmos.check.values import REPEATED, Survey, element_names, names_zone, raw_rows
from tap_litmos.client import LitmosStream
from tap_litmos.errors import RunFailedError, in_one_line
from tap_litmos.paginator import PageSizes, WindowPaginator
from tap_litmos.rows import SHARED_KEY, Page
from tap_litmos.windows import LONGEST_DAYS, Window

if TYPE_CHECKING:
    from backoff.types import Details
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from tap_litmos.check.values import RawRow
    from tap_litmos.declaration import Endpoint
    from tap_litmos.tap import TapLitmos

BUDGET = 150
"""The most requests of a check, retries included."""

LIMIT = 1000
"""The most rows that Litmos takes as `limit` (the document)."""

_MAX_RETRIES = 6
"""How often a page is requested again; a quarter of all requests may fail."""

_MAX_FAILURES = 3
"""After so many pages that never came, others are requested again only once: each takes a while."""

_PAGES_TO_SEARCH = 4
"""In how many pages to look for a row."""

_MARGIN = timedelta(hours=62)
"""Two days and the widest zone: windows around a row's date reach no further back."""


class NoAnswerError(UnseenError):
    """A page did not come; `status` is the final status if the endpoint refused."""

    def __init__(self, status: int | None) -> None:
        """Make the error."""
        why = f"status {status}" if status else "it keeps failing"
        super().__init__(f"a request was not answered ({why})", "Run it again later")
        self.status = status


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of a row: enough to recognize it, and to see when it changed.

    Attributes:
        key: Its primary key.
        date: When it last changed, as the tap reads it; the earliest moment if it does not say.
        created: When it was created; None if it does not say.
        names_zone: Whether the date is written with its zone; known in pages of the survey.
    """

    key: tuple[Any, ...]
    date: datetime
    created: datetime | None
    names_zone: bool = field(compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether windows around its date include it for this date alone.

        "Created or updated" (the document) may mean either date.
        """
        created = self.created or self.date
        return created == self.date or self.date - created > _MARGIN


@dataclass(frozen=True, slots=True)
class SeenPage:
    """A page that came, without the values of its rows.

    Attributes:
        endpoint: Where it came from.
        window: The window that was requested.
        rows: Its rows.
        requested_at: When it was requested, by the earlier of both clocks (UTC).
    """

    endpoint: Endpoint
    window: Window
    rows: list[Row]
    requested_at: datetime

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self.rows)

    @property
    def keys(self) -> set[tuple[Any, ...]]:
        """The different keys of its rows."""
        return {row.key for row in self.rows}


class OnePage(WindowPaginator):
    """Reads a single page."""

    @override
    def get_next(self, response: requests.Response) -> None:
        return None

    @override
    def failed(self, *, is_timeout: bool) -> bool:
        return super().failed(is_timeout=False)  # a smaller page would look like a cap


class CheckedStream(LitmosStream):
    """A stream whose requests are counted, and whose pages are looked at.

    Attributes:
        status: The last status.
        page: The last page.
        body: Its body, and the character set that its header names.
    """

    status: int | None = None
    page: Page
    body: tuple[bytes, str | None]

    def __init__(self, account: Account, endpoint: Endpoint) -> None:
        """Make the stream of an endpoint."""
        super().__init__(account.tap, endpoint)
        self.selected = True
        self._account = account

    @override
    def get_http_request(self, *, page: PageContext[int]) -> HTTPRequest:
        self._account.spend()
        return super().get_http_request(page=page)

    @override
    def backoff_handler(self, details: Details) -> None:
        has_failed = self._account.failures >= _MAX_FAILURES
        if self._reading.retries >= (1 if has_failed else _MAX_RETRIES):
            raise details["exception"]
        self._account.spend()
        self._account.retries += 1
        super().backoff_handler(details)

    @override
    def validate_response(self, response: requests.Response) -> None:
        self.status = response.status_code
        if "Date" in response.headers:
            server_time = _plain(vars(response)["server_time"])
            self._account.clock_ahead = datetime.now(UTC) - response.elapsed - server_time
        super().validate_response(response)

    @override
    def _page(self, body: bytes, response: requests.Response) -> Page:
        if not self.endpoint.nesting:
            self._account.elements[self.endpoint.path] = element_names(body)
            return Page()
        self.page, self.body = super()._page(body, response), (body, response.encoding)
        return self.page

    @override
    def _may_belong(self, page: Page) -> bool:
        if not super()._may_belong(page):
            self._account.strangers.add(self.name)
        return True


class Account:
    """The account of a config.

    Attributes:
        tap: The tap.
        config: Its settings.
        now: When the check began, by this machine's clock.
        survey: What the rows look like.
        requests: How many requests were sent, retries included.
        retries: How many of them were sent again.
        failures: How many pages never came.
        span: How many days a closed window may have.
        cut_from: More rows may follow a page with this many.
        is_filtered: Whether rows are left out of pages.
        clock_ahead: By how much this machine's clock is ahead of the server's.
        windows_zone: Hours by which `since` and `to` are ahead of UTC; None if unknown.
        rows_zone: Hours by which the dates of rows are ahead of UTC; None if unknown.
        today: The date of a row of today, as windows have it, and the earliest `to` that brings
            it, of moments that are 15 minutes apart; None if unknown.
        strangers: The streams that sent a page without any row near its window.
        elements: By path, the names of the elements that undocumented endpoints send.
    """

    def __init__(self, tap: TapLitmos) -> None:
        """Prepare; nothing is requested yet."""
        self.tap, self.config = tap, tap.config
        self.now = pendulum.now("UTC")
        self.survey = Survey()
        self.requests = self.retries = self.failures = 0
        self.span = LONGEST_DAYS
        self.cut_from = LIMIT * 9 // 10
        self.is_filtered = False
        self.clock_ahead: timedelta | None = None
        self.windows_zone: float | None = None
        self.rows_zone: float | None = None
        self.today: tuple[datetime, datetime] | None = None
        self.strangers: set[str] = set()
        self.elements: dict[str, list[str]] = {}

    @property
    def open_window(self) -> Window:
        """The window of a sync that is up to date."""
        today = self.now.start_of("day")
        return Window(today.subtract(days=1), today.add(days=2), is_open=True)

    def closed_window(self, back: int = 1) -> Window:
        """Return the closed window so many before the open one, of full length."""
        to = self.open_window.since.subtract(days=self.span * (back - 1))
        return Window(to.subtract(days=self.span), to)

    def spend(self) -> None:
        """Take a request off the budget.

        Raises:
            UnseenError: If it is spent.
        """
        if self.requests >= BUDGET:
            advice = "Run it again when fewer requests fail"
            raise UnseenError(f"the budget of {BUDGET} requests was spent before", advice)
        self.requests += 1

    def page(
        self, endpoint: Endpoint, window: Window, *, survey: bool = False, **params: int
    ) -> SeenPage:
        """Request a page.

        Args:
            endpoint: The endpoint.
            window: The window.
            survey: Whether to add its rows to the survey.
            params: The offset `start`, by default 0, and `limit`, by default 1,000.

        Raises:
            NoAnswerError: If the endpoint refuses, or keeps failing.
            UnseenError: If no more requests may be sent.
        """
        reading = OnePage(window, PageSizes(LIMIT))
        stream = self.read(endpoint, reading, **params)
        keys, records = stream.page.keys, stream.page.records
        raw = raw_rows(*stream.body, endpoint) if survey else [()] * len(keys)
        rows = [_row(endpoint, *row) for row in zip(keys, records, raw, strict=True)]
        with_key = [key for key, record in zip(keys, records, strict=True) if record]
        shared = reading.findings.counts[SHARED_KEY, ""]
        reading.findings.add(REPEATED, times=len(with_key) - len(set(with_key)) - shared)
        if survey and not endpoint.is_listing:
            self.survey.add(endpoint, reading.findings, raw)
        return SeenPage(endpoint, window, rows, _plain(reading.requested_at or self.now))

    def read(self, endpoint: Endpoint, reading: WindowPaginator, **params: int) -> CheckedStream:
        """Read what a paginator walks over, and return the stream that did.

        Raises:
            NoAnswerError: If the endpoint refuses, or keeps failing.
            UnseenError: If no more requests may be sent.
            FatalAPIError: If the paginator gives up.
        """
        stream = _stream(self, endpoint)
        try:
            for _ in stream.read(reading, **params):
                pass
        except (FatalAPIError, RetriableAPIError, requests.RequestException) as error:
            is_final = isinstance(error, FatalAPIError)
            if is_final and stream.status == HTTPStatus.OK and reading.count > 1:
                raise
            self.failures += not is_final
            self._log(stream, error)
            raise NoAnswerError(stream.status if is_final else None) from None
        except RunFailedError:  # a key that was accepted before is no wrong key
            if stream.status != HTTPStatus.UNAUTHORIZED or not self.survey.pages:
                raise
            raise NoAnswerError(stream.status) from None
        return stream

    def _log(self, stream: CheckedStream, error: Exception) -> None:
        """Log why an endpoint does not answer; end the run if the host does not."""
        if not self.tap.session.has_answered:
            self.tap.stream_failed(stream, in_one_line(error))
        elif stream.endpoint.nesting:
            self.tap.logger.warning("%s: %s", stream.name, in_one_line(error))

    def is_served(self, endpoint: Endpoint, row: Row, since: datetime, to: datetime) -> bool:
        """Return whether a window includes a row.

        Raises:
            UnseenError: If the window has too many rows to tell.
        """
        window = Window(pendulum.instance(since), pendulum.instance(to))
        keys: set[tuple[Any, ...]] = set()
        for _ in range(_PAGES_TO_SEARCH):
            page = self.page(endpoint, window, start=len(keys))
            if row in page.rows:
                return True
            if len(page) < self.cut_from or page.keys <= keys:
                return False
            keys |= page.keys
        raise UnseenError("the windows have too many rows to find one of them")


_NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""The date of rows that have none."""


@cache
def _stream(account: Account, endpoint: Endpoint) -> CheckedStream:
    return CheckedStream(account, endpoint)


def _plain(moment: datetime) -> datetime:
    """Return a moment of pendulum as a plain one, whose differences can be divided."""
    return datetime.fromtimestamp(moment.timestamp(), UTC)


def _row(
    endpoint: Endpoint, key: tuple[Any, ...], record: dict[str, Any] | None, texts: RawRow
) -> Row:
    created = _moment(record, "CreatedDate")
    changed = _moment(record, endpoint.replication_key)
    # Of some rows the date of change is null until they change.
    name = endpoint.replication_key if changed else "CreatedDate"
    return Row(key, changed or created or _NEVER, created, names_zone(texts, name))


def _moment(record: dict[str, Any] | None, name: str | None) -> datetime | None:
    """Return a date of a row, None if it has none."""
    text = record.get(name) if record and name else None
    return datetime.fromisoformat(text) if text else None
