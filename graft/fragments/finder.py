"""Fragments of many store paths, found in one file and rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from graft.fragments import aarch64
from graft.fragments.elf import AARCH64, I386, MAGIC, Elf, Image
from graft.fragments.search import Run, Search
from graft.fragments.text import HASH_LENGTH, PathText
from graft.hashing import NIX32_ALPHABET
from graft.kernel.anchors import WORD, make_anchors

_WINDOWS: Final = HASH_LENGTH - WORD + 1
_HALVES: Final = re.compile(rb"(?=([%s]{4}))" % NIX32_ALPHABET.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A place where a part of a hash part stands in code, or in a constant of it.

    Attributes:
        offset: of the part's first character in the file, in bytes.
        index: of the entry whose hash part it is.
        whole: all of the hash part is there, in one function, and can be rewritten.
        reason: if not, why.
    """

    offset: int
    index: int
    whole: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What became of a file's fragments.

    Attributes:
        patches: offsets in the file and the bytes to write there, after whole hash parts were
            replaced. Where a constant belongs to a fragment that is left alone, these are the
            original bytes: a path of which one half is OLD's and one is NEW's leads nowhere.
        done: what these rewrite.
        left: what still refers to OLD.
    """

    patches: tuple[tuple[int, bytes], ...]
    done: tuple[Fragment, ...]
    left: tuple[Fragment, ...]


class FragmentFinder:
    """Finds fragments; made once and used by all threads.

    Args:
        entries: as those of a kernel's Table: old base names or hash parts, and new ones of equal
            length or None.
        store_dir: what stands before them in a path.
    """

    def __init__(
        self, entries: Iterable[tuple[bytes, bytes | None]], store_dir: bytes = b"/nix/store"
    ) -> None:
        self._texts = [PathText(old, new, store_dir + b"/") for old, new in entries]
        self._windows = {
            text.hash_part[at : at + WORD]: (index, at)
            for index, text in enumerate(self._texts)
            for at in range(_WINDOWS)
        }
        self._places = list(self._windows.values())
        self._anchors = make_anchors(self._windows)
        self._halves = {
            text.hash_part[at : at + 4]: (index, at)
            for index, text in enumerate(self._texts)
            for at in range(HASH_LENGTH - 3)
        }

    def find(self, data: Image) -> list[Fragment]:
        """Every fragment of a file, in ascending order of offset; none if it is no ELF file."""
        found = [fragment for search in self._searches(data) for fragment in _of(search)]
        return sorted(found, key=lambda fragment: (fragment.offset, fragment.index))

    def rewrite(self, data: Image) -> Rewritten:
        """What must be written to have every whole fragment refer to NEW.

        Args:
            data: the file as it was before anything in it was replaced.
        """
        patches: dict[int, bytes] = {}
        done: list[Fragment] = []
        left: list[Fragment] = []
        for search in self._searches(data):
            patches.update(search.patches())
            for fragment in _of(search):
                (done if fragment.whole else left).append(fragment)
        return Rewritten(
            patches=tuple(sorted(patches.items())), done=tuple(done), left=tuple(left)
        )

    def _searches(self, data: Image) -> Iterator[_Found]:
        if data[:4] != MAGIC:
            return
        runs = self._runs(data)
        try:
            elf = Elf(data) if runs or data[18:19] in _OTHERS else None
        except ValueError:
            return
        if elf is None:
            return
        if elf.machine == I386:
            self._add_halves(data, elf, runs)
        if elf.machine == AARCH64:
            self._add_moves(data, elf, runs)
        for index, found in sorted(runs.items()):
            text = self._texts[index]
            if text.new is not None or any(run.size < HASH_LENGTH for run in found):
                yield _Found(index, Search(data, elf, text, found))

    def _runs(self, data: Image) -> dict[int, list[Run]]:
        """Eight or more characters of a hash part in a row, by the entry's index."""
        runs: dict[int, list[Run]] = {}
        for offset, which in self._anchors.find(data):
            index, at = self._places[which]
            found = runs.setdefault(index, [])
            last = found[-1] if found else None
            if last and last.offset - last.at == offset - at:
                found[-1] = Run(last.offset, last.at, offset + WORD - last.offset)
            else:
                found.append(Run(offset, at, WORD))
        return runs

    def _add_halves(self, data: Image, elf: Elf, runs: dict[int, list[Run]]) -> None:
        """Four characters in code: the immediates of a 32-bit machine have no more."""
        for segment in elf.segments:
            if not segment.executable:
                continue
            for match in _HALVES.finditer(data, segment.offset, segment.offset + segment.size):
                if match[1] in self._halves:
                    index, at = self._halves[match[1]]
                    runs.setdefault(index, []).append(Run(match.start(), at, 4))

    def _add_moves(self, data: Image, elf: Elf, runs: dict[int, list[Run]]) -> None:
        for offset, word in aarch64.moved_words(data, elf):
            if word in self._windows:
                index, at = self._windows[word]
                runs.setdefault(index, []).append(Run(offset, at, WORD))


_OTHERS: Final = {bytes([I386]), bytes([AARCH64])}
"""Machines whose pieces may be shorter than an anchor, or not lie together."""


@dataclass(frozen=True, slots=True)
class _Found:
    index: int
    search: Search

    def patches(self) -> dict[int, bytes]:
        return self.search.patches()


def _of(found: _Found) -> Iterator[Fragment]:
    for offset, reason in found.search.places():
        yield Fragment(offset=offset, index=found.index, whole=not reason, reason=reason)
