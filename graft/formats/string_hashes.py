"""Hashes of strings that programs are compiled with: the values of a text.

A compiler computes them of a constant text: for a switch over texts, or a table. The values are of
32 or 64 bits, over the bytes of the text.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

Function = Callable[[bytes], int]


class StringHash(NamedTuple):
    """One hash function.

    Attributes:
        name: the field's name of it.
        size: bytes of its values.
        marks: constants of which each program with the function has one; empty: it has no constant
            of its own.
        of: the value of a text.
    """

    name: str
    size: int
    marks: tuple[int, ...]
    of: Function


def hash_functions() -> Iterator[StringHash]:
    """All known functions; some twice, as compilers compare their values before a last step."""
    for size, (prime, basis) in {4: _FNV_32, 8: _FNV_64}.items():
        function = _folded(size, basis, prime, _xor_first)
        yield StringHash("FNV-1a", size, (prime,), function)
        yield StringHash("FNV-1a", size, (prime,), _undone(function, prime, size))
        yield StringHash("FNV-1", size, (prime,), _folded(size, basis, prime, _xor_last))
        for name, step in (("djb2", _add_last), ("djb2a", _xor_last)):
            function = _folded(size, _DJB2, 33, step)
            yield StringHash(name, size, (_DJB2,), function)
            yield StringHash(f"{name} from the end", size, (_DJB2,), _reversed(function))
        for factor in (31, 131, 65599):
            function = _folded(size, 0, factor, _add_last)
            yield StringHash(_POLYNOMIALS[factor], size, (), function)
    yield StringHash("CRC-32", 4, (0xEDB88320, 0x77073096), zlib.crc32)
    yield StringHash("CRC-32", 4, (0xEDB88320, 0x77073096), lambda text: zlib.crc32(text) ^ _32)
    yield StringHash("Adler-32", 4, (65521,), zlib.adler32)
    yield StringHash("MurmurHash3", 4, (0xCC9E2D51,), murmur3)
    yield StringHash("MurmurHash2", 4, (0x5BD1E995,), murmur2)
    yield StringHash("MurmurHash64A", 8, (_MURMUR_64,), murmur_64a)
    yield StringHash("xxHash32", 4, (0x9E3779B1,), _xxhash("xxh32"))
    yield StringHash("xxHash64", 8, (0x9E3779B185EBCA87,), _xxhash("xxh64"))
    yield StringHash("SipHash-2-4", 8, (_SIP[0],), lambda text: _siphash(text, 2, 4))
    yield StringHash("SipHash-1-3", 8, (_SIP[0],), lambda text: _siphash(text, 1, 3))
    yield StringHash("one-at-a-time", 4, (), _one_at_a_time)
    yield StringHash("PJW", 4, (), _pjw)


_FNV_32: Final = 0x01000193, 0x811C9DC5
_FNV_64: Final = 0x100000001B3, 0xCBF29CE484222325
_DJB2: Final = 5381
_POLYNOMIALS: Final = {31: "String.hashCode", 131: "BKDR", 65599: "sdbm"}
_MURMUR_64: Final = 0xC6A4A7935BD1E995
_STANDARD_SEED: Final = 0xC70F6907
"""The seed of std::hash."""
_SIP: Final = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
_32: Final = (1 << 32) - 1
_64: Final = (1 << 64) - 1

_Step = Callable[[int, int, int], int]


def _xor_first(value: int, byte: int, prime: int) -> int:
    return (value ^ byte) * prime


def _xor_last(value: int, byte: int, prime: int) -> int:
    return value * prime ^ byte


def _add_last(value: int, byte: int, prime: int) -> int:
    return value * prime + byte


def _folded(size: int, basis: int, prime: int, step: _Step) -> Function:
    mask = (1 << 8 * size) - 1

    def value_of(text: bytes) -> int:
        value = basis
        for byte in text:
            value = step(value, byte, prime) & mask
        return value

    return value_of


def _undone(function: Function, factor: int, size: int) -> Function:
    """Without the last multiplication, since compilers compare the value before it."""
    inverse = pow(factor, -1, 1 << 8 * size)
    return lambda text: function(text) * inverse & (1 << 8 * size) - 1


def _reversed(function: Function) -> Function:
    """As a recursion computes it: with the last byte first."""
    return lambda text: function(text[::-1])


def _xxhash(name: str) -> Function:
    def value_of(text: bytes) -> int:
        import xxhash  # noqa: PLC0415 - only programs with its constants need it

        value: int = getattr(xxhash, f"{name}_intdigest")(text)
        return value

    return value_of


def _turned(value: int, by: int, bits: int = 32) -> int:
    return (value << by | value >> bits - by) & (1 << bits) - 1


def murmur3(text: bytes, seed: int = 0) -> int:
    """MurmurHash3 of 32 bits."""
    value, whole = seed, len(text) // 4 * 4
    for at in range(0, len(text), 4):
        word = int.from_bytes(text[at : at + 4], "little") * 0xCC9E2D51 & _32
        value ^= _turned(word, 15) * 0x1B873593 & _32
        if at < whole:
            value = (_turned(value, 13) * 5 + 0xE6546B64) & _32
    value ^= len(text)
    value = (value ^ value >> 16) * 0x85EBCA6B & _32
    value = (value ^ value >> 13) * 0xC2B2AE35 & _32
    return value ^ value >> 16


def murmur2(text: bytes, seed: int = 0) -> int:
    """MurmurHash2 of 32 bits."""
    factor, whole = 0x5BD1E995, len(text) // 4 * 4
    value = seed ^ len(text)
    for at in range(0, whole, 4):
        word = int.from_bytes(text[at : at + 4], "little") * factor & _32
        value = value * factor & _32 ^ (word ^ word >> 24) * factor & _32
    if whole < len(text):
        value = (value ^ int.from_bytes(text[whole:], "little")) * factor & _32
    value = (value ^ value >> 13) * factor & _32
    return value ^ value >> 15


def murmur_64a(text: bytes, seed: int = _STANDARD_SEED) -> int:
    """MurmurHash2 of 64 bits, as libstdc++'s std::hash has it."""
    factor, whole = _MURMUR_64, len(text) // 8 * 8
    value = seed ^ len(text) * factor & _64
    for at in range(0, whole, 8):
        word = int.from_bytes(text[at : at + 8], "little") * factor & _64
        value = (value ^ (word ^ word >> 47) * factor & _64) * factor & _64
    if whole < len(text):
        value = (value ^ int.from_bytes(text[whole:], "little")) * factor & _64
    value = (value ^ value >> 47) * factor & _64
    return value ^ value >> 47


def _siphash(text: bytes, inner: int, outer: int) -> int:
    """With a key of zeros."""
    a, b, c, d = _SIP[0], _SIP[1], _SIP[2], _SIP[3]

    def rounds(times: int) -> None:
        nonlocal a, b, c, d
        for _ in range(times):
            a, c = (a + b) & _64, (c + d) & _64
            b, d = _turned(b, 13, 64) ^ a, _turned(d, 16, 64) ^ c
            a = _turned(a, 32, 64)
            c, a = (c + b) & _64, (a + d) & _64
            b, d = _turned(b, 17, 64) ^ c, _turned(d, 21, 64) ^ a
            c = _turned(c, 32, 64)

    padded = text + bytes(-(len(text) + 1) % 8) + bytes([len(text) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        d ^= word
        rounds(inner)
        a ^= word
    c ^= 255
    rounds(outer)
    return a ^ b ^ c ^ d


def _one_at_a_time(text: bytes) -> int:
    value = 0
    for byte in text:
        value = (value + byte) * 1025 & _32
        value ^= value >> 6
    value = value * 9 & _32
    value ^= value >> 11
    return value * 32769 & _32


def _pjw(text: bytes) -> int:
    value = 0
    for byte in text:
        value = (value << 4) + byte & _32
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value
