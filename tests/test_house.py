"""The house is in order: a class name stands once, and a module lies in the room of its subject."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import graft

HOUSE = Path(graft.__file__).parent
ROOT_MODULES = {
    "__init__",
    "__main__",
    "errors",
    "graph",
    "quantities",
    "version",
    "workers",
}
ROOMS = {
    "check",
    "cli",
    "executor",
    "fixups",
    "formats",
    "jobs",
    "kernel",
    "machine",
    "objects",
    "plan",
    "store",
    "ways",
}


def test_a_public_class_name_stands_once() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(HOUSE.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(file.relative_to(HOUSE).as_posix())
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_no_module_lies_flat_but_the_seven_at_the_root() -> None:
    assert {file.stem for file in HOUSE.glob("*.py")} == ROOT_MODULES


def test_there_are_twelve_rooms() -> None:
    assert {file.parent.name for file in HOUSE.glob("*/__init__.py")} == ROOMS
