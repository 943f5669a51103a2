"""The rate limit: never more than allowed, evenly, with other processes and other programs."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strange import StrangeSandbox as Sandbox
from support import catalog_of, config_for, run_tap, truth

from tap_litmos import rate
from tap_litmos.errors import RunFailedError
from tap_litmos.rate import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_litmos.sandbox import Organisation


class Clock:
    """A clock that only waiting moves on."""

    def __init__(self) -> None:
        self.now = 1e9

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 1e-6


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate, "time", clock)
    return clock


def limit_of(requests: int, *, file: Path | str | None = None, key: str = "k") -> RateLimit:
    return RateLimit(requests, file=str(file) if file else None, key=key, min_burst=28)


def turns(limit: RateLimit, clock: Clock, count: int) -> list[float]:
    """Return when so many requests went out that never had to wait for anything else."""
    moments = []
    for _ in range(count):
        limit.acquire()
        moments.append(clock.now)
    return moments


def most_within(moments: list[float], span: float) -> int:
    """Return the most moments that any span holds."""
    held: deque[float] = deque()
    most = 0
    for moment in sorted(moments):
        held.append(moment)
        while held[0] <= moment - span:
            held.popleft()
        most = max(most, len(held))
    return most


# The pace of one process


def test_an_up_to_date_sync_goes_out_at_once_also_after_a_quiet_minute(clock: Clock) -> None:
    limit, start = limit_of(90), clock.now
    assert turns(limit, clock, 28)[-1] == start
    turns(limit, clock, 300)
    clock.now += 61
    assert clock.now == turns(limit, clock, 28)[-1]


@pytest.mark.parametrize("count", [300, 561, 2000])
def test_a_backfill_is_even_and_close_to_its_floor(count: int, clock: Clock) -> None:
    start = clock.now
    moments = turns(limit_of(90), clock, count)
    assert most_within(moments, 60) <= 90
    assert max(late - early for early, late in pairwise(moments)) < 6
    assert moments[-1] - start <= 1.15 * (60 * ((count - 1) // 90))


@given(
    requests=st.integers(1, 120),
    idle=st.lists(st.floats(0, 150) | st.just(0.0), min_size=1, max_size=200),
)
def test_no_minute_holds_more_than_the_rate_whatever_the_demand(
    requests: int, idle: list[float]
) -> None:
    clock, moments = Clock(), list[float]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "time", clock)
        limit = limit_of(requests)
        for seconds in idle:
            clock.now += seconds
            moments += turns(limit, clock, 3)
    assert most_within(moments, 60) <= requests


# Other programs with the key


class Litmos:
    """Refuses what is too much within a minute, to the tap and to another program."""

    def __init__(self, clock: Clock, other: int) -> None:
        self._clock, self._other = clock, other
        self._next_of_other = clock.now
        self._counted: deque[float] = deque()
        self.refused_other = 0

    def _admit(self, now: float) -> bool:
        while self._counted and self._counted[0] <= now - 60:
            self._counted.popleft()
        is_admitted = len(self._counted) < 100
        self._counted.extend([now] * is_admitted)
        return is_admitted

    def serve(self) -> bool:
        while self._next_of_other <= self._clock.now:
            self.refused_other += not self._admit(self._next_of_other)
            self._next_of_other += 60 / self._other
        return self._admit(self._clock.now)


@pytest.mark.parametrize("other", [30, 60, 80])
def test_what_others_leave_is_used(
    other: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limit, litmos, end = limit_of(90), Litmos(clock, other), clock.now + 3600
    chance = random.Random(1)  # noqa: S311
    served = refused = tries = 0
    while clock.now < end:
        limit.acquire()
        if litmos.serve():
            served, tries = served + 1, 0
            continue
        refused, tries = refused + 1, tries + 1
        wait = min(2.0 ** (tries - 1), 30) * chance.uniform(1, 1.5)
        if tries > 1:  # Litmos also returns 503 for no reason
            limit.refused(wait)
        clock.now += wait
    assert served > 0.75 * 60 * (100 - other)
    assert refused < 0.1 * served
    assert litmos.refused_other < 0.1 * 60 * other
    assert limit.slowdowns > 1
    # Threads of earlier tests may still log, but as their streams.
    assert [record.name for record in caplog.records].count("tap-litmos") == 1


def test_a_share_is_seven_tenths_and_is_won_back(clock: Clock) -> None:
    limit = limit_of(90)
    turns(limit, clock, 60)
    for _ in range(5):  # in flight together
        limit.refused(60)
    assert limit.slowdowns == 1
    before = turns(limit, clock, 200)
    assert 55 <= most_within(before[50:], 60) <= 70
    clock.now += 30 * 60
    assert most_within(turns(limit, clock, 200), 60) > 85


def test_it_never_slows_down_to_nothing(clock: Clock) -> None:
    limit = limit_of(90)
    for _ in range(20):
        clock.now += 31
        limit.refused(0)
    start = clock.now
    turns(limit, clock, 90)
    assert clock.now - start < 11 * 61


def test_the_rate_limit_of_litmos_is_waited_for(org: Organisation) -> None:
    some = ("courses", "module_results", "users", "teams", "modules")
    with Sandbox(org, requests_per_minute=20, others_per_minute=4, minute=1.0) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of(*some), minute=1.0)
    assert run.status == 0
    assert 503 in {seen.status for seen in box.requests}
    for stream in some:
        assert run.rows(stream) == truth(org, stream)


def test_the_rate_is_kept_with_all_retries(org: Organisation) -> None:
    faults = {"faults": 0.3, "fault_kinds": ("500", "reset", "cut", "html")}
    with Sandbox(org, **faults) as box:  # type: ignore[arg-type]
        config = config_for(box, requests_per_minute=40, max_concurrent_requests=12)
        run = run_tap(config=config, minute=1.0)
    assert run.status == 0
    times = [seen.time for seen in box.requests]
    assert len(times) > 60
    assert times[-1] - times[0] >= 0.95 * (len(times) // 40 - 1)


# A file that processes share


WORKER = """
import sys, time
from tap_litmos.rate import RateLimit
path, rate, count = sys.argv[1], *map(int, sys.argv[2:])
limit = RateLimit(rate, file=path, key="k", min_burst=28, minute=1.0)
for _ in range(count):
    limit.acquire()
    print(time.time(), flush=True)
