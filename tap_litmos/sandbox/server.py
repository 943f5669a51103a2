"""The sandbox: an organisation served over HTTP, on this computer only."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from socketserver import TCPServer
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from . import rules
from .answers import Answer, Incoming, refusal
from .markup import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_litmos.declaration import Endpoint

    from .org import Organisation
    from .tables import Row

    HookAnswer = Answer | tuple[int, Mapping[str, str], bytes] | str | None
    Hook = Callable[[Incoming], HookAnswer]
    Window = tuple[datetime, datetime]

API_KEY = "sandbox-key-7d1f0c52-3b9e-4c7a-8e64-5a0d9f2b6c18"
BASE = "/v1.svc"
HOST = "127.0.0.1"

_FAULTS = ("429", "500", "502", "503", "504")
_MAX_FAULTS_IN_A_ROW = 3

Order = Literal["id", "updated", "newest", "shuffled ties", "random"]

_UNSTABLE_ORDERS = {"shuffled ties", "random"}
_MOVING_KEYS = {"UpdatedDate", "LastLogin"}  # log entries never change


class Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        """Answer until the client closes the connection."""
        with suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        """Answer a request."""
        self.server.sandbox.respond(self)

    def send(self, answer: Answer, now: datetime) -> None:
        """Send an answer."""
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.head(now).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # without the look-up of this computer's name


@dataclass(eq=False, repr=False)
class Sandbox:
    """An HTTP server that answers for an organisation as the Litmos API would.

    It is open within a `with` block.

    Attributes:
        org: The organisation to serve.
        port: The port on the loopback interface; 0 picks a free one.
        api_key: The only valid key.
        on_request: Called with each request first. It may return an answer to send instead.
        requests_per_minute: Requests above this rate get a 503; None: unlimited.
        latency: Seconds before each answer.
        faults: Share of requests that fail, from 0 to 1; the same page fails three times in
            a row at most.
        refuse: Paths that are always refused, with the status code.
        order: How the rows of a window are ordered: by id, by date of change (oldest or
            newest first), with rows of the same second shuffled by each request, or at random.
        moving: How many rows of earlier pages change before each further page.
        page_cap: The most rows in a page, whatever its limit; None: no cap.
        fault_seed: Decides which requests fail, which rows move, and what is shuffled.
        requests: Every request that was received, including refused ones.
    """

    org: Organisation
    port: int = field(default=0, kw_only=True)
    api_key: str = field(default=API_KEY, kw_only=True)
    on_request: Hook | None = field(default=None, kw_only=True)
    requests_per_minute: int | None = field(default=None, kw_only=True)
    latency: float = field(default=0.0, kw_only=True)
    faults: float = field(default=0.0, kw_only=True)
    refuse: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    order: Order = field(default="id", kw_only=True)
    moving: int = field(default=0, kw_only=True)
    page_cap: int | None = field(default=None, kw_only=True)
    fault_seed: int = field(default=1, kw_only=True)
    requests: list[Incoming] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Prepare to open."""
        self.writer = Writer()
        self.closing = Event()
        self._lock = Lock()
        self.chance = random.Random(self.fault_seed)  # noqa: S311 - no secret
        self._server: _Server
        self._counted: list[float] = []
        self._failed_in_a_row: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The base URL of all paths, while the sandbox is open."""
        return f"http://{HOST}:{self._server.server_address[1]}{BASE}"

    def config(self) -> dict[str, Any]:
        """Return the settings with which a tap reads all of the sandbox."""
        start = self.org.start.date().isoformat()
        return {"api_key": self.api_key, "api_url": self.url, "start_date": start}

    def __enter__(self) -> Self:
        """Start to listen.

        Raises:
            OSError: If the port is in use.
        """
        self._server = _Server(self.port, self)
        self.closing.clear()
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening. A request on a connection that is still open gets no answer."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def respond(self, handler: Handler) -> None:
        """Receive a request and send its answer."""
        incoming = self._receive(handler)
        answer = self.answer(incoming)
        if self.closing.is_set():
            handler.close_connection = True
        else:
            self.deliver(handler, incoming, answer)

    def _receive(self, handler: Handler) -> Incoming:
        """Record a request."""
        url = urlsplit(handler.path)
        path = unquote(url.path)
        path = path.removeprefix(BASE) if path.startswith(f"{BASE}/") else path
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        stream, at = self.org.paths.get(path), self.org.now()
        with self._lock:
            number = len(self.requests) + 1
            incoming = Incoming(number, handler.command, path, stream, query, headers, at)
            self.requests.append(incoming)
        return incoming

    def deliver(self, handler: Handler, _: Incoming, answer: Answer) -> None:
        """Send an answer."""
        handler.send(answer, datetime.now(UTC))

    def answer(self, incoming: Incoming) -> Answer:
        """Return the answer to a request: the hook's, if it has one."""
        self.closing.wait(self.latency)
        answer = self.on_request(incoming) if self.on_request else None
        if isinstance(answer, tuple):
            status, headers, body = answer
            answer = Answer(status, body, responses[status].upper(), headers=dict(headers))
        elif not isinstance(answer, Answer):
            answer = self._own_answer(incoming, answer)
        incoming.status = answer.status
        return answer

    def _own_answer(self, incoming: Incoming, wanted: str | None) -> Answer:
        """Return the answer that Litmos would give, or a fault.

        Args:
            incoming: The request.
            wanted: The fault that a hook wants, even if Litmos would refuse. None: by chance.
        """
        incoming.fault = wanted or self._fault_by_chance(incoming)
        try:
            answer = self.answer_by_rules(incoming)
        except rules.RefusedError as error:
            answer = refusal(error.status, str(error))
            incoming.fault = wanted
        return self.faulty(incoming) or answer

    def _fault_by_chance(self, incoming: Incoming) -> str | None:
        """Return a fault, unless the page has failed too often in a row."""
        page = f"{incoming.path} {sorted(incoming.query.items())}"
        with self._lock:
            failed = self._failed_in_a_row[page]
            fault = self.draw_fault(incoming.number) if failed < _MAX_FAULTS_IN_A_ROW else None
            self._failed_in_a_row[page] = failed + 1 if fault else 0
        return fault

    def draw_fault(self, number: int) -> str | None:
        """Return the fault that a request meets by chance, if any."""
        chance = random.Random(f"{self.fault_seed} {number}")  # noqa: S311 - no secret
        return chance.choice(_FAULTS) if chance.random() < self.faults else None

    def faulty(self, incoming: Incoming) -> Answer | None:
        """Return the answer of a request's fault, None if it has no fault."""
        return refusal(int(incoming.fault)) if incoming.fault else None

    def answer_by_rules(self, incoming: Incoming) -> Answer:
        """Return the answer that Litmos would give."""
        path, query = incoming.path, incoming.query
        if incoming.stream is None:
            raise rules.RefusedError(404, "Not Found")
        if incoming.headers.get("apikey") != self.api_key:
            raise rules.RefusedError(401, "Invalid API key")
        self.check_rate()
        if path in self.refuse:
            raise rules.RefusedError(self.refuse[path])
        rules.check_source(query)
        with self.org.lock:
            self.org.catch_up()
            endpoint = self.org.endpoints[incoming.stream]
            body = self.writer.page(endpoint, self._page(endpoint, incoming))
            if path == endpoint.total_path:
                total = len(self.org.listed(endpoint.stream))
                body = self.writer.paginated(body, query, total)
        return Answer(200, body, "OK")

    def check_rate(self, minute: float = 60.0, others: int = 0) -> None:
        """Refuse a request if there were too many within the last minute.

        Args:
            minute: The length of a minute, in seconds.
            others: How many requests per minute other clients make with the same key.
        """
        if self.requests_per_minute is None:
            return
        now = time.monotonic()
        with self._lock:
            self._counted = [at for at in self._counted if at > now - minute]
            if len(self._counted) + others >= self.requests_per_minute:
                raise rules.RefusedError(503)
            self._counted.append(now)

    def _page(self, endpoint: Endpoint, incoming: Incoming) -> list[Row]:
        """Return the rows of a page, after rows have changed."""
        window = None if endpoint.is_listing else self.window(incoming.query)
        start, limit = rules.paging(incoming.query)
        if incoming.fault is None:
            self.change_rows(endpoint, window, incoming, start)
        rows = self.rows(endpoint, window, incoming)
        return self.cut(rows, start, min(limit, self.page_cap or limit))

    def window(self, query: Mapping[str, str]) -> Window:
        """Return the half-open interval that a request selects."""
        return rules.window(query, self.org.now())

    def change_rows(
        self, endpoint: Endpoint, window: Window | None, incoming: Incoming, start: int
    ) -> None:
        """Change rows before a page is cut: some of those on earlier pages, if they move."""
        if window and start and self.moving and endpoint.replication_key in _MOVING_KEYS:
            served = self.rows(endpoint, window, incoming)[:start]
            for row in self.chance.sample(served, min(self.moving, len(served))):
                self.org.touch_row(row)

    def rows(self, endpoint: Endpoint, window: Window | None, incoming: Incoming) -> list[Row]:
        """Return all rows of a window or of a plain listing, in order."""
        org, stream = self.org, endpoint.stream
        rows = org.window(stream, *window) if window else list(org.listed(stream))
        if self.order in _UNSTABLE_ORDERS:
            random.Random(f"{self.fault_seed} {incoming.number}").shuffle(rows)  # noqa: S311
        if self.order == "shuffled ties":
            rows.sort(key=lambda row: row.stamp.replace(microsecond=0))
        elif self.order == "newest":
            rows.reverse()
        elif self.order == "id":
            rows.sort(key=attrgetter("number"))
        return rows

    def cut(self, rows: list[Row], start: int, limit: int) -> list[Row]:
        """Return a page of rows."""
        return rows[start : start + limit]
