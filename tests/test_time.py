"""Time: how long the tap waits for an answer, an endpoint, a host, and what clocks may say."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    KEEPS_FAILING,
    NO_ANSWER,
    NOT_READY,
    config_for,
    days_ago,
    page,
    run_tap,
    truth,
)

from tap_litmos.errors import RunFailedError, StreamFailedError
from tap_litmos.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_litmos.declaration import Endpoint
    from tap_litmos.sandbox import Incoming, Organisation

    Answer = Callable[[socket.socket, str], None]
    Serve = Callable[[Answer], str]

BODY = page("users", "<Id>u</Id>")
USERS = ENDPOINT["users"]
QUERY: dict[str, str | int] = {
    "start": 0,
    "since": "2026-01-01 00:00:00",
    "to": "2026-01-08 00:00:00",
}


class Counts:
    """Counts what the transport does."""

    def __init__(self) -> None:
        self.requests = self.retries = 0

    def requested(self) -> None:
        self.requests += 1

    def retried(self) -> None:
        self.retries += 1


@pytest.fixture
def tls() -> ssl.SSLContext | None:
    return None


@pytest.fixture
def serve(tls: ssl.SSLContext | None) -> Iterator[Serve]:
    """Return how to start a server that hands each request to a function; it gives the URL."""
    sockets: list[socket.socket] = []

    def converse(connection: socket.socket, answer: Answer) -> None:
        with contextlib.suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
                sockets.append(connection)
            while head := connection.recv(1 << 16):
                answer(connection, head.decode("latin-1"))

    def start(answer: Answer) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def loop() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                sockets.append(connection)
                arguments = (connection, answer)
                threading.Thread(target=converse, args=arguments, daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        scheme = "https" if tls else "http"
        return f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/v1.svc"

    yield start
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextlib.contextmanager
def transport_to(
    url: str,
    *endpoints: Endpoint,
    fail_fast: bool = False,
    minute: float = 0.1,
    **settings: Any,
) -> Iterator[Transport]:
    config: dict[str, Any] = {
        "api_url": url,
        "api_key": "k",
        "source": "s",
        "requests_per_minute": 1_000_000,
        "max_concurrent_requests": 5,
        "request_timeout": 60,
    }
    opened = Transport(config | settings, endpoints, fail_fast=fail_fast, minute=minute)
    try:
        yield opened
    finally:
        opened.close()


def ok(connection: socket.socket, _: str = "", *headers: str) -> None:
    """Answer with a page."""
    head = ["HTTP/1.1 200 OK", f"Content-Length: {len(BODY)}", *headers, "", ""]
    connection.sendall("\r\n".join(head).encode() + BODY)


# One answer


FORMS = {
    "headers": b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 500 + b"\r\n",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b" " * 500,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100,
    "empty lines": b"HTTP/1.1 100 Continue\r\n\r\n" * 30,
}


def trickling_once(form: str, sent: list[int], stop: threading.Event) -> Answer:
    """Return an answer that comes a byte every tenth of a second, but only the first time."""
    slow = iter([True])

    def answer(connection: socket.socket, _: str) -> None:
        if not next(slow, False):
            ok(connection)
            return
        quick, slowly = FORMS[form][:40], FORMS[form][40:]
        connection.sendall(quick)
        for each in slowly:
            connection.sendall(bytes([each]))
            sent.append(each)
            if stop.wait(0.1):
                return

    return answer


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_trickles_does_not_outlast_the_timeout(form: str, serve: Serve) -> None:
    sent: list[int] = []
    stop, counts = threading.Event(), Counts()
    with transport_to(
        serve(trickling_once(form, sent, stop)), request_timeout=0.5, minute=1
    ) as door:
        fetched = door.fetch(USERS, QUERY, counts)
    stop.set()
    assert fetched.body.rows == 1
    assert (counts.requests, counts.retries) == (2, 1)
    assert len(sent) < 100


class TestOverTLS:
    """The same, where the bytes come from another layer."""

    CA = trustme.CA()

    @pytest.fixture
    def tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.CA.issue_cert("127.0.0.1").configure_cert(context)
        self.CA.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return context

    @pytest.mark.parametrize("form", FORMS)
    def test_an_answer_that_trickles(self, form: str, serve: Serve) -> None:
        test_an_answer_that_trickles_does_not_outlast_the_timeout(form, serve)

    def test_each_answer_has_its_own_time(self, serve: Serve) -> None:
        test_each_answer_of_a_connection_has_its_own_time(serve)


def test_each_answer_of_a_connection_has_its_own_time(serve: Serve) -> None:
    connections: set[socket.socket] = set()
    never, counts = threading.Event(), Counts()

    def answer(connection: socket.socket, _: str) -> None:
        connections.add(connection)
        never.wait(0.6)
        ok(connection)

    with transport_to(serve(answer), request_timeout=1) as door:
        for _ in range(3):
            assert door.fetch(USERS, QUERY, counts).body.rows == 1
    assert counts.retries == 0
    assert len(connections) == 1


def test_what_is_sent(serve: Serve) -> None:
    heads: list[str] = []

    def answer(connection: socket.socket, head: str) -> None:
        heads.append(head)
        ok(connection)

    with transport_to(serve(answer), source="a b&c") as door:
        door.fetch(USERS, QUERY, Counts())
    line = heads[0].splitlines()[0]
    assert line == (
        f"GET /v1.svc{USERS.path}?source=a%20b%26c&start=0"
        "&since=2026-01-01%2000%3A00%3A00&to=2026-01-08%2000%3A00%3A00 HTTP/1.1"
    )


# Clocks


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -1200",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +1200",
        "Mon, 01 Jan 0000 00:00:00 GMT",
        "Mon, 32 Foo 2026 99:00:00 GMT",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "now",
        "",
        "Tue, 24 Nov 2026 10:00:00 +9999999999",
    ],
)
@pytest.mark.parametrize("name", ["Date", "Retry-After"])
def test_a_date_that_is_none_is_not_believed(name: str, date: str, serve: Serve) -> None:
    counts = Counts()

    def answer(connection: socket.socket, _: str) -> None:
        if name == "Retry-After" and counts.requests == 1:
            head = f"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: {date}\r\n\r\n"
            connection.sendall(head.encode())
        else:
            ok(connection, "", f"Date: {date}")

    before = datetime.now(UTC)
    with transport_to(serve(answer)) as door:
        fetched = door.fetch(USERS, QUERY, counts)
    assert before <= fetched.requested_at <= datetime.now(UTC)


# An endpoint that fails alone


def alone(*streams: str, kind: Any) -> Callable[[Incoming], Any]:
    """Return a hook that fails these streams."""
    return lambda incoming: kind if incoming.stream in streams else None


KINDS: dict[str, Any] = {
    "time-outs": "timeout",
    "resets": "reset",
    "dropped connections": "drop",
    "500": "500",
    "503": "503",
    "a redirect": (302, {"Location": "https://litmos.invalid/"}, b""),
    "not modified": (304, {}, b""),
    "an answer that is cut": "cut",
}


@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_an_endpoint_that_fails_alone_from_the_start_fails_its_stream(
    kind: str, concurrency: int, org: Organisation
) -> None:
    first = "achievements"
    with Sandbox(org, on_request=alone(first, kind=KINDS[kind]), timeout_hold=1.5) as box:
        config = config_for(
            box,
            request_timeout=1,
            max_concurrent_requests=concurrency,
            start_date=days_ago(2),
        )
        everything = {**truth_of(box, config), first: {}}
        run = run_tap(config=config, minute=0.5)
    assert box.requests[0].stream == first
    assert run.status == 1
    assert {stream: run.rows(stream) for stream in DEFAULT_STREAMS} == everything
    assert run.failed == [first]
    assert "Traceback" not in run.log


def truth_of(box: Sandbox, config: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of all streams, as a run without faults reads them."""
    hook, box.on_request = box.on_request, None
    run = run_tap(config=config)
    box.on_request = hook
    box.requests.clear()
    return {stream: run.rows(stream) for stream in DEFAULT_STREAMS}


