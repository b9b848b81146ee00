"""Hashes of strings have the values that their authors publish."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from graft.formats import string_hashes
from graft.formats.string_hashes import hash_functions

FUNCTIONS = {(each.name, each.size): each.of for each in reversed(list(hash_functions()))}


@pytest.mark.parametrize(
    ("name", "size", "text", "value"),
    [
        ("FNV-1a", 4, b"foobar", 0xBF9CF968),
        ("FNV-1a", 8, b"foobar", 0x85944171F73967E8),
        ("FNV-1", 4, b"foobar", 0x31F0B262),
        ("FNV-1", 8, b"foobar", 0x340D8765A4DDA9C2),
        ("djb2", 4, b"hello", 0x0F923099),
        ("djb2", 8, b"hello", 0x310F923099),
        ("djb2a", 4, b"a", 5381 * 33 ^ 97),
        ("djb2 from the end", 4, b"ab", ((5381 * 33 + 98) * 33 + 97)),
        ("String.hashCode", 4, b"Hello, world!", 0x8FF0CBF5),
        ("BKDR", 4, b"ab", 97 * 131 + 98),
        ("sdbm", 4, b"ab", 97 * 65599 + 98),
        ("CRC-32", 4, b"123456789", 0xCBF43926),
        ("Adler-32", 4, b"Wikipedia", 0x11E60398),
        ("MurmurHash3", 4, b"hello", 0x248BFA47),
        ("MurmurHash3", 4, b"The quick brown fox jumps over the lazy dog", 0x2E4FF723),
        ("MurmurHash64A", 8, b"hello", 0x26553298FDBE39C8),  # as libstdc++'s std::hash
        ("xxHash32", 4, b"", 0x02CC5D05),
        ("xxHash64", 8, b"", 0xEF46DB3751D8E999),
        ("SipHash-2-4", 8, b"", 0x1E924B9D737700D7),
        ("SipHash-1-3", 8, b"", 0xD1FBA762150C532C),
        ("one-at-a-time", 4, b"a", 0xCA2E9442),
        ("one-at-a-time", 4, b"The quick brown fox jumps over the lazy dog", 0x519E91F5),
        ("PJW", 4, b"printf", 0x077905A6),
    ],
)
def test_a_hash_has_its_published_value(name: str, size: int, text: bytes, value: int) -> None:
    assert FUNCTIONS[name, size](text) == value


@pytest.mark.parametrize(
    ("function", "size", "verification"),
    [
        (string_hashes.murmur2, 4, 0x27864C1E),
        (string_hashes.murmur3, 4, 0xB0F57EE3),
        (string_hashes.murmur_64a, 8, 0x1F0D3804),
    ],
)
def test_a_hash_passes_the_verification_of_smhasher(
    function: Callable[[bytes, int], int], size: int, verification: int
) -> None:
    key = bytes(range(255))
    made = [function(key[:at], 256 - at).to_bytes(size, "little") for at in range(256)]
    assert function(b"".join(made), 0) & 0xFFFFFFFF == verification


def test_the_last_multiplication_of_fnv_1a_can_be_undone() -> None:
    for each, before in itertools.pairwise(hash_functions()):
        if each.name == before.name == "FNV-1a" and each.size == before.size:
            (prime,) = each.marks
            mask = (1 << 8 * each.size) - 1
            assert before.of(b"foobar") * prime & mask == each.of(b"foobar")
