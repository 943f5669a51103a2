"""The dbt package: built in DuckDB and PostgreSQL from what the tap loads, and true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml
from compliance import Truth, figures, in_force
from destinations import Postgres, postgres
from shared import once
from support import DEFAULT_STREAMS, ENDPOINT, config_for, output_of, run_tap
from test_dbt_meltano import ELSEWHERE, RUN_JOB, Project

from demo.marts import PACKAGE
from demo.pipeline import catalog
from demo.warehouse import Warehouse
from scripts.environment import environment, interpreter
from scripts.staging import column
from tap_litmos.sandbox import Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

# All wait for the packages and builds of dbt, which take minutes on a slow machine.
pytestmark = pytest.mark.timeout(900)

Rows = list[dict[str, Any]]

MARTS = "analytics_litmos"
STAGING = "analytics_litmos_staging"
DATABASES = ("duckdb", "postgres")
STATEMENTS = re.findall(
    r"```sql\n(.*?)```", (PACKAGE / "README.md").read_text("utf-8"), re.DOTALL
)

ODD = """
drop schema litmos cascade;
create schema litmos;
create table litmos.users (
    id text, fullname text, active boolean, createddate timestamptz, updateddate timestamptz,
    _sdc_batched_at timestamp, _sdc_deleted_at timestamp
);
insert into litmos.users values
    ('a', 'Old', true, '2025-01-01 00:00Z', null, '2026-03-12', null),
    ('a', 'New', true, '2025-01-01 00:00Z', '2026-03-10 23:30:00-05:00', '2026-03-11', null),
    ('b', 'Last loaded', true, '2025-01-01 00:00Z', '2026-01-01 00:00Z', '2026-03-12', null),
    ('b', 'First loaded', true, '2025-01-01 00:00Z', '2026-01-01 00:00Z', '2026-03-11', null),
    ('c', 'Not listed any more', true, '2025-01-01 00:00Z', null, '2026-03-11', null),
    ('d', 'Joined during the listing', true, '2026-03-12 00:00:01Z', null, '2026-03-12', null),
    ('e', 'Marked by the target', true, '2025-01-01 00:00Z', null, '2026-03-11', '2026-03-12');
create table litmos.user_ids ("Id" text, "ListedAt" timestamptz);
insert into litmos.user_ids values
    ('a', '2026-03-11 00:00:00Z'), ('b', '2026-03-11 00:00:00Z'), ('c', '2026-03-11 00:00:00Z'),
    ('a', '2026-03-12 00:00:00Z'), ('b', '2026-03-12 00:00:00Z'), ('e', '2026-03-12 00:00:00Z');
create table litmos.course_results (
    "ID" text, "USERID" text, "UPDATEDDATE" text, "COMPLETED" text
);
insert into litmos.course_results values
    ('c', 'a', '2026-03-10T23:30:00.250000Z', 'true'),
    ('c', 'a', '2026-03-10T23:30:00Z', 'false');
