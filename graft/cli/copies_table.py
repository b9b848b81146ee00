"""Copies of libraries, as `graft scan --like` prints them."""

from __future__ import annotations

from collections.abc import Iterable

from graft.cli.output import print_table
from graft.formats.file_name import printable
from graft.likeness import Copy

NamedCopy = tuple[str, Copy, str]
"""What the argument is called, the copy in it, and the full path whose library it is."""


def print_copies(copies: Iterable[NamedCopy]) -> None:
    """Prints a table of copies."""
    print_table(
        ["file", "copy of", "strings", "for example"],
        [
            [
                f"{name}/{printable(copy.file)}".rstrip("/"),
                old,
                f"{copy.strings} of {copy.of}",
                copy.text.partition("\n")[0][:60],
            ]
            for name, copy, old in copies
        ],
        right=["strings"],
    )


def copy_document(name: str, copy: Copy, old: str) -> dict[str, object]:
    """An entry of `copies` in docs/reference/json.md."""
    return {
        "path": name,
        "file": printable(copy.file),
        "offset": copy.offset,
        "like": old,
        "versioned": copy.versioned,
        "strings": copy.strings,
        "of": copy.of,
        "text": copy.text,
    }
