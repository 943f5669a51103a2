"""The sandbox: an organisation served over HTTP, on this computer only."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import responses
from itertools import count
from threading import Event, Lock
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from . import faults, rules
from .connections import HOST, Handler, Server
from .faults import Answer
from .habits import Habits
from .markup import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .org import Organisation
    from .tables import Row

    HookAnswer = Answer | tuple[int, Mapping[str, str], bytes] | str | None
    Hook = Callable[["Incoming"], HookAnswer]

API_KEY = "sandbox-key-7d1f0c52-3b9e-4c7a-8e64-5a0d9f2b6c18"
BASE = "/v1.svc"

_FAULTS_IN_A_ROW = 3
"""How often the same page fails by chance before it is answered."""

_MOVING_KEYS = {"UpdatedDate", "LastLogin"}


@dataclass(slots=True, eq=False)
class Incoming:
    """A request that the sandbox received.

    Attributes:
        number: Its ordinal number, from 1.
        method: Its method.
        path: Its path below the base URL.
        stream: The stream it asks for, None for an unknown path.
        query: Its parameters, which an `on_request` hook may change.
        headers: Its headers, with names in lower case.
        at: When it came, by the organisation's clock.
        time: When it came, by the monotonic clock, in seconds.
        status: The status code of the answer; 0 until there is one, or if none is sent.
        fault: The fault that is injected, if any.
        since: The beginning of its window as sent, None if there is none or it cannot be read.
        to: The end of its window, None in the same cases.
        start: From which row on it wants rows, None if it does not say.
        limit: How many rows it wants, None if it does not say.
    """

    number: int
    method: str
    path: str
    stream: str | None
    query: dict[str, str]
    headers: dict[str, str]
    at: datetime
    time: float = field(default_factory=time.monotonic)
    status: int = 0
    fault: str | None = None
    since: datetime | None = field(init=False)
    to: datetime | None = field(init=False)
    start: int | None = field(init=False)
    limit: int | None = field(init=False)

    def __post_init__(self) -> None:
        """Note what it asks for."""
        self.since, self.to = (rules.moment(self.query.get(name)) for name in ("since", "to"))
        self.start, self.limit = (
            rules.number(self.query.get(name)) for name in ("start", "limit")
        )


@dataclass(eq=False, repr=False)
class Sandbox(Habits):
    """An HTTP server that answers for an organisation as the Litmos API would.

    It is open within a `with` block. How it behaves is said by its `Habits`, which are
    parameters as well.

    Attributes:
        org: The organisation to serve.
        port: The port on the loopback interface; 0 picks a free one.
        api_key: The only key that is let in.
        on_request: Called with each request before anything else; it may return None to let
            it be answered, an answer to send instead, or a fault to inject.
        requests: Every request that was received, also refused ones.
        max_in_flight: How many requests were being answered at once at most.
    """

    org: Organisation
    port: int = field(default=0, kw_only=True)
    api_key: str = field(default=API_KEY, kw_only=True)
    on_request: Hook | None = field(default=None, kw_only=True)
    requests: list[Incoming] = field(default_factory=list, init=False)
    max_in_flight: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Prepare to open."""
        self._server: Server
        self._lock = Lock()
        self._closing = Event()
        self._in_flight = 0
        self._counted: list[float] = []
        self._chance = random.Random(self.fault_seed)  # noqa: S311 - no secret
        self._failed_in_a_row: Counter[str] = Counter()
        self._writer = Writer(self)
        self._moved: dict[Row, int] = {}
        self._moves = count(1)

    @property
    def url(self) -> str:
        """The base URL, which the paths of the endpoints follow, while it is open."""
        return f"http://{HOST}:{self._server.server_address[1]}{BASE}"

    def config(self) -> dict[str, str]:
        """Return the settings with which a tap reads all of the sandbox."""
        start = self.org.start.date().isoformat()
        return {"api_key": self.api_key, "api_url": self.url, "start_date": start}

    def __enter__(self) -> Self:
        """Listen, and answer in threads of their own.

        Raises:
            OSError: If the port is in use.
        """
        self._server = Server(self.port, self._respond)
        self._closing.clear()
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop answering and close all connections."""
        self._closing.set()
        self._server.stop()

    def _respond(self, handler: Handler) -> None:
        """Answer a request."""
        with self._being_answered():
            incoming = self._receive(handler)
            self._closing.wait(self.latency)
            answer, fault = self._answer(incoming), incoming.fault
            if fault in {"timeout", "silent"}:
                self._closing.wait(self.timeout_hold if fault == "timeout" else None)
        now = datetime.now(UTC) + timedelta(seconds=self.clock_skew)
        if fault in faults.SLOW_KINDS:
            handler.send_slowly(fault, answer, now, self.trickle, self._closing)
        elif fault in faults.BROKEN_KINDS:
            handler.break_off(fault, answer, now)
        else:
            handler.send(answer, now)

    @contextmanager
    def _being_answered(self) -> Iterator[None]:
        """Count a request as being answered."""
        with self._lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def _receive(self, handler: Handler) -> Incoming:
        """Record a request."""
        url = urlsplit(handler.path)
        path = unquote(url.path)
        path = path.removeprefix(BASE) if path.startswith(f"{BASE}/") else path
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        stream = self.org.paths.get(path)
        with self._lock:
            number, at = len(self.requests) + 1, self.org.now()
            self.requests.append(
                Incoming(number, handler.command, path, stream, query, headers, at)
            )
            return self.requests[-1]

    def _answer(self, incoming: Incoming) -> Answer:
        """Return the answer to a request, that of a hook if there is one, and note it."""
        hooked = self.on_request(incoming) if self.on_request else None
        if isinstance(hooked, tuple):
            status, headers, body = hooked
            hooked = Answer(status, body, responses[status].upper(), headers=dict(headers))
        answer = hooked if isinstance(hooked, Answer) else self._own_answer(incoming, hooked)
        incoming.status = 0 if incoming.fault in faults.UNANSWERED_KINDS else answer.status
        return answer

    def _own_answer(self, incoming: Incoming, wanted: str | None) -> Answer:
        """Return the answer that Litmos would give, or that of a fault.

        Args:
            incoming: The request.
            wanted: The fault that a hook wants, also where Litmos would refuse. None: chance
                decides.
        """
        incoming.fault = wanted or self._fault_by_chance(incoming)
        try:
            answer = self._answer_by_rules(incoming)
        except rules.RefusedError as error:
            answer = faults.refusal(error.status, str(error))
            incoming.fault = wanted
        endpoint = self.org.endpoints.get(incoming.stream or "")
        root = endpoint.nesting[0] if endpoint else "Error"
        whole = faults.faulty_answer(incoming.fault, root, incoming.number, self.retry_after)
        return whole or answer

    def _fault_by_chance(self, incoming: Incoming) -> str | None:
        """Return a fault, but not for a page that has failed too often in a row."""
        page = f"{incoming.path} {sorted(incoming.query.items())}"
        failed = self._failed_in_a_row[page]
        fault = self.draw_fault(incoming.number) if failed < _FAULTS_IN_A_ROW else None
        self._failed_in_a_row[page] = failed + 1 if fault else 0
        return fault

    def _answer_by_rules(self, incoming: Incoming) -> Answer:
        """Return the answer that Litmos would give."""
        path, query = incoming.path, incoming.query
        if incoming.stream is None:
            raise rules.RefusedError(404, "Not Found")
        if incoming.method != "GET":
            raise rules.RefusedError(405, "Method Not Allowed")
        if incoming.headers.get("apikey") != self.api_key:
            raise rules.RefusedError(401, "Invalid API key")
        self._count()
        if path in self.refuse:
            raise rules.RefusedError(self.refuse[path], "")
        rules.check_source(query)
        with self.org.lock:
            self.org.catch_up()
            endpoint = self.org.endpoints[incoming.stream]
            body = self._writer.page(endpoint, self._page(incoming.stream, incoming))
        if self.charset != "utf-8":
            body = body.decode().encode(self.charset, "xmlcharrefreplace")
        return Answer(200, body, "OK", f"application/xml; charset={self.charset}")

    def _count(self) -> None:
        """Refuse a request if there were too many within the last minute."""
        if self.requests_per_minute is None:
            return
        now = time.monotonic()
        with self._lock:
            self._counted = [at for at in self._counted if at > now - self.minute]
            if len(self._counted) + self.others_per_minute >= self.requests_per_minute:
                raise rules.RefusedError(503, "")
            self._counted.append(now)

    def _page(self, stream: str, incoming: Incoming) -> list[Row]:
        """Return a page of a window or of a plain listing, after rows have moved if they do."""
        now, window = self.org.now(), None
        if stream not in self.org.listings:
            window = rules.window(incoming.query, now, self)
        start, limit = rules.paging(incoming.query)
        if incoming.fault is None:
            if window and window[1] >= now - timedelta(seconds=self.late):
                self.org.grow(stream, self.growing)
            if start:
                served = self._arranged(stream, window, incoming.number)[:start]
                self._move(served, dated=window is not None)
        return self.cut(self._arranged(stream, window, incoming.number), start, limit)

    def _move(self, served: list[Row], *, dated: bool) -> None:
        """Let rows change places that were on earlier pages; those of logs never change."""
        if not served:
            return
        if dated and served[0].table.endpoint.replication_key in _MOVING_KEYS:
            for row in self._chance.sample(served, min(self.moving, len(served))):
                self.org.touch_row(row)
        for row in self._chance.sample(served, min(self.moving_without_date, len(served))):
            self._moved[row] = next(self._moves)

    def _arranged(
        self, stream: str, window: tuple[datetime, datetime] | None, number: int
    ) -> list[Row]:
        """Return the rows of a window, or of a plain listing, in their order."""
        org = self.org
        rows = org.window(stream, *window) if window else list(org.listed(stream))
        return self.arrange(rows, self._moved, number)
