"""State: the bookmark is the end of the last window that was read whole, never a row's date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    WITHOUT_KEY,
    bookmark,
    catalog_of,
    changed_at,
    config_for,
    days_ago,
    moment,
    page,
    run_tap,
    truth,
)

from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Run

pytestmark = pytest.mark.usefixtures("afternoon")

DAY = timedelta(days=1)


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def state_of(at: datetime, *streams: str, replicated_from: str | None = None) -> dict[str, Any]:
    """Return a state with the same bookmark for some streams, read from 1990 on by default."""
    return {
        "bookmarks": {
            stream: {
                "replication_key": ENDPOINT[stream].replication_key,
                "replication_key_value": written(at),
                "replicated_from": replicated_from or "1990-01-01T00:00:00.000000Z",
            }
            for stream in streams
        }
    }


def sync(box: Sandbox, *streams: str, state: Any = None, **settings: Any) -> Run:
    """Sync some streams, one window after another."""
    box.requests.clear()
    config = config_for(box, max_concurrent_requests=1, **settings)
    return run_tap(config=config, state=state, catalog=catalog_of(*(streams or ["teams"])))


def starts(box: Sandbox) -> list[datetime]:
    """Return the beginnings of the windows that were asked for."""
    return [seen.since for seen in box.requests if seen.since and not seen.start]


# Across syncs


def test_the_bookmark_ends_at_the_request_of_the_open_window_and_never_moves_back(
    box: Sandbox,
) -> None:
    reached: dict[str, datetime] = {}
    state: Any = None
    for _ in range(3):
        before = datetime.now(UTC)
        box.requests.clear()
        run = run_tap(config=config_for(box), state=state)
        assert run.status == 0
        for state in run.states:
            assert set(state) == {"bookmarks"}
            for stream, found in state["bookmarks"].items():
                keys = {"replication_key", "replication_key_value", "replicated_from"}
                assert set(found) == keys
                assert found["replication_key"] == ENDPOINT[stream].replication_key
                at = bookmark(state, stream)
                assert at >= reached.get(stream, at)
                reached[stream] = at
        for seen in box.requests:
            if seen.to and seen.to > before:
                # The server's clock has whole seconds, and the earlier of the two counts.
                assert seen.stream
                assert seen.at - timedelta(seconds=2) <= reached[seen.stream]
                assert reached[seen.stream] <= seen.at + timedelta(milliseconds=1)
    assert sorted(reached) == DEFAULT_STREAMS


def test_each_stream_reads_on_from_its_own_bookmark(box: Sandbox) -> None:
    at = ago(days=15)
    state = state_of(at, "teams", "courses")
    state["bookmarks"] |= state_of(ago(hours=1), "users")["bookmarks"]
    run = sync(box, "teams", "users", "modules", state=state)
    assert run.status == 0
    begins = {seen.stream: seen.since for seen in reversed(box.requests)}
    assert begins == {
        "teams": midnight(at - DAY),
        "users": midnight(ago(days=1)),
        "modules": box.org.start - DAY,
    }
    assert all(run.bookmark(stream) > ago(minutes=5) for stream in begins if stream)
    # What is not selected keeps its bookmark.
    for found in run.states:
        assert found["bookmarks"]["courses"] == state["bookmarks"]["courses"]


@pytest.mark.parametrize("most", [1, 12])
def test_a_state_never_claims_a_row_that_was_not_written_before(
    most: int, long_org: Organisation, long_box: Sandbox
) -> None:
    config = config_for(long_box, page_size=100, max_concurrent_requests=most)
    run = run_tap(config=config)
    assert run.status == 0
    due = {
        stream: {key: changed_at(stream, row) for key, row in truth(long_org, stream).items()}
        for stream in DEFAULT_STREAMS
    }
    for message in run.messages:
        if message["type"] == "RECORD":
            name, record = message["stream"], message["record"]
            due[name].pop(tuple(record[key] for key in ENDPOINT[name].primary_key), None)
        elif message["type"] == "STATE":
            for stream, found in message["value"]["bookmarks"].items():
                until = found["replication_key_value"]
                assert not [key for key, at in due[stream].items() if at < until]
    assert not any(due.values())
    assert len(run.states) > 100


# Whatever the rows say


def answering(answer: Callable[[datetime, datetime], list[str]]) -> Sandbox:
    """Return a sandbox that answers a window with rows, given as XML."""

    def hook(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        assert incoming.since
        assert incoming.to
        rows = [] if incoming.start else answer(incoming.since, incoming.to)
        return 200, {}, page(incoming.stream or "", *rows)

    return Sandbox(Organisation(users=1, years=0.1, live=False), on_request=hook)


DATES = [
    '<UpdatedDate i:nil="true"/>',
    "<UpdatedDate/>",
    "<UpdatedDate>0001-01-01T00:00:00</UpdatedDate>",
    "<UpdatedDate>9999-12-31T23:59:59</UpdatedDate>",
    "<UpdatedDate>1999-01-01T00:00:00</UpdatedDate>",
    "<UpdatedDate>no date</UpdatedDate>",
    "",
]


def test_no_row_stops_or_moves_the_bookmark_and_empty_windows_do() -> None:
    first = midnight(ago(days=31))

    def answer(since: datetime, _: datetime) -> list[str]:
        rows = [f"<Id>{number}</Id>{date}" for number, date in enumerate(DATES)]
        return rows if since == first else []

    with answering(answer) as box:
        run = sync(box, start_date=days_ago(30))
        ends = [seen.to for seen in box.requests]
    assert run.status == 0
    assert len(run.records("teams")) == len(DATES)
    assert len(ends) > 4
    found = list(dict.fromkeys(bookmark(state, "teams") for state in run.states))
    assert found[:-1] == ends[:-1]
    assert ago(minutes=5) < found[-1] <= datetime.now(UTC)


@pytest.mark.parametrize("is_read_before", [False, True])
def test_a_row_without_key_holds_the_bookmark_before_its_window(
    is_read_before: bool,  # noqa: FBT001
) -> None:
    """Also if the lookback finds it in a window that was read before: the bookmark stays."""
    bad = ago(days=11)
    at = ago(days=10)
    state = state_of(at, "teams") if is_read_before else None
    with answering(
        lambda since, to: ["<Name>x</Name>" if since <= bad < to else "<Id>t</Id>"]
    ) as box:
        for _ in range(2):
            run = sync(box, state=state, start_date=days_ago(40), window_days=1)
            state = run.state
            assert run.status == 1
            assert WITHOUT_KEY in run.errors[-1]
            assert run.bookmark("teams") == (at if is_read_before else midnight(bad))


# Where a sync begins


@pytest.mark.parametrize(
    ("days", "hours"), [(0.1, 0), (0.1, 24), (3, 1), (3, 49), (12.3, 240), (12.3, 720)]
)
def test_a_sync_begins_the_lookback_before_the_bookmark(
    hours: int, days: float, box: Sandbox
) -> None:
    at = ago(days=days)
    run = sync(box, state=state_of(at, "teams"), start_date="1990-01-01", lookback_hours=hours)
    assert run.status == 0
    assert starts(box)[0] == min(midnight(at - timedelta(hours=hours)), midnight(ago(days=1)))
    assert all(bookmark(state, "teams") >= at for state in run.states)


@pytest.mark.parametrize("start", [10, 19])
def test_the_lookback_goes_back_to_where_the_first_sync_began_whatever_start_date_says(
    start: int, box: Sandbox
) -> None:
    """A later `start_date` does not shorten it: what it left out would count as read."""
    begin = midnight(ago(days=20))
    state = state_of(ago(days=5), "teams", replicated_from=written(begin))
    run = sync(box, state=state, start_date=days_ago(start), lookback_hours=720)
    assert run.status == 0
    assert not run.warnings
    assert starts(box)[0] == begin


def test_without_a_bookmark_a_sync_begins_a_day_before_start_date(box: Sandbox) -> None:
    """In UTC it is the next day; and a day before is asked for, for zones west of UTC."""
    assert sync(box, start_date=f"{days_ago(9)}T22:30:00-05:00").status == 0
    assert starts(box)[0] == midnight(ago(days=9))


# A gap after an earlier start_date


@pytest.mark.parametrize("messages", [None, 40])
def test_an_earlier_start_date_reads_the_gap_once(
    messages: int | None, long_org: Organisation, long_box: Sandbox
) -> None:
    """First from the bookmark on, then the gap, newest window first; also if interrupted."""
    stream = "course_results"
    run = sync(long_box, stream, start_date=days_ago(20))
    loaded = run.rows(stream)
    assert loaded != truth(long_org, stream)
    state: Any = run.state
    status = 1
    while status:
        begin = moment(state["bookmarks"][stream]["replicated_from"])
        long_box.requests.clear()
        run = run_tap(
            config=config_for(long_box, max_concurrent_requests=1),
            state=state,
            catalog=catalog_of(stream),
            messages=messages,
        )
        first, *gap = starts(long_box)
        assert first == midnight(ago(days=1))
        assert gap == sorted(gap, reverse=True)
        assert gap[:1] in ([], [max(begin - 7 * DAY, long_org.start - DAY)])
        loaded |= run.rows(stream)
        state, status = [state, *run.states][-1], run.status
    assert loaded == truth(long_org, stream)
    assert sync(long_box, stream, state=state).status == 0
    assert len(long_box.requests) == 1


@pytest.mark.parametrize(("end", "days"), [(None, 1), (None, 7), (1, 7), (4, 1)])
def test_a_lookback_that_reaches_into_the_gap_reads_nothing_twice(
    end: int | None, days: int, box: Sandbox
) -> None:
    late = sync(box, start_date=days_ago(2), lookback_hours=240)
    more = {"end_date": days_ago(end)} if end else {}
    early = sync(
        box,
        state=late.state,
        start_date=days_ago(9),
        lookback_hours=240,
        window_days=days,
        **more,
    )
    assert early.status == 0
    windows = sorted((seen.since, seen.to) for seen in box.requests if seen.since and seen.to)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(windows))


def test_an_end_date_before_what_was_read_never_moves_the_bookmark_back(box: Sandbox) -> None:
    late = sync(box, start_date=days_ago(5))
    early = sync(box, state=late.state, start_date=days_ago(30), end_date=days_ago(20))
    assert early.status == 0
    assert early.state == late.state
    assert sync(box, state=early.state, start_date=days_ago(30)).status == 0
    assert starts(box)[-1] == midnight(ago(days=31))


def test_a_state_that_begins_within_a_day_has_that_day_read_whole(box: Sandbox) -> None:
    begin = midnight(ago(days=20))
    state = state_of(ago(hours=3), "teams", replicated_from=written(begin + DAY / 2))
    assert sync(box, state=state, start_date=f"{begin:%Y-%m-%d}").status == 0
    assert begin + DAY in {seen.to for seen in box.requests}


def test_a_stream_that_a_map_drops_is_not_read_and_keeps_its_bookmark(box: Sandbox) -> None:
    state = state_of(ago(days=9), "teams", "users")
    run = run_tap(config=config_for(box, stream_maps={"__else__": None, "users": {}}), state=state)
    assert run.status == 0
    assert {seen.stream for seen in box.requests} == {"users"}
    assert run.rows("users")
    assert run.state["bookmarks"]["teams"] == state["bookmarks"]["teams"]
    assert sorted(run.state["bookmarks"]) == ["teams", "users"]


# Listings


LISTINGS = {stream for stream, endpoint in ENDPOINT.items() if endpoint.is_listing}


def test_a_version_is_announced_after_all_rows_of_a_listing_and_for_nothing_else(
    box: Sandbox,
) -> None:
    run = run_tap(config=config_for(box, detect_deletes=True, page_size=8))
    assert run.status == 0
    assert {message["stream"] for message in run.messages if "version" in message} == LISTINGS
    for stream in LISTINGS:
        rows = [message for message in run.messages if message.get("stream") == stream]
        kinds = [message["type"] for message in rows]
        assert kinds == ["SCHEMA", *["RECORD"] * (len(rows) - 2), "ACTIVATE_VERSION"]
        assert len({message["version"] for message in rows[1:]}) == 1
        assert len({message["record"]["ListedAt"] for message in rows[1:-1]}) == 1
        assert run.rows(stream).keys() == {
            (row["Id"],) for row in box.org.rows(ENDPOINT[stream].references["Id"].split(".")[0])
        }


def failing(how: str, seen: Incoming) -> Any:
    """Answer a request so that the listing of users does not come whole."""
    if seen.stream != "user_ids":
        return None
    if how == "refused on the way":
        return (403, {}, b"") if seen.start else None
    rows = {"empty": (), "a row without key": ("<Id>a</Id>", "<No>1</No>")}
    return (200, {}, page("user_ids", *rows[how])) if how in rows else None


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("empty", 0),
        ("a row without key", 1),
        ("refused on the way", 1),
        ("in another order each time", 0),
    ],
)
def test_a_listing_that_does_not_come_whole_writes_and_announces_nothing(
    how: str, status: int, org: Organisation
) -> None:
    """Its ids would pass for all that exist, as they have the latest `ListedAt`."""
    order: Any = "random" if "order" in how else "id"
    with Sandbox(org, on_request=lambda seen: failing(how, seen), order=order) as box:
        config = config_for(box, detect_deletes=True, page_size=10)
        run = run_tap(config=config, catalog=catalog_of("user_ids", "team_ids", config=config))
    assert run.status == status
    assert not run.records("user_ids")
    announced = {message["stream"] for message in run.messages if "version" in message}
    assert announced == {"team_ids"}
