"""Make a virtual environment for a tool that cannot share one with the tap.

`python scripts/environment.py target-jsonl` installs the dependency group of that name of
`pyproject.toml`, if it is not there already, and prints the folder of its commands. Several groups
are installed at the same time.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv-targets"

_NEWEST = {"dbt": (3, 13)}
"""The newest Python, by its first two numbers, that a group is known to run with."""


def environment(group: str) -> Path:
    """Return the folder of the commands of a dependency group, which is installed if need be.

    Args:
        group: The name of a dependency group in `pyproject.toml`.
    """
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    python = interpreter(group)
    installed = json.dumps([*wanted[group], python, sys.version])
    place = ENVIRONMENTS / group
    note = place / ".installed"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{group}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists() or note.read_text("utf-8") != installed:
            _run(python, "venv", "--clear", "--without-pip", str(place))
            its = str(place / "bin" / "python")
            _run(sys.executable, "pip", "--python", its, "install", "--quiet", *wanted[group])
            note.write_text(installed, "utf-8")
    return place / "bin"


def interpreter(group: str, version: tuple[int, ...] = sys.version_info[:2]) -> str:
    """Return the Python to make an environment with: this one, or an older one if need be.

    Args:
        group: The name of a dependency group in `pyproject.toml`.
        version: The version of this Python.

    Raises:
        SystemExit: If an older one is needed and there is none.
    """
    newest = _NEWEST.get(group)
    if newest is None or version[:2] <= newest:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(newest[1], 10, -1)]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise SystemExit(f"{group} needs one of {', '.join(names)}: install one of them")
    return found


def _run(python: str, module: str, *arguments: str) -> None:
    subprocess.run([python, "-m", module, *arguments], check=True, stdout=sys.stderr)  # noqa: S603 - our own


if __name__ == "__main__":
    with ThreadPoolExecutor() as pool:
        print(*pool.map(environment, sys.argv[1:]), sep="\n")  # noqa: T201
