"""Draws the layers in explanation/architecture.md from pyproject.toml; `--check` only compares."""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

from generated import keep_current

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
_BLOCK = re.compile(r"(?<=<!-- layers -->\n).*?(?=<!-- end of layers -->)", re.DOTALL)


def layers() -> list[list[str]]:
    """The modules of each layer, from the top, as the import-linter contract has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    contract = next(one for one in contracts if one["type"] == "layers")
    return [
        [module.strip().removeprefix("graft.") for module in re.split(r"[|:]", layer)]
        for layer in contract["layers"]
    ]


def drawing() -> str:
    found = layers()
    arrows = [
        f"    {' & '.join(upper)} --> {' & '.join(lower)}" for upper, lower in pairwise(found)
    ]
    return "\n".join(
        [
            "",
            "```mermaid",
            "flowchart TD",
            *arrows,
            "```",
            "",
            "",
        ]
    )


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    return keep_current(PAGE, _BLOCK.sub(lambda _: drawing(), page))


if __name__ == "__main__":
    sys.exit(main())