"""
"""Other case, other types, rows that were appended, columns and a table that are not there."""


@dataclass
class Built:
    """What dbt has made of what the tap has loaded.

    Attributes:
        today: The day as of which statuses are told.
        password: The password of PostgreSQL.
        truth: The rows of the organisation, with typed values.
        models: For each database and model the rows.
        said: For each database what dbt said, or Meltano for it.
        page: For each database what the page is told.
        asked: For each database what the statements of the package's README find.
        odd: For each database and staging model what became of tables as no target of ours
            makes them.
        nothing: What dbt said when nothing was loaded at all.
    """

    today: date
    password: str
    truth: dict[str, Rows] = field(default_factory=dict)
    models: dict[str, dict[str, Rows]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    page: dict[str, dict[str, Rows]] = field(default_factory=dict)
    asked: dict[str, list[Rows]] = field(default_factory=dict)
    odd: dict[str, dict[str, Rows]] = field(default_factory=dict)
    nothing: str = ""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    made = once(tmp_path_factory, "dbt", build)
    assert isinstance(made, Built)
    return made


def build(folder: Path) -> Built:
    org = Organisation(users=100, years=0.6, live=False)
    with postgres() as server:
        destination = Postgres(server)
        with Sandbox(org) as box:
            project = Project(folder / "project", box, server)
            load(org, box, folder, destination)
            said = project(*RUN_JOB)
        [overall] = destination.query(f"select as_of from {MARTS}.litmos__compliance")  # noqa: S608
        made = Built(date.fromisoformat(overall["as_of"]), server["password"])
        made.truth = {stream: org.rows(stream) for stream in DEFAULT_STREAMS}
        made.said["postgres"] = said
        in_duckdb = InDuckDB(folder, made.today)
        made.said["duckdb"] = in_duckdb("build")
        # A build skips what stands below a unit test that fails, whatever the variables say.
        other = InDuckDB(
            *(folder, made.today, "other"),
            litmos__time_zone="America/New_York",
            litmos__expiring_days=60,
            litmos__max_depth=1,
        )
        other("test", "--select", "test_type:unit")
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(ask, made), [in_duckdb, InPostgres(project, destination)]))
    return made


def ask(made: Built, dbt: Dbt) -> None:
    """Note what came of the build in a database, and of one more."""
    database = dbt.database
    made.models[database] = dbt.models()
    told = dbt("run-operation", "litmos.page", "--quiet")
    made.page[database] = json.loads(told[told.index("{") :])
    made.asked[database] = [dbt.query(each, MARTS) for each in STATEMENTS]
    dbt.execute(ODD)
    chosen = ("users", "courses", "course_results", "user_ids")
    names = [f"stg_litmos__{name}" for name in chosen]
    dbt("run", "--select", *names)
    made.odd[database] = dbt.models(*names)
    if database == "duckdb":
        dbt.execute("drop schema litmos cascade")
        made.nothing = dbt("run", "--select", "stg_litmos__users", status=1)


def load(org: Organisation, box: Sandbox, folder: Path, destination: Postgres) -> None:
    """Sync once into PostgreSQL, where rows are replaced, and twice into DuckDB.

    The second sync into PostgreSQL is that of Meltano's job.
    """
    target = environment(destination.group) / destination.target
    config = folder / "target.json"
    config.write_text(json.dumps({**destination.server, "default_target_schema": "litmos"}))
    state = None
    for name in ("first", "second"):
        run = run_tap(config=config_for(box), state=state)
        assert run.status == 0, run.log
        state = run.state
        (folder / name).mkdir()
        for stream in DEFAULT_STREAMS:
            lines = [f"{json.dumps(record)}\n" for record in run.records(stream)]
            (folder / name / f"{stream}.jsonl").write_text("".join(lines), "utf-8")
        if name == "first":
            subprocess.run(  # noqa: S603
                [target, "--config", config], input=run.output, check=True, capture_output=True
            )
            change(org)
    warehouse = Warehouse(folder / "warehouse.duckdb", catalog())
    warehouse.load([folder / "first", folder / "second"])
    warehouse.close()


def change(org: Organisation) -> None:
    for stream in ("users", "teams", "team_users", "user_courses", "course_results"):
        org.touch(stream, 2, Active=False)
    org.touch("courses", 1, Active=False)
    org.touch("learning_paths", 1, Active=False)
    org.touch("users", 3, JobTitle="Renamed")
    org.touch("users", 1, ManagerId="0")


class Dbt(ABC):
    """dbt in one of the databases."""

    database: str

    def __init__(self, *options: str | Path, **environment: str) -> None:
        self._options = options
        self._environment = {**os.environ, "NO_COLOR": "1", **ELSEWHERE, **environment}

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run a command of dbt; return what it says."""
        dbt, env = environment("dbt") / "dbt", self._environment
        return output_of(dbt, *arguments, *self._options, env=env, status=status)

    def models(self, *names: str) -> dict[str, Rows]:
        """Return the rows of models, or of all."""
        found = self.query(
            "select table_schema, table_name from information_schema.tables "  # noqa: S608
            f"where table_schema in ('{MARTS}', '{STAGING}')"
        )
        return {
            row["table_name"]: self.query(f"table {row['table_name']}", row["table_schema"])
            for row in found
            if not names or row["table_name"] in names
        }

    @abstractmethod
    def query(self, sql: str, schema: str = MARTS) -> Rows:
        """Return the rows that a statement finds, in a form that both databases share."""

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Run statements."""


class InPostgres(Dbt):
    """dbt in the project of Meltano, which has built there already."""

    database = "postgres"

    def __init__(self, project: Project, destination: Postgres) -> None:
        super().__init__(*project.dbt_options, **project.settings)
        self._destination = destination

    def query(self, sql: str, schema: str = MARTS) -> Rows:
        sql = sql.strip().removesuffix(";")
        lines = self._destination.psql(
            f"set search_path to {schema};select row_to_json(found) from ({sql}) found"  # noqa: S608
        ).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def execute(self, sql: str) -> None:
        self._destination.psql(sql)


class InDuckDB(Dbt):
    """dbt in the package by itself."""

    database = "duckdb"

    def __init__(
        self, folder: Path, today: date, name: str = "dbt", **variables: str | int
    ) -> None:
        self._file, its = folder / "warehouse.duckdb", folder / name
        super().__init__(
            *("--project-dir", PACKAGE, "--profiles-dir", PACKAGE / "profiles"),
            *("--target", self.database, "--target-path", its, "--log-path", its),
            # Always the same: dbt reads all files again when a variable changes.
            *("--vars", json.dumps({"litmos__today": str(today), **variables})),
            DBT_DUCKDB_PATH=str(self._file),
        )

    def query(self, sql: str, schema: str = MARTS) -> Rows:
        with duckdb.connect(str(self._file)) as connection:
            found = connection.execute(f"use {schema}").execute(sql)
            names = [column[0] for column in found.description or ()]
            rows = found.fetchall()
        return [plain(dict(zip(names, row, strict=True))) for row in rows]

    def execute(self, sql: str) -> None:
        with duckdb.connect(str(self._file)) as connection:
            connection.execute(sql)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it; moments are in UTC, without a zone."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        utc = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        text = utc.isoformat()
        return text.rstrip("0") if "." in text else text
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return float(value)
    return value


def in_order(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return rows so that they can be compared, whatever their order; 1 equals 1.0."""
    return sorted(json.dumps(dict(sorted(plain(row).items()))) for row in rows)