def test_two_endpoints_that_fail_together_do_not_speak_for_the_host(org: Organisation) -> None:
    """Others wait meanwhile: so one that answered before is asked whether it still does."""
    failing = ("achievements", "course_modules")
    with Sandbox(org, on_request=alone(*failing, kind="reset")) as box:
        run = run_tap(config=config_for(box, window_days=1), minute=1.0)
    assert run.status == 1
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == ({} if stream in failing else truth(org, stream))
    assert len(run.failed) == 2
    assert run.stats("total")["requests"] == f"{len(box.requests):,}"


@pytest.mark.parametrize(("status", "refusals"), [(429, 1), (503, 1), (500, 0)])
def test_what_is_refused_for_the_rate_is_noted(
    status: int, refusals: int, serve: Serve
) -> None:
    counts = Counts()

    def answer(connection: socket.socket, _: str) -> None:
        if counts.requests == 1:
            head = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
        else:
            ok(connection)

    with transport_to(serve(answer)) as door:
        door.fetch(USERS, QUERY, counts)
    assert door.rate.refusals == refusals


# A host that does not answer


@pytest.mark.parametrize("concurrency", [1, 5])
def test_a_host_that_is_silent_ends_the_run_for_all_streams(
    concurrency: int, serve: Serve
) -> None:
    asked: Counter[str] = Counter()
    config = {
        "api_key": "k",
        "api_url": serve(lambda _, head: asked.update([head.split("?")[0]])),
        "start_date": days_ago(2),
        "request_timeout": 1,
        "requests_per_minute": 1_000_000,
        "max_concurrent_requests": concurrency,
    }
    run = run_tap(config=config, minute=0.2)
    assert run.status == 1
    assert 2 <= len(asked) <= 6
    [line] = run.lines("CRITICAL")
    assert f"{NO_ANSWER}no complete answer came within 1 s" in line
    assert not run.failed


