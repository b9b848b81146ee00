"""Counts words that stand in a noun's place, and sentences that are too long; `--check` holds them.

AT_MOST says how many faults each kind of text may have. `--verbose` shows the faults below such a
ceiling too.

A semicolon and a colon end a sentence here, and each entry of a docstring's section (Args, Returns,
Raises) is read for itself. Right are "what" and "who" in a question, "who" after the name of a
person, Python's None, and "none" as a table's whole cell. Not read are headings, code, quoted
names, generated tables of figures. Not found is "the one" in a noun's place.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from graft.cli import graft_group  # noqa: E402 - from this checkout

AT_MOST = {"help": 0, "messages": 0, "pages": 0, "docstrings": 0}
WORDS_AT_MOST = 25

_PATTERNS = {
    "what": r"\bwhat(?:ever)?\b",
    "that of": r"(?<!\bso )\b(?:that|those) (?:of|in|from|with|without|by|for|on)\b",
    "who": r"(?<!user )(?<!users )(?<!people )(?<!somebody )\bwho(?:ever|m)?\b",
    "nobody": r"\b(?:nobody|(?-i:none)|no one)\b",
    "beside": r"\bbeside\b",
    "in hand": r"\bin hand\b",
    "as it is": r"\bas (?:it is|they are)\b",
    "of them": r"^(?:(?-i:Of )|of [^,]+, |those )",
}
_FOUND = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _PATTERNS.items()}
_ASKED = {"what", "who"}
_SENTENCE = re.compile(r"(?<=[.;:?!])\s+")
_CODE = re.compile(
    r"^```.*?^```$|<!-- (?:table|targets|notes|machine).*?<!-- end.*?-->|<!--.*?-->"
    r"|(?<=\n\n)(?: {4}[^\n]*\n?)+",
    re.DOTALL | re.MULTILINE,
)
_ROW = re.compile(r"^ *\|.*$", re.MULTILINE)
_ITEM = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )")
_INLINE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"(?<=\])\([^)]*\)")
_NO_PROSE = re.compile(r"\s*(?:create|insert|select|update|delete|default-src|X11) ")
_DOCTEST = re.compile(r"^ *>>>.*(?:\n *\S.*)*", re.MULTILINE)
_SECTION = re.compile(
    r"^(Args|Attributes|Raises|Returns|Yields):\n((?: .*(?:\n|\Z)|\n(?= ))+)", re.MULTILINE
)
_PLAIN_SECTIONS = {"Returns", "Yields"}
_ENTRY = re.compile(r"\n(?=\S)")
_NAME = re.compile(r"^\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*:")


def findings(text: str) -> Iterator[tuple[str, str]]:
    """The faults of a text: the pattern's name, and the sentence."""
    plain = _LINK.sub("", _INLINE.sub("X", text))
    for sentence in _SENTENCE.split(" ".join(plain.split())):
        asked = sentence.endswith("?")
        for name, pattern in _FOUND.items():
            for _ in () if asked and name in _ASKED else pattern.finditer(sentence):
                yield name, sentence
        if len(sentence.split()) > WORDS_AT_MOST:
            yield "long", sentence


def helps() -> Iterator[tuple[str, str]]:
    """The help text of every command and option, with its name."""

    def walk(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
        for paragraph in (command.help or "").split("\n\n"):
            yield name, paragraph
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield f"{name} {parameter.opts[0]}", parameter.help or ""
        if isinstance(command, click.Group):
            context = click.Context(command)
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                assert found is not None
                yield from walk(found, f"{name} {below}")

    yield from walk(graft_group, "graft")


def messages() -> Iterator[tuple[str, str]]:
    """The texts in the code but docstrings, each with its place: errors, warnings, notes, cells."""
    for place, tree in _modules():
        passed = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                passed.update(map(id, node.values))
            elif isinstance(node, ast.Expr):  # a docstring
                passed.add(id(node.value))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in passed:
                text = _text(node)
                if " " in text and not _NO_PROSE.match(text):
                    yield f"{place}:{node.lineno}", text


def docstrings() -> Iterator[tuple[str, str]]:
    """The paragraphs and entries of every docstring, of attributes and constants too."""
    for place, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                value = node.value.value
                for text in entries(value) if isinstance(value, str) else ():
                    yield f"{place}:{node.lineno}", text


def entries(docstring: str) -> Iterator[str]:
    """The paragraphs of a docstring, and each entry of its sections, without code and doctests."""
    text = _DOCTEST.sub("", inspect.cleandoc(docstring))
    for name, section in _SECTION.findall(text):
        lines = textwrap.dedent(section)
        if name in _PLAIN_SECTIONS:
            yield lines
        else:
            yield from (_NAME.sub("", entry) for entry in _ENTRY.split(lines))
    yield from prose(_SECTION.sub("", text))


@cache
def _modules() -> list[tuple[str, ast.Module]]:
    files = sorted((ROOT / "graft").rglob("*.py"))
    return [(str(file.relative_to(ROOT)), ast.parse(file.read_text("utf-8"))) for file in files]


def _text(node: ast.expr) -> str:
    """A literal's text; a value put into it becomes one word."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(part) if isinstance(part, ast.Constant) else "X" for part in node.values
        )
    return ""


def pages() -> Iterator[tuple[str, str]]:
    """The paragraphs and the tables' cells of the pages, each with its page."""
    guides = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for page in [*guides, *sorted((ROOT / "docs").rglob("*.md"))]:
        for text in prose(page.read_text(encoding="utf-8")):
            yield str(page.relative_to(ROOT)), text


def prose(page: str) -> Iterator[str]:
    """The paragraphs, list items and tables' cells of a page in Markdown."""
    text = _CODE.sub("", page)
    for row in _ROW.findall(_INLINE.sub("X", text)):
        cells = (cell.strip() for cell in row.strip().strip("|").split("|"))
        yield from (cell for cell in cells if cell != "none")
    for paragraph in _ITEM.split(_ROW.sub("", text)):
        if not paragraph.lstrip().startswith("#"):
            yield paragraph


def main() -> int:
    kinds = {"help": helps, "messages": messages, "pages": pages, "docstrings": docstrings}
    counts: Counter[str] = Counter()
    for kind, texts in kinds.items():
        for place, text in texts():
            for fault, sentence in findings(text):
                counts[kind] += 1
                if "--verbose" in sys.argv[1:] or AT_MOST[kind] == 0:
                    print(f"{kind}: {place}: {fault}: {sentence}")
    print(", ".join(f"{kind}: {counts[kind]} of {AT_MOST[kind]}" for kind in kinds))
    return int("--check" in sys.argv[1:] and any(counts[kind] > AT_MOST[kind] for kind in kinds))


if __name__ == "__main__":
    sys.exit(main())
