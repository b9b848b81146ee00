"""Whether a path's copies in one file can be rewritten, all of them together."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final, NamedTuple

from graft.errors import BadFormatError
from graft.fixups.fragments.references import merged, within
from graft.fixups.fragments.text import HASH_LENGTH, PathText
from graft.fixups.fragments.usage import Span, Usage
from graft.formats.elf.dynamic import read_name_places
from graft.formats.elf.sections import ElfSections, Image
from graft.kernel.anchors import WORD

_STRING: Final = 512
"""Bytes before a path in which the beginning of its string is looked for."""
_SHORT: Final = 4
"""Bytes behind a hash part within which a string ends that may share its end with another one."""
_DYNSYM: Final = 11


class Run(NamedTuple):
    """Characters of a hash part that stand in a file in a row.

    Attributes:
        offset: the place of the first of them in the file, in bytes.
        at: which of the 32 that is.
        size: how many.
    """

    offset: int
    at: int
    size: int


Fault = tuple[int, str]
"""Where something stands that cannot be rewritten, and why."""


class Judgement:
    """The known facts about the copies of some paths in one file.

    Every byte of a path must be accounted for: by loads of it that end in one place, where they
    spell the path. No byte may serve another text.

    Args:
        data: the file, as `linked` gives it.
        elf: the known facts of it.
        texts: the paths, by their entries.
        runs: where characters of each stand; whole hash parts among them.
    """

    def __init__(
        self,
        data: Image,
        elf: ElfSections,
        texts: dict[int, PathText],
        runs: dict[int, list[Run]],
    ) -> None:
        self._data, self._elf, self._texts = data, elf, texts
        self._loose = {
            index: [run for run in found if run.size < HASH_LENGTH] for index, found in runs.items()
        }
        self._whole = {
            index: [run for run in found if run.size >= HASH_LENGTH]
            for index, found in runs.items()
        }
        wanted = {
            offset
            for found in runs.values()
            for run in found
            for offset in range(run.offset, run.offset + run.size)
        }
        self._usage = Usage(data, elf, texts, wanted)
        self._follow()
        self._pointers = sorted(self._usage.pointers)
        self._blind = merged(self._usage.blind)
        self._faults: dict[int, list[Fault]] = {}
        self._held: dict[int, set[Run]] = {}
        self._explained: dict[int, set[int]] = {index: set() for index in texts}
        for offset, roles in self._usage.roles.of.items():
            for role in roles:
                if role is not None:
                    self._explained[role[0]].add(offset)
        for index in texts:
            self._judge(index)

    def faults(self, index: int) -> list[Fault]:
        """The parts of an entry that cannot be rewritten."""
        return self._faults[index]

    def patches(self) -> dict[int, int]:
        """The bytes to write, by their offsets."""
        patches: dict[int, int] = {}
        for index, text in self._texts.items():
            if self._faults[index]:
                continue
            assert text.new is not None
            for offset in self._explained[index]:
                # One that changes has no other role: else there were a fault.
                for role in self._usage.roles.of[offset]:
                    if role is not None and role[0] == index and text.changes(role[1]):
                        patches[offset] = text.new[role[1]]
        for index, text in self._texts.items():
            for run in self._held[index]:
                end = run.offset + text.replaced_size(self._data, run.offset)
                patches.update(enumerate(self._data[run.offset : end], run.offset))
        return patches

    # ---- the following of code -------------------------------------------------------------------

    def _follow(self) -> None:
        """Follows all code that has to do with the paths, and with all that spells them."""
        taken: list[Span] = []
        loads: list[Span] = []
        spelled: set[int] = set()
        for index, text in self._texts.items():
            for run in self._loose[index]:
                if self._is_code(run.offset):
                    spelled |= self._usage.add_code(run.offset)
                else:
                    taken.append((run.offset, run.offset + run.size))
            for run in self._whole[index]:
                end = run.offset + text.replaced_size(self._data, run.offset)
                if not self._loose[index] and within(run.offset, self._elf.loader_texts):
                    self._add_names(text)
                elif text.renamed or self._loose[index] or b"\0" in self._data[end : end + _SHORT]:
                    # Its last characters may be another text, too: fopen's "r" is.
                    taken.append((self._beginning(run.offset), end))
                else:
                    loads.append((run.offset, end))
        seen = {offset for start, end in (*taken, *loads) for offset in range(start, end)}
        while taken or loads:
            spelled |= self._usage.add_references(taken, loads)
            new = spelled - seen
            seen |= new
            loads = []
            taken = _spans(offset for offset in new if not self._is_code(offset))

    def _add_names(self, text: PathText) -> None:
        """Adds the names of the loader that may be the end of a path which the loader alone reads.

        No code refers to such a path, so no reference is looked for: that is most files' only path.
        """
        if text.renamed:
            self._usage.pointers |= self._loader_names

    @cached_property
    def _loader_names(self) -> set[int]:
        """The offsets of the names that a loader reads; the beginning of each name alone."""
        try:
            table, names = read_name_places(
                lambda at, size: self._data[at : at + size], len(self._data)
            )
        except BadFormatError:
            return set()
        return {table + name for name in names}

    def _is_code(self, offset: int) -> bool:
        """Whether a byte is in a function: there nothing but that takes it."""
        segment = self._elf.segment(offset)
        if segment is None or not segment.executable:
            return False
        return self._elf.whole_function(offset) is not None

    def _beginning(self, offset: int) -> int:
        """Where the string begins that a path is in."""
        first = max(0, offset - _STRING)
        return self._data.rfind(b"\0", first, offset) + 1 or first

    # ---- the verdict -----------------------------------------------------------------------------

    def _judge(self, index: int) -> None:
        text = self._texts[index]
        usage = self._usage
        faults = [(offset, why) for entry, offset, why in usage.roles.faults if entry == index]
        for run in self._loose[index]:
            fault = self._fault_of_piece(index, run)
            if fault:
                faults.append((run.offset, fault))
        whole = {
            offset
            for run in self._whole[index]
            for offset in range(run.offset, run.offset + text.replaced_size(self._data, run.offset))
        }
        for offset in sorted(self._explained[index] - whole):
            fault = self._fault_of_byte(index, offset)
            if fault:
                faults.append((offset, fault))
                break
        faults += self._faults_of_ends(index)
        held = set()
        for run in self._whole[index]:
            fault = self._fault_of_whole(index, run)
            if fault:
                faults.append((run.offset, fault))
                held.add(run)
        if faults:
            held.update(run for run in self._whole[index] if self._is_loaded(index, run))
        self._faults[index], self._held[index] = faults, held

    def _fault_of_piece(self, index: int, run: Run) -> str:
        roles = self._usage.roles
        for offset in range(run.offset, run.offset + run.size):
            if not roles.of.get(offset) and offset not in roles.lost:
                return "no code is known to use it"
            if roles.of[offset] != {(index, run.at + offset - run.offset)}:
                return "the rest of the path is not there, or not known, wherever it is used"
        return ""

    def _fault_of_byte(self, index: int, offset: int) -> str:
        """Why a byte that spells a path must not be changed."""
        usage = self._usage
        if len(usage.roles.of[offset]) > 1:
            return "it is a part of another text, too"
        (role,) = usage.roles.of[offset]
        if role is None or not self._texts[index].changes(role[1]):
            return ""
        if self._is_lost(offset):
            return "it is used in a way that is not known"
        start = usage.roles.starts.get(offset, offset)
        if not self._is_code(offset) and self._leads_into(start, offset + 1):
            return "something else leads to it"
        return ""

    def _fault_of_whole(self, index: int, run: Run) -> str:
        text = self._texts[index]
        usage = self._usage
        size = text.replaced_size(self._data, run.offset)
        for at in range(size):
            offset = run.offset + at
            if not text.changes(at):
                continue
            roles = usage.roles.of.get(offset, set())
            # A path that stands whole is no other text; only its name may be a part of one.
            if text.renamed and self._is_lost(offset):
                return "it is used in a way that is not known"
            if roles and roles != {(index, at)}:
                return "a part of it is a part of another text, too"
        if self._is_symbol(run.offset):
            return (
                "it is in a symbol's name, and the table of these is in the order of their hashes"
            )
        spelled = self._explained[index].issuperset(range(run.offset, run.offset + HASH_LENGTH))
        if text.renamed and size == HASH_LENGTH and not spelled:
            # The name may be written elsewhere, or spelled in another way.
            return "its name does not follow it unchanged"
        if self._leads_into(run.offset + 1, run.offset + text.last + 1):
            return "the end of it is another text, too"
        return ""

    def _faults_of_ends(self, index: int) -> Iterator[Fault]:
        """The last characters of a hash part before its name, where code takes the path unseen.

        Code may write them over the end of a constant that holds the path. They are too few to be
        found alone.
        """
        text = self._texts[index]
        if not any(
            self._is_lost(offset)
            for run in self._whole[index]
            for offset in range(run.offset, run.offset + HASH_LENGTH)
        ):
            return
        for few in range(1, WORD):
            first = HASH_LENGTH - few
            for size in {WORD, WORD // 2}:
                piece = text.base[first : first + size]
                if len(piece) < size or few >= size:
                    continue
                for match in re.finditer(re.escape(piece), self._data):
                    at = match.start()
                    if self._data[at - 1 : at] == text.base[first - 1 : first]:
                        continue  # it is longer
                    if self._explained[index].issuperset(range(at, at + few)):
                        continue
                    if size == WORD or self._is_code(at):
                        yield at, "the rest of the path is used in a way that is not known"

    def _is_loaded(self, index: int, run: Run) -> bool:
        """Whether code takes a path piece by piece."""
        end = run.offset + self._texts[index].replaced_size(self._data, run.offset)
        roles = self._usage.roles
        return any(offset in roles.of or self._is_lost(offset) for offset in range(run.offset, end))

    def _is_lost(self, offset: int) -> bool:
        """Whether code may use a byte in a way that is not known."""
        if within(offset, self._elf.loader_texts):
            return False
        return offset in self._usage.roles.lost or self._is_blind(offset)

    def _is_blind(self, offset: int) -> bool:
        return within(offset, self._blind)

    def _leads_into(self, start: int, end: int) -> bool:
        at = bisect_left(self._pointers, start)
        return at < len(self._pointers) and self._pointers[at] < end

    def _is_symbol(self, offset: int) -> bool:
        """Whether a byte is in the name of a symbol that the loader looks up."""
        return any(
            start <= offset < end and self._beginning(offset) - start in names
            for start, end, names in self._symbols
        )

    @cached_property
    def _symbols(self) -> list[tuple[int, int, set[int]]]:
        """The tables of the loader's symbols' names, and where in them names begin."""
        found = []
        for table in self._elf.sections:
            if table.type != _DYNSYM or not 0 < table.link < len(self._elf.sections):
                continue
            names = self._elf.sections[table.link]
            size = 24 if self._elf.wide else 16
            starts = {
                int.from_bytes(
                    self._data[at : at + 4], "little" if self._elf.order == "<" else "big"
                )
                for at in range(table.offset, min(table.offset + table.size, len(self._data)), size)
            }
            found.append((names.offset, names.offset + names.size, starts))
        return found


def _spans(offsets: Iterable[int]) -> list[Span]:
    """Offsets that follow each other, together."""
    found: list[Span] = []
    for offset in sorted(offsets):
        if found and found[-1][1] == offset:
            found[-1] = found[-1][0], offset + 1
        else:
            found.append((offset, offset + 1))
    return found
