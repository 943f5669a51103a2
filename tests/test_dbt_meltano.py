"""From an account to answers with Meltano, as `meltano.yml` shows it.

`test_dbt.py` runs the job, and compares the answers.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from support import config_for, in_environment, output_of

from demo.marts import PACKAGE
from scripts.environment import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_litmos.sandbox import Sandbox

MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
[JOB] = MELTANO["jobs"]
[SCHEDULE] = MELTANO["schedules"]
FIRST_RUN = ("run", "dbt-postgres:deps", JOB["name"])
ELSEWHERE = {"TZ": "America/New_York", "PGTZ": "America/New_York"}
"""Where dbt runs: no zone but the package's own may matter."""


def test_the_versions_are_those_that_are_tested() -> None:
    utilities = {
        plugin["name"]: plugin["pip_url"].split() for plugin in MELTANO["plugins"]["utilities"]
    }
    assert set(utilities) == {"dbt-postgres", "dbt-duckdb"}
    for requirements in utilities.values():
        assert set(requirements) < set(GROUPS["dbt"])


def test_the_schedule_runs_the_job_from_the_tap_to_the_marts() -> None:
    assert SCHEDULE["job"] == JOB["name"]
    assert JOB["tasks"] == ["tap-litmos target-postgres dbt-postgres:build"]


def test_the_settings_are_those_that_the_profiles_read() -> None:
    profiles = (PACKAGE / "profiles" / "profiles.yml").read_text("utf-8")
    read = set(re.findall(r"env_var\('(DBT_\w+)'", profiles)) - {"DBT_TARGET"}
    set_by = {
        f"{plugin['namespace'].upper()}_{setting['name'].upper()}"
        for plugin in MELTANO["plugins"]["utilities"]
        for setting in plugin["settings"]
        if "env" not in setting
    }
    assert read == set_by


def plugins(kind: str, *names: str) -> list[dict[str, Any]]:
    """Return definitions of the checkout, with commands that are installed already."""
    places = {
        "tap-litmos": Path(sys.executable).parent,
        "target-postgres": environment("target-postgres"),
        "dbt-postgres": environment("dbt"),
    }
    found = []
    for plugin in MELTANO["plugins"][kind]:
        if plugin["name"] in names:
            kept = {name: value for name, value in plugin.items() if name != "pip_url"}
            found.append(kept | {"executable": str(places[plugin["name"]] / plugin["executable"])})
    return found


class Project:
    """A project of Meltano, and in it a dbt project that takes the package."""

    def __init__(self, folder: Path, box: Sandbox, server: Mapping[str, Any]) -> None:
        self.folder, self.kept = folder, folder / ".meltano" / "dbt"
        reach = {name.upper(): str(value) for name, value in server.items()}
        self.settings = {
            "NO_COLOR": "1",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            **in_environment(config_for(box)),
            **{f"TARGET_POSTGRES_{name}": value for name, value in reach.items()},
            **{f"DBT_POSTGRES_{name}": value for name, value in reach.items()},
        }
        self._make()

    @property
    def dbt_options(self) -> tuple[str | Path, ...]:
        """The options with which dbt runs here by itself."""
        return (
            *("--project-dir", self.folder / "transform"),
            *("--profiles-dir", PACKAGE / "profiles", "--target", "postgres"),
            *("--target-path", self.kept, "--log-path", self.kept),
        )

    def __call__(self, *arguments: str) -> str:
        """Run a command of Meltano; return what it says."""
        program, environ = environment("meltano") / "meltano", {**os.environ, **self.settings}
        return output_of(program, *arguments, env=environ, cwd=self.folder)

    def _make(self) -> None:
        [dbt] = plugins("utilities", "dbt-postgres")
        dbt["env"] = ELSEWHERE
        dbt["config"] = {
            "project_dir": "$MELTANO_PROJECT_ROOT/transform",
            "profiles_dir": str(PACKAGE / "profiles"),
        }
        project = {
            **{name: MELTANO[name] for name in ("jobs", "schedules", "environments")},
            "project_id": "empty",
            "default_environment": MELTANO["default_environment"],
            "plugins": {
                "extractors": plugins("extractors", "tap-litmos"),
                "loaders": plugins("loaders", "target-postgres"),
                "utilities": [dbt],
            },
        }
        transform = self.folder / "transform"
        transform.mkdir(parents=True)
        (self.folder / "meltano.yml").write_text(yaml.safe_dump(project, sort_keys=False))
        (transform / "dbt_project.yml").write_text("name: mine\nprofile: litmos\n")
        packages = {"packages": [{"local": str(PACKAGE)}]}
        (transform / "packages.yml").write_text(yaml.safe_dump(packages))
