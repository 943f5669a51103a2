"""Services as strange as `Litmos` may be, without HTTP, for tests that need thousands of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pendulum

from tap_litmos.paginator import PageSizes, WindowPaginator
from tap_litmos.rows import Page

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_litmos.paginator import Keys
    from tap_litmos.windows import Window

SECOND = timedelta(seconds=1)
ORDERS = ("oldest", "newest", "random", "shuffled ties", "id")


@dataclass
class Service:
    """A service with one stream.

    Attributes:
        order: How the rows of a window are ordered, one of `ORDERS`.
        seed: Decides everything that is random.
        cap: No page has more rows. None: no cap.
        hidden: One in so many rows is dropped after the page was cut. 0: none.
        repeats: Whether a tenth of the rows is served twice.
        reads_days: Whether only the days of since and to count.
        includes: Whether since and to are included.
        zone: Hours by which the dates it reads and those it writes are ahead of UTC.
        late: Hours after its date until a row can be seen.
        touched: Rows that change with each request.
        added: Rows that are added with each request.
        deleted: Rows that are deleted with each request.
        rows: The date (UTC) of each row, by id.
        now: Its clock (UTC); it advances by a second with each request.
        requests: How many requests it has answered.
        hid_too_much: Whether a full page lacked more than a tenth of its rows.
    """

    order: str = "oldest"
    seed: int = 0
    cap: int | None = None
    hidden: int = 0
    repeats: bool = False
    reads_days: bool = False
    includes: tuple[bool, bool] = (True, True)
    zone: float = 0
    late: float = 0
    touched: int = 0
    added: int = 0
    deleted: int = 0
    rows: dict[int, datetime] = field(default_factory=dict)
    now: datetime = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)
    requests: int = 0
    hid_too_much: bool = False

    def __post_init__(self) -> None:
        """Start counting new rows."""
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret
        self._ids = count(10_000_000)

    def fill(self, number: int, since: datetime, to: datetime, tie: int = 1) -> None:
        """Add rows between two moments; so many of them have the same second."""
        seconds = int((to - since).total_seconds())
        groups = max(1, number // tie)
        moments = [since + SECOND * self.chance.randrange(seconds) for _ in range(groups)]
        for at in range(number):
            self.rows[at] = moments[at % groups]

    def window(self, since: datetime, to: datetime) -> list[int]:
        """Return the ids of a window's rows, in their order for this request."""
        ahead = timedelta(hours=self.zone)
        since, to, now = since - ahead, to - ahead, self.now
        if self.reads_days:
            since, to = (self._midnight(at) for at in (since, to))
            to += timedelta(days=1) - SECOND if self.includes[1] else -SECOND
            since += timedelta(0) if self.includes[0] else timedelta(days=1)
        else:
            since, to = (
                since + (timedelta(0) if self.includes[0] else SECOND),
                to - (timedelta(0) if self.includes[1] else SECOND),
            )
        if to <= now:  # today's rows come only if `to` lies in the future
            to = min(to, self._midnight(now) - SECOND)
        to = min(to, now - timedelta(hours=self.late))
        ids = [key for key, at in self.rows.items() if since <= at <= to]
        return self._ordered(ids)

    def _midnight(self, at: datetime) -> datetime:
        ahead = timedelta(hours=self.zone)
        return (at + ahead).replace(hour=0, minute=0, second=0, microsecond=0) - ahead

    def _ordered(self, ids: list[int]) -> list[int]:
        if self.order in {"random", "shuffled ties"}:
            self.chance.shuffle(ids)
        if self.order in {"oldest", "shuffled ties"}:
            ids.sort(key=self.rows.__getitem__)
        elif self.order == "newest":
            ids.sort(key=self.rows.__getitem__, reverse=True)
        elif self.order == "id":
            ids.sort()
        if self.repeats:
            ids = [key for key in ids for _ in range(2 if key % 10 == 0 else 1)]
        return ids

    def page(self, window: Window, start: int, limit: int) -> Page:
        """Answer one request."""
        self.requests += 1
        self.now += SECOND
        full = min(limit, self.cap or limit)
        cut = self.window(window.since, window.to)[start : start + full]
        ids = [key for key in cut if self.shows(key)]
        self.hid_too_much |= len(cut) == full and 10 * len(ids) < 9 * full
        ahead = timedelta(hours=self.zone)
        dates = [f"{self.rows[key] + ahead:%Y-%m-%dT%H:%M:%S.%f}Z" for key in ids]
        records: list[dict[str, Any] | None] = [
            {"Id": key, "UpdatedDate": date} for key, date in zip(ids, dates, strict=True)
        ]
        self.churn()
        return Page(records, [(key,) for key in ids], dates)

    def shows(self, key: int) -> bool:
        """Return whether a row is ever served."""
        return not self.hidden or bool(key * 2_654_435_761 % 4_294_967_291 % self.hidden)

    def churn(self) -> None:
        """Change, add and delete rows between two requests."""
        keys = list(self.rows)
        for key in self.chance.sample(keys, min(self.touched, len(keys))):
            self.rows[key] = self.now
        for key in self.chance.sample(keys, min(self.deleted, len(keys))):
            del self.rows[key]
        for key in [next(self._ids) for _ in range(self.added)]:
            self.rows[key] = self.now


class Client:
    """Reads a service by the tap's own paginator; its `read` is a `proof.Read`."""

    def __init__(self, service: Service, limit: int) -> None:
        self.service = service
        self.sizes = PageSizes(limit)
        self.readings: list[WindowPaginator] = []

    def read(
        self, window: Window, keys: Keys | None = None, enough: int | None = None
    ) -> Generator[dict[str, Any], None, WindowPaginator]:
        reading = WindowPaginator(window, self.sizes, keys, enough)
        self.readings.append(reading)
        while not reading.finished:
            now = pendulum.instance(self.service.now)
            page = self.service.page(window, reading.current_value, reading.limit)
            response: Any = SimpleNamespace(page=page, requested_at=now, server_time=now)
            yield from reading.rows_to_write(response)
            reading.advance(response)
        return reading
