"""What is measured, and what is expected of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

import pendulum

from benchmarks.measure import DAY, DEFAULT_STREAMS, ROOT, run, sync
from benchmarks.server import serving, varied
from tap_litmos.streams import ENDPOINTS
from tap_litmos.windows import split_into_windows, start_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measure import Run
    from benchmarks.server import Server

_PATHS = {endpoint.stream: endpoint.path for endpoint in ENDPOINTS}


@dataclass(frozen=True)
class Figure:
    """A line of the table.

    Attributes:
        what: What was measured.
        target: What is expected.
        measured: What came out.
        met: Whether that is as expected.
        beside: What it is to be compared with.
    """

    what: str
    target: str
    measured: str
    met: bool
    beside: str


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        repeats: How often the same is measured; the median counts.
        rows: How many rows for a measurement of processor time.
        many: How many rows are many for memory.
    """

    repeats: int
    rows: int
    many: int


NORMAL = Effort(repeats=5, rows=30_000, many=1_000_000)
QUICK = Effort(repeats=3, rows=10_000, many=200_000)


def requests(_: Effort) -> Iterator[Figure]:
    """Count the requests of a backfill."""
    size, since = 100, datetime.now(UTC) - 100 * DAY
    with serving(rows=None) as server:
        took = sync(server, since=since, page_size=size)
        sent = server.requests()
    asked_for = [
        f"{window.since:%Y-%m-%d}"
        for window in split_into_windows(start_for(_moment(since)), _moment(), days=7)
    ]
    full = sum(varied(window) // size for window in asked_for)
    needed = len(DEFAULT_STREAMS) * (len(asked_for) + full)
    yield Figure(
        f"requests of a backfill of {len(asked_for)} windows of {len(DEFAULT_STREAMS)} streams",
        "windows + full pages, + 20 % at most, behind pages that may be capped",
        f"{len(sent):,}",
        needed <= len(sent) <= 1.2 * needed,
        f"{needed:,} windows and full pages; {took.lines:,} messages",
    )


def idle(_: Effort) -> Iterator[Figure]:
    """Sync what is up to date, each answer taking two seconds."""
    streams, latency = len(DEFAULT_STREAMS), 2.0
    with serving(latency=latency) as server:
        took = sync(
            server,
            since=datetime.now(UTC) - 365 * DAY,
            bookmark=datetime.now(UTC),
            max_concurrent_requests=8,
        )
        sent = server.requests()
    yield Figure(
        f"requests of an up-to-date sync of {streams} streams",
        f"{streams}",
        f"{len(sent)}",
        len(sent) == streams,
        "",
    )
    one_by_one = latency * streams
    yield Figure(
        f"the same at {latency:g} s an answer, 8 at once, start included",
        "under 8.5 s",
        f"{took.seconds:.1f} s",
        took.seconds < 8.5,  # noqa: PLR2004
        f"one after another {one_by_one:g} s: {one_by_one / took.seconds:.1f} x",
    )


def backfill(_: Effort) -> Iterator[Figure]:
    """Backfill a hundred windows, each answer taking two seconds."""
    latency, rate = 2.0, 300
    few = ["users", "courses", "teams", "modules", "achievements", "team_users"]
    few += ["user_courses", "course_results", "module_results"]
    one_by_one = _one_by_one(100)
    for streams in (["users"], few):
        count = 100 // len(streams) * len(streams)
        floor = 60 * count / rate
        since = _start_of(count // len(streams))
        with serving(latency=latency) as server:
            took = sync(
                server,
                since=since,
                streams=streams,
                requests_per_minute=rate,
                max_concurrent_requests=12,
            )
            sent = len(server.requests())
        if sent != count:
            raise RuntimeError(f"{sent} requests instead of {count}")
        yield Figure(
            f"backfill of {count} windows of {_streams(streams)}, {latency:g} s an answer, "
            f"{rate} requests a minute, 12 at once, start included",
            f"at most 1.15 x {floor:.1f} s, the rate's floor",
            f"{took.seconds:.1f} s, {took.seconds / floor:.2f} x",
            took.seconds <= 1.15 * floor,
            f"one after another {count * latency:g} s: {count * latency / took.seconds:.1f} x"
            f" ({one_by_one})",
        )


def _one_by_one(count: int) -> str:
    """Measure the sequential tap, with answers that do not take as long."""
    latency = 0.1
    with serving(latency=latency) as server:
        took = sync(server, since=_start_of(count), streams=["users"], max_concurrent_requests=1)
    return f"measured at {latency:g} s an answer: {took.seconds:.1f} s"


def pipeline(effort: Effort) -> Iterator[Figure]:
    """Compare the processor time of a whole sync with that of parsing alone."""
    stream, rows = "users", effort.rows
    ours, plain, parsing = [], [], []
    today = datetime.now(UTC)
    with serving(rows) as server, serving(0) as empty:

        def plainly(server: Server) -> Run:
            end = (today + DAY).date().isoformat()
            return sync(server, streams=[stream], module="benchmarks.plain", end_date=end)

        for _ in range(effort.repeats):
            parsing.append(_parsing(server, stream, rows))
            ours.append(_beyond_start(lambda each: sync(each, streams=[stream]), server, empty))
            plain.append(_beyond_start(plainly, server, empty))
    ratio, plain_ratio = median(ours) / median(parsing), median(plain) / median(parsing)
    yield Figure(
        f"processor time of a sync of {rows:,} users (51 fields) in pages of 1000",
        "at most 1.4 x xmltodict.parse",
        f"{median(ours):.2f} s, {ratio:.2f} x",
        ratio <= 1.4,  # noqa: PLR2004
        f"xmltodict.parse {median(parsing):.2f} s; a plain SDK tap {plain_ratio:.2f} x",
    )


def rows(effort: Effort) -> Iterator[Figure]:
    """Count the rows for a second of processor time."""
    stream, count = "team_users", 3 * effort.rows
    ours, parsing = [], []
    with serving(count) as server, serving(0) as empty:
        for _ in range(effort.repeats):
            parsing.append(_parsing(server, stream, count))
            ours.append(_beyond_start(lambda each: sync(each, streams=[stream]), server, empty))
    rate = count / median(ours)
    yield Figure(
        f"rows of 11 fields for a second of processor time ({count:,} {stream})",
        "over 15,000",
        f"{rate:,.0f}",
        rate > 15_000,  # noqa: PLR2004
        f"xmltodict.parse alone {count / median(parsing):,.0f}",
    )


def memory(effort: Effort) -> Iterator[Figure]:
    """Compare the peak memory for few and for many rows in one window."""
    few = 20_000
    for stream, many in (("team_users", effort.many), ("users", effort.many // 5)):
        peaks = []
        for count in (few, many):
            with serving(count) as server:
                took = sync(server, streams=[stream])
            if took.lines < count:
                raise RuntimeError(f"{took.lines} messages for {count} rows")
            peaks.append(took.peak_megabytes)
        yield Figure(
            f"peak memory for {few:,} and {many:,} {stream} in one window",
            "under 100 MB, the same for both",
            " and ".join(f"{peak:.0f} MB" for peak in peaks),
            max(peaks) < 100 and max(peaks) < 1.1 * min(peaks),  # noqa: PLR2004
            "",
        )


def start(effort: Effort) -> Iterator[Figure]:
    """Compare the time up to the first request with that of importing the SDK."""
    imported, requested = [], []
    with serving() as server:
        for _ in range(2 * effort.repeats):
            imported.append(run("-c", "import os, singer_sdk; os._exit(0)").seconds)
            took = sync(server)
            requested.append(server.requests()[0] - took.began)
    beyond = median(requested) - median(imported)
    yield Figure(
        "start to first request, beyond `import singer_sdk`",
        "at most 0.3 s",
        f"{beyond:.2f} s",
        beyond <= 0.3,  # noqa: PLR2004
        f"{median(requested):.2f} s and {median(imported):.2f} s",
    )


FIGURES: dict[str, Callable[[Effort], Iterator[Figure]]] = {
    figure.__name__: figure for figure in (requests, idle, backfill, pipeline, rows, memory, start)
}


def _beyond_start(syncing: Callable[[Server], Run], server: Server, empty: Server) -> float:
    """Return the processor time of a sync beyond that of one without rows."""
    return syncing(server).processor_seconds - syncing(empty).processor_seconds


def _parsing(server: Server, stream: str, count: int) -> float:
    """Return the processor time of parsing the pages of a stream."""
    arguments = [server.url, server.api_key, _PATHS[stream], str(count)]
    command = [sys.executable, "-m", "benchmarks.parse", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    return float(done.stdout)


def _moment(at: datetime | None = None) -> pendulum.DateTime:
    return pendulum.instance(at or datetime.now(UTC))


def _start_of(count: int) -> datetime:
    """Return the `start_date` from which there are so many windows."""
    now = _moment()
    return next(
        since
        for days in range(1, 8 * count)
        if len(list(split_into_windows(start_for(since := now.subtract(days=days)), now, days=7)))
        == count
    )


def _streams(streams: list[str]) -> str:
    return "one stream" if len(streams) == 1 else f"{len(streams)} streams"
