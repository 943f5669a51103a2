"""The rooms of the house: data flows one way, and no room imports one that comes after it."""

from __future__ import annotations

import ast
from pathlib import Path

import tap_litmos

ROOMS = (
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
