"""Compiled Python files, which are valid for a source of a certain hash or time (PEP 552).

Files valid for a time and a size stay so by themselves: time is 1 in a store, and sizes stay equal.
"""

from __future__ import annotations

from graft.fixups.api import Fixup, Inside, LeftAloneError

_HEADER = 16
_HASH = slice(8, 16)
_HASHED = frozenset({b"\1\0\0\0", b"\3\0\0\0"})  # of the flags
_BEFORE_FLAGS = (range(3000, 3390), range(20000, 1 << 16))
"""The magic numbers of Python 3.0 to 3.6, and of Python 2: a time follows (importlib's list)."""
_MASK = (1 << 64) - 1


class Pyc(Fixup):
    """The hash of the source is computed again, if it is the old source's."""

    name = "pyc"
    opens = False
    suffixes = (b".pyc",)

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the name, and the line end in every magic number."""
        return super().recognises(head, name) and head[2:4] == b"\r\n" and len(head) >= _HEADER

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file with the hash of the new source."""
        new = inside.plain(data)
        if not _has_hash(data):
            return new
        source = name[: -len(b".pyc")]
        paths = [source + b".py"]
        if b".cpython-" in source or b".pypy" in source:
            paths = [b"../" + source.split(b".")[0] + b".py"]
        for path in paths:
            if new is data and not inside.changed(path):
                return new
            old_source, new_source = inside.old(path), inside.new(path)
            if old_source is None or new_source is None:
                if new is not data:
                    inside.note("its source is not there to be hashed: it may be taken for stale")
                return new
            if old_source == new_source:
                return new
            key = int.from_bytes(data[:4], "little")
            for rounds in (1, 2):  # SipHash-1-3 from Python 3.11 on, SipHash-2-4 before
                if siphash(key, old_source, rounds) == data[_HASH]:
                    return new[:8] + siphash(key, new_source, rounds) + new[_HEADER:]
        raise LeftAloneError("its hash does not match its source: it is stale already")


def _has_hash(data: bytes) -> bool:
    """Whether a file is valid for a source's hash. The time in a store is 1, and so is a flag."""
    number = int.from_bytes(data[:2], "little")
    return data[4:8] in _HASHED and not any(number in numbers for numbers in _BEFORE_FLAGS)


def siphash(key: int, data: bytes, rounds: int) -> bytes:
    """SipHash-1-3 or SipHash-2-4 as `importlib.util.source_hash` has it: the key's upper half is 0.

    Args:
        rounds: for each word of the data; two more at the end.
    """
    v0, v1 = 0x736F6D6570736575 ^ key, 0x646F72616E646F6D
    v2, v3 = 0x6C7967656E657261 ^ key, 0x7465646279746573
    padded = data + bytes(-(len(data) + 1) % 8) + bytes((len(data) & 0xFF,))
    words = [int.from_bytes(padded[at : at + 8], "little") for at in range(0, len(padded), 8)]
    for index, word in enumerate([*words, None]):
        if word is None:
            v2 ^= 0xFF
        else:
            v3 ^= word
        for _ in range(rounds + 2 if index == len(words) else rounds):
            v0 = (v0 + v1) & _MASK
            v1 = ((v1 << 13 | v1 >> 51) & _MASK) ^ v0
            v0 = (v0 << 32 | v0 >> 32) & _MASK
            v2 = (v2 + v3) & _MASK
            v3 = ((v3 << 16 | v3 >> 48) & _MASK) ^ v2
            v0 = (v0 + v3) & _MASK
            v3 = ((v3 << 21 | v3 >> 43) & _MASK) ^ v0
            v2 = (v2 + v1) & _MASK
            v1 = ((v1 << 17 | v1 >> 47) & _MASK) ^ v2
            v2 = (v2 << 32 | v2 >> 32) & _MASK
        if word is not None:
            v0 ^= word
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")
