"""A Litmos organisation in a process of its own, so that its processor time does not count.

Every window holds as many rows as wanted. They are the sandbox's rows with ids of their own,
put together from pieces, which costs next to nothing.
"""

from __future__ import annotations

import multiprocessing
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import requests

from benchmarks.measure import DEFAULT_STREAMS
from tap_litmos.sandbox import Organisation, Sandbox
from tap_litmos.streams import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.connection import Connection

    from tap_litmos.declaration import Endpoint
    from tap_litmos.sandbox import Incoming

_PATTERNS = 1000

_ID = re.compile(rb"(?<=<I[dD]>)[^<]*")
_DATE = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+")


def varied(since: str) -> int:
    """Return how many rows a window has if that is to differ from window to window."""
    return int(since[:10].replace("-", "")) * 37 % 250


class _Rows:
    """Rows of one stream, any number of them."""

    def __init__(self, endpoint: Endpoint, pages: Iterable[bytes]) -> None:
        begin, end = (f"<{slash}{endpoint.nesting[-1]}>".encode() for slash in ("", "/"))
        self._pieces: list[tuple[bytes, bytes]] = []
        for page in pages:
            head, found, rows = page.partition(begin)
            if found:
                rows, _, tail = rows.rpartition(end)
                self._ends = head, tail
                for row in rows.split(end + begin):
                    before, after = _ID.split(_DATE.sub(b"%DATE%", row), maxsplit=1)
                    self._pieces.append((begin + before, after + end))

    def page(self, first: int, end: int, date: bytes) -> bytes:
        """Return the page of the rows from one number up to another, all of one date."""
        (head, tail), count = self._ends, len(self._pieces)
        parts = [head]
        for number in range(first, end):
            before, after = self._pieces[number % count]
            parts += (before, b"%012d" % number, after)
        return b"".join((*parts, tail)).replace(b"%DATE%", date)


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        url: Its base URL.
        api_key: The key that it takes.
    """

    url: str
    api_key: str
    _pipe: Connection

    def requests(self) -> list[float]:
        """Return when requests came since it was last asked, by the monotonic clock."""
        self._pipe.send(None)
        times: list[float] = self._pipe.recv()
        return times


@contextmanager
def serving(rows: int | None = 0, *, latency: float = 0.0) -> Iterator[Server]:
    """Serve for as long as the context lasts.

    Args:
        rows: How many rows each window has; None: `varied`.
        latency: Seconds before each answer.
    """
    spawning = multiprocessing.get_context("spawn")
    pipe, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, rows, latency), daemon=True)
    process.start()
    theirs.close()
    try:
        url, api_key = pipe.recv()
        yield Server(url, api_key, pipe)
    finally:
        process.terminate()
        process.join()


def _pages(box: Sandbox, endpoint: Endpoint) -> Iterator[bytes]:
    """Yield all pages of a sandbox's stream that are not beyond its first thousand rows."""
    for days in range(0, 42, 7):
        since = box.org.start + timedelta(days=days)
        query = {
            "source": "benchmarks",
            "since": f"{since:%Y-%m-%d %H:%M:%S}",
            "to": f"{since + timedelta(days=7):%Y-%m-%d %H:%M:%S}",
            "limit": str(_PATTERNS),
        }
        headers = {"apikey": box.api_key}
        url = box.url + endpoint.path
        yield requests.get(url, query, headers=headers, timeout=60).content


def _serve(pipe: Connection, rows: int | None, latency: float) -> None:
    org = Organisation(users=_PATTERNS if rows else 50, years=0.1, live=False)
    with Sandbox(org) as box:
        streams = {
            endpoint.stream: _Rows(endpoint, _pages(box, endpoint))
            for endpoint in ENDPOINTS
            if endpoint.stream in DEFAULT_STREAMS
        }

    def answer(incoming: Incoming) -> tuple[int, dict[str, Any], bytes] | None:
        if incoming.stream not in streams:
            return None
        query = incoming.query
        total = varied(query["since"]) if rows is None else rows
        start = min(int(query["start"]), total)
        end = min(start + int(query["limit"]), total)
        date = f"{query['since'][:10]}T12:00:00.000".encode()
        return 200, {}, streams[incoming.stream].page(start, end, date)

    told = 0
    with Sandbox(org, latency=latency, on_request=answer) as box:
        pipe.send((box.url, box.api_key))
        while True:
            pipe.recv()
            seen = box.requests[told:]
            told += len(seen)
            pipe.send([request.time for request in seen])
