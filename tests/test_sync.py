"""Syncs: every row arrives, by requests that keep the document's rules."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, get_args

import pytest
import time_machine
from strange import Reading
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    Run,
    bookmark,
    canonical,
    catalog_of,
    changed_at,
    config_for,
    days_ago,
    fold,
    moment,
    run_tap,
    truth,
)

from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.usefixtures("afternoon")

DAY = timedelta(days=1)
LONGEST = 7 * DAY


@pytest.fixture
def seed() -> int:
    """Return another number in each run, which is shown when a test fails."""
    number = random.SystemRandom().randrange(2**32)
    print(f"seed={number}")  # noqa: T201 - pytest shows it when the test fails
    return number


def unknown_org(seed: int, *, users: int = 30, days: int = 200) -> Organisation:
    return Organisation(users=users, years=days / 365, seed=seed, live=False)


def by_window(
    requests: Iterable[Incoming],
) -> dict[str, dict[tuple[datetime, datetime], list[Incoming]]]:
    """Return the requests by stream and window, each in the order in which they came."""
    found: dict[str, dict[tuple[datetime, datetime], list[Incoming]]] = {}
    for seen in requests:
        assert seen.stream
        assert seen.since
        assert seen.to
        windows = found.setdefault(seen.stream, {})
        windows.setdefault((seen.since, seen.to), []).append(seen)
    return found


def check_whole(org: Organisation, run: Run, streams: Iterable[str]) -> None:
    """Check that every row and value was delivered, and nothing that there is not."""
    assert run.status == 0
    for stream in streams:
        assert run.rows(stream) == truth(org, stream), stream


# The whole


def test_a_backfill_and_what_changed_since(seed: int) -> None:
    org = unknown_org(seed, users=40)
    with Sandbox(org) as box:
        first = run_tap(config=config_for(box))
        check_whole(org, first, DEFAULT_STREAMS)
        assert all(first.records(stream) for stream in DEFAULT_STREAMS)
        assert not first.warnings
        before = {stream: truth(org, stream) for stream in DEFAULT_STREAMS}

        org.happen(60)
        after = {stream: truth(org, stream) for stream in DEFAULT_STREAMS}
        requests = len(box.requests)
        second = run_tap(config=config_for(box), state=first.state)

        assert second.status == 0
        assert Counter(seen.stream for seen in box.requests[requests:]) == Counter(
            DEFAULT_STREAMS
        )
        assert len(box.requests) - requests == 17
        created = changed = 0
        for stream in DEFAULT_STREAMS:
            loaded = first.rows(stream) | second.rows(stream)
            assert loaded.items() >= after[stream].items(), stream
            for key, row in after[stream].items():
                if key not in before[stream]:
                    created += 1
                elif before[stream][key] != row:
                    changed += 1
                else:
                    continue
                assert second.rows(stream)[key] == row
        assert created
        assert changed


def test_an_organisation_that_lives_on_during_the_sync_loses_nothing(seed: int) -> None:
    org = Organisation(users=20, years=0.2, seed=seed)
    with Sandbox(org) as box:
        state: dict[str, Any] | None = None
        loaded: dict[str, dict[Any, Any]] = {stream: {} for stream in DEFAULT_STREAMS}
        for _ in range(3):
            run = run_tap(config=config_for(box), state=state)
            assert run.status == 0
            state = run.state
            for stream in DEFAULT_STREAMS:
                loaded[stream] |= run.rows(stream)
            org.happen(25)
        org.replace_rows("activity_logins", [])  # from here on nothing happens by itself
        run = run_tap(config=config_for(box), state=state)
        for stream in DEFAULT_STREAMS:
            loaded[stream] |= run.rows(stream)
            assert loaded[stream].items() >= truth(org, stream).items(), stream


def test_primary_keys_are_unique(seed: int) -> None:
    """No two rows have the same key, and no row comes twice but at the seam of two windows."""
    org = unknown_org(seed)
    for inclusive in ((True, False), (True, True)):
        with Sandbox(org, inclusive=inclusive) as box:
            run = run_tap(config=config_for(box, page_size=7))
        assert run.status == 0
        for stream in DEFAULT_STREAMS:
            endpoint = ENDPOINT[stream]
            records = run.records(stream)
            keys = Counter(tuple(map(each.get, endpoint.primary_key)) for each in records)
            assert len(keys) == len(org.rows(stream))
            twice = {key for key, count in keys.items() if count > 1}
            if not inclusive[1]:
                assert not twice
                continue
            for record in records:
                if tuple(map(record.get, endpoint.primary_key)) in twice:
                    assert changed_at(stream, record).endswith("T00:00:00.000000Z")
                    assert (
                        run.rows(stream)[tuple(map(record.get, endpoint.primary_key))] == record
                    )


# The requests


@pytest.mark.parametrize("window_days", [1, 5, 7])
def test_every_request_keeps_the_rules_of_the_document(window_days: int, seed: int) -> None:
    org = unknown_org(seed, users=12, days=60)
    with Sandbox(org) as box:
        config = config_for(box, page_size=5, window_days=window_days)
        assert run_tap(config=config).status == 0
    now = datetime.now(UTC)
    for seen in box.requests:
        assert seen.status == 200
        assert seen.headers["apikey"] == box.api_key
        assert box.api_key not in seen.path + "".join(seen.query.values())
        assert set(seen.query) == {"source", "since", "to", "start", "limit"}
        assert seen.query["source"] == "tap-litmos"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d 00:00:00", seen.query["since"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d 00:00:00", seen.query["to"])
        assert seen.limit == 5
    windows = by_window(box.requests)
    assert sorted(windows) == DEFAULT_STREAMS
    for found in windows.values():
        spans = sorted(found)
        assert all(before[1] == after[0] for before, after in pairwise(spans))
        assert all(timedelta() < to - since <= LONGEST for since, to in spans)
        assert spans[0][0] == org.start - DAY
        *finished, _, (last_since, last_to) = spans
        assert all(to - since == timedelta(days=window_days) for since, to in finished)
        assert last_since <= now - DAY
        assert last_to >= now + DAY
        assert last_to - last_since >= 3 * DAY
        for pages in found.values():
            offsets = [seen.start or 0 for seen in pages]
            assert offsets[0] == 0
            assert all(0 < after - before <= 5 for before, after in pairwise(offsets))


@pytest.mark.parametrize("page_size", [2, 3, 7, 1000])
@pytest.mark.parametrize("overfull", [0, 3])
def test_any_page_size_brings_every_row(page_size: int, overfull: int, seed: int) -> None:
    org = unknown_org(seed, users=6, days=37)
    with Sandbox(org, overfull=overfull) as box:
        run = run_tap(config=config_for(box, page_size=page_size))
    check_whole(org, run, DEFAULT_STREAMS)
    for windows in by_window(box.requests).values():
        for pages in windows.values():
            offsets = [seen.start or 0 for seen in pages]
            assert all(0 < after - before <= page_size for before, after in pairwise(offsets))


def team_rows(dates: Iterable[datetime]) -> list[dict[str, Any]]:
    return [
        {
            "Id": f"{number} {date.isoformat()}",
            "Name": "Ⓣ",
            "OriginalTeamId": number,
            "Active": True,
            "CreatedDate": date,
            "UpdatedDate": date,
        }
        for number, date in enumerate(dates)
    ]


def org_of(dates: Iterable[datetime]) -> Organisation:
    """Return an organisation whose teams changed at these moments."""
    org = Organisation(users=1, years=0.1, live=False)
    org.replace_rows("teams", team_rows(dates))
    return org


@pytest.mark.parametrize("order", ["id", "updated"])
def test_thousands_of_rows_within_one_second(order: Any) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - 10 * DAY
    org = org_of([at + timedelta(milliseconds=number % 1000) for number in range(4500)])
    with Sandbox(org, order=order) as box:
        config = config_for(box, start_date=days_ago(20))
        run = run_tap(config=config, catalog=catalog_of("teams"))
    check_whole(org, run, ["teams"])
    assert len(run.records("teams")) == 4500


# Readings of since and to, clocks and zones

BEGINNINGS_OF_DAYS = [timedelta(), timedelta(milliseconds=1), timedelta(seconds=1)]
CLOCKS = ["00:00:00.200000", "12:34:56.789000", "23:59:59.600000"]
FIRST_DAYS = [20, 24]
"""From the one whole windows reach into the open one; from the other the last is cut short."""

INCLUSIVE = [(True, True), (True, False), (False, True)]
"""Windows that share their boundaries need a service that includes at least one end."""


@dataclass
class Service:
    """What is not documented of a service."""

    reading: Reading = "instant"
    inclusive: tuple[bool, bool] = (True, True)
    zone: timedelta = timedelta()

    def read_in_zone(self, incoming: Incoming) -> None:
        """Let `since` and `to` stand for times in another zone."""
        for name in ("since", "to"):
            at = datetime.strptime(incoming.query[name], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
            incoming.query[name] = f"{at - self.zone:%Y-%m-%d %H:%M:%S}"


def critical_moments(start: datetime, end: datetime) -> list[datetime]:
    """Return moments around every midnight, and a few others."""
    moments = [start + timedelta(hours=7 * each) for each in range(24 * 40 // 7)]
    for day in range(40):
        for after in BEGINNINGS_OF_DAYS:
            moments += [start + day * DAY + after, start + (day + 1) * DAY - after]
    moments += [end - timedelta(milliseconds=each) for each in (1, 500, 3_600_000)]
    return sorted(each for each in set(moments) if start <= each < end)


def check_readings(service: Service, clock: str, first_day: int) -> None:
    """Sync three times from some moment on, and check that no row was lost in between."""
    begin = datetime.fromisoformat(f"2026-03-10T{clock}+00:00")
    start = datetime(2026, 2, first_day, tzinfo=UTC)
    # A service that does not include `since` has no rows of the first moment or day; one in
    # another zone has those of a day that begins earlier or later.
    exactly = service.inclusive[0] and not service.zone
    first = start if exactly else start + DAY
    loaded: dict[Any, Any] = {}
    state: dict[str, Any] | None = None
    # The clock stands still, as a row may not be older than a request that did not bring it.
    with time_machine.travel(begin, tick=False) as clock_now:
        org = org_of([begin])
        hook = service.read_in_zone if service.zone else None
        with Sandbox(
            org, reading=service.reading, inclusive=service.inclusive, on_request=hook
        ) as box:
            dates: list[datetime] = []
            for pause in (timedelta(0), timedelta(hours=9), timedelta(days=2, minutes=1)):
                clock_now.shift(pause)
                until = datetime.now(UTC)
                since = dates[-1] if dates else first - DAY
                dates += [at for at in critical_moments(first, until) if at > since]
                rows = team_rows(dates)
                org.replace_rows("teams", rows)
                requests = len(box.requests)
                run = run_tap(
                    config=config_for(box, start_date=start.isoformat()),
                    catalog=catalog_of("teams"),
                    state=state,
                )
                assert run.status == 0
                assert not state or len(box.requests) == requests + 1
                state = run.state
                loaded |= run.rows("teams")
                missing = {row["Id"] for row in rows} - {key for (key,) in loaded}
                assert not missing
                assert loaded == fold(
                    "teams", [canonical(ENDPOINT["teams"], row) for row in rows]
                )


@pytest.mark.parametrize("reading", get_args(Reading))
@pytest.mark.parametrize("inclusive", INCLUSIVE)
@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("first_day", FIRST_DAYS)
def test_no_row_is_lost_however_since_and_to_are_read(
    reading: Reading, inclusive: tuple[bool, bool], clock: str, first_day: int
) -> None:
    check_readings(Service(reading, inclusive), clock, first_day)


@pytest.mark.parametrize("hours", [-11, -5, 2, 11])
@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("first_day", FIRST_DAYS)
def test_no_row_is_lost_whatever_the_zone_of_the_service(
    hours: int, clock: str, first_day: int
) -> None:
    check_readings(Service(zone=timedelta(hours=hours)), clock, first_day)


# An end


def test_a_sync_stops_at_end_date_and_goes_on_from_there(seed: int) -> None:
    org = unknown_org(seed, users=15, days=60)
    end = datetime.fromisoformat(days_ago(20)).replace(tzinfo=UTC)
    with Sandbox(org, inclusive=(True, False)) as box:
        part = run_tap(config=config_for(box, end_date=days_ago(20)))
        assert part.status == 0
        assert all(seen.to and seen.to <= end for seen in box.requests)
        for stream in DEFAULT_STREAMS:
            whole = truth(org, stream)
            assert part.rows(stream) == {
                place: row
                for place, row in whole.items()
                if moment(changed_at(stream, row)) < end
            }
            assert part.bookmark(stream) == end
        again = run_tap(config=config_for(box, end_date=days_ago(20)), state=part.state)
        assert again.status == 0
        assert {stream: again.bookmark(stream) for stream in DEFAULT_STREAMS} == dict.fromkeys(
            DEFAULT_STREAMS, end
        )
        requests = len(box.requests)
        rest = run_tap(config=config_for(box), state=again.state)
        earliest = min(seen.since for seen in box.requests[requests:] if seen.since)
        assert end - 2 * DAY <= earliest < end
        for stream in DEFAULT_STREAMS:
            assert part.rows(stream) | rest.rows(stream) == truth(org, stream)


@pytest.mark.parametrize("days", [0, -1, -400])
def test_an_end_that_is_not_past_never_asks_for_the_future(days: int) -> None:
    org = Organisation(users=3, years=0.1, live=False)
    with Sandbox(org) as box:
        config = config_for(box, end_date=f"{days_ago(days)}T12:00:00", start_date=days_ago(9))
        run = run_tap(config=config)
        assert run.status == 0
        now = datetime.now(UTC)
        assert box.requests
        assert all(seen.to and seen.to <= now for seen in box.requests)
        assert all(run.bookmark(stream) <= now for stream in DEFAULT_STREAMS)
        rest = run_tap(config=config_for(box, start_date=days_ago(9)), state=run.state)
        loaded = run.rows("users") | rest.rows("users")
        for key, row in truth(org, "users").items():
            if moment(row["UpdatedDate"]) >= now - 8 * DAY:
                assert loaded[key] == row


# The order of messages


def test_messages_come_in_order(seed: int) -> None:
    """SCHEMA, then window by window the RECORDs and one STATE; stream by stream."""
    org = unknown_org(seed, users=20, days=50)
    with Sandbox(org) as box:
        run = run_tap(config=config_for(box, page_size=9))
    assert run.status == 0
    windows = by_window(box.requests)
    streams = [
        stream for stream, _ in groupby(seen["stream"] for seen in run.of_type("SCHEMA"))
    ]
    assert sorted(streams) == DEFAULT_STREAMS
    messages = iter(run.messages)
    bookmarks: dict[str, Any] = {}
    following = next(messages)
    for stream in streams:
        while following["type"] == "SCHEMA":
            assert following["stream"] == stream
            assert following["key_properties"] == list(ENDPOINT[stream].primary_key)
            following = next(messages)
        spans = sorted(windows[stream])
        for number, (since, to) in enumerate(spans):
            while following["type"] == "RECORD":
                assert following["stream"] == stream
                row = following["record"]
                assert since <= moment(changed_at(stream, row)) <= to
                following = next(messages)
            assert following["type"] == "STATE"
            before, bookmarks = bookmarks, following["value"]["bookmarks"]
            assert {**before, stream: bookmarks[stream]} == bookmarks
            if number < len(spans) - 1:
                assert bookmark(following["value"], stream) == to
            following = next(messages, {"type": "end"})
    assert all(
        each["type"] == "STATE" for each in (following, *messages) if each["type"] != "end"
    )
