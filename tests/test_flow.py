"""Modules: none imports one that imports it, and the development docs name each."""

from __future__ import annotations

import ast
import graphlib
import re
from pathlib import Path

import tap_litmos

FOLDER = Path(tap_litmos.__file__).parent
ROOMS = {path.stem: [path] for path in FOLDER.glob("*.py") if path.stem != "__init__"} | {
    path.name: list(path.glob("*.py"))
    for path in FOLDER.iterdir()
    if (path / "__init__.py").exists()
}
DEVELOPMENT = (FOLDER.parent / "docs" / "development.md").read_text("utf-8")


def imported(room: str) -> set[str]:
    """Return the rooms that a room imports when it is loaded, not those it needs for types."""
    trees = [ast.parse(file.read_text("utf-8")) for file in ROOMS[room]]
    nodes = [node for tree in trees for node in tree.body if isinstance(node, ast.ImportFrom)]
    found: set[str] = set()
    for node in nodes:
        package, _, name = (node.module or "").partition(".")
        if package == "tap_litmos":
            found |= {name.partition(".")[0]} if name else {alias.name for alias in node.names}
    return found - {room}


def test_no_module_imports_one_that_imports_it() -> None:
    graph = {room: imported(room) for room in ROOMS}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) >= set(ROOMS)
    assert "errors" in graph["client"] | graph["bodies"]
    assert not graph["sandbox"] - {"declaration", "streams"}


def test_developers_find_every_module() -> None:
    listed = re.findall(r"^  (\w+)(?:\.py|/) ", DEVELOPMENT, re.MULTILINE)
    assert sorted(listed) == sorted(ROOMS.keys() - {"__main__"})
