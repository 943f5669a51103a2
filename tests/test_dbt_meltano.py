"""From an account to answers with Meltano, as `meltano.yml` shows it."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from compliance import Truth, figures
from support import DEFAULT_STREAMS, UNLIMITED, output_of
from test_destinations import Postgres, postgres

from demo.marts import PACKAGE
from scripts.environment import ROOT, environment
from tap_litmos.sandbox import Organisation, Sandbox

MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
[JOB] = MELTANO["jobs"]
[SCHEDULE] = MELTANO["schedules"]


def test_the_versions_are_those_that_are_tested() -> None:
    utilities = {
        each["name"]: each["pip_url"].split() for each in MELTANO["plugins"]["utilities"]
    }
    assert set(utilities) == {"dbt-postgres", "dbt-duckdb"}
    for requirements in utilities.values():
        assert set(requirements) < set(GROUPS["dbt"])


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
            kept = {name: each for name, each in plugin.items() if name != "pip_url"}
            found.append(
                kept | {"executable": str(places[plugin["name"]] / plugin["executable"])}
            )
    return found


def make_project(folder: Path) -> None:
    """Make a project of Meltano, and in it a dbt project that takes the package."""
    [dbt] = plugins("utilities", "dbt-postgres")
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
    transform = folder / "transform"
    transform.mkdir(parents=True)
    (folder / "meltano.yml").write_text(yaml.safe_dump(project, sort_keys=False), "utf-8")
    (transform / "dbt_project.yml").write_text("name: mine\nprofile: litmos\n")
    packages = {"packages": [{"local": str(PACKAGE)}]}
    (transform / "packages.yml").write_text(yaml.safe_dump(packages))


def test_an_empty_project_ends_in_answers(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_project(project)
    org = Organisation(users=40, years=0.3, live=False)
    with postgres() as server, Sandbox(org) as box:
        reach = {name.upper(): str(value) for name, value in server.items()}
        settings = {
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
            "TAP_LITMOS_REQUESTS_PER_MINUTE": str(UNLIMITED),
            **{f"TAP_LITMOS_{name.upper()}": str(each) for name, each in box.config().items()},
            **{f"TARGET_POSTGRES_{name}": each for name, each in reach.items()},
            **{f"DBT_POSTGRES_{name}": each for name, each in reach.items()},
        }

        def meltano(*arguments: str) -> str:
            program, environ = environment("meltano") / "meltano", {**os.environ, **settings}
            return output_of(program, *arguments, env=environ, cwd=project)

        meltano("invoke", "dbt-postgres:deps")
        assert SCHEDULE["job"] == JOB["name"]
        said = meltano("run", JOB["name"])
        assert re.search(r"Completed successfully", said)
        assert server["password"] not in said
        [task] = JOB["tasks"]
        assert task == "tap-litmos target-postgres dbt-postgres:build"
        [overall] = Postgres(server).query("select * from analytics_litmos.litmos__compliance")
        rows = {stream: org.rows(stream) for stream in DEFAULT_STREAMS}
        truth = Truth(rows, date.fromisoformat(overall.pop("as_of")))
        assert overall == figures(truth.counting())
        assert overall["assigned"] > 0
