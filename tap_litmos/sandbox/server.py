"""The sandbox: an organisation served over HTTP, on this computer only."""

from __future__ import annotations

import random
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Literal, Self

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from tap_litmos.streams import ENDPOINTS

from . import markup, rules
from .faults import (
    DEFAULT_FAULT_KINDS,
    FAULT_KINDS,
    REASONS,
    XML,
    Answer,
    break_connection,
    faulty_answer,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from types import TracebackType

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .org import Organisation
    from .tables import Row

    HookAnswer = Response | tuple[int, Mapping[str, str], bytes] | str | None
    Hook = Callable[["Incoming"], HookAnswer]

Order = Literal["id", "updated"]

API_KEY = "sandbox-key-7d1f0c52-3b9e-4c7a-8e64-5a0d9f2b6c18"
BASE = "/v1.svc"
HOST = "127.0.0.1"

_BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}
_BY_STREAM = {endpoint.stream: endpoint for endpoint in ENDPOINTS}
_MOVING_KEYS = {"UpdatedDate", "LastLogin"}
_COMPUTED = {"Content-Length", "Content-Type", "Date", "Server", "Connection"}
_KEPT_WINDOWS = 64
_PATIENCE = 2.0

_LISTED = ("Id", "Name", "Active")
_LISTED_OF = {
    "user_ids": ("Id", "UserName", "FirstName", "LastName", "Active", "Email"),
    "course_ids": ("Id", "Code", "Name", "Active"),
}


@dataclass(slots=True)
class RequestSeen:
    """A request that the sandbox received.

    Attributes:
        time: When it came, by the monotonic clock, in seconds.
        at: When it came, by the organisation's clock.
        path: Its path below the base URL.
        stream: The stream it asks for, None for an unknown path.
        since: The beginning of its window, None if there is none or it cannot be read.
        to: The end of its window, likewise.
        start: From which row on it wants rows, None if it does not say.
        limit: How many rows it wants, likewise.
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
        number: The how-manieth request it is, from 1.
        seen: What `Sandbox.requests` says about it.
    """

    path: str
    stream: str | None
    query: dict[str, str]
    number: int
    seen: RequestSeen


