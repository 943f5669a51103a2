"""The rate limit: when the next request may go out.

Litmos allows 100 requests a minute for a key (the document). Whoever has the key shares them.
"""

from __future__ import annotations

import hashlib
import logging
import math
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from tap_litmos.patience import LONGEST_RETRY_AFTER
from tap_litmos.streams import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")

logger = logging.getLogger("tap-litmos")

MINUTE = 60.0
"""The span of Litmos' rate limit in seconds."""

BURST = len(ENDPOINTS)
"""The least that may go out at once: what an up-to-date sync of all streams needs."""

HOLD = 10
"""Minutes for which a smaller share is kept after Litmos refused requests."""

LONGEST_PAUSE = LONGEST_RETRY_AFTER + 1
"""Minutes; a pause in the shared file that is longer comes from a wrong clock."""

LOCKED = 5.0
"""Seconds to wait for other processes to release the shared file."""


def next_turn(turns: Sequence[float], rate: int, span: float) -> float:
    """Return when the next request may go out, `-inf` if it could have gone long ago.

    A burst goes out at once, and the other `rate - burst` requests of a span are spread over
    it. So any `n` turns take at least `span * (n - burst) / (rate - burst)`; where `n` is more
    than `rate`, at least `span * n / rate`. No half-open span ever holds more than `rate`.

    Args:
        turns: When requests went out in the last two spans, oldest first.
        rate: The most requests in a span.
        span: Its length, in the unit of `turns`.
    """
    burst = min(max(BURST, rate // 3), rate - 1)  # something has to be left to spread

    def least(n: int) -> float:
        """Return the least time that n turns take."""
        return span * min((n - burst) / (rate - burst), n / rate)

    counts = range(max(burst, 1), min(len(turns), 2 * rate) + 1)
    return max((turns[-n] + least(n) for n in counts), default=-math.inf)


class RateLimit:
    """Gives each request of this process its turn; safe to use from several threads.

    If Litmos refuses requests although the rate was kept, another client uses the key. The
    limit then lowers its rate to what was served, but to no less than half of the rate before,
    and after some minutes raises it by a twentieth with every minute.

    Attributes:
        requests_per_minute: The most requests in any minute.
        slowdowns: How often a smaller share was taken.
        refusals: How many requests Litmos refused for its rate, or for a moment.
    """

    def __init__(
        self,
        requests_per_minute: int,
        *,
        file: str | None = None,
        key: str = "",
        minute: float = MINUTE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the shared file, if there is one.

        Args:
            requests_per_minute: The most requests in any minute.
            file: Path of a file that all processes with the key share.
            key: The API key; the file holds only a hash of it.
            minute: How long a minute takes, in seconds.
            sleep: Waits for so many seconds; what it raises ends the waiting.
            clock: Tells the time in seconds.
        """
        self.slowdowns = self.refusals = 0
        self._minute = minute
        self._sleep = sleep
        self._clock = clock
        self.requests_per_minute = requests_per_minute
        # The margin keeps the promise on the server's side too, where requests arrive with
        # delays that differ.
        self._span = minute * (1 + 1 / 60)
        self._queue = threading.Lock()
        self._lock = threading.Lock()
        self._turns: list[float] = []
        self._refused_at: list[float] = []
        self._pause_until = -math.inf
        self._share: float = requests_per_minute
        self._share_since = -math.inf
        self._waiting_until = -math.inf
        self._shared: _SharedTurns | None = None
        if file is not None:
            try:
                self._shared = _SharedTurns(file, key, minute, self._span)
            except (sqlite3.Error, ValueError) as error:
                self._do_without_file(error)

    @property
    def waiting(self) -> float:
        """For how many seconds the next request waits for its turn; 0.0 if none does."""
        return max(0.0, self._waiting_until - self._clock())

    def wait_for_turn(self) -> None:
        """Wait until a request may go out."""
        with self._queue:
            while (wait := self._take()) > 0:
                self._waiting_until = self._clock() + wait
                # Look again after 5 seconds: other processes may pause or slow down all.
                self._sleep(min(wait, self._minute / 12))
            self._waiting_until = -math.inf

    def refused(self) -> None:
        """Note that Litmos refused a request for its rate: it was not served."""
        with self._lock:
            self.refusals += 1
            self._refused_at.append(self._clock())
            # A refusal counts as a pause of no length.
            self._with_file(lambda shared: shared.pause(0.0, None), None)

    def pause(self, seconds: float, *, limited: bool) -> None:
        """Let all requests wait.

        Args:
            seconds: For how long.
            limited: Whether that is because Litmos' limit is reached.
        """
        with self._lock:
            now = self._clock()
            share = None
            # Of a batch of refusals only the first slows down: the rest were in flight with it.
            if limited and now >= self._pause_until:
                share = self._served(now)
                self._slow_down(share, now)
            self._pause_until = max(self._pause_until, now + seconds)
            self._with_file(lambda shared: shared.pause(seconds, share), None)

    def close(self) -> None:
        """Close the shared file."""
        with self._lock:
            if self._shared is not None:
                self._shared.close()
                self._shared = None

    def _take(self) -> float:
        """Take the turn if it has come; return for how many seconds to wait otherwise."""
        with self._lock:
            now = self._clock()
            rate = self._allowed(now)
            wait = max(self._pause_until, next_turn(self._turns, rate, self._span)) - now
            if wait <= 0:
                wait = self._with_file(lambda shared: shared.take(rate), 0.0)
                news = self._with_file(_SharedTurns.new_share, None)
                if news is not None:
                    share, age = news
                    self._slow_down(share, now - age)
            if wait <= 0:
                self._turns.append(self._clock())
                for times in (self._turns, self._refused_at):
                    while times and times[0] < now - 2 * self._span:
                        times.pop(0)
            return wait

    def _with_file(self, ask: Callable[[_SharedTurns], _T], otherwise: _T) -> _T:
        """Return what the shared file says, or `otherwise` if there is none that works."""
        if self._shared is None:
            return otherwise
        try:
            return ask(self._shared)
        except (sqlite3.Error, TypeError, ValueError) as error:  # a damaged file
            self._do_without_file(error)
            return otherwise

    def _do_without_file(self, error: Exception) -> None:
        """Go on with the turns of this process, which are counted in any case."""
        logger.warning(
            "Cannot use rate_limit_file (%s): other processes that use it are not taken into "
            "account for the rest of this run",
            error,
        )
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    def _allowed(self, now: float) -> int:
        """Return how many requests a minute may go out at present."""
        # In 100 minutes any share has grown to the rate; more would overflow.
        minutes = min(max(0.0, (now - self._share_since) / self._minute - HOLD), 100.0)
        return max(1, int(min(self.requests_per_minute, self._share * 1.05**minutes)))

    def _served(self, now: float) -> float:
        """Return the share of Litmos' limit that this key's other users seem to leave."""
        refused = sum(moment > now - self._span for moment in self._refused_at)
        own = sum(moment > now - self._span for moment in self._turns)
        served = self._with_file(_SharedTurns.served, own - refused)
        # A little less than was served. Refusals for another reason must not stop the run: no
        # share is less than half of the one before, or than a tenth of the rate. The three
        # numbers are chosen, not measured.
        return max(0.97 * served, self._allowed(now) / 2, self.requests_per_minute / 10)

    def _slow_down(self, share: float, since: float) -> None:
        if share < self.requests_per_minute:
            if not self.slowdowns:
                logger.warning(
                    "Another client uses this key: slowing down to %.0f requests a minute",
                    share,
                )
            self.slowdowns += 1
        self._share, self._share_since = share, since


class _SharedTurns:
    """The turns of all processes with a key, in a SQLite database.

    Each row is a turn, a refusal or a pause. Of a turn, `until` is null; of a refusal, it is
    the same as `at`; of a pause, it is its end, and `share` is the share that is left, if that
    is known. Times are those of the wall clock. `BEGIN IMMEDIATE` lets one process at a time
    look and write.
    """

    def __init__(self, path: str, key: str, minute: float, span: float) -> None:
        """Open or make the database.

        Raises:
            sqlite3.Error: If it cannot be used, as from all other methods.
        """
        self._minute, self._span = minute, span
        self._known_share = -math.inf
        # The name must not tell the key.
        self._table = "key_" + hashlib.sha256(key.encode()).hexdigest()[:16]
        self._db = sqlite3.connect(
            path, timeout=LOCKED, isolation_level=None, check_same_thread=False
        )
        try:
            # What a power failure could break counts for some minutes only.
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table} (at REAL, until REAL, share REAL)"
            )
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def take(self, rate: int) -> float:
        """Take a turn if it has come; return for how many seconds to wait otherwise."""
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            now = time.time()
            self._clean_up(now)
            rows = db.execute(
                f"SELECT at, until FROM {self._table} ORDER BY at"  # noqa: S608
            ).fetchall()
            turns = [at for at, until in rows if until is None]
            longest = LONGEST_PAUSE * self._minute
            pauses = [min(until, at + longest) for at, until in rows if until]
            wait: float = max(next_turn(turns, rate, self._span), *pauses, -math.inf) - now
            if wait <= 0:
                db.execute(f"INSERT INTO {self._table} (at) VALUES (?)", (now,))  # noqa: S608
            return wait

    def new_share(self) -> tuple[float, float] | None:
        """Return a smaller share that another process found since the last call.

        Returns:
            The share, in requests a minute, and its age in seconds; None if there is no news.
        """
        found = self._db.execute(
            f"SELECT at, share FROM {self._table} "  # noqa: S608
            "WHERE share AND at > ? ORDER BY at DESC LIMIT 1",
            (self._known_share,),
        ).fetchone()
        if found is None:
            return None
        self._known_share, share = found
        # A damaged file may hold any number, or none.
        return max(1.0, float(share)), time.time() - self._known_share

    def _clean_up(self, now: float) -> None:
        """Delete rows that no longer count, and those of a clock that was set back since.

        A share is forgotten as soon as it may have grown for as long as it was held.
        """
        self._db.execute(
            f"DELETE FROM {self._table} WHERE at > ? OR at < ? "  # noqa: S608
            "OR (at < ? AND coalesce(until, at) = at)",
            (now + self._minute / 60, now - 2 * HOLD * self._minute, now - 2 * self._span),
        )

    def pause(self, seconds: float, share: float | None) -> None:
        """Let all processes wait, and go on with a smaller share, if that is given.

        A pause of no length notes that a request was refused.
        """
        now = time.time()
        if share is not None:
            self._known_share = now
        self._db.execute(
            f"INSERT INTO {self._table} VALUES (?, ?, ?)",  # noqa: S608
            (now, now + seconds, share),
        )

    def served(self) -> int:
        """Return how many requests of all processes were not refused in the last minute."""
        query = (
            "SELECT coalesce(sum((until IS NULL) - (until IS at)), 0) "  # noqa: S608
            f"FROM {self._table} WHERE at > ?"
        )
        served: int = self._db.execute(query, (time.time() - self._span,)).fetchone()[0]
        return served
