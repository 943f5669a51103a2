"""Where a sync is: a log line now and then."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tap_litmos.wording import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_litmos.tap import TapLitmos

SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def log_progress(tap: TapLitmos) -> Iterator[None]:
    """Log where a sync is as long as it runs.

    Args:
        tap: The tap that runs.
    """
    started, windows, stopped = time.monotonic(), tap.readers.windows_left, threading.Event()

    def log() -> None:
        while not stopped.wait(SECONDS_BETWEEN_LINES):
            tap.logger.info("%s", progress_line(tap, windows, time.monotonic() - started))

    threading.Thread(target=log, daemon=True).start()
    try:
        yield
    finally:
        stopped.set()


def progress_line(tap: TapLitmos, windows: int, elapsed: float) -> str:
    """Return how far a sync is.

    Args:
        tap: The tap that runs.
        windows: How many windows there are in all.
        elapsed: Seconds since it started.
    """
    left, streams = tap.readers.windows_left, list(tap.summary.streams.items())
    pace = max(60 / tap.config["requests_per_minute"], elapsed / max(windows - left, 1))
    rows = sum(stats.rows for _, stats in streams)
    reading = f"reading {streams[-1][0]}, " if streams else ""
    return (
        f"{100 * (windows - left) // max(windows, 1)}%, about {left * pace / 60:.0f} min and "
        f"{pluralize(left, 'window')} left, {reading}{pluralize(rows, 'row')} so far"
    )
