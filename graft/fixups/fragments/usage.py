"""The functions of a file that use the bytes of some paths, and their uses."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from graft.fixups.fragments import x86
from graft.fixups.fragments.arm_code import ArmCode
from graft.fixups.fragments.flow import effects_of
from graft.fixups.fragments.images import Roles
from graft.fixups.fragments.jumps import Jumps
from graft.fixups.fragments.machine import Instruction, Machine
from graft.fixups.fragments.references import Reference, References, addresses, merged, within
from graft.fixups.fragments.text import PathText
from graft.fixups.fragments.x86_code import X86Code
from graft.formats.elf.sections import AARCH64, X86_64, ElfSections, Image

_WIDEST: Final = 64
"""The largest constant an instruction loads, in bytes."""
_NEXT: Final = 512
"""Bytes of code after the first part of an address in which the rest of it is expected."""
_FOLLOWED: Final = 1 << 20
"""Bytes of code that are followed in one file: some 4 s. The uses in code beyond that are not
known."""

Span = tuple[int, int]


class Usage:
    """The code of a file, as far as it has to do with some paths.

    Args:
        data: the file, as `linked` gives it.
        elf: the known facts of it.
        texts: the paths, by their entries.
        wanted: the offsets of bytes that belong to them.

    Attributes:
        roles: the uses of the bytes.
        pointers: the offsets in the file to which addresses lead that are taken.
        blind: spans that are used in a way that cannot be followed.
    """

    def __init__(
        self, data: Image, elf: ElfSections, texts: dict[int, PathText], wanted: set[int]
    ) -> None:
        self._data, self._elf, self._wanted = data, elf, wanted
        self._references = References(data, elf)
        self._jumps = Jumps(data, elf)
        self._machine: Machine | None = None
        if elf.wide and elf.order == "<":
            if elf.machine == X86_64:
                self._machine = X86Code(data, elf, addresses(data, elf))
            elif elf.machine == AARCH64:
                self._machine = ArmCode(data, elf, addresses(data, elf))
        # The offsets of the bytes that each function takes or points to; None: it cannot be
        # followed.
        self._seen: dict[Span, set[int] | None] = {}
        self._decoded: tuple[Span, list[Instruction]] = (0, 0), []
        self._room = _FOLLOWED
        self.roles = Roles(texts)
        self.pointers: set[int] = set()
        self.blind: set[Span] = set()

    def add_code(self, offset: int) -> set[int]:
        """Follows the function around a byte, of which that is an operand.

        Returns:
            The offsets of the bytes that spell paths there.
        """
        span = self._elf.whole_function(offset)
        if span is None:
            self.blind.add((offset, offset + 1))
            return set()
        return self._follow(span)

    def add_references(self, spans: Iterable[Span], loads_only: Iterable[Span] = ()) -> set[int]:
        """Follows all functions that refer to some bytes.

        Args:
            spans: the offsets of the first byte of each, and of its end.
            loads_only: more of them; of these pointers say nothing.

        Returns:
            The offsets of the bytes that spell paths there.
        """
        taken = merged(self._ranges(spans))
        spelled: set[int] = set()
        for reference in self._references.to([*taken, *self._ranges(loads_only)]):
            if reference.is_pointer and not within(reference.address, taken):
                continue
            spelled |= self._refer(reference)
        return spelled

    def _refer(self, reference: Reference) -> set[int]:
        low = self._elf.offset(reference.address)
        if low is None:
            return set()
        if not reference.in_code:
            if reference.is_pointer:
                self.pointers.add(low)
            else:
                self.blind.add((low - _WIDEST, low + _WIDEST))
            return set()
        span = self._elf.whole_function(reference.place)
        if span is None and self._elf.machine == AARCH64:
            # The address is put together by the instructions that follow.
            span = reference.place, reference.place + _NEXT
        spelled = self._follow(span) if span is not None else set()
        seen = None if span is None else self._seen[span]
        high = low + max(reference.size, 1)
        if reference.is_relative and seen is not None:
            return spelled  # else it is no operand
        if seen is not None and any(offset in seen for offset in range(low, high)):
            return spelled
        if not reference.is_relative and not self._is_number(reference, span):
            return spelled
        if reference.is_pointer:
            self.pointers.add(low)
        elif not reference.is_relative or x86.operand_size(
            self._data[max(0, reference.place - 6) : reference.place], min(reference.place, 6)
        ):
            self.blind.add((low, high + _WIDEST))
        return spelled

    def _is_number(self, reference: Reference, span: Span | None) -> bool:
        """Whether a number that an instruction has begins there, and no distance from it."""
        place = reference.place
        address = self._elf.address(place)
        if self._elf.machine != X86_64 or self._machine is None or address is None:
            return True
        if span is None:
            start = max(0, place - 8)
            return x86.immediate_size(self._data[start : place + 4], place - start) > 0
        if self._decoded[0] != span:
            self._decoded = span, list(self._machine.instructions(*span))
        code = self._decoded[1]
        at = bisect_right(code, address, key=lambda each: each.address) - 1
        if at < 0 or address >= code[at].end:
            return True
        way, target = self._machine.way(code[at])
        is_call = way == "call" and "[" not in code[at].operands
        return not (is_call or target is not None or "rip" in code[at].operands)

    def _follow(self, span: Span) -> set[int]:
        """Follows a function, once."""
        if span in self._seen:
            return set()
        self._seen[span] = None
        start, end = span
        if self._machine is None or end - start > self._room:
            return set()
        self._room -= end - start
        effects = effects_of(self._machine, start, end)
        if effects is not None and any(
            not self._wanted.isdisjoint(taken) for taken in effects.loads.values()
        ):
            entries = self._jumps.into(start, end)
            if entries:
                effects = effects_of(self._machine, start, end, entries)
        if effects is None:
            return set()
        seen = self._seen[span] = set().union(*effects.loads.values())
        for base in (0, *self._references.tables):
            for number in effects.drifts:
                offset = self._elf.offset(number + base & (1 << 64) - 1)
                if offset is not None and number:
                    self.blind.add((offset, offset + _WIDEST))
        for address in effects.pointers:
            offset = self._elf.offset(address)
            if offset is not None:
                seen.add(offset)
                if address not in effects.followed or address in effects.escaped:
                    self.pointers.add(offset)
        return self.roles.add(effects, self._wanted.__contains__)

    def _ranges(self, spans: Iterable[Span]) -> list[Span]:
        """The addresses at which an operand may begin that meets each of some spans."""
        return [
            (address - _WIDEST + 1, address + end - start)
            for start, end in spans
            if (address := self._elf.address(start)) is not None
        ]
