"""The commands of the README and the recipes, word for word, against a sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    Record,
    canonical,
    config_for,
    fold,
    in_environment,
    run_tap,
    truth,
)

from scripts.environment import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tap_litmos.sandbox import Sandbox

RECIPES, README, SANDBOX = (
    (ROOT / name).read_text("utf-8") for name in ("docs/recipes.md", "README.md", "docs/sandbox.md")
)


def block(document: str, containing: str, language: str = "bash") -> str:
    """Return the one block of a document, in a language, that contains a text."""
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", document, re.DOTALL | re.MULTILINE)
    [found] = [text for text in blocks if containing in text]
    return "\n".join(line.strip() for line in found.splitlines()) if language == "sh" else found


class Folder:
    """A folder in which commands are typed, with the tap and a target installed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "bin").mkdir()
        self._command("tap-litmos", f'"{sys.executable}" -m tap_litmos "$@"')
        small = "--port 0 --users 5 --years 0.1"
        sandbox = f'exec "{sys.executable}" -m tap_litmos.sandbox {small} "$@"'
        self._command("tap-litmos-sandbox", sandbox)
        self._command("target-jsonl", f'exec "{environment("target-jsonl")}/target-jsonl" "$@"')
        (path / "sync.sh").write_text(block(RECIPES, "# sync.sh"))

    def _command(self, name: str, line: str) -> None:
        file = self.path / "bin" / name
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        (self.path / name).write_text(json.dumps(content))

    def bash(self, commands: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run commands in bash, with errors shown."""
        own = {"PATH": f"{self.path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        return subprocess.run(  # noqa: S603
            ["bash", "-c", commands],  # noqa: S607
            cwd=self.path,
            env={**os.environ, **own, **environment},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def ok(self, commands: str, **environment: str) -> str:
        """Run commands that must succeed; return what they print."""
        done = self.bash(commands, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, stream: str) -> list[Record]:
        """Return the rows of a stream that the target has written, in their order."""
        files = sorted(self.path.glob(f"{stream}-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def check_all(folder: Folder, box: Sandbox) -> None:
    """Check that every row of every stream has landed."""
    for stream in DEFAULT_STREAMS:
        assert fold(stream, folder.rows(stream)) == truth(box.org, stream)


def test_the_readme_syncs_and_resumes(folder: Folder, box: Sandbox) -> None:
    variables = in_environment(config_for(box))
    commands = block(README, "--test", "sh").splitlines()[1:]
    folder.ok("\n".join(commands), **variables)
    before = len(box.requests)
    assert before == len(DEFAULT_STREAMS)
    daily = block(README, "touch state.json", "sh")
    folder.ok(daily, **variables)
    check_all(folder, box)
    before = len(box.requests)
    folder.ok(daily, **variables)
    assert len(box.requests) - before == len(DEFAULT_STREAMS)


def test_the_sandbox_is_synced_as_its_page_says(folder: Folder) -> None:
    folder.ok(block(SANDBOX, "tap-litmos-sandbox"))
    assert "bookmarks" in json.loads((folder.path / "sandbox-state.json").read_text())
    assert folder.rows("users")


def test_a_scheduled_sync_fails_when_the_tap_does_and_keeps_its_state(
    folder: Folder, box: Sandbox
) -> None:
    [line] = block(RECIPES, "flock", "crontab").splitlines()
    command = re.sub(r"/srv/litmos", str(folder.path), line.split(maxsplit=5)[5])
    folder.write("config.json", config_for(box, api_key="another key"))
    assert folder.bash(command).returncode == 1
    assert (folder.path / "daily.state").read_text() == ""
    folder.write("config.json", config_for(box))
    folder.ok(command)
    check_all(folder, box)
    state = (folder.path / "daily.state").read_text()
    folder.write("config.json", config_for(box, api_key="another key"))
    assert folder.bash(command).returncode == 1
    assert (folder.path / "daily.state").read_text() == state
    folder.write("config.json", config_for(box))
    before = len(box.requests)
    folder.ok(command)
    assert len(box.requests) - before == len(DEFAULT_STREAMS)


def test_a_backfill_beside_the_daily_sync_reads_the_rest(folder: Folder, long_box: Sandbox) -> None:
    middle = f"{long_box.org.start + timedelta(days=35):%Y-%m-%d}"
    config = config_for(long_box, rate_limit_file=str(folder.path / "rate.db"))
    dates = json.loads(block(RECIPES, "end_date", "json"))
    assert set(dates) == {"start_date", "end_date"}
    folder.write("backfill.json", {"start_date": config["start_date"], "end_date": middle})
    folder.write("config.json", {**config, "start_date": middle})
    backfill = block(RECIPES, "sync.sh backfill")
    folder.ok(f"set -e; bash sync.sh daily & {backfill} wait $!")
    check_all(folder, long_box)
    assert (folder.path / "rate.db").exists()
    begins = {
        name: {bookmark["replicated_from"] for bookmark in bookmarks_of(folder, name).values()}
        for name in ("daily", "backfill")
    }
    assert max(begins["backfill"]) < min(begins["daily"]) < middle


def bookmarks_of(folder: Folder, name: str) -> dict[str, Any]:
    """Return the bookmarks of a job."""
    state = json.loads((folder.path / f"{name}.state").read_text())
    bookmarks: dict[str, Any] = state["bookmarks"]
    return bookmarks


def test_a_row_that_a_backfill_wrote_last_comes_again_with_the_next_daily_sync(
    long_box: Sandbox,
) -> None:
    middle = f"{long_box.org.start + timedelta(days=35):%Y-%m-%d}"
    config = config_for(long_box)
    backfill = run_tap(config={**config, "end_date": middle})
    old = backfill.records("courses")[0]
    [changed] = long_box.org.touch("courses", old["Id"], Name="Changed meanwhile")
    daily = run_tap(config={**config, "start_date": middle})
    next_daily = run_tap(config={**config, "start_date": middle}, state=daily.state)
    new = canonical(ENDPOINT["courses"], changed)
    for run in (daily, next_daily):
        assert run.rows("courses")[old["Id"],] == new != old


def test_split_jobs_share_the_streams(folder: Folder, box: Sandbox) -> None:
    folder.write("config.json", config_for(box))
    folder.ok(block(RECIPES, "--discover"))
    check_all(folder, box)
    people, training = (set(bookmarks_of(folder, name)) for name in ("people", "training"))
    assert people == {"users", "user_logins", "teams", "team_users"}
    assert people | training == set(DEFAULT_STREAMS)
    assert not people & training


def test_the_examples_of_settings_are_valid() -> None:
    needed = {"api_key": "a key", "start_date": "2020-01-01"}
    documents = RECIPES + (ROOT / "docs/destinations.md").read_text("utf-8")
    examples = re.findall(r"```json\n(.*?)```", documents, re.DOTALL)
    assert len(examples) > 3
    for example in examples:
        run = run_tap("--discover", config=needed | json.loads(example))
        assert (run.status, run.warnings, run.errors) == (0, [], [])


def test_the_example_of_an_environment_has_all_that_is_required() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    given = dict(line.split("=") for line in lines if line and line[0] != "#")
    assert given["TAP_LITMOS_API_KEY"] == ""
    run = run_tap("--discover", env=given | {"TAP_LITMOS_API_KEY": "a key"})
    assert (run.status, run.warnings, run.errors) == (0, [], [])


def test_the_accounts_in_meltano_are_those_of_dbt() -> None:
    plugins = yaml.safe_load(block(RECIPES, "tap-litmos-eu", "yaml"))["plugins"]
    extractors, loaders = plugins["extractors"], plugins["loaders"]
    assert {plugin["inherit_from"] for plugin in extractors} == {"tap-litmos"}
    assert {plugin["inherit_from"] for plugin in loaders} == {"target-postgres"}
    command = block(RECIPES, "tap-litmos-eu", "sh").split()
    assert {plugin["name"] for plugin in extractors + loaders} < set(command)
    schemas = [plugin["config"]["default_target_schema"] for plugin in loaders]
    variables = yaml.safe_load(block(RECIPES, "litmos__schemas", "yaml"))["vars"]
    assert variables == {"litmos__schemas": schemas}


def test_the_dag_for_airflow_is_python() -> None:
    compile(block(RECIPES, "airflow", "python"), "dag.py", "exec")
