"""Write what can be known from the code into the documentation: `make docs`.

The parts between two markers of `README.md` and `docs/streams.md`, the tap's definition in
`meltano.yml`, `docs/tap-litmos.yml`, the sources and staging models of the dbt package, and the
catalog entries in `tests/snapshots`.
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

from scripts.staging import FOLDER, staging
from tap_litmos.sandbox import Organisation
from tap_litmos.streams import ENDPOINTS, SYNC_LOG
from tap_litmos.tap import TapLitmos

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_litmos.declaration import Declaration

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOTS = ROOT / "tests" / "snapshots"

_KINDS = ("integer", "boolean", "array", "object")
_DATES = {"start_date", "end_date"}
_PER_YEAR = 365

_SAMPLE = ("UserName", "Name", "PercentageComplete", "Overdue", "CompletedDate")
"""The columns that the sample of `course_results` shows."""

_SAMPLE_PROGRESS = (100, 75, 50, 0)
_SAMPLE_TIME = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)

_BY_DEFAULT = [
    endpoint for endpoint in ENDPOINTS if endpoint.selected_by_default and not endpoint.is_listing
]


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
    for name, rule in schema["properties"].items():
        full = prefix + name
        if rule.get("properties") and rule.get("additionalProperties") is True:
            yield from _settings(rule, f"{full}.")
            continue
        label = rule.get("title") or _label(name.replace("_", " "))
        setting: dict[str, Any] = {"name": full, "label": label, "kind": _kind(full, rule)}
        if rule.get("enum"):
            values = [value for value in rule["enum"] if value != "parquet"]  # the tap refuses it
            options = [{"label": _label(value), "value": value} for value in values]
            setting["options"] = options
        if rule.get("secret"):
            setting["sensitive"] = True
        if "default" in rule:
            setting["value"] = rule["default"]
        setting["description"] = rule["description"]
        yield setting


def _kind(name: str, schema: Mapping[str, Any]) -> str:
    if name in _DATES:
        return "date_iso8601"
    if schema.get("enum"):
        return "options"
    return next((kind for kind in _KINDS if kind in schema.get("type", ())), "string")


def _label(words: str) -> str:
    """Return words with a capital, and what is spoken in letters in capitals."""
    label = words[0].upper() + words[1:]
    return re.sub(
        r"\b(api|url|us|eu|au)\b", lambda found: found[0].upper(), label, flags=re.IGNORECASE
    )


def definition(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Meltano must know of the tap, but for where to find it."""
    return {
        "capabilities": told["capabilities"],
        "settings_group_validation": [told["settings"]["required"]],
        "settings": list(_settings(told["settings"])),
        "select": [
            *(f"{endpoint.stream}.*" for endpoint in _BY_DEFAULT),
            # Listings are there with `detect_deletes` alone; of a pattern Meltano does not
            # complain when it finds nothing.
            *dict.fromkeys(
                f"*_{endpoint.stream.rpartition('_')[2]}.*"
                for endpoint in ENDPOINTS
                if endpoint.is_listing
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
    for name, rule in told["settings"]["properties"].items():
        if "stream_map" in name or name.startswith(("faker", "flattening", "batch")):
            added.append(f"`{name}`")
            continue
        default = f"`{json.dumps(rule['default'])}`" if "default" in rule else ""
        if name in told["settings"]["required"]:
            default = "**required**"
        lines.append(f"| `{name}` | {default.replace(chr(34), '')} | {rule['description']} |")
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
    others = [endpoint for endpoint in ENDPOINTS if endpoint not in _BY_DEFAULT]
    return "\n".join(
        f"- {which}: {', '.join(f'`{endpoint.stream}`' for endpoint in streams)}"
        for which, streams in (
            ("**On**", _BY_DEFAULT),
            (
                "**Off until selected**",
                [*(endpoint for endpoint in others if not endpoint.is_listing), SYNC_LOG],
            ),
            (
                "**With `detect_deletes`**",
                [endpoint for endpoint in others if endpoint.is_listing],
            ),
        )
    )


def streams_table() -> str:
    """Return the streams with their keys as a table."""
    lines = ["| stream | rows | primary key | replication key |", "|---|---|---|---|"]
    for declaration in (*ENDPOINTS, SYNC_LOG):
        key = ", ".join(f"`{name}`" for name in declaration.primary_key)
        changed = f"`{declaration.replication_key}`" if declaration.replication_key else "none"
        lines.append(
            f"| `{declaration.stream}`{_mark(declaration)} | {declaration.description} "
            f"| {key} | {changed} |"
        )
    return "\n".join(lines)


def _mark(declaration: Declaration) -> str:
    """Return the mark of a stream that is not on by default."""
    if declaration in _BY_DEFAULT:
        return ""
    return " †" if declaration.selected_by_default else " \\*"


def diagram() -> str:
    """Return how the streams refer to each other, as a diagram that GitHub draws."""
    lines = ["```mermaid", "erDiagram"]
    for endpoint in _BY_DEFAULT:
        for number, (field, target) in enumerate(endpoint.references.items()):
            other, _ = target.split(".")
            # A diagram is drawn along its lines: from one stream through another to a third.
            ends = (
                f"{endpoint.stream} }}o--|| {other}"
                if number
                else f"{other} ||--o{{ {endpoint.stream}"
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


def catalog_entries() -> dict[Path, str]:
    """Return the catalog's entry of each stream, by the file in which changes are reviewed."""
    settings = {"api_key": "-", "start_date": "2026-01-01"}
    options = {"detect_deletes": True, "include_login_key": True}
    return {
        SNAPSHOTS / f"{entry['tap_stream_id']}.json": f"{json.dumps(entry, indent=2)}\n"
        for entry in TapLitmos(config=settings | options).catalog_dict["streams"]
    }


def with_definition(project: str, plugin: Mapping[str, Any]) -> str:
    """Return a `meltano.yml` with these values of the tap.

    Its text changes only if a value does: Meltano's own commands write it in their own way.
    """
    taps = yaml.safe_load(project)["plugins"]["extractors"]
    number = [tap["name"] for tap in taps].index("tap-litmos")
    if taps[number] | plugin == taps[number]:
        return project
    node: Any = yaml.compose(project)
    for name in ("plugins", "extractors"):
        node = next(value for key, value in node.value if key.value == name)
    start, end = node.value[number].start_mark, node.value[number].end_mark
    written = _yaml(taps[number] | plugin).rstrip().replace("\n", "\n" + " " * start.column)
    return project.replace(project[start.index : end.index].rstrip(), written)


def _fill(path: Path, parts: Mapping[str, str]) -> str:
    """Return a document with other content between its markers."""
    text = path.read_text("utf-8")
    for name, content in parts.items():
        before, after = f"<!-- {name}: make docs -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(before)}\n.*?{re.escape(after)}", re.DOTALL)
        text, count = pattern.subn(f"{before}\n{content}\n{after}".replace("\\", r"\\"), text)
        if count != 1:
            raise ValueError(f"There is not one {before} in {path.name}")
    return text


def documents() -> dict[Path, str]:
    """Return the content that each generated document should have."""
    told = about()
    filled = {
        "README.md": {
            "sample": sample(),
            "backfill": backfill_table(),
            "settings": settings_table(told),
            "streams": stream_names(),
        },
        "docs/streams.md": {"streams": streams_table(), "diagram": diagram()},
    }
    meltano = ROOT / "meltano.yml"
    return {
        **{ROOT / name: _fill(ROOT / name, parts) for name, parts in filled.items()},
        meltano: with_definition(meltano.read_text("utf-8"), definition(told)),
        ROOT / "docs/tap-litmos.yml": hub_definition(told),
        **{ROOT / path: content for path, content in staging().items()},
        **catalog_entries(),
    }


def left_over(texts: Mapping[Path, str]) -> list[Path]:
    """Return the files of folders that are generated whole which nothing generates any more."""
    files = (path for folder in (SNAPSHOTS, ROOT / FOLDER) for path in folder.iterdir())
    return [path for path in files if path not in texts]


def main() -> None:
    """Write the documents."""
    texts = documents()
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    for path in left_over(texts):
        path.unlink()


if __name__ == "__main__":
    main()