def test_a_host_that_takes_no_connection_does_not_get_the_time_of_a_response() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        contextlib.ExitStack() as waiting,
    ):
        for _ in range(8):
            each = waiting.enter_context(socket.socket())
            each.settimeout(0)
            each.connect_ex(full.getsockname())
        config = {
            "api_key": "k",
            "api_url": f"http://127.0.0.1:{full.getsockname()[1]}/v1.svc",
            "start_date": days_ago(2),
            "request_timeout": 3600,
        }
        run = run_tap(config=config, minute=0.5)
    assert run.status == 1
    [line] = run.lines("CRITICAL")
    assert f"{NO_ANSWER}no connection was made within 0.25 s" in line


@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("kind", ["reset", "timeout"])
def test_an_outage_in_mid_run_ends_it_for_all_streams(
    kind: str, concurrency: int, org: Organisation
) -> None:
    def hook(incoming: Incoming) -> str | None:
        return kind if incoming.number > 20 else None

    with Sandbox(org, on_request=hook, timeout_hold=1.5) as box:
        config = config_for(
            box, request_timeout=1, max_concurrent_requests=concurrency, window_days=1
        )
        run = run_tap(config=config, minute=0.2)
    assert run.status == 1
    # Others are asked once, to see whether it is the host.
    asked = Counter(each.stream for each in box.requests[20:])
    assert sum(count > 1 for count in asked.values()) < len(DEFAULT_STREAMS) / 2
    assert NO_ANSWER in run.errors[-1]
    assert run.states


