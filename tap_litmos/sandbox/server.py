"""The sandbox: an organisation served over HTTP, on this computer only."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from socketserver import TCPServer
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from . import rules
from .markup import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_litmos.declaration import Endpoint

    from .org import Organisation
    from .tables import Row

    Hook = Callable[["Incoming"], "Answer | tuple[int, Mapping[str, str], bytes] | str | None"]

API_KEY = "sandbox-key-7d1f0c52-3b9e-4c7a-8e64-5a0d9f2b6c18"
BASE = "/v1.svc"
HOST = "127.0.0.1"
HTML = "text/html; charset=utf-8"
_FAULTS = ("429", "500", "502", "503", "504")
_REASONS = responses | {403: "The feature is not enabled for this account"}


@dataclass(slots=True, eq=False)
class Incoming:
    """A request that the sandbox received.

    Attributes:
        number: Its ordinal number, from 1.
        path: Its path below the base URL.
        stream: The stream that it requests, None if the path is unknown.
        query: Its parameters, which an `on_request` hook may change.
        headers: Its headers, with names in lower case.
        at: When it arrived, by the organisation's clock.
        time: When it arrived, by the monotonic clock, in seconds.
        status: The status code of the answer; 0 while there is none.
        fault: The fault that is injected, if any.
        since: The start of its window as sent, None if missing or invalid.
        to: The end of its window, None likewise.
        start: The number of the first row that it wants, None likewise.
        limit: How many rows it wants, None likewise.
    """

    number: int
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
        """Parse the parameters."""
        get = self.query.get
        self.since, self.to = rules.moment(get("since")), rules.moment(get("to"))
        self.start, self.limit = rules.number(get("start")), rules.number(get("limit"))


@dataclass(slots=True)
class Answer:
    """An answer that is ready to send.

    Attributes:
        status: The status code.
        body: The body.
        reason: The reason phrase, which carries the message of a refusal.
        content_type: The media type of the body.
        headers: More headers; they replace the default ones.
    """

    status: int
    body: bytes
    reason: str = ""
    content_type: str = "application/xml; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)

    def head(self, now: datetime) -> dict[str, str]:
        """Return all headers; `now` is what the service's clock shows."""
        return {
            "Date": format_datetime(now, usegmt=True),
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            **self.headers,
        }


def refusal(status: int, message: str = "") -> Answer:
    """Return a refusal, with its message in the reason phrase, as Litmos does."""
    reason = message or _REASONS.get(status, "Refused")
    page = f"<!DOCTYPE html>\n<html><head><title>{reason}</title></head>"
    page += f"<body><h1>{status}</h1><p>{reason}</p></body></html>\n"
    return Answer(status, page.encode(), reason, HTML)


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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    sandbox: Sandbox

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
        on_request: Called with each request first. It may return an answer to send instead,
            or a status code, as text, with which the request fails.
        requests_per_minute: Requests above this rate get a 503; None: unlimited.
        latency: Seconds before each answer.
        faults: Share of requests that fail, from 0 to 1.
        refuse: Paths that are always refused, with the status code.
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
    requests: list[Incoming] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Prepare to open."""
        self.writer = Writer()
        self.closing = Event()
        self._lock = Lock()
        self._server: _Server
        self._counted: list[float] = []

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
        self._server = _Server((HOST, self.port), Handler)
        self._server.sandbox = self
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
        answer = self.answer(self.receive(handler))
        if self.closing.is_set():
            handler.close_connection = True
        else:
            handler.send(answer, datetime.now(UTC))

    def receive(self, handler: Handler) -> Incoming:
        """Record a request."""
        url = urlsplit(handler.path)
        path = unquote(url.path).removeprefix(BASE)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        stream, at = self.org.paths.get(path), self.org.now()
        with self._lock:
            number = len(self.requests) + 1
            incoming = Incoming(number, path, stream, query, headers, at)
            self.requests.append(incoming)
        return incoming

    def answer(self, incoming: Incoming) -> Answer:
        """Return the answer to a request: the hook's, if it has one."""
        self.closing.wait(self.latency)
        answer = self.on_request(incoming) if self.on_request else None
        if isinstance(answer, tuple):
            status, headers, body = answer
            answer = Answer(status, body, responses[status].upper(), headers=dict(headers))
        elif not isinstance(answer, Answer):
            answer = self.own_answer(incoming, answer)
        incoming.status = answer.status
        return answer

    def own_answer(self, incoming: Incoming, wanted: str | None) -> Answer:
        """Return the answer that Litmos would give, unless the request fails.

        Args:
            incoming: The request.
            wanted: The status code with which the hook wants it to fail. None: by chance.
        """
        dice = random.Random(incoming.number)  # noqa: S311 - no secret
        try:
            answer = self.answer_by_rules(incoming)
        except rules.RefusedError as error:
            return refusal(error.status, str(error))
        incoming.fault = wanted or (dice.choice(_FAULTS) if dice.random() < self.faults else None)
        return refusal(int(incoming.fault)) if incoming.fault else answer

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
            body = self.writer.page(endpoint, self.page(endpoint, incoming))
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

    def page(self, endpoint: Endpoint, incoming: Incoming) -> list[Row]:
        """Return the rows of a page, by id."""
        org, stream = self.org, endpoint.stream
        if endpoint.is_listing:
            rows = org.listed(stream)
        else:
            rows = org.window(stream, *rules.window(incoming.query, org.now()))
        start, limit = rules.paging(incoming.query)
        return sorted(rows, key=attrgetter("number"))[start : start + limit]
