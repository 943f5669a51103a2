"""The rooms of the house: data flows one way, and no room imports one that comes after it."""

from __future__ import annotations

import ast
from pathlib import Path

import tap_litmos

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
    "tap",
    "cli",
)
"""In the order of the flow: windows, pages, transport, rows, stream, stdout."""

FOLDER = Path(tap_litmos.__file__).parent


def imported(room: str) -> set[str]:
    """Return the rooms that a room imports when it runs, not those it needs for types."""
    tree = ast.parse((FOLDER / f"{room}.py").read_text("utf-8"))
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "tap_litmos":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            package, _, name = node.module.partition(".")
            found.update({name} if package == "tap_litmos" else ())
    return found


def test_every_room_is_on_the_way() -> None:
    assert sorted(ROOMS) == sorted(
        path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("__")
    )


def test_no_room_imports_one_that_comes_after_it() -> None:
    for place, room in enumerate(ROOMS):
        assert imported(room) <= set(ROOMS[:place]), room
