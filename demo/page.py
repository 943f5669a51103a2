"""One page for whoever is responsible for training, which needs no network and no script."""

from __future__ import annotations

from collections import Counter
from datetime import date
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from demo.marts import Rows

SHOWN = 12
"""How many courses, teams, managers and paths are shown, the worst first."""

MONTHS = 13
"""How many months are shown: the rest of this one, and the twelve that follow."""

_TALLEST = 130
_NAMED = 5

# Blue is well and orange is not: a pair that colour-blind people can tell apart. Within each,
# the lightness differs.
STATUSES = {
    "completed": "Completed",
    "expiring": "Lapses within {} days",
    "in_progress": "In progress",
    "not_started": "Not started",
    "lapsed": "Lapsed",
    "overdue": "Overdue",
}

GROUPINGS = {
    "courses": ("By course", "course_name", "course_code", "{}"),
    "teams": ("By team", "team_name", "team_path", "{}"),
    "managers": (
        "By manager, direct reports",
        "manager_name",
        "manager_path",
        "reports to {}",
    ),
    "paths": ("By learning path", "learning_path_name", "learning_path_id", "{}"),
}
"""By what the figures are told: a title, the column with the name, the one that tells equal
names apart, and how that is said."""

EVENTS = {
    "assigned": "Newly assigned",
    "completed": "Completed",
    "overdue": "Became overdue, and still is",
    "lapsed": "Lapsed, and not renewed",
}


def write_page(file: Path, figures: Mapping[str, Rows], origin: str) -> None:
    """Write the page.

    Args:
        file: Where.
        figures: What `Marts.figures` returns.
        origin: Where the figures come from, for the end of the page: a sentence or two.
    """
    [overall] = figures["overall"]
    template = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
    file.write_text(
        template.substitute(
            day=f"{date.fromisoformat(overall['as_of']):%d %B %Y}",
            headline=_headline(overall),
            tiles="".join(_tile(*tile) for tile in tiles(overall)),
            worst="".join(_worst(name, figures[name]) for name in GROUPINGS),
            next=_next(figures["recertifications"], date.fromisoformat(overall["as_of"])),
            changes=_changes(figures["changes"]),
            origin=escape(origin),
        ),
        "utf-8",
    )


def compliant(row: Mapping[str, Any]) -> int:
    """Return how many of the assigned courses are neither overdue nor lapsed."""
    return int(row["assigned"]) - _late(row)


def share(percent: float | None) -> str:
    """Return a percentage as text."""
    return "n/a" if percent is None else f"{percent:.1f} %"


def summary(overall: Mapping[str, Any]) -> str:
    """Return the overall figure in a sentence."""
    if not overall["assigned"]:
        return "Nothing is assigned to anybody."
    return (
        f"{compliant(overall):,} of {overall['assigned']:,} assigned courses are neither "
        "overdue nor lapsed."
    )


