"""The page for a training manager: one file, which needs no network and no script."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from demo.marts import Rows

    Figures = Mapping[str, Rows]

SHOWN = 8
"""How many rows each ranking shows."""

MIN_ENROLMENTS = 10
"""How many enrolments a row needs to be ranked by its share: one of two is no trend."""

MONTHS = 13
"""How many months are shown: the rest of this one, and the twelve that follow."""

_MAX_NAMES = 40

_COLUMNS = {
    "percent_completed": "completed",
    "percent_compliant": "compliant",
    "overdue": "overdue",
    "lapsed": "lapsed",
    "undated": "open, no due date",
    "assigned": "enrolments",
}


class Grouping(NamedTuple):
    """By what a table groups the enrolments.

    Attributes:
        noun: What a row is.
        addition: The column that tells equal names apart.
        added: How the page adds it to the name.
        required: What makes a row required, if some are and some are not.
    """

    noun: str
    addition: str
    added: str = "({})"
    required: str = ""

    def column(self, suffix: str) -> str:
        """Return the name of a row's column, such as `learning_path_id`."""
        return f"{self.noun.replace(' ', '_')}_{suffix}"


GROUPINGS = {
    "courses": Grouping(
        "course", "course_code", required="have a due date or recur, so they are required"
    ),
    "teams": Grouping("team", "team_path"),
    "managers": Grouping("manager", "manager_path", "(reports to {})"),
    "paths": Grouping("learning path", "learning_path_id", required="have a required course"),
}


def write_page(file: Path, figures: Figures, origin: str) -> None:
    """Write the page.

    Args:
        file: Where.
        figures: What `Marts.figures` returns.
        origin: Where the figures come from, for the end of the page: a sentence or two.
    """
    [overall] = figures["overall"]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"share": share, "number": "{:,}".format, "day": _day}
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    text = environment.from_string(template).render(
        overall=overall,
        synced=_synced(figures["facts"]),
        summary=summary(figures),
        tiles=tiles(figures),
        tables=[table(name, figures) for name in GROUPINGS if figures[name]],
        calls=calls(figures),
        months=by_month(figures["recertifications"], date.fromisoformat(overall["as_of"])),
        recurring=_by_course(figures["recertifications"]),
        changes=figures["changes"],
        numbers=partial(_numbers, figures["facts"]),
        origin=origin,
    )
    file.write_text(text, "utf-8")


def share(percent: float | None) -> str:
    """Return a percentage as text."""
    return "n/a" if percent is None else f"{percent:.1f} %"


def summary(figures: Figures) -> list[str]:
    """Return the overall figures in sentences."""
    [overall] = figures["overall"]
    if not overall["assigned"]:
        return ["Nobody is enrolled in anything."]
    late, before = _late(overall), _numbers(figures["facts"], "was_late").get("", 0)
    undated = _numbers(figures["facts"], "undated").get("", 0)
    not_completed = overall["in_progress"] + overall["not_started"]
    trend = f"up by at most {late - before:,}" if late > before else "not up"
    if late < before:
        trend = f"down by at least {before - late:,}"
    return [
        f"{overall['assigned'] - late:,} of {overall['assigned']:,} enrolments are compliant: "
        f"neither overdue nor lapsed. {overall['completed']:,} are completed and still valid.",
        f"{undated:,} of the {not_completed:,} open enrolments have no due date, so they count "
        "as compliant and can never be overdue.",
        f"Late today: {late:,}. Late 30 days ago: {before:,}, and those that were completed or "
        f"removed since, which the data may not show. So the number is {trend}.",
    ]


def tiles(figures: Figures) -> list[tuple[str, str]]:
    """Return the overall figures, each with what it counts."""
    [overall] = figures["overall"]
    people, days = overall["people"], overall["expiring_days"]
    unassigned = _numbers(figures["facts"], "unassigned").get("overdue", 0)
    return [
        (f"{overall['people_behind']:,} of {people:,}", "people have something late"),
        (
            f"{overall['overdue']:,}",
            f"enrolments overdue, {unassigned:,} without an assignment",
        ),
        (f"{overall['lapsed']:,}", "completions lapsed and not renewed"),
        (f"{overall['due_soon']:,}", f"open enrolments fall due within {days} days"),
        (f"{overall['expiring']:,}", f"valid completions lapse within {days} days"),
        (
            share(overall["percent_on_time"]),
            "of completions with a known due date were on time",
        ),
    ]


def table(grouping: str, figures: Figures) -> dict[str, Any]:
    """Return a table of a grouping: its heading, its columns, and its rankings."""
    by, rows = GROUPINGS[grouping], named(grouping, figures)
    rankings = _rankings(by, rows)
    used = [row for ranked in rankings.values() for row in ranked]
    columns = {name: label for name, label in _COLUMNS.items() if any(row[name] for row in used)}
    required = sorted(row["name"] for row in rows if row["required"])
    note = f"{len(required)} of {len(rows)} {by.noun}s {by.required}: {_listed(required)}."
    return {
        "title": f"By {by.noun}",
        "note": note if by.required and required else "",
        "columns": columns,
        "rankings": rankings,
    }


