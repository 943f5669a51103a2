"""The arithmetic of windows, by properties."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pendulum
from hypothesis import assume, given
from hypothesis import strategies as st

from tap_litmos.windows import (
    Window,
    midnight,
    next_midnight,
    split_backwards,
    split_forwards,
    split_into_windows,
)

if TYPE_CHECKING:
    from pendulum import DateTime

ZONES = ["UTC", "Australia/Sydney", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Apia"]
moments = st.builds(
    lambda at, zone: pendulum.instance(at, tz="UTC").in_timezone(zone),
    st.datetimes(pendulum.datetime(2023, 1, 1).naive(), pendulum.datetime(2026, 1, 1).naive()),
    st.sampled_from(ZONES),
)
days = st.integers(1, 7)


def check_windows(found: list[Window], start: DateTime, longest: int) -> None:
    assert found[0].since <= start
    for before, after in pairwise(found):
        assert before.to == after.since
    for window in found:
        assert window.since == midnight(window.since)
        assert window.to == midnight(window.to)
        assert window.since.timezone_name == window.to.timezone_name == "UTC"
        assert 0 < (window.to - window.since).days <= 7
    for window in found[:-2]:
        assert (window.to - window.since).days == longest
    for window in found[:-1]:
        assert (window.to - window.since).days <= longest
        assert not window.is_open


@given(start=moments, now=moments, longest=days)
def test_windows_cover_the_time_up_to_now(start: DateTime, now: DateTime, longest: int) -> None:
    assume(start <= now)
    found = list(split_into_windows(start, now, days=longest))
    check_windows(found, start, longest)
    last = found[-1]
    assert last.is_open
    assert last.since <= now.subtract(days=1)
    assert last.to >= now.add(days=1)
    assert 3 <= (last.to - last.since).days <= max(3, longest)


@given(start=moments, end=moments, now=moments, longest=days)
def test_windows_stop_at_the_end_and_before_the_future(
    start: DateTime, end: DateTime, now: DateTime, longest: int
) -> None:
    assume(start <= now and start < end)
    stop = next_midnight(end, at_most=midnight(now))
    found = list(split_forwards(midnight(start), stop, days=longest))
    if not found:
        assert midnight(start) == midnight(now)
        return
    check_windows(found, start, longest)
    assert not any(window.is_open for window in found)
    assert found[-1].to <= now
    assert found[-1].to < end.add(days=1)
    assert found[-1].to >= min(end, midnight(now))


@given(since=moments, to=moments, longest=days)
def test_windows_back_in_time_leave_no_gap_to_what_was_read(
    since: DateTime, to: DateTime, longest: int
) -> None:
    since, to = midnight(since), midnight(to)
    found = list(split_backwards(since, to, days=longest))
    assert bool(found) == (since < to)
    if found:
        assert found[0].to == to
        assert found[-1].since == since
        check_windows(found[::-1][-2:], found[1 if len(found) > 1 else 0].since, longest)
    for newer, older in pairwise(found):
        assert older.to == newer.since
        assert (newer.to - newer.since).days == longest


@given(start=moments, now=moments, later=st.integers(0, 100_000), longest=days)
def test_bookmarks_never_pass_the_moment_of_asking(
    start: DateTime, now: DateTime, later: int, longest: int
) -> None:
    assume(start <= now)
    requested_at = now.add(minutes=later)
    for window in split_into_windows(start, now, days=longest):
        assert window.complete_until(requested_at) <= min(requested_at, window.to)
        if not window.is_open:
            assert window.complete_until(requested_at) == window.to
        elif later == 0:
            assert window.complete_until(requested_at) == now


def test_an_open_window_that_is_requested_late_does_not_claim_its_end() -> None:
    since = pendulum.datetime(2026, 1, 1)
    window = Window(since, since.add(days=3), is_open=True)
    assert window.complete_until(since.add(days=10)) == since.add(days=2)
