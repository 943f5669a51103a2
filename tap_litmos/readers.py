"""Reads windows side by side, and hands out their rows in the order of the plan.

One thread reads one window from its first page to its last into a small queue. The main thread
writes the rows, and reads a window itself if no thread has begun it.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from itertools import islice
from queue import Empty, Queue
from typing import TYPE_CHECKING, cast

from tap_litmos.rows import WITHOUT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pendulum import DateTime
    from singer_sdk.helpers.types import Record

    from tap_litmos.client import LitmosStream
    from tap_litmos.paginator import WindowPaginator
    from tap_litmos.windows import Window

_ROWS_AT_ONCE = 500
_MAX_CHUNKS = 2
"""How many times as many rows wait in the queue of a window."""

_MAX_ROWS_WAITING = 5000
"""If fewer rows wait to be written, another window is begun."""


class Job:
    """A window to read, and what became of it.

    Attributes:
        stream: Whose window it is.
        window: The window.
        readings: What the paginator found out, by reading; complete once the rows are.
        is_proved: Whether it is proved that every row came.
        is_begun: Whether somebody reads it, or has read it.
        is_over: Whether the reading has ended.
        is_dropped: Whether nobody wants its rows any more, as its stream failed.
        error: What ended the reading. None: nothing did.
        queue: The rows that a thread has read, in chunks; an empty chunk is the end.
    """

    def __init__(self, stream: LitmosStream, window: Window) -> None:
        """Make a job that nobody has begun."""
        self.stream = stream
        self.window = window
        self.readings: list[WindowPaginator] = []
        self.is_proved = self.is_begun = self.is_over = self.is_dropped = False
        self.error: BaseException | None = None
        self.queue: Queue[list[Record]] = Queue(_MAX_CHUNKS)

    @property
    def requested_at(self) -> DateTime:
        """When its first page was requested (UTC)."""
        return cast("DateTime", self.readings[0].requested_at)

    @property
    def rows_without_key(self) -> int:
        """How many rows were skipped, as they had no primary key."""
        return sum(reading.findings.count(WITHOUT_KEY) for reading in self.readings)


class Readers:
    """The windows of all streams, in the order of the plan, and the threads that read them."""

    def __init__(self, plan: Mapping[LitmosStream, Sequence[Window]], concurrency: int) -> None:
        """Prepare; nothing is read yet.

        Args:
            plan: The windows, by stream.
            concurrency: The most requests in flight; 1 reads all in the main thread.
        """
        self._jobs = {
            stream: deque(Job(stream, window) for window in windows)
            for stream, windows in plan.items()
        }
        self._slots = threading.Semaphore(concurrency)  # a reader that waits for room has none
        self._answering: set[LitmosStream] = set()
        self._rows_waiting = 0
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"reader {number}")
            for number in range(concurrency if concurrency > 1 else 0)
        ]

    @property
    def windows_left(self) -> int:
        """How many windows are not written yet."""
        return sum(map(len, self._jobs.values()))

    def next_job(self, stream: LitmosStream) -> Job:
        """Return the next job of a stream, whose rows are written now."""
        return self._jobs[stream][0]

    def rows(self, job: Job) -> Iterator[Record]:
        """Yield the rows of a stream's next job.

        Raises:
            Exception: Whatever ended the reading.
        """
        while self._threads:
            self._threads.pop().start()
        with self._changed:
            is_mine, job.is_begun = not job.is_begun, True
        if is_mine:
            with self._slots:
                yield from job.stream.read_window(job)
        else:
            while rows := job.queue.get():
                self._count(-len(rows))
                yield from rows
        if job.error is not None:
            raise job.error
        with self._changed:
            self._jobs[job.stream].popleft()
            self._finish(job)

    def drop(self, stream: LitmosStream) -> None:
        """Give up the windows of a stream that are left."""
        with self._changed:
            jobs, self._jobs[stream] = self._jobs[stream], deque()
            for job in jobs:
                job.is_dropped = True
            self._changed.notify_all()
        for job in jobs:
            with suppress(Empty):
                while True:
                    self._count(-len(job.queue.get_nowait()))  # makes room for its thread

    def _count(self, rows: int) -> None:
        """Count rows that begin to wait, or that no longer do."""
        with self._changed:
            self._rows_waiting += rows
            self._changed.notify_all()

    def _finish(self, job: Job) -> None:
        job.is_over = True
        if job.error is None:
            self._answering.add(job.stream)
        self._changed.notify_all()

    def _work(self) -> None:
        """Read one window after another; runs in a thread of its own."""
        while True:
            with self._changed:
                while (job := self._next_due()) is None:
                    if not self.windows_left:
                        return
                    self._changed.wait()
                job.is_begun = True
            try:
                rows = islice(job.stream.read_window(job), job.stream.ABORT_AT_RECORD_COUNT)
                while (chunk := self._next_chunk(rows)) and not job.is_dropped:
                    self._count(len(chunk))
                    job.queue.put(chunk)
            except BaseException as error:  # noqa: BLE001 - `rows` raises it again
                job.error = error
            with self._changed:
                self._finish(job)
            job.queue.put([])  # the end; whether it is a good one, `error` says

    def _next_chunk(self, rows: Iterator[Record]) -> list[Record]:
        with self._slots:
            return list(islice(rows, _ROWS_AT_ONCE))

    def _next_due(self) -> Job | None:
        """Return the next window to begin, None if there is none now."""
        if self._rows_waiting >= _MAX_ROWS_WAITING:
            return None
        due = (self._next_of(stream, jobs) for stream, jobs in self._jobs.items())
        return next(filter(None, due), None)

    def _next_of(self, stream: LitmosStream, jobs: deque[Job]) -> Job | None:
        """Return the stream's next window to begin, None if it must wait.

        Until a window of a stream has come, only one is asked for: an endpoint that refuses is
        asked once. An open window begins when those before it are over, those behind it after
        it: a row that changes moves from them into it.
        """
        is_waiting = False
        for job in jobs:
            if job.error is not None:
                return None
            if not job.is_begun:
                is_alone = job.window.is_open or stream not in self._answering
                return None if is_waiting and is_alone else job
            if not job.is_over:
                if job.window.is_open:
                    return None
                is_waiting = True
        return None