@pytest.mark.parametrize(("fail_fast", "most"), [(True, 4), (False, 6)])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_first_contact_that_fails_at_once_is_not_tried_for_long(
    fail_fast: bool,  # noqa: FBT001
    most: int,
    scheme: str,
    serve: Serve,
) -> None:
    # On plain http nobody listens; on https nobody speaks TLS.
    url = "http://127.0.0.1:1"
    if scheme == "https":
        url = serve(lambda connection, _: connection.sendall(b"HTTP/1.1 400 No")).replace(
            "http:", "https:"
        )
    counts = Counts()
    with (
        transport_to(url, fail_fast=fail_fast, minute=4) as door,
        pytest.raises(RunFailedError, match=NO_ANSWER),
    ):
        door.fetch(USERS, QUERY, counts)
    # The waits are at least 1, 2, 4, 8, 16 and 30 seconds, in all no more than the patience.
    assert 2 <= counts.requests <= most


def test_one_stream_is_enough_to_tell_where_there_is_no_other(serve: Serve) -> None:
    with (
        transport_to(serve(lambda connection, _: connection.close()), USERS) as door,
        pytest.raises(RunFailedError, match=NO_ANSWER),
    ):
        door.fetch(USERS, QUERY, Counts())


FAILURES: dict[str, Any] = {
    "500": (500, {}, b""),
    "503": (503, {}, b""),
    "429": (429, {"Retry-After": "2"}, b""),
    "no page": (200, {}, b"<html/>"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_endpoints_that_only_fail_do_not_keep_a_test_for_long(
    failure: str, org: Organisation
) -> None:
    """Five minutes of trying have room for seven requests at least, but are over once."""
    with Sandbox(org, on_request=lambda _: FAILURES[failure]) as box:
        config = config_for(box, max_concurrent_requests=1)
        run = run_tap("--test", config=config, minute=0.2)
    assert run.status == 1
    assert {each.stream for each in box.requests} == set(DEFAULT_STREAMS)
    assert len(box.requests) < 4 * len(DEFAULT_STREAMS)
    assert f" 0{NOT_READY}" in run.errors[-1]


def test_an_endpoint_that_fails_alone_is_tried_for_long_by_a_test_too(
    org: Organisation,
) -> None:
    with Sandbox(org, on_request=alone("achievements", kind="500")) as box:
        run = run_tap("--test", config=config_for(box), minute=0.2)
    assert run.status == 1
    asked = Counter(each.stream for each in box.requests)
    assert asked.pop("achievements") > 2
    assert set(asked.values()) == {1}
    assert f"16{NOT_READY}" in run.errors[-1]


# What does not count


def test_a_request_that_waits_for_its_turn_is_not_given_up(serve: Serve) -> None:
    """Eight requests at one a minute wait longer than five minutes, each for one retry."""
    failed: set[str] = set()
    lock = threading.Lock()

    def answer(connection: socket.socket, head: str) -> None:
        with lock:
            line = head.splitlines()[0]
            first = line not in failed
            failed.add(line)
        if first:
            connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        else:
            ok(connection)

    counts = [Counts() for _ in range(8)]
    with (
        transport_to(serve(answer), requests_per_minute=1, minute=0.1) as door,
        ThreadPoolExecutor(8) as threads,
    ):
        started = [
            threads.submit(door.fetch, USERS, {"start": number}, each)
            for number, each in enumerate(counts)
        ]
        for each in started:
            assert each.result().body.rows == 1
    assert [each.requests for each in counts] == [2] * 8


def test_an_endpoint_is_tried_twice_at_least(serve: Serve) -> None:
    counts = Counts()
    never = threading.Event()

    def answer(connection: socket.socket, _: str) -> None:
        never.wait(0.2)
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    with (
        transport_to(serve(answer), minute=0.01) as door,
        pytest.raises(StreamFailedError, match=KEEPS_FAILING),
    ):
        door.fetch(USERS, QUERY, counts)
    assert counts.requests == 2
