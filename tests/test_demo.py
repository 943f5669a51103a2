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
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compliance import Result, Truth, figures
from shared import once
from support import DEFAULT_STREAMS, ENDPOINT, config_for

from demo.marts import PACKAGE
from demo.page import (
    GROUPINGS,
    SHOWN,
    STATUSES,
    how_many,
    worst_first,
    write_page,
)
from demo.pipeline import catalog, sync
from demo.warehouse import Warehouse
from scripts.environment import ROOT, environment
from tap_litmos.sandbox import Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from demo.marts import Rows

    Matrix = Sequence[Sequence[float]]

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE = 360
AS_OF = {"as_of": "2026-03-10", "expiring_days": 30}
NUMBERS = ("overdue", "lapsed", "assigned")
DEMO = (sys.executable, "-m", "demo")


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
    tools = ("--dbt", environment("dbt") / "dbt")
    done = subprocess.run(  # noqa: S603
        [*DEMO, *options, *tools], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return directory, done.stdout


def test_each_stream_has_its_rows_and_requests_of_both_syncs(demo: tuple[Path, str]) -> None:
    directory, printed = demo
    table = printed.partition("What was read")[2].partition(" compliant:")[0]
    lines = [line.replace(",", "").split() for line in table.splitlines()]
    figures = {
        line[0]: tuple(map(int, line[1:])) for line in lines if len(line) == 7 and line[1:]
    }
    total = figures.pop("total")
    assert sorted(figures) == DEFAULT_STREAMS
    assert total == tuple(map(sum, zip(*figures.values(), strict=True)))
    for stream, (rows, _, rows_again, requests_again, new, changed) in figures.items():
        assert rows == len(_lines(directory / "first" / f"{stream}.jsonl"))
        assert rows_again == len(_lines(directory / "second" / f"{stream}.jsonl"))
        assert requests_again == 1
        assert new + changed <= rows_again
    assert total[4] + total[5] > 0, "time has not gone on between the syncs"
    assert total[3] == len(DEFAULT_STREAMS)


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []


def test_it_says_where_the_data_lies(demo: tuple[Path, str]) -> None:
    directory, printed = demo
    said = [line.partition(": ")[2].strip() for line in printed.splitlines()[-5:]]
    assert said == [
        str(directory / name) for name in ("first", "second", "warehouse.duckdb", "litmos.html")
    ] + [str(directory)]
    assert all(Path(each).exists() for each in said)


@pytest.fixture(scope="module")
def mixed_org() -> Organisation:
    org = Organisation(users=60, years=0.25, live=False)
    for stream in ("users", "teams", "team_users", "course_results", "learning_path_results"):
        org.touch(stream, 4, Active=False)
    org.touch("learning_paths", 1, Active=False)
    return org


@pytest.fixture(scope="module")
def warehouse(
    mixed_org: Organisation, target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Warehouse, dict[str, tuple[int, int]]]]:
    """What two syncs have brought, with changes between them, and what these were."""
    directory = tmp_path_factory.mktemp("warehouse")
    with Sandbox(mixed_org) as box:
        config = config_for(box)
        first = sync("first", directory, config, target)
        mixed_org.touch("courses", 2, Description="new")
        mixed_org.touch("course_results", 3, Completed=True)
        mixed_org.touch(
            "teams", str(mixed_org.rows("teams")[0]["Id"]), Name="Renamed &amp; moved "
        )
        second = sync("second", directory, config, target)
    loaded = Warehouse(directory / "warehouse.duckdb", catalog())
    loaded.load([first.files, second.files])
    yield loaded, loaded.changes(first.files, second.files)
    loaded.close()


