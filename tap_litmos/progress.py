"""Where a sync is: a bar on a terminal, elsewhere a log line every 30 seconds."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from tap_litmos.summary import RunSummary

EVERY = 30.0
"""Seconds between two log lines."""

_REFRESH = 0.5


def duration(seconds: float) -> str:
    """Return a span of time in words, rounded."""
    if seconds < 60:  # noqa: PLR2004
        return "less than a minute"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class Progress:
    """Shows stream, date reached, rows, requests a minute and the time left.

    The time left is what the requests that are still needed take at the allowed rate.
    """

    def __init__(
        self,
        summary: RunSummary,
        *,
        requests_per_minute: int,
        requests_left: Callable[[], int],
        logger: logging.Logger,
    ) -> None:
        """Prepare; nothing is shown yet.

        Args:
            summary: What was read so far.
            requests_per_minute: The allowed rate.
            requests_left: Returns how many requests are known to be needed.
            logger: Where lines go.
        """
        self._summary = summary
        self._rate = requests_per_minute
        self._left = requests_left
        self._logger = logger
        self._at = ""
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._stopped = threading.Event()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._handlers: list[logging.StreamHandler[Any]] = []
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def reached(self, stream: str, window: str) -> None:
        """Show the window that is being written."""
        self._at = f"{stream} {window[:10]}"

    def __enter__(self) -> Self:
        """Begin to show."""
        if sys.stderr.isatty():
            self._show_bar()
        # Where no thread can be started, nothing is shown.
        with contextlib.suppress(RuntimeError):
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Show no more."""
        self._stopped.set()
        if self._ticker.is_alive():
            self._ticker.join()
        if self._bar is not None:
            self._bar.stop()
            for handler in self._handlers:
                handler.setStream(sys.stderr)

    def _show_bar(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - costs time, and the start counts
        from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415

        real = sys.stderr
        console = Console(file=real)
        columns = (BarColumn(bar_width=10), TextColumn("{task.description}", markup=False))
        # What would take the place of stdout does not flush it.
        self._bar = Bar(*columns, console=console, transient=True, redirect_stdout=False)
        self._task = self._bar.add_task("starting")
        self._bar.start()
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is real:
                handler.setStream(_AboveBar(console))
                self._handlers.append(handler)

    def _tick(self) -> None:
        while not self._stopped.wait(_REFRESH if self._bar else EVERY):
            left = self._left()
            requests = sum(each.requests for each in list(self._summary.streams.values()))
            rows = sum(each.rows for each in list(self._summary.streams.values()))
            pace = self._pace(requests)
            to_go = duration(60 * left / self._rate)
            if self._bar is None or self._task is None:
                self._logger.info(
                    "%s: %s rows, %.0f requests a minute, %s requests to go, %s left",
                    self._at,
                    f"{rows:,}",
                    pace,
                    f"{left:,}",
                    to_go,
                )
            else:
                # It shares 80 columns with the bar.
                short = to_go.replace("less than a minute", "<1 min")
                line = f"{self._at}, {rows:,} rows, {pace:.0f}/min, {short} left"
                total = requests + left
                self._bar.update(self._task, description=line, completed=requests, total=total)

    def _pace(self, requests: int) -> float:
        """Return the requests a minute of the last minute."""
        now = time.monotonic()
        while len(self._samples) > 1 and self._samples[0][0] < now - 60:
            self._samples.popleft()
        before, count = self._samples[0]
        self._samples.append((now, requests))
        return 60 * (requests - count) / max(now - before, 60)


class _AboveBar(io.TextIOBase):
    """Writes whole lines above the bar, however long they are."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str, /) -> int:
        from rich.text import Text  # noqa: PLC0415

        self._console.print(Text(text.removesuffix("\n")), soft_wrap=True)
        return len(text)
