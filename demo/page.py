"""The page for a training manager: one file, which needs no network and no script."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from demo.marts import Rows

SHOWN = 8
"""How many rows each ranking shows."""

MIN_ENROLMENTS = 10
"""How many enrolments a row needs to be ranked by its share: one of two is no trend."""

MAX_MANAGERS = 60
MAX_COURSES = 5
MAX_NAMES = 40
"""How many managers to call the page lists, courses for one of them, and required courses."""

MONTHS = 13
"""How many months are shown: the rest of this one, and the twelve that follow."""

# Blue is well and orange is not: colour-blind people can tell this pair apart. Within each
# colour the lightness differs.
STATUSES = {
    "completed": "Completed",
    "expiring": "Completed, lapses within {} days",
    "in_progress": "In progress",
    "not_started": "Not started",
    "lapsed": "Lapsed",
    "overdue": "Overdue",
}


class Grouping(NamedTuple):
    """By what a table groups the enrolments.

    Attributes:
        plural: What its rows are.
        title: Its heading.
        name: The column with a row's name; `key` identifies the row.
        addition: The column that tells equal names apart.
        added: How the page adds it to the name.
        required: Which rows are required, if some are and some are not.
    """

    plural: str
    title: str
    key: str
    name: str
    addition: str
    added: str = "({})"
    required: str = ""


GROUPINGS = {
    "courses": Grouping(
        *("courses", "By course", "course_id", "course_name", "course_code"),
        required="have a due date or recur, so they are required",
    ),
    "teams": Grouping("teams", "By team", "team_id", "team_name", "team_path"),
    "managers": Grouping(
        *("managers", "By manager, direct reports"),
        *("manager_id", "manager_name", "manager_path", "(reports to {})"),
    ),
    "paths": Grouping(
        *("learning paths", "By learning path"),
        *("learning_path_id", "learning_path_name", "learning_path_id"),
        required="have a required course",
    ),
}

EVENTS = {
    "assigned": "Newly enrolled",
    "completed": "Completed",
    "overdue": "Became overdue, and still is",
    "lapsed": "Lapsed, and not renewed",
}

AGES = {
    "30": "up to 30 days",
    "90": "31 to 90 days",
    "180": "91 to 180 days",
    "more": "more than 180 days",
    "unknown": "date unknown",
}

_COLUMNS = {
    "percent_completed": "completed",
    "percent_compliant": "compliant",
    "overdue": "overdue",
    "lapsed": "lapsed",
    "undated": "open, no due date",
    "assigned": "enrolments",
}


def write_page(file: Path, figures: Mapping[str, Rows], origin: str) -> None:
    """Write the page.

    Args:
        file: Where.
        figures: What `Marts.figures` returns.
        origin: Where the figures come from, for the end of the page: a sentence or two.
    """
    [overall] = figures["overall"]
    today = date.fromisoformat(overall["as_of"])
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"share": share, "cell": _cell, "day": _day}
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    text = environment.from_string(template).render(
        overall=overall,
        synced=_synced(figures["facts"]),
        summary=summary(figures),
        whole_bar=_bar(overall),
        tiles=tiles(figures),
        tables=[table(name, figures) for name in GROUPINGS if figures[name]],
        calls=calls(figures),
        max_managers=MAX_MANAGERS,
        months=by_month(figures["recertifications"], today),
        recurring=_by_course(figures["recertifications"]).most_common(),
        changes=[(EVENTS[row["event"]], row) for row in figures["changes"]],
        ages=ages(figures["facts"]),
        origin=origin,
    )
    file.write_text(text, "utf-8")


def share(percent: float | None) -> str:
    """Return a percentage as text."""
    return "n/a" if percent is None else f"{percent:.1f} %"


def summary(figures: Mapping[str, Rows]) -> list[str]:
    """Return the overall figures in sentences."""
    [overall] = figures["overall"]
    if not overall["assigned"]:
        return ["Nobody is enrolled in anything."]
    late, before = _late(overall), _numbers(figures["facts"], "was_late").get("", 0)
    undated = _numbers(figures["facts"], "undated").get("", 0)
    trend = f"up by at most {late - before:,}"
    if late <= before:
        trend = f"down by at least {before - late:,}" if late < before else "not up"
    return [
        f"{overall['assigned'] - late:,} of {overall['assigned']:,} enrolments are compliant: "
        f"neither overdue nor lapsed. {overall['completed']:,} are completed and still valid.",
        f"{undated:,} of the {_open(overall):,} open enrolments have no due date, so they "
        "count as compliant and can never be overdue.",
        f"Late today: {late:,}. Late 30 days ago: at least {before:,}, as far as today's dates "
        f"tell. So the number is {trend}.",
    ]


def tiles(figures: Mapping[str, Rows]) -> list[tuple[str, str]]:
    """Return the overall figures, each with what it counts."""
    [overall] = figures["overall"]
    people, days = overall["people"], overall["expiring_days"]
    unassigned = _numbers(figures["facts"], "unassigned").get("overdue", 0)
    return [
        (f"{overall['people_behind']:,} of {people:,}", "people have something late"),
        (f"{overall['overdue']:,}", f"enrolments overdue, {unassigned:,} without an assignment"),
        (f"{overall['lapsed']:,}", "completions lapsed and not renewed"),
        (f"{overall['due_soon']:,}", f"open enrolments fall due within {days} days"),
        (f"{overall['expiring']:,}", f"valid completions lapse within {days} days"),
        (share(overall["percent_on_time"]), "of completions with a known due date were on time"),
    ]


def table(grouping: str, figures: Mapping[str, Rows]) -> dict[str, Any]:
    """Return a table of a grouping: its title, its columns, and its rankings."""
    by, rows = GROUPINGS[grouping], named(grouping, figures)
    late = [row for row in rows if row["late"]]
    large = [row for row in rows if row["assigned"] >= MIN_ENROLMENTS]
    large.sort(key=lambda row: (row["percent_compliant"], row["percent_completed"], row["name"]))
    late_share = [row for row in large if row["late"]] if len(late) > SHOWN else []
    optional = [row for row in large if by.required and not row["required"]]
    many = f"{by.plural} with {MIN_ENROLMENTS} enrolments or more"
    rankings = {
        f"Most late enrolments: {_of(late)} {by.plural}": _worst_by_count(late)[:SHOWN],
        f"Largest share late: {_of(late_share)} {many}": late_share[:SHOWN],
        f"Not required, so never late. Least completed: {_of(optional)} {many}": optional[:SHOWN],
    }
    used = [row for ranked in rankings.values() for row in ranked]
    return {
        "title": by.title,
        "note": by.required and _required(by, rows),
        "columns": {
            name: label for name, label in _COLUMNS.items() if any(row[name] for row in used)
        },
        "rankings": {title: ranked for title, ranked in rankings.items() if ranked},
    }


def _required(by: Grouping, rows: Rows) -> str:
    names = sorted(row["name"] for row in rows if row["required"])
    more = f", and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    listed = f": {', '.join(names[:MAX_NAMES])}{more}" if names else ""
    return f"{len(names)} of {len(rows)} {by.plural} {by.required}{listed}."


def named(grouping: str, figures: Mapping[str, Rows]) -> Rows:
    """Return the rows of a grouping, each with a name of its own and all that a table shows."""
    by, facts = GROUPINGS[grouping], figures["facts"]
    undated = _numbers(facts, "undated", grouping)
    required = _numbers(facts, "required", grouping)
    often = Counter(row[by.name] for row in figures[grouping])
    rows = []
    for row in figures[grouping]:
        name = str(row[by.name] or "(unnamed)")
        if often[row[by.name]] > 1 and row[by.addition]:
            name += f" {by.added.format(row[by.addition])}"
        added = {
            "name": name,
            "late": _late(row),
            "undated": undated.get(row[by.key], 0),
            "required": row[by.key] in required,
            "bar": _bar(row),
        }
        rows.append(row | added)
    return rows


def calls(figures: Mapping[str, Rows]) -> Rows:
    """Return the managers of people who are late, and with what, the most late first."""
    managers = {row["manager_id"]: row for row in named("managers", figures)}
    late: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for row in figures["facts"]:
        if row["about"] == "late":
            manager = row["id"] if row["id"] in managers else ""
            late[manager][row["course_name"]].append(row)
    nobody: dict[str, Any] = {"name": "No manager known", "people": None}
    found = []
    for manager, courses in late.items():
        told = [_course(name, rows) for name, rows in courses.items()]
        told.sort(key=lambda course: (-course["number"], course["name"]))
        call = {
            "late": sum(course["number"] for course in told),
            "courses": told[:MAX_COURSES],
            "others": told[MAX_COURSES:],
        }
        found.append(managers.get(manager, nobody) | call)
    return _worst_by_count(found)


def ages(facts: Rows) -> list[tuple[str, int, int]]:
    """Return how long enrolments have been late: how many are overdue, and how many lapsed."""
    overdue, lapsed = (_numbers(facts, "age", status) for status in ("overdue", "lapsed"))
    return [
        (label, overdue.get(age, 0), lapsed.get(age, 0))
        for age, label in AGES.items()
        if age in overdue or age in lapsed
    ]


def by_month(recertifications: Rows, today: date) -> dict[date, int]:
    """Return how many completions lapse in each month, this one first."""
    first = 12 * today.year + today.month - 1
    months = {date(month // 12, month % 12 + 1, 1): 0 for month in range(first, first + MONTHS)}
    for row in recertifications:
        months[date.fromisoformat(row["due_month"])] += row["people"]
    return months


def _by_course(recertifications: Rows) -> Counter[str]:
    courses = Counter[str]()
    for row in sorted(recertifications, key=lambda row: str(row["course_name"])):
        courses[str(row["course_name"])] += row["people"]
    return courses


def _course(name: str, rows: Rows) -> dict[str, Any]:
    return {
        "name": name,
        "number": sum(row["number"] for row in rows),
        "since": min((row["since"] for row in rows if row["since"]), default=""),
        "people": sorted((row["full_name"], row["since"]) for row in rows if row["full_name"]),
    }


def _worst_by_count(rows: Iterable[dict[str, Any]]) -> Rows:
    return sorted(rows, key=lambda row: (-row["late"], row["name"]))


def _of(rows: Rows) -> str:
    return f"all {len(rows)}" if len(rows) <= SHOWN else f"{SHOWN} of {len(rows)}"


def _bar(row: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Return how many enrolments have each status; `completed` includes those that expire."""
    numbers = {status: int(row[status]) for status in STATUSES}
    numbers["completed"] -= numbers["expiring"]
    days = row.get("expiring_days", "a few")
    return [(status, STATUSES[status].format(days), number) for status, number in numbers.items()]


def _late(row: Mapping[str, Any]) -> int:
    return int(row["overdue"] + row["lapsed"])


def _open(row: Mapping[str, Any]) -> int:
    return int(row["in_progress"] + row["not_started"])


def _numbers(facts: Rows, about: str, part: str = "all") -> dict[str, int]:
    return {
        row["id"]: row["number"] for row in facts if (row["about"], row["part"]) == (about, part)
    }


def _synced(facts: Rows) -> datetime | None:
    """Return when the last sync loaded rows (UTC), if the warehouse knows."""
    times = [
        datetime.fromisoformat(row["since"])
        for row in facts
        if row["about"] == "synced" and row["since"]
    ]
    known = (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC) for time in times)
    return max(known, default=None)


def _cell(value: Any, column: str) -> str:
    return share(value) if column.startswith("percent") else f"{value:,}"


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.day} {day:%b %Y}"
