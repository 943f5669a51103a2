"""Fetching ahead: pages that are *predicted* are requested early; the paginator *decides*.

Every window needs its first page, and every full page its successor. Both can be requested
before their turn, across windows and across streams. A page that was predicted wrongly costs a
request, never a row: it is thrown away.

Only the open window is different: a row that is updated meanwhile moves from a closed window
into the open one, and if the open one had been read before that, this sync would miss the row.
So it waits until all pages that are predicted of the windows before it have come. If one of
these then needs another page, such as for a second reading, the open window is requested again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_litmos.errors import StreamFailedError, TransportClosedError
from tap_litmos.paginator import Position
from tap_litmos.transport import PAGES_AHEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_litmos.declaration import Endpoint
    from tap_litmos.transport import FetchedPage, Stats, Transport
    from tap_litmos.windows import Window

    Predict = Callable[[Position, int], Position | None]

HEAD_START = 0.5
"""Seconds that the first request of a run goes alone; then the others start, even if it was not
answered."""

CLOSE_TIMEOUT = 2.0
"""Seconds to wait at most, when a run ends early, for requests to be cut off."""


@dataclass(eq=False, slots=True)
class Request:
    """A page that was requested.

    Attributes:
        position: The page.
        result: What came of the request; None while it is in flight.
    """

    position: Position
    result: FetchedPage | StreamFailedError | None = None


class ExpectedPages:
    """Which pages of one stream to request, and those that wait for their turn; no threads.

    It holds the pages that are expected to be asked for, the requested pages by position, and
    which windows are no longer predicted; all else is derived. These things always hold:

    - a page is expected, or requested, or neither; never both;
    - after `request_for`, the page asked for is expected or requested;
    - the open window is requested only when all pages requested of the windows before it in the
      plan have arrived. A row that changes moves from a closed window into the open one: were
      that requested first, this sync might miss the row. So if a window before it needs a page
      that was not predicted, the open one is requested anew, unless the page is a probe, on
      which no new row is expected;
    - once the paginator has asked for a page that was not predicted, its window is no longer
      fetched ahead: the window's pages are requested only when they are asked for.
    """

    def __init__(
        self, windows: Sequence[Window], predict: Predict, *, one_page: bool = False
    ) -> None:
        """Expect the first page of each window.

        Args:
            windows: The windows, in the order in which they will be read.
            predict: Returns which page follows one with so many rows, if one does.
            one_page: Whether the first page of each window is enough.
        """
        self._order = {window: place for place, window in enumerate(windows)}
        self._predict = predict
        self._one_page = one_page
        self._unpredictable: set[Window] = set()
        self._expected = {Position(window) for window in windows}
        self.requested: dict[Position, Request] = {}

    @property
    def expected(self) -> int:
        """How many pages are expected and not requested yet."""
        return len(self._expected)

    @property
    def in_flight(self) -> int:
        """How many requested pages have not arrived."""
        return sum(request.result is None for request in self.requested.values())

    @property
    def waiting(self) -> int:
        """How many pages have arrived and wait for their turn."""
        return len(self.requested) - self.in_flight

    def next_due(self) -> Position | None:
        """Return the page to request next, or None if there is none or it has to wait."""
        position = min(self._expected, key=self._turn, default=None)
        if position and position.window.is_open and self._awaits_earlier(position.window):
            return None
        return position

    def request(self, position: Position) -> Request:
        """Turn an expected page into a requested one."""
        self._expected.discard(position)
        request = self.requested[position] = Request(position)
        return request

    def put_back(self, request: Request) -> None:
        """Turn a requested page into an expected one, as nobody could fetch it."""
        del self.requested[request.position]
        self._expected.add(request.position)

    def arrive(self, request: Request, result: FetchedPage | StreamFailedError) -> None:
        """Take in what came of a request, and expect the page after it."""
        if self.requested.get(request.position) is not request:
            return  # thrown away meanwhile
        request.result = result
        if isinstance(result, StreamFailedError):
            self._expected.clear()
        elif not self._one_page and request.position.window not in self._unpredictable:
            following = self._predict(request.position, result.body.rows)
            if following is not None:
                self._expected.add(following)

    def request_for(self, position: Position, *, probing: bool = False) -> Request | None:
        """Return the request of the page that the paginator needs; None if it is only expected.

        Args:
            position: The page.
            probing: Whether no new row is expected on it, so that the open window need not be
                requested again.
        """
        if position in self.requested:
            return self.requested[position]
        if position not in self._expected:
            self._expect_unpredicted(position, probing=probing)
        return None

    def hand_out(self, position: Position) -> None:
        """Hand out a page that has arrived: it is held no longer."""
        del self.requested[position]

    def discard_window(self, window: Window) -> None:
        """Discard all pages of a window, and what is known of it."""
        self._unpredictable.discard(window)
        self._expected = {found for found in self._expected if found.window != window}
        for position in [found for found in self.requested if found.window == window]:
            del self.requested[position]

    def discard_all(self) -> None:
        """Discard all pages."""
        self._expected.clear()
        self.requested.clear()

    def _expect_unpredicted(self, position: Position, *, probing: bool) -> None:
        """Expect a page that was not predicted.

        Rows may have moved into the open window after it was requested, so it is requested
        again.
        """
        self.discard_window(position.window)
        self._unpredictable.add(position.window)  # until it is discarded
        self._expected.add(position)
        place = self._order[position.window]
        for window, other in self._order.items():
            if window.is_open and other > place and not probing:
                self.discard_window(window)
                self._expected.add(Position(window))

    def _turn(self, position: Position) -> tuple[int, int, int]:
        """Sort key: windows in the order of the plan, and within each its pages in theirs."""
        return self._order[position.window], position.reading, position.offset

    def _awaits_earlier(self, window: Window) -> bool:
        awaited = self._unpredictable.union(
            position.window
            for position, request in self.requested.items()
            if request.result is None
        )
        return any(self._order[other] < self._order[window] for other in awaited)


@dataclass(frozen=True, slots=True)
class _Stream:
    """What the fetcher knows of a stream."""

    endpoint: Endpoint
    pages: ExpectedPages
    stats: Stats


class Fetcher:
    """Hands out the pages of all streams, and keeps as many requests in flight as allowed."""

    def __init__(self, transport: Transport, *, limit: int, concurrency: int) -> None:
        """Prepare; nothing is requested before the first page is asked for.

        Args:
            transport: What to fetch with.
            limit: Rows to ask for at once.
            concurrency: How many pages may be in flight; 1 fetches nothing ahead.
        """
        self._transport = transport
        self._limit = limit
        self._concurrency = concurrency
        self._budget = concurrency + PAGES_AHEAD if concurrency > 1 else 0
        self._streams: dict[str, _Stream] = {}
        self._condition = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._failure: BaseException | None = None
        self._first_started: float | None = None
        self._first_answered = False

    def add(self, endpoint: Endpoint, pages: ExpectedPages, stats: Stats) -> None:
        """Add a stream; they are fetched in the order in which they are added.

        Args:
            endpoint: Where to fetch.
            pages: What to fetch.
            stats: Counts the requests.
        """
        self._streams[endpoint.stream] = _Stream(endpoint, pages, stats)

    def page(self, stream: str, position: Position, *, probing: bool = False) -> FetchedPage:
        """Return a page, waiting for it if need be.

        Args:
            stream: The stream.
            position: The page. Positions are asked for in the order of the windows.
            probing: Whether it is a probe, for which the open window is not requested again, as
                it mostly brings nothing.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            RunFailedError: If nothing can be fetched any more.
            TransportClosedError: If the fetcher is closed meanwhile.
        """
        pages = self._streams[stream].pages  # those that are expected or requested
        with self._condition:
            while True:
                if self._failure is not None:
                    raise self._failure
                # None if it is not requested yet; without a result while it is in flight.
                request = pages.request_for(position, probing=probing)
                if request is not None and request.result is not None:
                    break
                if request is None and self._may_start():
                    self._start(stream, position)  # in a thread: `Transport.fetch`
                self._dispatch()  # requests pages ahead of their turn
                self._wait()
            pages.hand_out(position)
            self._dispatch()  # a page less is held, so there may be room for another
        if isinstance(request.result, StreamFailedError):
            raise request.result
        return request.result

    def _wait(self) -> None:
        """Wait for a page to arrive, or for others to be allowed beside the first request."""
        # Where no thread could be started, `_start` has fetched the page itself.
        if self._threads:
            self._condition.wait(self._head_start_left())

    def total_count(self, stream: str) -> int | None:
        """Return how many rows a stream has by Litmos' own count, None if it gives none.

        Raises:
            RunFailedError: If nothing can be fetched any more.
            TransportClosedError: If the fetcher is closed meanwhile.
        """
        asked = self._streams[stream]
        path, this_thread = asked.endpoint.total_path, threading.current_thread()
        if path is None:
            return None
        with self._condition:
            while not self._may_start():
                if self._failure is not None:
                    raise self._failure
                self._wait()
            self._threads.add(this_thread)  # it sends one of the requests in flight
        try:
            return self._transport.total_count(path, asked.stats)
        finally:
            with self._condition:
                self._threads.discard(this_thread)
                self._dispatch()

    def finish_window(self, stream: str, window: Window) -> None:
        """Mark a window as finished: no more of its pages will be asked for."""
        with self._condition:
            self._streams[stream].pages.discard_window(window)
            self._dispatch()

    def finish_stream(self, stream: str) -> None:
        """Mark a stream as finished: no more of its pages will be asked for."""
        with self._condition:
            self._streams[stream].pages.discard_all()
            self._dispatch()

    def close(self) -> None:
        """Stop all requests at once; wait for their threads to end, `CLOSE_TIMEOUT` at most."""
        with self._condition:
            self._failure = self._failure or TransportClosedError()
            # A signal may have ended `total_count` in this one.
            threads = self._threads - {threading.current_thread()}
        self._transport.close()
        deadline = time.monotonic() + CLOSE_TIMEOUT
        for thread in threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def requests_left(self) -> int:
        """Return how many requests are known to be needed still."""
        with self._condition:
            streams = self._streams.values()
            return sum(stream.pages.expected + stream.pages.in_flight for stream in streams)

    # All below is called with the condition held, but for `_fetch` in a thread. In the main
    # thread, `_fetch` holds it a second time, which a condition allows.

    def _dispatch(self) -> None:
        """Request what may be requested ahead."""
        for name, stream in self._streams.items():
            while self._is_room_ahead() and (position := stream.pages.next_due()) is not None:
                self._start(name, position)

    def _is_room_ahead(self) -> bool:
        waiting = sum(stream.pages.waiting for stream in self._streams.values())
        return waiting + len(self._threads) < self._budget and self._may_start()

    def _may_start(self) -> bool:
        return (
            self._failure is None
            and len(self._threads) < self._concurrency
            and self._head_start_left() is None
        )

    def _head_start_left(self) -> float | None:
        """Return for how many seconds the run's first request goes on alone; None: it does not.

        So a wrong key is refused once, not by every request in flight.
        """
        if self._first_answered or self._first_started is None:
            return None
        left = self._first_started + HEAD_START - time.monotonic()
        return left if left > 0 else None

    def _start(self, stream: str, position: Position) -> None:
        """Request a page in a thread of its own; in this one if none can be started."""
        request = self._streams[stream].pages.request(position)
        thread = threading.Thread(target=self._fetch, args=(stream, request), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads can be started: make do with those that run
            self._concurrency = max(1, len(self._threads))
            if self._threads:
                self._streams[stream].pages.put_back(request)
            else:
                self._fetch(stream, request)  # in this thread
            return
        self._threads.add(thread)
        if self._first_started is None:
            self._first_started = time.monotonic()

    def _fetch(self, stream: str, request: Request) -> None:
        """Fetch one page; runs in a thread of its own where one can be started."""
        asked = self._streams[stream]
        result: FetchedPage | StreamFailedError | None = None
        failure: BaseException | None = None
        try:
            query = request.position.query(self._limit)
            result = self._transport.fetch(asked.endpoint, query, asked.stats)
        except StreamFailedError as error:
            result = error
        except BaseException as error:  # noqa: BLE001 - raised again where pages are asked for
            failure = error
        with self._condition:
            self._threads.discard(threading.current_thread())
            self._first_answered = True
            self._failure = self._failure or failure
            if result is not None:
                # The page that `predict` names is expected from now on.
                asked.pages.arrive(request, result)
            self._dispatch()
            self._condition.notify_all()