@pytest.fixture(scope="session")
def truth(built: Built) -> Truth:
    return Truth(built.truth, built.today)


@pytest.fixture(params=DATABASES)
def models(built: Built, request: pytest.FixtureRequest) -> dict[str, Rows]:
    return built.models[request.param]


# What dbt says


@pytest.mark.parametrize("database", DATABASES)
def test_everything_builds_and_every_test_passes(built: Built, database: str) -> None:
    said = built.said[database]
    [summary] = re.findall(r"Done\. (PASS=.*)", said)
    figures_of = dict(re.findall(r"([A-Z-]+)=(\d+)", summary))
    assert figures_of["WARN"] == figures_of["ERROR"] == figures_of["SKIP"] == "0"
    assert re.search(r"Finished running .* 11 unit tests", said)
    assert "eprecat" not in said


def test_an_empty_project_of_meltano_ends_in_answers(built: Built, truth: Truth) -> None:
    said = built.said["postgres"]
    assert "Completed successfully" in " ".join(said.split())
    assert built.password not in said
    [overall] = built.models["postgres"]["litmos__compliance"]
    assert overall == {"as_of": str(truth.today), **figures(truth.counting())}
    assert overall["assigned"] > 0


def test_where_nothing_is_loaded_it_says_so_and_fails(built: Built) -> None:
    assert "No table of tap-litmos in warehouse.litmos: load it first, or set" in built.nothing


# Staging


@pytest.mark.parametrize("stream", DEFAULT_STREAMS)
def test_staging_holds_each_row_once_as_it_is_now(
    built: Built, models: dict[str, Rows], stream: str
) -> None:
    endpoint = ENDPOINT[stream]
    names = {
        each.name: column(endpoint, each) for each in endpoint.fields if each.name != "LoginKey"
    }
    found = models[f"stg_litmos__{stream}"]
    expected = [
        {alias: row.get(name) for name, alias in names.items()} | {"is_deleted": False}
        for row in map(plain, built.truth[stream])
    ]
    assert in_order(found) == in_order(expected)


@pytest.mark.parametrize("database", DATABASES)
def test_staging_takes_tables_as_they_are(built: Built, database: str) -> None:
    odd = built.odd[database]
    people = {row["user_id"]: row for row in odd["stg_litmos__users"]}
    assert {
        each: row["full_name"] for each, row in people.items() if not row["is_deleted"]
    } == {
        "a": "New",
        "b": "Last loaded",
        "d": "Joined during the listing",
    }
    assert {each for each, row in people.items() if row["is_deleted"]} == {"c", "e"}
    assert people["a"]["updated_date"] == "2026-03-11T04:30:00"
    assert people["a"]["email"] is None
    [result] = odd["stg_litmos__course_results"]
    assert result["updated_date"] == "2026-03-10T23:30:00.25"
    assert result["completed"] is True
    assert result["due_date"] is None
    assert odd["stg_litmos__courses"] == []
    assert {row["user_id"] for row in odd["stg_litmos__user_ids"]} == {"a", "b", "e"}


