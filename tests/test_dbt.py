"""The dbt package: built in DuckDB and PostgreSQL from what the tap loads, and true."""

from __future__ import annotations

import json
import os
import re
import sys
from abc import ABC, abstractmethod
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml
from compliance import figures, in_force, lines, links, status
from destinations import Postgres, postgres
from facts import Facts, check_facts, expected_facts, recording, text_of
from shared import once
from support import DEFAULT_STREAMS, ENDPOINT, config_for, output_of, run_tap
from test_dbt_meltano import ELSEWHERE, FIRST_RUN, Project

from demo.marts import PACKAGE
from demo.page import summary, tiles
from demo.pipeline import catalog
from demo.warehouse import Warehouse
from scripts.environment import environment, interpreter
from scripts.staging import column
from tap_litmos.sandbox import Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# All wait for the packages and builds of dbt, which take minutes on a slow machine.
pytestmark = pytest.mark.timeout(900)

Rows = list[dict[str, Any]]
Marts = dict[str, Rows]

MARTS = "analytics_litmos"
STAGING = "analytics_litmos_staging"
DATABASES = ("duckdb", "postgres")
STATEMENTS = re.findall(r"```sql\n(.*?)```", (PACKAGE / "README.md").read_text("utf-8"), re.DOTALL)

OTHER_VARIABLES = {
    "litmos__schemas": ["litmos", "another"],
    "litmos__time_zone": "America/New_York",
    "litmos__expiring_days": 60,
    "litmos__max_depth": 1,
}
SHIFTED = "date_times_are_utc"
ORPHANS = "litmos_refers_to_stg_litmos__course_results_course_id*"
LISTING_SLOWLY = """
import itertools, time
from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.cache import RelationsCache

turns, add, list_relations = itertools.count(), RelationsCache.add, BaseAdapter.list_relations

def slow_add(self, relation):
    add(self, relation)
    time.sleep(0.02 if relation.schema == "litmos" else 0)

def late_list(self, database, schema):
    turn = next(turns) if schema == "litmos" else 0
    time.sleep(0.05 * turn if turn < 4 else 0)
    return list_relations(self, database, schema)

RelationsCache.add, BaseAdapter.list_relations = slow_add, late_list
"""
"""Makes dbt's threads see one another list the tap's tables, as they do on a slow machine."""

ODD = (PACKAGE.parent / "tests/odd_tables.sql").read_text("utf-8")


