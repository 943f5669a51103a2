"""The rate limit: when the next request may go out.

Litmos allows 100 requests a minute for a key (the document); every program with the key shares
them.
"""

from __future__ import annotations

import hashlib
import logging
import math
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tap_litmos.errors import RunFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("tap-litmos")

MARGIN = 61 / 60
"""Litmos' minute is counted as this many, as requests arrive with delays that differ."""

SLOWDOWN = 0.7
"""The share of the rate that is left after a refusal; it grows by 1/60 of the rate a minute."""


def next_turn(turns: Sequence[float], rate: int, span: float, min_burst: int) -> float:
    """Return the earliest send time; `-inf` if there is no need to wait.

    A burst goes out at once, and the other `rate - burst` requests of a span are spread over
    it. So any `n` turns take at least `span * (n - burst) / (rate - burst)`; where `n` is more
    than `rate`, at least `span * n / rate`. No half-open span ever holds more than `rate`.

    Args:
        turns: When requests went out in the last two spans, oldest first.
        rate: The most requests in a span.
        span: Its length, in the unit of `turns`.
        min_burst: The least that may go out at once.
    """
    burst = min(max(min_burst, rate // 3), rate - 1)  # something has to be left to spread

    def least(n: int) -> float:
        """Return the least time that n turns take."""
        return span * min((n - burst) / (rate - burst), n / rate)

    counts = range(max(burst, 1), min(len(turns), 2 * rate) + 1)
    return max((turns[-n] + least(n) for n in counts), default=-math.inf)


class RateLimit:
    """Gives each request its turn; safe to use from several threads and processes.

    Turns are kept in a SQLite database: in memory, or in a file that processes share.

    Attributes:
        slowdowns: How often a smaller share was taken.
    """

    def __init__(
        self, rate: int, *, file: str | None, key: str, min_burst: int, minute: float = 60.0
    ) -> None:
        """Prepare; the database is opened when the first request waits for its turn.

        Args:
            rate: The most requests in any minute.
            file: Path of a file that all processes with the key share. None: no file.
            key: The API key; the file holds only a hash of it.
            min_burst: The least requests that may go out at once.
            minute: How long a minute takes, in seconds.
        """
        self.slowdowns = 0
        self._rate = self._share = float(rate)
        self._share_since = self._paused_until = -math.inf
        self._min_burst = min_burst
        self._minute, self._span = minute, minute * MARGIN
        self._lock = threading.Lock()
        self._table = "key_" + hashlib.sha256(key.encode()).hexdigest()[:16]
        self._path = str(Path(file).expanduser()) if file else ":memory:"
        self._db: sqlite3.Connection | None = None

    def acquire(self) -> None:
        """Wait until a request may go out.

        Raises:
            RunFailedError: If the file cannot be used.
        """
        with self._lock:  # the others wait behind this one
            try:
                self._db = self._db or self._connect()
                while (wait := self._take(self._db)) > 0:
                    time.sleep(min(wait, self._minute / 12))
            except (sqlite3.Error, TypeError) as error:
                text = f"rate_limit_file is unusable ({error})"
                raise RunFailedError(f"{text}. Delete the file, or choose another path") from None

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA synchronous = OFF")
        db.execute(f"CREATE TABLE IF NOT EXISTS {self._table} (at REAL)")
        return db

    def refused(self, wait: float) -> None:
        """Pause all requests, and take a smaller share: another program uses the key.

        Args:
            wait: Seconds to pause.
        """
        now = time.time()
        self._paused_until = max(self._paused_until, now + wait)
        if now < self._share_since + self._minute / 2:
            return  # one of several that were in flight together
        if not self.slowdowns:
            logger.warning("Litmos refused a request for its rate: slowing down for a while")
        self.slowdowns += 1
        self._share, self._share_since = max(SLOWDOWN * self._allowed(now), 1.0), now

    def _allowed(self, now: float) -> float:
        """Return how many requests a minute may go out at present."""
        minutes = max(now - self._share_since, 0.0) / self._minute
        return min(self._rate, self._share + self._rate / 60 * minutes)

    def _take(self, connection: sqlite3.Connection) -> float:
        """Take the turn if it has come; otherwise return how many seconds to wait."""
        with connection as db:
            db.execute("BEGIN IMMEDIATE")  # one process at a time
            now = time.time()
            db.execute(  # a turn in the future comes from a clock that was set back since
                f"DELETE FROM {self._table} WHERE at < ? OR at > ?",  # noqa: S608
                (now - 2 * self._span, now + self._minute / 60),
            )
            turns = [at for (at,) in db.execute(f"SELECT at FROM {self._table} ORDER BY at")]  # noqa: S608
            rate = int(self._allowed(now))
            turn = next_turn(turns, rate, self._span, self._min_burst)
            wait = max(turn, self._paused_until) - now
            if wait <= 0:
                db.execute(f"INSERT INTO {self._table} VALUES (?)", (now,))  # noqa: S608
            return wait
