"""The effects of x86-64's instructions on bytes, as far as compilers copy and compare text by them.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

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


class Register(NamedTuple):
    """A register, or a part of one."""

    family: str
    size: int
    shift: int = 0


class MemoryOperand(NamedTuple):
    """A place in memory; size 0: it is not said."""

    size: int
    segment: str
    base: str
    other: str
    scale: int
    distance: int


class Immediate(NamedTuple):
    """A number in the instruction."""

    value: int


Operand = Register | MemoryOperand | Immediate

_SIZES: Final = {
    "byte": 1,
    "word": 2,
    "dword": 4,
    "qword": 8,
    "xmmword": 16,
    "ymmword": 32,
    "zmmword": 64,
}
_PLACE: Final = re.compile(r"(?:(\w+) ptr )?(?:(\w\w):)?\[(.*)\]")
_TABLE: Final = re.compile(r"\[(?:(rip)|\w+\*8) \+ (0x[0-9a-f]+)\]")
_DECORATION: Final = re.compile(r" ?\{[^}]*\}")
"""A mask, a broadcast or a rounding of AVX-512."""
_WIDTH: Final = 64
_DIFFERENCES: Final = 0xF6
"""The immediate of vpternlog that gathers in one register the difference of two others."""
_MASK: Final = (1 << 64) - 1
_GIVEN: Final = ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9")
"""The registers in which a function takes its arguments, and leaves its result."""
_ARGUMENTS: Final = ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")
"""The registers that a called function may change, besides all vectors."""


def _registers() -> dict[str, Register]:
    found: dict[str, Register] = {}
    for one in "abcd":
        family = f"r{one}x"
        found |= {
            family: Register(family, 8),
            f"e{one}x": Register(family, 4),
            f"{one}x": Register(family, 2),
            f"{one}l": Register(family, 1),
            f"{one}h": Register(family, 1, 1),
        }
    for one in ("si", "di", "bp", "sp"):
        family = f"r{one}"
        found |= {
            family: Register(family, 8),
            f"e{one}": Register(family, 4),
            one: Register(family, 2),
            f"{one}l": Register(family, 1),
        }
    for at in range(8, 16):
        family = f"r{at}"
        for end, size in (("", 8), ("d", 4), ("w", 2), ("b", 1)):
            found[family + end] = Register(family, size)
    for at in range(32):
        for kind, size in (("x", 16), ("y", 32), ("z", 64)):
            found[f"{kind}mm{at}"] = Register(f"v{at}", size)
    for at in range(8):
        found[f"mm{at}"] = Register(f"mm{at}", 8)
        found[f"k{at}"] = Register(f"k{at}", 8)
    return found


_REGISTERS: Final = _registers()
_VECTORS: Final = tuple(f"v{at}" for at in range(32))


@lru_cache(maxsize=1 << 14)
def _operands(text: str) -> tuple[Operand, ...] | None:
    """The operands of an instruction; None if one is of an unknown kind."""
    found: list[Operand] = []
    for each in text.split(", ") if text else ():
        if each in _REGISTERS:
            found.append(_REGISTERS[each])
        elif each[:1].isdigit() or each[:1] == "-":
            found.append(Immediate(int(each, 0)))
        elif match := _PLACE.fullmatch(each):
            place = _place(_SIZES.get(match[1] or "", 0), match[2] or "", match[3])
            if place is None:
                return None
            found.append(place)
        else:
            return None
    return tuple(found)


def _place(size: int, segment: str, inside: str) -> MemoryOperand | None:
    base = index = ""
    scale, distance, sign = 1, 0, 1
    for each in inside.split(" "):
        name, _, times = each.partition("*")
        if each in {"+", "-"}:
            sign = -1 if each == "-" else 1
        elif each[:1].isdigit() or each[:1] == "-":
            distance += sign * int(each, 0)
        elif times:
            index, scale = name, int(times)
        elif not base:
            base = each
        elif not index:
            index = each
        else:
            return None
    return MemoryOperand(size, segment, base, index, scale, distance)


_COPIES: Final = frozenset(
    [
        "mov",
        "movabs",
        "movaps",
        "movups",
        "movapd",
        "movupd",
        "movdqa",
        "movdqu",
        "lddqu",
        "movntdq",
        "movntps",
        "movnti",
        "movdqa64",
        "movdqa32",
        "movdqu8",
        "movdqu16",
        "movdqu32",
        "movdqu64",
        "movntdqa",
        "movq",
        "movd",
        "movss",
        "movsd",
    ]
)
_NARROW: Final = {"movq": 8, "movd": 4, "movss": 4, "movsd": 8}
_COMPARISONS: Final = frozenset(
    [
        "pcmpeqb",
        "pcmpeqw",
        "pcmpeqd",
        "pcmpeqq",
        "pxor",
        "pxord",
        "pxorq",
        "xorps",
        "xorpd",
        "psubb",
    ]
)
_LOW: Final = frozenset({"punpcklqdq", "movlhps", "unpcklpd"})
_HALVES: Final = {"movhps": 8, "movhpd": 8, "movlps": 0, "movlpd": 0}
_REPLACED: Final = re.compile(
    r"(set\w+|v?pmovmskb|v?movmskp[sd]|v?pshuf\w*|v?cvt\w+|v?pbroadcast\w|[tl]zcnt|popcnt|bs[fr])"
)
"""Instructions that read nothing of their first operand."""
_STRINGS: Final = re.compile(r"(rep\w*|movsb|movsw|movsq|stos\w|lods\w|scas\w|cmps[bwq])\b.*")
_NOTHING: Final = re.compile(
    r"(\w*nop\w*|endbr64|bnd|ud2|int3|hlt|pause|leave|prefetch\w*|vzeroupper|cld|test|bt|jmp|j\w+|"
    r"emms|[lms]fence|cmc|clc|stc|notrack.*)"
)
_WIDE: Final = re.compile(r"(mul|div|idiv|imul|cpuid|rdtsc\w*|xgetbv|cqo|cdq|cwd|cdqe|cwde|cbw)")
_SEVERAL: Final = re.compile(r"xchg|xadd|mulx")
"""Instructions that write more than their first operand."""
_SINGLE: Final = re.compile(r"neg|not|bswap|set\w+|sh[lr]|sa[lr]|ro[lr]")
"""Instructions of one operand that write nothing else."""
_JUMPS: Final = re.compile(r"(bnd |notrack )*j\w+|loop\w*|xbegin")
_ENDS: Final = frozenset({"ret", "ud2", "hlt", "retf", "iretq", "bnd ret", "rep ret", "repz ret"})


class X86Code(Machine):
    """Code of x86-64."""

    def __init__(
        self, data: Image, elf: ElfSections, addresses: frozenset[int] | None = None
    ) -> None:
        super().__init__(data, elf, addresses)
        self._decode: Callable[..., Iterator[Any]] = disassembler("x86").disasm_lite  # type: ignore[attr-defined]

    def instructions(self, start: int, end: int) -> Iterator[Instruction]:
        """The instructions between two offsets."""
        address = self.elf.address(start)
        for at, size, mnemonic, operands in self._decode(bytes(self.data[start:end]), address):
            yield Instruction(at, size, mnemonic, operands)

    def way(self, instruction: Instruction) -> tuple[Way, int | None]:
        """Where the code goes on."""
        mnemonic = instruction.mnemonic
        if mnemonic in _ENDS:
            return "end", None
        if mnemonic.endswith("call") or mnemonic == "syscall":
            return "call", None
        if _JUMPS.fullmatch(mnemonic):
            operands = _operands(instruction.operands)
            if not operands or not isinstance(operands[0], Immediate):
                # Through a slot of its own, that is how other libraries' functions are called.
                is_call = mnemonic.endswith("jmp") and "[rip" in instruction.operands
                return ("end" if is_call else "unknown"), None
            kind: Way = "jump" if mnemonic.endswith("jmp") else "branch"
            return kind, operands[0].value & _MASK
        return "on", None

    def step(self, state: State, instruction: Instruction, effects: Effects) -> None:
        """The effect of an instruction."""
        mnemonic = instruction.mnemonic
        if mnemonic.endswith("call") or mnemonic == "syscall":
            effects.observe()
            effects.escape(*(state.get(family).linear for family in _GIVEN))
            state.forget((*_ARGUMENTS, *_VECTORS), instruction.address)
            return
        if mnemonic in _ENDS:
            effects.observe()
            effects.escape(*(state.get(family).linear for family in _GIVEN))
            return
        operands = _operands(instruction.operands)
        if operands is None and "{" in instruction.operands:
            self._take_masked(state, instruction, effects)
            return
        between = operands is not None and [type(each) for each in operands] == [
            MemoryOperand,
            MemoryOperand,
        ]
        if _STRINGS.fullmatch(mnemonic) or operands is None or between:
            self._give_up(state, instruction, effects, operands or ())
            return
        step = _Step(self, state, instruction, effects, operands)
        name = mnemonic.removeprefix("v")
        three = mnemonic != name and len(operands) > 2
        if name in _COPIES and len(operands) == 2:
            step.copy(_NARROW.get(name))
        elif mnemonic == "lea":
            step.lea()
        elif mnemonic in {"push", "pop"}:
            step.push() if mnemonic == "push" else step.pop()
        elif mnemonic in {"cmp", "xor", "sub"} and len(operands) == 2:
            step.compare(mnemonic)
        elif mnemonic in {"add", "inc", "dec"}:
            step.add()
        elif mnemonic == "movzx":
            step.widen()
        elif name in {"pternlogq", "pternlogd"}:
            step.combine()
        elif name in _COMPARISONS:
            step.compare_vectors()
        elif name in _LOW:
            step.low_halves()
        elif name in _HALVES and len(operands) == 2:
            step.half(_HALVES[name])
        elif name in {"pinsrq", "pinsrd"}:
            step.insert(8 if name == "pinsrq" else 4)
        elif name in {"inserti128", "insertf128"} and three:
            step.insert(16)
        elif name in {"extracti128", "extractf128"} and three:
            step.extract()
        elif _NOTHING.fullmatch(mnemonic):
            step.look()
        else:
            step.other(reads_first=not _REPLACED.fullmatch(mnemonic))

    def tables(self, instructions: Iterable[Instruction]) -> Iterator[int]:
        """The addresses in tables of distances from the table, or of addresses."""
        instructions = list(instructions)
        low, high = instructions[0].address, instructions[-1].end
        for each in instructions:
            match = _TABLE.search(each.operands)
            if match is None:
                continue
            address = int(match[2], 0)
            size = 4
            if match[1]:
                address += each.end
            elif "*8" in each.operands:
                size = 8
            offset = self.elf.offset(address)
            while offset is not None:
                entry = int.from_bytes(self.data[offset : offset + size], "little", signed=True)
                target = entry + (address if size == 4 else 0)
                if not low <= target < high:
                    break
                yield target
                offset += size

    def _take_masked(self, state: State, instruction: Instruction, effects: Effects) -> None:
        """An instruction that a mask or a broadcast makes another: its bytes may go anywhere."""
        effects.observe()
        operands = _operands(_DECORATION.sub("", instruction.operands)) or ()
        step = _Step(self, state, instruction, effects, operands)
        for value in state.registers.values():
            effects.lose(value.bytes)
        step.other(reads_first=True)
        if operands and isinstance(operands[0], MemoryOperand):
            effects.observe()

    @staticmethod
    def _give_up(
        state: State, instruction: Instruction, effects: Effects, operands: tuple[Operand, ...]
    ) -> None:
        del operands
        effects.observe()
        effects.escape(*(state.get(family).linear for family in _GIVEN))
        families = {part for part in re.findall(r"\w+", instruction.operands) if part in _REGISTERS}
        changed = {_REGISTERS[part].family for part in families} | {"rcx", "rsi", "rdi", "rax"}
        state.forget(sorted(changed), instruction.address)


class _Step:
    """One instruction."""

    def __init__(
        self,
        machine: Machine,
        state: State,
        instruction: Instruction,
        effects: Effects,
        operands: tuple[Operand, ...],
    ) -> None:
        self._machine, self._state = machine, state
        self._instruction, self._effects = instruction, effects
        self._operands = operands

    # ---- operands --------------------------------------------------------------------------------

    def _size(self, *operands: Operand) -> int:
        sizes = [each.size for each in operands if not isinstance(each, Immediate) and each.size]
        return min(sizes, default=8)

    def _address(self, place: MemoryOperand) -> Linear:
        result = Linear((), place.distance)
        if place.segment in {"fs", "gs"}:
            result = Linear((((place.segment,), 1),), place.distance)
        for name, times in ((place.base, 1), (place.other, place.scale)):
            if name == "rip":
                result = result.moved(self._instruction.end)
            elif name:
                register = _REGISTERS.get(name)
                if register is None or register.size != 8:
                    here = self._instruction.address, name
                    result = result.plus(Linear((((*here,), 1),), 0), times)
                else:
                    result = result.plus(self._state.get(register.family).linear, times)
        if not result.terms:
            return Linear((), result.number & _MASK)
        for name in (place.base, place.other):
            register = _REGISTERS.get(name)
            held = None if register is None else self._state.get(register.family).linear
            if held is not None and not held.terms:
                self._effects.drift(held.number + place.distance)
        return result

    def _get(self, operand: Operand, size: int) -> tuple[Byte, ...]:
        if isinstance(operand, Register):
            held = self._state.get(operand.family).low(operand.shift + size)[operand.shift :]
            # Half of a register is no more than that.
            return (*held[: operand.size], *(None,) * (size - operand.size))
        if isinstance(operand, MemoryOperand):
            address = self._address(operand)
            at = self._instruction.address
            # The instruction takes all of its operand; what is not used of it is not accounted for.
            whole = max(size, operand.size)
            return self._machine.read(self._effects, at, address, whole)[:size]
        return self._immediate(operand.value, size)

    def _immediate(self, value: int, size: int) -> tuple[Byte, ...]:
        """The bytes of a number, which are the instruction's last ones."""
        text = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        end = self._machine.elf.offset(self._instruction.address)
        if end is None:
            return tuple(Origin(byte, -1, NOWHERE) for byte in text)
        end += self._instruction.size
        at = self._instruction.address
        for width in (8, 4, 2, 1):
            inside = width <= min(size, self._instruction.size - 1)
            if inside and self._machine.data[end - width : end] == text[:width]:
                held = [Origin(text[i], at, end - width + i) for i in range(width)]
                self._effects.load(at, range(end - width, end))
                return (*held, *(Origin(byte, -1, NOWHERE) for byte in text[width:]))
        return tuple(Origin(byte, -1, NOWHERE) for byte in text)

    def _point(self, value: int, held: tuple[Byte, ...]) -> None:
        """Takes down a number that may be an address."""
        if isinstance(held[0], Origin) and self._machine.is_address(value, held[0].offset):
            self._effects.point(value)

    def _put(self, operand: Operand, held: tuple[Byte, ...], linear: Linear | None = None) -> None:
        """Writes an operand; beyond its known bytes half a register of 64 bits gets zeros."""
        if isinstance(operand, MemoryOperand):
            self._effects.store(self._address(operand), held)
            if linear is not None:
                self._effects.escape(linear)
        elif isinstance(operand, Register):
            if linear is None or not linear.is_small:
                linear = Linear((((self._instruction.address, operand.family), 1),), 0)
            if operand.size < 4 and not operand.family.startswith("v"):
                old = self._state.get(operand.family).low(8)
                held = (*old[: operand.shift], *held, *old[operand.shift + len(held) :])
                linear = Linear((((self._instruction.address, operand.family), 1),), 0)
            elif operand.size == 4:
                held = (*held, *(ZERO,) * 4)
            self._state.registers[operand.family] = Value(linear, held if any(held) else ())

    # ---- instructions ----------------------------------------------------------------------------

    def copy(self, narrow: int | None) -> None:
        to, source = self._operands
        size = narrow or self._size(to, source)
        if (
            isinstance(to, Register)
            and isinstance(source, Register)
            and narrow
            and (self._instruction.mnemonic in {"movss", "movsd"})
        ):
            self.other(reads_first=True)
            return
        held = self._get(source, size)
        linear = None
        if isinstance(source, Immediate) and isinstance(to, Register) and to.size >= 4:
            value = source.value & ((1 << 8 * to.size) - 1)
            linear = Linear((), value)
            self._point(value, held)
        elif isinstance(source, Immediate):
            self._point(source.value & _MASK, held)
        elif isinstance(source, Register) and self._size(to, source) == 8:
            linear = self._state.get(source.family).linear if source.size == 8 else None
        if narrow and isinstance(to, Register) and to.family.startswith("v"):
            held = (*held, *(ZERO,) * (16 - size))
        self._put(to, held, linear)

    def lea(self) -> None:
        to, source = self._operands
        assert isinstance(source, MemoryOperand)
        address = self._address(source)
        for name in (source.base, source.other):
            if name in _REGISTERS:  # a constant may be made of another one
                self._effects.lose(self._state.get(_REGISTERS[name].family).bytes)
        if not address.terms and self._machine.is_mapped(address.number):
            self._effects.point(address.number)
        is_whole = isinstance(to, Register) and to.size == 8
        self._put(to, (None,) * self._size(to), address if is_whole else None)

    def push(self) -> None:
        (source,) = self._operands
        held = self._get(source, 8)
        if isinstance(source, Immediate):
            self._point(source.value & _MASK, held)
        if isinstance(source, Register):
            self._effects.escape(self._state.get(source.family).linear)
        top = self._state.get("rsp").linear.moved(-8)
        self._state.registers["rsp"] = Value(top, ())
        self._effects.store(top, held)

    def pop(self) -> None:
        (to,) = self._operands
        top = self._state.get("rsp").linear
        held = self._get(MemoryOperand(8, "", "rsp", "", 1, 0), 8)
        self._state.registers["rsp"] = Value(top.moved(8), ())
        self._put(to, held)

    def add(self) -> None:
        to, *more = self._operands
        if isinstance(to, MemoryOperand):
            self.look()
            return
        assert isinstance(to, Register)
        linear = None
        one = Linear((), 1)
        if to.size == 8:
            before = self._state.get(to.family).linear
            if not more:
                linear = before.plus(one, 1 if self._instruction.mnemonic == "inc" else -1)
            elif isinstance(more[0], Immediate):
                linear = before.moved(more[0].value)
            elif isinstance(more[0], Register) and more[0].size == 8:
                linear = before.plus(self._state.get(more[0].family).linear)
            if linear is not None and not linear.terms:
                linear = Linear((), linear.number & _MASK)
                if self._machine.is_mapped(linear.number):
                    self._effects.point(linear.number)
        for each in (to, *more):
            if isinstance(each, Register) and (linear is None or linear.terms):
                held = self._state.get(each.family).linear
                if not held.terms:
                    self._effects.drift(held.number)
        for each in (to, *more):
            if not isinstance(each, Immediate):  # a constant may be made of another one
                self._effects.lose(self._get(each, self._size(to, each)))
        self._put(to, (None,) * to.size, linear)

    def compare(self, mnemonic: str) -> None:
        to, other = self._operands
        size = self._size(to, other)
        if mnemonic == "xor" and to == other:
            self._put(to, (ZERO,) * size, Linear((), 0))
            return
        moves = mnemonic == "sub" and isinstance(other, Immediate)
        if moves and isinstance(to, Register) and to.size == 8:
            assert isinstance(other, Immediate)
            self._effects.lose(self._get(to, 8))
            self._put(to, (None,) * 8, self._state.get(to.family).linear.moved(-other.value))
            return
        one, two = self._get(to, size), self._get(other, size)
        if isinstance(other, Immediate) and not any(one):
            self._effects.lose(two)
        else:
            pairs = [
                (a, b)
                for a, b in zip(one, two, strict=True)
                if not (ZERO in {a, b} or a is b is None)
            ]
            self._effects.compare(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        if mnemonic != "cmp":
            self._put(to, (None,) * size)

    def widen(self) -> None:
        to, source = self._operands
        size = self._size(source)
        held = self._get(source, size)
        self._put(to, (*held, *(ZERO,) * (self._size(to) - size)))

    def compare_vectors(self) -> None:
        to, *sources = self._operands
        one, two = sources[-2:] if len(sources) > 1 else (to, sources[0])
        size = self._size(one, two)
        if one == two:
            is_zero = "xor" in self._instruction.mnemonic
            self._put(to, (ZERO if is_zero else Origin(255, -1, NOWHERE),) * self._size(to))
            return
        self._effects.compare(self._get(one, size), self._get(two, size))
        self._put(to, (None,) * self._size(to))

    def combine(self) -> None:
        to, one, two, how = self._operands
        if how != Immediate(_DIFFERENCES):
            self.other(reads_first=True)
            return
        size = self._size(to, one, two)
        self._effects.compare(self._get(one, size), self._get(two, size))
        self._put(to, (None,) * size)

    def low_halves(self) -> None:
        to, *sources = self._operands
        one, two = sources[-2:] if len(sources) > 1 else (to, sources[0])
        if self._size(to) != 16:
            self.other(reads_first=True)
            return
        self._put(to, (*self._get(one, 8), *self._get(two, 8)))

    def half(self, at: int) -> None:
        to, source = self._operands
        if isinstance(to, MemoryOperand) and isinstance(source, Register):
            held = self._state.get(source.family).low(16)
            self._put(to, held[at : at + 8])
        elif isinstance(to, Register) and isinstance(source, MemoryOperand):
            old = self._state.get(to.family).low(16)
            new = self._get(source, 8)
            self._put(to, (*old[:8], *new) if at else (*new, *old[8:]))
        else:
            self.other(reads_first=True)

    def insert(self, size: int) -> None:
        to, *sources = self._operands
        *first, source, which = sources
        base = first[0] if first else to
        if not isinstance(which, Immediate):
            self.other(reads_first=True)
            return
        at = which.value * size
        width = self._size(to)
        held = self._get(base, width)
        self._put(to, (*held[:at], *self._get(source, size), *held[at + size :])[:width])

    def extract(self) -> None:
        to, source, which = self._operands
        assert isinstance(which, Immediate)
        at = 16 * (which.value & 1)
        self._put(to, self._get(source, 32)[at : at + 16])

    def look(self) -> None:
        """Operands are read, and nothing is written."""
        if self._instruction.mnemonic == "leave":
            frame = self._state.get("rbp").linear
            self._state.registers["rsp"] = Value(frame.moved(8), ())
            self._state.forget(("rbp",), self._instruction.address)
            return
        for each in self._operands:
            if not isinstance(each, Immediate):
                self._effects.lose(self._get(each, self._size(each)))

    def other(self, *, reads_first: bool) -> None:
        """An instruction that is not known in detail: the bytes it reads may go anywhere."""
        for at, each in enumerate(self._operands):
            if (at or reads_first) and not (
                isinstance(each, Immediate) and len(self._operands) > 2
            ):
                self._effects.lose(
                    self._get(each, _WIDTH if not _sized(each) else self._size(each))
                )
        at_here = self._instruction.address
        used = [each for each in self._operands if isinstance(each, Register)]
        self._effects.escape(*(self._state.get(each.family).linear for each in used))
        if self._operands and isinstance(self._operands[0], Register):
            first = self._operands[0]
            self._state.registers[first.family] = unknown(at_here, first.family)
        mnemonic = self._instruction.mnemonic
        if _SEVERAL.search(mnemonic):
            for each in self._operands:
                if isinstance(each, Register):
                    self._state.forget((each.family,), at_here)
            self._state.forget(("rax",), at_here)
        if _WIDE.fullmatch(mnemonic) or (
            len(self._operands) < 2 and not _SINGLE.fullmatch(mnemonic)
        ):
            # Such an instruction has operands that it does not name.
            self._state.forget(("rax", "rbx", "rcx", "rdx"), at_here)


def _sized(operand: Operand) -> bool:
    return isinstance(operand, Immediate) or operand.size > 0