@dataclass
class Built:
    """What dbt has made of what the tap has loaded.

    Attributes:
        today: The day as of which statuses are told.
        password: The password of PostgreSQL.
        truth: The rows of the organisation, with typed values.
        models: For each database and model the rows, in DuckDB those of the first account;
            "accounts": in DuckDB those of all, of which the second lacks a user;
            "odd duckdb": from tables as no target of ours makes them.
        said: "duckdb": what dbt said of three accounts, of which one has the odd tables;
            "postgres": what Meltano said of one; "shifted …": what dbt said of the odd tables,
            whose date-times are shifted; "nothing": when nothing was loaded.
        page: The page that is drawn from PostgreSQL, and what dbt said for it.
        counted: What the query of the page has to find there.
        asked: For each database what the statements of the package's README find.
    """

    today: date
    password: str
    truth: dict[str, Rows]
    page: tuple[Path, Path]
    models: dict[str, dict[str, Rows]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    counted: Facts = field(default_factory=dict)
    asked: dict[str, list[Rows]] = field(default_factory=dict)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Built:
    is_thorough = pytestconfig.getoption("all_targets")
    made = once(tmp_path_factory, "dbt", partial(build, is_thorough=is_thorough))
    assert isinstance(made, Built)
    return made


def build(folder: Path, *, is_thorough: bool) -> Built:
    org = Organisation(users=100, years=0.4, live=False)
    with postgres() as server:
        destination = Postgres(server)
        with Sandbox(org) as box:
            load(org, box, folder)
            project = Project(folder / "project", box, server)
            said = project(*FIRST_RUN)
        [overall] = destination.query(f"select as_of from {MARTS}.litmos__compliance")  # noqa: S608
        truth: dict[str, Rows] = {
            stream: list(map(dict, org.rows(stream))) for stream in DEFAULT_STREAMS
        }
        page = (folder / "litmos.html", folder / "said")
        made = Built(date.fromisoformat(overall["as_of"]), server["password"], truth, page)
        made.said["postgres"] = said
        with ThreadPoolExecutor() as pool:
            dbt = InPostgres(project, destination)
            in_postgres = pool.submit(ask_postgres, made, dbt, is_thorough=is_thorough)
            build_in_duckdb(made, folder)
            in_postgres.result()
    return made


def build_in_duckdb(made: Built, folder: Path) -> None:
    """Build and test with two accounts that have the same ids, and one with odd tables."""
    (folder / "sitecustomize.py").write_text(LISTING_SLOWLY, "utf-8")
    dbt = InDuckDB(folder, made.today)
    tables = dbt.query("from information_schema.tables where table_schema = 'litmos'", "main")
    dbt.execute("create schema litmos_eu")
    for name in [row["table_name"] for row in tables]:
        dbt.execute(f"create table litmos_eu.{name} as from litmos.{name}")
    someone = 'select min("UserId") from litmos.course_results'
    dbt.execute(f'delete from litmos_eu.users where "Id" = ({someone})')  # noqa: S608
    dbt.execute(ODD.replace("litmos", "litmos_odd"))
    dbt.execute("update litmos_odd.users set _sdc_received_at = '2026-03-11 12:00'")  # as in UTC
    made.said["duckdb"] = dbt("build", "--warn-error")
    made.models["accounts"] = dbt.models()
    made.models["duckdb"] = of_account("litmos", made.models["accounts"])
    made.models["odd duckdb"] = of_account("litmos_odd", made.models["accounts"])
    for name in filter(re.compile("litmos__").match, made.models["duckdb"]):
        dbt.execute(f"delete from {MARTS}.{name} where account <> 'litmos'")  # noqa: S608
    made.asked["duckdb"] = [dbt.query(statement, MARTS) for statement in STATEMENTS]
    dbt.execute("update litmos_odd.users set _sdc_received_at = '2026-03-11 08:00'")
    made.said["shifted duckdb"] = dbt("test", "--select", SHIFTED, status=1)
    for account in dbt.accounts:
        dbt.execute(f"drop schema {account} cascade")
    made.said["nothing"] = dbt("run", "--select", "stg_litmos__users", status=1)


def of_account(account: str, models: Mapping[str, Rows]) -> dict[str, Rows]:
    """Return the rows of an account among several, as they are where it is alone."""
    return {
        name: [
            {
                column: value.removeprefix(f"{account}/") if isinstance(value, str) else value
                for column, value in row.items()
            }
            for row in rows
            if row["account"] == account
        ]
        for name, rows in models.items()
    }


def ask_postgres(made: Built, dbt: InPostgres, *, is_thorough: bool) -> None:
    """Note what came of Meltano's build, draw the page, and build and test more."""
    made.models["postgres"] = dbt.models()
    made.counted = expected_facts(
        lambda sql: [tuple(row.values()) for row in dbt.query(sql, f"{MARTS},{STAGING}")]
    )
    dbt.draw(*made.page)
    made.asked["postgres"] = [dbt.query(statement, MARTS) for statement in STATEMENTS]
    if is_thorough:
        dbt.run_unit_tests()
    dbt.execute(ODD)
    chosen = ("users", "user_logins", "courses", "course_results", "user_ids")
    names = [f"stg_litmos__{name}" for name in chosen]
    options = ("--warn-error", "--indirect-selection", "empty", "--select")
    made.said["shifted postgres"] = dbt("build", *options, *names, SHIFTED, ORPHANS, status=1)
    made.models["odd postgres"] = dbt.models(*names)


def load(org: Organisation, box: Sandbox, folder: Path) -> None:
    """Sync twice into DuckDB, where both versions of a row are kept."""
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

    def __call__(self, command: str, *arguments: str | Path, status: int = 0) -> str:
        """Run a command of dbt; return what it says."""
        dbt, env = environment("dbt") / "dbt", self._environment
        return output_of(dbt, command, *self._options, *arguments, env=env, status=status)

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
        self._destination, self._project = destination, project

    def run_unit_tests(self) -> None:
        """Run what Meltano's job leaves out; they pass whatever is set."""
        kept = ("--target-path", self._project.folder / "units")  # so that no build reads anew
        self("test", "--select", "test_type:unit", "--vars", json.dumps(OTHER_VARIABLES), *kept)

    def draw(self, page: Path, said: Path) -> None:
        """Draw the page from the marts, and keep what dbt said for it."""
        command = recording(page.with_name("recording"), environment("dbt") / "dbt", said)
        where = ("--project-dir", self._project.folder / "transform", "--target", "postgres")
        profiles = ("--profiles-dir", PACKAGE / "profiles", "--names", "--output", page)
        env = {**self._environment, "DBT_TARGET_PATH": str(self._project.kept)}
        python = Path(sys.executable)
        output_of(python, "-m", "demo.report", "--dbt", command, *where, *profiles, env=env)

    def query(self, sql: str, schema: str = MARTS) -> Rows:
        return self._destination.query(sql.strip().removesuffix(";"), schema)

    def execute(self, sql: str) -> None:
        self._destination.psql(sql)


class InDuckDB(Dbt):
    """dbt in the package by itself, for several accounts."""

    database = "duckdb"
    accounts = ("litmos", "litmos_eu", "litmos_odd")

    def __init__(self, folder: Path, today: date) -> None:
        self._file, its = folder / "warehouse.duckdb", folder / "dbt"
        variables = {
            "litmos__today": str(today),
            "litmos__schemas": self.accounts,
            "litmos__test_relationships": False,
        }
        super().__init__(
            *("--project-dir", PACKAGE, "--profiles-dir", PACKAGE / "profiles"),
            *("--target", self.database, "--target-path", its, "--log-path", its),
            # Always the same: dbt reads all files again when a variable changes.
            *("--vars", json.dumps(variables)),
            DBT_DUCKDB_PATH=str(self._file),
            PYTHONPATH=str(folder),
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


@pytest.fixture(params=DATABASES)
def models(built: Built, request: pytest.FixtureRequest) -> dict[str, Rows]:
    return built.models[request.param]


@pytest.fixture
def marts(models: dict[str, Rows]) -> Marts:
    return {
        name.removeprefix("litmos__"): rows
        for name, rows in models.items()
        if name.startswith("litmos__")
    }


# What dbt says


@pytest.mark.parametrize("database", DATABASES)
def test_everything_builds_and_every_test_passes(built: Built, database: str) -> None:
    said = built.said[database]
    [summary] = re.findall(r"Done\. (PASS=.*)", said)
    figures_of = dict(re.findall(r"([A-Z-]+)=(\d+)", summary))
    assert figures_of["WARN"] == figures_of["ERROR"] == figures_of["SKIP"] == "0"
    assert bool(re.search("Finished .* unit tests", said)) == (database == "duckdb")
    assert "eprecat" not in said


def test_an_empty_project_of_meltano_ends_in_answers(built: Built) -> None:
    said = built.said["postgres"]
    assert "Completed successfully" in " ".join(said.split())
    assert built.password not in said


def test_where_nothing_is_loaded_it_says_so_and_fails(built: Built) -> None:
    assert (
        "No table of tap-litmos in warehouse.litmos: load it first, or set" in built.said["nothing"]
    )


@pytest.mark.parametrize("database", DATABASES)
def test_a_load_whose_date_times_are_shifted_fails(built: Built, database: str) -> None:
    assert f"Failure in test {SHIFTED}" in built.said[f"shifted {database}"]


def test_rows_that_refer_to_nothing_fail_with_warn_error_unless_switched_off(built: Built) -> None:
    assert f"Failure in test {ORPHANS.rstrip('*')}" in built.said["shifted postgres"]
    assert "litmos_refers_to" not in built.said["duckdb"]  # which lacks a user


def test_accounts_keep_apart(built: Built) -> None:
    first, second = (
        of_account(account, built.models["accounts"]) for account in ("litmos", "litmos_eu")
    )
    assert all(bool(second[name]) == bool(rows) for name, rows in first.items())
    people = {
        row["account"]: row["people"] for row in built.models["accounts"]["litmos__compliance"]
    }
    assert people["litmos_eu"] == people["litmos"] > 0


# Staging


@pytest.mark.parametrize("stream", DEFAULT_STREAMS)
def test_staging_holds_each_row_once_as_it_is_now(
    built: Built, models: dict[str, Rows], stream: str
) -> None:
    endpoint = ENDPOINT[stream]
    names = {
        field.name: column(endpoint, field) for field in endpoint.fields if field.name != "LoginKey"
    }
    expected = [
        {alias: row.get(name) for name, alias in names.items()}
        | {"account": "litmos", "is_deleted": False}
        for row in map(plain, built.truth[stream])
    ]
    assert in_order(models[f"stg_litmos__{stream}"]) == in_order(expected)


@pytest.mark.parametrize("database", DATABASES)
def test_staging_takes_tables_as_they_are(built: Built, database: str) -> None:
    odd = built.models[f"odd {database}"]
    people = {row["user_id"]: row for row in odd["stg_litmos__users"]}
    assert {user: row["full_name"] for user, row in people.items() if not row["is_deleted"]} == {
        "a": "New",
        "b": "Last loaded",
        "d": "Joined during the listing",
    }
    assert {user for user, row in people.items() if row["is_deleted"]} == {"c", "e"}
    assert people["a"]["updated_date"] == "2026-03-11T04:30:00"
    assert people["a"]["email"] is None
    [result] = odd["stg_litmos__course_results"]
    assert result["updated_date"] == "2026-03-10T23:30:00.25"
    assert result["completed"] is True
    assert result["due_date"] is result["compliant_till_date"] is None
    assert odd["stg_litmos__courses"] == []
    assert {row["user_id"] for row in odd["stg_litmos__user_ids"]} == {"a", "b", "e"}
    assert [row["user_id"] for row in odd["stg_litmos__user_logins"]] == ["a"]


def test_no_model_holds_a_login_link(models: dict[str, Rows]) -> None:
    assert not [name for name, rows in models.items() if rows and "login_key" in rows[0]]


# Marts


def test_both_databases_give_the_same_and_an_account_among_others_as_alone(built: Built) -> None:
    models, others = (built.models[database] for database in DATABASES)
    assert set(models) == set(others)
    for name, rows in models.items():
        if name not in {"stg_litmos__course_results_versions", "litmos__result_history"}:
            assert in_order(rows) == in_order(others[name]), name


def test_the_page_is_drawn_from_the_marts_of_any_dbt_project(built: Built, tmp_path: Path) -> None:
    page, said = built.page
    figures = check_facts(said, built.counted, tmp_path)
    drawn = text_of(page)
    for line in (*summary(figures), *map(" ".join, tiles(figures))):
        assert line in drawn


def test_history_holds_what_a_target_has_kept(built: Built) -> None:
    appended, replaced = (
        built.models[database]["litmos__result_history"] for database in DATABASES
    )
    latest = [row for row in appended if row["is_latest"]]
    assert in_order(latest) == in_order(replaced)
    before = [row for row in appended if not row["is_latest"]]
    assert len(before) == 2
    assert all(row["is_active"] and row["valid_to"] > row["valid_from"] for row in before)


def test_everybody_stands_where_the_dates_say(built: Built, marts: Marts) -> None:
    truth = {(row["UserId"], row["Id"]): plain(row) for row in built.truth["course_results"]}
    off = {
        row["Id"]
        for stream in ("users", "courses", "learning_paths")
        for row in built.truth[stream]
        if not row["Active"]
    }
    reasons = {
        (row["user_id"], row["course_id"]) for row in marts["assignments"] if row["is_current"]
    }
    today, soon = str(built.today), str(built.today + timedelta(days=30))
    found = {(row["user_id"], row["course_id"]): row for row in marts["course_results"]}
    assert set(found) == set(truth) | reasons
    for pair, row in found.items():
        result = truth.get(pair, {}) if row["has_result"] else {}
        assert row["is_assigned"] == (pair in reasons)
        assert row["status"] == status(row, today, soon, flagged=result.get("Overdue", False))
        if result:
            assert row["is_current"] == (result["Active"] and not off.intersection(pair))
            for day, date in (
                ("completed_on", "CompletedDate"),
                ("compliant_till_on", "CompliantTillDate"),
            ):
                assert row[day] == (result[date] and result[date][:10])
            assert not result["DueDate"] or row["due_on"] == result["DueDate"][:10]
    assert {row["status"] for row in found.values()} == {
        *("not_started", "in_progress", "completed", "expiring", "overdue", "lapsed")
    }
    for row in marts["learning_path_results"]:
        assert row["status"] == status(row, today, soon, flagged=False)
    assert len(marts["learning_path_results"]) == len(built.truth["learning_path_results"])


def test_a_result_says_whose_it_is_in_readable_names(built: Built, marts: Marts) -> None:
    people = {row["Id"]: row for row in built.truth["users"]}
    names = {row["Id"]: row["Name"] for row in built.truth["teams"]}
    of = teams_of(built)
    for row in marts["course_results"]:
        person = people[row["user_id"]]
        assert row["email"] == person["Email"]
        manager = people.get(person["ManagerId"], {"FullName": person["ManagerName"]})
        assert row["manager_name"] == manager["FullName"]
        teams = sorted(names[team] for team in of[row["user_id"]]) if person["Active"] else []
        assert sorted(filter(None, (row["team_names"] or "").split(", "))) == teams
    assert "&amp;" in json.dumps([row["Name"] for row in built.truth["courses"]])
    assert "&amp;" not in json.dumps(marts)


def teams_of(built: Built) -> dict[str, set[str]]:
    """Return for each person the active teams of which they are members."""
    found = defaultdict(set)
    for team, members in links(built.truth, "team_users", "TeamId", "teams").items():
        for row in members:
            found[row["Id"]].add(team)
    return found


def test_the_figures_are_those_of_the_results(built: Built, marts: Marts) -> None:
    current = [row for row in marts["course_results"] if row["is_current"]]
    [overall] = marts["compliance"]
    assert overall.items() >= figures(current).items()
    assert overall["as_of"] == str(built.today)
    assert overall["assigned"] > 0
    for row in marts["compliance_by_course"]:
        results = [result for result in current if result["course_id"] == row["course_id"]]
        assert row.items() >= figures(results).items()
        assert row["is_required"] == any(result["is_required"] for result in results)
    assert sum(row["assigned"] for row in marts["compliance_by_course"]) == len(current)


@pytest.mark.parametrize("mart", ["team", "manager"])
def test_the_figures_of_groups_are_those_of_their_people(
    built: Built, marts: Marts, mart: str
) -> None:
    if mart == "team":
        direct = teams_of(built)
        above = lines({row["Id"]: row["ParentTeamId"] for row in built.truth["teams"]})
        active = {row["Id"] for row in in_force(built.truth["teams"])}
        tree = {
            user: active & teams.union(*(above[team] for team in teams))
            for user, teams in direct.items()
        }
    else:
        above = lines({row["Id"]: row["ManagerId"] for row in built.truth["users"]})
        direct = {user: set(line[:1]) for user, line in above.items()}
        tree = {user: set(line) for user, line in above.items()}
    assert max(map(len, above.values())) > 1
    current = [row for row in marts["course_results"] if row["is_current"]]
    directly, whole = (
        {key: figures(rows) for key, rows in grouped(current, groups).items()}
        for groups in (direct, tree)
    )
    found = marts[f"compliance_by_{mart}"]
    assert {row[f"{mart}_id"] for row in found} == set(whole)
    for row in found:
        key = row[f"{mart}_id"]
        assert row.items() >= directly.get(key, figures([])).items()
        in_tree = {name for name in row if name.endswith("_in_tree")}
        assert len(in_tree) == 8
        for name in in_tree:
            assert row[name] == whole[key][name.removesuffix("_in_tree")]


def grouped(results: Rows, groups: Mapping[str, Iterable[str]]) -> dict[str, Rows]:
    """Return results by the groups of their people."""
    found = defaultdict(list)
    for row in results:
        for key in groups.get(row["user_id"], ()):
            found[key].append(row)
    return found


def test_training_hours_add_up(built: Built, marts: Marts) -> None:
    times = [row["TimeTaken"] for row in built.truth["module_results"]]
    parts = [map(int, time.split(":")) for time in times if time]
    hours = sum(hour + minute / 60 + second / 3600 for hour, minute, second in parts)
    assert sum(row["hours"] for row in marts["training_hours"]) == pytest.approx(hours, rel=0.01)
    unknown = sum(row["modules_without_time"] for row in marts["training_hours"])
    assert (unknown, hours > 100) == (len(times) - len(parts), True)


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
            described = [entry["name"] for entry in model.get("columns", ())]
            assert model["description"]
            if rows and described:
                assert set(rows[0]) == set(described), model["name"]


def test_every_mart_says_its_grain_and_its_question() -> None:
    described = yaml.safe_load((PACKAGE / "models/marts/_marts.yml").read_text("utf-8"))
    names = {model["name"] for model in described["models"]}
    assert names == {file.stem for file in (PACKAGE / "models/marts").glob("*.sql")}
    readme = (PACKAGE / "README.md").read_text("utf-8")
    for model in described["models"]:
        assert "**Grain:**" in model["description"]
        assert "**Question:**" in model["description"]
        assert f"`{model['name']}`" in readme


def test_the_questions_of_the_readme_have_answers(built: Built) -> None:
    assert len(STATEMENTS) >= 5
    assert all(built.asked["duckdb"])
    assert built.asked["duckdb"] == built.asked["postgres"]
