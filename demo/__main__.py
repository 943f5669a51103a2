"""Syncs a made-up organisation twice, and shows what there is to see: `make demo`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.marts import DbtError, Rows, in_duckdb
from demo.page import (
    EVENTS,
    GROUPINGS,
    SHOWN,
    by_month,
    how_many,
    share,
    summary,
    tiles,
    worst_first,
    write_page,
)
from demo.pipeline import LOGGING, DemoError, Sync, catalog, sandbox, sync
from demo.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BAR = 40


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    add = parser.add_argument
    add("--directory", type=Path, default=Path(".demo/litmos"), help="where to keep the data")
    add("--target", type=Path, default=Path("target-jsonl"), help="the command target-jsonl")
    add("--dbt", type=Path, default=Path("dbt"), help="the command dbt")
    add("--users", type=int, default=500, help="people in the organisation")
    add("--pause", type=float, default=10, help="seconds between the two syncs")
    return parser.parse_args()


def _syncs(first: Sync, second: Sync, changes: Mapping[str, tuple[int, int]]) -> Table:
    numbers = ("rows,\n1st sync", "requests", "rows,\n2nd sync", "requests", "new", "changed")
    table = _table("What was read", *numbers)
    table.columns[0].no_wrap = True
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


def _table(title: str, *columns: str) -> Table:
    """Return an empty table whose first column has the names."""
    table = Table("", title=title, title_justify="left", title_style="bold", box=SIMPLE)
    table.pad_edge, table.collapse_padding = False, True
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _worst(grouping: str, rows: Rows) -> Table:
    """Return what is overdue and lapsed; what is shown is what the page shows."""
    title = f"Where is it worst, {GROUPINGS[grouping][0].lower()}? ({how_many(rows)})"
    table = _table(title, "compliant", "overdue", "lapsed", "assigned")
    table.caption, table.caption_justify = "Most overdue and lapsed first", "left"
    for called, row in worst_first(grouping, rows)[:SHOWN]:
        numbers = (f"{row[name]:,}" for name in ("overdue", "lapsed", "assigned"))
        table.add_row(Text(called), share(row["percent_compliant"]), *numbers)
    return table


def _next(figures: Mapping[str, Rows], today: date) -> Table:
    table = _table("What lapses next?", "completions")
    table.add_column("")
    months = by_month(figures["recertifications"], today)
    most = max(1, *months.values())
    for month, number in months.items():
        table.add_row(f"{month:%b %Y}", f"{number:,}", "█" * round(_BAR * number / most))
    return table


def _changes(rows: Rows) -> Table:
    table = _table("What changed?", "last 7 days", "last 30 days")
    for row in rows:
        table.add_row(EVENTS[row["event"]], f"{row['in_7_days']:,}", f"{row['in_30_days']:,}")
    return table


def _answers(figures: Mapping[str, Rows]) -> Iterator[Table | str]:
    """Yield what the page says, for the terminal."""
    [overall] = figures["overall"]
    yield f"[bold]{share(overall['percent_compliant'])} compliant:[/] {summary(overall)}"
    for figure, meaning in tiles(overall):
        yield f"  {figure} {meaning}"
    yield ""
    yield _worst("courses", figures["courses"])
    yield _worst("teams", figures["teams"])
    yield _next(figures, date.fromisoformat(overall["as_of"]))
    yield _changes(figures["changes"])


def _run(options: argparse.Namespace) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    directory: Path = options.directory.resolve()
    _empty(directory)
    with sandbox(users=options.users) as config:
        print("Syncing a year of it: at the rate of the real Litmos it would take 10 minutes")  # noqa: T201
        first = sync("first", directory, config, options.target)
        print(f"Waiting {options.pause:g} s, while people there go on learning")  # noqa: T201
        time.sleep(options.pause)
        print("Syncing what has changed")  # noqa: T201
        second = sync("second", directory, config, options.target)
    file, page = directory / "warehouse.duckdb", directory / "litmos.html"
    warehouse = Warehouse(file, catalog())
    try:
        warehouse.load([first.files, second.files])
        changes = warehouse.changes(first.files, second.files)
    finally:
        warehouse.close()
    print("Building the marts with dbt", flush=True)  # noqa: T201
    marts = in_duckdb(options.dbt, file)
    marts.build()
    figures = marts.figures()
    console.print(_syncs(first, second, changes))
    for answer in _answers(figures):
        console.print(answer, highlight=False)
    write_page(page, figures, _origin(first, second))
    for what, where in (
        ("The files of the first sync", first.files),
        ("The files of the second", second.files),
        ("All rows, and the marts", file),
        ("The page", page),
        ("The state and the logs", directory),
    ):
        print(f"{what + ':':<29}{_near(where)}")  # noqa: T201


def _empty(directory: Path) -> None:
    """Make a directory, or empty one that an earlier demo has made; touch no other."""
    try:
        if directory.exists() and any(directory.iterdir()):
            if not (directory / LOGGING).exists():
                raise DemoError(f"{directory} is not empty: let --directory name another")
            shutil.rmtree(directory)
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"Cannot use {directory}: {error.strerror}") from None


def _origin(first: Sync, second: Sync) -> str:
    return (
        f"A made-up organisation. tap-litmos read its year in {first.totals['requests']:,} "
        f"requests, which brought {first.totals['rows']:,} rows, and what had changed since in "
        f"{second.totals['requests']:,} requests. dbt_litmos made the marts from them."
    )


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
    except (DemoError, DbtError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
