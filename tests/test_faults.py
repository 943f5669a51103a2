"""Faults that pass: the tap tries again, waits as it should, and delivers every row."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from strange import FAULT_KINDS
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    RETRYING,
    catalog_of,
    command_with_minute,
    config_for,
    days_ago,
    page,
    run_process,
    run_tap,
    truth,
)
from tap_litmos.patience import Tries

from tap_litmos.errors import TransientError
from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = tuple[int, dict[str, str], bytes]


FEW = ("courses", "module_results", "users")


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_quarter_of_all_requests_may_fail_in_one_way(kind: str, org: Organisation) -> None:
    # A date in Retry-After, and a time-out, mean a second, however short the minute.
    minute = 2.0 if kind in {"timeout", "429"} else 1.0
    streams = FEW if kind in {"timeout", "429"} else DEFAULT_STREAMS
    with Sandbox(org, faults=0.25, fault_kinds=(kind,), timeout_hold=1.5, retry_after=0) as box:
        patience = 1 if kind == "timeout" else 60
        config = config_for(box, request_timeout=patience, window_days=5)
        run = run_tap(config=config, catalog=catalog_of(*streams), minute=minute)
    assert run.status == 0
    assert not run.errors
    for stream in streams:
        assert run.rows(stream) == truth(org, stream)
    failed = sum(each.fault is not None for each in box.requests)
    assert failed >= 3
    assert sum(int(run.stats(stream)["retries"]) for stream in streams) == failed


def test_a_quarter_of_all_requests_may_fail_in_every_way(org: Organisation) -> None:
    with Sandbox(org, faults=0.25, fault_kinds=FAULT_KINDS, timeout_hold=1.5, retry_after=0) as box:
        run = run_process(
            config=config_for(box, request_timeout=1, window_days=2),
            command=command_with_minute(2.0),
        )
    assert run.status == 0
    assert not run.errors
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == truth(org, stream)
    assert {each.fault for each in box.requests} >= set(FAULT_KINDS)


def failing(times: int, answer: Answer | str) -> Callable[[Incoming], Answer | str | None]:
    """Return a hook that lets the first tries of each page fail."""
    tries: Counter[str] = Counter()

    def hook(incoming: Incoming) -> Answer | str | None:
        asked = str(sorted(incoming.query.items()))
        tries[asked] += 1
        return answer if tries[asked] <= times else None

    return hook


def one_stream(box: Sandbox, days: int = 2) -> dict[str, object]:
    return config_for(box, start_date=days_ago(days), max_concurrent_requests=1)


def gaps(box: Sandbox) -> list[float]:
    """Return the seconds between requests."""
    return [after.time - before.time for before, after in pairwise(box.requests)]


@pytest.mark.parametrize("status", [100, 102, 103])
def test_the_answer_follows_those_that_only_inform(status: int, org: Organisation) -> None:
    """Each sends its answer behind another head, which the next request must not find."""

    def inform(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        rows = page("users", f"<Id>{incoming.number}</Id>")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(rows)}\r\n\r\n"
        return status, {"Link": "</x>; rel=preload"}, head.encode() + rows

    with Sandbox(org, on_request=inform) as box:
        run = run_tap(config=one_stream(box, days=20), catalog=catalog_of("users"))
        asked = len(box.requests)
    assert run.status == 0
    ids = [row["Id"] for row in run.records("users")]
    assert ids == [str(number + 1) for number in range(asked)]


def test_the_first_wait_is_a_second_or_two(org: Organisation) -> None:
    with Sandbox(org, on_request=failing(1, "500")) as box:
        run = run_tap(config=one_stream(box), catalog=catalog_of("users"))
    assert run.status == 0
    [warning] = run.warnings
    assert RETRYING in warning
    assert warning.endswith(("in 1 s", "in 2 s"))
    assert gaps(box)[0] >= 1


def test_waits_grow_up_to_a_minute_and_last_five_in_all(org: Organisation) -> None:
    with Sandbox(org, refuse={ENDPOINT["users"].path: 500}) as box:
        run = run_tap(config=one_stream(box), catalog=catalog_of("users"), minute=0.3)
    assert run.status == 1
    waits = gaps(box)
    second = 0.3 / 60
    assert sum(waits) >= 5 * 0.3
    for number, wait in enumerate(waits):
        assert wait >= min(second * 2**number, 0.3 / 2)
    assert f"in {0.3 / 60:.0f} s" in run.warnings[0]


def test_waits_double_up_to_a_minute() -> None:
    tries = Tries(60)
    for number in range(12):
        tries.begin()
        wait = tries.wait_after(TransientError("refused", 500))
        assert 1 <= wait / min(2**number, 30) <= 2


@pytest.mark.parametrize("status", [429, 503, 500])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_followed(form: str, status: int, org: Organisation) -> None:
    def refuse(incoming: Incoming) -> Answer | None:
        if incoming.number > 1:
            return None
        until = datetime.now(UTC) + timedelta(seconds=3)
        after = "2" if form == "seconds" else format_datetime(until, usegmt=True)
        return status, {"Retry-After": after}, b""

    with Sandbox(org, on_request=refuse) as box:
        run = run_tap(config=one_stream(box), catalog=catalog_of("users"), minute=1.0)
    assert run.status == 0
    assert gaps(box)[0] >= 2


@pytest.mark.parametrize("after", ["86400", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_is_not_followed_for_ever(after: str, org: Organisation) -> None:
    hook = failing(1, (429, {"Retry-After": after}, b""))
    with Sandbox(org, on_request=hook) as box:
        run = run_tap(config=one_stream(box), catalog=catalog_of("users"), minute=0.05)
    assert run.status == 0
    assert gaps(box)[0] >= 0.5


@pytest.mark.parametrize("after", ["soon", "", "-3", "Mon, 99 Foo 2026"])
def test_a_retry_after_that_says_nothing_is_not_followed(after: str, org: Organisation) -> None:
    with Sandbox(org, on_request=failing(1, (429, {"Retry-After": after}, b""))) as box:
        run = run_tap(config=one_stream(box), catalog=catalog_of("users"), minute=0.1)
    assert run.status == 0
    assert run.warnings[-1].endswith("in 0 s")


def test_retry_after_lets_everybody_wait(org: Organisation) -> None:
    concurrency, refused = 4, 5

    def hook(incoming: Incoming) -> Answer | None:
        return (500, {"Retry-After": "2"}, b"") if incoming.number == refused else None

    with Sandbox(org, on_request=hook, latency=0.15) as box:
        config = config_for(box, max_concurrent_requests=concurrency, window_days=1)
        run = run_tap(config=config, catalog=catalog_of("users"), minute=1.0)
    assert run.status == 0
    since = box.requests[refused - 1].time
    pause = [each for each in box.requests if since < each.time < since + 1.8]
    assert len(pause) <= concurrency  # which were on their way
    assert len(box.requests) > 10


def test_503_twice_in_a_row_lets_everybody_wait_for_the_minute_to_turn(
    org: Organisation,
) -> None:
    minute, concurrency = 1.5, 4
    refused: list[Incoming] = []
    never = threading.Event()

    def hook(incoming: Incoming) -> str | None:
        again = refused and refused[0].query == incoming.query
        if (incoming.number == 5 and not refused) or (again and len(refused) < 2):
            refused.append(incoming)
            return "503"
        never.wait(0.15)  # so that all others are on their way
        return None

    with Sandbox(org, on_request=hook) as box:
        config = config_for(box, max_concurrent_requests=concurrency, window_days=1)
        run = run_tap(config=config, catalog=catalog_of("users"), minute=minute)
    assert run.status == 0
    since = refused[1].time
    pause = [each for each in box.requests if since < each.time < since + 0.9 * minute]
    assert len(pause) < concurrency  # which were on their way
    assert len(box.requests) > 10
    assert run.rows("users") == truth(org, "users")


def test_the_rate_is_kept_with_all_retries(org: Organisation) -> None:
    minute, rate = 1.0, 40
    with Sandbox(org, faults=0.3, fault_kinds=("500", "reset", "cut", "html")) as box:
        config = config_for(
            box, requests_per_minute=rate, max_concurrent_requests=12, window_days=2
        )
        run = run_tap(config=config, catalog=catalog_of(*FEW, "teams", "modules"), minute=minute)
    assert run.status == 0
    times = [each.time for each in box.requests]
    assert len(times) > 1.5 * rate
    # They are counted when they leave: some take longer than others to arrive.
    assert all(
        late - early > 0.85 * minute for early, late in zip(times, times[rate:], strict=False)
    )


def test_the_rate_limit_of_litmos_is_waited_for() -> None:
    """Other programs may use up the rate, too."""
    org = Organisation(users=5, years=0.1, live=False)
    with Sandbox(org, requests_per_minute=20, minute=1.0) as box:
        run = run_tap(
            config=config_for(box), catalog=catalog_of(*FEW, "teams", "modules"), minute=1.0
        )
    assert run.status == 0
    assert 503 in {each.status for each in box.requests}
    for stream in FEW:
        assert run.rows(stream) == truth(org, stream)
