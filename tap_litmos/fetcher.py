"""Fetching ahead: pages are requested before their turn, and handed out in order.

Every window needs its first page, and every full page its successor, so both can be in flight
before they are asked for, across windows and across streams. Nothing is requested that a
tap going one step at a time would not request, unless rows move.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_litmos.errors import StreamFailedError, TransportClosedError
from tap_litmos.windows import Position, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_litmos.declaration import Endpoint
    from tap_litmos.transport import FetchedPage, Stats, Transport

HEAD_START = 0.5
"""Seconds that the first request of a run goes alone: a wrong key is refused once."""

CLOSING = 2.0
"""Seconds to wait at most, when a run ends early, for requests to be cut off."""

PAGES_AHEAD = 4
"""Pages held as bytes beyond those that may be in flight."""


@dataclass(eq=False, slots=True)
class Job:
    """What to fetch for one stream.

    Attributes:
        endpoint: Where.
        windows: What, oldest first; `[None]` for an endpoint without dates.
        meter: Whom to tell of requests.
        one_page: Whether the first page of each window is enough.
    """

    endpoint: Endpoint
    windows: Sequence[Window | None]
    meter: Stats
    one_page: bool = False


@dataclass(eq=False, slots=True)
class _Chain:
    """The pages of one window, one after another."""

    job: Job
    next: Position
    guesses: bool = True
    ready: deque[tuple[Position, FetchedPage | StreamFailedError]] = field(
        default_factory=deque
    )
    in_flight: Position | None = None
    received: bool = False
    done: bool = False

    @property
    def is_open(self) -> bool:
        window = self.next.window
        return window is not None and window.is_open


class Fetcher:
    """Hands out the pages of all jobs, and keeps the allowed number of requests in flight.

    A stream's open window is requested after all its earlier windows have been received: a
    row that changes meanwhile leaves an earlier window for it.
    """

    def __init__(
        self, transport: Transport, jobs: Iterable[Job], *, limit: int, concurrency: int
    ) -> None:
        """Prepare; nothing is requested before the first page is asked for.

        Args:
            transport: What to fetch with.
            jobs: What to fetch, in the order in which it will be asked for.
            limit: Rows to ask for at once.
            concurrency: How many requests may be in flight; 1 fetches nothing ahead.
        """
        self._transport = transport
        self._limit = limit
        self._concurrency = concurrency
        self._budget = concurrency + PAGES_AHEAD if concurrency > 1 else 0
        self._chains = {
            (job.endpoint.stream, window): _Chain(
                job, Position(window), guesses=not job.one_page
            )
            for job in jobs
            for window in job.windows
        }
        self._queue = deque(self._chains.values())
        self._changed = threading.Condition()
        self._wanted: _Chain | None = None
        self._held = 0
        self._threads: set[threading.Thread] = set()
        self._failed: set[Job] = set()
        self._failure: BaseException | None = None
        self._first_started: float | None = None
        self._first_answered = False

    def page(self, stream: str, position: Position) -> FetchedPage:
        """Return a page, waiting for it if need be.

        Args:
            stream: The stream.
            position: The page. Positions are asked for in order, window by window.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            RunFailedError: If nothing can be fetched any more.
        """
        with self._changed:
            chain = self._chains[stream, position.window]
            self._wanted = chain
            while True:
                if self._failure is not None:
                    raise self._failure
                if chain.ready and chain.ready[0][0] == position:
                    break
                expected = chain.in_flight or chain.next
                if expected != position or chain.ready or chain.received:
                    self._restart(chain, position)
                self._changed.wait(self._dispatch())
            self._wanted = None
            _, answer = chain.ready.popleft()
            self._held -= 1
            self._dispatch()
        if isinstance(answer, StreamFailedError):
            raise answer
        return answer

    def finish(self, stream: str, window: Window | None) -> None:
        """Take note that no more pages of a window will be asked for."""
        with self._changed:
            self._discard(self._chains[stream, window])
            self._dispatch()

    def drop(self, stream: str) -> None:
        """Take note that no more pages of a stream will be asked for."""
        with self._changed:
            for (name, _), chain in self._chains.items():
                if name == stream:
                    self._discard(chain)
            self._dispatch()

    def close(self) -> None:
        """Stop all requests at once, and wait until their threads have ended."""
        with self._changed:
            self._failure = self._failure or TransportClosedError()
            threads = list(self._threads)
        self._transport.close()
        deadline = time.monotonic() + CLOSING
        # A signal may have come before one of them was started.
        for thread in filter(threading.Thread.is_alive, threads):
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def requests_left(self) -> int:
        """Return how many requests are known to be needed still."""
        with self._changed:
            return sum(not chain.received and not chain.done for chain in self._chains.values())

    def _discard(self, chain: _Chain) -> None:
        chain.done = chain.received = True
        self._held -= len(chain.ready)
        chain.ready.clear()

    def _restart(self, chain: _Chain, position: Position) -> None:
        """Go on otherwise than expected, as rows have moved.

        They may have moved into the open window after it was requested, which is then
        requested anew.
        """
        chain.received = False
        self._held -= len(chain.ready)
        chain.ready.clear()
        chain.next, chain.in_flight, chain.guesses = position, None, False
        for other in self._chains.values():
            if other.job is chain.job and other.is_open and other is not chain:
                self._held -= len(other.ready)
                other.ready.clear()
                other.next, other.in_flight = Position(other.next.window), None
                other.received = False

    def _dispatch(self) -> float | None:
        """Start what may be started; return after how many seconds to look again, if ever."""
        while self._queue and self._queue[0].done:
            self._queue.popleft()
        wanted = self._wanted
        if wanted is not None and not wanted.ready and self._may_start():
            self._start(wanted, wanted=True)
        for chain in self._queue:
            if self._held + len(self._threads) >= self._budget or not self._may_start():
                break
            self._start(chain)
        return self._alone_for()

    def _may_start(self) -> bool:
        return (
            self._failure is None
            and len(self._threads) < self._concurrency
            and self._alone_for() is None
        )

    def _alone_for(self) -> float | None:
        """Return for how many seconds the first request is to stay alone, if it still is."""
        if self._first_answered or self._first_started is None:
            return None
        left = self._first_started + HEAD_START - time.monotonic()
        return left if left > 0 else None

    def _start(self, chain: _Chain, *, wanted: bool = False) -> None:
        """Request a chain's next page if it is needed, and its turn or safe to fetch ahead."""
        if chain.in_flight or chain.received:
            return
        ahead_of_turn = not wanted and (
            chain.job in self._failed
            or (chain.next.offset and not chain.guesses)
            or (chain.is_open and self._awaits_earlier(chain))
        )
        if ahead_of_turn:
            return
        if self._first_started is None:
            self._first_started = time.monotonic()
        chain.in_flight = chain.next
        thread = threading.Thread(target=self._fetch, args=(chain, chain.next), daemon=True)
        self._threads.add(thread)
        thread.start()

    def _awaits_earlier(self, chain: _Chain) -> bool:
        return any(
            other.job is chain.job and not other.received
            for other in self._chains.values()
            if other is not chain
        )

    def _fetch(self, chain: _Chain, position: Position) -> None:
        """Fetch one page; runs in a thread of its own."""
        answer: FetchedPage | StreamFailedError | None = None
        failure: BaseException | None = None
        params: dict[str, str | int] = {"start": position.offset, "limit": self._limit}
        if position.window:
            params["since"] = f"{position.window.since:%Y-%m-%d %H:%M:%S}"
            params["to"] = f"{position.window.to:%Y-%m-%d %H:%M:%S}"
        try:
            answer = self._transport.fetch(chain.job.endpoint, params, chain.job.meter)
        except StreamFailedError as error:
            answer = error
        except BaseException as error:  # noqa: BLE001 - raised again where pages are asked for
            failure = error
        with self._changed:
            self._threads.discard(threading.current_thread())
            self._first_answered = True
            self._failure = self._failure or failure
            if answer is not None and chain.in_flight is position and not chain.done:
                self._take(chain, position, answer)
            self._dispatch()
            self._changed.notify_all()

    def _take(
        self, chain: _Chain, position: Position, answer: FetchedPage | StreamFailedError
    ) -> None:
        chain.in_flight = None
        chain.ready.append((position, answer))
        self._held += 1
        chain.next = position.following(self._limit)
        if isinstance(answer, StreamFailedError):
            self._failed.add(chain.job)
            chain.received = True
        else:
            chain.received = chain.job.one_page or answer.body.rows < self._limit
