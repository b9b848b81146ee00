"""Digests of one content by every algorithm that manifests and package managers use."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

Digests = Mapping[str, bytes]
"""A content's digest by each of ALGORITHMS, and its `crc32`, most significant byte first."""


class _Hash(Protocol):
    def update(self, data: Buffer, /) -> None: ...
    def digest(self) -> bytes: ...


def _of_hashlib(name: str) -> Callable[[], _Hash]:
    return lambda: hashlib.new(name, usedforsecurity=False)


_NEW: Final[Mapping[str, Callable[[], _Hash]]] = {
    **{
        name: _of_hashlib(name)
        for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s")
    },
    "blake2b-256": lambda: hashlib.blake2b(digest_size=32),
}

ALGORITHMS: Final = tuple(_NEW)
"""The algorithms of Nix, of package managers and of manifests."""

DIGEST_SIZES: Final = {name: len(new().digest()) for name, new in _NEW.items()}
"""Bytes of a digest, by the algorithm."""


class Digesting:
    """The digests of a content that passes. All take 9 ns a byte together, BLAKE2s most."""

    def __init__(self) -> None:
        self._hashes = {name: new() for name, new in _NEW.items()}
        self._crc = 0

    def more(self, data: Buffer) -> None:
        """Takes the bytes that come next."""
        self._crc = zlib.crc32(data, self._crc)
        for each in self._hashes.values():
            each.update(data)

    @property
    def digests(self) -> Digests:
        """The digests of all bytes that have passed."""
        made = {name: each.digest() for name, each in self._hashes.items()}
        return {**made, "crc32": self._crc.to_bytes(4)}


def digests(data: Buffer) -> Digests:
    """The digests of some bytes."""
    digesting = Digesting()
    digesting.more(data)
    return digesting.digests
