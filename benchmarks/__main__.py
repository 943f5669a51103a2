"""The command `python -m benchmarks`."""

from __future__ import annotations

import argparse
import platform

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.figures import FIGURES, NORMAL, QUICK


def main() -> None:
    """Measure, and print a table."""
    names = ", ".join(FIGURES)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {names}")
    parser.add_argument("--quick", action="store_true", help="fewer rows, less exact")
    options = parser.parse_args()
    if strange := set(options.names) - FIGURES.keys():
        parser.error(f"there is no {', '.join(sorted(strange))}; there are {names}")
    effort = QUICK if options.quick else NORMAL
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    progress = Console(stderr=True)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    table = Table(title=f"tap-litmos on {python}, {platform.machine()}", box=SIMPLE)
    for heading in ("what", "target", "measured", "", "beside it"):
        table.add_column(heading, overflow="fold")
    for name in options.names or FIGURES:
        progress.print(f"measuring: {name}", style="dim")
        for figure in FIGURES[name](effort):
            mark = "[green]met[/]" if figure.met else "[red]missed[/]"
            table.add_row(figure.what, figure.target, figure.measured, mark, figure.beside)
    console.print(table)


if __name__ == "__main__":
    main()
