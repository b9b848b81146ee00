"""Fragments of many store paths, found in one file and rewritten."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from graft.fixups.fragments import aarch64, x86
from graft.fixups.fragments.judgement import Judgement, Run
from graft.fixups.fragments.references import linked
from graft.fixups.fragments.text import HASH_LENGTH, PathText
from graft.formats.elf.sections import AARCH64, I386, MAGIC, ElfSections, Image
from graft.formats.hashing import NIX32_ALPHABET
from graft.kernel.anchors import WORD, make_anchors

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_WINDOWS: Final = HASH_LENGTH - WORD + 1
_HALF: Final = 4
_HALVES: Final = re.compile(rb"(?=([%s]{4}))" % NIX32_ALPHABET.encode())
_NEAR: Final = 256
"""Bytes within which pieces in one piece of code or data are told of as one."""
_TOLD: Final = 5
"""How many offsets a reason names."""


class Seed(NamedTuple):
    """A place where eight characters of a hash part stand.

    Attributes:
        offset: the place of the first of them, in bytes.
        index: the number of the entry whose hash part it is.
        at: which of the 32 characters is the first.
    """

    offset: int
    index: int  # type: ignore[assignment]  # not the method of tuples
    at: int

    @property
    def size(self) -> int:
        """How many characters: the bytes it takes."""
        return WORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A place where a part of a hash part stands in code, or in a constant of it.

    Attributes:
        offset: the place of the part's first character in the file, in bytes.
        index: the number of the entry whose hash part it is.
        whole: all of the path is accounted for, and can be rewritten.
        reason: if not, why.
    """

    offset: int
    index: int
    whole: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """The result of rewriting a file's fragments.

    Attributes:
        patches: offsets in the file and the bytes to write there, after whole hash parts were
            replaced. Where a constant belongs to a fragment that is left alone, these are the
            original bytes: a path of which one half is OLD's and one is NEW's leads nowhere.
        done: the fragments that these rewrite.
        left: the fragments that still refer to OLD: one for each path.
    """

    patches: tuple[tuple[int, bytes], ...]
    done: tuple[Fragment, ...]
    left: tuple[Fragment, ...]