"""


@contextlib.contextmanager
def worker(path: Path, requests: int, count: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", "-c", WORKER, str(path), str(requests), str(count)]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_processes_that_share_a_file_keep_the_rate_together(tmp_path: Path) -> None:
    moments: list[float] = []
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(worker(tmp_path / "rate.db", 60, 40)) for _ in range(3)]
        for process in started:
            printed, logged = process.communicate(timeout=60)
            assert not logged
            moments += map(float, printed.split())
    assert len(moments) == 120
    assert most_within(moments, 0.9) <= 60  # a line may be printed later than it was allowed


def test_processes_that_are_killed_leave_a_file_that_works(tmp_path: Path) -> None:
    path, chance = tmp_path / "rate.db", random.Random(1)  # noqa: S311
    for _ in range(2):
        with worker(path, 2_000, 100_000) as first, worker(path, 2_000, 100_000) as second:
            for process in (first, second):
                assert process.stdout is not None
                process.stdout.read(chance.randrange(1, 500))
                process.kill()
    with worker(path, 2_000, 100) as last:
        printed, logged = last.communicate(timeout=60)
    assert (printed.count("\n"), logged) == (100, "")


def test_other_keys_count_for_themselves(tmp_path: Path, clock: Clock) -> None:
    start = clock.now
    for key in ("secret-1", "secret-2"):
        limit = limit_of(2, file=tmp_path / "rate.db", key=key)
        limit.acquire()
    assert clock.now == start
    assert b"secret" not in (tmp_path / "rate.db").read_bytes()


def test_turns_from_the_future_hold_nobody_up(tmp_path: Path, clock: Clock) -> None:
    """A clock may be set back."""
    limit = limit_of(2, file=tmp_path / "rate.db")
    turns(limit, clock, 3)
    clock.now = start = clock.now - 3600
    limit.acquire()
    assert clock.now == start


def test_the_path_may_begin_in_the_home_folder(tmp_path: Path, org: Organisation) -> None:
    with Sandbox(org) as box:
        config = config_for(box, rate_limit_file="~/rate.db")
        run = run_tap(config=config, catalog=catalog_of("users"), env={"HOME": str(tmp_path)})
    assert run.status == 0
    assert not run.warnings
    assert (tmp_path / "rate.db").stat().st_size


@pytest.mark.parametrize("is_open", [False, True])
def test_a_file_that_is_no_database_ends_the_run(
    is_open: bool,  # noqa: FBT001
    tmp_path: Path,
    clock: Clock,
) -> None:
    """Other runs could not count its requests."""
    path = tmp_path / "rate.db"
    if is_open:
        limit = limit_of(90, file=path)
        turns(limit, clock, 5)
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(RunFailedError, match="rate_limit_file"):
        (limit if is_open else limit_of(90, file=path)).acquire()
