"""Fills the outputs of commands in the pages from a demo that is really run.

In a page, every line `$ COMMAND` of a block that begins with ```console is followed by what that
command prints. Commands of the demo's story are taken from there; others are run in the directory
it leaves behind, in the order of the page. `--check` only compares: hash parts, sizes, times, the
width of tables, processes and users, and the order of lines may differ.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sys
import time
from glob import glob
from pathlib import Path

from generated import keep_current

from graft.cli.demo import DemoStep, find_compiler, prepared, tell
from graft.cli.demo.shell import Shell
from graft.kernel.tree import remove_tree

DOCS = Path(__file__).parent
PAGES = {  # and whether its demo is the store only
    DOCS / "tutorial" / "first-graft.md": False,
    DOCS / "tutorial" / "openssl-is-on-fire.md": True,
}
SHOWN_DIRECTORY = "/tmp/demo"

_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_SYNTAX = re.compile(r"[*>&$]")  # of a shell's
_START_SECONDS = 1.0  # for a program in the background
_VARYING = [
    (re.compile(r"[0-9a-df-np-su-z]{32}"), "HASH"),
    (re.compile(r"[0-9a-df-np-su-z]{6}…"), "HASH…"),
    # The example of a kind of fix-up is the first by its hash part.
    (re.compile(r"HASH-[^ ]+(?= +its build id)"), "FILE"),
    (
        re.compile(
            r"^[0-9a-df-np-su-z]{8}(?=  )|(?<=graft )[0-9a-df-np-su-z]{8}"
            r"|(?<=--forget )[0-9a-df-np-su-z]{8}",
            re.MULTILINE,
        ),
        "ID",
    ),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}Z?"), "DATE"),
    (re.compile(r"made .* ago by .*"), "MADE"),
    (re.compile(r"[0-9]+ notes \([^)]*\)"), "PROCESS"),
    (re.compile(r"[0-9]+ roots? in force.* affected, of [0-9]+ roots"), "ROOTS"),
    (re.compile(r"^graft: warning: .* may not read: .*\n", re.MULTILINE), ""),
    (re.compile(r"\b[0-9]+(\.[0-9])? (B|KiB|MiB|GiB|TiB)\b"), "SIZE"),
    (re.compile(r"\b[0-9]+\.[0-9]+ s\b"), "TIME"),
    (re.compile(r"─+"), "─"),
    (re.compile(r"[ \t]+"), " "),
]


class Demo:
    """A demo's directory, and what its commands printed."""

    def __init__(self, directory: str, *, store_only: bool) -> None:
        with prepared(directory) as self._directory:
            told = tell(self._directory, find_compiler(), store_only=store_only)
            steps = [part for part in told if isinstance(part, DemoStep)]
        self._steps: dict[str, DemoStep] = {}
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
            step = self._steps.get(command) or self._run(command)
            status = f"[status {step.status}]\n" if step.status else ""
            text += f"$ {command}\n{self._shown(step.output)}{status}"
        return text

    def _run(self, command: str) -> DemoStep:
        words = shlex.split(command)
        if words[0] == "graft" and "*" in command:
            found = [glob(word, root_dir=self._directory) or [word] for word in words]
            words = [word for matches in found for word in matches]
        elif _SYNTAX.search(command):
            words = ["sh", "-c", command]
        step = self._shell.run(*words)
        if "&" in command:
            time.sleep(_START_SECONDS)
        return step

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
    return "\n".join(sorted(text.splitlines()))  # roots come in the order of their hash parts


def main() -> int:
    return max(_kept_current(page, store_only=store_only) for page, store_only in PAGES.items())


def _kept_current(page: Path, *, store_only: bool) -> int:
    directory = _made_directory()
    try:
        demo = Demo(directory, store_only=store_only)
        return keep_current(page, demo.filled(page.read_text(encoding="utf-8")), leveled)
    finally:
        remove_tree(directory)


def _made_directory() -> str:
    """A directory with a name as long as the one that is shown, so that tables are straight."""
    place, name = os.path.split(SHOWN_DIRECTORY)
    while True:
        directory = os.path.join(place, secrets.token_hex(len(name))[: len(name)])
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            continue
        return directory


if __name__ == "__main__":
    sys.exit(main())
