"""The account that is checked: every question is asked once, and few enough of them."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import pendulum

from tap_litmos import settings
from tap_litmos.check.survey import Survey
from tap_litmos.errors import StreamFailedError
from tap_litmos.paginator import Position
from tap_litmos.progress import Progress
from tap_litmos.redact import RedactKey
from tap_litmos.rows import RowReader
from tap_litmos.streams import ENDPOINTS
from tap_litmos.summary import RunSummary
from tap_litmos.transport import FetchedPage, Transport
from tap_litmos.windows import WHOLE_LIST, Window

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from pendulum import DateTime

    from tap_litmos.declaration import Endpoint
    from tap_litmos.rows import Body, Page
    from tap_litmos.summary import StreamStats

BUDGET = 150
"""The most requests of a check, retries included."""

LIMIT = 1000
"""The most rows that Litmos takes as `limit` (the document)."""

_FEW = 10
"""Rows to ask for where only their elements are looked at."""

_USUAL = 80
"""Requests that a check takes on most accounts."""

_TRIES = 7
"""How often a request is sent at most: a quarter of them may fail."""

_FEW_TRIES = 2
"""Likewise to an endpoint that may not exist, or answer otherwise than in XML."""


class BudgetSpentError(Exception):
    """No more requests may be sent."""


@dataclass(frozen=True, slots=True)
class Question:
    """A page to ask for.

    Attributes:
        endpoint: Where.
        position: Which window, from which row on.
        limit: How many rows.
    """

    endpoint: Endpoint
    position: Position
    limit: int = LIMIT


@dataclass(frozen=True, slots=True)
class Answer:
    """The page that came, without its values.

    Attributes:
        question: What was asked.
        versions: For each row its key and its date of change; see `rows.Page`.
        keys: For each row its key.
        dates: For each row its date of change; None where it has none, or no key.
        repeated: How many rows with a key came once more.
        requested_at: When it was asked for.
    """

    question: Question
    versions: Sequence[Hashable]
    keys: Sequence[Hashable]
    dates: Sequence[datetime | None]
    repeated: int
    requested_at: DateTime

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that was asked."""
        return self.question.endpoint

    @property
    def window(self) -> Window:
        """The window that was asked for."""
        return self.question.position.window

    @property
    def rows(self) -> int:
        """How many rows came."""
        return len(self.keys)


