"""The organisation that the sandbox serves: its rows, and time going on."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING

from tap_litmos import streams

from .simulation import Simulation
from .tables import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .tables import Row, Value, Values

_MAX_EVENTS_IN_PAUSE = 1000


class Organisation:
    """A made-up Litmos organisation with a past, in which something happens all the time.

    Organisations with the same parameters are alike at the same time of the same day.
    All methods may be called from any thread.

    Attributes:
        lock: Held while rows are read or changed.
        endpoints: All declared endpoints, by stream.
        listings: The plain listings, and the streams whose rows they list.
        paths: The streams by the paths that serve them.
        start: The midnight (UTC) before which nothing happened.
    """

    def __init__(
        self,
        *,
        users: int = 500,
        years: float = 1,
        seed: int = 1,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        live: bool = True,
    ) -> None:
        """Simulate the past of a company, up to the current time.

        Args:
            users: How many people join it; everything else scales with it.
            years: How many years of history it has.
            seed: Decides what the company is like, and what happens.
            clock: Returns the current time, aware, in UTC.
            live: Whether events go on happening.
        """
        self.lock = RLock()
        self.endpoints = {endpoint.stream: endpoint for endpoint in streams.ENDPOINTS}
        self.listings = {
            stream: endpoint.references["Id"].partition(".")[0]
            for stream, endpoint in self.endpoints.items()
            if endpoint.is_listing
        }
        self.paths = {endpoint.path: stream for stream, endpoint in self.endpoints.items()}
        self._chance = random.Random(f"{seed} draw")  # noqa: S311 - no secret
        self._clock, self._live = clock, live
        now = self._next = self.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.start = midnight - timedelta(days=round(365 * years))
        source = random.Random(f"{seed}")  # noqa: S311 - no secret
        self._company = Simulation(source, self.start, midnight, users)
        self._company.run(now)

    def now(self) -> datetime:
        """Return the current time, in whole milliseconds."""
        return milliseconds(self._clock())

    def rows(self, stream: str) -> list[Values]:
        """Return copies of all current rows of a stream, with typed values."""
        with self.lock:
            self.catch_up()
            if stream in self.listings:
                return [{"Id": row.id} for row in self.listed(stream)]
            table = self._company.tables[stream]
            return [table.complete(row) for row in table.rows]

    def window(self, stream: str, first: datetime, end: datetime) -> list[Row]:
        """Return the rows that last changed from `first` until before `end`, by date."""
        with self.lock:
            rows = [row for row in self._company.tables[stream].rows if first <= row.stamp < end]
            return sorted(rows, key=attrgetter("stamp", "number"))

    def listed(self, stream: str) -> list[Row]:
        """Return the rows that a plain listing lists, oldest first."""
        return self._company.tables[self.listings[stream]].rows

    def touch(self, stream: str, which: int | str = 1, **changes: Value) -> list[Values]:
        """Update rows now, so that they leave their window.

        Args:
            stream: The stream's name.
            which: An `Id`, or how many rows to take at random.
            changes: New values of the rows.

        Returns:
            Copies of the updated rows.
        """
        with self.lock:
            rows = self._which(stream, which)
            for row in rows:
                self.touch_row(row, **changes)
            return [row.table.complete(row) for row in rows]

    def touch_row(self, row: Row, **changes: Value) -> None:
        """Update one row now."""
        with self.lock:
            key = row.table.endpoint.replication_key or "UpdatedDate"
            row.values |= {key: self.now(), **changes}

    def delete(self, stream: str, which: int | str) -> None:
        """Delete rows for good, with all that refers to them; `which` is as for `touch`."""
        with self.lock:
            self._company.delete(self._which(stream, which), self.now())

    def replace_rows(self, stream: str, rows: Iterable[Mapping[str, Value]]) -> None:
        """Replace all rows of a stream, and stop all further events.

        Args:
            stream: The stream's name.
            rows: Canonical field names and typed values; missing fields are null. Each row
                needs its replication key or a `CreatedDate`.
        """
        with self.lock:
            self.catch_up()
            self._live = False
            table = self._company.tables[stream]
            table.remove(table.rows)
            for values in rows:
                table.add(dict(values))

    def happen(self, count: int = 1, *, at: datetime | None = None) -> None:
        """Run more events than those that happen anyway, now or at another time."""
        with self.lock:
            for _ in range(count):
                moment = at or self.now()
                self._company.run(moment)
                self._company.happen(moment)

    def catch_up(self) -> None:
        """Run all events that are due by now; after a long pause only some of them."""
        with self.lock:
            now = self.now()
            pause = max(timedelta(seconds=2), (now - self._next) / _MAX_EVENTS_IN_PAUSE)
            while self._live and self._next <= now:
                self.happen(at=self._next)
                self._next = milliseconds(self._next + self._chance.uniform(0.4, 1.6) * pause)

    def _which(self, stream: str, which: int | str) -> list[Row]:
        self.catch_up()
        rows = self._company.tables[stream].rows
        if isinstance(which, int):
            return self._chance.sample(rows, min(which, len(rows)))
        return [row for row in rows if row["Id"] == which]
