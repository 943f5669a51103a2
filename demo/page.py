"""One page with charts that needs nothing else: no network, no script."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import altair as alt
import vl_convert

from demo.warehouse import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demo.pipeline import Sync
    from demo.warehouse import Rows

_FONT = "Arial, Helvetica, sans-serif"
_GREY = "#52606d"
_WIDTH = 300
_MOST = 12
_COLORS = {
    "completed": "#2a9d72",
    "under way": "#8ab6e8",
    "not started": "#cfd6dd",
    "open": "#cfd6dd",
    "overdue": "#d1495b",
    "first sync": "#2f6db5",
    "second sync": "#f0a202",
}


_BASE = alt.Chart({"name": "bars"}).encode(y=alt.Y("label:N", sort=None, axis=None))

_Chart = alt.LayerChart | alt.FacetChart


def write_page(file: Path, first: Sync, second: Sync, answers: Mapping[str, Rows]) -> None:
    """Write the page.

    Args:
        file: Where.
        first: The sync of the whole past.
        second: The sync of what has changed.
        answers: The rows that answer each question.
    """
    titles = {question.name: question.title for question in QUESTIONS}
    file.write_text(
        Template(Path(__file__).with_name("page.html").read_text("utf-8")).substitute(
            day=f"{datetime.now(UTC):%d %B %Y}",
            answers="".join(
                _figure(titles[name], *drawn)
                for name, drawn in (
                    ("teams", _teams(answers["teams"])),
                    ("compliance", _compliance(answers["compliance"])),
                    ("paths", _paths(answers["paths"])),
                )
            ),
            tiles="".join(
                f"<div><b>{figure}</b><span>{escape(meaning)}</span></div>"
                for figure, meaning in _tiles(first, second)
            ),
            syncs="".join(
                _figure(title, note, _by_stream(first, second, what), unit, figures)
                for what, unit, figures, title, note in (
                    (
                        "rows",
                        "rows",
                        ",d",
                        "Rows by stream",
                        "The second sync reads the last days again, so some rows are known.",
                    ),
                    (
                        "requests",
                        "requests",
                        ",d",
                        "Requests by stream",
                        "One for each week of the past; once up to date, one.",
                    ),
                    (
                        "seconds",
                        "seconds",
                        ",.2f",
                        "Time by stream",
                        "What is fetched ahead is there at once when its turn comes.",
                    ),
                )
            ),
        ),
        "utf-8",
    )


def _tiles(first: Sync, second: Sync) -> list[tuple[str, str]]:
    return [
        (f"{first.totals['rows']:,}", "rows in the first sync"),
        (f"{first.totals['requests']:,}", f"requests, in {first.seconds:.0f} s"),
        (f"{second.totals['rows']:,}", "rows in the second sync"),
        (f"{second.totals['requests']:,}", f"requests, in {second.seconds:.0f} s"),
    ]


def _teams(rows: Rows) -> tuple[str, Rows, str]:
    shown = rows[:_MOST]
    bars = [
        {
            "label": f"{row['team']}: {row['percent']:.0f} %",
            "part": part,
            "value": value / row["assigned"],
        }
        for row in shown
        for part, value in (
            ("completed", row["done"]),
            ("overdue", row["late"]),
            ("open", row["assigned"] - row["done"] - row["late"]),
        )
    ]
    which = (
        "each team" if len(rows) == len(shown) else f"the {len(shown)} teams furthest behind"
    )
    return f"Courses assigned to the members of {which}.", bars, "share of courses"


def _compliance(rows: Rows) -> tuple[str, Rows, str]:
    bars = [
        {
            "label": f"{row['course']}: {row['people']}",
            "part": "overdue",
            "value": row["people"],
        }
        for row in rows[:_MOST]
    ]
    longest = max((row["days"] for row in rows), default=0)
    note = f"Courses to be repeated from time to time; overdue for up to {longest} days."
    return note, bars, "people"


def _paths(rows: Rows) -> tuple[str, Rows, str]:
    bars = [
        {"label": f"{row['path']}: {row['percent']:.0f} %", "part": part, "value": row[column]}
        for row in rows[:_MOST]
        for part, column in (
            ("completed", "done"),
            ("under way", "learning"),
            ("not started", "waiting"),
        )
    ]
    return "People on each path, and how far they are on average.", bars, "people"


def _by_stream(first: Sync, second: Sync, what: str) -> Rows:
    return [
        {"label": stream, "part": f"{sync.name} sync", "value": sync.streams[stream][what]}
        for stream in first.streams
        for sync in (first, second)
    ]


def _stacked(bars: Rows, unit: str) -> _Chart:
    """Return bars of several parts, each bar below its label."""
    share = unit.startswith("share")
    axis = (
        alt.Axis(title=unit, values=[0, 0.25, 0.5, 0.75, 1], format="%")
        if share
        else alt.Axis(title=unit, tickCount=4, format=",d")
    )
    scale = alt.Scale(domain=[0, 1]) if share else alt.Scale()
    drawn = _BASE.mark_bar(size=12, yOffset=7).encode(
        x=alt.X("value:Q", stack="zero", axis=axis, scale=scale),
        color=_color(bars),
        order="order:Q",
    )
    return alt.layer(drawn, _labels(-7)).properties(height=alt.Step(32))


def _paired(bars: Rows, unit: str, figures: str) -> _Chart:
    """Return a bar for each part below each label, with its figure."""
    length = alt.X(
        "value:Q",
        axis=alt.Axis(title=unit, tickCount=4, format="~s"),
        scale=alt.Scale(domainMax=1.2 * max(bar["value"] for bar in bars)),
    )
    layers = [_labels(-10)]
    for number, part in enumerate(_parts(bars)):
        place = 3 + 12 * number
        one = _BASE.transform_filter(alt.datum.part == part).encode(x=length)
        layers += [
            one.mark_bar(size=10, yOffset=place).encode(color=_color(bars)),
            one.mark_text(
                align="left", baseline="middle", dx=4, yOffset=place, fontSize=10, color=_GREY
            ).encode(text=alt.Text("value:Q", format=figures)),
        ]
    return alt.layer(*layers).properties(height=alt.Step(43))


def _labels(offset: int) -> alt.Chart:
    """Return the labels at the left, each in the upper part of its step."""
    once = _BASE.transform_aggregate(groupby=["label"])
    text = once.mark_text(align="left", baseline="middle", fontSize=12, yOffset=offset)
    encoded: alt.Chart = text.encode(x=alt.value(0), text="label:N")
    return encoded


def _parts(bars: Rows) -> list[str]:
    return list(dict.fromkeys(bar["part"] for bar in bars))


def _color(bars: Rows) -> alt.Color:
    parts = _parts(bars)
    scale = alt.Scale(domain=parts, range=[_COLORS[part] for part in parts])
    return alt.Color("part:N", scale=scale, legend=None)


def _figure(title: str, note: str, bars: Rows, unit: str, figures: str = "") -> str:
    """Return a chart with its title and legend, drawn as SVG."""
    parts = _parts(bars)
    chart = _paired(bars, unit, figures) if figures else _stacked(bars, unit)
    specification = (
        chart.properties(width=_WIDTH)
        .configure(font=_FONT, padding={"left": 12, "right": 16, "top": 4, "bottom": 4})
        .configure_axis(
            labelFontSize=11, titleFontSize=11, titleFontWeight="normal", gridColor="#e6eaee"
        )
        .configure_view(stroke=None)
        .to_dict()
    )
    values = [bar | {"order": parts.index(bar["part"])} for bar in bars]
    svg = vl_convert.vegalite_to_svg(specification | {"datasets": {"bars": values}})
    legend = "".join(
        f'<span><i style="background:{_COLORS[part]}"></i>{part}</span>' for part in parts
    )
    return (
        f"<figure><figcaption><h3>{escape(title)}</h3><p>{escape(note)}</p>"
        f'<p class="legend">{legend}</p></figcaption>{svg}</figure>'
    )
