"""The sandbox: what its organisation is like, which rules it follows, and its command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
import xmltodict
from support import run_tap

from tap_litmos import streams
from tap_litmos.declaration import Endpoint, Field
from tap_litmos.sandbox import Organisation, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "tap_litmos.sandbox", "--users", "10", "--years", "0.1"]
PEOPLE = 200


@pytest.fixture(scope="module")
def company() -> Organisation:
    return Organisation(users=PEOPLE, years=1, live=False)


def keys(org: Organisation, stream: str) -> set[Any]:
    return {(row["Id"], row["UserId"]) for row in org.rows(stream)}


def test_results_follow_from_assignments(company: Organisation) -> None:
    wanted = {(row["Id"], row["UserId"]) for row in company.rows("user_courses")}
    paths = {(row["LearningPathId"], row["Id"]) for row in company.rows("learning_path_users")}
    members = defaultdict(list)
    for row in company.rows("team_users"):
        members[row["TeamId"]].append(row["Id"])
    for stream, results in (("team_courses", wanted), ("team_learning_paths", paths)):
        for row in company.rows(stream):
            if not row["IsInTeamLibrary"]:
                results.update((row["Id"], user) for user in members[row["TeamId"]])
    for row in company.rows("learning_path_courses"):
        wanted |= {(row["Id"], user) for path, user in paths if path == row["LearningPathId"]}
    assert keys(company, "learning_path_results") == paths
    assert keys(company, "course_results") == wanted


def test_mandatory_training_is_due_and_lapses(company: Organisation) -> None:
    night = company.now().replace(hour=0, minute=0, second=0, microsecond=0)
    results: list[dict[str, Any]] = list(company.rows("course_results"))
    for row in results:
        due, till = row["DueDate"], row["CompliantTillDate"]
        assert row["Overdue"] is bool(due and due < night and not row["Completed"])
        assert row["UpToDate"] is bool(row["Completed"] and not (till and till < night))
    unfinished = [row for row in results if not row["Completed"]]
    assert sum(bool(row["DueDate"]) for row in unfinished) > len(unfinished) / 2
    assert 20 < sum(row["Overdue"] for row in results) < len(results) / 5
    assert sum(row["Completed"] and not row["UpToDate"] for row in results) > 20


@pytest.mark.parametrize(("stream", "above"), [("teams", "ParentTeamId"), ("users", "ManagerId")])
def test_teams_and_managers_form_trees(stream: str, above: str, company: Organisation) -> None:
    parents: dict[Any, Any] = {row["Id"]: row[above] for row in company.rows(stream)}
    assert sum(parent is None for parent in parents.values()) == 1
    for row in parents:
        line = [row]
        while line[-1]:
            line.append(parents[line[-1]])
            assert len(line) < 6


def test_names_are_unique() -> None:
    for users in (PEOPLE, 1_150):
        rows = Organisation(users=users, years=0.01, live=False).rows("users")
        assert len({row["FullName"] for row in rows}) == len(rows)
        assert {row["ManagerName"] for row in rows} <= {
            None,
            *(row["FullName"] for row in rows),
        }
        assert len({row["LastName"] for row in rows}) > 60


def test_references_lead_somewhere_and_keys_are_unique(company: Organisation) -> None:
    for endpoint in streams.ENDPOINTS:
        rows = company.rows(endpoint.stream)
        assert rows, endpoint.stream
        for field, target in endpoint.references.items():
            ids = {row["Id"] for row in company.rows(target.partition(".")[0])}
            assert {row[field] for row in rows} <= {*ids, None}, endpoint.stream
        names = [name for name in endpoint.primary_key if name in rows[0]] or list(rows[0])
        assert max(Counter(tuple(row[name] for name in names) for row in rows).values()) == 1


def test_the_same_seed_makes_the_same_organisation_and_time_goes_on() -> None:
    now = datetime.now(UTC)
    one, two, other = (
        Organisation(users=20, years=0.3, seed=seed, clock=lambda: now) for seed in (3, 3, 4)
    )
    before = {stream: one.rows(stream) for stream in one.endpoints}
    assert before == {stream: two.rows(stream) for stream in two.endpoints}
    assert before["users"] != other.rows("users")
    now += timedelta(hours=1)
    assert len(one.rows("module_results")) > len(before["module_results"])


def test_a_new_endpoint_has_rows_once_it_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    new = Endpoint(
        stream="course_ratings",
        path="/org/courses/ratings",
        nesting=("Ratings", "List", "Rating"),
        title="Ratings",
        description="What users think of courses",
        primary_key=("UserId", "Id"),
        replication_key="UpdatedDate",
        references={"UserId": "users.Id", "Id": "courses.Id"},
        fields=(
            Field("Id", "string", "Course"),
            Field("UserId", "string", "User"),
            Field("UserName", "string", "Name"),
            Field("Stars", "number", "Stars"),
            Field("CreatedDate", "datetime", "Created"),
            Field("UpdatedDate", "datetime", "Updated"),
            Field("RatingKey", "hash", "Not sent", sent=False),
        ),
    )
    monkeypatch.setattr(streams, "ENDPOINTS", (*streams.ENDPOINTS, new))
    org = Organisation(users=30, years=0.1, live=False)
    users = {row["Id"]: row["UserName"] for row in org.rows("users")}
    rows = org.rows("course_ratings")
    assert len(rows) > 5
    assert all(users[row["UserId"]] == row["UserName"] for row in rows)
    org.touch("course_ratings", len(rows))
    with Sandbox(org) as box:
        page = xmltodict.parse(get(box, new.path).content)["Ratings"]["List"]["Rating"]
    assert {row["UserId"] for row in page} == {row["UserId"] for row in rows}
    assert set(page[0]) == {field.name for field in new.fields if field.sent}


def days_from_now(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d %H:%M:%S}"


def get(box: Sandbox, path: str = "/org/teams", **query: Any) -> requests.Response:
    """Ask for the rows that changed since yesterday; None leaves a parameter out."""
    headers = {"apikey": query.pop("key", box.api_key)}
    window = {"since": days_from_now(-1), "to": days_from_now(1)}
    params = {"source": "test", "limit": 1000, **window, **query}
    return requests.get(box.url + path, params, headers=headers, timeout=10)


REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "no source": (400, {"source": None}),
    "a source that is too long": (400, {"source": "x" * 51}),
    "a limit that is too large": (400, {"limit": 1001}),
    "a negative start": (400, {"start": -1}),
    "a wrong key": (401, {"key": "another"}),
    "an unknown path": (404, {"path": "/org/nothing"}),
    "no window": (406, {"since": None}),
    "a date in another form": (406, {"since": "2026-01-01"}),
    "a window that ends before it starts": (406, {"since": days_from_now(2)}),
    "more than 7 days": (406, {"since": days_from_now(-7)}),
    "a path to refuse": (403, {"path": "/org/courses"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(what: str, company: Organisation) -> None:
    status, query = REFUSED[what]
    with Sandbox(company, refuse={"/org/courses": 403}) as box:
        assert get(box, **query).status_code == status
        assert [seen.status for seen in box.requests] == [status]


def test_it_serves_pages_and_today_only_if_to_is_in_the_future() -> None:
    org = Organisation(users=20, years=0.1, live=False)
    org.touch("teams", 4)

    def names(**query: Any) -> list[str]:
        root = xmltodict.parse(get(box, **query).content, force_list=("Team",))["Teams"]
        return [row["Id"] for row in root.get("Team", ())]

    with Sandbox(org) as box:
        every = names()
        assert len(every) == len(set(every)) == 4
        assert names(start=1, limit=2) == every[1:3]
        assert names(to=days_from_now(-0.00001)) == []


def test_requests_above_the_rate_get_503_and_some_fail(company: Organisation) -> None:
    with Sandbox(company, requests_per_minute=2) as box:
        assert [get(box).status_code for _ in range(3)] == [200, 200, 503]
    with Sandbox(company, faults=0.5) as box:
        seen = {get(box).status_code for _ in range(20)}
    assert 200 in seen
    assert seen <= {200, 429, 500, 502, 503, 504}


def test_the_command_prints_a_config_that_a_tap_can_use() -> None:
    process = subprocess.Popen(  # noqa: S603 - the project's own command
        [*COMMAND, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        lines = iter(process.stdout.readline, "}\n")
        config = json.loads("".join([*lines, "}"]))
        assert run_tap("--test", config=config).status == 0
        port = config["api_url"].split(":")[2].split("/")[0]
        second = subprocess.run(  # noqa: S603 - the project's own command
            [*COMMAND, "--port", port], capture_output=True, text=True, check=False
        )
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10)[1].endswith(f"{config['api_url']}\n")
    assert process.returncode == 0
    assert (second.returncode, second.stdout, second.stderr.count("\n")) == (1, "", 1)
    assert port in second.stderr


def test_the_command_writes_the_config_to_a_file_once_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    options = ["--port=0", "--config", str(file), "--requests-per-minute=1"]
    with subprocess.Popen([*COMMAND, *options]) as process:  # noqa: S603 - our own
        while not file.exists():
            assert process.poll() is None
            time.sleep(0.01)
        config = json.loads(file.read_text())
        process.terminate()
    assert "requests_per_minute" not in config
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("option", ["--faults=2", "--users=0", "--port=x", "--refuse=teams"])
def test_the_command_refuses_options_that_make_no_sense(option: str) -> None:
    done = subprocess.run(  # noqa: S603 - the project's own command
        [*COMMAND, option], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert option.partition("=")[0] in done.stderr.splitlines()[-1]
