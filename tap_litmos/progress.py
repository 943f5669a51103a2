"""Where a sync is: a log line now and then."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from tap_litmos.wording import duration, pluralize

if TYPE_CHECKING:
    from tap_litmos.tap import TapLitmos

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Logs how far a run is; a context manager."""

    def __init__(self, tap: TapLitmos) -> None:
        """Prepare; nothing is logged yet.

        Args:
            tap: The tap that runs.
        """
        self._tap = tap
        self._windows = tap.readers.windows_left
        self._started = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        """Begin to log."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Log no more."""
        self._stopped.set()
        self._thread.join()

    def _tick(self) -> None:
        while not self._stopped.wait(SECONDS_BETWEEN_LINES):
            self._tap.logger.info("%s", self.line())

    def line(self) -> str:
        """Return how far the run is."""
        streams, left = list(self._tap.summary.streams.items()), self._tap.readers.windows_left
        done, elapsed = self._windows - left, time.monotonic() - self._started
        per_window = max(60 / self._tap.config["requests_per_minute"], elapsed / max(done, 1))
        parts = [
            f"{100 * done // max(self._windows, 1)}%",
            f"{duration(left * per_window)} and {pluralize(left, 'window')} left",
            *(f"reading {name}" for name, _ in streams[-1:]),
            pluralize(sum(stats.rows for _, stats in streams), "row"),
        ]
        return ", ".join(parts)
