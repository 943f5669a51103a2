"""Write what can be known from the code into the documentation: `make docs`.

The parts between two markers of `README.md`, `docs/streams.md` and `meltano.yml`,
`docs/tap-litmos.yml`, and the sources and staging models of the dbt package.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scripts.staging import staging
from tap_litmos.sandbox import Organisation
from tap_litmos.streams import ENDPOINTS, SYNC_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent

_KINDS = {"integer": "integer", "boolean": "boolean", "array": "array", "object": "object"}
_DATES = {"start_date", "end_date"}
_PER_YEAR = 365

_SAMPLE = ("UserName", "Name", "PercentageComplete", "Overdue", "CompletedDate")
"""The columns that the sample of `course_results` shows."""

_SAMPLE_PROGRESS = (100, 75, 50, 0)
_SAMPLE_TIME = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)

_BY_DEFAULT = [each for each in ENDPOINTS if each.selected_by_default and not each.is_listing]


def about() -> dict[str, Any]:
    """Return what the tap says of itself."""
    said = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "tap_litmos", "--about", "--format=json"],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def _settings(schema: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, Any]]:
    """Yield Meltano's definition of each setting; groups are given as their members."""
    for name, each in schema["properties"].items():
        full = prefix + name
        if each.get("properties") and each.get("additionalProperties") is True:
            yield from _settings(each, f"{full}.")
            continue
        setting: dict[str, Any] = {"name": full, "label": each["title"]}
        setting["kind"] = _kind(full, each)
        if each.get("enum"):
            setting["options"] = [
                {"label": _label(value), "value": value} for value in each["enum"]
            ]
        if each.get("secret"):
            setting["sensitive"] = True
        if "default" in each:
            setting["value"] = each["default"]
        setting["description"] = each["description"]
        yield setting


def _kind(name: str, schema: Mapping[str, Any]) -> str:
    if name in _DATES:
        return "date_iso8601"
    if schema.get("enum"):
        return "options"
    kinds = [_KINDS[each] for each in schema.get("type", ()) if each in _KINDS]
    return kinds[0] if kinds else "string"


def _label(value: str) -> str:
    return value.upper() if len(value) == 2 else value  # noqa: PLR2004 - a region


