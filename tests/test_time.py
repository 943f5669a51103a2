"""Time: what clocks may say, and how long the tap waits for an endpoint or a host."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import DEFAULT_STREAMS, catalog_of, config_for, days_ago, page, run_tap, truth

if TYPE_CHECKING:
    from tap_litmos.sandbox import Incoming, Organisation

# Clocks


@pytest.mark.parametrize("hours", [-30, -0.25, 0.25, 30])
def test_the_earlier_of_both_clocks_counts(hours: float, org: Organisation) -> None:
    """A clock that is ahead would carry the bookmark past rows that are still to come."""
    before = datetime.now(UTC)
    with Sandbox(org, clock_skew=3600 * hours) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("users"))
        then = run_tap(config=config_for(box), catalog=catalog_of("users"), state=run.state)
    assert run.rows("users") == truth(org, "users")
    assert then.status == 0
    due = before + min(timedelta(0), timedelta(hours=hours))
    assert abs(run.bookmark("users") - due) < timedelta(minutes=1)
    assert run.bookmark("users") <= datetime.now(UTC)


def test_a_date_that_no_clock_shows_is_not_believed(org: Organisation) -> None:
    dates = cycle(
        [
            "Fri, 31 Dec 9999 23:59:59 -1200",
            "Mon, 01 Jan 0001 00:00:00 +1200",
            "Mon, 01 Jan 0000 00:00:00 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Mon, 32 Foo 2026 99:00:00 GMT",
            "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
            "Tue, 24 Nov 2026 10:00:00 +9999999999",
            "now",
            "",
        ]
    )

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Date": next(dates)}, page(incoming.stream or "")

    before = datetime.now(UTC)
    with Sandbox(org, on_request=answer) as box:
        run = run_tap(config=config_for(box, start_date=days_ago(1)))
    assert run.status == 0
    assert len(box.requests) > 9
    for stream in DEFAULT_STREAMS:
        assert before <= run.bookmark(stream) <= datetime.now(UTC)


# Endpoints and hosts that fail


@pytest.mark.parametrize("concurrency", [1, 5])
def test_endpoints_that_fail_alone_fail_their_streams_however_they_do(
    concurrency: int, org: Organisation
) -> None:
    kinds: dict[str | None, Any] = {
        DEFAULT_STREAMS[0]: "reset",  # which is asked first
        "course_results": "timeout",
        "courses": "drop",
        "modules": "500",
        "teams": (302, {"Location": "https://litmos.invalid/"}, b""),
        "users": "cut",
    }
    with Sandbox(org, on_request=lambda seen: kinds.get(seen.stream), timeout_hold=1.5) as box:
        config = config_for(box, request_timeout=1, max_concurrent_requests=concurrency)
        run = run_tap(config=config, minute=0.2)
    assert run.status == 1
    assert sorted(run.failed) == sorted(filter(None, kinds))
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == ({} if stream in kinds else truth(org, stream))
    assert "Traceback" not in run.log


def test_a_host_that_never_answers_ends_the_run_for_all_streams(org: Organisation) -> None:
    with Sandbox(org, on_request=lambda _: "drop") as box:
        run = run_tap(config=config_for(box), minute=0.05)
    assert run.status == 1
    assert len({seen.stream for seen in box.requests}) < len(DEFAULT_STREAMS)
    assert len(run.lines("CRITICAL")) == 1
    assert not run.failed


def test_an_outage_in_mid_run_does_not_keep_it_for_long(org: Organisation) -> None:
    """The host is known to be silent: each other stream gets a few tries, not five minutes."""

    def fail(incoming: Incoming) -> str | None:
        return "reset" if incoming.number > 20 else None

    with Sandbox(org, on_request=fail) as box:
        run = run_tap(config=config_for(box, max_concurrent_requests=1), minute=0.2)
    assert run.status == 1
    assert run.states
    tries = Counter(seen.stream for seen in box.requests[20:])
    assert sum(count > 3 for count in tries.values()) <= 1


@pytest.mark.parametrize("failure", ["500", "drop", "html"])
def test_endpoints_that_fail_do_not_keep_a_test_for_long(failure: str, org: Organisation) -> None:
    """Five minutes of trying have room for seven requests at least, 15 seconds for four."""
    with Sandbox(org, on_request=lambda _: failure) as box:
        config = config_for(box, max_concurrent_requests=1)
        run = run_tap("--test", config=config, minute=0.2)
    assert run.status == 1
    assert all(2 <= count <= 5 for count in Counter(s.stream for s in box.requests).values())