def _rankings(by: Grouping, rows: Rows) -> dict[str, Rows]:
    """Return the worst rows by count, by share, and of those that cannot be late."""
    late = [row for row in rows if row["late"]]
    optional = [row for row in rows if by.required and not row["required"]]
    enough = f"with {MIN_ENROLMENTS} enrolments or more"
    rankings = (
        ("Most late enrolments: {} that have any", _worst_by_count(late)),
        (f"Largest share late: {{}} {enough}", _by_share(late) if len(late) > SHOWN else []),
        (f"Not required, so never late. Least completed: {{}} {enough}", _by_share(optional)),
    )
    return {
        title.format(f"{min(SHOWN, len(ranked))} of {len(ranked)} {by.noun}s"): ranked[:SHOWN]
        for title, ranked in rankings
        if ranked
    }


def named(grouping: str, figures: Figures) -> Rows:
    """Return the rows of a grouping, each with a name of its own and all that a table shows."""
    by, facts = GROUPINGS[grouping], figures["facts"]
    undated, required = (_numbers(facts, about, grouping) for about in ("undated", "required"))
    often = Counter(row[by.column("name")] for row in figures[grouping])
    rows = []
    for row in figures[grouping]:
        name, key = row[by.column("name")], row[by.column("id")]
        added = f" {by.added.format(row[by.addition])}" if row[by.addition] else ""
        facts_of_row = {
            "name": str(name or "(unnamed)") + added * (often[name] > 1),
            "late": _late(row),
            "undated": undated.get(key, 0),
            "required": key in required,
        }
        rows.append(row | facts_of_row)
    return rows


def calls(figures: Figures) -> Rows:
    """Return the managers of people who are late, and with what, the most late first."""
    managers = {row["manager_id"]: row for row in named("managers", figures)}
    late: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for row in figures["facts"]:
        if row["about"] == "late":
            manager = row["id"] if row["id"] in managers else ""
            late[manager][row["course_name"]].append(row)
    found = []
    for manager, rows in late.items():
        courses = _worst_by_count(_course(name, people) for name, people in rows.items())
        call = {"late": sum(course["late"] for course in courses), "courses": courses}
        found.append(managers.get(manager, {"name": "No manager known"}) | call)
    return _worst_by_count(found)


def _course(name: str, rows: Rows) -> dict[str, Any]:
    return {
        "name": name,
        "late": sum(row["number"] for row in rows),
        "since": min((row["since"] for row in rows if row["since"]), default=""),
        "people": sorted((row["full_name"], row["since"]) for row in rows if row["full_name"]),
    }


def by_month(recertifications: Rows, today: date) -> dict[date, int]:
    """Return how many completions lapse in each month, this one first."""
    first = 12 * today.year + today.month - 1
    months = {date(month // 12, month % 12 + 1, 1): 0 for month in range(first, first + MONTHS)}
    for row in recertifications:
        months[date.fromisoformat(row["due_month"])] += row["people"]
    return months


def _by_course(recertifications: Rows) -> str:
    courses = Counter[str]()
    for row in sorted(recertifications, key=lambda row: str(row["course_name"])):
        courses[str(row["course_name"])] += row["people"]
    return _listed([f"{name} ({people:,})" for name, people in courses.most_common()], most=5)


def _listed(names: list[str], most: int = _MAX_NAMES) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _worst_by_count(rows: Iterable[dict[str, Any]]) -> Rows:
    return sorted(rows, key=lambda row: (-row["late"], row["name"]))


def _by_share(rows: Rows) -> Rows:
    enough = [row for row in rows if row["assigned"] >= MIN_ENROLMENTS]
    return sorted(
        enough,
        key=lambda row: (row["percent_compliant"], row["percent_completed"], row["name"]),
    )


def _late(row: Mapping[str, Any]) -> int:
    return int(row["overdue"] + row["lapsed"])


def _numbers(facts: Rows, about: str, part: str = "all") -> dict[str, int]:
    """Return the numbers of a fact about a part, by id."""
    return {
        row["id"]: row["number"] for row in facts if (row["about"], row["part"]) == (about, part)
    }


def _synced(facts: Rows) -> datetime | None:
    """Return when the last sync loaded rows (UTC), if the warehouse knows."""
    texts = [row["since"] for row in facts if row["about"] == "synced" and row["since"]]
    times = [datetime.fromisoformat(text) for text in texts]
    return max(
        (time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC) for time in times),
        default=None,
    )


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.day} {day:%b %Y}"
