"""The command `python -m benchmarks`."""

from __future__ import annotations

import argparse
import platform
import sys

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
    print(f"tap-litmos on {platform.python_implementation()} {platform.python_version()}")
    for name in options.names or FIGURES:
        print(f"measuring: {name}", file=sys.stderr)
        for figure in FIGURES[name](effort):
            verdict = "met" if figure.met else "MISSED"
            print(f"{verdict}: {figure.what}: {figure.measured} ({figure.target})")
            if figure.beside:
                print(f"    beside it: {figure.beside}")


if __name__ == "__main__":
    main()
