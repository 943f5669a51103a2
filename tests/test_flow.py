"""The rooms of the house: data flows one way, and no room imports one that comes after it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import tap_litmos
from scripts.docs import ROOT

ROOMS = (
    "log",
    "errors",
    "declaration",
    "streams",
    "windows",
    "settings",
    "paginator",
    "rows",
    "rate",
    "host",
    "connections",
    "redact",
    "transport",
    "fetcher",
    "bookmark",
    "summary",
    "progress",
    "run",
    "client",
    "sync_log",
    "tap",
    "check",
    "cli",
)
"""In the order of the flow: windows, pages, transport, rows, stream, stdout."""

FOLDER = Path(tap_litmos.__file__).parent


def imported(room: str, *, for_types: bool = False) -> set[str]:
    """Return the rooms that a room imports when it runs, and also those it needs for types."""
    files = [FOLDER / f"{room}.py", *(FOLDER / room).glob("*.py")]
    trees = [ast.parse(file.read_text("utf-8")) for file in files if file.exists()]
    found: set[str] = set()
    nodes = (node for tree in trees for node in (ast.walk(tree) if for_types else tree.body))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "tap_litmos":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            package, name, *_ = [*node.module.split("."), ""]
            found.update({name} if package == "tap_litmos" else ())
    return found - {room}


def test_every_room_is_on_the_way() -> None:
    assert sorted(ROOMS) == sorted(
        path.stem
        for path in FOLDER.iterdir()
        if not path.stem.startswith("__")
        and (path.suffix == ".py" or (path.is_dir() and path.name != "sandbox"))
    )


def test_no_room_imports_one_that_comes_after_it() -> None:
    for place, room in enumerate(ROOMS):
        assert imported(room) <= set(ROOMS[:place]), room


def test_the_picture_joins_rooms_of_which_one_imports_the_other() -> None:
    text = (ROOT / "docs" / "development.md").read_text("utf-8")
    [picture] = re.findall(r"```mermaid\nflowchart TB\n(.*?)```", text, re.DOTALL)
    arrows = re.findall(r"^ +([\w-]+)\b.*?-> ([\w-]+)", picture, re.MULTILINE)
    assert len(arrows) == len(picture.splitlines())
    joined = [{start, end} for start, end in arrows if {start, end} <= set(ROOMS)]
    assert len(joined) > 10
    for one, other in joined:
        both = imported(one, for_types=True), imported(other, for_types=True)
        assert other in both[0] or one in both[1], (one, other)
    assert {"cli", "windows", "fetcher", "transport", "rows", "client"} <= set().union(*joined)


def test_the_developers_find_every_room() -> None:
    text = (ROOT / "docs" / "development.md").read_text("utf-8")
    assert sorted(re.findall(r"^  (\w+)(?:\.py|/) ", text, re.MULTILINE)) == sorted(
        [*ROOMS, "sandbox"]
    )
