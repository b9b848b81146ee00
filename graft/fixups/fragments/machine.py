"""The common part of the machines whose code is followed: instructions, and a file's memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from graft.fixups.fragments.effects import Effects
from graft.fixups.fragments.values import Byte, Linear, Memory, Origin, State
from graft.formats.elf.sections import ElfSections, Image

Way = Literal["on", "jump", "branch", "call", "end", "unknown"]


class Instruction(NamedTuple):
    """One instruction.

    Attributes:
        address: the address of its first byte.
        size: bytes.
        mnemonic: as the disassembler spells it.
        operands: likewise.
    """

    address: int
    size: int
    mnemonic: str
    operands: str

    @property
    def end(self) -> int:
        """The address of the next one."""
        return self.address + self.size


class Machine(ABC):
    """The effects of a machine's instructions on the known values.

    Args:
        data: the file.
        elf: the known facts of it.
        addresses: the offsets of the numbers in an object file's code that are addresses; None: any
            number may be one.
    """

    def __init__(
        self, data: Image, elf: ElfSections, addresses: frozenset[int] | None = None
    ) -> None:
        self.data, self.elf = data, elf
        self._addresses = addresses

    @abstractmethod
    def instructions(self, start: int, end: int) -> Iterator[Instruction]:
        """The instructions between two offsets in the file, up to bytes that are no instruction."""

    @abstractmethod
    def way(self, instruction: Instruction) -> tuple[Way, int | None]:
        """How the code goes on, and the address to which it jumps."""

    @abstractmethod
    def step(self, state: State, instruction: Instruction, effects: Effects) -> None:
        """Changes a state as an instruction does, and takes down its effects."""

    def tables(self, instructions: Iterable[Instruction]) -> Iterator[int]:
        """The addresses to which a function jumps by tables that it computes addresses from."""
        del instructions
        yield from ()

    def read(self, effects: Effects, at: int, address: Linear, size: int) -> tuple[Byte, ...]:
        """The bytes at an address: the file's, if it is one in it."""
        if address.terms:
            return tuple(Memory(address.terms, address.number + i) for i in range(size))
        offset = self.elf.offset(address.number)
        segment = None if offset is None else self.elf.segment(offset)
        if offset is None or segment is None:
            return tuple(Memory((), address.number + i) for i in range(size))
        size_here = min(size, segment.offset + segment.size - offset)
        effects.follow(address.number)
        effects.load(at, range(offset, offset + size_here))
        found = [Origin(self.data[o], at, o) for o in range(offset, offset + size_here)]
        return (*found, *(None,) * (size - size_here))

    def is_mapped(self, address: int) -> bool:
        """Whether an address is in the file."""
        return self.elf.offset(address) is not None

    def is_address(self, number: int, place: int) -> bool:
        """Whether a number in an instruction may be an address in the file.

        Args:
            number: which.
            place: where it begins in the file.
        """
        known = self._addresses
        return (known is None or place in known) and self.is_mapped(number)


def disassembler(machine: str) -> object:
    """Capstone for `x86` or `arm64`: it is loaded when the first function is followed."""
    import capstone  # noqa: PLC0415 - 5 MB, for the few files that need it

    if machine == "x86":
        return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
