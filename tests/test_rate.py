"""The rate limit: never more than allowed, evenly, with other processes and other users."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strange import StrangeSandbox as Sandbox
from support import catalog_of, command_with_minute, config_for, run_tap, started, truth

from tap_litmos.rate import RateLimit
from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def never(_: float) -> None:
    pytest.fail("there is nothing to wait for")


SOME = ("courses", "module_results", "users", "teams", "modules")


class Clock:
    """A clock that only waiting moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 1e-6


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limit_of(rate: int, clock: Clock, *, file: str | None = None) -> RateLimit:
    return RateLimit(rate, file=file, key="k", sleep=clock.sleep, clock=clock)


def turns(limit: RateLimit, clock: Clock, count: int) -> list[float]:
    """Return when so many requests went out that never had to wait for anything else."""
    moments = []
    for _ in range(count):
        limit.wait_for_turn()
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


def test_an_up_to_date_sync_goes_out_at_once(clock: Clock) -> None:
    assert turns(limit_of(90, clock), clock, 28)[-1] == 0


@pytest.mark.parametrize("count", [300, 561, 1000, 5000])
def test_a_backfill_is_even_and_close_to_its_floor(count: int, clock: Clock) -> None:
    moments = turns(limit_of(90, clock), clock, count)
    assert most_within(moments, 60) <= 90
    assert max(late - early for early, late in pairwise(moments)) < 6
    assert moments[-1] <= 1.15 * (60 * ((count - 1) // 90))


@given(
    rate=st.integers(1, 120),
    idle=st.lists(st.floats(0, 150) | st.just(0.0), min_size=1, max_size=300),
)
def test_no_minute_holds_more_than_the_rate_whatever_the_demand(
    rate: int, idle: list[float]
) -> None:
    clock = Clock()
    limit = limit_of(rate, clock)
    moments = []
    for seconds in idle:
        clock.now += seconds
        moments += turns(limit, clock, 3)
    assert most_within(moments, 60) <= rate


def test_a_burst_comes_back_after_a_quiet_minute(clock: Clock) -> None:
    limit = limit_of(90, clock)
    turns(limit, clock, 300)
    clock.now += 61
    began = clock.now
    assert turns(limit, clock, 28)[-1] == began


def test_it_tells_for_how_long_it_waits(clock: Clock) -> None:
    told: list[float] = []

    def sleep(seconds: float) -> None:
        told.append(limit.waiting)
        clock.sleep(seconds)

    limit = RateLimit(1, sleep=sleep, clock=clock)
    limit.wait_for_turn()
    assert limit.waiting == 0
    limit.wait_for_turn()
    assert told[0] == pytest.approx(61)
    assert told == sorted(told, reverse=True)
    assert limit.waiting == 0


def test_a_wait_looks_again_every_five_seconds(clock: Clock) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.sleep(seconds)

    limit = RateLimit(1, sleep=sleep, clock=clock)
    limit.wait_for_turn()
    limit.wait_for_turn()
    assert sum(waits) == pytest.approx(61)
    assert max(waits) <= 5


def test_a_pause_holds_for_all(clock: Clock) -> None:
    limit = limit_of(90, clock)
    limit.pause(40, limited=False)
    limit.pause(10, limited=False)
    limit.wait_for_turn()
    assert clock.now == pytest.approx(40, abs=0.1)
    assert limit.slowdowns == 0


# Others on the key


class Litmos:
    """Refuses what is too much within a minute, to the tap and to another user of the key."""

    def __init__(self, clock: Clock, *, limit: int, other: int) -> None:
        self._clock, self._limit, self._other = clock, limit, other
        self._next_of_other = 0.0
        self._counted: deque[float] = deque()
        self.refused_other = 0

    def _admit(self, now: float) -> bool:
        while self._counted and self._counted[0] <= now - 60:
            self._counted.popleft()
        if len(self._counted) >= self._limit:
            return False
        self._counted.append(now)
        return True

    def serve(self) -> bool:
        while self._next_of_other <= self._clock.now:
            self.refused_other += not self._admit(self._next_of_other)
            self._next_of_other += 60 / self._other
        return self._admit(self._clock.now)


def requests_served(
    limit: RateLimit, clock: Clock, litmos: Litmos, *, until: float
) -> tuple[int, int]:
    """Return how many requests were served and refused, as the transport would send them."""
    chance = random.Random(1)  # noqa: S311
    served = refused = 0
    while clock.now < until:
        for _ in range(2):
            limit.wait_for_turn()
            if litmos.serve():
                served += 1
                break
            refused += 1
            limit.refused()
            clock.now += chance.uniform(1, 2)
        else:
            limit.pause(60 * chance.uniform(0.95, 1), limited=True)
    return served, refused


@pytest.mark.parametrize("other", [30, 60, 80])
def test_what_others_leave_is_used(
    other: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limit = limit_of(90, clock)
    litmos = Litmos(clock, limit=100, other=other)
    served, refused = requests_served(limit, clock, litmos, until=3600)
    assert served > 0.8 * 60 * (100 - other)
    assert refused < 0.08 * served
    assert litmos.refused_other < 0.05 * 60 * other
    assert limit.slowdowns > 1
    [line] = caplog.messages
    assert re.fullmatch(
        r"Another client uses this key: slowing down to \d\d requests a minute", line
    )


def test_the_share_is_won_back(clock: Clock) -> None:
    limit = limit_of(90, clock)
    turns(limit, clock, 60)
    limit.pause(60, limited=True)
    before = turns(limit, clock, 200)
    assert most_within(before[50:], 60) < 70
    clock.now += 30 * 60
    after = turns(limit, clock, 200)
    assert most_within(after, 60) > 85


def test_several_requests_that_meet_the_limit_together_slow_down_once(clock: Clock) -> None:
    limit = limit_of(90, clock)
    turns(limit, clock, 50)
    for _ in range(5):
        limit.refused()
        limit.pause(60, limited=True)
    assert limit.slowdowns == 1


def test_a_share_is_no_less_than_half_of_the_one_before(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limit = limit_of(90, clock)
    limit.wait_for_turn()
    limit.refused()
    limit.pause(60, limited=True)
    assert "slowing down to 45 requests a minute" in caplog.text


def test_it_never_slows_down_to_nothing(clock: Clock) -> None:
    limit = limit_of(90, clock)
    for _ in range(20):
        limit.wait_for_turn()
        limit.refused()
        limit.pause(60, limited=True)
    began = clock.now
    turns(limit, clock, 90)
    assert clock.now - began < 11 * 61


def test_requests_that_are_refused_as_others_use_the_key_are_all_served_in_the_end() -> None:
    minute, lock = 1.0, threading.Lock()
    began: list[float] = []
    counted: deque[float] = deque()
    due = 0

    def litmos(incoming: Incoming) -> str | None:
        """Let another user of the key send 60 requests a minute, of 100."""
        nonlocal due
        with lock:
            now = incoming.time
            began.append(now)
            while counted and counted[0] <= now - minute:
                counted.popleft()
            while began[0] + due * minute / 60 <= now:
                if len(counted) < 100:
                    counted.append(began[0] + due * minute / 60)
                due += 1
            if len(counted) >= 100:
                return "503"
            counted.append(now)
            return None

    org = Organisation(users=10, years=0.1, live=False)
    with Sandbox(org, on_request=litmos) as box:
        config = config_for(box, requests_per_minute=90, window_days=1)
        run = run_tap(config=config, catalog=catalog_of(*SOME), minute=minute)
    assert run.status == 0
    for stream in SOME:
        assert run.rows(stream) == truth(org, stream)
    refused = [each for each in box.requests if each.status == 503]
    assert 2 <= len(refused) < 0.3 * len(box.requests)
    assert sum("Another client uses this key" in line for line in run.warnings) == 1


# A file that processes share


WORKER = """
import sys
import time
from tap_litmos.rate import RateLimit
path, rate, minute, count = sys.argv[1], *map(float, sys.argv[2:])
limit = RateLimit(int(rate), file=path, key="k", minute=minute)
for _ in range(int(count)):
    limit.wait_for_turn()
    print(".", end="", flush=True)
limit.close()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A shared file that keeps all turns, as a row of it does not live long."""
    path = tmp_path / "rate.db"
    RateLimit(1, file=str(path), key="k").close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(
            f"""CREATE TABLE kept (at REAL);
            CREATE TRIGGER keep AFTER INSERT ON {table(db)} WHEN new.until IS NULL
            BEGIN INSERT INTO kept VALUES (new.at); END"""  # noqa: S608
        )
    return path


def table(db: sqlite3.Connection) -> str:
    [[name]] = db.execute("SELECT name FROM sqlite_master WHERE name LIKE 'key_%'")
    return str(name)


def kept(path: Path) -> list[float]:
    """Return when turns were taken, by all processes."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [at for [at] in db.execute("SELECT at FROM kept ORDER BY at")]


@contextlib.contextmanager
def worker(
    path: Path, *, rate: int, minute: float, count: int
) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [str(path), str(rate), str(minute), str(count)]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-W", "error", "-c", WORKER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_processes_that_share_a_file_keep_the_rate_together(file: Path) -> None:
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(worker(file, rate=60, minute=1.0, count=30)) for _ in range(5)
        ]
        for process in workers:
            printed, said = process.communicate(timeout=60)
            assert (printed.count(b"."), said) == (30, b"")
    moments = kept(file)
    assert len(moments) == 150
    assert most_within(moments, 1.0) <= 60


def test_processes_that_are_killed_leave_a_file_that_works(file: Path) -> None:
    chance = random.Random(1)  # noqa: S311
    for _ in range(12):
        with (
            worker(file, rate=2_000, minute=1.0, count=100_000) as first,
            worker(file, rate=2_000, minute=1.0, count=100_000) as second,
        ):
            for process in (first, second):
                assert process.stdout is not None
                process.stdout.read(chance.randrange(1, 30))
                process.kill()
    with worker(file, rate=2_000, minute=1.0, count=100) as last:
        printed, said = last.communicate(timeout=60)
    assert (printed.count(b"."), said) == (100, b"")
    assert len(kept(file)) > 300


def test_a_refusal_is_shared(file: Path) -> None:
    one, other = (
        RateLimit(90, file=str(file), key="k", minute=0.6, sleep=lambda _: None) for _ in range(2)
    )
    for _ in range(20):
        one.wait_for_turn()
    one.refused()
    one.pause(0.3, limited=True)
    other.wait_for_turn()
    before, after = kept(file)[-2:]
    assert after - before >= 0.3
    assert (one.slowdowns, other.slowdowns) == (1, 1)
    one.close()
    other.close()


def test_the_share_that_is_left_counts_the_refusals_of_all(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        turns = [(time.time(),)] * 80
        db.executemany(f"INSERT INTO {table(db)} (at) VALUES (?)", turns)  # noqa: S608
        db.commit()
    limits = [RateLimit(90, file=str(file), key="k") for _ in range(2)]
    for limit in limits * 15:
        limit.refused()
    limits[0].pause(1.0, limited=True)
    for limit in limits:
        limit.close()
    assert "slowing down to 48 requests a minute" in caplog.text  # 0.97 * (80 - 30)


def test_other_keys_count_for_themselves(file: Path) -> None:
    for key in ("secret-1", "secret-2"):
        limit = RateLimit(2, file=str(file), key=key, sleep=never)
        limit.wait_for_turn()
        limit.wait_for_turn()
        limit.close()
    assert b"secret" not in file.read_bytes()


def test_a_process_that_comes_minutes_later_learns_of_a_smaller_share(file: Path) -> None:
    now = time.time()
    with contextlib.closing(sqlite3.connect(file)) as db:
        row = (now - 300, now - 240, 40)
        db.execute(f"INSERT INTO {table(db)} VALUES (?, ?, ?)", row)  # noqa: S608
        db.commit()
    limit = RateLimit(90, file=str(file), key="k", sleep=never)
    limit.wait_for_turn()
    limit.close()
    assert limit.slowdowns == 1


def test_a_pause_that_comes_from_a_wrong_clock_is_cut_short(file: Path, clock: Clock) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        row = (time.time(), 9e12, None)
        db.execute(f"INSERT INTO {table(db)} VALUES (?, ?, ?)", row)  # noqa: S608
        db.commit()
    waits: list[float] = []

    def sleep(_: float) -> None:
        waits.append(limit.waiting)
        raise TimeoutError

    limit = RateLimit(90, file=str(file), key="k", sleep=sleep, clock=clock)
    with contextlib.closing(limit), pytest.raises(TimeoutError):
        limit.wait_for_turn()
    assert 600 < waits[0] <= 660


def test_turns_from_the_future_do_not_hold_anybody_up(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        for until in (None, 9e12):
            row = (9e12, until, 1.0 if until else None)
            db.executemany(f"INSERT INTO {table(db)} VALUES (?, ?, ?)", [row] * 10)  # noqa: S608
        db.commit()
    limit = RateLimit(2, file=str(file), key="k", sleep=never)
    limit.wait_for_turn()
    limit.close()


def test_runs_that_share_a_file_are_not_refused(tmp_path: Path) -> None:
    org = Organisation(users=10, years=0.1, live=False)
    with (
        Sandbox(org, requests_per_minute=50, minute=3.0) as box,
        contextlib.ExitStack() as stack,
    ):
        config = config_for(
            box,
            requests_per_minute=40,
            rate_limit_file=str(tmp_path / "rate.db"),
            window_days=1,
        )
        taps = {
            stream: stack.enter_context(
                started(
                    config=config,
                    catalog=catalog_of(stream),
                    command=command_with_minute(3.0),
                )
            )
            for stream in ("users", "courses")
        }
        for stream, tap in taps.items():
            run = tap.finish()
            assert run.status == 0
            assert run.rows(stream) == truth(org, stream)
    assert len(box.requests) > 60
    assert {each.status for each in box.requests} == {200}


# A file that cannot be used


def directory(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("no database, but a text that is long enough to look like none\n" * 20)


def other_table(path: Path) -> None:
    RateLimit(1, file=str(path), key="k").close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        name = table(db)
        db.executescript(f"DROP TABLE {name}; CREATE TABLE {name} (x)")


def other_share(path: Path) -> None:
    RateLimit(1, file=str(path), key="k").close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"INSERT INTO {table(db)} VALUES (?1, ?1, '5abc')", (time.time(),))  # noqa: S608
        db.commit()


@pytest.mark.parametrize("make", [directory, text, other_table, other_share])
def test_a_file_that_cannot_be_used_is_told_once_and_done_without(
    make: Callable[[Path], None],
    tmp_path: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "rate.db"
    make(path)
    limit = limit_of(90, clock, file=str(path))
    moments = turns(limit, clock, 200)
    limit.close()
    assert most_within(moments, 60) <= 90
    [line] = caplog.messages
    assert line.startswith("Cannot use rate_limit_file (")


@pytest.mark.parametrize("path", ["/nowhere/at/all.db", "a\0b"])
def test_a_path_that_cannot_be_opened_is_told_once(
    path: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limit = limit_of(90, clock, file=path)
    turns(limit, clock, 100)
    [line] = caplog.messages
    assert "Cannot use rate_limit_file (" in line


def test_a_file_that_stays_locked_is_done_without(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tap_litmos.rate.LOCKED", 0.05)
    limit = limit_of(90, clock, file=str(file))
    before = turns(limit, clock, 5)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        moments = before + turns(limit, clock, 200)
    limit.close()
    assert len(kept(file)) == 5
    assert most_within(moments, 60) <= 90  # those from before count
    [line] = caplog.messages
    assert "database is locked" in line


FULL = """
import logging, resource, sys
logging.basicConfig(format="%(message)s")
from tap_litmos.rate import RateLimit
limit = RateLimit(10_000, file=sys.argv[1], key="k")
limit.wait_for_turn()
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
for _ in range(2_000):
    limit.wait_for_turn()
limit.pause(0.0, limited=True)
limit.close()
"""


def test_a_file_that_cannot_grow_is_done_without(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FULL, str(tmp_path / "rate.db")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)  # noqa: S603
    assert done.returncode == 0
    told = [line for line in done.stderr.decode().splitlines() if "rate_limit_file" in line]
    assert len(told) == 1


def test_a_pause_that_cannot_be_shared_holds_all_the_same(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limit = limit_of(90, clock, file=str(file))
    limit.wait_for_turn()
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute(f"DROP TABLE {table(db)}")
    limit.pause(30, limited=True)
    limit.wait_for_turn()
    assert clock.now >= 30
    warned = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warned) == 2