def test_no_model_holds_a_login_link(models: dict[str, Rows]) -> None:
    assert not [name for name, rows in models.items() if rows and "login_key" in rows[0]]


# Marts


def test_both_databases_give_the_same(built: Built) -> None:
    one, other = (built.models[database] for database in DATABASES)
    assert set(one) == set(other)
    for name, rows in one.items():
        if name not in {"stg_litmos__course_results_versions", "litmos__result_history"}:
            assert in_order(rows) == in_order(other[name]), name
    for name, rows in built.page["duckdb"].items():
        assert in_order(rows) == in_order(built.page["postgres"][name]), name


def test_history_holds_what_a_target_has_kept(built: Built) -> None:
    appended, replaced = (
        built.models[database]["litmos__result_history"] for database in DATABASES
    )
    latest = [row for row in appended if row["is_latest"]]
    assert in_order(latest) == in_order(replaced)
    before = [row for row in appended if not row["is_latest"]]
    assert len(before) == 2
    assert all(row["is_active"] and row["valid_to"] > row["valid_from"] for row in before)


def test_everybody_stands_where_the_dates_say(truth: Truth, models: dict[str, Rows]) -> None:
    found = {
        (row["user_id"], row["course_id"]): (
            row["status"],
            row["is_current"],
            row["is_on_time"],
            row["due_on"],
        )
        for row in models["litmos__course_results"]
    }
    assert found == {
        (each.user, each.of): (each.status, each.counts, each.on_time, _plain(each.due))
        for each in truth.results
    }
    statuses = {status for status, *_ in found.values()}
    assert statuses == {
        "not_started",
        "in_progress",
        "completed",
        "expiring",
        "overdue",
        "lapsed",
    }
    paths = {
        (row["user_id"], row["learning_path_id"]): (row["status"], row["is_current"])
        for row in models["litmos__learning_path_results"]
    }
    assert paths == {(each.user, each.of): (each.status, each.counts) for each in truth.paths}


def test_everybody_has_what_there_is_a_reason_for(
    truth: Truth, models: dict[str, Rows]
) -> None:
    names = ("user_id", "course_id", "reason", "team_id", "learning_path_id", "last_changed")
    found = [tuple(row[name] for name in names) for row in models["litmos__assignments"]]
    assert Counter(found) == Counter(
        (*each[:5], _plain(each[5])) for each in truth.assignments()
    )
    assert {each[2] for each in found} >= {"user", "team", "team_learning_path"}


def test_the_overall_figures_are_true(truth: Truth, models: dict[str, Rows]) -> None:
    assert models["litmos__compliance"] == [
        {"as_of": str(truth.today), **figures(truth.counting())}
    ]


def test_the_figures_of_courses_are_true(truth: Truth, models: dict[str, Rows]) -> None:
    found = {
        row["course_id"]: {name: row[name] for name in figures([])}
        for row in models["litmos__compliance_by_course"]
    }
    of_course = grouped(truth.counting(), lambda each: [each.of])
    assert found == {course: figures(results) for course, results in of_course.items()}


def grouped(
    results: Iterable[Any], keys: Callable[[Any], Iterable[str]]
) -> dict[str, list[Any]]:
    groups = defaultdict(list)
    for each in results:
        for key in keys(each):
            groups[key].append(each)
    return groups


IN_TREE = ("people", "people_behind", "assigned", "overdue", "lapsed", "percent_compliant")


def check_groups(
    rows: Rows, key: str, direct: Mapping[str, list[Any]], tree: Mapping[str, list[Any]]
) -> None:
    """Check the figures of those directly below, and of all below."""
    assert {row[key] for row in rows} == set(tree)
    for row in rows:
        expected = figures(direct.get(row[key], []))
        whole = figures(tree[row[key]])
        assert {name: row[name] for name in expected} == expected
        assert {name: row[f"{name}_in_tree"] for name in IN_TREE} == {
            name: whole[name] for name in IN_TREE
        }


