"""The texts of a derivation, its inputs and outputs taken out of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from graft.formats.derivations.derivation import Derivation
from graft.formats.hashing import NIX32_ALPHABET
from graft.formats.store_path import HASH_PART_LENGTH, StorePath
from graft.ways.diff.packages import Derivations

# At every place, for hash parts may be found inside longer runs; a placeholder has 52 characters.
_BASE_NAME: Final = re.compile(rf"(?=([{NIX32_ALPHABET}]{{32}})-)")
_PLACEHOLDER: Final = re.compile(rf"(?=(/[{NIX32_ALPHABET}]{{52}}))")

Kind = Literal["output", "source", "derivation", "itself"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A path or an output that a text of a derivation mentions.

    Attributes:
        kind: an output of an input derivation, a source, the input derivation's file, or an output
            of the derivation itself.
        path: the input derivation or the source; None for the derivation itself.
        output: the name of the output, if it is one.
    """

    kind: Kind
    path: StorePath | None = None
    output: str = ""


Pieces = tuple[str | Mention, ...]


class Mentions:
    """Finds the mentions in texts of one derivation."""

    def __init__(self, derivation: Derivation, derivations: Derivations) -> None:
        self._known: dict[str, Mention] = {}
        for source in derivation.input_sources:
            self._known[source] = Mention(kind="source", path=source)
        for path, names in derivation.input_derivations:
            self._known[path] = Mention(kind="derivation", path=path)
            for name in names:
                found = derivations.output(path, name)
                self._known[found] = Mention(kind="output", path=path, output=name)
        for output in derivation.outputs:
            if output.path is not None:
                self._known[output.path] = Mention(kind="itself", output=output.name)
        self._base_names = {
            text[:HASH_PART_LENGTH]: text for text in self._known if not text.startswith("/")
        }
        self._has_placeholders = len(self._base_names) < len(self._known)

    def pieces(self, text: str) -> Pieces:
        """A text as its literal pieces and its mentions, in turn."""
        pieces: list[str | Mention] = []
        end = 0
        for start, found in sorted(self._places(text)):
            if start >= end:
                pieces += [text[end:start], self._known[found]]
                end = start + len(found)
        return (*pieces, text[end:])

    def _places(self, text: str) -> Iterator[tuple[int, str]]:
        for place in _BASE_NAME.finditer(text):
            found = self._base_names.get(place[1])
            if found is not None and text.startswith(found, place.start()):
                yield place.start(), found
        if self._has_placeholders:
            for place in _PLACEHOLDER.finditer(text):
                if place[1] in self._known:
                    yield place.start(), place[1]
