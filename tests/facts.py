"""What the page's query counts, in the words of both databases, against what it finds."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from demo.marts import Marts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.marts import Rows

Facts = dict[str, dict[str, int]]
"""For each fact the numbers by id."""

_RESULTS = "with results as (select * from litmos__course_results where is_current) select "
_UNDATED = "status in ('not_started', 'in_progress') and due_on is null"
_AGE = """case when {0} > 180 then 'more' when {0} > 90 then '180' when {0} > 30 then '90'
    else '30' end, count(*) from results where {0} is not null"""
_PATH = """learning_path_id, {} from litmos__learning_path_results as path where path.is_current
    and {} exists (select 1 from stg_litmos__learning_path_courses as link join results
    using (course_id) where link.is_active and link.learning_path_id = path.learning_path_id
    and results.user_id = path.user_id and {})"""
_FACTS = {
    "undated all": f"'', count(*) from results where {_UNDATED}",
    "undated courses": f"course_id, count(*) from results where {_UNDATED}",
    "undated managers": f"manager_id, count(*) from results where {_UNDATED}",
    "undated teams": f"""team_id, count(*) from results join int_litmos__people_of_teams
        using (user_id) where is_direct = 1 and {_UNDATED}""",
    "undated paths": _PATH.format(
        "count(*)", "status in ('not_started', 'in_progress') and not", "due_on is not null"
    ),
    "required courses": "course_id, 1 from results where due_on is not null or is_recurring",
    "required paths": _PATH.format(1, "", "(due_on is not null or is_recurring)"),
    "unassigned all": "status, count(*) from results where not is_assigned",
    "age overdue": _AGE.format("days_overdue"),
    "age lapsed": _AGE.format("days_lapsed"),
    "was_late all": """'', count(*) from results where assigned_on <= as_of - 30
        and case when status = 'lapsed' then compliant_till_on < as_of - 30
            else due_on < as_of - 30 and coalesce(completed_on > as_of - 30, true) end""",
    "late managers": """concat(manager_id, trim(course_name), full_name,
        case status when 'overdue' then due_on else compliant_till_on end), count(*)
        from results where not is_compliant""",
}


def expected_facts(query: Callable[[str], list[tuple[Any, ...]]]) -> Facts:
    """Return what the page's query has to find.

    Args:
        query: Returns the rows that a statement finds in the schemas of the marts.
    """
    counted = {name: query(f"{_RESULTS} {sql} group by 1") for name, sql in _FACTS.items()}
    return {
        name: {html.unescape(key or ""): number for key, number in rows}
        for name, rows in counted.items()
    }


def recording(command: Path, dbt: Path, said: Path) -> Path:
    """Make a command that is dbt, and keeps what its last run printed."""
    return program(command, f'"{dbt}" "$@" >"{said}"', "status=$?", f'cat "{said}"', "exit $status")


def program(file: Path, *lines: str) -> Path:
    """Make a command of some lines of a shell."""
    file.write_text("\n".join(["#!/bin/sh", *lines]))
    file.chmod(0o755)
    return file


def check_facts(said: Path, expected: Facts, folder: Path) -> dict[str, Rows]:
    """Check that dbt has found for the page what it has to; return all that it has found.

    Args:
        said: What dbt printed, names of people included.
        expected: What it has to find.
        folder: Where to put a command that prints it again.
    """
    figures = Marts(program(folder / "says", f'cat "{said}"')).figures()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in figures["facts"]:
        key = (row["id"], row["course_name"], row["full_name"], row["since"])
        found[f"{row['about']} {row['part']}"]["".join(filter(None, key))] += row["number"]
    assert found.pop("synced all")
    assert found == {name: numbers for name, numbers in expected.items() if numbers}
    return figures


def text(element: ET.Element) -> str:
    """Return the text of an element, as somebody reads it."""
    return " ".join(" ".join(element.itertext()).split())


def text_of(page: Path) -> str:
    """Return the text of a page."""
    return text(ET.parse(page).getroot())  # noqa: S314 - our own
