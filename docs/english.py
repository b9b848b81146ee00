"""Counts words that stand in a noun's place, and sentences that are too long; `--check` holds them.

Help texts and messages must have none. Pages and docstrings may have as many as AT_MOST says, which
goes down with each pass over them. A semicolon and a colon end a sentence here. "What" and "who" are
right in a question, and "who" after the name of a person. Headings, tables and code are not read.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from graft.cli import graft_group  # noqa: E402 - from this checkout

PAGES_AT_MOST = 0
WORDS_AT_MOST = 25

PATTERNS = {
    "what": r"\bwhat(?:ever)?\b",
    "that of": r"(?<!\bso )\b(?:that|those) (?:of|in|from|with|without|by|for|on)\b",
    "who": r"(?<!user )(?<!users )(?<!people )(?<!somebody )\bwho(?:ever|m)?\b",
    "nobody": r"\b(?:nobody|none|no one)\b",
    "beside": r"\bbeside\b",
    "in hand": r"\bin hand\b",
    "as it is": r"\bas (?:it is|they are)\b",
    "of them": r"^(?:Of|Those) ",
}
_FOUND = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in PATTERNS.items()}
_ASKED = {"what", "who"}
_SENTENCE = re.compile(r"(?<=[.;:?!])\s+")
_CODE = re.compile(
    r"^```.*?^```$|<!-- table.*?<!-- end.*?-->|<!--.*?-->|^\|.*?$|(?<=\n\n) {4}.*?$",
    re.DOTALL | re.MULTILINE,
)
_INLINE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"(?<=\])\([^)]*\)")
_RAISED = {"PlanWarning", "LeftAloneError", "print_note", "Problem"}


def findings(text: str) -> Iterator[tuple[str, str]]:
    """The faults of a text: which, and the sentence."""
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
        yield name, command.help or ""
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
    """The sentences of errors, warnings and notes, each with its place."""
    for file in sorted((ROOT / "graft").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if not (name.endswith("Error") or name in _RAISED):
                continue
            parts = [*node.args, *(word.value for word in node.keywords if word.arg == "message")]
            for part in parts[:2]:
                if (text := _text(part)) and " " in text:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", text


def _text(node: ast.expr) -> str:
    """A literal's text; what is put into it becomes one word."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(part) if isinstance(part, ast.Constant) else "X" for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


def pages() -> Iterator[tuple[str, str]]:
    """The paragraphs of the pages, without code and tables, each with its page."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = _CODE.sub("", page.read_text(encoding="utf-8"))
        for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text):
            if not paragraph.lstrip().startswith("#"):
                yield str(page.relative_to(ROOT)), paragraph


def main() -> int:
    shown = "--check" not in sys.argv[1:]
    counts = {}
    for kind, texts in (("help", helps()), ("messages", messages()), ("pages", pages())):
        counts[kind] = 0
        for place, text in texts:
            for fault, sentence in findings(text):
                counts[kind] += 1
                if shown or kind != "pages":
                    print(f"{kind}: {place}: {fault}: {sentence}")
    print(", ".join(f"{kind}: {count}" for kind, count in counts.items()))
    return int(counts["help"] + counts["messages"] > 0 or counts["pages"] > PAGES_AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
