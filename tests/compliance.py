"""What an organisation's rows say, in plain Python, against which the marts are held."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Row = dict[str, Any]
Rows = list[Row]
LATE = {"overdue", "lapsed"}


def links(rows: Mapping[str, Rows], stream: str, key: str, owners: str) -> dict[str, Rows]:
    """Return the active links of a stream by the teams or paths they belong to, if active."""
    active = {row["Id"] for row in in_force(rows[owners])}
    found = defaultdict(list)
    for row in in_force(rows[stream]):
        if row[key] in active:
            found[row[key]].append(row)
    return found


def in_force(rows: Iterable[Row]) -> Rows:
    """Return the rows that are active."""
    return [row for row in rows if row["Active"]]


def lines(parents: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Return for each node all nodes above it, the nearest first."""
    found = {}
    for node, parent in parents.items():
        line: list[str] = []
        above = parent
        while above and above != "0" and above not in {*line, node}:
            line.append(above)
            above = parents.get(above)
        found[node] = line
    return found


def status(row: Row, as_of: str, soon: str, *, flagged: bool) -> str:
    """Return the status of a row of a mart, by its days.

    Args:
        row: The row.
        as_of: Today.
        soon: The last day that counts as soon.
        flagged: Whether Litmos calls it overdue.
    """
    due, till = row.get("due_on"), row["compliant_till_on"] or "9999"
    done = row["completed_on"] is not None
    begun = row["started_date"] or row["percentage_complete"]
    if row.get("courses_overdue") or (not done and (due < as_of if due else flagged)):
        return "overdue"
    if till < as_of:
        return "lapsed"
    if done:
        return "expiring" if till <= soon else "completed"
    return "in_progress" if begun else "not_started"


def figures(results: Iterable[Row]) -> dict[str, Any]:
    """Return the figures of compliance over rows of `litmos__course_results`."""
    results = list(results)
    late = [row for row in results if row["status"] in LATE]
    count = {
        name: sum(row["status"] == name for row in results)
        for name in ("expiring", "in_progress", "not_started", "overdue", "lapsed")
    }
    done = sum(row["status"] in {"completed", "expiring"} for row in results)
    on_time = [row["is_on_time"] for row in results if row["is_on_time"] is not None]
    never_due = [row for row in results if row["due_on"] is None]
    return {
        "people": len({row["user_id"] for row in results}),
        "people_behind": len({row["user_id"] for row in late}),
        "assigned": len(results),
        "completed": done,
        **count,
        "due_soon": sum(row["is_due_soon"] for row in results),
        "open_without_due_date": sum(
            row["status"] in {"not_started", "in_progress"} for row in never_due
        ),
        "late_without_assignment": sum(not row["is_assigned"] for row in late),
        "percent_completed": percent(done, len(results)),
        "percent_compliant": percent(len(results) - len(late), len(results)),
        "percent_on_time": percent(sum(on_time), len(on_time)),
    }


def percent(part: int, whole: int) -> float | None:
    """Return a percentage with one decimal, of which a half is rounded up."""
    return (2000 * part + whole) // (2 * whole) / 10 if whole else None
