"""The values in a function's registers: sums of unknown values, and bytes from the file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

Symbol = tuple[object, ...]
"""A value that is not known, named after the place where it came to be."""


_TERMS: Final = 4
_TIMES: Final = 64


class Linear(NamedTuple):
    """A sum of unknown values and a number.

    Attributes:
        terms: the unknown values and how many times each is taken, in a fixed order.
        number: the number that is added.
    """

    terms: tuple[tuple[Symbol, int], ...]
    number: int

    @property
    def is_small(self) -> bool:
        """Whether it is such a sum as addresses are; others are not kept."""
        return len(self.terms) <= _TERMS and all(abs(n) <= _TIMES for _, n in self.terms)

    def plus(self, other: Linear, times: int = 1) -> Linear:
        """The sum with another, taken a number of times."""
        number = self.number + times * other.number
        if not other.terms:
            return Linear(self.terms, number)
        counts = dict(self.terms)
        for symbol, count in other.terms:
            counts[symbol] = counts.get(symbol, 0) + times * count
        terms = tuple(sorted(((s, n) for s, n in counts.items() if n), key=repr))
        return Linear(terms, number)

    def moved(self, distance: int) -> Linear:
        """The sum with a number."""
        return Linear(self.terms, self.number + distance)


class Origin(NamedTuple):
    """A byte that is known.

    Attributes:
        value: the byte.
        load: the address of the instruction that took it from the file.
        offset: in the file; `NOWHERE` if it is in no byte of its own.
    """

    value: int
    load: int
    offset: int


class Memory(NamedTuple):
    """A byte that was in memory at an address when it was loaded."""

    terms: tuple[tuple[Symbol, int], ...]
    number: int


class Blend(NamedTuple):
    """A byte that comes from one of several places, by the way that led here."""

    origins: frozenset[Origin]


Byte = Origin | Memory | Blend | None
"""A byte of a value; None if nothing is known of it."""

NOWHERE: Final = -1
ZERO: Final = Origin(0, -1, NOWHERE)


def origins(values: Iterable[Byte]) -> set[Origin]:
    """The places in the file that some bytes may come from."""
    found: set[Origin] = set()
    for each in values:
        if isinstance(each, Origin):
            if each.load >= 0:
                found.add(each)
        elif isinstance(each, Blend):
            found |= each.origins
    return found


class Value(NamedTuple):
    """The value in a register.

    Attributes:
        linear: as a number.
        bytes: the known bytes, from the lowest on.
    """

    linear: Linear
    bytes: tuple[Byte, ...]

    def low(self, size: int) -> tuple[Byte, ...]:
        """The lowest bytes."""
        return (*self.bytes[:size], *(None,) * (size - len(self.bytes)))


def unknown(*symbol: object) -> Value:
    """A value that is named after where it came to be."""
    return Value(Linear(((symbol, 1),), 0), ())


def number(value: int, held: tuple[Byte, ...] = ()) -> Value:
    """A value that is known."""
    return Value(Linear((), value), held)


class State:
    """All registers at one place.

    Args:
        registers: their known values, by the names of the widest they are parts of.
        rest: names the contents of the others.
    """

    __slots__ = ("registers", "rest")

    def __init__(self, registers: dict[str, Value], rest: Symbol) -> None:
        self.registers, self.rest = registers, rest

    def copy(self) -> State:
        """Another of the same."""
        return State(dict(self.registers), self.rest)

    def get(self, family: str) -> Value:
        """The value in a register."""
        return self.registers.get(family) or unknown(*self.rest, family)

    def forget(self, families: Iterable[str], *where: object) -> None:
        """Takes it that some registers hold something new."""
        for family in families:
            self.registers[family] = unknown(*where, family)

    def joined(self, other: State, *where: object) -> State:
        """The known values where two ways come together.

        Args:
            where: names the place.
        """
        registers = {}
        for family in self.registers.keys() | other.registers.keys():
            one, two = self.get(family), other.get(family)
            registers[family] = one if one == two else _joined(one, two, (*where, family))
        return State(registers, self.rest if self.rest == other.rest else where)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, State)
            and self.rest == other.rest
            and self.registers == other.registers
        )

    __hash__ = None  # type: ignore[assignment]


def _joined(one: Value, two: Value, symbol: Symbol) -> Value:
    linear = one.linear if one.linear == two.linear else Linear(((symbol, 1),), 0)
    size = max(len(one.bytes), len(two.bytes))
    pairs = zip(one.low(size), two.low(size), strict=True)
    return Value(linear, tuple(a if a == b else _blend(a, b) for a, b in pairs))


def _blend(one: Byte, two: Byte) -> Byte:
    found = origins((one, two))
    return Blend(frozenset(found)) if found else None
