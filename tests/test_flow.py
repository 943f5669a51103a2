"""The rooms of the house: data flows one way, and no room imports one that comes after it."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import tap_litmos

ROOMS = (
    "log",
    "errors",
    "wording",
    "declaration",
    "streams",
    "windows",
    "settings",
    "hashes",
    "paginator",
    "bodies",
    "rows",
    "patience",
    "rate",
    "headers",
    "connections",
    "redact",
    "refusals",
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
    "output",
    "cli",
)
"""In the order of the flow: windows, pages, transport, rows, stream, stdout."""

FOLDER = Path(tap_litmos.__file__).parent


def imported(room: str) -> set[str]:
    """Return the rooms that a room imports when it runs, not those it needs for types."""
    files = [FOLDER / f"{room}.py", *(FOLDER / room).glob("*.py")]
    trees = [ast.parse(file.read_text("utf-8")) for file in files if file.exists()]
    found: set[str] = set()
    for node in (node for tree in trees for node in tree.body):
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


DEVELOPMENT = (FOLDER.parent / "docs" / "development.md").read_text("utf-8")


def needed(room: str) -> set[str]:
    """Return the rooms that a room imports, also those it needs for types."""
    text = (FOLDER / f"{room}.py").read_text("utf-8")
    return set(re.findall(r"^ *from tap_litmos(?:\.| import )(\w+)", text, re.MULTILINE))


def test_the_picture_joins_rooms_of_which_one_imports_the_other() -> None:
    [picture] = re.findall(r"```mermaid\nflowchart TB\n(.*?)```", DEVELOPMENT, re.DOTALL)
    names = dict(re.findall(r"(\w+)\[(\w+)\]", picture))
    arrows = re.findall(r"^ +(\w+)\b.*--> (\w+)", picture, re.MULTILINE)
    assert len(arrows) == picture.count("-->") > 15
    joined = [{names.get(each, each) for each in arrow} for arrow in arrows]
    joined = [each for each in joined if each <= set(ROOMS)]
    for one, other in joined:
        assert other in needed(one) or one in needed(other), (one, other)
    drawn = {
        "windows",
        "paginator",
        "fetcher",
        "transport",
        "bodies",
        "rows",
        "client",
        "bookmark",
        "tap",
    }
    assert drawn == set().union(*joined) - {"cli"}


def test_the_developers_find_every_room() -> None:
    listed = re.findall(r"^  (\w+)(?:\.py|/) ", DEVELOPMENT, re.MULTILINE)
    assert sorted(listed) == sorted([*ROOMS, "sandbox"])


def test_what_developers_are_told_to_read_is_there() -> None:
    lines = re.findall(r"^\| `(\w+)\.py` \| (.*) \|$", DEVELOPMENT, re.MULTILINE)
    assert len(lines) > 10
    for room, names in lines:
        module = importlib.import_module(f"tap_litmos.{room}")
        defined = {*dir(module), *(name for one in vars(module).values() for name in dir(one))}
        assert set(re.findall(r"`(\w+)`", names)) <= defined, room
