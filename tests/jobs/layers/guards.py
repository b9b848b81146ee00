"""Layers that keep a sum of the bytes in them, at the head or at the tail of a file."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Callable
from typing import Final, Literal

from tests.jobs.layers.layer import Layer, Reference, require

_Sum = Callable[[bytes], bytes]

_POLYNOMIAL: Final = 0x82F63B78  # of CRC-32C, its bits reversed


def _crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(map(_entry, range(256)))


def _word(algorithm: Callable[[bytes], int], order: Literal["little", "big"]) -> _Sum:
    return lambda data: algorithm(data).to_bytes(4, order)


def _digest(name: str) -> _Sum:
    return lambda data: hashlib.new(name, data).digest()


_SUMS: Final[dict[str, _Sum]] = {
    **{f"crc32-{order}": _word(zlib.crc32, order) for order in ("little", "big")},
    **{f"crc32c-{order}": _word(_crc32c, order) for order in ("little", "big")},
    **{f"adler-{order}": _word(zlib.adler32, order) for order in ("little", "big")},
    **{name: _digest(name) for name in ("md5", "sha1", "sha256", "sha512")},
}

BESIDE: Final = ("md5", "sha1", "sha256", "sha512")
"""Digests that a file beside another may keep of it."""


def guard(choice: random.Random, *, text: bool) -> Layer:
    """A sum before or behind all other bytes.

    Args:
        text: whether these may be a text: a magic then makes them a binary file.
    """
    name = choice.choice(sorted(_SUMS))
    first, magic = choice.random() < 0.4, choice.choice((b"\0" if text else b"", b"\0GUARDED"))
    checksum = _SUMS[name]

    def wrap(data: bytes, reference: Reference) -> bytes:
        del reference
        return magic + checksum(data) + data if first else magic + data + checksum(magic + data)

    def peel(data: bytes, reference: Reference) -> bytes:
        del reference
        require(data.startswith(magic), "the magic of the guarded bytes changed")
        size = len(checksum(b""))
        at = len(magic) if first else len(data) - size
        contents = data[at + size :] if first else data[:at]
        require(data[at : at + size] == checksum(contents), f"the {name} is wrong")
        return contents if first else contents[len(magic) :]

    where = "head" if first else "tail"
    return Layer(f"guard({name} at the {where}, magic={bool(magic)})", wrap, peel, begins=False)


def listed(algorithm: str, data: bytes, name: str) -> bytes:
    """The file beside another that keeps its digest, as coreutils write it."""
    return f"{hashlib.new(algorithm, data).hexdigest()}  {name}\n".encode()
