"""A sandbox that is stranger than Litmos may ever be, for tests."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count, cycle, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Literal
from zlib import crc32

from tap_litmos.sandbox import Answer, Sandbox, rules
from tap_litmos.sandbox.markup import Column, Writer, column
from tap_litmos.sandbox.rules import DEFAULT_LIMIT, TICK
from tap_litmos.sandbox.server import HTML, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_litmos.declaration import Endpoint, Field
    from tap_litmos.sandbox import Incoming
    from tap_litmos.sandbox.server import Handler
    from tap_litmos.sandbox.tables import Row

    Window = tuple[datetime, datetime]

Order = Literal["id", "updated", "newest", "shuffled ties", "random"]
Charset = Literal["utf-8", "windows-1252", "iso-8859-1"]
Reading = Literal["instant", "day"]
Repeated = Literal["never", "adjacent", "appended", "scattered"]
Spelling = Literal["document", "canonical", "alternate"]

_FAULTS = "429 408 500 502 503 504 reset drop cut cut-chunkless html root timeout"
FAULT_KINDS = tuple(_FAULTS.split())
"""What passes if the tap tries again; "timeout" keeps silent for a while."""

EMPTY_FAULT_KINDS = ("text", "message", "nil")
"""Answers that look like an empty page, but are not."""

SLOW_KINDS = ("slow-headers", "slow-body")
"""Answers that are sent byte by byte."""

ALL_FAULT_KINDS = (*FAULT_KINDS, *EMPTY_FAULT_KINDS, *SLOW_KINDS, "silent")

UNANSWERED_KINDS = {"reset", "drop", "timeout", "silent"}
BROKEN_KINDS = {*UNANSWERED_KINDS, "cut", "cut-chunkless"}
"""After these the connection is closed, although not all was sent."""

_BODIES = {
    "root": "<Error><Message>Object reference not set</Message></Error>",
    "text": "<{root}>Service unavailable</{root}>",
    "message": "<{root}><Message>Service unavailable</Message></{root}>",
    "nil": '<{root} xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>',
}
_OTHER_CASE = {"Id": "ID", "UserName": "Username", "ActivityByUserName": "ActivityByUsername"}
_LINGER = "hh" if os.name == "nt" else "ii"
_DAY = timedelta(days=1)
_SHARE_REPEATED = 0.1
_RAW_EVERY = 4
_MAX_FAULTS_IN_A_ROW = 3
_PATIENCE = 2.0  # seconds for a thread to end
_MOVING_KEYS = {"UpdatedDate", "LastLogin"}


@dataclass(kw_only=True, eq=False, repr=False)
class StrangeSandbox(Sandbox):
    """A sandbox with habits that only tests need.

    Its `on_request` hook may also return one of `ALL_FAULT_KINDS`.

    Attributes:
        others_per_minute: How many requests per minute another client makes with the key.
        minute: How long a minute takes, in seconds.
        clock_skew: Seconds by which the Date header is ahead.
        fault_kinds: How requests fail by chance; a page fails three times in a row at most.
        fault_seed: Decides which requests fail, which rows are odd, and what is shuffled.
        retry_after: How many seconds a 429 asks the client to wait.
        timeout_hold: How long the fault "timeout" keeps silent, in seconds.
        trickle: Seconds between two bytes of a slow answer.
        reading: Whether since and to are instants, or only their days count.
        inclusive: Whether a window includes its since, and its to.
        zone: Hours by which its dates, both read and written, are ahead of UTC.
        late: Seconds after its date until a row appears.
        longest_days: Windows of more days are refused.
        order: How the rows of a window are ordered: by id, by date of change (oldest or
            newest first), with rows of the same second shuffled by each request, or at random.
        repeated: Which rows are served twice: some, beside themselves or at other places,
            or all, once more after the last one.
        moving: How many rows of earlier pages are updated before each further page. Log
            entries never change.
        moving_without_date: How many rows of earlier pages go to the end of all rows before
            each further page, their date unchanged.
        growing: New rows in the open window with each request, unless the pair exists.
        page_cap: The most rows in a page, whatever its limit; None: no cap.
        ignores_limit: Pages have 100 rows, whatever their limit.
        ignores_start: Every page is the first one.
        wraps: After the last row the first one follows again, so that all pages are full.
        filtered: One in so many rows is dropped after its page was cut. 0: none.
        overfull: How many rows more than their limit full pages have.
        spelling: How fields are spelled: as in the document, by their canonical names, or
            by the other spellings that are known.
        charset: The encoding of bodies, given in Content-Type only.
        raw: Whether some & are not escaped, and some spaces written as &nbsp;.
        unknown_fields: Whether rows have fields that nobody knows.
        keyless: Share of rows that lack their primary key, from 0 to 1.
        max_in_flight: The largest number of requests that were being answered at once.
    """

    others_per_minute: int = 0
    minute: float = 60.0
    clock_skew: float = 0.0
    fault_kinds: tuple[str, ...] = FAULT_KINDS[:-1]
    fault_seed: int = 1
    retry_after: int = 1
    timeout_hold: float = 5.0
    trickle: float = 0.5
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
    max_in_flight: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.writer = _StrangeWriter(self)
        self._in_flight = 0
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._in_flight_lock = threading.Lock()
        self._moved: dict[Row, int] = {}
        self._moves = count(1)
        self._chance = random.Random(self.fault_seed)  # noqa: S311 - no secret
        self._failed_in_a_row: Counter[str] = Counter()

    # How it answers

    def __exit__(self, *error: object) -> None:
        """Stop, close all connections, and wait for their threads to end."""
        super().__exit__(*error)
        for thread, connection in list(self._connections.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(_PATIENCE)

    def respond(self, handler: Handler) -> None:
        self._connections[threading.current_thread()] = handler.connection
        with self._being_answered():
            incoming = self.receive(handler)
            answer, fault = self.answer(incoming), incoming.fault
            if fault in UNANSWERED_KINDS:
                incoming.status = 0
            if fault in {"timeout", "silent"}:
                self.closing.wait(self.timeout_hold if fault == "timeout" else None)
        now = datetime.now(UTC) + timedelta(seconds=self.clock_skew)
        if self.closing.is_set():
            handler.close_connection = True
        elif fault in SLOW_KINDS:
            self._send_slowly(handler, answer, now, headers=fault == "slow-headers")
        elif fault in BROKEN_KINDS:
            _break_off(handler, fault, answer, now)
        else:
            handler.send(answer, now)

    @contextmanager
    def _being_answered(self) -> Iterator[None]:
        with self._in_flight_lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._in_flight_lock:
                self._in_flight -= 1

    def own_answer(self, incoming: Incoming, wanted: str | None) -> Answer:
        incoming.fault = wanted or self._fault_by_chance(incoming)
        try:
            answer = self.answer_by_rules(incoming)
        except rules.RefusedError as error:
            answer = refusal(error.status, str(error))
            incoming.fault = wanted
        return self._faulty(incoming) or answer

    def _fault_by_chance(self, incoming: Incoming) -> str | None:
        chance = random.Random(f"{self.fault_seed} {incoming.number}")  # noqa: S311 - no secret
        page = f"{incoming.path} {sorted(incoming.query.items())}"
        failed = self._failed_in_a_row[page]
        fails = chance.random() < self.faults and failed < _MAX_FAULTS_IN_A_ROW
        self._failed_in_a_row[page] = failed + 1 if fails else 0
        return chance.choice(self.fault_kinds) if fails else None

    def _faulty(self, incoming: Incoming) -> Answer | None:
        """Return the answer of a fault that has its own."""
        kind, endpoint = incoming.fault, self.org.endpoints.get(incoming.stream or "")
        if kind not in {None, *ALL_FAULT_KINDS}:
            raise ValueError(f"{kind!r} is not a fault")
        if kind == "html":
            return Answer(200, refusal(200, "Sign in").body, "OK", HTML)
        if kind in _BODIES:
            root = endpoint.nesting[0] if endpoint else "Error"
            return Answer(200, _BODIES[kind].format(root=root).encode(), "OK")
        if kind is None or not kind.isdigit():
            return None
        answer = refusal(int(kind))
        if kind == "429":
            # Rounded up: a date has whole seconds, and must not be before the wanted moment.
            when = datetime.now(UTC) + timedelta(seconds=self.retry_after + 0.999)
            date = format_datetime(when, usegmt=True)
            answer.headers["Retry-After"] = date if incoming.number % 2 else f"{self.retry_after}"
        return answer

    def _send_slowly(
        self, handler: Handler, answer: Answer, now: datetime, *, headers: bool
    ) -> None:
        head = _head(answer, now)
        at_once, slow = (b"", head) if headers else (head, b"")
        handler.wfile.write(at_once)
        for byte in slow + answer.body:
            if self.closing.wait(self.trickle):
                break
            handler.wfile.write(bytes([byte]))

    def answer_by_rules(self, incoming: Incoming) -> Answer:
        answer = super().answer_by_rules(incoming)
        if self.charset != "utf-8":
            answer.body = answer.body.decode().encode(self.charset, "xmlcharrefreplace")
            answer.content_type = f"application/xml; charset={self.charset}"
        return answer

    def check_rate(self, minute: float = 60.0, others: int = 0) -> None:
        del minute, others
        super().check_rate(self.minute, self.others_per_minute)

    # Which rows it serves

    def page(self, endpoint: Endpoint, incoming: Incoming) -> list[Row]:
        window = None if endpoint.is_listing else self._window(incoming.query)
        start, limit = rules.paging(incoming.query)
        if incoming.fault is None:
            self._change_rows(endpoint, window, incoming.number, start)
        return self._cut(self._arranged(endpoint, window, incoming.number), start, limit)

    def _change_rows(
        self, endpoint: Endpoint, window: Window | None, number: int, start: int
    ) -> None:
        """Change rows before a page is cut, those of earlier pages among them."""
        if window and window[1] >= self.org.now() - timedelta(seconds=self.late):
            for _ in range(self.growing):
                self.org._company.invent(endpoint.stream, self.org.now())
        moves = start and (self.moving or self.moving_without_date)
        served = self._arranged(endpoint, window, number)[:start] if moves else []
        if window and endpoint.replication_key in _MOVING_KEYS:
            for row in self._some(served, self.moving):
                self.org.touch_row(row)
        for row in self._some(served, self.moving_without_date):
            self._moved[row] = next(self._moves)

    def _some(self, rows: list[Row], count: int) -> list[Row]:
        return self._chance.sample(rows, min(count, len(rows)))

    def _window(self, query: Mapping[str, str]) -> Window:
        since, to = rules.span(query, self.longest_days)
        if since.year == MINYEAR or to.year == MAXYEAR:  # no zone can be added
            raise rules.RefusedError(406, "The since and to parameters are out of range")
        now = self.org.now()
        zone, late = timedelta(hours=self.zone), timedelta(seconds=self.late)
        here = now + zone
        tick, today = TICK, here.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.reading == "day":
            since, to = (at.replace(hour=0, minute=0, second=0) for at in (since, to))
            tick, here = _DAY, today
        first = since if self.inclusive[0] else since + tick
        end = to + tick if self.inclusive[1] else to
        end = (end if to > here else min(end, today)) - zone
        return first - zone, min(end, now - late) if late else end

    def _arranged(self, endpoint: Endpoint, window: Window | None, number: int) -> list[Row]:
        """Return all rows of a window or of a plain listing, in their order."""
        org, stream = self.org, endpoint.stream
        rows = org.window(stream, *window) if window else list(org.listed(stream))
        if self.order in {"shuffled ties", "random"}:
            random.Random(f"{self.fault_seed} {number}").shuffle(rows)  # noqa: S311
        if self.order == "shuffled ties":
            rows.sort(key=lambda row: row.stamp.replace(microsecond=0))
        elif self.order == "newest":
            rows.reverse()
        elif self.order == "id":
            rows.sort(key=attrgetter("number"))
        if self._moved:
            rows.sort(key=lambda row: self._moved.get(row, 0))
        return self._with_repeats(rows)

    def _with_repeats(self, rows: list[Row]) -> list[Row]:
        """Return rows with those that are served twice, at places that stay the same."""
        if self.repeated in {"never", "appended"}:
            return rows + rows if self.repeated == "appended" else rows
        chance = random.Random(self.fault_seed)  # noqa: S311 - no secret
        again = [
            (place, row) for place, row in enumerate(rows) if chance.random() < _SHARE_REPEATED
        ]
        placed: list[tuple[float, Row]] = [*enumerate(rows), *again]
        if self.repeated == "scattered":
            placed[len(rows) :] = [(chance.uniform(0, len(rows)), row) for _, row in again]
        return [row for _, row in sorted(placed, key=itemgetter(0))]

    def _cut(self, rows: list[Row], start: int, limit: int) -> list[Row]:
        limit = DEFAULT_LIMIT if self.ignores_limit else limit
        limit = min(limit, self.page_cap or limit)
        start = 0 if self.ignores_start else start
        more = self.overfull if len(rows) >= start + limit else 0
        page = rows[start : start + limit + more]
        if self.wraps and rows:
            page = list(islice(cycle(rows), start, start + limit))
        return [row for row in page if self.shows(row)]

    def shows(self, row: Row) -> bool:
        """Return whether a row is ever served; others count, but are dropped."""
        return not self.filtered or row.number % self.filtered != self.filtered - 1

    def lacks_key(self, row: Row) -> bool:
        """Return whether a row is served without its primary key."""
        return crc32(f"{self.fault_seed} {row.number}".encode()) < self.keyless * 2**32


HABITS = {habit.name for habit in fields(StrangeSandbox) if habit.init} - {
    "org",
    "port",
    "api_key",
    "on_request",
}
"""The names of all habits."""


class _StrangeWriter(Writer):
    """Writes pages as a sandbox with strange habits does."""

    def __init__(self, box: StrangeSandbox) -> None:
        self._box = box

    def columns_of(self, stream: str, field: Field) -> Iterator[Column]:
        name = field.name
        if self._box.spelling == "document":
            yield from super().columns_of(stream, field)
        elif self._box.spelling == "canonical":
            yield column(name, name)
        else:
            yield column(name, (*field.also_sent_as, _OTHER_CASE.get(name, name))[0])

    def item(self, endpoint: Endpoint, row: Row, columns: Iterable[Column]) -> str:
        lacking = endpoint.primary_key if self._box.lacks_key(row) else ()
        text = super().item(endpoint, row, [known for known in columns if known[0] not in lacking])
        if not self._box.unknown_fields:
            return text
        unknown = f"<JobRole>Role {row.number % 7}</JobRole><Points>{row.number % 100}</Points>"
        end = f"</{endpoint.nesting[-1]}>"
        return text.removesuffix(end) + unknown + end

    def moment(self, value: datetime, row: Row, name: str) -> str:
        text = super().moment(value + timedelta(hours=self._box.zone), row, name)
        return text.rstrip("Z") if self._box.zone else text

    def escaped(self, value: str, row: Row) -> str:
        text = super().escaped(value, row)
        if self._box.raw and row.number % _RAW_EVERY == 0:
            text = text.replace(" &amp; ", " & ").replace("\xa0", "&nbsp;")
        return text


def _head(answer: Answer, now: datetime, *, close: bool = False, without: str = "") -> bytes:
    headers = {name: text for name, text in answer.head(now).items() if name != without}
    headers |= {"Connection": "close"} if close else {}
    lines = [f"{name}: {text}\r\n" for name, text in headers.items()]
    first = f"HTTP/1.1 {answer.status} {answer.reason}\r\n"
    return "".join([first, *lines, "\r\n"]).encode("latin-1")


def _break_off(handler: Handler, kind: str | None, answer: Answer, now: datetime) -> None:
    """Send a part of an answer or nothing, and close the connection.

    "cut" and "cut-chunkless" send half of it, the latter without its length. "reset" closes
    the connection so that the client gets RST. All others just close it.
    """
    handler.close_connection = True
    if kind == "reset":
        # Closed for good at once, with nothing left to send: the client gets no FIN.
        linger = struct.pack(_LINGER, 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        socket.close(handler.connection.detach())
        return
    if kind in {"cut", "cut-chunkless"}:
        head = _head(answer, now, close=True, without="Content-Length" if kind != "cut" else "")
        handler.wfile.write(head + answer.body[: len(answer.body) // 2])
    handler.connection.shutdown(socket.SHUT_RDWR)
