"""The effects of a function on bytes of its file: it stores them, compares them, or does something
else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from graft.fixups.fragments.values import (
    Byte,
    Linear,
    Memory,
    Origin,
    Symbol,
    origins,
)

Terms = tuple[tuple[Symbol, int], ...]


class Written(NamedTuple):
    """Bytes that were stored, or that memory was compared with.

    Attributes:
        terms: the terms of the address.
        number: the rest of it.
        bytes: the bytes themselves.
    """

    terms: Terms
    number: int
    bytes: tuple[Byte, ...]


@dataclass(slots=True)
class Effects:
    """The stores and comparisons seen in one function.

    Attributes:
        loads: the bytes of the file that each instruction takes, by its address.
        stores: in the order of the code; each list ends where others may read the stored bytes.
        comparisons: with memory.
        lost: bytes whose further use is not known.
        pointers: addresses in the file that were computed.
        followed: the addresses from which bytes were loaded.
        escaped: numbers that others may take for addresses: they were stored, or given to a call.
        drifts: numbers that were added to something unknown: distances, maybe, from a table.
    """

    loads: dict[int, set[int]] = field(default_factory=dict)
    stores: list[list[Written]] = field(default_factory=list)
    comparisons: list[Written] = field(default_factory=list)
    lost: set[Origin] = field(default_factory=set)
    pointers: set[int] = field(default_factory=set)
    followed: set[int] = field(default_factory=set)
    escaped: set[int] = field(default_factory=set)
    drifts: set[int] = field(default_factory=set)
    _last: list[Written] = field(default_factory=list)

    def load(self, at: int, offsets: Iterable[int]) -> None:
        """An instruction takes bytes of the file."""
        self.loads.setdefault(at, set()).update(offsets)

    def point(self, address: int) -> None:
        """An instruction computes an address."""
        self.pointers.add(address)

    def follow(self, address: int) -> None:
        """An instruction takes bytes from an address in a register."""
        self.followed.add(address)

    def escape(self, *values: Linear) -> None:
        """Other code may use numbers, as addresses maybe."""
        self.escaped.update(value.number for value in values if not value.terms)

    def drift(self, number: int) -> None:
        """An instruction adds a number in a register to something unknown."""
        self.drifts.add(number)

    def store(self, to: Linear, held: tuple[Byte, ...]) -> None:
        """Bytes are put into memory."""
        if any(held):
            self._last.append(Written(to.terms, to.number, held))

    def observe(self) -> None:
        """Other code may read the bytes that were stored until now."""
        if self._last:
            self.stores.append(self._last)
            self._last = []

    def compare(self, one: tuple[Byte, ...], two: tuple[Byte, ...]) -> None:
        """Bytes are held against each other."""
        for mine, theirs in zip(one, two, strict=True):
            memory, known = (mine, theirs) if isinstance(mine, Memory) else (theirs, mine)
            if isinstance(memory, Memory) and isinstance(known, Origin):
                self.comparisons.append(Written(memory.terms, memory.number, (known,)))
            else:
                self.lose((mine, theirs))

    def lose(self, held: Iterable[Byte]) -> None:
        """Bytes go where they cannot be followed."""
        self.lost |= origins(held)


class Silence(Effects):
    """Takes down nothing: for the passes in which values are still being found."""

    def load(self, at: int, offsets: Iterable[int]) -> None:
        """Not kept."""

    def point(self, address: int) -> None:
        """Not kept."""

    def follow(self, address: int) -> None:
        """Not kept."""

    def escape(self, *values: Linear) -> None:
        """Not kept."""

    def drift(self, number: int) -> None:
        """Not kept."""

    def store(self, to: Linear, held: tuple[Byte, ...]) -> None:
        """Not kept."""

    def observe(self) -> None:
        """Not kept."""

    def compare(self, one: tuple[Byte, ...], two: tuple[Byte, ...]) -> None:
        """Not kept."""

    def lose(self, held: Iterable[Byte]) -> None:
        """Not kept."""
