"""The account that is checked: every request is asked once, and few enough of them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

import pendulum

from tap_litmos.check.pages import LIMIT, PageRequest, SeenPage
from tap_litmos.check.survey import Survey
from tap_litmos.errors import StreamFailedError
from tap_litmos.paginator import Position
from tap_litmos.progress import Progress
from tap_litmos.rows import RowReader
from tap_litmos.summary import RunSummary
from tap_litmos.transport import FetchedPage, Transport
from tap_litmos.windows import LONGEST_DAYS, WHOLE_LIST, Window

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tap_litmos.bodies import Body
    from tap_litmos.declaration import Endpoint
    from tap_litmos.summary import StreamStats

    _Answer = FetchedPage | StreamFailedError | None

BUDGET = 150
"""The most requests of a check, retries included."""

_FEW = 10
"""Rows to ask for where only their elements are looked at."""

_USUAL = 80
"""Requests that a check takes on most accounts."""

_TRIES = 7
"""How often a request is sent at most; a quarter of all requests may fail."""

_FEW_TRIES = 2
"""The same for an endpoint that may not exist, or may not return XML."""

_PATIENT = 3
"""Requests that may fail for good before others get few tries: a try takes up to a minute."""


class BudgetSpentError(Exception):
    """No more requests may be sent."""

    def __str__(self) -> str:
        """Return why something could not be seen."""
        return f"the budget of {BUDGET} requests was spent before"


class Account:
    """The account of a config; a context manager.

    Attributes:
        config: The settings, valid and with their defaults.
        now: When the check began, by this machine's clock.
        rate: The rate limit that all requests pass.
        survey: What the rows look like.
        surveyed: The first pages of the windows whose rows were looked at.
        span: How many days a closed window may have.
        cut_from: A page of so many rows may not be the last one.
        zone: Hours by which the dates are ahead of UTC; None if that is not known.
        slowest: Seconds that the slowest answer took.
        requests: How many requests were sent, retries included.
        failed: How many pages did not come, however often they were asked for.
    """

    def __init__(
        self, config: Mapping[str, Any], transport: Transport, *, logger: logging.Logger
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            config: The settings, valid and with their defaults.
            transport: What to ask with; the account closes it.
            logger: Where progress goes.
        """
        self.config = config
        self.now = pendulum.now("UTC")
        self.survey = Survey()
        self.surveyed: list[SeenPage] = []
        self.span = LONGEST_DAYS
        self.cut_from = LIMIT * 9 // 10
        self.zone: float | None = None
        self.slowest = 0.0
        self._lock = threading.Lock()
        self.requests = 0
        self.failed = 0
        self._known: dict[PageRequest, SeenPage | StreamFailedError] = {}
        self._readers: dict[tuple[str, bool], RowReader] = {}
        self._transport = transport
        self.rate = transport.rate
        self._summary = RunSummary(logger)
        self._progress = Progress(
            self._summary,
            self.rate,
            requests_left=lambda: max(_USUAL - self.requests, 1),
            logger=logger,
        )

    def __enter__(self) -> Self:
        """Begin to show progress."""
        self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Show progress no more, and end what is still in flight."""
        self._progress.__exit__()
        self._transport.close()

    @property
    def requests_left(self) -> int:
        """How many requests may still be sent."""
        return BUDGET - self.requests

    @property
    def retries(self) -> int:
        """How many requests were sent again."""
        return sum(stats.retries for stats in list(self._summary.streams.values()))

    @property
    def clock_ahead(self) -> float | None:
        """Seconds by which this machine's clock is ahead of the server's, None if unknown."""
        return self._transport.clock_ahead

    @property
    def open_window(self) -> Window:
        """The window of a sync that is up to date."""
        today = self.now.start_of("day")
        return Window(today.subtract(days=1), today.add(days=2), is_open=True)

    def closed_window(self, back: int = 1) -> Window:
        """Return a closed window of full length.

        Args:
            back: Which one before the open window, from 1.
        """
        to = self.open_window.since.subtract(days=self.span * (back - 1))
        return Window(to.subtract(days=self.span), to)

    # Asking

    def look_at(self, endpoints: Iterable[Endpoint], window: Window) -> list[SeenPage]:
        """Return the first page of a window at each endpoint, and look at their rows.

        Several are asked for at once. Those that did not come are left out.
        """
        requests = [PageRequest(endpoint, Position(window)) for endpoint in endpoints]
        new = [request for request in requests if request not in self._known]
        for request, result in zip(new, self._fetch_all(new), strict=True):
            if isinstance(result, StreamFailedError):
                self._known[request] = result
            elif result is not None:
                page = self._known[request] = self._read(request, result, survey=True)
                self.surveyed.append(page)
        found = map(self._known.get, requests)
        return [page for page in found if isinstance(page, SeenPage)]

    def fetch(self, request: PageRequest) -> SeenPage:
        """Return a page, which is asked for once at most.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            BudgetSpentError: If no more requests may be sent.
        """
        if request not in self._known:
            try:
                self._known[request] = self.fetch_again(request)
            except StreamFailedError as error:
                self._known[request] = error
        known = self._known[request]
        if isinstance(known, StreamFailedError):
            raise known
        return known

    def fetch_again(self, request: PageRequest) -> SeenPage:
        """Return a page as it is now; the errors are those of `fetch`."""
        return self._read(request, self._fetch(request), survey=False)

    def refusal(self, endpoint: Endpoint, window: Window) -> StreamFailedError | None:
        """Return why a window did not come, None if it did or was never asked for."""
        known = self._known.get(PageRequest(endpoint, Position(window)))
        return known if isinstance(known, StreamFailedError) else None

    def bodies(self, endpoints: Sequence[Endpoint]) -> list[Body | StreamFailedError]:
        """Return what endpoints answer that have no declared rows, or why they do not.

        Raises:
            BudgetSpentError: If not all of them could be asked.
        """
        requests = [
            PageRequest(endpoint, Position(WHOLE_LIST), limit=_FEW) for endpoint in endpoints
        ]
        results = [result for result in self._fetch_all(requests) if result is not None]
        if len(results) < len(requests):
            raise BudgetSpentError
        return [
            result.body if isinstance(result, FetchedPage) else result for result in results
        ]

    def _fetch_all(self, requests: Sequence[PageRequest]) -> list[_Answer]:
        """Return pages, or why they did not come; None: the budget is spent."""

        def fetch(request: PageRequest) -> _Answer:
            try:
                return self._fetch(request)
            except StreamFailedError as error:
                return error
            except BudgetSpentError:
                return None

        # The first request of all goes alone, so that a wrong key is refused once.
        alone = 0 if self.requests else 1
        first = list(map(fetch, requests[:alone]))
        at_once: int = self.config["max_concurrent_requests"]
        return first + _map_in_threads(fetch, requests[alone:], at_once)

    def _fetch(self, request: PageRequest) -> FetchedPage:
        endpoint, position = request.endpoint, request.position
        stats = self._summary.of(endpoint.stream)
        self._progress.reached(endpoint.stream, str(position.window))
        tries = _Tries(self, stats, is_declared=bool(endpoint.nesting))
        try:
            page = self._transport.fetch(endpoint, position.query(request.limit), tries)
        except StreamFailedError as error:
            if endpoint.nesting and not error.status:
                with self._lock:
                    self.failed += 1
            raise
        self.slowest = max(self.slowest, time.monotonic() - tries.sent_at)
        return page

    def spend(self) -> None:
        """Take a request off the budget.

        Raises:
            BudgetSpentError: If it is spent.
        """
        with self._lock:
            if self.requests >= BUDGET:
                raise BudgetSpentError
            self.requests += 1

    def _read(self, request: PageRequest, fetched: FetchedPage, *, survey: bool) -> SeenPage:
        endpoint = request.endpoint
        reader = self._readers.get((endpoint.stream, survey))
        if reader is None:
            fields = {field.name for field in endpoint.fields}
            met = self.survey if survey and not endpoint.is_listing else Survey()
            reader = RowReader(endpoint, fields, met.reporter(endpoint))
            self._readers[endpoint.stream, survey] = reader
        rows = reader.read(fetched.body)
        self._summary.of(endpoint.stream).rows += len(rows.keys)
        if survey and not endpoint.is_listing:
            self.survey.take(endpoint, fetched.body, rows)
        return SeenPage.of(request, rows, fetched.requested_at)


def _map_in_threads(
    do: Callable[[PageRequest], _Answer], items: Sequence[PageRequest], threads: int
) -> list[_Answer]:
    """Return what comes of each item, in their order.

    An exception, and so a signal, ends it at once: a thread that connects to a silent host may
    hang for long, and is not waited for.
    """
    waiting = deque(enumerate(items))
    came: SimpleQueue[tuple[int, _Answer, BaseException | None]] = SimpleQueue()

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                place, item = waiting.popleft()
                try:
                    came.put((place, do(item), None))
                except BaseException as error:  # noqa: BLE001 - raised again below
                    came.put((place, None, error))

    try:
        for _ in items[:threads]:
            threading.Thread(target=work, daemon=True).start()
    except RuntimeError:  # this machine starts no more threads
        work()
    answers: dict[int, _Answer] = {}
    while len(answers) < len(items):
        place, answer, error = came.get()
        if error is not None:
            raise error
        answers[place] = answer
    return [answers[place] for place in range(len(items))]


class _Tries:
    """Counts the tries of one request."""

    def __init__(self, account: Account, stats: StreamStats, *, is_declared: bool) -> None:
        self.sent_at = 0.0
        self._account = account
        self._stats = stats
        self._is_declared = is_declared
        # Where nothing ever came, patience with each endpoint would take half an hour.
        is_dead = account.requests > 0 and not account.slowest
        is_patient = is_declared and not is_dead and account.failed < _PATIENT
        self._left = _TRIES if is_patient else _FEW_TRIES

    def requested(self) -> None:
        self._account.spend()
        self._stats.requested()
        self._left -= 1
        self.sent_at = time.monotonic()

    def retried(self) -> None:
        if self._left <= 0:
            raise StreamFailedError("it keeps failing")
        # Of what is not documented, an answer that is none says nothing about the service.
        if self._is_declared:
            self._stats.retried()