class Account:
    """The account of a config; a context manager.

    Attributes:
        config: The settings, valid and with their defaults.
        now: When the check began, by this machine's clock.
        rate: The rate limit that all requests pass.
        survey: What the rows look like.
        surveyed: The first pages of the windows whose rows were looked at.
        span: How many days a finished window may have.
        cut_from: A page of so many rows may not be the last one.
        zone: Hours by which the dates are ahead of UTC; None if that is not known.
        slowest: Seconds that the slowest answer took.
    """

    def __init__(self, config: Mapping[str, Any], *, logger: logging.Logger) -> None:
        """Prepare; nothing is asked yet.

        Args:
            config: The settings, valid and with their defaults.
            logger: Where progress goes.
        """
        self.config = config
        self.now = pendulum.now("UTC")
        self.survey = Survey()
        self.surveyed: list[Answer] = []
        self.span = 7
        self.cut_from = LIMIT * 9 // 10
        self.zone: float | None = None
        self.slowest = 0.0
        self._lock = threading.Lock()
        self._key_filter = RedactKey(config["api_key"])
        self._asked = 0
        self._known: dict[Question, Answer | StreamFailedError] = {}
        self._readers: dict[tuple[str, bool], RowReader] = {}
        self._transport = Transport(
            api_url=settings.base_url(config),
            api_key=config["api_key"],
            source=config["source"],
            requests_per_minute=config["requests_per_minute"],
            connections=config["max_concurrent_requests"],
            timeout=config["request_timeout"],
            paths=[endpoint.path for endpoint in ENDPOINTS],
            rate_limit_file=config.get("rate_limit_file"),
            patience=0.25,
        )
        self.rate = self._transport.rate
        self._summary = RunSummary(logger)
        self._progress = Progress(
            self._summary,
            requests_per_minute=config["requests_per_minute"],
            requests_left=lambda: max(_USUAL - self._asked, 1),
            logger=logger,
        )

    def __enter__(self) -> Self:
        """Hide the key in what is logged, and begin to show progress."""
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._key_filter)
        self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Show progress no more, and end what is still in flight."""
        self._progress.__exit__()
        self._transport.close()
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self._key_filter)

    @property
    def requests(self) -> int:
        """How many requests were sent, retries included."""
        return self._asked

    @property
    def requests_left(self) -> int:
        """How many requests may still be sent."""
        return BUDGET - self._asked

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

    def finished_window(self, weeks: int = 1) -> Window:
        """Return a finished window of full length.

        Args:
            weeks: Which one before the open window, from 1.
        """
        to = self.open_window.since.subtract(days=self.span * (weeks - 1))
        return Window(to.subtract(days=self.span), to)

    # Asking

    def look_at(self, endpoints: Iterable[Endpoint], *windows: Window) -> list[Answer]:
        """Return the first pages of windows, and look at their rows.

        Several are asked for at once. Those that did not come are left out.
        """
        questions = [
            Question(endpoint, Position(window)) for endpoint in endpoints for window in windows
        ]
        new = [question for question in questions if question not in self._known]
        for question, result in zip(new, self._fetch_all(new), strict=True):
            if isinstance(result, StreamFailedError):
                self._known[question] = result
            elif result is not None:
                answer = self._known[question] = self._read(question, result, survey=True)
                self.surveyed.append(answer)
        found = map(self._known.get, questions)
        return [answer for answer in found if isinstance(answer, Answer)]

    def ask(self, question: Question) -> Answer:
        """Return a page, which is asked for once at most.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            BudgetSpentError: If no more requests may be sent.
        """
        if question not in self._known:
            try:
                self._known[question] = self.ask_again(question)
            except StreamFailedError as error:
                self._known[question] = error
        known = self._known[question]
        if isinstance(known, StreamFailedError):
            raise known
        return known

    def ask_again(self, question: Question) -> Answer:
        """Return a page as it is now; the errors are those of `ask`."""
        return self._read(question, self._fetch(question), survey=False)

    def refusal(self, endpoint: Endpoint, window: Window) -> StreamFailedError | None:
        """Return why a window did not come, None if it did or was never asked for."""
        known = self._known.get(Question(endpoint, Position(window)))
        return known if isinstance(known, StreamFailedError) else None

    def bodies(self, endpoints: Sequence[Endpoint]) -> list[Body | StreamFailedError]:
        """Return what endpoints answer that have no declared rows, or why they do not."""
        questions = [
            Question(endpoint, Position(WHOLE_LIST), limit=_FEW) for endpoint in endpoints
        ]
        spent = StreamFailedError("the budget of requests is spent")
        return [
            result.body if isinstance(result, FetchedPage) else result or spent
            for result in self._fetch_all(questions)
        ]

    def _fetch_all(
        self, questions: Sequence[Question]
    ) -> list[FetchedPage | StreamFailedError | None]:
        """Return pages, or why they did not come; None: the budget is spent."""

        def fetch(question: Question) -> FetchedPage | StreamFailedError | None:
            try:
                return self._fetch(question)
            except StreamFailedError as error:
                return error
            except BudgetSpentError:
                return None

        # The first request of all goes alone, so that a wrong key is refused once.
        alone = 0 if self._asked else 1
        first = list(map(fetch, questions[:alone]))
        with ThreadPoolExecutor(self.config["max_concurrent_requests"]) as pool:
            try:
                return first + list(pool.map(fetch, questions[alone:]))
            except RuntimeError:  # this machine starts no more threads
                pool.shutdown(cancel_futures=True)
            except BaseException:
                self._transport.close()  # so that no thread is waited for
                pool.shutdown(cancel_futures=True)
                raise
        return first + list(map(fetch, questions[alone:]))

    def _fetch(self, question: Question) -> FetchedPage:
        endpoint, position = question.endpoint, question.position
        stats = self._summary.of(endpoint.stream)
        self._progress.reached(endpoint.stream, str(position.window))
        tries = _Tries(self, stats, _TRIES if endpoint.nesting else _FEW_TRIES)
        page = self._transport.fetch(endpoint, position.query(question.limit), tries)
        self.slowest = max(self.slowest, time.monotonic() - tries.sent_at)
        return page

    def spend(self) -> None:
        """Take a request off the budget.

        Raises:
            BudgetSpentError: If it is spent.
        """
        with self._lock:
            if self._asked >= BUDGET:
                raise BudgetSpentError(f"the budget of {BUDGET} requests was spent before")
            self._asked += 1

    def _read(self, question: Question, page: FetchedPage, *, survey: bool) -> Answer:
        endpoint = question.endpoint
        reader = self._readers.get((endpoint.stream, survey))
        if reader is None:
            fields = {field.name for field in endpoint.fields}
            heard = self.survey if survey and not endpoint.is_listing else Survey()
            reader = RowReader(endpoint, fields, heard.reporter(endpoint))
            self._readers[endpoint.stream, survey] = reader
        rows = reader.read(page.body)
        self._summary.of(endpoint.stream).rows += len(rows.keys)
        if survey and not endpoint.is_listing:
            self.survey.take(endpoint, page.body, rows)
        return Answer(
            question,
            rows.versions,
            rows.keys,
            _dates(endpoint, rows),
            _repeated(rows),
            page.requested_at,
        )


class _Tries:
    """Counts the tries of one request."""

    def __init__(self, account: Account, stats: StreamStats, most: int) -> None:
        self.sent_at = 0.0
        self._account = account
        self._stats = stats
        self._left = most

    def requested(self) -> None:
        self._account.spend()
        self._stats.requested()
        self._left -= 1
        self.sent_at = time.monotonic()

    def retried(self) -> None:
        if not self._left:
            raise StreamFailedError("it keeps failing")
        self._stats.retried()


def _repeated(rows: Page) -> int:
    """Return how many rows with a key came once more."""
    keys = [key for key, record in zip(rows.keys, rows.records, strict=True) if record]
    return len(keys) - len(set(keys))


def _dates(endpoint: Endpoint, rows: Page) -> list[datetime | None]:
    """Return when rows last changed, as they say."""
    key = endpoint.replication_key
    texts = [record and key and record[key] for record in rows.records]
    return [datetime.fromisoformat(text) if text else None for text in texts]
