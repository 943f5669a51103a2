"""State: the bookmark is the end of the last finished window, and never a row's date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from support import (
    AFTERNOON,
    DEFAULT_STREAMS,
    ENDPOINT,
    WITHOUT_KEY,
    bookmark,
    catalog_of,
    config_for,
    days_ago,
    limit_threads,
    page,
    run_tap,
    truth,
)

from tap_litmos.sandbox import Incoming, Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.usefixtures("afternoon")

DAY = timedelta(days=1)


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def state_of(at: datetime | str, *streams: str) -> dict[str, Any]:
    """Return a state with the same bookmark for some streams."""
    text = at if isinstance(at, str) else f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"
    return {
        "bookmarks": {
            stream: {
                "replication_key": ENDPOINT[stream].replication_key,
                "replication_key_value": text,
            }
            for stream in streams
        }
    }


def check_shape(state: Mapping[str, Any]) -> None:
    """Check that a state holds bookmarks and nothing else."""
    assert set(state) == {"bookmarks"}
    for stream, found in state["bookmarks"].items():
        assert set(found) <= {"replication_key", "replication_key_value", "replicated_from"}
        if found:
            assert found["replication_key"] == ENDPOINT[stream].replication_key


# Across syncs


def test_the_open_window_is_marked_by_the_moment_of_its_request(box: Sandbox) -> None:
    before = datetime.now(UTC)
    run = run_tap(config=config_for(box))
    after = datetime.now(UTC)
    assert run.status == 0
    for stream in DEFAULT_STREAMS:
        # The server's clock has whole seconds, and the earlier of the two counts.
        assert before - timedelta(seconds=2) <= run.bookmark(stream) <= after
        first = min(
            seen.at
            for seen in box.requests
            if seen.stream == stream and seen.to and seen.to > before
        )
        assert run.bookmark(stream) <= first + timedelta(milliseconds=1)


def test_all_states_are_well_formed_and_move_forward_only(box: Sandbox) -> None:
    states: list[dict[str, Any]] = []
    state: dict[str, Any] | None = None
    for _ in range(3):
        run = run_tap(config=config_for(box), state=state)
        assert run.status == 0
        states += run.states
        state = run.state
    reached: dict[str, datetime] = {}
    for each in states:
        check_shape(each)
        assert set(reached) <= set(each["bookmarks"])
        for stream, found in each["bookmarks"].items():
            if found:
                at = bookmark(each, stream)
                assert at >= reached.get(stream, at)
                reached[stream] = at
    assert sorted(reached) == DEFAULT_STREAMS


def test_an_idle_organisation_costs_17_requests_a_sync(box: Sandbox) -> None:
    state = run_tap(config=config_for(box)).state
    for _ in range(3):
        requests = len(box.requests)
        run = run_tap(config=config_for(box), state=state)
        assert run.status == 0
        assert sorted(seen.stream or "" for seen in box.requests[requests:]) == DEFAULT_STREAMS
        for stream in DEFAULT_STREAMS:
            # The clock of the server has whole seconds.
            assert run.bookmark(stream) >= bookmark(state, stream)
        state = run.state


def test_a_sync_reads_on_from_the_bookmark_however_long_ago(box: Sandbox) -> None:
    """A bookmark of weeks ago is caught up with, window by window."""
    at = ago(days=30)
    state = state_of(at, *DEFAULT_STREAMS)
    run = run_tap(config=config_for(box), state=state)
    assert run.status == 0
    for stream in DEFAULT_STREAMS:
        assert min(
            seen.since for seen in box.requests if seen.stream == stream and seen.since
        ) == midnight(at - DAY)
        assert run.bookmark(stream) > ago(minutes=5)


def test_streams_have_bookmarks_of_their_own(box: Sandbox) -> None:
    state = state_of(ago(hours=1), "teams")
    run = run_tap(config=config_for(box), state=state, catalog=catalog_of("teams", "courses"))
    asked = [seen.stream for seen in box.requests]
    assert asked.count("teams") == 1
    assert asked.count("courses") > 1
    assert sorted(run.state["bookmarks"]) == ["courses", "teams"]


def test_what_is_not_selected_keeps_its_bookmark(box: Sandbox) -> None:
    state = state_of(ago(days=20), "teams", "courses")
    run = run_tap(config=config_for(box), state=state, catalog=catalog_of("courses"))
    for each in run.states:
        assert each["bookmarks"]["teams"] == state["bookmarks"]["teams"]
    assert run.bookmark("courses") > ago(minutes=5)


# Whatever the rows say


def answering(answer: Callable[[Incoming], str | None]) -> Sandbox:
    """Return a sandbox where only the first window has a row, given as XML."""

    def hook(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        row = answer(incoming)
        return 200, {}, page(incoming.stream or "", *([row] if row else []))

    return Sandbox(Organisation(users=1, years=0.1, live=False), on_request=hook)


@pytest.mark.parametrize(
    "date",
    [
        '<UpdatedDate i:nil="true"/>',
        "<UpdatedDate/>",
        "<UpdatedDate>0001-01-01T00:00:00</UpdatedDate>",
        "<UpdatedDate>9999-12-31T23:59:59</UpdatedDate>",
        "<UpdatedDate>1999-01-01T00:00:00</UpdatedDate>",
        "<UpdatedDate>no date</UpdatedDate>",
        "",
    ],
)
def test_no_row_stops_or_moves_the_bookmark(date: str) -> None:
    first = midnight(ago(days=30))

    def answer(incoming: Incoming) -> str | None:
        return f"<Id>t</Id>{date}" if incoming.since == first - DAY else None

    with answering(answer) as box:
        config = config_for(box, start_date=first.date().isoformat())
        run = run_tap(config=config, catalog=catalog_of("teams"))
        ends = sorted({seen.to for seen in box.requests if seen.to})
    assert run.status == 0
    assert len(run.records("teams")) == 1
    found = [bookmark(state, "teams") for state in run.states if state["bookmarks"]["teams"]]
    assert found[:-1] == ends[:-1]
    assert ago(minutes=5) < found[-1] <= datetime.now(UTC)
    for state in run.states:
        check_shape(state)


def test_empty_windows_move_the_bookmark() -> None:
    with answering(lambda _: None) as box:
        config = config_for(box, start_date=days_ago(40))
        run = run_tap(config=config)
        ends = sorted({seen.to for seen in box.requests if seen.to})
        assert len(ends) >= 6
        assert run.status == 0
        for stream in DEFAULT_STREAMS:
            found = []
            for state in run.states:
                if state["bookmarks"].get(stream):
                    at = bookmark(state, stream)
                    if at not in found:
                        found.append(at)
            assert found[:-1] == ends[:-1]
        requests = len(box.requests)
        assert run_tap(config=config, state=run.state).status == 0
        assert len(box.requests) - requests == 17


def test_a_bookmark_never_moves_backwards_even_when_older_windows_are_read(
    box: Sandbox,
) -> None:
    at = ago(hours=2)
    run = run_tap(
        config=config_for(box, lookback_hours=720),
        state=state_of(at, "teams"),
        catalog=catalog_of("teams"),
    )
    assert len(box.requests) > 3
    for state in run.states:
        assert bookmark(state, "teams") >= at
    assert run.bookmark("teams") > at


# Where a sync begins


@pytest.mark.parametrize("hours", [0, 1, 24, 49, 240, 720])
@pytest.mark.parametrize("days", [0.1, 3, 12.3])
def test_a_sync_begins_the_lookback_before_the_bookmark(
    hours: int, days: float, long_box: Sandbox
) -> None:
    at = ago(days=days)
    run = run_tap(
        config=config_for(long_box, lookback_hours=hours),
        state=state_of(at, "teams"),
        catalog=catalog_of("teams"),
    )
    assert run.status == 0
    begin = min(seen.since for seen in long_box.requests if seen.since)
    yesterday = midnight(ago(days=1))
    assert begin == min(midnight(at - timedelta(hours=hours)), yesterday)


def test_a_sync_never_begins_before_start_date(box: Sandbox) -> None:
    start = ago(days=10)
    run = run_tap(
        config=config_for(box, start_date=start.isoformat(), lookback_hours=720),
        state=state_of(ago(days=5), "teams"),
        catalog=catalog_of("teams"),
    )
    assert run.status == 0
    assert min(seen.since for seen in box.requests if seen.since) == midnight(start) - DAY


def test_a_later_start_date_does_not_shorten_the_lookback(box: Sandbox) -> None:
    """Rows that it left out would count as read when `start_date` is set back."""
    at = midnight(ago(days=9)) + timedelta(hours=20)
    state = state_of(at, "teams")
    state["bookmarks"]["teams"]["replicated_from"] = ago(days=30).isoformat()
    run = run_tap(
        config=config_for(box, start_date=(at + DAY).date().isoformat()),
        state=state,
        catalog=catalog_of("teams"),
    )
    assert run.status == 0
    assert not run.warnings
    assert min(seen.since for seen in box.requests if seen.since) == midnight(at - DAY)


def test_a_start_date_later_than_the_bookmark_counts_with_a_warning(box: Sandbox) -> None:
    at = ago(days=50)
    run = run_tap(
        config=config_for(box, start_date=days_ago(20)),
        state=state_of(at, "teams"),
        catalog=catalog_of("teams"),
    )
    assert run.status == 0
    assert min(seen.since for seen in box.requests if seen.since) == midnight(ago(days=21))
    [warning] = run.warnings
    assert "teams" in warning
    assert "start_date" in warning
    assert run.bookmark("teams") > ago(minutes=5)


def test_without_a_bookmark_a_sync_begins_at_the_day_of_start_date(box: Sandbox) -> None:
    start = f"{days_ago(9)}T22:30:00-05:00"
    run = run_tap(config=config_for(box, start_date=start), catalog=catalog_of("teams"))
    assert run.status == 0
    # In UTC it is the next day; and a day before is asked for, for zones west of UTC.
    begin = datetime.fromisoformat(days_ago(9)).replace(tzinfo=UTC)
    assert min(seen.since for seen in box.requests if seen.since) == begin


# Interruptions


@pytest.mark.parametrize("messages", [1, 2, 60, 250, 500, 777])
def test_an_interrupted_sync_goes_on_from_its_last_state(
    messages: int, long_org: Organisation, long_box: Sandbox
) -> None:
    cut = run_tap(config=config_for(long_box), messages=messages)
    assert cut.status != 0
    assert len(cut.messages) == messages
    state = cut.states[-1] if cut.states else None
    requests = len(long_box.requests)
    rest = run_tap(config=config_for(long_box), state=state)
    assert rest.status == 0
    for stream in DEFAULT_STREAMS:
        assert cut.rows(stream) | rest.rows(stream) == truth(long_org, stream)
    finished = [
        stream
        for stream in (state or {"bookmarks": {}})["bookmarks"]
        if bookmark(state or {}, stream) > ago(minutes=5)
    ]
    again = [seen.stream for seen in long_box.requests[requests:]]
    assert all(again.count(stream) == 1 for stream in finished)


def test_a_sync_that_is_interrupted_again_and_again_gets_through(
    long_org: Organisation, long_box: Sandbox
) -> None:
    loaded: dict[str, dict[Any, Any]] = {stream: {} for stream in DEFAULT_STREAMS}
    state: dict[str, Any] | None = None
    interruptions = 0
    while True:
        run = run_tap(config=config_for(long_box), state=state, messages=200)
        for stream in DEFAULT_STREAMS:
            loaded[stream] |= run.rows(stream)
        state = run.states[-1] if run.states else state
        if run.status == 0:
            break
        interruptions += 1
        assert interruptions < 50
    assert interruptions > 2
    for stream in DEFAULT_STREAMS:
        assert loaded[stream] == truth(long_org, stream)


# An earlier start_date


def gaps(box: Sandbox, since: int) -> list[datetime | None]:
    return [seen.since for seen in box.requests[since:]]


def test_an_earlier_start_date_reads_the_gap_once(
    long_org: Organisation, long_box: Sandbox
) -> None:
    catalog = catalog_of("course_results")
    late = run_tap(config=config_for(long_box, start_date=days_ago(20)), catalog=catalog)
    assert late.rows("course_results") != truth(long_org, "course_results")
    before = len(long_box.requests)
    one_by_one = config_for(long_box, max_concurrent_requests=1)
    early = run_tap(config=one_by_one, state=late.state, catalog=catalog)
    assert early.status == 0
    assert late.rows("course_results") | early.rows("course_results") == truth(
        long_org, "course_results"
    )
    # First from the bookmark on, then the gap, newest window first.
    first, *gap = gaps(long_box, before)
    assert first == midnight(ago(days=1))
    assert gap == sorted(
        gap, key=lambda at: at or datetime.min.replace(tzinfo=UTC), reverse=True
    )
    assert len(gap) == len(set(gap))
    assert gap[-1] == long_org.start - DAY
    before = len(long_box.requests)
    assert run_tap(config=config_for(long_box), state=early.state, catalog=catalog).status == 0
    assert len(long_box.requests) - before == 1


@pytest.mark.parametrize("messages", [30, 100, 160])
def test_a_gap_goes_on_where_it_was_interrupted(
    messages: int, long_org: Organisation, long_box: Sandbox
) -> None:
    catalog = catalog_of("course_results")
    state: Any = run_tap(
        config=config_for(long_box, start_date=days_ago(20)), catalog=catalog
    ).state
    loaded: dict[Any, Any] = {}
    syncs = 0
    while True:
        before = len(long_box.requests)
        run = run_tap(
            config=config_for(long_box, lookback_hours=0, max_concurrent_requests=1),
            state=state,
            catalog=catalog,
            messages=messages if syncs < 20 else None,
        )
        loaded |= run.rows("course_results")
        first_of_gap = [at for at in gaps(long_box, before) if at and at < ago(days=20)][:1]
        if syncs and first_of_gap:
            read_from = bookmark_from(state)
            assert first_of_gap[0] >= read_from - 7 * DAY
        state = run.states[-1] if run.states else state
        syncs += 1
        if run.status == 0:
            break
    assert {row["Id"] for row in loaded.values()} <= {
        key[0] for key in truth(long_org, "course_results")
    }
    early = {
        key
        for key, row in truth(long_org, "course_results").items()
        if (row["UpdatedDate"] or row["CreatedDate"]) < days_ago(21)
    }
    assert early <= loaded.keys()


@pytest.mark.parametrize("days", [1, 7])
@pytest.mark.parametrize("end", [None, 1, 4])
def test_a_lookback_that_reaches_into_the_gap_reads_nothing_twice(
    end: int | None, days: int, long_box: Sandbox
) -> None:
    catalog = catalog_of("course_results")
    late = run_tap(
        config=config_for(long_box, start_date=days_ago(2), lookback_hours=240), catalog=catalog
    )
    before = len(long_box.requests)
    config = config_for(
        long_box,
        start_date=days_ago(9),
        lookback_hours=240,
        window_days=days,
        **({"end_date": days_ago(end)} if end else {}),
    )
    early = run_tap(config=config, state=late.state, catalog=catalog)
    assert early.status == 0
    windows = sorted(
        (seen.since, seen.to)
        for seen in long_box.requests[before:]
        if seen.since and seen.to and not seen.start
    )
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(windows))


def bookmark_from(state: Mapping[str, Any]) -> datetime:
    text = state["bookmarks"]["course_results"]["replicated_from"]
    return datetime.fromisoformat(text)


def test_a_state_of_an_earlier_version_is_taken_as_read_from_start_date(box: Sandbox) -> None:
    state = state_of(ago(hours=3), "teams")
    run = run_tap(config=config_for(box), state=state, catalog=catalog_of("teams"))
    assert len(box.requests) == 1
    assert run.state["bookmarks"]["teams"]["replicated_from"].startswith(
        (box.org.start - DAY).date().isoformat()
    )


def test_the_earliest_start_date_is_read_once(box: Sandbox) -> None:
    state = state_of(ago(hours=3), "teams")
    state["bookmarks"]["teams"]["replicated_from"] = "1989-12-31T00:00:00.000000Z"
    config = config_for(box, start_date="1990-01-01")
    run = run_tap(config=config, state=state, catalog=catalog_of("teams"))
    assert len(box.requests) == 1
    assert run.warnings == []


def test_where_a_state_does_not_say_from_when_on_it_holds_it_is_corrected_at_once(
    box: Sandbox,
) -> None:
    state = state_of(ago(hours=3), "teams")
    state["bookmarks"]["teams"]["replicated_from"] = "\ud800"
    config = config_for(box)
    run = run_tap(config=config, state=state, catalog=catalog_of("users", "teams"))
    assert run.status == 0
    assert run.rows("teams") == truth(box.org, "teams")
    assert len([each for each in box.requests if each.stream == "teams"]) > 4


def test_a_state_that_begins_within_a_day_has_that_day_read_whole(box: Sandbox) -> None:
    state = state_of(ago(hours=3), "teams")
    begin = midnight(ago(days=20))
    state["bookmarks"]["teams"]["replicated_from"] = (begin + DAY / 2).isoformat()
    run_tap(
        config=config_for(box, start_date=f"{begin:%Y-%m-%d}"),
        state=state,
        catalog=catalog_of("teams"),
    )
    assert begin + DAY in {seen.to for seen in box.requests}


def test_a_window_with_a_row_without_key_holds_the_bookmark_back() -> None:
    bad = midnight(ago(days=20))

    def answer(incoming: Incoming) -> str | None:
        since, to = incoming.since, incoming.to
        assert since is not None
        assert to is not None
        return "<Name>x</Name>" if since <= bad < to else "<Id>t</Id>"

    with answering(answer) as box:
        config = config_for(box, start_date=days_ago(40))
        run = run_tap(config=config, catalog=catalog_of("teams"))
        again = run_tap(config=config, state=run.state, catalog=catalog_of("teams"))
    assert run.status == again.status == 1
    assert run.bookmark("teams") <= bad
    assert again.bookmark("teams") == run.bookmark("teams")
    assert f"skipped a row {WITHOUT_KEY}" in again.log


def test_a_row_without_key_that_the_lookback_finds_holds_the_bookmark_where_it_is() -> None:
    bad = ago(days=11)

    def answer(incoming: Incoming) -> str | None:
        since, to = incoming.since, incoming.to
        assert since is not None
        assert to is not None
        return "<Name>x</Name>" if since <= bad < to else None

    at = f"{ago(days=10):%Y-%m-%dT%H:%M:%S.%fZ}"
    bookmark = {"replication_key": "UpdatedDate", "replication_key_value": at}
    state = {"bookmarks": {"teams": bookmark}}
    with answering(answer) as box:
        config = config_for(box, start_date=days_ago(40), window_days=1)
        run = run_tap(config=config, state=state, catalog=catalog_of("teams"))
        again = run_tap(config=config, state=run.state, catalog=catalog_of("teams"))
    assert run.status == again.status == 1
    assert run.state["bookmarks"]["teams"]["replication_key_value"] == at


# Listings


def test_an_empty_listing_announces_nothing(box: Sandbox) -> None:
    def empty(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (200, {}, page("user_ids")) if incoming.stream == "user_ids" else None

    with Sandbox(box.org, on_request=empty) as strange:
        run = run_tap(config=config_for(strange, detect_deletes=True))
    assert run.status == 0
    announced = {each["stream"] for each in run.of_type("ACTIVATE_VERSION")}
    assert announced == {"course_ids", "team_ids", "learning_path_ids"}
    assert len({each["ListedAt"] for each in run.records("course_ids")}) == 1


def test_a_listing_of_which_a_stream_map_leaves_nothing_announces_nothing(box: Sandbox) -> None:
    maps = {"user_ids": {"__filter__": "Id.startswith('nobody')"}}
    run = run_tap(
        config=config_for(box, detect_deletes=True, stream_maps=maps),
        catalog=catalog_of("users"),
    )
    assert run.status == 0
    assert not run.of_type("RECORD", "user_ids")
    assert not run.of_type("ACTIVATE_VERSION", "user_ids")
    assert run.of_type("ACTIVATE_VERSION", "team_ids")


@pytest.mark.parametrize("end", ["refused", "a row without key"])
def test_a_listing_that_does_not_come_whole_writes_no_id(end: str, box: Sandbox) -> None:
    """Its ids would pass for all that exist, as they have the latest `ListedAt`."""

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        if incoming.stream != "user_ids":
            return None
        if end == "a row without key":
            return 200, {}, page("user_ids", "<Id>a</Id>", "<No>1</No>")
        return (403, {}, b"") if incoming.start else None

    box.on_request = answer
    config = config_for(box, detect_deletes=True, page_size=10)
    run = run_tap(config=config, catalog=catalog_of("user_ids", "team_ids", config=config))
    assert run.status == 1
    assert ("returned 403" if end == "refused" else "1 skipped row") in run.errors[-1]
    assert not run.records("user_ids")
    assert run.records("team_ids")
    assert "user_ids" not in {each["stream"] for each in run.messages if "version" in each}


def test_a_version_is_announced_after_all_rows_of_a_listing_and_for_nothing_else(
    box: Sandbox,
) -> None:
    run = run_tap(config=config_for(box, detect_deletes=True, page_size=8))
    assert run.status == 0
    listings = {"user_ids", "course_ids", "team_ids", "learning_path_ids"}
    assert {each["stream"] for each in run.messages if "version" in each} == listings
    for stream in listings:
        *rows, last = (each for each in run.messages if each.get("stream") == stream)
        assert [each["type"] for each in rows] == ["SCHEMA", *["RECORD"] * (len(rows) - 1)]
        assert last["type"] == "ACTIVATE_VERSION"
        assert {each["version"] for each in [*rows[1:], last]} == {last["version"]}


def test_rows_tell_when_their_page_was_asked_for(org: Organisation) -> None:
    with time_machine.travel(AFTERNOON, tick=False) as clock:
        box = Sandbox(org, on_request=lambda _: clock.shift(60))
        with box:
            config = config_for(box, page_size=50, max_concurrent_requests=1)
            run = run_tap(config=config, catalog=catalog_of("users", "module_results"))
    assert run.status == 0
    told = [
        datetime.fromisoformat(each["time_extracted"]) - AFTERNOON
        for each in run.of_type("RECORD")
    ]
    assert told == sorted(told)
    asked = [timedelta(minutes=number) for number in range(len(box.requests))]
    assert set(told) <= set(asked)
    assert len(set(told)) > len(asked) / 2


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_a_sync_goes_on_with_the_threads_there_are(
    threads: int, org: Organisation, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_threads(threads, monkeypatch)
    run = run_tap(
        config=config_for(box, max_concurrent_requests=12), catalog=catalog_of("users")
    )
    assert run.status == 0
    assert run.rows("users") == truth(org, "users")
