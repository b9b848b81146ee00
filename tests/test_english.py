"""The counter of faults in sentences, `docs/english.py`: its patterns, and the texts it reads."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "docs" / "english.py"


@pytest.fixture(scope="module")
def english() -> ModuleType:
    spec = importlib.util.spec_from_file_location("english", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.mark.parametrize(
    ("sentence", "faults"),
    [
        ("Of what OLD and NEW were built by, replace all outputs.", ["what", "of them"]),
        ("Take from caches what nobody trusted has signed.", ["what", "nobody"]),
        ("Threads that compress one NAR, beside those of --jobs.", ["beside", "that of"]),
        ("Keep this path as it is, with its references.", ["as it is"]),
        ("The rule that of all paths is the first.", ["that of"]),
        ("Whoever has the key can sign.", ["who"]),
        ("Those that remain are named.", ["of them"]),
        ("word " * 26, ["long"]),
    ],
)
def test_a_word_in_a_nouns_place_is_a_fault(
    english: ModuleType, sentence: str, faults: list[str]
) -> None:
    assert sorted(name for name, _ in english.findings(sentence)) == sorted(faults)


@pytest.mark.parametrize(
    "sentence",
    [
        "What would it take to put it everywhere?",
        "A user who may not write there has a record of their own.",
        "The mark is made so that in a crash it stays.",
        "The derivation of a `.drv` file; None if it is not there.",
        "Set `--prove none`, or `what`.",
        "See [the page](../how-to/find-what-hides.md).",
        f"{'word ' * 20}: {'word ' * 20}",
    ],
)
def test_a_question_a_person_code_and_a_link_are_right(english: ModuleType, sentence: str) -> None:
    assert list(english.findings(sentence)) == []


def test_a_page_is_read_without_code_headings_and_figures(english: ModuleType) -> None:
    page = (
        "# What it is\n\nA paragraph.\n\n    what is code\n    what is more of it\n\n"
        "```console\n$ what\n```\n\n- an item\n- another\n\n| cell | none |\n|---|---|\n\n"
        "<!-- table what -->\n\nWhat was measured:\n\n<!-- end -->\n"
    )
    texts = {text.strip() for text in english.prose(page)} - {"", "---"}
    assert texts == {"A paragraph.", "- an item", "- another", "cell"}


def test_a_docstring_is_read_by_its_entries_without_code(english: ModuleType) -> None:
    docstring = """The contract.

    A paragraph; of
    two lines:

        what = code

    >>> what()
    what

    Args:
        one: the first,
            and more.
        *two, three: the others.

    Returns:
        The
        result.

    Raises:
        graft.errors.GraftError: a failure.

    - An item.
    """
    texts = [" ".join(text.split()) for text in english.entries(docstring)]
    assert [text for text in texts if text] == [
        "the first, and more.",
        "the others.",
        "The result.",
        "a failure.",
        "The contract.",
        "A paragraph; of two lines:",
        "- An item.",
    ]


def test_docstrings_of_attributes_and_later_parts_are_read(english: ModuleType) -> None:
    texts = {" ".join(text.split()) for _, text in english.docstrings()}
    assert {"The priority of a store on this machine.", "Every valid path."} <= texts
    assert "it leads nowhere inside the store." in texts


def test_messages_and_docstrings_are_told_apart(english: ModuleType) -> None:
    messages = {text for _, text in english.messages()}
    docstrings = {text for _, text in english.docstrings()}
    assert "name the paths to graft: one ROOT or several, or a plan file" in messages
    assert "The root of graft's errors." in docstrings
    assert messages.isdisjoint(docstrings)
