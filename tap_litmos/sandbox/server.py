"""The sandbox: an organisation served over HTTP, on this computer only."""

from __future__ import annotations

import random
import time
from collections import deque
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

_MOVING_KEYS = {"UpdatedDate", "LastLogin"}


@dataclass(slots=True)
class RequestSeen:
    """A request that the sandbox received.

    Attributes:
        time: When it came, by the monotonic clock, in seconds.
        at: When it came, by the organisation's clock.
        path: Its path below the base URL.
        stream: The stream it asks for, None for an unknown path.
        since: The beginning of its window, None if there is none or it cannot be read.
        to: The end of its window, None in the same cases.
        start: From which row on it wants rows, None if it does not say.
        limit: How many rows it wants, None if it does not say.
        headers: Its headers, with names in lower case.
        query: Its parameters as they were sent.
        status: The status code of the answer; 0 until there is one, or if none was sent.
        fault: The fault that was injected, if any.
    """

    time: float
    at: datetime
    path: str
    stream: str | None
    since: datetime | None
    to: datetime | None
    start: int | None
    limit: int | None
    headers: dict[str, str]
    query: dict[str, str]
    status: int = 0
    fault: str | None = None


@dataclass(slots=True)
class Incoming:
    """A request about to be answered, for an `on_request` hook, which may change the query.

    Attributes:
        path: Its path below the base URL.
        stream: The stream it asks for, as in `RequestSeen`.
        query: Its parameters.
        number: Its ordinal number, from 1.
        seen: What `Sandbox.requests` says about it.
    """

    path: str
    stream: str | None
    query: dict[str, str]
    number: int
    seen: RequestSeen


