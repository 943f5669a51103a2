"""Syncs: every row arrives, by requests that keep the document's rules."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    bookmark,
    catalog_of,
    changed_at,
    config_for,
    days_ago,
    moment,
    run_tap,
    truth,
)

from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support import Run

pytestmark = pytest.mark.usefixtures("afternoon")

DAY = timedelta(days=1)
LONGEST = 7 * DAY

Windows = dict[tuple[datetime, datetime], list[Incoming]]


def org_of(*, users: int, days: int, seed: int = 1) -> Organisation:
    return Organisation(users=users, years=days / 365, seed=seed, live=False)


def by_window(requests: Iterable[Incoming]) -> dict[str, Windows]:
    """Return the requests by stream and window, each in the order in which they came."""
    found: dict[str, Windows] = {}
    for seen in requests:
        assert seen.stream
        assert seen.since
        assert seen.to
        windows = found.setdefault(seen.stream, {})
        windows.setdefault((seen.since, seen.to), []).append(seen)
    return found


def check_whole(org: Organisation, run: Run) -> None:
    """Check that every row and value was delivered, and nothing else."""
    assert run.status == 0
    for stream in DEFAULT_STREAMS:
        assert run.rows(stream) == truth(org, stream), stream


# The whole


def test_a_backfill_and_what_changed_since() -> None:
    org = org_of(users=20, days=40)
    with Sandbox(org) as box:
        first = run_tap(config=config_for(box))
        check_whole(org, first)
        assert all(first.records(stream) for stream in DEFAULT_STREAMS)
        assert not first.warnings
        before = {stream: truth(org, stream) for stream in DEFAULT_STREAMS}
        org.happen(60)
        box.requests.clear()
        second = run_tap(config=config_for(box), state=first.state)
    assert second.status == 0
    # An idle endpoint costs one request.
    assert sorted(seen.stream or "" for seen in box.requests) == DEFAULT_STREAMS
    created = changed = 0
    for stream in DEFAULT_STREAMS:
        after = truth(org, stream)
        assert (first.rows(stream) | second.rows(stream)).items() >= after.items(), stream
        created += len(after.keys() - before[stream].keys())
        for key in after.keys() & before[stream].keys():
            if after[key] != before[stream][key]:
                changed += 1
                assert second.rows(stream)[key] == after[key]
    assert created
    assert changed


@pytest.mark.parametrize("to_is_included", [False, True])
def test_a_row_comes_twice_only_where_two_windows_or_pages_meet(to_is_included: bool) -> None:  # noqa: FBT001
    org = org_of(users=6, days=40)
    with Sandbox(org, inclusive=(True, to_is_included)) as box:
        run = run_tap(config=config_for(box))
    assert all(not seen.start for seen in box.requests)  # pages repeat ten rows
    check_whole(org, run)
    for stream in DEFAULT_STREAMS:
        changed: dict[Any, list[Any]] = {}
        for record in run.records(stream):
            key = tuple(record[name] for name in ENDPOINT[stream].primary_key)
            changed.setdefault(key, []).append(changed_at(stream, record))
        twice = [dates for dates in changed.values() if len(dates) > 1]
        assert to_is_included or not twice
        assert all(date.endswith("T00:00:00.000000Z") for dates in twice for date in dates)


# The requests


@pytest.mark.parametrize(("window_days", "days"), [(1, 8), (5, 25), (7, 25)])
def test_every_request_keeps_the_rules_of_the_document(window_days: int, days: int) -> None:
    org = org_of(users=12, days=days)
    with Sandbox(org) as box:
        config = config_for(box, page_size=50, window_days=window_days)
        check_whole(org, run_tap(config=config))
    for seen in box.requests:
        check_request(seen, box)
    windows = by_window(box.requests)
    assert sorted(windows) == DEFAULT_STREAMS
    for found in windows.values():
        check_windows(sorted(found), org.start - DAY, window_days)
        for pages in found.values():
            offsets = [seen.start or 0 for seen in pages]
            assert offsets[0] == 0
            assert all(0 < after - before <= 50 for before, after in pairwise(offsets))


def check_request(seen: Incoming, box: Sandbox) -> None:
    assert seen.status == 200
    assert seen.headers["apikey"] == box.api_key
    assert box.api_key not in seen.path + "".join(seen.query.values())
    assert set(seen.query) == {"source", "since", "to", "start", "limit"}
    assert seen.query["source"] == "tap-litmos"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 00:00:00", seen.query["since"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 00:00:00", seen.query["to"])
    assert seen.limit == 50


def check_windows(
    spans: list[tuple[datetime, datetime]], start: datetime, window_days: int
) -> None:
    """Check that windows join, from the start until tomorrow."""
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert all(timedelta() < to - since <= LONGEST for since, to in spans)
    assert spans[0][0] == start
    *closed, _, (since, to) = spans
    assert all(to - since == timedelta(days=window_days) for since, to in closed)
    now = datetime.now(UTC)
    assert since <= now - DAY
    assert to >= now + DAY
    assert to - since >= 3 * DAY


@pytest.mark.parametrize(("page_size", "overfull"), [(2, 0), (3, 3), (7, 0), (1000, 3)])
def test_any_page_size_brings_every_row(page_size: int, overfull: int) -> None:
    org = org_of(users=4, days=23)
    with Sandbox(org, overfull=overfull) as box:
        check_whole(org, run_tap(config=config_for(box, page_size=page_size)))


# Readings of since and to, clocks and zones

INCLUSIVE = [(True, True), (True, False), (False, True)]
"""Windows that share their boundaries need a service that includes at least one end."""

SERVICES: list[dict[str, Any]] = [
    *(
        {"reading": reading, "inclusive": inclusive}
        for reading, inclusive in product(["instant", "day"], INCLUSIVE)
    ),
    *({"zone": hours} for hours in (-12, 14)),
]
BEGINNINGS = [
    ("00:00:00.200000", 24),
    ("12:34:56.789000", 20),
    ("23:59:59.600000", 24),
]
"""When a sync begins, and the day from which it reads: from the 20th on closed windows reach into
the open one, from the 24th on the last of them is cut short."""


def critical_moments(start: datetime, end: datetime) -> list[datetime]:
    """Return moments around every midnight, and a few others."""
    moments = [start + timedelta(hours=7 * number) for number in range(24 * 40 // 7)]
    for day in range(40):
        for after in (timedelta(), timedelta(milliseconds=1), timedelta(seconds=1)):
            moments += [start + day * DAY + after, start + (day + 1) * DAY - after]
    moments += [end - timedelta(milliseconds=before) for before in (1, 500, 3_600_000)]
    return sorted(at for at in set(moments) if start <= at < end)


@pytest.mark.parametrize("habits", SERVICES, ids=str)
@pytest.mark.parametrize(("clock", "first_day"), BEGINNINGS)
def test_no_row_is_lost_however_since_and_to_are_read(
    habits: dict[str, Any], clock: str, first_day: int
) -> None:
    """Three syncs, with pauses of hours and days; a sync after the first costs one request."""
    begin = datetime.fromisoformat(f"2026-03-10T{clock}+00:00")
    start = datetime(2026, 2, first_day, tzinfo=UTC)
    loaded: set[Any] = set()
    state: dict[str, Any] | None = None
    dates: list[datetime] = []
    # The clock stands still, as a row may not be older than a request that did not bring it.
    with time_machine.travel(begin, tick=False) as now:
        org = Organisation(users=1, years=0.1, live=False)
        with Sandbox(org, **habits) as box:
            for pause in (timedelta(0), timedelta(hours=9), timedelta(days=2, minutes=1)):
                now.shift(pause)
                last = dates[-1] if dates else start - DAY
                dates += [at for at in critical_moments(start, datetime.now(UTC)) if at > last]
                rows: list[dict[str, Any]] = [
                    {"Id": at.isoformat(), "UpdatedDate": at} for at in dates
                ]
                org.replace_rows("teams", rows)
                box.requests.clear()
                config = config_for(box, start_date=start.isoformat())
                run = run_tap(config=config, catalog=catalog_of("teams"), state=state)
                assert run.status == 0
                assert state is None or len(box.requests) == 1
                state = run.state
                loaded |= {row["Id"] for row in run.records("teams")}
                assert loaded == {row["Id"] for row in rows}


# An end


def test_a_sync_stops_at_end_date_and_goes_on_from_there() -> None:
    org = org_of(users=15, days=40)
    end = datetime.fromisoformat(days_ago(20)).replace(tzinfo=UTC)
    with Sandbox(org, inclusive=(True, False)) as box:
        part = run_tap(config=config_for(box, end_date=days_ago(20)))
        assert part.status == 0
        assert all(seen.to and seen.to <= end for seen in box.requests)
        for stream in DEFAULT_STREAMS:
            assert part.rows(stream) == {
                key: row
                for key, row in truth(org, stream).items()
                if moment(changed_at(stream, row)) < end
            }
            assert part.bookmark(stream) == end
        again = run_tap(config=config_for(box, end_date=days_ago(20)), state=part.state)
        assert again.status == 0
        assert again.state == part.state
        box.requests.clear()
        rest = run_tap(config=config_for(box), state=again.state)
    assert rest.status == 0
    assert end - 2 * DAY <= min(seen.since for seen in box.requests if seen.since) < end
    for stream in DEFAULT_STREAMS:
        assert part.rows(stream) | rest.rows(stream) == truth(org, stream)


@pytest.mark.parametrize("days", [0, -400])
def test_an_end_that_is_not_past_never_asks_for_the_future(days: int, box: Sandbox) -> None:
    config = config_for(box, end_date=f"{days_ago(days)}T12:00:00", start_date=days_ago(9))
    run = run_tap(config=config)
    assert run.status == 0
    now = datetime.now(UTC)
    assert box.requests
    assert all(seen.to and seen.to <= now for seen in box.requests)
    assert all(run.bookmark(stream) <= now for stream in DEFAULT_STREAMS)


# The order of messages


def test_messages_come_in_order() -> None:
    """SCHEMA, then window by window the RECORDs and one STATE; stream by stream."""
    with Sandbox(org_of(users=10, days=30)) as box:
        run = run_tap(config=config_for(box))
    assert run.status == 0
    messages = iter([*run.messages, {"type": "end"}])
    following = next(messages)
    for stream, windows in sorted(by_window(box.requests).items()):
        assert (following["type"], following["stream"]) == ("SCHEMA", stream)
        assert following["key_properties"] == list(ENDPOINT[stream].primary_key)
        following = next(messages)
        for since, to in sorted(windows):
            while following["type"] == "RECORD":
                assert following["stream"] == stream
                assert since <= moment(changed_at(stream, following["record"])) <= to
                following = next(messages)
            assert following["type"] == "STATE"
            assert bookmark(following["value"], stream) == min(to, run.bookmark(stream))
            following = next(messages)
    assert {message["type"] for message in (following, *messages)} <= {"STATE", "end"}


def test_rows_tell_when_their_window_was_asked_for(org: Organisation) -> None:
    begin = datetime.now(UTC)
    with (
        time_machine.travel(begin, tick=False) as clock,
        Sandbox(org, on_request=lambda _: clock.shift(60)) as box,
    ):
        config = config_for(box, max_concurrent_requests=1)
        run = run_tap(config=config, catalog=catalog_of("users", "module_results"))
    assert run.status == 0
    told = [datetime.fromisoformat(message["time_extracted"]) for message in run.of_type("RECORD")]
    assert told == sorted(told)
    asked = {begin + timedelta(minutes=number) for number in range(len(box.requests))}
    assert set(told) <= asked
    assert len(set(told)) > len(asked) / 2
