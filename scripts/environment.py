"""Make a virtual environment for a tool that cannot share one with the tap.

`python scripts/environment.py target-jsonl` installs the dependency group of that name of
`pyproject.toml`, if it is not there already, and prints the folder of its commands.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv-targets"


def environment(group: str) -> Path:
    """Return the folder of the commands of a dependency group, which is installed if need be.

    Args:
        group: The name of a dependency group in `pyproject.toml`.
    """
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    installed = json.dumps([*wanted[group], sys.version])
    place = ENVIRONMENTS / group
    note = place / ".installed"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{group}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists() or note.read_text("utf-8") != installed:
            _run("venv", "--clear", "--without-pip", str(place))
            python = str(place / "bin" / "python")
            _run("pip", "--python", python, "install", "--quiet", *wanted[group])
            note.write_text(installed, "utf-8")
    return place / "bin"


def _run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=sys.stderr)  # noqa: S603 - our own


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print(environment(each))  # noqa: T201
