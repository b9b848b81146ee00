"""The effects of 64-bit ARM's instructions on bytes, as far as compilers copy and compare text.

Source: Arm Architecture Reference Manual for A-profile, chapter C6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from graft.fixups.fragments.effects import Effects
from graft.fixups.fragments.machine import Instruction, Machine, Way, disassembler
from graft.fixups.fragments.values import (
    NOWHERE,
    ZERO,
    Byte,
    Linear,
    Origin,
    State,
    Value,
    unknown,
)
from graft.formats.elf.sections import ElfSections, Image

_MASK: Final = (1 << 64) - 1
_REGISTER: Final = re.compile(r"([xwqdshbv])(\d+)(\.\w+)?")
_SIZES: Final = {"x": 8, "w": 4, "q": 16, "d": 8, "s": 4, "h": 2, "b": 1, "v": 16}
_SPLIT: Final = re.compile(r", (?![^\[]*\])")
_CALLED: Final = (*(f"x{at}" for at in range(19)), "x30", *(f"v{at}" for at in range(32)))
_GIVEN: Final = tuple(f"x{at}" for at in range(9))
"""The registers in which a function takes its arguments, and leaves its result."""
_BRANCHES: Final = re.compile(r"b|b\.\w+|cbn?z|tbn?z")
_LOADS: Final = re.compile(r"ld(u?r|p|np)")
_STORES: Final = re.compile(r"st(u?r|p|np)")
_NARROW: Final = re.compile(r"(ld|st)u?r(s?)([bhw])")
_QUIET: Final = re.compile(
    r"nop|hint|bti|paci\w+|auti\w+|dmb|cbn?z|tbn?z|b|b\.\w+|prfm|tst|cmn|svc"
)


@lru_cache(maxsize=1 << 14)
def _split(text: str) -> tuple[str, ...]:
    return tuple(_SPLIT.split(text)) if text else ()


@lru_cache(maxsize=1 << 10)
def _register(text: str) -> tuple[str, int] | None:
    """The widest register that one is a part of, and its size; None if the text is no register."""
    if text in {"sp", "xzr", "wzr"}:
        return text, 4 if text == "wzr" else 8
    match = _REGISTER.fullmatch(text)
    if match is None:
        return None
    kind, which, lanes = match.groups()
    family = f"x{which}" if kind in "xw" else f"v{which}"
    return family, 8 if lanes in {".8b", ".4h", ".2s", ".1d"} else _SIZES[kind]


def _number(text: str) -> int | None:
    try:
        return int(text.removeprefix("#"), 0) if text.startswith("#") else None
    except ValueError:  # a shift, or a number with a point
        return None


class ArmCode(Machine):
    """Code of AArch64, little-endian."""

    def __init__(
        self, data: Image, elf: ElfSections, addresses: frozenset[int] | None = None
    ) -> None:
        super().__init__(data, elf, addresses)
        self._decode: Callable[..., Iterator[Any]] = disassembler("arm64").disasm_lite  # type: ignore[attr-defined]

    def instructions(self, start: int, end: int) -> Iterator[Instruction]:
        """The instructions between two offsets."""
        address = self.elf.address(start)
        for at, size, mnemonic, operands in self._decode(bytes(self.data[start:end]), address):
            yield Instruction(at, size, mnemonic, operands)

    def way(self, instruction: Instruction) -> tuple[Way, int | None]:
        """Where the code goes on."""
        mnemonic = instruction.mnemonic
        if mnemonic in {"ret", "retaa", "retab", "brk", "udf", "eret"}:
            return "end", None
        if mnemonic in {"bl", "blr", "svc"}:
            return "call", None
        if mnemonic.startswith("br"):
            return "unknown", None
        if _BRANCHES.fullmatch(mnemonic):
            target = _number(_split(instruction.operands)[-1])
            if target is None:
                return "unknown", None
            return ("jump" if mnemonic == "b" else "branch"), target & _MASK
        return "on", None

    def step(self, state: State, instruction: Instruction, effects: Effects) -> None:
        """The effect of an instruction."""
        way, _ = self.way(instruction)
        if way in {"call", "end"}:
            effects.observe()
            effects.escape(*(state.get(family).linear for family in _GIVEN))
            if way == "call":
                state.forget(_CALLED, instruction.address)
            return
        _Step(self, state, instruction, effects).take()


class _Step:
    def __init__(
        self, machine: Machine, state: State, instruction: Instruction, effects: Effects
    ) -> None:
        self._machine, self._state = machine, state
        self._instruction, self._effects = instruction, effects
        self._parts = _split(instruction.operands)

    def take(self) -> None:
        mnemonic, parts = self._instruction.mnemonic, self._parts
        if _QUIET.fullmatch(mnemonic):
            return
        if (
            _LOADS.fullmatch(mnemonic)
            or _STORES.fullmatch(mnemonic)
            or (_NARROW.fullmatch(mnemonic))
        ) and any("[" in each for each in parts):
            self._move()
        elif mnemonic in {"adrp", "adr"}:
            self._point(_number(parts[1]))
        elif mnemonic in {"ldr", "ldrsw"} and _number(parts[1]) is not None:
            self._literal()
        elif mnemonic in {"add", "sub"} and len(parts) in {3, 4}:
            self._add(-1 if mnemonic == "sub" else 1)
        elif mnemonic in {"mov", "movz", "movn", "orr", "movi"}:
            self._copy()
        elif mnemonic == "movk":
            self._insert()
        elif mnemonic in {"cmp", "ccmp", "eor", "subs", "cmeq"}:
            self._compare()
        else:
            self._other()

    # ---- operands --------------------------------------------------------------------------------

    def _get(self, text: str, size: int) -> tuple[Byte, ...]:
        register = _register(text)
        if register is None:
            value = _number(text)
            if value is None:
                return (None,) * size
            return self._immediate(value, size)
        if register[0] in {"xzr", "wzr"}:
            return (ZERO,) * size
        return self._state.get(register[0]).low(size)

    def _immediate(self, value: int, size: int) -> tuple[Byte, ...]:
        text = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        at = self._instruction.address
        # In the instruction they are among other bits.
        return tuple(Origin(byte, at, NOWHERE) if byte else ZERO for byte in text)

    def _linear(self, text: str) -> Linear:
        register = _register(text)
        if register is None:
            return Linear((((self._instruction.address, text), 1),), 0)
        if register[0] in {"xzr", "wzr"}:
            return Linear((), 0)
        if register[1] != 8:
            return Linear((((self._instruction.address, text), 1),), 0)
        return self._state.get(register[0]).linear

    def _put(self, text: str, held: tuple[Byte, ...], linear: Linear | None = None) -> None:
        register = _register(text)
        if register is None or register[0] in {"xzr", "wzr"}:
            return
        family, size = register
        if linear is None or size != 8 or not linear.is_small:
            linear = Linear((((self._instruction.address, family), 1),), 0)
        full = 16 if family.startswith("v") else 8
        held = (*held, *(ZERO,) * (full - len(held))) if len(held) == size else held
        self._state.registers[family] = Value(linear, held if any(held) else ())

    # ---- instructions ----------------------------------------------------------------------------

    def _move(self) -> None:
        """Loads and stores."""
        mnemonic = self._instruction.mnemonic
        at = next(i for i, each in enumerate(self._parts) if "[" in each)
        registers, place = self._parts[:at], self._parts[at]
        after = self._parts[at + 1] if len(self._parts) > at + 1 else ""
        base, *more = place.strip("[]!").split(", ")
        address = before = self._linear(base)
        if len(more) == 1 and (distance := _number(more[0])) is not None:
            address = before.moved(distance)
        elif more:
            address = before.plus(Linear((((self._instruction.address, *more), 1),), 0))
            register = _register(more[0])
            if len(more) == 1 and register is not None and register[1] == 8:
                address = before.plus(self._linear(more[0]))
        if not address.terms:
            address = Linear((), address.number & _MASK)
        narrow = _NARROW.fullmatch(mnemonic)
        for which, name in enumerate(registers):
            register = _register(name)
            if register is None:
                continue
            size = {"b": 1, "h": 2, "w": 4}[narrow[3]] if narrow else register[1]
            there = address.moved(which * size)
            if mnemonic.startswith("st"):
                self._effects.store(there, self._get(name, size))
                self._effects.escape(self._linear(name))
            else:
                held = self._machine.read(
                    self._effects, self._instruction.address + which, there, size
                )
                if narrow and not narrow[2]:
                    held = (*held, *(ZERO,) * (register[1] - size))
                self._put(name, held)
        family = _register(base)
        if family is not None and place.endswith("!"):
            self._state.registers[family[0]] = Value(address, ())
        elif family is not None and after:
            distance = _number(after)
            moved = (
                unknown(self._instruction.address, base)
                if distance is None
                else Value(before.moved(distance), ())
            )
            self._state.registers[family[0]] = moved

    def _point(self, address: int | None) -> None:
        linear = None if address is None else Linear((), address & _MASK)
        if self._instruction.mnemonic == "adr" and address is not None:
            self._effects.point(address)
        self._put(self._parts[0], (None,) * 8, linear)

    def _literal(self) -> None:
        address = _number(self._parts[1])
        register = _register(self._parts[0])
        if address is None or register is None:
            self._other()
            return
        here = self._instruction.address
        size = 4 if self._instruction.mnemonic == "ldrsw" else register[1]
        held = self._machine.read(self._effects, here, Linear((), address), size)
        self._put(self._parts[0], held)

    def _add(self, sign: int) -> None:
        to, one, two, *shift = self._parts
        register = _register(to)
        linear = None
        if register is not None and register[1] == 8 and not shift:
            value = _number(two)
            other = Linear((), value) if value is not None else self._linear(two)
            linear = self._linear(one).plus(other, sign)
            if not linear.terms:
                linear = Linear((), linear.number & _MASK)
                if self._machine.is_mapped(linear.number):
                    self._effects.point(linear.number)
        if _number(two) is not None and sign < 0:
            held = self._get(one, register[1] if register else 8)
            value = _number(two) or 0
            size = len(held)
            text = self._immediate(value, size)
            if any(held):
                self._compare_bytes(held, text)
        elif sign < 0 and register is not None:
            self._compare_bytes(self._get(one, register[1]), self._get(two, register[1]))
        self._put(to, (None,) * (register[1] if register else 8), linear)

    def _copy(self) -> None:
        mnemonic, parts = self._instruction.mnemonic, self._parts
        register = _register(parts[0])
        if register is None or (mnemonic == "orr" and parts[1] not in {"xzr", "wzr"}):
            self._other()
            return
        source = parts[-1] if mnemonic == "orr" else parts[1]
        value = _number(source)
        size = register[1]
        if mnemonic in {"movi", "movn"} or (
            value is not None
            and len(parts) > 2
            and (mnemonic != "orr" and not parts[2].startswith("lsl"))
        ):
            zero = mnemonic == "movi" and value == 0
            self._put(parts[0], (ZERO if zero else None,) * size)
        elif value is not None:
            if mnemonic != "orr" and len(parts) > 2:
                value <<= _number(parts[2].removeprefix("lsl ")) or 0
            value &= (1 << 8 * size) - 1
            if self._machine.is_address(value, -1):
                self._effects.point(value)
            self._put(parts[0], self._immediate(value, size), Linear((), value))
        elif _register(source) is not None and "[" not in self._instruction.operands:
            self._put(parts[0], self._get(source, size), self._linear(source))
        else:
            self._other()

    def _insert(self) -> None:
        to, text, *shift = self._parts
        register, value = _register(to), _number(text)
        by = (_number(shift[0].removeprefix("lsl ")) or 0) if shift else 0
        if register is None or value is None:
            self._other()
            return
        held = list(self._get(to, register[1]))
        held[by // 8 : by // 8 + 2] = self._immediate(value, 2)
        old = self._state.get(register[0]).linear
        linear = None
        if not old.terms:
            number = old.number & ~(0xFFFF << by) | value << by
            linear = Linear((), number)
            if self._machine.is_address(number, -1):
                self._effects.point(number)
        self._put(to, tuple(held), linear)

    def _compare(self) -> None:
        mnemonic, parts = self._instruction.mnemonic, self._parts
        to, one, two = parts[:3] if mnemonic in {"eor", "subs", "cmeq"} else ("", *parts[:2])
        register = _register(one)
        if register is None:
            self._other()
            return
        size = register[1]
        if len(parts) > 3 and mnemonic != "ccmp":
            self._effects.lose((*self._get(one, size), *self._get(two, size)))
        elif mnemonic == "eor" and one == two:
            self._put(to, (ZERO,) * size, Linear((), 0))
            return
        else:
            self._compare_bytes(self._get(one, size), self._get(two, size))
        if to:
            self._put(to, (None,) * size)

    def _compare_bytes(self, one: tuple[Byte, ...], two: tuple[Byte, ...]) -> None:
        pairs = [
            (a, b) for a, b in zip(one, two, strict=True) if not (ZERO in {a, b} or a is b is None)
        ]
        self._effects.compare(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))

    def _other(self) -> None:
        """An instruction that is not known in detail."""
        here = self._instruction.address
        names = re.findall(r"[\w.]+", self._instruction.operands)
        for name in names:
            register = _register(name.partition("[")[0])
            if register is not None and register[0] not in {"xzr", "wzr"}:
                self._effects.lose(self._state.get(register[0]).bytes)
                self._effects.escape(self._state.get(register[0]).linear)
        for each in self._parts[:2]:
            register = _register(each.strip("{}"))
            if register is not None:
                self._state.forget((register[0],), here)
        if "{" in self._instruction.operands or "[" in self._instruction.operands:
            for name in names:
                register = _register(name)
                if register is not None:
                    self._state.forget((register[0],), here)
