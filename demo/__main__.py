"""Syncs a made-up organisation twice, and shows what there is to see: `make demo`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from demo.page import write_page
from demo.pipeline import DemoError, Sync, catalog, sandbox, sync
from demo.warehouse import QUESTIONS, Rows, Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 8
_HEADINGS = {
    "people": "people overdue",
    "days": "for up to (days)",
    "done": "completed",
    "late": "overdue",
    "waiting": "not started",
    "learning": "under way",
    "percent": "% on average",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    add = parser.add_argument
    add("--directory", type=Path, default=Path(".demo/litmos"), help="where to keep the data")
    add("--target", type=Path, default=Path("target-jsonl"), help="the command target-jsonl")
    add("--users", type=int, default=500, help="people in the organisation")
    add("--pause", type=float, default=15, help="seconds between the two syncs")
    return parser.parse_args()


def _table(title: str, columns: Mapping[str, bool]) -> Table:
    """Return an empty table; columns that are numbers are set to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE)
    for name, is_number in columns.items():
        table.add_column(name, justify="right" if is_number else "left")
    return table


def _syncs(first: Sync, second: Sync, changes: Mapping[str, tuple[int, int]]) -> Table:
    numbers = ("rows, 1st sync", "requests", "rows, 2nd sync", "requests", "new", "changed")
    table = Table(title="What was read", title_justify="left", title_style="bold", box=SIMPLE)
    table.add_column("stream")
    for name in numbers:
        table.add_column(name, justify="right")
    table.show_footer = True
    totals = [0] * len(numbers)
    for stream, before in first.streams.items():
        after = second.streams[stream]
        figures = (
            before["rows"],
            before["requests"],
            after["rows"],
            after["requests"],
            *changes.get(stream, (0, 0)),
        )
        totals = [total + figure for total, figure in zip(totals, figures, strict=True)]
        table.add_row(stream, *(f"{figure:,}" for figure in figures))
    footers = ("total", *(f"{total:,}" for total in totals))
    for column, footer in zip(table.columns, footers, strict=True):
        column.footer = footer
    return table


def _answer(title: str, rows: Rows) -> Table:
    numbers = {
        _HEADINGS.get(name, name): not isinstance(value, str) for name, value in rows[0].items()
    }
    table = _table(title, numbers)
    for row in rows[:_SHOWN]:
        table.add_row(*(_shown(value) for value in row.values()))
    if len(rows) > _SHOWN:
        table.caption = f"and {len(rows) - _SHOWN} more, on the page"
    return table


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.0f}"


def _run(options: argparse.Namespace) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    directory: Path = options.directory.resolve()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with sandbox(users=options.users) as config:
        print("Syncing a year of it: at the rate of the real Litmos it would take 10 minutes")  # noqa: T201
        first = sync("first", directory, config, options.target)
        print(f"Waiting {options.pause:g} s, while people there go on learning")  # noqa: T201
        time.sleep(options.pause)
        print("Syncing what has changed")  # noqa: T201
        second = sync("second", directory, config, options.target)
    file, page = directory / "litmos.duckdb", directory / "litmos.html"
    warehouse = Warehouse(file, catalog())
    try:
        warehouse.load([first.files, second.files])
        changes = warehouse.changes(first.files, second.files)
        answers = warehouse.answers()
    finally:
        warehouse.close()
    console.print(_syncs(first, second, changes))
    for question in QUESTIONS:
        console.print(_answer(question.title, answers[question.name]))
    write_page(page, first, second, answers)
    for what, where in (
        ("The files of the first sync", first.files),
        ("The files of the second", second.files),
        ("All rows as tables", file),
        ("The page with charts", page),
        ("The state and the logs", directory),
    ):
        print(f"{what + ':':<29}{_near(where)}")  # noqa: T201


def _near(path: Path) -> str:
    """Return a path relative to the current directory, where it lies within."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _stop(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Run the demo; return the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        _run(_arguments())
    except DemoError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
