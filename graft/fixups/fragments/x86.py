"""Operands of x86 instructions, told by the bytes around them.

Instructions are not decoded from a function's start on: an operand is taken for one only if the
bytes before it are an opcode that has it. So nothing depends on a disassembler's version.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from graft import kernel
from graft.formats.elf.sections import Image

_RELATIVE: Final = re.compile(rb"[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]")
"""A ModRM byte that says: the operand is at a distance from the next instruction."""
_GRANULE: Final = 16
_SHORT = frozenset(range(0xB8, 0xC0)) | {0x3D, 0x35, 0x2D, 0x05, 0x0D, 0x25, 0xA9, 0x68}
"""Opcodes that four bytes of an immediate follow: mov, cmp, xor, sub, add, or, and, test, push."""
_WITH_MODRM = frozenset({0xC7, 0x81, 0xF7})
"""Opcodes whose immediate follows a ModRM byte and the bytes it needs: mov, cmp and the like,
test."""
_BYTE = frozenset({0xC6, 0x80})
"""Opcodes whose immediate of one byte follows a ModRM byte: mov, cmp and the like."""
_HALF = frozenset({0x12, 0x13, 0x16, 0x17, 0xD6})
"""Opcodes after 0F that move half of a register: movlps, movhps and the like, movq."""
_SCALAR = frozenset({0x10, 0x11, *range(0x51, 0x60), 0x5A, 0x7E, 0xC2})
"""Opcodes after 0F that take one number only after F2 or F3."""


def immediate_size(code: bytes, at: int) -> int:
    """The size of the immediate that begins there in bytes; 0 if there is no immediate.

    One that has four bytes, or two after a prefix, is taken for four.
    """
    if at and code[at - 1] & 0xF8 == 0xB8 and at > 1 and code[at - 2] & 0xFE == 0x48:
        return 8
    if (at and code[at - 1] in _SHORT) or _follows(code, at, _WITH_MODRM):
        return 4
    return 1 if _follows(code, at, _BYTE) else 0


def _follows(code: bytes, at: int, opcodes: frozenset[int]) -> bool:
    """Whether one of some opcodes, and an address, end there."""
    return any(
        at > size and code[at - size - 1] in opcodes and _address_size(code, at - size) == size
        for size in range(1, 7)
    )


def _address_size(code: bytes, at: int) -> int:
    """The bytes of a ModRM byte and of the rest of the address."""
    mode, base = code[at] >> 6, code[at] & 7
    if mode == 3:
        return 1
    size = 1
    if base == 4:
        size = 2
        if mode == 0 and at + 1 < len(code) and code[at + 1] & 7 == 5:
            return size + 4
    elif mode == 0 and base == 5:
        return size + 4
    return size + (0, 1, 4)[mode]


def relative_operands(data: Image, start: int, end: int, address: int) -> Iterator[tuple[int, int]]:
    """Every operand that may be at a distance from its instruction.

    Args:
        data: the file.
        start: the start of the code in it.
        end: the end of the code.
        address: where the code is loaded.

    Yields:
        Where in the file the ModRM byte is, and the operand's address. Some of them are no
        operands, for any byte may look like one.
    """
    after = address - start + 5
    for match in _RELATIVE.finditer(data, start, max(start, end - 4)):
        at = match.start()
        yield at, after + at + int.from_bytes(data[at + 1 : at + 5], "little", signed=True)


def operands_within(
    data: Image, start: int, end: int, address: int, ranges: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """The results of `relative_operands` that lie in one of some ranges of addresses, or close to
    one.

    Args:
        ranges: first addresses and ends, at least one.
    """
    if kernel.native is None:
        for at, target in relative_operands(data, start, end, address):
            if any(first <= target < last for first, last in ranges):
                yield at, target
        return
    first = min(low for low, _ in ranges) // _GRANULE * _GRANULE
    marks = bytearray((max(high for _, high in ranges) - first) // _GRANULE // 8 + 1)
    for low, high in ranges:
        for granule in range((low - first) // _GRANULE, (high - 1 - first) // _GRANULE + 1):
            marks[granule >> 3] |= 1 << (granule & 7)
    yield from kernel.native.relative_operands(data, start, end, address, first, marks)


def operand_size(code: bytes, at: int) -> int:
    """The bytes that an instruction takes from memory, told by the bytes before its ModRM byte.

    Returns:
        0 if that is no instruction known to load a value.
    """
    before = code[max(0, at - 6) : at]
    if len(before) < 2:
        return 0
    opcode = before[-1]
    # Legacy forms first: where two readings are possible, that is the smaller one.
    if before[-2] == 0x0F:
        prefix = _prefix(before[:-2])
        if opcode in _HALF:
            return 8
        if opcode in _SCALAR and prefix in {0xF2, 0xF3}:
            return 4 if prefix == 0xF3 and opcode != 0x7E else 8
        return 16 if 0x10 <= opcode < 0x80 or opcode >= 0xD0 else 0
    if before[-3:-1] in {b"\x0f\x38", b"\x0f\x3a"}:
        return 16
    if opcode in {0x8B, 0x3B, 0x33, 0x2B, 0x39}:  # mov, cmp, xor, sub, cmp
        return 8 if before[-2] & 0xF8 == 0x48 else 4
    return _vector_size(before)


def _prefix(before: bytes) -> int:
    """The byte before an opcode that says how much it takes; a REX byte may be between."""
    if before and before[-1] & 0xF0 == 0x40:
        before = before[:-1]
    return before[-1] if before else 0


def _vector_size(before: bytes) -> int:
    """The bytes a VEX or EVEX instruction takes; 0 if it is neither."""
    if before[-3:-2] == b"\xc5" or before[-4:-3] == b"\xc4":
        return _of_vex(before[-2], before[-1])
    if before[-5:-4] == b"\x62" and before[-2] >> 5 & 3 < 3:
        return 16 << (before[-2] >> 5 & 3)
    return 0


def _of_vex(last: int, opcode: int) -> int:
    if opcode in _HALF:
        return 8
    if opcode in _SCALAR and last & 2:
        return 4 if last & 1 == 0 and opcode != 0x7E else 8
    return 32 if last >> 2 & 1 else 16