def test_the_database_holds_every_row_that_came(
    mixed_org: Organisation, warehouse: tuple[Warehouse, dict[str, tuple[int, int]]]
) -> None:
    loaded, _ = warehouse
    for stream in ("users", "courses", "teams", "course_results", "learning_path_results"):
        keys = ", ".join(f'"{name}"' for name in ENDPOINT[stream].primary_key)
        [found] = loaded.query(
            f"select count(distinct ({keys})) as keys, count(*) as rows, "  # noqa: S608
            f"count(distinct _sdc_sequence) as syncs from litmos.{stream}"
        )
        assert found["keys"] == len(mixed_org.rows(stream))
        assert found["rows"] >= found["keys"]
        assert found["syncs"] == 2


def test_changes_between_the_syncs_are_counted(
    warehouse: tuple[Warehouse, dict[str, tuple[int, int]]],
) -> None:
    _, changes = warehouse
    assert changes["courses"] == (0, 2)
    assert changes["course_results"] == (0, 3)
    assert changes["teams"] == (0, 1)
    assert sum(new + changed for new, changed in changes.values()) == 6


# The figures


@pytest.fixture(scope="module")
def truth(demo: tuple[Path, str]) -> Truth:
    """What the rows say that the demo has loaded, read again from its files."""
    rows = {
        stream: [
            {**dict.fromkeys(each.name for each in ENDPOINT[stream].fields), **row}
            for row in last_of_each_key(demo[0], stream)
        ]
        for stream in DEFAULT_STREAMS
    }
    [day] = re.findall(r"<p>as of (.*?)</p>", (demo[0] / "litmos.html").read_text("utf-8"))
    return Truth(rows, datetime.strptime(day, "%d %B %Y").date())  # noqa: DTZ007


def last_of_each_key(directory: Path, stream: str) -> list[dict[str, Any]]:
    endpoint, rows = ENDPOINT[stream], {}
    dates = [each.name for each in endpoint.fields if each.kind == "datetime"]
    for sync_of in ("first", "second"):
        for line in _lines(directory / sync_of / f"{stream}.jsonl"):
            row = json.loads(line)
            row |= {name: datetime.fromisoformat(row[name]) for name in dates if row.get(name)}
            rows[tuple(row[name] for name in endpoint.primary_key)] = row
    return list(rows.values())


def _read(name: Any) -> str:
    return html.unescape(str(name)).strip()


def test_the_page_says_what_the_rows_say(demo: tuple[Path, str], truth: Truth) -> None:
    text = text_of((demo[0] / "litmos.html").read_text("utf-8"))
    overall = figures(truth.counting())
    late = overall["overdue"] + overall["lapsed"]
    for each in (
        f"{overall['percent_compliant']:.1f} % compliant",
        f"{overall['assigned'] - late:,} of {overall['assigned']:,} assigned courses",
        f"Completed {overall['completed'] - overall['expiring']:,}",
        f"Lapses within 30 days {overall['expiring']:,}",
        f"In progress {overall['in_progress']:,}",
        f"Not started {overall['not_started']:,}",
        f"Lapsed {overall['lapsed']:,}",
        f"Overdue {overall['overdue']:,}",
        f"{overall['people'] - overall['people_behind']:,} of {overall['people']:,} people",
        f"{overall['overdue']:,} courses overdue",
        f"{overall['lapsed']:,} certifications lapsed",
        f"{overall['due_soon']:,} more fall due",
        f"{overall['expiring']:,} more lapse",
        f"{overall['percent_on_time']:.1f} % of completions",
    ):
        assert each in text, each
    assert overall["lapsed"] > 0
    assert overall["overdue"] > 0