class FragmentFinder:
    """Finds fragments; made once and used by all threads.

    Args:
        entries: as in a kernel's Table: old base names or hash parts, and new ones of equal length
            or None.
        store_dir: the directory that stands before them in a path, to name it.

    Attributes:
        anchors: one of them stands in every file that has fragments which can be found.
    """

    def __init__(
        self, entries: Iterable[tuple[bytes, bytes | None]], store_dir: bytes = b"/nix/store"
    ) -> None:
        self._entries = list(entries)
        self._store_dir = store_dir
        self.anchors = make_anchors(
            old[at : at + WORD] for old, _ in self._entries for at in range(_WINDOWS)
        )

    def seeds(self, data: Buffer) -> Iterator[Seed]:
        """The places of eight characters of a hash part, in any bytes: the start of a search."""
        for offset, anchor in self.anchors.find(data):
            yield Seed(offset, *divmod(anchor, _WINDOWS))

    @staticmethod
    def is_elf(head: bytes) -> bool:
        """Whether a file that begins so is an ELF file."""
        return head.startswith(MAGIC)

    def is_promising(self, head: bytes, seeds: Iterable[Seed]) -> bool:
        """Whether `find` may find anything in a file, which it needs as a whole.

        Args:
            head: the file's first 20 bytes or more.
            seeds: all of the file's, in ascending order of offset.
        """
        if not self.is_elf(head):
            return False
        return head[18:19] in _OTHERS or any(
            run.size < HASH_LENGTH for runs in _runs(seeds).values() for run in runs
        )

    def find(self, data: Image) -> list[Fragment]:
        """Every fragment of a file, in ascending order of offset; empty if it is no ELF file."""
        _, runs = self._read(data)
        found = [
            Fragment(offset=run.offset, index=index, whole=False, reason="")
            for index, of_entry in runs.items()
            for run in _apart(run for run in of_entry if run.size < HASH_LENGTH)
        ]
        return sorted(found, key=lambda fragment: (fragment.offset, fragment.index))

    def rewrite(self, data: Image) -> Rewritten:
        """The bytes to be written so that every whole fragment refers to NEW.

        Args:
            data: the file as it was before anything in it was replaced.
        """
        elf, runs = self._read(data)
        wanted = {index: found for index, found in runs.items() if self._entries[index][1]}
        if elf is None or not wanted:
            return Rewritten(patches=(), done=(), left=tuple(self._unread(wanted)))
        texts = {index: PathText(*self._entries[index]) for index in sorted(wanted)}
        judgement = Judgement(linked(data, elf), elf, texts, wanted)
        done: list[Fragment] = []
        left: list[Fragment] = []
        for index, of_entry in sorted(wanted.items()):
            faults = judgement.faults(index)
            loose = [run for run in of_entry if run.size < HASH_LENGTH]
            if faults:
                left.append(self._left(index, faults))
            else:
                done += [
                    Fragment(offset=run.offset, index=index, whole=True, reason="")
                    for run in _apart(loose)
                ]
        patches = _joined(judgement.patches())
        return Rewritten(patches=tuple(patches), done=tuple(done), left=tuple(left))

    def _unread(self, runs: dict[int, list[Run]]) -> Iterator[Fragment]:
        """The pieces in a file whose headers cannot be read."""
        for index, found in sorted(runs.items()):
            offsets = [run.offset for run in found if run.size < HASH_LENGTH]
            if offsets:
                yield self._left(
                    index, [(at, "the file's headers cannot be read") for at in offsets]
                )

    def _left(self, index: int, faults: list[tuple[int, str]]) -> Fragment:
        path = (self._store_dir + b"/" + self._entries[index][0]).decode("utf-8", "replace")
        why = f"{_told(faults[0][1], faults)} (of {path})"
        return Fragment(offset=faults[0][0], index=index, whole=False, reason=why)

    def _read(self, data: Image) -> tuple[ElfSections | None, dict[int, list[Run]]]:
        """The known parts of a file, and the pieces in it; None if its headers tell nothing."""
        if data[:4] != MAGIC:
            return None, {}
        runs = _runs(self.seeds(data))
        if not runs and data[18:19] not in _OTHERS:
            return None, {}
        try:
            elf = ElfSections(data)
            _ = elf.sections  # the last that may turn out not to be there
            if elf.machine == I386:
                self._add_halves(data, elf, runs)
            if elf.machine == AARCH64:
                self._add_moves(data, elf, runs)
        except (ValueError, struct.error):  # headers that lie
            return None, runs
        return elf, runs

    def _add_halves(self, data: Image, elf: ElfSections, runs: dict[int, list[Run]]) -> None:
        """Four characters in code: the immediates of a 32-bit machine have no more."""
        halves = {
            old[at : at + _HALF]: (index, at)
            for index, (old, _) in enumerate(self._entries)
            for at in range(HASH_LENGTH - _HALF + 1)
        }
        for segment in elf.segments:
            if not segment.executable:
                continue
            for match in _HALVES.finditer(data, segment.offset, segment.offset + segment.size):
                if match[1] in halves and _is_immediate(data, match.start()):
                    index, at = halves[match[1]]
                    runs.setdefault(index, []).append(Run(match.start(), at, _HALF))

    def _add_moves(self, data: Image, elf: ElfSections, runs: dict[int, list[Run]]) -> None:
        for offset, word in aarch64.moved_words(data, elf):
            for seed in self.seeds(word):
                runs.setdefault(seed.index, []).append(Run(offset, seed.at, WORD))


def _is_immediate(data: Image, at: int) -> bool:
    start = max(0, at - 8)
    return x86.immediate_size(data[start : at + 4], at - start) == 4


def _runs(seeds: Iterable[Seed]) -> dict[int, list[Run]]:
    """Eight or more characters of a hash part in a row, by the entry's index."""
    runs: dict[int, list[Run]] = {}
    for seed in seeds:
        found = runs.setdefault(seed.index, [])
        last = found[-1] if found else None
        if last and last.offset - last.at == seed.offset - seed.at:
            found[-1] = Run(last.offset, last.at, seed.offset + WORD - last.offset)
        else:
            found.append(Run(seed.offset, seed.at, WORD))
    return runs


def _apart(runs: Iterable[Run]) -> Iterator[Run]:
    """The first of the runs that lie together."""
    end = -_NEAR
    for run in sorted(runs):
        if run.offset - end >= _NEAR:
            yield run
        end = run.offset + run.size


def _told(reason: str, faults: list[tuple[int, str]]) -> str:
    others = sorted({offset for offset, _ in faults[1:]} - {faults[0][0]})
    if not others:
        return reason
    more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
    return f"{reason}; so are those at {', '.join(map(str, others[:_TOLD]))}{more}"


def _joined(patches: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    """Bytes that follow each other as one."""
    start, text = 0, bytearray()
    for offset, byte in sorted(patches.items()):
        if text and offset == start + len(text):
            text.append(byte)
            continue
        if text:
            yield start, bytes(text)
        start, text = offset, bytearray([byte])
    if text:
        yield start, bytes(text)


_OTHERS: Final = {bytes([I386]), bytes([AARCH64])}
"""Machines whose pieces may be shorter than an anchor, or not lie together."""
