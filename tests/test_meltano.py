"""The tap in Meltano, as the checkout's `meltano.yml` defines it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    canonical,
    config_for,
    fold,
    in_environment,
    output_of,
    truth,
)

from scripts.environment import ENVIRONMENTS, ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_litmos.sandbox import Sandbox

    Meltano = Callable[..., str]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def meltano(box: Sandbox, files: Path, tmp_path: Path) -> Iterator[Meltano]:
    """Run Meltano in the checkout, with a state of its own; return what it says."""
    command = environment("meltano") / "meltano"
    database = tmp_path / "meltano.db"
    settings = {
        "MELTANO_DATABASE_URI": f"sqlite:///{database}",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "NO_COLOR": "1",
        "TARGET_JSONL_DESTINATION_PATH": str(files),
        **in_environment(config_for(box)),
    }

    def run(*arguments: str, **more: str) -> str:
        environ = {**os.environ, **settings, **more}
        return output_of(command, *arguments, env=environ, cwd=ROOT)

    with (ENVIRONMENTS / "project.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs in one project disturb each other
        run("install", "tap-litmos", "target-jsonl")
        yield run


def test_it_runs_as_the_project_defines_it(meltano: Meltano, box: Sandbox, files: Path) -> None:
    # One after another, as Meltano runs a plugin once at a time in a project.
    check_that_it_syncs_everything(meltano, box, files)
    check_that_it_goes_on_from_meltanos_state_and_detects_deletes(meltano, box, files)
    check_that_what_is_off_by_default_can_be_asked_for(meltano, box, files)
    before = len(box.requests)
    assert box.api_key not in meltano("invoke", "tap-litmos", "--check")
    assert len(box.requests) > before


def loaded(folder: Path, stream: str) -> list[dict[str, Any]]:
    """Return what target-jsonl has written of a stream."""
    file = folder / f"{stream}.jsonl"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def check_that_it_syncs_everything(meltano: Meltano, box: Sandbox, files: Path) -> None:
    said = meltano("run", "tap-litmos", "target-jsonl")
    assert {seen.stream for seen in box.requests} == set(DEFAULT_STREAMS)
    for stream in DEFAULT_STREAMS:
        assert fold(stream, loaded(files, stream)) == truth(box.org, stream)
    # From Python 3.12 on, the target's libraries warn of themselves.
    own = [line for line in said.splitlines() if " target-jsonl " not in line]
    assert not any("deprecat" in line.lower() for line in own)
    warnings = [line for line in own if "[warning " in line]
    assert all("No state was found" in line for line in warnings), warnings
    assert box.api_key not in said
    assert "METRIC" not in said
    # The summary has no prefix, so it is no wider than elsewhere.
    *table, total = [line for line in said.splitlines() if re.match("[a-z_]+  +[0-9]", line)]
    assert [line.split()[0] for line in table] == DEFAULT_STREAMS
    assert len(total) <= 80


def check_that_it_goes_on_from_meltanos_state_and_detects_deletes(
    meltano: Meltano, box: Sandbox, files: Path
) -> None:
    box.requests.clear()
    rows = len(loaded(files, "courses"))
    [changed] = box.org.touch("courses", 1, Name="Renamed")
    meltano("run", "tap-litmos", "target-jsonl", TAP_LITMOS_DETECT_DELETES="true")
    listings = {
        endpoint.stream: endpoint.references["Id"].partition(".")[0]
        for endpoint in ENDPOINT.values()
        if endpoint.is_listing
    }
    asked = sorted(seen.stream or "" for seen in box.requests)
    assert asked == sorted([*DEFAULT_STREAMS, *listings])
    assert canonical(ENDPOINT["courses"], changed) in loaded(files, "courses")[rows:]
    for listing, stream in listings.items():
        listed = {row["Id"] for row in loaded(files, listing)}
        assert listed == {row["Id"] for row in box.org.rows(stream)}


def check_that_what_is_off_by_default_can_be_asked_for(
    meltano: Meltano, box: Sandbox, files: Path
) -> None:
    box.requests.clear()
    chosen = json.dumps(["activity_logins.*", "sync_log.*", "users.Id", "users.Email"])
    options = ("--full-refresh", "tap-litmos", "target-jsonl")
    meltano("run", *options, TAP_LITMOS__SELECT=chosen)
    assert {seen.stream for seen in box.requests} == {"activity_logins", "users"}
    assert len(loaded(files, "activity_logins")) == len(box.org.rows("activity_logins"))
    assert set(loaded(files, "users")[-1]) == {"Id", "Email", "UpdatedDate"}
    logged = {row["Stream"] for row in loaded(files, "sync_log")}
    assert logged == {"activity_logins", "users"}