def test_the_tables_of_the_page_say_what_the_rows_say(
    demo: tuple[Path, str], truth: Truth
) -> None:
    page = (demo[0] / "litmos.html").read_text("utf-8")
    members, line = truth.of_teams(), truth.above("users", "ManagerId")
    named = {
        stream: {row["Id"]: _read(row[name]) for row in truth.rows[stream]}
        for stream, name in (
            ("courses", "Name"),
            ("teams", "Name"),
            ("users", "FullName"),
            ("learning_paths", "Name"),
        )
    }
    for title, stream, results, keys in (
        ("By course", "courses", truth.results, lambda each: [each.of]),
        (
            "By team",
            "teams",
            truth.results,
            lambda each: [team for team, people in members.items() if each.user in people],
        ),
        ("By manager", "users", truth.results, lambda each: line.get(each.user, [])[:1]),
        ("By learning path", "learning_paths", truth.paths, lambda each: [each.of]),
    ):
        groups: dict[str, list[Any]] = defaultdict(list)
        for each in results:
            for key in keys(each) if each.counts else ():
                groups[key].append(each)
        told_of = [(named[stream][key], figures(group)) for key, group in groups.items()]
        expected = [
            (name, f"{found['percent_compliant']:.1f} %", *(f"{found[of]:,}" for of in NUMBERS))
            for name, found in told_of
        ]
        shown, of = rows_below(page, title)
        assert of == len(expected)
        assert len(shown) == min(of, SHOWN)
        # A name that is not the only one is followed by what tells it apart.
        known = {name for name, _ in told_of}
        plain = [(_without_addition(name, known), *numbers) for name, *numbers in shown]
        assert Counter(plain) <= Counter(expected)
        late = sorted(
            (found["overdue"] + found["lapsed"] for _, found in told_of), reverse=True
        )
        assert [number(row[2]) + number(row[3]) for row in shown] == late[: len(shown)]


def _without_addition(name: str, known: set[str]) -> str:
    return next((each for each in known if name.startswith(f"{each} (")), name)


def rows_below(page: str, title: str) -> tuple[list[list[str]], int]:
    """Return the rows of the table below a heading, and of how many it says they are."""
    part = page.partition(f"<h3>{title}")[2].partition("</section>")[0]
    body = part.partition("<tbody>")[2]
    rows = [
        [
            text_of(cell)
            for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)
            if "<div" not in cell
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", body)
    ]
    [of] = re.findall(r"<small>(?:all|the worst \d+ of) (\d+)</small>", part)
    return rows, int(of)


