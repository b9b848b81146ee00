"""Fills the outputs of commands in the pages from a demo that is really run.

In a page, every line `$ COMMAND` of a block that begins with ```console is followed by what that
command prints. Commands of the demo's story are taken from there; others are run in the directory
it leaves behind, in the order of the page. `--check` only compares: hash parts, sizes, times and
the width of tables may differ.
"""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from pathlib import Path

from generated import keep_current

from graft.demo import Step, find_compiler, prepared, tell
from graft.demo.shell import Shell
from graft.tree import remove_tree

DOCS = Path(__file__).parent
PAGES = [DOCS / "tutorial" / "first-graft.md"]
SHOWN_DIRECTORY = "/tmp/demo"

_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_VARYING = [
    (re.compile(r"[0-9a-df-np-su-z]{32}"), "HASH"),
    (re.compile(r"\b[0-9]+(\.[0-9])? (B|KiB|MiB|GiB|TiB)\b"), "SIZE"),
    (re.compile(r"\b[0-9]+\.[0-9]+ s\b"), "TIME"),
    (re.compile(r"─+"), "─"),
    (re.compile(r"[ \t]+"), " "),
]


class Demo:
    """A demo's directory, and what its commands printed."""

    def __init__(self, directory: str) -> None:
        with prepared(directory) as self._directory:
            steps = [s for s in tell(self._directory, find_compiler()) if isinstance(s, Step)]
        self._steps: dict[str, Step] = {}
        for step in steps:
            self._steps.setdefault(self._shown(step.command), step)
        self._shell = Shell()
        self._shell.enter(self._directory)
        place = Path(self._directory)
        self._shell.export(NIX_STORE_DIR=str(place / "store"), NIX_STATE_DIR=str(place / "state"))

    def _shown(self, text: str) -> str:
        return text.replace(self._directory, SHOWN_DIRECTORY)

    def transcript(self, commands: list[str]) -> str:
        """The commands, each with its output and its status where that is not 0."""
        text = ""
        for command in commands:
            step = self._steps.get(command) or self._shell.run(*shlex.split(command))
            status = f"[status {step.status}]\n" if step.status else ""
            text += f"$ {command}\n{self._shown(step.output)}{status}"
        return text

    def filled(self, page: str) -> str:
        """A page with the outputs of its commands."""

        def fill(block: re.Match[str]) -> str:
            commands = [line[2:] for line in block[0].splitlines() if line.startswith("$ ")]
            return self.transcript(commands)

        return _BLOCK.sub(fill, page)


def leveled(text: str) -> str:
    """A text without what differs between machines and runs."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text


def main() -> int:
    directory = tempfile.mkdtemp(prefix="graft-docs-")
    try:
        demo = Demo(directory)
        statuses = [
            keep_current(page, demo.filled(page.read_text(encoding="utf-8")), leveled)
            for page in PAGES
        ]
    finally:
        remove_tree(directory)
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
