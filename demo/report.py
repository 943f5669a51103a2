"""Draw the demo's page from your own warehouse: `make report`.

It queries the marts that your dbt project has built, through dbt and with your profile, so it
works with any warehouse that your project works with.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from demo.marts import DbtError, Marts
from demo.page import summary, write_page


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.report", description=__doc__)
    add = parser.add_argument
    add("--project-dir", type=Path, required=True, help="your dbt project")
    add("--profiles-dir", type=Path, help="where your profiles.yml is, as for dbt")
    add("--target", help="the target of your profile, as for dbt")
    add("--dbt", default="dbt", help="the command dbt")
    add("--names", action="store_true", help="print the names of people who are late, too")
    add("--output", type=Path, default=Path("litmos.html"), help="the file to write")
    return parser.parse_args()


def main() -> int:
    """Write the page; return the exit code."""
    options = _arguments()
    project: Path = options.project_dir.resolve()
    given: list[str | Path] = ["--project-dir", project]
    if options.profiles_dir is not None:
        given += ["--profiles-dir", options.profiles_dir.resolve()]
    if options.target is not None:
        given += ["--target", options.target]
    # dbt runs in the project, because paths in a profile are relative to it.
    command = shutil.which(options.dbt)
    marts = Marts(
        Path(command).absolute() if command else options.dbt,
        *given,
        folder=project if project.is_dir() else None,
    )
    try:
        figures = marts.figures(names=options.names)
        write_page(options.output, figures, "Drawn from the marts of dbt_litmos.")
    except (DbtError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyError as error:
        print(  # noqa: T201
            f"{options.project_dir} has another version of dbt_litmos than this checkout: "
            f"{error} is missing. Pin this revision in packages.yml",
            file=sys.stderr,
        )
        return 1
    print("\n".join([*summary(figures), f"See {options.output}"]))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