@dataclass(eq=False, repr=False)
class Sandbox(Habits):
    """An HTTP server that answers for an organisation as the Litmos API would.

    It is open within a `with` block, or from `open` to `close`. How it behaves is said by
    its `Habits`, which are parameters as well.

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
    requests: list[RequestSeen] = field(default_factory=list, init=False)
    max_in_flight: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Prepare to open."""
        self._lock = Lock()
        self._closing = Event()
        self._in_flight = 0
        self._counted: deque[float] = deque()
        self._server: Server | None = None
        self._chance = random.Random(self.fault_seed)  # noqa: S311 - no secret
        self._writer = Writer(self)
        self._moved: dict[Row, int] = {}
        self._moves = count(1)

    @property
    def url(self) -> str:
        """The base URL, which the paths of the endpoints follow."""
        if self._server is None:
            raise RuntimeError("the sandbox is not open")
        return f"http://{HOST}:{self._server.server_address[1]}{BASE}"

    def config(self) -> dict[str, str]:
        """Return the settings with which a tap reads all of the sandbox."""
        start = self.org.start.date().isoformat()
        return {"api_key": self.api_key, "api_url": self.url, "start_date": start}

    def open(self) -> Self:
        """Listen, and answer in threads of their own.

        Raises:
            OSError: If the port is in use.
        """
        self._server = Server(self.port, self._respond)
        self._closing.clear()
        self._server.start()
        return self

    def close(self) -> None:
        """Stop answering and close all connections; closing once more does nothing."""
        self._closing.set()
        if self._server:
            self._server.stop()

    def __enter__(self) -> Self:
        """Open the sandbox."""
        return self.open()

    def __exit__(self, *_: object) -> None:
        """Close the sandbox."""
        self.close()

    def _respond(self, handler: Handler) -> None:
        """Answer a request."""
        with self._being_answered():
            incoming = self._receive(handler)
            seen = incoming.seen
            answer = self._answer(incoming, handler.command)
            if seen.fault in {"timeout", "silent"}:
                self._closing.wait(self.timeout_hold if seen.fault == "timeout" else None)
        now = datetime.now(UTC) + timedelta(seconds=self.clock_skew)
        if seen.fault in {"slow-headers", "slow-body"}:
            handler.send_slowly(seen.fault, answer, now, self.trickle, self._closing)
        elif seen.fault and not seen.status:
            seen.status = answer.status if seen.fault.startswith("cut") else 0
            handler.break_off(seen.fault, answer, now)
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
        paths = {
            known: stream
            for stream, endpoint in self.org.endpoints.items()
            for known in (endpoint.path, endpoint.total_path)
            if known
        }
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        seen = RequestSeen(
            time=time.monotonic(),
            at=self.org.now(),
            path=path,
            stream=paths.get(path),
            since=rules.moment(query.get("since")),
            to=rules.moment(query.get("to")),
            start=rules.number(query.get("start")),
            limit=rules.number(query.get("limit")),
            headers={name.lower(): value for name, value in handler.headers.items()},
            query=dict(query),
        )
        with self._lock:
            self.requests.append(seen)
            return Incoming(path, seen.stream, query, len(self.requests), seen)

    def _answer(self, incoming: Incoming, method: str) -> Answer:
        """Return the answer to a request; its status is not noted if it will break off."""
        if self.latency:
            self._closing.wait(self.latency)
        hooked = self.on_request(incoming) if self.on_request else None
        if hooked is not None and not isinstance(hooked, str):
            answer = _own_answer(hooked)
            incoming.seen.status = answer.status
            return answer
        fault = hooked or self.draw_fault(incoming.number)
        return self._answer_with(fault, incoming, method, also_refusals=hooked is not None)

    def _answer_with(
        self, fault: str | None, incoming: Incoming, method: str, *, also_refusals: bool
    ) -> Answer:
        """Return the answer to a request, with a fault if there is to be one."""
        if fault and fault not in faults.ALL_FAULT_KINDS:
            raise ValueError(f"{fault!r} is no fault")
        try:
            answer = self._answer_by_rules(incoming, method, faulty=fault is not None)
        except rules.RefusedError as error:
            answer = faults.refusal(error.status, str(error))
            fault = fault if also_refusals else None
        incoming.seen.fault = fault
        whole = fault and faults.faulty_answer(
            fault, self._root(incoming), incoming.number, self.retry_after
        )
        answer = whole or answer
        if whole or fault in {None, *faults.SLOW_FAULT_KINDS[:2]}:
            incoming.seen.status = answer.status
        return answer

    def _root(self, incoming: Incoming) -> str:
        return self.org.endpoints[incoming.stream].nesting[0] if incoming.stream else "Error"

    def _answer_by_rules(self, incoming: Incoming, method: str, *, faulty: bool) -> Answer:
        """Return the answer that Litmos would give."""
        path, query = incoming.path, incoming.query
        if incoming.stream is None:
            raise rules.RefusedError(404, "Not Found")
        if method != "GET":
            raise rules.RefusedError(405, "Method Not Allowed")
        if incoming.seen.headers.get("apikey") != self.api_key:
            raise rules.RefusedError(401, "Invalid API key")
        self._count()
        if path in self.refuse:
            raise rules.RefusedError(self.refuse[path], "")
        rules.check_source(query)
        with self.org.lock:
            self.org.catch_up()
            rows = self._page(incoming.stream, incoming, move=not faulty)
            endpoint = self.org.endpoints[incoming.stream]
            body = self._writer.page(endpoint, rows)
            if path == endpoint.total_path:
                total = len(self.org.listed(incoming.stream))
                body = self._writer.paginated(body, query, total)
        if self.charset != "utf-8":
            body = body.decode().encode(self.charset, "xmlcharrefreplace")
        return Answer(200, body, "OK", f"application/xml; charset={self.charset}")

    def _count(self) -> None:
        """Refuse a request if there were too many within the last minute."""
        if self.requests_per_minute is None:
            return
        now = time.monotonic()
        with self._lock:
            while self._counted and self._counted[0] <= now - self.minute:
                self._counted.popleft()
            if len(self._counted) + self.others_per_minute >= self.requests_per_minute:
                raise rules.RefusedError(503, "")
            self._counted.append(now)

    def _page(self, stream: str, incoming: Incoming, *, move: bool) -> list[Row]:
        """Return a page of a window or of a plain listing, which is all of it."""
        window = None
        if stream not in self.org.listings:
            now = self.org.now()
            window = rules.window(incoming.query, now, self)
            if move and window.end >= now - timedelta(seconds=self.late):
                self.org.grow(stream, self.growing)
        start, limit = rules.paging(incoming.query)
        if move and start:
            served = self._window(stream, window, incoming.number)[:start]
            self._move(served, dated=window is not None)
        return self.cut(self._window(stream, window, incoming.number), start, limit)

    def _move(self, served: list[Row], *, dated: bool) -> None:
        """Let rows change places that were on earlier pages; those of logs never change."""
        if not served:
            return
        if dated and served[0].table.endpoint.replication_key in _MOVING_KEYS:
            for row in self._chance.sample(served, min(self.moving, len(served))):
                self.org.touch_row(row)
        for row in self._chance.sample(served, min(self.moving_without_date, len(served))):
            self._moved[row] = next(self._moves)

    def _window(self, stream: str, window: rules.Window | None, number: int) -> list[Row]:
        """Return the rows of a window, or of a plain listing, in their order."""
        if window:
            rows = self.org.window(stream, window.first, window.end)
        else:
            rows = list(self.org.listed(stream))
        return self.arrange(rows, self._moved, number)


def _own_answer(hooked: Answer | tuple[int, Mapping[str, str], bytes]) -> Answer:
    """Return the answer that a hook wants to be sent."""
    if isinstance(hooked, Answer):
        return hooked
    status, headers, body = hooked
    return Answer(status, body, responses[status].upper(), headers=dict(headers))
