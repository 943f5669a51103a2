"""The database: files are loaded into DuckDB, and questions are asked."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Rows = list[dict[str, Any]]

_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "string": "VARCHAR"}


@dataclass(frozen=True)
class Question:
    """A question to the data.

    Attributes:
        name: A word for it.
        title: The question.
        sql: The query that answers it.
    """

    name: str
    title: str
    sql: str


QUESTIONS = (
    Question(
        "teams",
        "How much of its training has each team completed?",
        """
        select teams.Name as team,
               count(*) as assigned,
               count_if(course_results.Completed) as done,
               count_if(course_results.Overdue) as late,
               round(100 * done / assigned) as percent
        from teams
        join team_users on team_users.TeamId = teams.Id and team_users.Active
        join users on users.Id = team_users.Id and users.Active
        join course_results on course_results.UserId = users.Id and course_results.Active
        where teams.Active
        group by teams.Id, teams.Name
        order by done / assigned, team
        """,
    ),
    Question(
        "compliance",
        "Which compliance training is overdue, and for how many people?",
        """
        select courses.Name as course,
               count(*) as people,
               max(date_diff('day', course_results.DueDate, now() at time zone 'UTC')) as days
        from courses
        join course_results on course_results.Id = courses.Id and course_results.Active
        join users on users.Id = course_results.UserId and users.Active
        where courses.CompliantTillDays is not null
          and not course_results.Completed
          and course_results.DueDate < now() at time zone 'UTC'
        group by courses.Id, courses.Name
        order by people desc, course
        """,
    ),
    Question(
        "paths",
        "Which learning paths are there, and how far are people?",
        """
        select learning_paths.Name as path,
               count_if(not result.Completed and coalesce(result.PercentageComplete, 0) = 0)
                   as waiting,
               count_if(not result.Completed and result.PercentageComplete > 0) as learning,
               count_if(result.Completed) as done,
               round(avg(result.PercentageComplete)) as percent
        from learning_paths
        join learning_path_results result on result.Id = learning_paths.Id and result.Active
        join users on users.Id = result.UserId and users.Active
        where learning_paths.Active
        group by learning_paths.Id, learning_paths.Name
        order by percent desc, path
        """,
    ),
)


class Warehouse:
    """A database of the rows that syncs have brought."""

    def __init__(self, file: Path, catalog: dict[str, dict[str, Any]]) -> None:
        """Make an empty database.

        Args:
            file: Where to keep it.
            catalog: The streams as the tap describes them.
        """
        file.unlink(missing_ok=True)
        self._catalog = catalog
        self._connection = duckdb.connect(str(file))

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def load(self, folders: Iterable[Path]) -> None:
        """Load each stream into a table that holds each row once, as it was seen last.

        Syncs read the last days again, and files take rows as they come: so of the rows
        with one key the one of the latest sync counts, and there the one changed last.

        Args:
            folders: The files of the syncs, oldest sync first.
        """
        for stream, entry in self._catalog.items():
            parts = [
                f"select *, {number} as sync from {self._file(path, entry)}"  # noqa: S608
                for number, folder in enumerate(folders)
                if (path := folder / f"{stream}.jsonl").exists()
            ]
            if parts:
                changed = entry["replication_key"]
                last = f'"{changed}" desc nulls last' if changed else "1"
                self._connection.execute(
                    f'create table "{stream}" as select * exclude (sync) '  # noqa: S608
                    f"from ({' union all '.join(parts)}) "
                    f"qualify row_number() over (partition by {_keys(entry)} "
                    f"order by sync desc, {last}) = 1"
                )

    def changes(self, before: Path, after: Path) -> dict[str, tuple[int, int]]:
        """Return for each stream how many rows a sync found new, and how many changed."""
        found = {}
        for stream, entry in self._catalog.items():
            old, new = before / f"{stream}.jsonl", after / f"{stream}.jsonl"
            if not new.exists():
                continue
            keys = _keys(entry)
            differing = f"select * from {self._file(new, entry)}"  # noqa: S608
            added = f"select distinct {keys} from ({differing})"  # noqa: S608
            if old.exists():
                differing += f" except select * from {self._file(old, entry)}"  # noqa: S608
                added += f" except select {keys} from {self._file(old, entry)}"  # noqa: S608
            [different] = self.query(
                f"select count(distinct ({keys})) as number from ({differing})"  # noqa: S608
            )
            [fresh] = self.query(f"select count(*) as number from ({added})")  # noqa: S608
            found[stream] = fresh["number"], different["number"] - fresh["number"]
        return found

    def answers(self) -> dict[str, Rows]:
        """Return the rows that answer each question."""
        return {
            question.name: [
                {name: _plain(value) for name, value in row.items()}
                for row in self.query(question.sql)
            ]
            for question in QUESTIONS
        }

    def query(self, sql: str) -> Rows:
        """Return what a query finds."""
        result = self._connection.execute(sql)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _file(self, path: Path, entry: dict[str, Any]) -> str:
        """Return the SQL for a table in a file, with the columns that the schema has."""
        columns = ", ".join(
            f"'{name}': '{_type(schema)}'"
            for name, schema in entry["schema"]["properties"].items()
        )
        quoted = str(path).replace("'", "''")
        return f"read_json('{quoted}', format='newline_delimited', columns={{{columns}}})"


def _keys(entry: dict[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in entry["key_properties"])


def _type(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "TIMESTAMP"
    [kind] = [each for each in schema["type"] if each != "null"]
    return _TYPES[kind]


def _plain(value: Any) -> Any:
    """Return text as people read it: some of it is escaped at its source."""
    return html.unescape(value).strip() if isinstance(value, str) else value
