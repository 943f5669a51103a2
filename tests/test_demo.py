"""The demo: what it prints, what it loads, the page it draws, and that it cleans up."""

from __future__ import annotations

import html
import json
import math
import operator
import re
import shutil
import signal
import socket
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import duckdb
import pytest
from compliance import percent
from facts import check_facts, expected_facts, program, recording, text, text_of
from shared import once
from support import DEFAULT_STREAMS

from demo.page import GROUPINGS, summary, tiles, write_page
from demo.warehouse import Warehouse
from scripts.environment import ROOT, environment

if TYPE_CHECKING:
    from demo.marts import Rows

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DEMO = (sys.executable, "-m", "demo")
REPORT = (sys.executable, "-m", "demo.report")


def run(*command: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Where the demo has put its data, and what it printed."""
    return once(tmp_path_factory, "demo", run_demo)


def run_demo(folder: Path) -> tuple[Path, str]:
    dbt = recording(folder / "dbt", environment("dbt") / "dbt", folder / "said")
    tools = ("--target", target(), "--dbt", dbt)
    size = ("--users", "40", "--years", "0.3", "--pause", "4")
    options = ("--directory", folder / "it's here", *size, "--names")
    done = run(*DEMO, *options, *tools)
    assert done.stderr == ""
    return folder / "it's here", done.stdout


def target() -> Path:
    return environment("target-jsonl") / "target-jsonl"


@pytest.fixture(scope="module")
def warehouse(demo: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the warehouse: DuckDB locks the file against other processes."""
    folder = tmp_path_factory.mktemp("warehouse")
    return Path(shutil.copy(demo[0] / "warehouse.duckdb", folder))


def query(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(file, read_only=True) as connection:
        connection.execute("set search_path = 'analytics_litmos,analytics_litmos_staging'")
        return connection.execute(sql).fetchall()


# What it reads, loads and prints


def test_it_says_what_both_syncs_read(demo: tuple[Path, str], warehouse: Path) -> None:
    directory, printed = demo
    lines = [re.split("  +", line.strip()) for line in printed.replace(",", "").splitlines()]
    figures = {line[0]: [*map(int, line[1:])] for line in lines if line[1:] and line[-1].isdigit()}
    total = figures.pop("total")
    assert sorted(figures) == DEFAULT_STREAMS
    assert total == [*map(sum, zip(*figures.values(), strict=True))]
    for stream, (rows, _, rows_again, _, new, changed) in figures.items():
        [(loaded,)] = query(warehouse, f"select count(*) from litmos.{stream}")  # noqa: S608
        assert loaded == rows + rows_again
        assert new + changed <= rows_again
    _, _, again, _, new, changed = total
    assert new + changed > 0, "nothing changed between the syncs"
    said = " ".join(printed.split())
    assert f"The second sync read {again:,} rows: {new:,} are new, {changed:,} have" in said
    paths = [line.partition(": ")[2].strip() for line in printed.splitlines()[-5:]]
    names = ("first", "second", "warehouse.duckdb", "litmos.html", "")
    assert paths == [str(directory / name) for name in names]


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


def test_the_page_shows_what_the_marts_say(
    demo: tuple[Path, str], warehouse: Path, tmp_path: Path
) -> None:
    expected = expected_facts(lambda sql: query(warehouse, sql))
    figures = check_facts(demo[0].with_name("said"), expected, tmp_path)
    drawn = text_of(demo[0] / "litmos.html")
    for said in (*summary(figures), *map(" ".join, tiles(figures))):
        assert said in drawn
        assert said in demo[1]
    assert re.search(r"as of \d+ \w+ \d{4} · last sync \d+ \w+ \d{4}, \d\d:\d\d UTC", drawn)


# The page


def enrolments(overdue: int = 0, done: int = 0, started: int = 0, **more: Any) -> Any:
    """Return a row of figures, of as many people, with whatever else it has."""
    whole = overdue + done + started
    numbers = dict.fromkeys(("expiring", "not_started", "lapsed", "due_soon"), 0)
    numbers |= {"people": whole, "people_behind": overdue, "assigned": whole}
    numbers |= {"completed": done, "overdue": overdue, "in_progress": started}
    shares = {"completed": done, "compliant": whole - overdue, "on_time": 0}
    percents = {f"percent_{name}": percent(part, whole) for name, part in shares.items()}
    return {**numbers, **percents, "as_of": "2026-03-10", "expiring_days": 30, **more}


def draw(folder: Path, **rows: Rows) -> ET.Element:
    """Draw a page of some rows, and of nothing else."""
    figures: dict[str, Rows] = {"overall": [enrolments(1, 2, 3)]}
    for name in (*GROUPINGS, "changes", "facts", "recertifications"):
        figures[name] = []
    write_page(folder / "page.html", figures | rows, "Here & there")
    return ET.parse(folder / "page.html").getroot()  # noqa: S314 - our own


def inside(page: ET.Element, name: str) -> ET.Element:
    """Return the element of a class."""
    found = page.find(f".//div[@class='{name}']")
    assert found is not None
    return found


def course(key: str, *numbers: int, name: str = "") -> dict[str, Any]:
    row: dict[str, Any] = enrolments(*numbers, course_id=key, course_name=name or key)
    return row | {"course_code": f"<{key}>"}


def fact(about: str, key: str, number: int, **more: str) -> dict[str, Any]:
    empty = dict.fromkeys(("course_name", "full_name", "since"), "")
    return {"about": about, "part": "courses", "id": key, **empty, "number": number} | more


def test_the_worst_are_ranked_by_count_and_by_share(tmp_path: Path) -> None:
    courses = [course(str(number), number, 20 - number) for number in range(1, 10)]
    courses += [course("few", 9), course("half", 5, 5)]
    facts = [fact("required", row["course_id"], 1) for row in courses]
    facts += [fact("undated", "optional", 6)]
    courses += [course("optional", 0, 4, 6), course("small", 0, 9)]
    page = draw(tmp_path, courses=courses, facts=facts)
    table = inside(page, "worst")
    rows = [[text(cell) for cell in row] for row in table.iter("tr")]
    shares, numbers = ["completed", "compliant"], ["overdue", "open, no due date", "enrolments"]
    assert rows[0] == ["", "", *shares, *numbers]
    assert [row[0] for row in rows[1:]] == [
        "Most late enrolments: 8 of 11 courses that have any",
        *("9", "few", "8", "7", "6", "5", "half", "4"),
        "Largest share late: 8 of 10 courses with 10 enrolments or more",
        *("half", "9", "8", "7", "6", "5", "4", "3"),
        "Not required, so never late. Least completed: 1 of 1 courses with 10 enrolments or more",
        "optional",
    ]
    assert rows[2] == ["9", "", "55.0 %", "55.0 %", "9", "0", "20"]
    assert rows[-1] == ["optional", "", "40.0 %", "100.0 %", "0", "6", "10"]
    assert "11 of 13 courses have a due date or recur, so they are required: 1," in text(table)
    bar = [(part.get("class"), part.get("style")) for part in table.iter("i")][:2]
    assert bar == [("completed", "width:55.000%"), ("overdue", "width:45.000%")]


def test_each_manager_has_a_list_of_who_is_late_with_what(tmp_path: Path) -> None:
    def cards(name: str) -> list[str]:
        facts = [
            fact("late", manager, 9 - place, course_name=f"C{place}", full_name=name, since=day)
            for manager, courses, day in (("1", 1, ""), ("2", 6, "2026-01-01"), ("gone", 2, ""))
            for place in range(courses)
        ]
        anns = [
            enrolments(7, 9, manager_id=key, manager_name="Ann", manager_path=path)
            for key, path in (("1", None), ("2", "Bob"))
        ]
        page = draw(tmp_path, managers=anns, facts=facts)
        assert ("--names" in text(page)) == (not name)
        return [text(card) for card in inside(page, "calls")]

    of_ann = "7 of 16 people · 56.3 % compliant · 56.3 % completed"
    courses = " ".join(f"C{place} {9 - place} since 1 Jan 2026" for place in range(5))
    assert cards("") == [
        f"Ann (reports to Bob) 39 late · {of_ann} {courses} 4 more in 1 other course",
        "No manager known 17 late C0 9 C1 8",
        f"Ann 9 late · {of_ann} C0 9",
    ]
    assert cards("Eve")[0].endswith("C5 Eve (1 Jan 2026) 4 since 1 Jan 2026")


def test_the_page_says_what_lapses_what_changed_and_since_when(tmp_path: Path) -> None:
    months = (("2026-03-01", 3), ("2026-12-01", 1), ("2027-03-01", 2))
    lapses = [{"due_month": month, "course_name": "C", "people": of} for month, of in months]
    page = draw(
        tmp_path,
        recertifications=lapses,
        changes=[{"event": "overdue", "in_7_days": 1, "in_30_days": 1234}],
        facts=[fact("age", "30", 5, part="overdue"), fact("age", "more", 6, part="lapsed")],
    )
    columns = [(text(part[0]), part[1].get("style")) for part in inside(page, "columns")]
    one, two, three = ("1", "height:43.3px"), ("2", "height:86.7px"), ("3", "height:130.0px")
    assert [columns[0], columns[9], columns[12]] == [three, one, two]
    assert set(columns) == {one, two, three, ("", "height:0.0px")}
    drawn = text(page)
    assert "6 completions lapse in the rest of this month and the next twelve" in drawn
    assert "overdue lapsed up to 30 days 5 0 more than 180 days 0 6" in drawn
    assert "Became overdue, and still is 1 1,234" in drawn


def test_an_account_with_little_in_it_has_a_page_too(tmp_path: Path) -> None:
    drawn = text(draw(tmp_path, overall=[enrolments()]))
    assert "n/a compliant n/a completed Nobody is enrolled in anything." in drawn
    assert "Nobody is late." in drawn
    assert "No completion lapses within the next twelve months." in drawn
    assert "Here & there" in drawn


def test_names_are_no_markup(tmp_path: Path) -> None:
    twins = [course(key, 1, name="<script>") for key in "ab"]
    unnamed = enrolments(1, team_id="1", team_name=None, team_path=None)
    page = draw(tmp_path, courses=twins, teams=[unnamed])
    names = [cell.text for cell in page.iter("th") if not cell.get("colspan")]
    assert names == ["<script> (<a>)", "<script> (<b>)", "(unnamed)"]


def test_the_page_needs_nothing_from_elsewhere(demo: tuple[Path, str]) -> None:
    page = (demo[0] / "litmos.html").read_text("utf-8")
    assert not re.findall(r"https?://|src=|url\(|<script", page)
    assert "default-src 'none'" in page
    assert "@media screen and (max-width" in page, "a sheet of paper would look like a phone"


_MEASURE = """
<iframe id="page" width="{width}" height="6000" style="border:0" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
page.onload = () => {{
  const all = names => [...page.contentDocument.querySelectorAll(names)];
  const box = element => element.getBoundingClientRect();
  const size = element => parseFloat(page.contentWindow.getComputedStyle(element).fontSize);
  found.textContent = JSON.stringify({{
    right: Math.max(...all("*").map(element => box(element).right)),
    narrowest: Math.min(...all(".worst .bar").map(bar => box(bar).width)),
    smallest: Math.min(...all("th, td, span, b, p").map(size)),
  }});
}};
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium here")
@pytest.mark.parametrize("width", [360, 1240])
def test_the_page_fits_a_phone_and_a_desk(
    demo: tuple[Path, str], tmp_path: Path, width: int
) -> None:
    file, page = tmp_path / "measure.html", (demo[0] / "litmos.html").read_text("utf-8")
    file.write_text(_MEASURE.format(width=width, page=html.escape(page)), "utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    seen = run(str(BROWSER), *options, profile, "--dump-dom", file.as_uri())
    assert "CONSOLE" not in seen.stderr
    [measured] = re.findall(r'<pre id="found">(.*?)</pre>', seen.stdout)
    found = json.loads(measured)
    assert found["right"] <= width + 1
    assert found["smallest"] >= 10
    assert found["narrowest"] > 150


# The primaries as somebody sees them who lacks a kind of cone: Machado and others, 2009.
_SIGHT = {
    "no red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "no green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "no blue": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}


@pytest.mark.parametrize("sight", _SIGHT)
def test_colour_blind_people_can_tell_the_colours_apart(sight: str) -> None:
    style = (ROOT / "demo" / "page.html").read_text("utf-8")
    colours = []
    for colour in re.findall(r"\n\.\w+ { background: #(\w{6}); }", style):
        light = [(part / 255) ** 2.2 for part in bytes.fromhex(colour)]
        seen = [sum(map(operator.mul, row, light)) for row in _SIGHT[sight]]
        colours.append([max(0, part) ** (1 / 2.2) for part in seen])
    assert len(colours) == 6, "one for each status"
    assert min(math.dist(*pair) for pair in combinations(colours, 2)) > 0.2


# A warehouse of one's own


@pytest.mark.parametrize(
    ("dbt", "message"),
    [
        ("exit 1", "dbt run-operation failed"),
        ("exit 0", "returned no rows of the marts"),
        ("echo '{\"overall\": [{}]}'", "has another version of dbt_litmos than"),
        (None, "Cannot run"),
    ],
)
def test_a_failure_of_dbt_is_reported(tmp_path: Path, dbt: str | None, message: str) -> None:
    command = tmp_path / "dbt"
    if dbt:
        program(command, dbt)
    done = run(*REPORT, "--dbt", command, "--project-dir", tmp_path, status=1)
    assert message in done.stderr


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_stops_what_it_started(tmp_path: Path, number: int) -> None:
    command: list[str | Path] = [*DEMO, "--directory", tmp_path / "d", "--users", "20"]
    command += ["--target", target()]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:  # noqa: S603
        assert process.stdout
        served = process.stdout.readline()
        process.send_signal(number)
        said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert not is_served(served)


def test_a_demo_that_fails_says_so_and_stops_what_it_started(tmp_path: Path) -> None:
    broken = program(tmp_path / "target", "echo the disk is full >&2", "exit 3")
    options = ("--directory", tmp_path / "d", "--target", broken, "--users", "20")
    done = run(*DEMO, *options, status=1)
    assert "The sync failed" in done.stderr
    assert "the disk is full" in (tmp_path / "d" / "logs" / "first.txt").read_text()
    assert not is_served(done.stdout)


def is_served(printed: str) -> bool:
    """Whether there is still a sandbox at the address that was printed."""
    [port] = re.findall(r"127\.0\.0\.1:(\d+)", printed)
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def test_a_refusal_is_plain_and_leaves_a_folder_of_somebody_else_alone(tmp_path: Path) -> None:
    command = (*DEMO, "--target", "missing", "--users", "5", "--directory")
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    refused = run(*command, tmp_path, status=1)
    assert refused.stderr == f"{tmp_path} is not empty: choose another --directory\n"
    assert thesis.read_text() == "years of work"
    for _ in range(2):  # the folder of an earlier demo is used again
        refused = run(*command, tmp_path / "new", status=1)
        assert refused.stderr == "Cannot run missing: No such file or directory\n"
