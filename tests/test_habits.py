"""Services with habits that nobody documents: every row comes, or the run says that it did not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import bookmark, catalog_of, config_for, days_ago, org_with_teams, run_tap

if TYPE_CHECKING:
    from support import Run

    from tap_litmos.sandbox import Organisation

STREAM = "teams"
COUNT = 650


def org_of(*, tie: int = 1) -> Organisation:
    """Return an organisation with teams, of which so many have the same second."""
    first = (datetime.now(UTC) - timedelta(days=9)).replace(minute=0, second=0, microsecond=0)
    return org_with_teams(first + timedelta(seconds=number // tie) for number in range(COUNT))


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
    "one in ten left out": {"filtered": 10},
    "pages that are too long": {"overfull": 3},
    "another encoding": {"charset": "windows-1252"},
    "unknown fields": {"unknown_fields": True},
    "raw ampersands": {"raw": True},
    "a clock that is ahead": {"clock_skew": 900.0},
    "a clock that is behind": {"clock_skew": -900.0},
    "far west": {"zone": -12.0},
    "far east": {"zone": 14.0},
    "days, not moments": {"reading": "day"},
    "another client": {"requests_per_minute": 4, "others_per_minute": 2, "minute": 0.6},
}


@pytest.mark.parametrize(
    ("habit", "tie"),
    [
        # What is left out, and so many rows of one second, cannot be told apart from losses.
        *((habit, 1 if habit == "one in ten left out" else 150) for habit in WHOLE),
        ("oldest first", COUNT),
        ("ties in any order", COUNT),
        ("any order", 1),
    ],
)
def test_every_row_comes(habit: str, tie: int) -> None:
    org = org_of(tie=tie)
    with Sandbox(org, **WHOLE[habit]) as box:
        run = sync(box)
        rows = org.window(STREAM, org.start, datetime.now(UTC))
        shown = {row.values["Id"] for row in rows if box.shows(row)}
    assert run.status == 0, run.errors
    assert {key[0] for key in run.rows(STREAM)} == shown
    assert len(box.requests) < 200
    assert any(seen.status == 503 for seen in box.requests) == (habit == "another client")


BROKEN: dict[str, dict[str, Any]] = {
    "ignores start": {"ignores_start": True},
    "goes round": {"wraps": True},
    "rows without key": {"keyless": 0.1},
    "windows of 7 days are too long": {"longest_days": 6.96},
}


@pytest.mark.parametrize("habit", BROKEN)
def test_what_cannot_be_read_whole_fails_and_holds_the_bookmark(habit: str) -> None:
    org = org_of()
    first = datetime.now(UTC) - timedelta(days=9)
    with Sandbox(org, **BROKEN[habit]) as box:
        run = sync(box)
    assert run.status == 1
    assert STREAM in run.errors[-1]
    assert "Traceback" not in run.log
    assert len(box.requests) < 2_000
    moved = [state for state in run.states if state["bookmarks"].get(STREAM)]
    assert all(bookmark(state, STREAM) <= first for state in moved)


@pytest.mark.parametrize("ago", [2, 6, 7, 8])
def test_six_days_are_short_enough_whenever_a_sync_begins(ago: int) -> None:
    with Sandbox(org_of(), longest_days=6) as box:
        assert sync(box, start_date=days_ago(ago), window_days=6).status == 0