class Sandbox:
    """An HTTP server that answers for an organisation as the Litmos API would.

    Attributes:
        org: The organisation.
        api_key: The only key that is let in.
        requests: Every request that was received, also refused ones.
        max_in_flight: How many requests were being answered at once at most.
    """

    def __init__(  # noqa: PLR0913 - each is a separate habit of the real service
        self,
        org: Organisation,
        *,
        port: int = 0,
        api_key: str = API_KEY,
        requests_per_minute: int | None = None,
        minute: float = 60.0,
        latency: float = 0.0,
        faults: float = 0.0,
        fault_kinds: tuple[str, ...] = DEFAULT_FAULT_KINDS,
        fault_seed: int = 1,
        retry_after: int = 1,
        timeout_hold: float = 5.0,
        on_request: Hook | None = None,
        moving: int = 0,
        reading: rules.Reading = "instant",
        inclusive: tuple[bool, bool] = (True, True),
        overfull: int = 0,
        order: Order = "id",
        spelling: markup.Spelling = "document",
        refuse: Mapping[str, int] | None = None,
    ) -> None:
        """Prepare a sandbox; it is open within a `with` block, or from `open` to `close`.

        Args:
            org: The organisation to serve.
            port: The port on the loopback interface; 0 picks a free one.
            api_key: The key that clients must send.
            requests_per_minute: More than these are answered with 503. None: any number.
            minute: How long a minute takes, in seconds.
            latency: How long to wait before each answer, in seconds.
            faults: The share of requests that fail, from 0 to 1.
            fault_kinds: The ways in which they fail: some of `FAULT_KINDS`.
            fault_seed: Decides which requests fail, and how.
            retry_after: After how many seconds a 429 wants to be asked again.
            timeout_hold: How long the fault "timeout" keeps silent, in seconds.
            on_request: Called with each request before anything else; it may return None to
                let it be answered, an answer to send instead, or a fault to inject.
            moving: So many rows that were served on earlier pages of a window are updated
                before a later page is cut. Logs of activities never move.
            reading: Whether `since` and `to` are instants, or only their dates count.
            inclusive: Whether a window includes its `since`, and its `to`.
            overfull: Full pages carry so many rows more than their limit, if there are.
            order: Whether the rows of a window come by id or by date of change.
            spelling: How fields are spelled: as the document does, by their canonical
                names, or by the other spellings that are known.
            refuse: Paths that are always refused, with the status code.
        """
        self.org = org
        self.api_key = api_key
        self.requests: list[RequestSeen] = []
        self.max_in_flight = 0
        self._port = port
        self._requests_per_minute = requests_per_minute
        self._minute = minute
        self._latency = latency
        self._faults = faults
        self._fault_kinds = fault_kinds
        self._fault_seed = fault_seed
        self._retry_after = retry_after
        self._timeout_hold = timeout_hold
        self._on_request = on_request
        self._moving = moving
        self._reading = reading
        self._inclusive = inclusive
        self._overfull = overfull
        self._order = order
        self._spelling = spelling
        self._refuse = dict(refuse or {})
        self._lock = Lock()
        self._closing = Event()
        self._in_flight = 0
        self._counted: deque[float] = deque()
        self._server: _Server | None = None
        self._thread: Thread | None = None
        self._moves = random.Random(fault_seed)  # noqa: S311 - no secret
        self._windows: dict[tuple[str, rules.Window], tuple[int, list[Row]]] = {}

    @property
    def url(self) -> str:
        """The base URL, which the paths of the endpoints follow."""
        if self._server is None:
            raise RuntimeError("the sandbox is not open")
        return f"http://{HOST}:{self._server.port}{BASE}"

    def config(self) -> dict[str, str]:
        """Return the settings with which a tap reads all of the sandbox."""
        start = self.org.start.date().isoformat()
        return {"api_key": self.api_key, "api_url": self.url, "start_date": start}

    def open(self) -> Self:
        """Listen, and answer in threads of their own.

        Raises:
            OSError: If the port is in use.
        """
        with socket.create_server((HOST, self._port), backlog=128) as listening:
            server = _Server(self._app, listening)
        self._closing.clear()
        self._server = server
        self._thread = Thread(
            target=server.serve_forever, args=(0.02,), name="litmos-sandbox", daemon=True
        )
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop answering and close all connections; closing once more does nothing."""
        server, thread = self._server, self._thread
        self._thread = None
        if server is None or thread is None:
            return
        self._closing.set()
        server.shutdown()
        thread.join()
        server.hang_up()

    def __enter__(self) -> Self:
        """Open the sandbox."""
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the sandbox."""
        self.close()

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request: the WSGI application."""
        with self._lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            incoming = self._receive(Request(environ))
        try:
            answer = self._answer(incoming, environ)
        finally:
            with self._lock:
                self._in_flight -= 1
        incoming.seen.status = answer.status
        start_response(answer.line, answer.all_headers())
        return [answer.body]

    def _receive(self, request: Request) -> Incoming:
        """Take note of a request."""
        path = request.path.removeprefix(BASE) if request.path.startswith(f"{BASE}/") else ""
        endpoint = _BY_PATH.get(path)
        stream = endpoint.stream if endpoint else None
        query = request.args.to_dict()
        seen = RequestSeen(
            time=time.monotonic(),
            at=self.org.now(),
            path=path or request.path,
            stream=stream,
            since=rules.moment(query.get("since")),
            to=rules.moment(query.get("to")),
            start=rules.number(query.get("start")),
            limit=rules.number(query.get("limit")),
            headers={name.lower(): value for name, value in request.headers.items()},
            query=dict(query),
        )
        self.requests.append(seen)
        return Incoming(seen.path, stream, query, len(self.requests), seen)

    def _answer(self, incoming: Incoming, environ: WSGIEnvironment) -> Answer:
        """Return the answer to a request; raise ConnectionError once it is cut off instead."""
        if self._latency:
            self._closing.wait(self._latency)
        hooked = self._on_request(incoming) if self._on_request else None
        if hooked is not None and not isinstance(hooked, str):
            return _own_answer(hooked)
        fault = hooked or self._draw_fault(incoming.number)
        if fault and fault not in FAULT_KINDS:
            raise ValueError(f"{fault!r} is no fault")
        try:
            answer = self._answer_by_rules(incoming, environ, faulty=fault is not None)
        except rules.RefusedError as error:
            answer = refusal(error.status, str(error))
            if hooked is None:
                return answer
        if fault is None:
            return answer
        incoming.seen.fault = fault
        whole = faulty_answer(fault, incoming.number, self._retry_after)
        if whole is not None:
            return whole
        if fault == "timeout":
            self._closing.wait(self._timeout_hold)
        if fault.startswith("cut"):
            incoming.seen.status = answer.status
        with suppress(OSError):  # the client may be gone already
            break_connection(fault, answer, environ["werkzeug.socket"])
        raise ConnectionAbortedError(fault)

    def _draw_fault(self, number: int) -> str | None:
        """Return the fault that a request meets by chance."""
        chance = random.Random(f"{self._fault_seed} {number}")  # noqa: S311 - no secret
        return chance.choice(self._fault_kinds) if chance.random() < self._faults else None

    def _answer_by_rules(
        self, incoming: Incoming, environ: WSGIEnvironment, *, faulty: bool
    ) -> Answer:
        """Return the answer that Litmos would give."""
        path, query = incoming.path, incoming.query
        if incoming.stream is None:
            raise rules.RefusedError(404, "Not Found")
        if environ["REQUEST_METHOD"] != "GET":
            raise rules.RefusedError(405, "Method Not Allowed")
        if incoming.seen.headers.get("apikey") != self.api_key:
            raise rules.RefusedError(401, "Invalid API key")
        self._count()
        if path in self._refuse:
            raise rules.RefusedError(self._refuse[path], REASONS.get(self._refuse[path], ""))
        rules.check_source(query)
        with self.org.lock:
            self.org.catch_up()
            if incoming.stream in self.org.listings:
                return self._list(incoming.stream, query)
            window = rules.window(query, self.org.now(), self._reading, self._inclusive)
            start, limit = rules.paging(query)
            return self._cut(incoming.stream, window, start, limit, move=not faulty)

    def _count(self) -> None:
        """Refuse a request if there were too many within the last minute."""
        if self._requests_per_minute is None:
            return
        now = time.monotonic()
        with self._lock:
            while self._counted and self._counted[0] <= now - self._minute:
                self._counted.popleft()
            if len(self._counted) >= self._requests_per_minute:
                raise rules.RefusedError(503, REASONS[503])
            self._counted.append(now)

    def _list(self, stream: str, query: Mapping[str, str]) -> Answer:
        """Return a page of a plain listing: what exists now."""
        start, limit = rules.paging(query)
        rows = self.org.listed(stream)[start : start + limit]
        names = _LISTED_OF.get(stream, _LISTED)
        return Answer(200, markup.listing(_BY_STREAM[stream], names, rows), "OK")

    def _cut(
        self, stream: str, window: rules.Window, start: int, limit: int, *, move: bool
    ) -> Answer:
        """Return a page of a window."""
        endpoint = _BY_STREAM[stream]
        rows = self._window(stream, window)
        if move and start and self._moving and endpoint.replication_key in _MOVING_KEYS:
            served = rows[:start]
            for row in self._moves.sample(served, min(self._moving, len(served))):
                self.org.touch_row(row)
            rows = self._window(stream, window)
        more = self._overfull if len(rows) >= start + limit else 0
        chosen = rows[start : start + limit + more]
        return Answer(200, markup.page(endpoint, chosen, self._spelling), "OK")

    def _window(self, stream: str, window: rules.Window) -> list[Row]:
        """Return the rows of a window in their order, kept until something changes."""
        version = self.org.version(stream)
        known, rows = self._windows.get((stream, window), (-1, []))
        if known != version:
            rows = self.org.window(stream, window.first, window.end)
            if self._order == "id":
                rows.sort(key=attrgetter("number"))
            if len(self._windows) > _KEPT_WINDOWS:
                self._windows.clear()
            self._windows[stream, window] = version, rows
        return rows


def _own_answer(hooked: Response | tuple[int, Mapping[str, str], bytes]) -> Answer:
    """Return the answer that a hook wants to be sent."""
    if isinstance(hooked, tuple):
        status, given, body = hooked
        hooked = Response(body, status, given, content_type=given.get("Content-Type", XML))
    return Answer(
        status=hooked.status_code,
        body=hooked.get_data(),
        reason=hooked.status.partition(" ")[2],
        content_type=hooked.content_type or XML,
        headers=[each for each in hooked.headers if each[0] not in _COMPUTED],
    )


class _Server(ThreadedWSGIServer):
    """A server that knows its connections, so that none stays behind."""

    daemon_threads = True

    def __init__(self, app: WSGIApplication, listening: socket.socket) -> None:
        """Serve an application on a socket that listens already."""
        self.connections: set[socket.socket] = set()
        port = listening.getsockname()[1]
        super().__init__(HOST, port, app, _Handler, fd=listening.fileno())

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take note of a connection, and handle it in a thread of its own."""
        self.connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Forget a connection once it is closed."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.discard(request)

    def hang_up(self) -> None:
        """Close all connections, and wait a little for their threads to end."""
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        patience = time.monotonic() + _PATIENCE
        while self.connections and time.monotonic() < patience:
            time.sleep(0.002)


class _Handler(WSGIRequestHandler):
    """Handles the requests of one connection, which stays open between them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request; other than werkzeug's own, keep the connection."""
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # whatever follows the headers is not read
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(line: str, headers: list[tuple[str, str]], _: object = None) -> Any:
            head.append((line, headers))

        try:
            body = b"".join(self.server.app(self.make_environ(), start_response))
            [(line, headers)] = head
            status, _, reason = line.partition(" ")
            self.send_response(int(status), reason)
            for name, value in headers:
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - as in the base
        """Say nothing."""
