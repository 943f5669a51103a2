"""The sandbox: what its organisation is like, how strange it can be, and its command."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
import xmltodict
from support import run_tap

from tap_litmos import streams
from tap_litmos.declaration import Endpoint, Field
from tap_litmos.sandbox import Answer, Organisation, Sandbox
from tap_litmos.sandbox.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = timedelta(hours=1)
COMMAND = [sys.executable, "-m", "tap_litmos.sandbox", "--users", "10", "--years", "0.1"]

# What the organisation is like


@pytest.fixture(scope="module")
def company() -> Organisation:
    return Organisation(users=200, years=1, live=False)


def test_results_follow_from_assignments(company: Organisation) -> None:
    wanted = {(row["Id"], row["UserId"]) for row in company.rows("user_courses")}
    paths = {(row["LearningPathId"], row["Id"]) for row in company.rows("learning_path_users")}
    of_team: dict[Any, list[Any]] = defaultdict(list)
    for stream, kind in (("team_courses", 0), ("team_learning_paths", 1)):
        for row in company.rows(stream):
            if not row["IsInTeamLibrary"]:
                of_team[row["TeamId"]].append((kind, row["Id"]))
    for row in company.rows("team_users"):
        for kind, what in of_team[row["TeamId"]]:
            (paths if kind else wanted).add((what, row["Id"]))
    courses = defaultdict(list)
    for row in company.rows("learning_path_courses"):
        courses[row["LearningPathId"]].append(row["Id"])
    wanted |= {(course, user) for path, user in paths for course in courses[path]}
    assert keys(company, "learning_path_results") == paths
    assert keys(company, "course_results") == wanted


def keys(org: Organisation, stream: str) -> set[Any]:
    return {(row["Id"], row["UserId"]) for row in org.rows(stream)}


def test_learning_paths_are_as_far_as_their_courses(company: Organisation) -> None:
    results = {(row["Id"], row["UserId"]): row for row in company.rows("course_results")}
    courses = defaultdict(list)
    for row in company.rows("learning_path_courses"):
        courses[row["LearningPathId"]].append(row["Id"])
    paths = company.rows("learning_path_results")
    for path in paths:
        parts = [results[course, path["UserId"]] for course in courses[path["Id"]]]
        percent: list[Any] = [part["PercentageComplete"] for part in parts]
        assert path["PercentageComplete"] == pytest.approx(sum(percent) / len(parts), abs=0.01)
        assert path["Completed"] is all(part["Completed"] for part in parts)
    assert len({row["Completed"] for row in paths}) == 2


def test_achievements_follow_from_completions(company: Organisation) -> None:
    for stream, kind in (
        ("course_results", "Course"),
        ("learning_path_results", "LearningPath"),
    ):
        earned = {
            (row[f"{kind}Id"], row["UserId"])
            for row in company.rows("achievements")
            if row[f"{kind}Id"]
        }
        completed = [row for row in company.rows(stream) if row["Completed"]]
        assert earned == {(row["Id"], row["UserId"]) for row in completed}


def test_deadlines_pass_and_training_lapses(company: Organisation) -> None:
    now = company.now()
    night = now.replace(hour=0, minute=0, second=0, microsecond=0)
    results: list[dict[str, Any]] = list(company.rows("course_results"))
    for row in results:
        due, till = row["DueDate"], row["CompliantTillDate"]
        assert row["Overdue"] is bool(due and due < night and not row["Completed"])
        assert row["UpToDate"] is bool(row["Completed"] and not (till and till < night))
    assert sum(row["Overdue"] for row in results) > 20
    tills = [row["CompliantTillDate"] for row in results if row["CompliantTillDate"]]
    assert sum(till < night for till in tills) > 20
    assert len({(till.year, till.month) for till in tills if till > now}) >= 6


@pytest.mark.parametrize(
    ("stream", "above"), [("teams", "ParentTeamId"), ("users", "ManagerId")]
)
def test_teams_and_managers_form_trees(stream: str, above: str, company: Organisation) -> None:
    parents: dict[Any, Any] = {row["Id"]: row[above] for row in company.rows(stream)}
    for row in parents:
        line = [row]
        while line[-1]:
            line.append(parents[line[-1]])
            assert len(line) < 12
    assert sum(parent is None for parent in parents.values()) <= 3


def test_references_lead_somewhere_and_keys_are_unique(company: Organisation) -> None:
    for endpoint in streams.ENDPOINTS:
        rows = company.rows(endpoint.stream)
        assert rows, endpoint.stream
        for field, target in endpoint.references.items():
            ids = {row["Id"] for row in company.rows(target.partition(".")[0])}
            assert {row[field] for row in rows} <= {*ids, None}, endpoint.stream
        names = [name for name in endpoint.primary_key if name in rows[0]] or list(rows[0])
        assert max(Counter(tuple(row[name] for name in names) for row in rows).values()) == 1


def test_texts_are_as_odd_as_in_life(company: Organisation) -> None:
    texts = {
        value
        for stream in ("users", "courses", "modules")
        for row in company.rows(stream)
        for value in row.values()
        if isinstance(value, str)
    }
    for part in ("ü", "🎉", "&amp;", " & ", "<", "\xa0", "\r\n", "\t", "大阪"):
        assert any(part in text for text in texts), part
    assert any(text != text.strip() for text in texts)


def test_the_same_seed_makes_the_same_organisation() -> None:
    now = datetime.now(UTC)
    one, two = (
        Organisation(users=20, years=0.3, seed=3, live=False, clock=lambda: now)
        for _ in range(2)
    )
    other = Organisation(users=20, years=0.3, seed=4, live=False, clock=lambda: now)
    for org in (one, two, other):
        org.happen(20)
    alike = [one.rows(stream) == two.rows(stream) for stream in one.endpoints]
    assert all(alike)
    assert one.rows("users") != other.rows("users")


def test_time_goes_on() -> None:
    now = datetime.now(UTC)
    org = Organisation(users=20, years=0.1, clock=lambda: now)
    before = sum(len(org.rows(stream)) for stream in org.endpoints)
    now += HOUR
    assert sum(len(org.rows(stream)) for stream in org.endpoints) > before


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
            Field("OriginalUserId", "integer", "User"),
            Field("UserName", "string", "Name"),
            Field("Stars", "number", "Stars"),
            Field("Public", "boolean", "Public"),
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


# Its habits


def get(
    box: Sandbox, path: str = "/org/teams", since: float = 24, to: float = -24, **query: int
) -> requests.Response:
    """Ask for the rows that changed between so many hours ago."""
    now = datetime.now(UTC)
    params: dict[str, str | int] = {"source": "test", "limit": 1000, **query}
    for name, hours in (("since", since), ("to", to)):
        params[name] = f"{now - timedelta(hours=hours):%Y-%m-%d %H:%M:%S}"
    return requests.get(
        box.url + path,
        params=params,
        headers={"apikey": box.api_key},
        timeout=10,
    )


def rows_of(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.reason
    page = xmltodict.parse(answer.content, force_list=("Team",), strip_whitespace=False)
    return list((page["Teams"] or {}).get("Team", []))


def ids(box: Sandbox, **query: Any) -> list[int]:
    return [int(row["Id"]) for row in rows_of(get(box, **query))]


def org_of(count: int, ties: int = 5) -> Organisation:
    """Return an organisation of so many teams, the latest first, in groups of one second."""
    org = Organisation(users=1, years=0.1, live=False)
    latest = (datetime.now(UTC) - HOUR).replace(microsecond=0)
    dates = [latest - timedelta(seconds=number // ties) for number in range(count)]
    teams: list[dict[str, Any]] = [
        {"Id": str(number), "Name": f"Team & {number}\xa0ü🎉", "UpdatedDate": date}
        for number, date in enumerate(dates)
    ]
    org.replace_rows("teams", teams)
    return org


@pytest.fixture
def teams_org() -> Organisation:
    return org_of(25)


ALL = list(range(25))
OLDEST_FIRST = [number for group in (20, 15, 10, 5, 0) for number in range(group, group + 5)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("id", ALL), ("updated", OLDEST_FIRST), ("newest", OLDEST_FIRST[::-1])],
)
def test_orders(teams_org: Organisation, order: Any, expected: list[int]) -> None:
    with Sandbox(teams_org, order=order) as box:
        assert ids(box) == expected
        assert ids(box, start=7, limit=3) == expected[7:10]


def test_orders_that_change_with_each_request(teams_org: Organisation) -> None:
    with Sandbox(teams_org, order="random") as box:
        shuffled = [ids(box) for _ in range(3)]
    with Sandbox(teams_org, order="shuffled ties") as box:
        ties = [ids(box) for _ in range(3)]
    for orders in (shuffled, ties):
        assert len({tuple(order) for order in orders}) == 3
        assert all(sorted(order) == ALL for order in orders)
    assert {tuple(number // 5 for number in order) for order in ties} == {
        tuple(number // 5 for number in OLDEST_FIRST)
    }


def test_rows_that_are_served_twice(teams_org: Organisation) -> None:
    with Sandbox(teams_org, repeated="appended") as box:
        assert ids(box) == ALL + ALL
    with Sandbox(teams_org, repeated="adjacent") as box:
        adjacent = ids(box)
        assert ids(box) == adjacent
    with Sandbox(teams_org, repeated="scattered") as box:
        scattered = ids(box)
        assert ids(box) == scattered
    assert adjacent == sorted(adjacent)
    assert scattered != sorted(scattered)
    for found in (adjacent, scattered):
        assert len(found) > len(set(found)) == len(ALL)


def test_habits_of_pages() -> None:
    org = org_of(250)
    everything = list(range(250))
    with Sandbox(org, page_cap=70) as box:
        assert ids(box) == everything[:70]
        assert ids(box, start=240, limit=90) == everything[240:]
    with Sandbox(org, ignores_limit=True) as box:
        assert ids(box, start=10, limit=5) == everything[10:110]
    with Sandbox(org, ignores_start=True) as box:
        assert ids(box, start=10, limit=5) == everything[:5]
    with Sandbox(org, wraps=True) as box:
        assert ids(box, start=248, limit=5) == [248, 249, 0, 1, 2]
    with Sandbox(org, filtered=100) as box:
        pages = [ids(box, start=start, limit=100) for start in (0, 100, 200)]
        assert [len(page) for page in pages][:2] == [99, 99]
        assert 247 <= len({number for page in pages for number in page}) <= 248
    with Sandbox(org, overfull=3) as box:
        assert ids(box, limit=100) == everything[:103]


def test_rows_change_places_while_they_are_paged(teams_org: Organisation) -> None:
    before = {row["Id"]: row["UpdatedDate"] for row in teams_org.rows("teams")}
    with Sandbox(teams_org, moving_without_date=4) as box:
        assert ids(box, limit=10) == ALL[:10]
        assert ids(box, start=10, limit=10) == ALL[14:24]
    assert before == {row["Id"]: row["UpdatedDate"] for row in teams_org.rows("teams")}
    with Sandbox(teams_org, moving=4, order="updated") as box:
        assert ids(box, limit=10) == OLDEST_FIRST[:10]
        assert ids(box, start=10, limit=10) == OLDEST_FIRST[14:24]


@pytest.mark.parametrize("order", ["id", "updated", "newest"])
def test_an_open_window_grows(teams_org: Organisation, order: Any) -> None:
    with Sandbox(teams_org, growing=3, order=order) as box:
        found = [len(rows_of(get(box))) for _ in range(3)]
        assert found == [28, 31, 34]
        get(box, to=0.5)
    assert len(teams_org.rows("teams")) == 34


@pytest.mark.parametrize("kind", ["text", "message", "nil"])
def test_answers_that_are_no_pages(teams_org: Organisation, kind: str) -> None:
    with Sandbox(teams_org, faults=1, fault_kinds=(kind,)) as box:
        answer = get(box)
        assert answer.status_code == box.requests[0].status == 200
        assert box.requests[0].fault == kind
    [(root, content)] = xmltodict.parse(answer.content).items()
    assert root == "Teams"
    assert "Team" not in (content or {})
    assert content


def test_a_page_is_answered_after_three_faults_in_a_row(teams_org: Organisation) -> None:
    with Sandbox(teams_org, faults=1, fault_kinds=("500",)) as box:
        key = {"apikey": box.api_key}
        pages = [f"{box.url}/users?source=test&limit={limit}" for limit in (1, 2)] * 4
        answers = [requests.get(page, headers=key, timeout=10).status_code for page in pages]
    assert answers == [500] * 6 + [200] * 2


@pytest.mark.parametrize("kind", ["slow-headers", "slow-body"])
def test_answers_that_come_byte_by_byte(teams_org: Organisation, kind: str) -> None:
    with Sandbox(teams_org, on_request=lambda _: kind, trickle=0.0001) as box:
        assert ids(box, limit=2) == [0, 1]


def test_a_host_that_never_answers_can_be_closed(teams_org: Organisation) -> None:
    with Sandbox(teams_org, on_request=lambda _: "silent") as box:
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{box.url}/org/teams", timeout=0.1)
        assert box.requests[0].status == 0


def test_zones(teams_org: Organisation) -> None:
    [row] = teams_org.touch("teams", "0")
    changed = row["UpdatedDate"]
    assert isinstance(changed, datetime)
    with Sandbox(teams_org, zone=-11.5) as box:
        found = {row["Id"]: row["UpdatedDate"] for row in rows_of(get(box))}
        local = (changed - 11.5 * HOUR).replace(tzinfo=None)
        assert datetime.fromisoformat(found["0"]) == local
        assert ids(box, since=11, to=-24) == []
    with Sandbox(teams_org, zone=5) as box:
        assert len(ids(box, since=-4.5, to=-24)) == 1


def test_rows_that_can_be_seen_late(teams_org: Organisation) -> None:
    teams_org.touch("teams", "3")
    with Sandbox(teams_org, late=60) as box:
        assert ids(box) == [number for number in ALL if number != 3]


def test_the_help_has_what_is_said_of_habits_to_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for end in (
        "a page fails three times in a row at most.",
        "a pair that exists already is not added again.",
        "as the document does, by their canonical names, or by the other spellings that are",
    ):
        assert end in said


@pytest.mark.parametrize("date", ["0001-01-01 00:00:00", "9999-12-31 00:00:00"])
def test_dates_from_which_no_zone_can_be_reckoned(date: str, teams_org: Organisation) -> None:
    params = {"source": "test", "since": date, "to": date}
    with Sandbox(teams_org, reading="day", zone=14) as box:
        answer = requests.get(
            f"{box.url}/org/teams", params, headers={"apikey": box.api_key}, timeout=10
        )
    assert answer.status_code == 406


def test_windows_that_are_too_long(teams_org: Organisation) -> None:
    with Sandbox(teams_org, longest_days=6.96) as box:
        assert get(box, since=7 * 24, to=0).status_code == 406
        assert get(box, since=6.9 * 24, to=0).status_code == 200
    with Sandbox(teams_org) as box:
        assert get(box, since=7 * 24, to=0).status_code == 200


@pytest.mark.parametrize("charset", ["windows-1252", "iso-8859-1"])
def test_charsets(teams_org: Organisation, charset: Any) -> None:
    with Sandbox(teams_org, charset=charset) as box:
        answer = get(box, limit=1)
    assert answer.headers["Content-Type"] == f"application/xml; charset={charset}"
    assert "ü" in answer.content.decode(charset)
    assert "&#127881;" in answer.text
    assert "encoding" not in answer.text


def test_markup_that_is_no_xml(teams_org: Organisation) -> None:
    with Sandbox(teams_org, raw=True) as box:
        text = get(box).text
    assert "Team & " in text
    assert "&nbsp;" in text
    assert "Team &amp; " in text


def test_fields_that_nobody_knows_and_rows_without_key(teams_org: Organisation) -> None:
    with Sandbox(teams_org, unknown_fields=True, keyless=0.3) as box:
        rows = rows_of(get(box))
    assert all(row["JobRole"] and row["Points"] for row in rows)
    lacking = [row for row in rows if "Id" not in row]
    assert 0 < len(lacking) < len(rows)


def test_its_clock_may_be_wrong(teams_org: Organisation) -> None:
    with Sandbox(teams_org, clock_skew=7200) as box:
        date = parsedate_to_datetime(get(box).headers["Date"])
    assert HOUR < date - datetime.now(UTC) < 3 * HOUR


def test_another_client_spends_requests_of_the_same_minute(teams_org: Organisation) -> None:
    with Sandbox(teams_org, requests_per_minute=5, others_per_minute=3) as box:
        assert [get(box).status_code for _ in range(4)] == [200, 200, 503, 503]


# Its connections


def test_a_connection_stays_open_between_requests(teams_org: Organisation) -> None:
    with Sandbox(teams_org) as box:
        link = http.client.HTTPConnection(box.url.split("/")[2], timeout=10)
        for method, status in (("GET", 401), ("DELETE", 405), ("HEAD", 405), ("GET", 401)):
            link.request(method, "/v1.svc/org/teams")
            answer = link.getresponse()
            answer.read()
            assert answer.status == status
            assert not answer.will_close
        link.request("POST", "/v1.svc/org/teams", b"<Team/>")
        assert link.getresponse().will_close
        link.close()
    with pytest.raises(requests.ConnectionError):
        get(box)


def test_a_hook_may_answer_change_the_query_or_let_it_fail(teams_org: Organisation) -> None:
    answers: Iterator[Any] = iter(
        (Answer(418, b"tea", "No coffee"), (200, {"Date": "never"}, b"<Teams/>"), None, "500")
    )
    with Sandbox(teams_org, on_request=lambda _: next(answers)) as box:
        first, second, third, fourth = (get(box) for _ in range(4))
        assert [seen.status for seen in box.requests] == [418, 200, 200, 500]
    assert (first.reason, first.content) == ("No coffee", b"tea")
    assert second.headers["Date"] == "never"
    assert len(rows_of(third)) == 25
    assert fourth.status_code == 500


# The command


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def sandbox(port: int) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "--port", str(port)]
    with subprocess.Popen(  # noqa: S603 - the project's own command
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def printed_config(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended"
    return dict(json.loads("".join(lines)))


def test_it_prints_a_config_that_a_tap_can_use(
    sandbox: subprocess.Popen[str], port: int
) -> None:
    config = printed_config(sandbox)
    assert config["api_url"] == f"http://127.0.0.1:{port}/v1.svc"
    assert config["requests_per_minute"] >= 100_000
    assert run_tap("--test", config=config).status == 0
    assert requests.get(config["api_url"] + "/org/teams", timeout=10).status_code == 401
    sandbox.send_signal(signal.SIGTERM)
    assert sandbox.wait(10) == 0
    assert sandbox.stderr is not None
    assert sandbox.stderr.read() == f"The sandbox listens on {config['api_url']}\n"


def test_a_port_in_use_is_said_in_one_line(sandbox: subprocess.Popen[str], port: int) -> None:
    printed_config(sandbox)
    second = subprocess.run(  # noqa: S603 - the project's own command
        [*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert second.stdout == ""
    assert len(second.stderr.splitlines()) == 1
    assert str(port) in second.stderr


def test_it_writes_the_config_to_a_file_once_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    options = ["--config", str(file), "--requests-per-minute", "2", "--zone", "-12"]
    options += ["--order", "shuffled ties", "--faults", "1", "--fault-kinds", "text", "nil"]
    with subprocess.Popen(  # noqa: S603 - the project's own command
        [*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            while not file.exists():
                assert process.poll() is None
                time.sleep(0.01)
            config = json.loads(file.read_text())
            assert "requests_per_minute" not in config
            answer = requests.get(
                config["api_url"] + "/users",
                params={"source": "test"},
                headers={"apikey": config["api_key"]},
                timeout=10,
            )
            assert b"Service" in answer.content or b"nil" in answer.content
        finally:
            process.terminate()
        assert process.communicate(timeout=10)[0] == b""
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "option", ["--faults=2", "--order=any", "--charset=klingon", "--page-cap=0", "--zone=x"]
)
def test_options_that_make_no_sense_are_refused(option: str) -> None:
    done = subprocess.run(  # noqa: S603 - the project's own command
        [*COMMAND, option], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert option.partition("=")[0] in done.stderr.splitlines()[-1]


def test_a_folder_in_the_place_of_the_config_keeps_no_key(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    done = subprocess.run(  # noqa: S603 - the project's own command
        [*COMMAND, "--port=0", "--users=2", "--config", tmp_path / "config.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot use {tmp_path / 'config.json'}: ")
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]
