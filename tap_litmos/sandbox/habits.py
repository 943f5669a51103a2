"""The habits of a service: those of Litmos as documented, and stranger ones."""

from __future__ import annotations

import random
from collections.abc import Mapping  # noqa: TC003 - the command looks at the fields' types
from dataclasses import dataclass, field
from itertools import cycle, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Literal
from zlib import crc32

from .faults import DEFAULT_FAULT_KINDS

if TYPE_CHECKING:
    from .tables import Row

Charset = Literal["utf-8", "windows-1252", "iso-8859-1"]
Order = Literal["id", "updated", "newest", "shuffled ties", "random"]
Reading = Literal["instant", "day"]
Repeated = Literal["never", "adjacent", "appended", "scattered"]
Spelling = Literal["document", "canonical", "alternate"]

DEFAULT_LIMIT = 100
_UNSTABLE = {"shuffled ties", "random"}
_RARE = 0.1  # share of rows that are served twice


@dataclass(kw_only=True)
class Habits:
    """How a service behaves; the command offers most of this, in these words.

    Attributes:
        requests_per_minute: Requests above this rate are answered with 503; unlimited by
            default.
        others_per_minute: How many of them another client spends on the same key.
        minute: How long a minute takes, in seconds.
        latency: Seconds before each answer.
        clock_skew: Seconds by which the Date header is ahead.
        faults: Share of requests that fail, from 0 to 1; a page fails three times in a row at
            most.
        fault_kinds: How they fail.
        fault_seed: Decides which requests fail, which rows are odd, and what is shuffled.
        retry_after: After how many seconds a 429 wants to be asked again.
        timeout_hold: How long the fault "timeout" keeps silent, in seconds.
        trickle: Seconds between two bytes of a slow answer.
        refuse: Paths that are always refused, with the status code.
        reading: Whether since and to are instants, or only their days count.
        inclusive: Whether a window includes its since, and its to.
        zone: Hours by which its dates, those it reads and those it writes, are ahead of UTC.
        late: Seconds after its date until a row can be seen.
        longest_days: Windows of more days are refused.
        order: How the rows of a window are ordered: by id, by date of change (oldest or
            newest first), with those of the same second shuffled anew by each request, or
            wholly at random.
        repeated: Which rows are served twice: some, beside themselves or at other places,
            or all, once more after the last one.
        moving: Rows served on earlier pages that are updated before a further page is cut.
            Logs of activities never move.
        moving_without_date: Such rows that go to the end of all rows, their date unchanged.
        growing: New rows in the open window with each request, as far as there can be new
            ones: a pair that exists already is not added again.
        page_cap: No page has more rows, whatever its limit; uncapped by default.
        ignores_limit: Pages have 100 rows, whatever their limit.
        ignores_start: Every page is the first one.
        wraps: After the last row comes the first one again, so that all pages are full.
        filtered: One in so many rows is dropped after its page was cut. 0: none.
        overfull: Full pages have so many rows more than their limit, if there are.
        spelling: How fields are spelled: as the document does, by their canonical names, or
            by the other spellings that are known.
        charset: The encoding of bodies, such as windows-1252, said in Content-Type alone.
        raw: Whether some & are not escaped, and some spaces written as &nbsp;.
        unknown_fields: Whether rows have fields that nobody knows.
        keyless: Share of rows that come without their primary key, from 0 to 1.
    """

    requests_per_minute: int | None = None
    others_per_minute: int = 0
    minute: float = 60.0
    latency: float = 0.0
    clock_skew: float = 0.0
    faults: float = 0.0
    fault_kinds: tuple[str, ...] = DEFAULT_FAULT_KINDS
    fault_seed: int = 1
    retry_after: int = 1
    timeout_hold: float = 5.0
    trickle: float = 0.5
    refuse: Mapping[str, int] = field(default_factory=dict)
    reading: Reading = "instant"
    inclusive: tuple[bool, bool] = (True, True)
    zone: float = 0.0
    late: float = 0.0
    longest_days: float = 7.0
    order: Order = "id"
    repeated: Repeated = "never"
    moving: int = 0
    moving_without_date: int = 0
    growing: int = 0
    page_cap: int | None = None
    ignores_limit: bool = False
    ignores_start: bool = False
    wraps: bool = False
    filtered: int = 0
    overfull: int = 0
    spelling: Spelling = "document"
    charset: Charset = "utf-8"
    raw: bool = False
    unknown_fields: bool = False
    keyless: float = 0.0

    def draw_fault(self, number: int) -> str | None:
        """Return the fault that a request meets by chance."""
        chance = random.Random(f"{self.fault_seed} {number}")  # noqa: S311 - no secret
        return chance.choice(self.fault_kinds) if chance.random() < self.faults else None

    def lacks_key(self, row: Row) -> bool:
        """Return whether a row is served without its primary key."""
        return crc32(f"{self.fault_seed} {row.number}".encode()) < self.keyless * 2**32

    def shows(self, row: Row) -> bool:
        """Return whether a row is ever served; others count, but are dropped."""
        return not self.filtered or row.number % self.filtered != self.filtered - 1

    def arrange(self, rows: list[Row], moved: Mapping[Row, int], number: int) -> list[Row]:
        """Return the rows of a window, oldest change first, as this service lists them.

        Args:
            rows: The rows, which are put in order.
            moved: Those that went to the end, and in which order.
            number: The number of the request.
        """
        if self.order in _UNSTABLE:
            random.Random(f"{self.fault_seed} {number}").shuffle(rows)  # noqa: S311
        if self.order == "shuffled ties":
            rows.sort(key=lambda row: row.stamp.replace(microsecond=0))
        elif self.order == "newest":
            rows.reverse()
        elif self.order == "id":
            rows.sort(key=attrgetter("number"))
        if moved:
            rows.sort(key=lambda row: moved.get(row, 0))
        return self._repeat(rows)

    def _repeat(self, rows: list[Row]) -> list[Row]:
        """Return rows with those that are served twice, at places that stay the same."""
        if self.repeated in {"never", "appended"}:
            return rows + rows if self.repeated == "appended" else rows
        chance = random.Random(self.fault_seed)  # noqa: S311 - no secret
        again = [(place, row) for place, row in enumerate(rows) if chance.random() < _RARE]
        placed: list[tuple[float, Row]] = [*enumerate(rows), *again]
        if self.repeated == "scattered":
            placed[len(rows) :] = [(chance.uniform(0, len(rows)), row) for _, row in again]
        return [row for _, row in sorted(placed, key=itemgetter(0))]

    def cut(self, rows: list[Row], start: int, limit: int) -> list[Row]:
        """Return a page of rows."""
        limit = DEFAULT_LIMIT if self.ignores_limit else limit
        limit = min(limit, self.page_cap or limit)
        start = 0 if self.ignores_start else start
        more = self.overfull if len(rows) >= start + limit else 0
        page = rows[start : start + limit + more]
        if self.wraps and rows:
            page = list(islice(cycle(rows), start, start + limit))
        return [row for row in page if self.shows(row)] if self.filtered else page