def definition(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Meltano must know of the tap, but for where to find it."""
    return {
        "capabilities": told["capabilities"],
        "settings_group_validation": [told["settings"]["required"]],
        "settings": list(_settings(told["settings"])),
        "select": [
            *(f"{each.stream}.*" for each in _BY_DEFAULT),
            # Listings are there with `detect_deletes` alone; of a pattern Meltano does not
            # complain when it finds nothing.
            *dict.fromkeys(
                f"*_{each.stream.rpartition('_')[2]}.*" for each in ENDPOINTS if each.is_listing
            ),
        ],
    }


def _yaml(data: object, *, sort_keys: bool = False) -> str:
    return yaml.safe_dump(data, sort_keys=sort_keys, allow_unicode=True, width=96)


def hub_definition(told: Mapping[str, Any]) -> str:
    """Return a plugin definition as Meltano's hub has them: all is in alphabetical order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    repository = project["urls"]["Repository"]
    plugin = definition(told)
    plugin["capabilities"].sort()
    plugin["settings"].sort(key=lambda setting: setting["name"])
    plugin |= {
        "name": "tap-litmos",
        "namespace": "tap_litmos",
        "variant": repository.split("/")[-2],
        "label": "Litmos",
        "description": "Learning management system",
        "domain_url": "https://www.litmos.com",
        "repo": repository,
        "pip_url": f"git+{repository}.git",
        "executable": "tap-litmos",
        "keywords": ["api", "meltano_sdk"],
        "log_parser": "singer-sdk",
        "maintenance_status": "active",
        "quality": "silver",
        "supported_python_versions": told["supported_python_versions"],
    }
    return "# Written by `make docs`.\n" + _yaml(plugin, sort_keys=True)


def settings_table(told: Mapping[str, Any]) -> str:
    """Return the settings as a table, and the names of those that the SDK adds."""
    lines = ["| setting | default | what it is |", "|---|---|---|"]
    added = []
    for name, each in told["settings"]["properties"].items():
        if "stream_map" in name or name.startswith(("faker", "flattening", "batch")):
            added.append(f"`{name}`")
            continue
        default = f"`{json.dumps(each['default'])}`" if "default" in each else ""
        if name in told["settings"]["required"]:
            default = "**required**"
        lines.append(f"| `{name}` | {default.replace(chr(34), '')} | {each['description']} |")
    return "\n".join([*lines, "", f"The SDK adds {', '.join(added)}."])


def sample() -> str:
    """Return some rows of a sandbox as a table: the first of each progress."""
    org = Organisation(users=60, years=0.25, live=False, clock=lambda: _SAMPLE_TIME)
    rows = org.rows("course_results")
    shown = [
        next(row for row in rows if row["PercentageComplete"] == progress)
        for progress in _SAMPLE_PROGRESS
    ]
    cells = [_SAMPLE, *([_cell(row[name]) for name in _SAMPLE] for row in shown)]
    heading, *lines = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([heading, "|---" * len(_SAMPLE) + "|", *lines])


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    text = str(value).strip() if isinstance(value, str) else json.dumps(value)
    return f"`{text}`" if "@" in text else text  # else it is drawn as a link


def stream_names() -> str:
    """Return the names of the streams, those that are on first."""
    others = [each for each in ENDPOINTS if each not in _BY_DEFAULT]
    return "\n".join(
        f"- {which}: {', '.join(f'`{each.stream}`' for each in streams)}"
        for which, streams in (
            ("**On**", _BY_DEFAULT),
            (
                "**Off until selected**",
                [*(each for each in others if not each.is_listing), SYNC_LOG],
            ),
            ("**With `detect_deletes`**", [each for each in others if each.is_listing]),
        )
    )


def streams_table() -> str:
    """Return the streams with their keys as a table."""
    lines = ["| stream | rows | primary key | replication key |", "|---|---|---|---|"]
    for each in (*ENDPOINTS, SYNC_LOG):
        mark = "" if each in _BY_DEFAULT else " †" if each.selected_by_default else " \\*"
        key = ", ".join(f"`{name}`" for name in each.primary_key)
        changed = f"`{each.replication_key}`" if each.replication_key else "none"
        lines.append(f"| `{each.stream}`{mark} | {each.description} | {key} | {changed} |")
    return "\n".join(lines)


def diagram() -> str:
    """Return how the streams refer to each other, as a diagram that GitHub draws."""
    lines = ["```mermaid", "erDiagram"]
    for each in _BY_DEFAULT:
        for number, (field, target) in enumerate(each.references.items()):
            other, _ = target.split(".")
            # A diagram is drawn along its lines: from one stream through another to a third.
            ends = (
                f"{each.stream} }}o--|| {other}" if number else f"{other} ||--o{{ {each.stream}"
            )
            lines.append(f"    {ends} : {field}")
    return "\n".join([*lines, "```"])


def backfill_table() -> str:
    """Return how long a backfill takes, by years."""
    lines = ["| years | requests | at 90 a minute |", "|---|---|---|"]
    for years in (1, 2, 5, 10):
        windows = -(-_PER_YEAR * years // 7)
        requests = len(_BY_DEFAULT) * windows
        minutes = round(requests / 90)
        took = f"{minutes} minutes" if minutes < 100 else f"{minutes / 60:.1f} hours"  # noqa: PLR2004
        lines.append(f"| {years} | {requests:,} | {took} |")
    return "\n".join(lines)


def _fill(text: str, name: str, content: str, marks: tuple[str, str]) -> str:
    """Return a text with other content between two markers."""
    before, after = (mark.format(name) for mark in marks)
    pattern = re.compile(f"{re.escape(before)}\n.*?{re.escape(after)}", re.DOTALL)
    filled, count = pattern.subn(lambda _: f"{before}\n{content}\n{after}", text)
    if count != 1:
        raise ValueError(f"There is not one {before}")
    return filled


def _indented(text: str, spaces: int) -> str:
    return "\n".join(f"{' ' * spaces}{line}" if line else "" for line in text.splitlines())


def documents() -> dict[Path, str]:
    """Return the content that each generated document should have."""
    told = about()
    readme, streams, meltano = (
        ROOT / name for name in ("README.md", "docs/streams.md", "meltano.yml")
    )
    written = {
        readme: {
            "sample": sample(),
            "backfill": backfill_table(),
            "settings": settings_table(told),
            "streams": stream_names(),
        },
        streams: {"streams": streams_table(), "diagram": diagram()},
    }
    texts = {}
    for path, parts in written.items():
        texts[path] = path.read_text("utf-8")
        for name, content in parts.items():
            marks = ("<!-- {}: make docs -->", "<!-- end of {} -->")
            texts[path] = _fill(texts[path], name, content, marks)
    project = _fill(
        meltano.read_text("utf-8"),
        "tap-litmos",
        _indented(_yaml(definition(told)), 4),
        ("    # {}: make docs", "    # end of {}"),
    )
    return {
        **texts,
        meltano: project,
        ROOT / "docs/tap-litmos.yml": hub_definition(told),
        **{ROOT / path: content for path, content in staging().items()},
    }


def main() -> None:
    """Write the documents."""
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
