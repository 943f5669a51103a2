"""The demo: what it prints, what it loads, the page it draws, and that it cleans up."""

from __future__ import annotations

import html
import json
import math
import operator
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import duckdb
import pytest
from compliance import percent
from shared import once
from support import DEFAULT_STREAMS

from demo.marts import PACKAGE, in_duckdb
from demo.page import GROUPINGS, summary, tiles, write_page
from demo.warehouse import Warehouse
from scripts.environment import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

    from demo.marts import Rows

    Matrix = Sequence[Sequence[float]]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
DEMO = (sys.executable, "-m", "demo")
REPORT = (sys.executable, "-m", "demo.report")


def run(*command: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def target() -> Path:
    return environment("target-jsonl") / "target-jsonl"


@pytest.fixture(scope="module")
def demo(target: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where the demo has put its data, and what it printed."""
    made: tuple[Path, str] = once(tmp_path_factory, "demo", partial(run_demo, target))
    return made


def run_demo(target: Path, folder: Path) -> tuple[Path, str]:
    directory = folder / "it's here"
    options = ("--directory", directory, "--target", target, "--users", "150", "--pause", "4")
    done = run(*DEMO, *options, "--dbt", environment("dbt") / "dbt")
    assert done.stderr == ""
    return directory, done.stdout


@pytest.fixture(scope="module")
def warehouse(demo: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the warehouse: DuckDB locks the file against other processes."""
    folder = tmp_path_factory.mktemp("warehouse")
    return Path(shutil.copy(demo[0] / "warehouse.duckdb", folder))


def query(file: Path, sql: str) -> Rows:
    with duckdb.connect(file, read_only=True) as connection:
        found = connection.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def parse(file: Path) -> Element:
    return ET.parse(file).getroot()  # noqa: S314 - our own


def text(element: Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


# What it reads, loads and prints


def test_each_stream_has_its_rows_and_requests_of_both_syncs(
    demo: tuple[Path, str], warehouse: Path
) -> None:
    directory, printed = demo
    lines = [line.replace(",", "").split() for line in printed.splitlines()]
    figures = {
        line[0]: [*map(int, line[1:])] for line in lines if len(line) == 7 and line[6].isdigit()
    }
    total = figures.pop("total")
    assert sorted(figures) == DEFAULT_STREAMS
    assert total == [*map(sum, zip(*figures.values(), strict=True))]
    for stream, (rows, _, rows_again, requests_again, new, changed) in figures.items():
        files = [directory / sync / f"{stream}.jsonl" for sync in ("first", "second")]
        written = [len(file.read_bytes().splitlines()) for file in files if file.exists()]
        [loaded] = query(warehouse, f"select count(*) as rows from litmos.{stream}")  # noqa: S608
        assert loaded["rows"] == rows + rows_again == sum(written)
        assert rows == written[0]
        assert requests_again >= 1
        assert new + changed <= rows_again
    _, _, again, _, new, changed = total
    assert new + changed > 0, "nothing changed between the syncs"
    said = " ".join(printed.split())
    assert f"The second sync read {again:,} rows: {new:,} are new, {changed:,} have" in said


def test_it_says_where_the_data_is(demo: tuple[Path, str]) -> None:
    names = ("first", "second", "warehouse.duckdb", "litmos.html", "")
    paths = [line.partition(": ")[2].strip() for line in demo[1].splitlines()[-5:]]
    assert paths == [str(demo[0] / name) for name in names]
    assert all(Path(path).exists() for path in paths)


def test_changes_between_the_syncs_are_counted(tmp_path: Path) -> None:
    properties = {"Id": {"type": ["string"]}, "Name": {"type": ["string", "null"]}}
    entry = {"key_properties": ["Id"], "schema": {"properties": properties}}
    syncs = {"first": {"a": "1", "b": "1"}, "second": {"a": "1", "b": "2", "c": "1"}}
    for name, rows in syncs.items():
        lines = [json.dumps({"Id": key, "Name": value}) for key, value in rows.items()]
        (tmp_path / name).mkdir()
        (tmp_path / name / "teams.jsonl").write_text("\n".join([*lines, *lines]))
    shutil.copy(tmp_path / "second" / "teams.jsonl", tmp_path / "second" / "users.jsonl")
    loaded = Warehouse(tmp_path / "w.duckdb", dict.fromkeys(("teams", "users", "none"), entry))
    changes = loaded.changes(tmp_path / "first", tmp_path / "second")
    loaded.close()
    assert changes == {"teams": (1, 1), "users": (3, 0)}


# The figures


MART = "select * from analytics_litmos.litmos__{} where is_current"
STAGE = "select * from analytics_litmos_staging.{} where {}"


def test_the_marts_are_asked_for_what_their_rows_say(
    demo: tuple[Path, str], warehouse: Path
) -> None:
    figures = in_duckdb(environment("dbt") / "dbt", warehouse).figures(names=True)
    rows = query(warehouse, MART.format("course_results"))
    expected, people = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for row in rows:
        expected.update(facts_of(row))
        if not row["is_compliant"]:
            since = row["due_on" if row["status"] == "overdue" else "compliant_till_on"]
            names = (html.unescape(row[name]).strip() for name in ("course_name", "full_name"))
            people[row["manager_id"] or "", *names, str(since)] += 1
    for member in query(
        warehouse, STAGE.format("int_litmos__people_of_teams", "is_direct = 1")
    ):
        mine = [row for row in rows if row["user_id"] == member["user_id"]]
        expected["undated", "teams", member["team_id"]] += sum(map(is_undated, mine))
    links = query(warehouse, STAGE.format("stg_litmos__learning_path_courses", "is_active"))
    for path in query(warehouse, MART.format("learning_path_results")):
        courses = {
            link["course_id"]
            for link in links
            if link["learning_path_id"] == path["learning_path_id"]
        }
        mine = [
            row
            for row in rows
            if row["user_id"] == path["user_id"] and row["course_id"] in courses
        ]
        expected["required", "paths", path["learning_path_id"]] += any(map(is_required, mine))
        dated = any(row["due_on"] for row in mine)
        expected["undated", "paths", path["learning_path_id"]] += is_open(path) and not dated
    found = {
        (row["about"], row["part"], row["id"] or ""): row["number"]
        for row in figures["facts"]
        if row["about"] not in {"late", "synced"}
    }
    assert found == {
        key: min(number, 1) if key[0] == "required" else number
        for key, number in (+expected).items()
    }
    late = [row for row in figures["facts"] if row["about"] == "late"]
    assert people == Counter(
        {
            (row["id"], row["course_name"], row["full_name"], row["since"]): row["number"]
            for row in late
        }
    )
    drawn, printed = text(parse(demo[0] / "litmos.html")), demo[1]
    for said in (*summary(figures), *map(" ".join, tiles(figures))):
        assert said in drawn
        assert said in printed
    assert re.search(r"as of \d+ \w+ \d{4} · last sync \d+ \w+ \d{4}, \d\d:\d\d UTC", drawn)


def facts_of(row: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield what counts an enrolment: about what, of which part, and its id."""
    if is_undated(row):
        yield from (("undated", "all", ""), ("undated", "courses", row["course_id"]))
        yield "undated", "managers", row["manager_id"] or ""
    if is_required(row):
        yield "required", "courses", row["course_id"]
    if not row["is_assigned"]:
        yield "unassigned", "all", row["status"]
    if not row["is_compliant"]:
        days = row["days_overdue"] or row["days_lapsed"]
        age = next((str(most) for most in (30, 90, 180) if days <= most), "more")
        yield "age", row["status"], age
    then = row["as_of"] - timedelta(days=30)
    lapsed = row["status"] == "lapsed"
    until = row["compliant_till_on" if lapsed else "due_on"]
    was_done = not lapsed and row["completed_on"] and row["completed_on"] <= then
    if row["assigned_on"] <= then and until and until < then and not was_done:
        yield "was_late", "all", ""


def is_open(row: dict[str, Any]) -> bool:
    return row["status"] in {"not_started", "in_progress"}


def is_undated(row: dict[str, Any]) -> bool:
    return is_open(row) and row["due_on"] is None


def is_required(row: dict[str, Any]) -> bool:
    return row["due_on"] is not None or row["is_recurring"]


# The page


def enrolments(
    overdue: int = 0, done: int = 0, not_started: int = 0, **more: Any
) -> dict[str, Any]:
    """Return a row of figures, of as many people, with whatever else it has."""
    whole = overdue + done + not_started
    numbers = dict.fromkeys(("expiring", "in_progress", "lapsed", "due_soon"), 0)
    return {
        **numbers,
        "people": whole, "people_behind": overdue, "assigned": whole, "completed": done,
        "overdue": overdue, "not_started": not_started, "percent_on_time": None,
        "percent_completed": percent(done, whole),
        "percent_compliant": percent(whole - overdue, whole),
        **more,
    }


def draw(folder: Path, **rows: Rows) -> Element:
    """Draw a page of some rows, and of nothing else."""
    names = (*GROUPINGS, "changes", "facts", "recertifications")
    overall = enrolments(1, 2, 3) | {"as_of": "2026-03-10", "expiring_days": 30}
    figures: dict[str, Rows] = {"overall": [overall], **{name: [] for name in names}, **rows}
    write_page(folder / "page.html", figures, "Here & there")
    return parse(folder / "page.html")


def course(key: str, *numbers: int) -> dict[str, Any]:
    names = {"course_id": key, "course_name": f"Course {key}", "course_code": None}
    return enrolments(*numbers, **names)


def fact(about: str, key: str, number: int, **more: str) -> dict[str, Any]:
    empty = dict.fromkeys(("course_name", "full_name", "since"), "")
    return {"about": about, "part": "courses", "id": key, **empty, "number": number} | more


def test_the_worst_are_ranked_by_count_and_by_share_and_what_is_never_late_apart(
    tmp_path: Path,
) -> None:
    rows = [course(str(late), late, 20 - late) for late in range(1, 10)]
    rows += [
        course("few", 9),
        course("half", 5, 5),
        course("optional", 0, 4, 6),
        course("idle", 0, 9),
    ]
    facts = [fact("required", row["course_id"], 1) for row in rows[:-2]]
    page = draw(tmp_path, courses=rows, facts=[*facts, fact("undated", "optional", 6)])
    [table] = [part for part in page.iter("section") if text(part).startswith("By course")]
    head, *lines = [[text(cell) for cell in row] for row in table.iter("tr")]
    assert head == [
        "",
        "",
        "completed",
        "compliant",
        "overdue",
        "open, no due date",
        "enrolments",
    ]
    assert [line[0].removeprefix("Course ") for line in lines] == [
        "Most late enrolments: 8 of 11 courses",
        *("9", "few", "8", "7", "6", "5", "half", "4"),
        "Largest share late: 8 of 10 courses with 10 enrolments or more",
        *("half", "9", "8", "7", "6", "5", "4", "3"),
        "Not required, so never late. Least completed: 1 of 1 courses with 10 enrolments or more",
        "optional",
    ]
    assert lines[1] == ["Course 9", "", "55.0 %", "55.0 %", "9", "0", "20"]
    assert lines[-1] == ["Course optional", "", "40.0 %", "100.0 %", "0", "6", "10"]
    assert "11 of 13 courses have a due date or recur, so they are required: Cou" in text(table)
    widths = [
        [(bar.get("class"), bar.get("style")) for bar in row.iter("i")]
        for row in table.iter("tr")
    ]
    assert widths[2] == [("completed", "width:55.000%"), ("overdue", "width:45.000%")]


@pytest.mark.parametrize("names", [False, True])
def test_each_manager_has_a_list_of_who_is_late_with_what(tmp_path: Path, names: bool) -> None:  # noqa: FBT001
    managers = [
        enrolments(late, 9, manager_id=str(late), manager_name="Ann", manager_path=path)
        for late, path in ((3, None), (7, "Bob"))
    ]
    late = [
        fact(
            "late",
            manager,
            number,
            course_name=f"Course {number}",
            full_name="Eve" * names,
            since=since,
        )
        for manager, number, since in (
            ("3", 3, "2026-02-01"),
            ("gone", 1, ""),
            *(("7", number, "2026-01-01") for number in range(1, 8)),
        )
    ]
    page = draw(tmp_path, managers=managers, facts=late)
    [calls] = [part for part in page.iter("div") if part.get("class") == "calls"]
    eve = " Eve (1 Jan 2026)" * names
    rest = (
        f" Course 2{eve} 2 since 1 Jan 2026 Course 1{eve} 1 since 1 Jan 2026"
        if names
        else " 3 more in 2 other courses"
    )
    listed = "".join(
        f" Course {number}{eve} {number} since 1 Jan 2026" for number in range(7, 2, -1)
    )
    assert [text(card) for card in calls] == [
        f"Ann (reports to Bob) 28 late · 7 of 16 people · 56.3 % compliant · 56.3 % completed{listed}{rest}",
        f"Ann 3 late · 3 of 12 people · 75.0 % compliant · 75.0 % completed Course 3{' Eve (1 Feb 2026)' * names} 3 since 1 Feb 2026",
        f"No manager known 1 late Course 1{' Eve' * names} 1",
    ]
    assert ("--names" in text(page)) != names


def test_the_page_says_what_lapses_what_changed_and_since_when(tmp_path: Path) -> None:
    lapses = {"2026-03-01": 3, "2026-12-01": 1, "2027-03-01": 2}
    page = draw(
        tmp_path,
        recertifications=[
            {"due_month": month, "course_name": f"Course {people}", "people": people}
            for month, people in lapses.items()
        ],
        changes=[{"event": "overdue", "in_7_days": 1, "in_30_days": 1234}],
        facts=[fact("age", "30", 5, part="overdue"), fact("age", "more", 6, part="lapsed")],
    )
    [months] = [part for part in page.iter("div") if part.get("class") == "columns"]
    assert [column.text for column in months.iter("b")] == [
        "3",
        *[None] * 8,
        "1",
        None,
        None,
        "2",
    ]
    drawn = text(page)
    for said in (
        "6 completions lapse",
        "Course 3 (3), Course 2 (2), Course 1 (1)",
        "overdue lapsed up to 30 days 5 0 more than 180 days 0 6",
        "Became overdue, and still is 1 1,234",
    ):
        assert said in drawn


def test_an_account_with_little_in_it_has_a_page_too(tmp_path: Path) -> None:
    nothing = enrolments() | {"as_of": "2026-03-10", "expiring_days": 30}
    drawn = text(draw(tmp_path, overall=[nothing]))
    for said in (
        "n/a compliant",
        "n/a completed",
        "Nobody is enrolled in anything.",
        "Nobody is late.",
        "No completion lapses",
        "Here & there",
    ):
        assert said in drawn


def test_names_are_no_markup(tmp_path: Path) -> None:
    odd = course("1", 1) | {"course_name": "<script>", "course_code": "<b>"}
    unnamed = enrolments(1, team_id="1", team_name=None, team_path=None)
    page = draw(tmp_path, courses=[odd, odd], teams=[unnamed])
    names = [cell.text for cell in page.iter("th")]
    assert {"<script> (<b>)", "(unnamed)"} <= set(names)
    assert not list(page.iter("script"))


def test_the_page_needs_nothing_from_elsewhere(demo: tuple[Path, str]) -> None:
    page = (demo[0] / "litmos.html").read_text("utf-8")
    assert not re.findall(r"https?://|src=|url\(|<script", page)
    assert "default-src 'none'" in page
    assert "@media screen and (max-width" in page, "a sheet of paper would look like a phone"


_MEASURE = """
<!doctype html><html><body style="margin:0">
<iframe id="page" width="{width}" height="6000" style="border:0" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
page.onload = () => {{
  const inner = page.contentDocument, style = page.contentWindow.getComputedStyle;
  const all = names => [...inner.querySelectorAll(names)];
  const box = element => element.getBoundingClientRect();
  const width = inner.documentElement.scrollWidth;
  document.getElementById("found").textContent = JSON.stringify({{
    width,
    outside: all("th, td, p, span, b").filter(
      element => box(element).right > width + 1 || box(element).left < -1).length,
    bars: all(".worst .bar").map(bar =>
      [...bar.children].reduce((sum, part) => sum + box(part).width, 0) / box(bar).width),
    narrowest: Math.min(...all(".worst .bar").map(bar => box(bar).width)),
    columns: all(".columns i").map(bar => box(bar).height),
    smallest: Math.min(...all("th, td, span, b, p").map(
      element => parseFloat(style(element).fontSize))),
  }});
}};
</script></body></html>
"""


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium here")
@pytest.mark.parametrize("width", [360, 1240])
def test_the_page_is_readable_on_a_phone_and_on_a_desk(
    demo: tuple[Path, str], tmp_path: Path, width: int
) -> None:
    file, page = tmp_path / "measure.html", demo[0] / "litmos.html"
    file.write_text(
        _MEASURE.format(width=width, page=html.escape(page.read_text("utf-8"))), "utf-8"
    )
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    profile = ("--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}")
    seen = run(
        str(BROWSER), *options, *profile, "--window-size=1300,1000", "--dump-dom", file.as_uri()
    )
    assert "CONSOLE" not in seen.stderr
    [measured] = re.findall(r'<pre id="found">(.*?)</pre>', seen.stdout, re.DOTALL)
    found = json.loads(html.unescape(measured))
    assert found["width"] <= width
    assert found["outside"] == 0
    assert found["smallest"] >= 10
    assert found["narrowest"] > 150
    assert found["bars"] == pytest.approx([1] * len(found["bars"]), abs=0.01)
    [columns] = [part for part in parse(page).iter("div") if part.get("class") == "columns"]
    months = [int(column.text or 0) for column in columns.iter("b")]
    scale = max(found["columns"]) / max(months)
    assert found["columns"] == pytest.approx([scale * month for month in months], abs=2.1)


# The primaries as somebody sees them who lacks a kind of cone: Machado and others, 2009.
_SIGHT = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "no green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "no blue": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
_TO_XYZ = ((0.4339, 0.3762, 0.1899), (0.2127, 0.7152, 0.0722), (0.0178, 0.1095, 0.8727))
"""Linear RGB to XYZ, in which white is (1, 1, 1)."""


@pytest.mark.parametrize("sight", _SIGHT)
def test_colour_blind_people_can_tell_the_colours_apart(sight: str) -> None:
    style = (ROOT / "demo" / "page.html").read_text("utf-8")
    names = re.findall(r"\n\.\w+ { background: #(\w{6}); }", style)
    colours = [_lab(colour, _SIGHT[sight]) for colour in names]
    assert len(colours) == 6, "one for each status"
    clearly_different = 20
    assert min(math.dist(*pair) for pair in combinations(colours, 2)) > clearly_different


def _lab(colour: str, sight: Matrix) -> tuple[float, float, float]:
    """Return a colour in CIELAB, where distances are what the eye sees of them."""
    shares = [part / 255 for part in bytes.fromhex(colour)]
    linear = [((part + 0.055) / 1.055) ** 2.4 for part in shares]
    x, y, z = (max(0.0, part) ** (1 / 3) for part in _times(_TO_XYZ, _times(sight, linear)))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _times(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(map(operator.mul, row, vector)) for row in matrix]


# A warehouse of one's own


def test_the_page_is_drawn_from_any_dbt_project(demo: tuple[Path, str], tmp_path: Path) -> None:
    project, page = tmp_path / "project", tmp_path / "page.html"
    shutil.copytree(PACKAGE, project / "dbt_packages" / "litmos")
    (project / "dbt_project.yml").write_text("name: mine\nprofile: mine\n")
    (project / "packages.yml").write_text("packages:\n- local: dbt_packages/litmos\n")
    file = os.path.relpath(demo[0] / "warehouse.duckdb", project)
    output = {"type": "duckdb", "path": file, "schema": "analytics"}
    profile = {"mine": {"target": "dev", "outputs": {"dev": output}}}
    (project / "profiles.yml").write_text(json.dumps(profile))
    where = ("--project-dir", project, "--profiles-dir", project, "--output", page)
    done = run(*REPORT, "--dbt", environment("dbt") / "dbt", *where)
    files = (page, demo[0] / "litmos.html")
    drawn, shown = (file.read_text("utf-8").rpartition('<p class="note">')[0] for file in files)
    assert drawn == shown
    assert str(page) in done.stdout


@pytest.mark.parametrize(
    ("dbt", "message"),
    [
        ("exit 1", "dbt run-operation failed"),
        ("exit 0", "returned no rows of the marts"),
        ('echo \'{"overall": [{}], "show": []}\'', "has another version of dbt_litmos than"),
        (None, "Cannot run"),
    ],
)
def test_a_failure_of_dbt_is_reported(tmp_path: Path, dbt: str | None, message: str) -> None:
    command = tmp_path / "dbt"
    if dbt:
        program(command, dbt)
    done = run(*REPORT, "--dbt", command, "--project-dir", tmp_path, status=1)
    assert message in done.stderr


def program(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(["#!/bin/sh", *lines]))
    file.chmod(0o755)
    return file


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_stops_what_it_started(
    tmp_path: Path, target: Path, number: signal.Signals
) -> None:
    command = [*DEMO, "--directory", tmp_path / "d", "--target", target, "--users", "20"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:  # noqa: S603
        assert process.stdout
        served = process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not is_served(served)


def test_a_demo_that_fails_says_so_and_stops_what_it_started(tmp_path: Path) -> None:
    target = program(tmp_path / "target", "echo the disk is full >&2", "exit 3")
    folder = tmp_path / "d"
    done = run(*DEMO, "--directory", folder, "--target", target, "--users", "20", status=1)
    assert "The sync failed" in done.stderr
    assert "the disk is full" in (folder / "logs" / "first.txt").read_text()
    assert not is_served(done.stdout)


def is_served(printed: str) -> bool:
    """Whether there is still a sandbox at the address that was printed."""
    [port] = re.findall(r"127\.0\.0\.1:(\d+)", printed)
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def refusal(folder: Path) -> str:
    """Run the demo in a folder with a target that is missing; return what it says."""
    options = ("--directory", folder, "--target", "missing", "--users", "5")
    return run(*DEMO, *options, status=1).stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert refusal(tmp_path) == f"{tmp_path} is not empty: choose another --directory\n"
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_missing_target_is_reported(tmp_path: Path) -> None:
    for _ in range(2):  # the folder of an earlier demo is used again
        assert refusal(tmp_path) == "Cannot run missing: No such file or directory\n"
