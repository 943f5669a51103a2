"""Faults that pass: the tap tries again, waits as it should, and delivers every row."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from errors import ENDLESS
from strange import FAULT_KINDS
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    RETRYING,
    catalog_of,
    config_for,
    days_ago,
    org_with_teams,
    page,
    run_tap,
    truth,
)

from tap_litmos import paginator
from tap_litmos.sandbox import Answer, Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[[Incoming], Any]


def failing(times: int, answer: Any) -> Hook:
    """Return a hook that fails the first tries of each page."""
    tries: Counter[str] = Counter()

    def hook(incoming: Incoming) -> Any:
        asked = str(sorted(incoming.query.items()))
        tries[asked] += 1
        return answer if tries[asked] <= times else None

    return hook


def one_window(box: Sandbox) -> dict[str, Any]:
    return config_for(box, start_date=days_ago(2), max_concurrent_requests=1)


def gaps(box: Sandbox) -> list[float]:
    """Return the seconds between requests."""
    return [after.time - before.time for before, after in pairwise(box.requests)]


def test_a_quarter_of_all_requests_may_fail_in_every_way(org: Organisation) -> None:
    with Sandbox(org, faults=0.25, fault_kinds=FAULT_KINDS, timeout_hold=5.5, retry_after=0) as box:
        config = config_for(box, request_timeout=5, window_days=2, max_concurrent_requests=12)
        run = run_tap(config=config, minute=6)
    assert run.status == 0
    assert not run.errors
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == truth(org, stream)
    assert {seen.fault for seen in box.requests} >= set(FAULT_KINDS)
    failed = sum(seen.fault is not None for seen in box.requests)
    retries = (run.stats(stream)["retries"] for stream in DEFAULT_STREAMS)
    assert sum(map(int, retries)) == failed


# Waiting


def test_waits_double_up_to_half_a_minute_and_last_five_minutes(org: Organisation) -> None:
    minute, refused = 0.3, Answer(500, b"")
    with Sandbox(org, on_request=lambda _: refused) as box:
        run = run_tap(config=one_window(box), catalog=catalog_of("users"), minute=minute)
    assert run.status == 1
    waits = gaps(box)
    assert sum(waits) >= 5 * minute
    for number, wait in enumerate(waits):
        assert wait >= min(minute / 60 * 2**number, minute / 2)
    assert 8 < len(waits) < 20


def test_a_host_that_was_never_reached_is_tried_for_one_minute(org: Organisation) -> None:
    with Sandbox(org) as box:
        config = one_window(box)
    run = run_tap(config=config, catalog=catalog_of("users"), minute=0.05)
    assert run.status == 1
    assert len([line for line in run.warnings if RETRYING in line]) < 8


@pytest.mark.parametrize(
    ("status", "after"), [(429, "2"), (503, "a date"), (500, "2"), (429, "a date")]
)
def test_retry_after_is_followed(status: int, after: str, org: Organisation) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        until = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
        header = {"Retry-After": until if after == "a date" else after}
        return (status, header, b"") if incoming.number == 1 else None

    with Sandbox(org, on_request=refuse) as box:
        run = run_tap(config=one_window(box), catalog=catalog_of("users"), minute=1.0)
    assert run.status == 0
    assert gaps(box)[0] >= 2


@pytest.mark.parametrize(
    ("after", "least"),
    [("86400", 0.5), ("9" * 30, 0.5), ("Fri, 31 Dec 9999 23:59:59 GMT", 0.5)]
    + [(text, 0.0) for text in ("soon", "", "-3", "Mon, 99 Foo 2026")],
)
def test_a_retry_after_that_cannot_be_meant_is_not_followed(
    after: str, least: float, org: Organisation
) -> None:
    """At most ten minutes of it, here half a second."""
    hook = failing(1, (429, {"Retry-After": after}, b""))
    with Sandbox(org, on_request=hook) as box:
        run = run_tap(config=one_window(box), catalog=catalog_of("users"), minute=0.05)
    assert run.status == 0
    assert len(box.requests) == 2
    assert gaps(box)[0] >= least


def test_503_twice_in_a_row_pauses_all_requests(org: Organisation) -> None:
    minute = 1.0
    refused: list[Incoming] = []

    def hook(incoming: Incoming) -> Any:
        again = refused and refused[0].query == incoming.query
        if (incoming.number == 5 and not refused) or (again and len(refused) < 2):
            refused.append(incoming)
            return 503, {"Retry-After": "1"}, b""
        return None

    with Sandbox(org, on_request=hook, latency=0.1) as box:
        config = config_for(box, max_concurrent_requests=4, window_days=1)
        run = run_tap(config=config, catalog=catalog_of("users"), minute=minute)
    assert run.status == 0
    since = refused[1].time
    pause = [seen for seen in box.requests if since < seen.time < since + 0.9 * minute]
    assert len(pause) < 4  # which were on their way
    assert len(box.requests) > 10
    assert run.rows("users") == truth(org, "users")


# Pages that are too large


def teams(count: int) -> Organisation:
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=12)
    return org_with_teams(first + timedelta(minutes=number) for number in range(count))


@pytest.mark.parametrize("fault", ["502", "504", "timeout", "slow-body"])
def test_pages_that_are_too_large_get_smaller(fault: str) -> None:
    org = teams(300)

    def overload(incoming: Incoming) -> str | None:
        is_large = incoming.stream == "teams" and (incoming.limit or 0) > 100
        return fault if is_large else None

    with Sandbox(org, on_request=overload, timeout_hold=1.2, trickle=1.2) as box:
        config = config_for(box, page_size=200, request_timeout=1, start_date=days_ago(13))
        run = run_tap(config=config, catalog=catalog_of("teams", "modules"), minute=0.1)
    assert run.status == 0
    assert run.rows("teams") == truth(org, "teams")
    [line] = [line for line in run.warnings if "page_size" in line]
    assert "page_size 100" in line
    large = [seen for seen in box.requests if (seen.stream, seen.limit) == ("teams", 200)]
    assert len(large) <= 4  # then 100 is the most


def test_after_an_outage_pages_are_as_large_as_before() -> None:
    org = teams(300)
    with Sandbox(org, on_request=lambda seen: "502" if seen.number < 5 else None) as box:
        config = config_for(box, page_size=200, start_date=days_ago(13))
        run = run_tap(config=config, catalog=catalog_of("teams"), minute=0.1)
    assert run.status == 0
    assert run.rows("teams") == truth(org, "teams")
    limits = [seen.limit for seen in box.requests]
    assert min(filter(None, limits)) == 25
    assert limits[-1] == 200


def test_pages_that_fail_at_any_size_fail_their_stream() -> None:
    with Sandbox(teams(5), on_request=lambda _: "504") as box:
        run = run_tap(config=one_window(box), catalog=catalog_of("teams"), minute=0.02)
    assert run.status == 1
    assert min(seen.limit or 0 for seen in box.requests) == 25
    assert len(box.requests) < 100


# Pages that are none


def test_a_page_of_another_window_is_asked_for_again(org: Organisation) -> None:
    """A cache may ignore the query."""
    row = "<Id>x</Id><CreatedDate>{0}</CreatedDate><UpdatedDate>{0}</UpdatedDate>"
    cached = page("users", row.format("2001-01-01"))
    with Sandbox(org, on_request=failing(1, (200, {}, cached))) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("users"), minute=0.1)
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
    assert int(run.stats("users")["retries"]) == len(box.requests) / 2


@pytest.mark.parametrize(
    "row",
    [
        f"<CreatedDate>{days_ago(20)}</CreatedDate><UpdatedDate>{days_ago(0)}</UpdatedDate>",
        f"<CreatedDate>2001-01-01</CreatedDate><UpdatedDate>{days_ago(13)}</UpdatedDate>",
        "",
    ],
)
def test_a_row_may_belong_by_either_date_or_have_none(row: str, org: Organisation) -> None:
    """Litmos serves what was created or updated in a window."""
    body = page("users", f"<Id>1</Id>{row}")
    with Sandbox(org, on_request=lambda _: (200, {}, body)) as box:
        config = config_for(box, start_date=days_ago(20), end_date=days_ago(15))
        run = run_tap(config=config, catalog=catalog_of("users"))
    assert run.status == 0
    assert not run.warnings


def test_a_403_of_a_firewall_between_pages_passes(org: Organisation) -> None:
    html = Answer(403, b"<html>Access denied</html>", content_type="text/html")
    with Sandbox(org, on_request=lambda seen: html if seen.number in {3, 4} else None) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("users"), minute=0.1)
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")


def test_a_window_that_never_ends_is_given_up(
    org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        rows = (f"<Id>{incoming.number} {number}</Id>" for number in range(5))
        return 200, {}, page("users", *rows)

    monkeypatch.setattr(paginator, "MAX_PAGES", 40)
    with Sandbox(org, on_request=endless) as box:
        config = config_for(box, page_size=5, start_date=days_ago(20), end_date=days_ago(18))
        run = run_tap(config=config, catalog=catalog_of("users"))
    assert run.status == 1
    assert len(box.requests) == 40
    assert ENDLESS in run.errors[-1]
