"""Sync a made-up organisation twice, and draw a page of its training: `make demo`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from demo.marts import DbtError, in_duckdb
from demo.page import summary, tiles, write_page
from demo.pipeline import LOGGING, DemoError, Sync, catalog, sandbox, sync
from demo.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBERS = ("rows,\n1st sync", "requests", "rows,\n2nd sync", "requests", "new", "changed")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    add = parser.add_argument
    add("--directory", type=Path, default=Path(".demo/litmos"), help="where to keep the data")
    add("--target", type=Path, default=Path("target-jsonl"), help="the command target-jsonl")
    add("--dbt", type=Path, default=Path("dbt"), help="the command dbt")
    add("--users", type=int, default=500, help="people in the organisation")
    add("--years", type=float, default=1, help="years of history")
    add("--pause", type=float, default=10, help="seconds between the two syncs")
    add("--names", action="store_true", help="print the names of people who are late, too")
    return parser.parse_args()


def _syncs(first: Sync, second: Sync, changes: Mapping[str, tuple[int, int]]) -> Table:
    """Return the rows and requests of both syncs, and what the second found, by stream."""
    rows = {
        stream: (
            *(before["rows"], before["requests"]),
            *(second.streams[stream]["rows"], second.streams[stream]["requests"]),
            *changes.get(stream, (0, 0)),
        )
        for stream, before in first.streams.items()
    }
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    table = Table(title="What was read", title_justify="left", title_style="bold", box=SIMPLE)
    table.pad_edge, table.collapse_padding, table.show_footer = False, True, True
    table.add_column("", "total", no_wrap=True)
    for name, total in zip(_NUMBERS, totals, strict=True):
        table.add_column(name, f"{total:,}", justify="right")
    for stream, figures in rows.items():
        table.add_row(stream, *(f"{figure:,}" for figure in figures))
    *_, read, _, new, changed = totals
    table.caption, table.caption_justify = (
        f"The second sync read {read:,} rows: {new:,} are new, {changed:,} have changed, and "
        f"{read - new - changed:,} are the same as before. Each sync starts some hours before "
        "its bookmark, to catch rows that appear late.",
        "left",
    )
    return table


def _run(options: argparse.Namespace) -> None:
    directory: Path = options.directory.resolve()
    _empty(directory)
    span = "a year" if options.years == 1 else f"{options.years:g} years"
    with sandbox(users=options.users, years=options.years) as config:
        stretched = f"the rate limit of Litmos would stretch it to {10 * options.years:.0f} minutes"
        _say(f"Syncing {span} of history; {stretched}")
        first = sync("first", directory, config, options.target)
        _say(f"Waiting {options.pause:g} s while people go on learning")
        time.sleep(options.pause)
        _say("Syncing what has changed")
        second = sync("second", directory, config, options.target)
    file, page = directory / "warehouse.duckdb", directory / "litmos.html"
    with closing(Warehouse(file, catalog())) as warehouse:
        warehouse.load([first.files, second.files])
        changes = warehouse.changes(first.files, second.files)
    _say("Building the marts with dbt")
    marts = in_duckdb(options.dbt, file)
    marts.build()
    figures = marts.figures(names=options.names)
    write_page(page, figures, _origin(span, first, second))
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(_syncs(first, second, changes), highlight=False)
    _say("\n".join(["", *summary(figures)]))
    for figure, meaning in tiles(figures):
        _say(f"  {figure} {meaning}")
    for what, where in (
        ("Rows of the first sync", first.files),
        ("Rows of the second sync", second.files),
        ("All rows and the marts", file),
        ("Page", page),
        ("State and logs", directory),
    ):
        _say(f"{what + ':':<25}{_near(where)}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _empty(directory: Path) -> None:
    """Create a directory, or empty the one of an earlier demo; leave any other alone."""
    try:
        if directory.exists() and any(directory.iterdir()):
            if not (directory / LOGGING).exists():
                raise DemoError(f"{directory} is not empty: choose another --directory")
            shutil.rmtree(directory)
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"Cannot use {directory}: {error.strerror}") from None


def _origin(span: str, first: Sync, second: Sync) -> str:
    before, after = first.totals, second.totals
    return (
        f"A made-up organisation. tap-litmos read {span} of it ({before['rows']:,} rows, "
        f"{before['requests']:,} requests), then what had changed ({after['rows']:,} rows, "
        f"{after['requests']:,} requests). dbt_litmos built the marts."
    )


def _near(path: Path) -> str:
    """Return a path, relative to the current directory if it is inside."""
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
