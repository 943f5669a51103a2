"""The organisation that the sandbox serves: its rows, and time going on."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING

from tap_litmos import streams

from .ledger import milliseconds
from .life import Life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .tables import Row, Value, Values

_SHORTEST_HISTORY = 0.1
_GAP = (0.7, 3.0)
"""Seconds between two events, at least and at most."""

_EVENTS_IN_PAUSE = 1000
"""Where nobody asked for long, no more events than about so many are spread over the time."""


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


class Organisation:
    """A made-up Litmos organisation with a past, in which something happens all the time.

    Two organisations are alike if their parameters are, at the same moment of the same day.
    All methods may be called from any thread.

    Attributes:
        lock: Held while rows are read or changed.
        endpoints: Its streams: all that are declared, by name.
        listings: The plain listings, and the streams of whose rows they list those that exist.
        paths: The streams by the paths that serve them.
        start: The midnight (UTC) before which nothing was.
    """

    def __init__(
        self,
        *,
        users: int = 500,
        years: float = 1,
        seed: int = 1,
        clock: Callable[[], datetime] = utc_now,
        live: bool = True,
    ) -> None:
        """Let a company go through its past, up to the present moment.

        Args:
            users: How many people it has; everything else scales with it. At least 1.
            years: How far its past reaches back, in years. At least 0.1.
            seed: Decides what the company is like, and what happens.
            clock: Returns the present moment, aware, in UTC.
            live: Whether anything happens by itself once the organisation stands.

        Raises:
            ValueError: If there are too few users or years.
        """
        if users < 1 or years < _SHORTEST_HISTORY:
            raise ValueError("an organisation needs a user, and a past of at least 0.1 years")
        self.lock = RLock()
        self.endpoints = {endpoint.stream: endpoint for endpoint in streams.ENDPOINTS}
        self.listings = {
            endpoint.stream: endpoint.references["Id"].partition(".")[0]
            for endpoint in streams.ENDPOINTS
            if endpoint.is_listing
        }
        self.paths = {endpoint.path: endpoint.stream for endpoint in streams.ENDPOINTS}
        self._draw = random.Random(f"{seed} draw")  # noqa: S311 - no secret
        self._clock = clock
        self._live = live
        now = self.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.start = midnight - timedelta(days=round(365 * years))
        chance = random.Random(f"{seed}")  # noqa: S311 - no secret
        self._life = Life(chance, self.start, midnight, users)
        self._life.run(now)
        self._next = now

    def now(self) -> datetime:
        """Return the present moment, in whole milliseconds."""
        return milliseconds(self._clock())

    def rows(self, stream: str) -> list[Values]:
        """Return copies of all rows of a stream as they are now, with typed values."""
        with self.lock:
            self.catch_up()
            if stream in self.listings:
                return [{"Id": row.id} for row in self.listed(stream)]
            table = self._life.tables[stream]
            return [table.complete(row) for row in table.rows]

    def window(self, stream: str, first: datetime, end: datetime) -> list[Row]:
        """Return the rows that last changed from `first` to before `end`, longest ago first."""
        with self.lock:
            rows = [row for row in self._life.tables[stream].rows if first <= row.stamp < end]
            return sorted(rows, key=attrgetter("stamp", "number"))

    def listed(self, stream: str) -> list[Row]:
        """Return the rows that a plain listing lists, in the order of their making."""
        return self._life.tables[self.listings[stream]].rows

    def touch(self, stream: str, which: int | str = 1, **changes: Value) -> list[Values]:
        """Update rows now, so that they leave the window in which they were.

        Args:
            stream: The stream's name.
            which: How many rows, taken at random, or an `Id`.
            changes: Values to give to the rows.

        Returns:
            Copies of the updated rows.
        """
        with self.lock:
            self.catch_up()
            rows = self._which(stream, which)
            for row in rows:
                self.touch_row(row, **changes)
            return [row.table.complete(row) for row in rows]

    def touch_row(self, row: Row, **changes: Value) -> None:
        """Update one row now."""
        with self.lock:
            key = row.table.endpoint.replication_key or "UpdatedDate"
            row.values |= {key: self.now(), **changes}

    def grow(self, stream: str, count: int) -> None:
        """Add new rows to a stream now, which refer to any rows."""
        with self.lock:
            for _ in range(count):
                self._life.invent(stream, self.now())

    def delete(self, stream: str, which: int | str) -> None:
        """Delete rows for good, with all that refers to them; no delta row will tell.

        Args:
            stream: The stream's name.
            which: As for `touch`.
        """
        with self.lock:
            self.catch_up()
            self._life.delete(self._which(stream, which), self.now())

    def replace_rows(self, stream: str, rows: Iterable[Mapping[str, Value]]) -> None:
        """Put other rows in the place of all rows of a stream.

        From then on nothing happens by itself, as the rows may not belong together.

        Args:
            stream: The stream's name.
            rows: Canonical field names and typed values; missing fields are null. Each row
                needs its replication key or a `CreatedDate`.
        """
        with self.lock:
            self.catch_up()
            self._live = False
            table = self._life.tables[stream]
            table.remove(table.rows)
            for values in rows:
                table.add(dict(values))

    def happen(self, count: int = 1, *, at: datetime | None = None) -> None:
        """Let more events happen than those that happen by themselves.

        Args:
            count: How many.
            at: When they happen. By default, now.
        """
        with self.lock:
            for _ in range(count):
                moment = at or self.now()
                self._life.run(moment)
                self._life.happen(moment)

    def catch_up(self) -> None:
        """Let everything happen that is due by now; after a long pause, a part of it."""
        if not self._live:
            return
        with self.lock:
            now = self.now()
            pause = max(timedelta(seconds=1), (now - self._next) / _EVENTS_IN_PAUSE)
            while self._next <= now:
                self.happen(at=self._next)
                gap = self._life.random.uniform(*_GAP) * pause
                self._next = milliseconds(self._next + gap)

    def _which(self, stream: str, which: int | str) -> list[Row]:
        rows = self._life.tables[stream].rows
        if isinstance(which, int):
            return self._draw.sample(rows, min(which, len(rows)))
        return [row for row in rows if row["Id"] == which]
