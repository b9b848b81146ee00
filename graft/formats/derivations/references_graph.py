"""The text of exportReferencesGraph, which `nix-store --register-validity` reads too.

Source: Store::makeValidityRegistration and decodeValidPathInfo in src/libstore/store-api.cc of Nix.
Each path is some lines: its full text, its deriver's or nothing, the number of its references in
decimal digits, and each of them. Every line ends with a newline, the last one too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from graft.errors import BadFormatError, BadStorePathError
from graft.formats.store_path import StoreDir, StorePath

_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_LARGEST_NUMBER: Final = 2**64 - 1  # of the integers Nix reads sizes into


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A path and its references.

    Attributes:
        deriver: the `.drv` it was built from; Nix leaves it out of its exports.
        references: in the order of the text.
    """

    path: StorePath
    deriver: StorePath | None = None
    references: tuple[StorePath, ...] = ()


def parse_graph(text: str, store_dir: StoreDir) -> list[GraphNode]:
    """Reads a references graph; a path that is there twice is there twice in the result.

    Raises:
        BadFormatError: the text is not of the format, or a path not in the store directory.
    """
    lines = RegistrationLines(text, store_dir)
    nodes = []
    while lines:
        path = lines.path()
        deriver, references = lines.deriver_and_references()
        nodes.append(GraphNode(path=path, deriver=deriver, references=references))
    return nodes


class RegistrationLines:
    """The lines of a text that registers paths, read one after the other; false at the end.

    Args:
        text: the text, of whole lines.
        store_dir: the directory of every path in it.

    Raises:
        BadFormatError: the last line has no newline. The methods raise it too, for a line that is
            missing or not of the form expected.
    """

    def __init__(self, text: str, store_dir: StoreDir) -> None:
        self._lines = text.split("\n")
        if self._lines.pop() != "":
            raise BadFormatError(
                f"line {len(self._lines) + 1} of the registration has no newline: the text is cut",
                line=len(self._lines) + 1,
            )
        self._place = 0
        self._store_dir = store_dir

    def __bool__(self) -> bool:
        return self._place < len(self._lines)

    def error(self, expected: str) -> BadFormatError:
        """The error that the last line is not the expected one."""
        return BadFormatError(
            f"line {self._place} of the registration is not {expected}", line=self._place
        )

    def next(self, expected: str) -> str:
        """The next line, which is to hold the expected thing."""
        self._place += 1
        if self._place > len(self._lines):
            raise self.error(f"{expected}: the text ends before it")
        return self._lines[self._place - 1]

    def path(self) -> StorePath:
        """A store path."""
        expected = f"a path in '{self._store_dir}'"
        line = self.next(expected)
        try:
            return self._store_dir.parse(line)
        except BadStorePathError:
            raise self.error(expected) from None

    def number(self, expected: str) -> int:
        """A number below 2^64."""
        line = self.next(expected)
        if not _NUMBER.fullmatch(line) or int(line) > _LARGEST_NUMBER:
            raise self.error(expected)
        return int(line)

    def deriver_and_references(self) -> tuple[StorePath | None, tuple[StorePath, ...]]:
        """A deriver or an empty line, and as many references as are announced, each once."""
        deriver = None
        if self.next("a deriver") != "":
            self._place -= 1
            deriver = self.path()
        count = self.number("a number of references")
        # A number that lies may be large: nothing is reserved for it.
        references: dict[StorePath, None] = {}
        for _ in range(count):
            reference = self.path()
            if reference in references:
                raise self.error("another reference: it is there twice")
            references[reference] = None
        return deriver, tuple(references)