def text_of(page: str) -> str:
    """Return the text of a page, without its style."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_the_page_says_what_lapses_and_what_has_changed(
    demo: tuple[Path, str], truth: Truth
) -> None:
    page = (demo[0] / "litmos.html").read_text("utf-8")
    month = truth.today.replace(day=1)
    expected = []
    for _ in range(13):
        following = (month + timedelta(days=32)).replace(day=1)
        expected.append(
            sum(
                each.lapses is not None
                and each.completed is not None
                and max(month, truth.today) <= each.lapses < following
                for each in truth.counting()
            )
        )
        month = following
    assert months_on(page) == expected
    assert f"{sum(expected):,} completions lapse" in page
    names = {row["Id"]: _read(row["Name"]) for row in truth.rows["courses"]}
    courses = Counter(
        names[each.of] for each in truth.counting() if _lapses_within(each, month)
    )
    most = sorted(courses.items(), key=lambda each: (-each[1], each[0]))
    assert ", ".join(f"{name} ({number:,})" for name, number in most[:5]) in text_of(page)
    assert (f", and {len(most) - 5} more" in page) == (len(most) > 5)

    def count(happened: Callable[[Result], date | None], days: int) -> int:
        first = truth.today - timedelta(days=days - 1)
        found = [happened(each) for each in truth.counting()]
        return sum(day is not None and first <= day <= truth.today for day in found)

    next_day = timedelta(days=1)
    changes = re.findall(r"<tr><th>([^<]*)</th><td>([\d,]+)</td><td>([\d,]+)</td></tr>", page)
    told = {what: (number(week), number(month)) for what, week, month in changes}
    assert told == {
        what: (count(happened, 7), count(happened, 30))
        for what, happened in (
            ("Newly assigned", lambda each: each.assigned),
            ("Completed", lambda each: each.completed),
            (
                "Became overdue, and still is",
                lambda each: each.due + next_day if each.status == "overdue" else None,
            ),
            (
                "Lapsed, and not renewed",
                lambda each: each.lapses + next_day if each.status == "lapsed" else None,
            ),
        )
    }


def _lapses_within(result: Result, end: date) -> bool:
    """Whether a completion that counts today lapses before a day."""
    well = result.status in {"completed", "expiring"}
    return well and result.lapses is not None and result.lapses < end


def months_on(page: str) -> list[int]:
    """Return what is due in each month."""
    columns = page.partition('<div class="columns">')[2].partition("</section>")[0]
    return [int(each or 0) for each in re.findall(r"<div><b>(\d*)</b>", columns)]


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_terminal_says_what_the_page_says(demo: tuple[Path, str]) -> None:
    directory, printed = demo
    page = (directory / "litmos.html").read_text("utf-8")
    said = " ".join(printed.split())
    overall = text_of(page.partition('<section class="hero">')[2].partition("<div")[0])
    assert overall.replace(" compliant ", " compliant: ", 1) in said
    tiles_of = page.partition('<div class="tiles">')[2].partition("<h2>")[0]
    for tile in re.findall(r"<div>(.*?)</div>", tiles_of):
        assert text_of(tile) in said
    for title in ("By course", "By team"):
        shown, of = rows_below(page, title)
        assert f"{title.lower()}? ({how_many(range(of))})" in said
        for row in shown:
            assert " ".join(" ".join(row).split()) in said
    for row in re.findall(r"<tr>(.*?)</tr>", page.partition("<h3>What changed")[2]):
        if "<th>" in row:
            assert text_of(row) in said
    lapsing = printed.partition("What lapses next?")[2].partition("What changed?")[0]
    said_of_months = re.findall(r"[A-Z][a-z]{2} \d{4} +([\d,]+)", lapsing)
    assert list(map(number, said_of_months)) == months_on(page)


# The page


def test_the_page_needs_nothing_from_elsewhere(demo: tuple[Path, str]) -> None:
    page = (demo[0] / "litmos.html").read_text("utf-8")
    assert not re.findall(r"https?://|src=|url\(", page)
    assert "default-src 'none'" in page
    assert "<script" not in page


_MEASURE = """
<!doctype html><html><body style="margin:0">
<iframe id="page" width="{width}" height="6000" style="border:0" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
page.onload = () => {{
  const inner = page.contentDocument, found = {{outside: [], flat: []}};
  found.width = inner.documentElement.scrollWidth;
  found.loaded = page.contentWindow.performance.getEntriesByType("resource").length;
  const box = each => each.getBoundingClientRect();
  for (const each of inner.querySelectorAll("th, td, p, span, b"))
    if (box(each).right > found.width + 1 || box(each).left < -1)
      found.outside.push(each.textContent);
  found.bars = [...inner.querySelectorAll(".worst .bar")].map(bar =>
    [...bar.children].map(part => [part.className, box(part).width / box(bar).width]));
  found.columns = [...inner.querySelectorAll(".columns i")].map(bar => box(bar).height);
  found.smallest = Math.min(...[...inner.querySelectorAll("th, td, span, b, p")].map(each =>
    parseFloat(page.contentWindow.getComputedStyle(each).fontSize)));
  document.getElementById("found").textContent = JSON.stringify(found);
}};
</script></body></html>
"""


def _browse(*options: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER
    command = (BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    return subprocess.run(  # noqa: S603
        [*command, "--enable-logging=stderr", *options],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium here")
@pytest.mark.parametrize("width", [PHONE, 1240])
def test_the_page_is_readable_on_a_phone_and_on_a_desk(
    demo: tuple[Path, str], tmp_path: Path, width: int
) -> None:
    page = (demo[0] / "litmos.html").read_text("utf-8")
    file = tmp_path / "measure.html"
    file.write_text(_MEASURE.format(width=width, page=html.escape(page)), "utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    seen = _browse(profile, "--window-size=1300,1000", "--dump-dom", file.as_uri())
    assert "CONSOLE" not in seen.stderr
    [measured] = re.findall(r'<pre id="found">(.*?)</pre>', seen.stdout, re.DOTALL)
    found = json.loads(html.unescape(measured))
    assert found["width"] <= width
    assert found["loaded"] == 0
    assert found["outside"] == []
    assert found["smallest"] >= 10
    if width > PHONE:
        assert [dict(bar) for bar in found["bars"]] == list(bars_for(page))
    months, heights = months_on(page), found["columns"]
    assert heights == [
        pytest.approx(max(heights) * number / max(months), abs=2.1) for number in months
    ]


def bars_for(page: str) -> Iterator[dict[str, Any]]:
    """Yield how wide the parts of each bar should be by the numbers beside it."""
    for title, *_ in GROUPINGS.values():
        rows, _ = rows_below(page, title)
        numbers = [(number(row[2]), number(row[3])) for row in rows]
        most = max(map(sum, numbers))
        for late in numbers:
            named = zip(("overdue", "lapsed"), late, strict=True)
            yield {name: pytest.approx(each / most, abs=0.02) for name, each in named if each}


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium here")
def test_the_page_has_something_to_see(demo: tuple[Path, str], tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    _browse(
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1240,1900",
        f"--screenshot={picture}",
        (demo[0] / "litmos.html").as_uri(),
    )
    blank = 20_000
    assert picture.stat().st_size > 3 * blank


@pytest.mark.parametrize("recertifications", [[], [{"due_month": "2026-03-01", "people": 3}]])
def test_an_account_with_little_in_it_has_a_page_too(
    tmp_path: Path, recertifications: Rows
) -> None:
    overall = {**AS_OF, **figures([])}
    rows = [{"course_name": "First aid", **each} for each in recertifications]
    told: dict[str, Rows] = {name: [] for name in (*GROUPINGS, "changes")}
    told |= {"overall": [overall], "recertifications": rows}
    write_page(tmp_path / "page.html", told, "Here & there")
    text = text_of((tmp_path / "page.html").read_text("utf-8"))
    assert "n/a compliant Nothing is assigned to anybody." in text
    assert ("No completion lapses" in text) == (not rows)
    assert ("First aid (3)" in text) == bool(rows)
    assert "Here & there" in text


def test_equal_names_are_told_apart() -> None:
    row: dict[str, Any] = {"overdue": 1, "lapsed": 0, "percent_compliant": 50.0}
    rows: Rows = [
        {"manager_name": "Ann", "manager_path": "Bob", **row},
        {"manager_name": "Ann", "manager_path": None, **row, "lapsed": 1},
        {"manager_name": "Eve", "manager_path": "Bob", **row, "percent_compliant": 49.0},
    ]
    assert [name for name, _ in worst_first("managers", rows)] == [
        "Ann",
        "Eve",
        "Ann (reports to Bob)",
    ]


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
    colours = [
        _lab(colour, _SIGHT[sight])
        for status in STATUSES
        for colour in re.findall(rf"\.{status} {{ background: #(\w+);", style)
    ]
    assert len(colours) == len(STATUSES)
    clearly_different = 20
    assert min(math.dist(*pair) for pair in combinations(colours, 2)) > clearly_different


def _lab(colour: str, sight: Matrix) -> tuple[float, float, float]:
    """Return a colour in CIELAB, where distances are what the eye sees of them."""
    shares = [each / 255 for each in bytes.fromhex(colour)]
    linear = [((each + 0.055) / 1.055) ** 2.4 for each in shares]
    x, y, z = (max(0.0, each) ** (1 / 3) for each in _times(_TO_XYZ, _times(sight, linear)))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _times(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(map(operator.mul, row, vector)) for row in matrix]


def test_names_are_no_markup(tmp_path: Path) -> None:
    row = figures([Result("u", "c", "overdue", True, None, None, None, None, None)])  # noqa: FBT003
    told: dict[str, Rows] = {
        "overall": [{**AS_OF, **row}],
        "courses": [{"course_name": "<script>", "course_code": "<b>", **row}] * 2,
        "teams": [{"team_name": None, "team_path": None, **row}],
        **{name: [] for name in ("managers", "paths", "recertifications", "changes")},
    }
    write_page(tmp_path / "page.html", told, "")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page
    assert "<b>)" not in page
    assert "<th>&lt;script&gt; (&lt;b&gt;)</th>" in page
    assert "<th>(unnamed)</th>" in page


# A warehouse of one's own


def test_the_page_is_drawn_from_any_dbt_project(demo: tuple[Path, str], tmp_path: Path) -> None:
    project, page = tmp_path / "project", tmp_path / "page.html"
    shutil.copytree(PACKAGE, project / "dbt_packages" / "litmos")
    (project / "dbt_project.yml").write_text("name: mine\nprofile: mine\n")
    (project / "packages.yml").write_text("packages:\n- local: dbt_packages/litmos\n")
    output = {
        "type": "duckdb",
        "path": os.path.relpath(demo[0] / "warehouse.duckdb", project),
        "schema": "analytics",
    }
    profile = {"mine": {"target": "dev", "outputs": {"dev": output}}}
    (project / "profiles.yml").write_text(json.dumps(profile))
    done = subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "demo.report", "--dbt", environment("dbt") / "dbt"),
            *("--project-dir", project, "--profiles-dir", project, "--output", page),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    drawn, shown = (
        each.read_text("utf-8").rpartition('<p class="note">')[0]
        for each in (page, demo[0] / "litmos.html")
    )
    assert drawn == shown
    assert str(page) in done.stdout


@pytest.mark.parametrize(
    ("dbt", "message"),
    [
        ("exit 1", "dbt run-operation failed"),
        ("exit 0", "told nothing of the marts"),
        ("echo '{\"overall\": [{}]}'", "has another version of dbt_litmos than this checkout"),
        (None, "Cannot run"),
    ],
)
def test_a_dbt_that_fails_is_told_of_in_a_line(
    tmp_path: Path, dbt: str | None, message: str
) -> None:
    command = tmp_path / "dbt"
    if dbt:
        command.write_text(f"#!/bin/sh\n{dbt}\n")
        command.chmod(0o755)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "demo.report", "--dbt", command, "--project-dir", tmp_path],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert message in done.stderr


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_stops_what_it_started(
    tmp_path: Path, target: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(  # noqa: S603
        [*DEMO, "--directory", tmp_path / "d", "--target", target, "--users", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        served = process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not _answers(served)


def test_a_demo_that_fails_says_so_and_stops_what_it_started(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
    target.chmod(0o755)
    done = subprocess.run(  # noqa: S603
        [*DEMO, "--directory", tmp_path / "d", "--target", target, "--users", "20"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "The sync has failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "the disk is full" in (tmp_path / "d" / "logs" / "first.txt").read_text()
    assert not _answers(done.stdout)


def _answers(printed: str) -> bool:
    """Whether there is still a sandbox at the address that was printed."""
    [port] = re.findall(r"127\.0\.0\.1:(\d+)", printed)
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def refusal(folder: Path) -> str:
    """Run the demo in a folder with a target that is not there; return what it says."""
    done = subprocess.run(  # noqa: S603
        [*DEMO, "--directory", folder, "--target", "missing", "--users", "5"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Else a `--directory` that was chosen without care would be emptied."""
    (tmp_path / "thesis.txt").write_text("years of work")
    assert refusal(tmp_path) == f"{tmp_path} is not empty: let --directory name another\n"
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_target_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    for _ in range(2):  # a folder of an earlier demo is used again
        assert refusal(tmp_path) == "Cannot run missing: No such file or directory\n"
