"""Builds the marts of the dbt package, and queries what the page shows."""

from __future__ import annotations

import html
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Rows = list[dict[str, Any]]

PACKAGE = Path(__file__).resolve().parent.parent / "dbt_litmos"


class DbtError(Exception):
    """A dbt command failed. The message is for the user."""


class Marts:
    """The marts in a warehouse, built and queried through dbt."""

    def __init__(
        self,
        command: str | Path,
        *options: str | Path,
        folder: Path | None = None,
        **environment: str | Path,
    ) -> None:
        """Set how dbt reaches the warehouse.

        Args:
            command: The command dbt.
            options: Options for every dbt command, such as the project folder.
            folder: Where dbt runs; paths in a profile are relative to it. By default, here.
            environment: Variables to add to the environment.
        """
        self._command = command
        self._options = options
        self._folder = folder
        self._environment = {name: str(value) for name, value in environment.items()}

    def build(self) -> None:
        """Build the marts.

        Raises:
            DbtError: If dbt fails.
        """
        self._run("run", "--quiet")

    def figures(self, *, names: bool = False) -> dict[str, Rows]:
        """Return the rows that the page shows, by subject.

        Args:
            names: Whether to include the names of people who are late.

        Raises:
            DbtError: If dbt fails.
        """
        arguments = json.dumps({"names": names})
        printed = self._run("run-operation", "litmos.page", "--quiet", "--args", arguments)
        _, start, rest = printed.partition("{")  # other lines may come first
        if not start:
            raise DbtError(f"{self._command} returned no rows of the marts")
        found: dict[str, Rows] = json.loads(start + rest)
        return {name: [_readable(row) for row in rows] for name, rows in found.items()}

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - our own
                [self._command, *arguments, *self._options],
                cwd=self._folder,
                env={**os.environ, "NO_COLOR": "1", "DBT_LOG_FORMAT": "text"} | self._environment,
                check=False,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            raise DbtError(f"Cannot run {self._command}: {error.strerror}") from error
        if done.returncode:
            said = "\n".join([*done.stdout.splitlines(), *done.stderr.splitlines()][-15:])
            raise DbtError(f"dbt {arguments[0]} failed:\n{said}")
        return done.stdout


def in_duckdb(command: str | Path, file: Path) -> Marts:
    """Return the marts of the package on its own, in a DuckDB database.

    Args:
        command: The command dbt.
        file: The database; dbt writes everything else to the folder `dbt` next to it.
    """
    folder = file.parent / "dbt"
    return Marts(
        command,
        *("--project-dir", PACKAGE, "--profiles-dir", PACKAGE / "profiles"),
        *("--target", "duckdb", "--target-path", folder, "--log-path", folder),
        DBT_DUCKDB_PATH=file,
    )


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with plain text: Litmos returns some names with HTML entities."""
    return {
        name: html.unescape(value).strip() if isinstance(value, str) else value
        for name, value in row.items()
    }
