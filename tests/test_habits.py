"""Services that are stranger than Litmos may ever be: every row comes, or the run says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from errors import ERRORS
from strange import StrangeSandbox as Sandbox
from support import (
    NOT_PROVED,
    WITHOUT_KEY,
    catalog_of,
    config_for,
    days_ago,
    org_with_teams,
    run_tap,
)

if TYPE_CHECKING:
    from support import Run

    from tap_litmos.sandbox import Organisation

STREAM = "teams"
COUNT = 1_230


def org_of(count: int, tie: int = 1) -> Organisation:
    """Return an organisation with teams, of which so many have the same second."""
    first = (datetime.now(UTC) - timedelta(days=9)).replace(minute=0, second=0, microsecond=0)
    return org_with_teams(first + timedelta(seconds=number // tie) for number in range(count))


def sync(box: Sandbox, **settings: Any) -> Run:
    settings = {"start_date": days_ago(20), "page_size": 200, **settings}
    config = config_for(box, **settings)
    return run_tap(config=config, catalog=catalog_of(STREAM), minute=box.minute)


WHOLE: dict[str, dict[str, Any]] = {
    "oldest first": {"order": "updated"},
    "newest first": {"order": "newest"},
    "ties in any order": {"order": "shuffled ties"},
    "any order": {"order": "random"},
    "some rows twice, side by side": {"repeated": "adjacent"},
    "all rows twice": {"repeated": "appended"},
    "some rows twice, anywhere": {"repeated": "scattered"},
    "pages of 180": {"page_cap": 180},
    "pages of 100": {"page_cap": 100},
    "the default limit": {"ignores_limit": True},
    "one in 190 left out": {"filtered": 190},
    "pages that are too long": {"overfull": 3},
    "another encoding": {"charset": "windows-1252"},
    "unknown fields": {"unknown_fields": True},
    "raw ampersands": {"raw": True},
    "a clock that is ahead": {"clock_skew": 900.0},
    "a clock that is behind": {"clock_skew": -900.0},
    "far west": {"zone": -12.0},
    "far east": {"zone": 14.0},
    "days, not moments": {"reading": "day"},
    "another client": {"requests_per_minute": 8, "others_per_minute": 2, "minute": 0.6},
}


@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("habit", WHOLE)
def test_every_row_comes(habit: str, concurrency: int) -> None:
    org = org_of(COUNT, tie=150)
    with Sandbox(org, **WHOLE[habit]) as box:
        run = sync(box, max_concurrent_requests=concurrency)
        shown = {
            row.values["Id"]
            for row in org.window(STREAM, org.start, datetime.now(UTC))
            if box.shows(row)
        }
    assert run.status == 0, run.errors
    assert {key[0] for key in run.rows(STREAM)} == shown
    assert any(each.status == 503 for each in box.requests) == (habit == "another client")


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "ignores start": ({"ignores_start": True}, ERRORS["a service that ignores start"].what),
    "goes round": ({"wraps": True}, NOT_PROVED),
    "twice and in any order": (
        {"order": "random", "repeated": "adjacent"},
        NOT_PROVED,
    ),
    "rows without key": ({"keyless": 0.1}, WITHOUT_KEY),
    "windows of 7 days are too long": ({"longest_days": 6.96}, ERRORS["406"].next),
}


@pytest.mark.parametrize("habit", SAID)
def test_what_cannot_be_read_whole_is_said_and_holds_the_bookmark(habit: str) -> None:
    org = org_of(COUNT)
    first = datetime.now(UTC) - timedelta(days=9)
    with Sandbox(org, **SAID[habit][0]) as box:
        run = sync(box)
    assert run.status == 1
    assert SAID[habit][1] in run.errors[-1]
    assert "Traceback" not in run.log
    found = (run.states or [{}])[-1].get("bookmarks", {}).get(STREAM, {})
    if "replication_key_value" in found:
        assert run.bookmark(STREAM) <= first


@pytest.mark.parametrize("ago", range(1, 9))
def test_six_days_are_short_enough_whenever_a_sync_begins(ago: int) -> None:
    org = org_of(COUNT)
    with Sandbox(org, longest_days=6) as box:
        run = sync(box, start_date=days_ago(ago), window_days=6)
    assert run.status == 0


@pytest.mark.parametrize("order", ["id", "updated", "newest"])
@pytest.mark.parametrize("habit", ["moving", "moving_without_date", "growing"])
def test_rows_that_change_meanwhile_take_no_others_with_them(habit: str, order: str) -> None:
    """What changed after its window was asked for comes with the next sync."""
    org = org_of(COUNT)
    before = {row["Id"] for row in org.rows(STREAM)}
    with Sandbox(org, order=order, **{habit: 4}) as box:  # type: ignore[arg-type]
        run = sync(box)
        state = run.state if run.status == 0 else None
    assert "Traceback" not in run.log
    if state is not None:
        with Sandbox(org) as box:
            then = run_tap(
                config=config_for(box, start_date=days_ago(20)),
                state=state,
                catalog=catalog_of(STREAM),
            )
        keys = run.rows(STREAM).keys() | then.rows(STREAM).keys()
        assert before <= {key[0] for key in keys}
    else:
        assert NOT_PROVED in run.errors[-1]
