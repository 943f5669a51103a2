"""Where a sync is: a line that moves on a terminal, elsewhere a log line now and then."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

from tap_litmos.wording import counted, duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from tap_litmos.rate import RateLimit
    from tap_litmos.summary import RunSummary

EVERY = 15.0
"""Seconds between two log lines."""

_REFRESH = 0.5
"""Seconds between two changes of the line on a terminal."""

_LONG_WAIT = 2.0
"""Seconds; shorter waits for the rate limit are how requests are spread over a minute."""


class Progress:
    """Shows how far a run is; a context manager."""

    def __init__(
        self,
        summary: RunSummary,
        rate: RateLimit,
        *,
        requests_left: Callable[[], int],
        logger: logging.Logger,
    ) -> None:
        """Prepare; nothing is shown yet.

        Args:
            summary: What was read so far.
            rate: The rate limit, which all requests pass.
            requests_left: Returns how many requests are known to be needed.
            logger: Where lines go.
        """
        self._summary = summary
        self._rate = rate
        self._left = requests_left
        self._show: Callable[[str], None] = logger.info
        self._every = EVERY
        self._at: tuple[str, str] | None = None
        self._started = time.monotonic()
        self._stopped = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._terminal = contextlib.ExitStack()

    def reached(self, stream: str, window: str) -> None:
        """Note which window of a stream that the summary knows is being written."""
        self._at = stream, window

    def __enter__(self) -> Self:
        """Begin to show."""
        if sys.stderr.isatty():
            self._use_terminal()
        # Where no thread can be started, nothing is shown.
        with contextlib.suppress(RuntimeError):
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Show no more."""
        self._stopped.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self._terminal.close()

    def _use_terminal(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - costs time, and the start counts
        from rich.live import Live  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        console = Console(file=sys.stderr)
        if not console.is_interactive:  # it could not erase the line
            return
        # What would take the place of stdout does not flush it.
        live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
                handler.setStream(_AboveLine(console))
                self._terminal.callback(handler.setStream, sys.stderr)
        self._terminal.enter_context(live)
        self._every = _REFRESH
        self._show = lambda line: live.update(
            Text(line, no_wrap=True, overflow="ellipsis"), refresh=True
        )

    def _tick(self) -> None:
        while not self._stopped.wait(self._every):
            self._show(self.line())

    def line(self) -> str:
        """Return how far the run is; a terminal may cut what comes last."""
        at = self._at  # read before the streams, so that its stream is among them
        streams = dict(self._summary.streams)
        sent = sum(stats.requests for stats in streams.values())
        done = sent - sum(stats.retries for stats in streams.values())
        left = self._left()
        elapsed = time.monotonic() - self._started
        per_request = max(60 / self._rate.requests_per_minute, elapsed / max(sent, 1))
        parts = [
            f"{100 * done // max(done + left, 1)}%",
            f"{duration(left * per_request)} and {counted(left, 'request')} left",
        ]
        if at is not None:
            parts.append(f"stream {list(streams).index(at[0]) + 1} of {len(streams)}")
        if (wait := self._rate.waiting) >= _LONG_WAIT:
            parts.append(f"waiting {wait:.0f} s for the rate limit")
        if at is not None:
            parts.append(f"{at[0]} {at[1][:10]}")
        parts.append(counted(sum(stats.rows for stats in streams.values()), "row"))
        return ", ".join(parts)


class _AboveLine(io.TextIOBase):
    """Writes whole lines above the one that moves, however long they are."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str, /) -> int:
        from rich.text import Text  # noqa: PLC0415

        self._console.print(Text(text.removesuffix("\n")), soft_wrap=True)
        return len(text)