def test_the_figures_of_teams_are_true(truth: Truth, models: dict[str, Rows]) -> None:
    members, above = truth.of_teams(), truth.above("teams", "ParentTeamId")
    there = {row["Id"] for row in in_force(truth.rows["teams"])}
    tree: dict[str, set[str]] = defaultdict(set)
    for team, people in members.items():
        for each in there.intersection((team, *above[team])):
            tree[each] |= people

    def of(teams: Mapping[str, set[str]]) -> dict[str, list[Any]]:
        return grouped(
            truth.counting(),
            lambda each: [team for team, people in teams.items() if each.user in people],
        )

    check_groups(models["litmos__compliance_by_team"], "team_id", of(members), of(tree))
    assert len(tree) > len(members) or len(members) > 5


def test_the_figures_of_managers_are_true(truth: Truth, models: dict[str, Rows]) -> None:
    line = truth.above("users", "ManagerId")
    check_groups(
        models["litmos__compliance_by_manager"],
        "manager_id",
        grouped(truth.counting(), lambda each: line.get(each.user, [])[:1]),
        grouped(truth.counting(), lambda each: line.get(each.user, [])),
    )
    names = {row["Id"]: row["FullName"] for row in truth.rows["users"]}
    assert {row["user_id"]: row["manager_path"] for row in models["litmos__users"]} == {
        user: " > ".join(names[each] for each in reversed(above)) or None
        for user, above in line.items()
    }
    assert max(map(len, line.values())) > 1


def test_recertifications_fall_due_in_their_months(
    truth: Truth, models: dict[str, Rows]
) -> None:
    found = {
        (row["due_month"], row["course_id"]): row["people"]
        for row in models["litmos__recertifications_due"]
    }
    end = truth.today.replace(day=1, year=truth.today.year + 1)
    end = (end + timedelta(days=32)).replace(day=1)
    expected = Counter(
        (str(each.lapses.replace(day=1)), each.of)
        for each in truth.counting()
        if each.lapses and truth.today <= each.lapses < end and each.completed
    )
    assert found == expected
    assert len(found) > 5


def test_training_hours_add_up(truth: Truth, models: dict[str, Rows]) -> None:
    hours: dict[tuple[str, str], float] = defaultdict(float)
    for row in truth.rows["module_results"]:
        trained = row["FinishedDate"] or row["UpdatedDate"] or row["CreatedDate"]
        hour, minute, second = map(float, (row["TimeTaken"] or "0:0:0").split(":"))
        month = f"{trained:%Y-%m}-01"
        hours[row["UserId"], month] += hour + minute / 60 + second / 3600
    found = {
        (row["user_id"], row["month"]): row["hours"] for row in models["litmos__training_hours"]
    }
    assert found == {key: pytest.approx(total, abs=0.006) for key, total in hours.items()}
    assert sum(found.values()) > 100


# Where it runs


def test_dbt_runs_with_an_older_python_where_this_one_is_too_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert interpreter("dbt", (3, 13)) == interpreter("meltano", (3, 14)) == sys.executable
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="dbt needs one of"):
        interpreter("dbt", (3, 14))
    older = tmp_path / "python3.12"
    older.touch(mode=0o755)
    assert interpreter("dbt", (3, 14)) == str(older)


# What is written about it


def test_every_column_is_described_and_no_other(models: dict[str, Rows]) -> None:
    for file in PACKAGE.glob("models/*/_*.yml"):
        for model in yaml.safe_load(file.read_text("utf-8")).get("models", ()):
            rows = models[model["name"]]
            described = [each["name"] for each in model.get("columns", ())]
            assert model["description"]
            if rows and described:
                assert set(rows[0]) == set(described), model["name"]


def test_every_mart_says_its_grain_and_its_question() -> None:
    described = yaml.safe_load((PACKAGE / "models/marts/_marts.yml").read_text("utf-8"))
    names = {each["name"] for each in described["models"]}
    assert names == {each.stem for each in (PACKAGE / "models/marts").glob("*.sql")}
    readme = (PACKAGE / "README.md").read_text("utf-8")
    for model in described["models"]:
        assert "**Grain:**" in model["description"]
        assert "**Question:**" in model["description"]
        assert f"`{model['name']}`" in readme


def test_the_questions_of_the_readme_have_answers(built: Built) -> None:
    assert len(STATEMENTS) >= 5
    assert all(built.asked["duckdb"])
    assert built.asked["duckdb"] == built.asked["postgres"]
