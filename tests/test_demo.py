"""The demo: what it prints, what it loads, the page it draws, and that it cleans up."""

from __future__ import annotations

import html
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import DEFAULT_STREAMS, ENDPOINT, UNLIMITED

from demo.pipeline import catalog, sync
from demo.warehouse import Warehouse
from scripts.environment import environment
from tap_litmos.sandbox import Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE = 360
DEMO = (sys.executable, "-m", "demo")


@pytest.fixture(scope="module")
def target() -> Path:
    return environment("target-jsonl") / "target-jsonl"


@pytest.fixture(scope="module")
def demo(target: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where the demo has put its data, and what it printed."""
    directory = tmp_path_factory.mktemp("demo") / "it's here"
    options = ("--directory", directory, "--target", target, "--users", "150", "--pause", "4")
    done = subprocess.run([*DEMO, *options], check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return directory, done.stdout


def test_each_stream_has_its_rows_and_requests_of_both_syncs(demo: tuple[Path, str]) -> None:
    directory, printed = demo
    table = printed.partition("What was read")[2].partition("\nHow much")[0]
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
        str(directory / name) for name in ("first", "second", "litmos.duckdb", "litmos.html")
    ] + [str(directory)]
    assert all(Path(each).exists() for each in said)


@pytest.fixture(scope="module")
def org() -> Organisation:
    org = Organisation(users=120, years=0.5, live=False)
    for stream in ("users", "teams", "team_users", "course_results", "learning_path_results"):
        org.touch(stream, 4, Active=False)
    org.touch("learning_paths", 1, Active=False)
    return org


@pytest.fixture(scope="module")
def warehouse(
    org: Organisation, target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Warehouse, dict[str, tuple[int, int]]]]:
    """What two syncs have brought, with changes between them, and what these were."""
    directory = tmp_path_factory.mktemp("warehouse")
    with Sandbox(org) as box:
        config: dict[str, Any] = {**box.config(), "requests_per_minute": UNLIMITED}
        first = sync("first", directory, config, target)
        org.touch("courses", 2, Description="new")
        org.touch("course_results", 3, Completed=True)
        org.touch("teams", str(org.rows("teams")[0]["Id"]), Name="Renamed &amp; moved ")
        second = sync("second", directory, config, target)
    loaded = Warehouse(directory / "litmos.duckdb", catalog())
    loaded.load([first.files, second.files])
    yield loaded, loaded.changes(first.files, second.files)
    loaded.close()


def test_the_database_holds_each_row_once_as_it_is_now(
    org: Organisation, warehouse: tuple[Warehouse, dict[str, tuple[int, int]]]
) -> None:
    loaded, _ = warehouse
    for stream in ("users", "courses", "teams", "course_results", "learning_path_results"):
        endpoint = ENDPOINT[stream]
        names = [each.name for each in endpoint.fields if each.sent and not each.opt_in]
        columns = ", ".join(f'"{name}"' for name in names)
        found = loaded.query(f'select {columns} from "{stream}"')  # noqa: S608
        expected = [
            {
                name: value.replace(tzinfo=None) if isinstance(value, datetime) else value
                for name, value in row.items()
                if name in names
            }
            for row in org.rows(stream)
        ]
        assert _sorted(found, endpoint.primary_key) == _sorted(expected, endpoint.primary_key)


def _sorted(rows: list[dict[str, Any]], key: tuple[str, ...]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in key))


def test_changes_between_the_syncs_are_counted(
    warehouse: tuple[Warehouse, dict[str, tuple[int, int]]],
) -> None:
    _, changes = warehouse
    assert changes["courses"] == (0, 2)
    assert changes["course_results"] == (0, 3)
    assert changes["teams"] == (0, 1)
    assert sum(new + changed for new, changed in changes.values()) == 6


def test_the_answers_are_true(
    org: Organisation, warehouse: tuple[Warehouse, dict[str, tuple[int, int]]]
) -> None:
    answers = warehouse[0].answers()
    active = {row["Id"] for row in org.rows("users") if row["Active"]}
    results = [
        row for row in org.rows("course_results") if row["Active"] and row["UserId"] in active
    ]
    by_user = defaultdict(list)
    for row in results:
        by_user[row["UserId"]].append(row)
    teams = {row["Id"]: row["Name"] for row in org.rows("teams") if row["Active"]}
    of_team: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in org.rows("team_users"):
        if row["Active"] and row["TeamId"] in teams:
            of_team[row["TeamId"]] += by_user[row["Id"]]
    assert sorted((row["team"], row["assigned"], row["done"]) for row in answers["teams"]) == [
        (_read(teams[team]), len(rows), sum(row["Completed"] is True for row in rows))
        for team, rows in sorted(of_team.items(), key=lambda each: _read(teams[each[0]]))
        if rows
    ]

    compliance = {row["Id"] for row in org.rows("courses") if row["CompliantTillDays"]}
    people: dict[str, int] = defaultdict(int)
    for row in results:
        due = row["DueDate"]
        is_late = isinstance(due, datetime) and due < datetime.now(UTC)
        if row["Id"] in compliance and is_late and not row["Completed"]:
            people[_read(row["Name"])] += 1
    assert {row["course"]: row["people"] for row in answers["compliance"]} == people

    paths = {row["Id"] for row in org.rows("learning_paths") if row["Active"]}
    on_path: dict[str, list[float]] = defaultdict(list)
    for row in org.rows("learning_path_results"):
        if row["Active"] and row["UserId"] in active and row["Id"] in paths:
            on_path[_read(row["Name"])].append(float(str(row["PercentageComplete"])))
    assert {row["path"]: row["percent"] for row in answers["paths"]} == {
        path: pytest.approx(sum(percent) / len(percent), abs=0.51)
        for path, percent in on_path.items()
    }
    assert all(
        row["waiting"] + row["learning"] + row["done"] == len(on_path[row["path"]])
        for row in answers["paths"]
    )


def _read(name: Any) -> str:
    return html.unescape(str(name)).strip()


# The page


def test_the_page_needs_nothing_from_elsewhere(demo: tuple[Path, str]) -> None:
    page = (demo[0] / "litmos.html").read_text("utf-8")
    assert set(re.findall(r"https?://[^\"' <]+", page)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "default-src 'none'" in page
    assert "<script" not in page


_MEASURE = """
<!doctype html><html><body style="margin:0">
<iframe id="page" width="{width}" height="4000" style="border:0" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
page.onload = () => {{
  const inner = page.contentDocument, found = {{charts: [], overlaps: [], outside: []}};
  found.width = inner.documentElement.scrollWidth;
  found.loaded = page.contentWindow.performance.getEntriesByType("resource").length;
  for (const svg of inner.querySelectorAll("svg")) {{
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter(each => each.textContent.trim());
    const boxes = texts.map(each => [each.textContent, each.getBoundingClientRect()]);
    found.charts.push({{
      texts: boxes.map(([text]) => text),
      smallest: Math.min(...boxes.map(([, box]) => box.height)),
      bars: svg.querySelectorAll(".mark-rect path").length,
    }});
    for (const [text, box] of boxes) {{
      if (box.left < frame.left - 1 || box.right > frame.right + 1) found.outside.push(text);
      for (const [other, its] of boxes)
        if (box !== its && box.left < its.right - 1 && its.left < box.right - 1
            && box.top < its.bottom - 3 && its.top < box.bottom - 3)
          found.overlaps.push(text + " / " + other);
      for (const bar of svg.querySelectorAll(".mark-rect path")) {{
        const its = bar.getBoundingClientRect();
        if (box.left < its.right - 1 && its.left < box.right - 1
            && box.top < its.bottom - 3 && its.top < box.bottom - 3)
          found.overlaps.push(text + " / a bar");
      }}
    }}
  }}
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
    [told] = re.findall(r'<pre id="found">(.*?)</pre>', seen.stdout, re.DOTALL)
    found = json.loads(html.unescape(told))
    assert found["width"] <= width
    assert found["loaded"] == 0
    assert found["overlaps"] == []
    assert found["outside"] == []
    assert len(found["charts"]) == 6
    for chart in found["charts"]:
        assert chart["smallest"] >= 9
        assert chart["bars"] > 0
    units = [chart["texts"] for chart in found["charts"]]
    for unit, texts in zip(
        ("share of courses", "people", "people", "rows", "requests", "seconds"),
        units,
        strict=True,
    ):
        assert unit in texts
    for texts in units[3:]:
        assert set(DEFAULT_STREAMS) <= set(texts)


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


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_stops_what_it_started(
    tmp_path: Path, target: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(  # noqa: S603
        [*DEMO, "--directory", tmp_path / "d", "--target", target],
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