def tiles(overall: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the overall figures, each with what it means."""
    people = overall["people"]
    return [
        (f"{people - overall['people_behind']:,} of {people:,}", "people are fully compliant"),
        (f"{overall['overdue']:,}", "courses overdue"),
        (f"{overall['lapsed']:,}", "certifications lapsed"),
        (f"{overall['due_soon']:,}", f"more fall due within {overall['expiring_days']} days"),
        (f"{overall['expiring']:,}", f"more lapse within {overall['expiring_days']} days"),
        (share(overall["percent_on_time"]), "of completions were on time, where that is known"),
    ]


def worst_first(grouping: str, rows: Rows) -> list[tuple[str, dict[str, Any]]]:
    """Return named rows, those with the most late results first.

    Sorted by share, those that hardly anybody has would come first.

    Args:
        grouping: One of `GROUPINGS`.
        rows: Its rows.
    """
    _, label, more, said = GROUPINGS[grouping]
    often = Counter(row[label] for row in rows)
    named = []
    for row in rows:
        name = str(row[label] or "(unnamed)")
        if often[row[label]] > 1 and row[more]:
            name += f" ({said.format(row[more])})"
        named.append((name, row))
    return sorted(
        named, key=lambda each: (-_late(each[1]), each[1]["percent_compliant"], each[0])
    )


def _late(row: Mapping[str, Any]) -> int:
    return int(row["overdue"] + row["lapsed"])


def how_many(rows: Sequence[object]) -> str:
    """Return which of the rows are shown."""
    return f"all {len(rows)}" if len(rows) <= SHOWN else f"the worst {SHOWN} of {len(rows)}"


def by_month(recertifications: Rows, today: date) -> dict[date, int]:
    """Return how many recertifications are due in each month, this one first."""
    first = 12 * today.year + today.month - 1
    months = {date(month // 12, month % 12 + 1, 1): 0 for month in range(first, first + MONTHS)}
    for row in recertifications:
        months[date.fromisoformat(row["due_month"])] += row["people"]
    return months


def _headline(overall: Mapping[str, Any]) -> str:
    parts = [
        (status, name.format(overall["expiring_days"]), _of_status(overall, status))
        for status, name in STATUSES.items()
    ]
    bar = "".join(_part(*part, overall["assigned"]) for part in parts)
    legend = "".join(
        f'<span><i class="{status}"></i>{name} <b>{number:,}</b></span>'
        for status, name, number in parts
    )
    return (
        f'<p class="figure"><b>{share(overall["percent_compliant"])}</b> compliant</p>'
        f"<p>{summary(overall)}</p>"
        f'<div class="bar tall">{bar}</div>'
        f'<p class="legend">{legend}</p>'
    )


def _of_status(row: Mapping[str, Any], status: str) -> int:
    """Return how many results have a status; `completed` includes those that expire."""
    number = int(row[status])
    return number - int(row["expiring"]) if status == "completed" else number


def _part(status: str, name: str, number: int, whole: int) -> str:
    if not number:
        return ""
    return f'<i class="{status}" style="width:{100 * number / whole:.3f}%" title="{name}"></i>'


def _tile(figure: str, meaning: str) -> str:
    return f"<div><b>{figure}</b><span>{escape(meaning)}</span></div>"


def _worst(grouping: str, rows: Rows) -> str:
    """Return bars of what is overdue and lapsed, the worst first."""
    if not rows:
        return ""
    title, *_ = GROUPINGS[grouping]
    most = max(map(_late, rows))
    lines = "".join(
        f"<tr><th>{escape(name)}</th>"
        f"<td>{share(row['percent_compliant'])}</td>"
        f'<td><div class="bar">'
        f"{_part('overdue', 'Overdue', row['overdue'], most)}"
        f"{_part('lapsed', 'Lapsed', row['lapsed'], most)}</div></td>"
        f"<td>{row['overdue']:,}</td><td>{row['lapsed']:,}</td><td>{row['assigned']:,}</td></tr>"
        for name, row in worst_first(grouping, rows)[:SHOWN]
    )
    return (
        f"<section><h3>{escape(title)} <small>{how_many(rows)}</small></h3>"
        "<table><thead><tr><td></td><td>compliant</td><td>overdue and lapsed</td>"
        "<td>overdue</td><td>lapsed</td><td>assigned</td></tr></thead>"
        f"<tbody>{lines}</tbody></table></section>"
    )


def _next(recertifications: Rows, today: date) -> str:
    """Return a column for each month, and what is due within it."""
    months = by_month(recertifications, today)
    most = max(months.values())
    if not most:
        return "<p>No completion lapses within the next twelve months.</p>"
    columns = "".join(
        f"<div><b>{number or ''}</b>"
        f'<i class="expiring" style="height:{_TALLEST * number / most:.1f}px"></i>'
        f"<span>{month:%b}<br>{f'{month:%Y}' if place == 0 or month.month == 1 else ''}</span>"
        "</div>"
        for place, (month, number) in enumerate(months.items())
    )
    courses = Counter[Any]()
    for row in sorted(recertifications, key=lambda row: str(row["course_name"])):
        courses[row["course_name"]] += row["people"]
    listed = ", ".join(
        f"{escape(str(course))} ({number:,})" for course, number in courses.most_common(_NAMED)
    )
    if len(courses) > _NAMED:
        listed += f", and {len(courses) - _NAMED} more"
    return (
        f"<p>{sum(months.values()):,} completions lapse in the rest of this month and the "
        f'twelve that follow, unless they are renewed.</p><div class="columns">{columns}</div>'
        f'<p class="note">{listed}</p>'
    )


def _changes(rows: Rows) -> str:
    lines = "".join(
        f"<tr><th>{EVENTS[row['event']]}</th><td>{row['in_7_days']:,}</td>"
        f"<td>{row['in_30_days']:,}</td></tr>"
        for row in rows
    )
    return (
        "<table><thead><tr><td></td><td>last 7 days</td><td>last 30 days</td></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )
