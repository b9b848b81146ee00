"""Digests of many files found in bytes, in every spelling that Nix and others use."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, overload

from graft.errors import TreeError
from graft.formats.digests import ALGORITHMS, Digesting, Digests
from graft.formats.file_name import printable
from graft.formats.hashing import nix32_encode
from graft.kernel.anchors import Patterns
from graft.objects.file_windows import WINDOW

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_STEP: Final = 15
"""Bytes between the places that are looked at: as the shortest spelling, of 22 bytes, allows."""

_RAW_STEP: Final = 13
"""The same for digests as the bytes they are, of 20 bytes at least."""

_ANCHORS: Final = 1 << 20
"""Anchors at which steps get smaller: an anchor takes 36 bytes of memory."""

_RAW: Final = ("sha1", "sha256")
"""The algorithms whose digests are looked for as the bytes they are."""


def _hex(digest: bytes) -> bytes:
    return digest.hex().encode()


def _upper(digest: bytes) -> bytes:
    return digest.hex().upper().encode()


def _base64(digest: bytes) -> bytes:
    return base64.b64encode(digest).rstrip(b"=")


def _base64url(digest: bytes) -> bytes:
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _escaped(digest: bytes) -> bytes:
    """As PHP writes it into JSON."""
    return _base64(digest).replace(b"/", b"\\/")


def _nix32(digest: bytes) -> bytes:
    return nix32_encode(digest).encode()


def _raw(digest: bytes) -> bytes:
    return digest


_SPELLINGS: Final = (  # the raw one is the last
    ("hex", _hex),
    ("hex", _upper),
    ("base64", _base64),
    ("base64url", _base64url),
    ("nix32", _nix32),
    ("base64", _escaped),
    ("raw", _raw),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """A file whose bytes change, or have changed.

    Attributes:
        name: its name in reports: a store path's base name and the file in it.
        old: digests of its old contents.
        new: digests of its new contents; None while these are not known.
    """

    name: str
    old: Digests = field(repr=False)
    new: Digests | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Checksum:
    """A place where a digest of an old file stands.

    Attributes:
        offset: the offset of its first byte.
        size: bytes; in base64 without padding.
        index: the index of the file.
        algorithm: one of ALGORITHMS.
        spelling: `hex`, `base64`, `base64url`, `nix32`, `raw` or `sri`.
        form: which of the spellings, for `respelled`.
    """

    offset: int
    size: int
    index: int
    algorithm: str
    spelling: str
    form: int

    def respelled(self, digests: Digests) -> bytes:
        """Another file's digest in the same spelling; its length is equal if it has no escapes."""
        return _SPELLINGS[self.form][1](digests[self.algorithm])


def digests_of(path: str | bytes) -> Digests:
    """The digests of a file's contents.

    Raises:
        TreeError: it cannot be read.
    """
    digesting = Digesting()
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(WINDOW):
                digesting.more(chunk)
    except OSError as error:
        shown = printable(os.fsencode(path))
        raise TreeError(f"'{shown}' cannot be read: {error.strerror}", path=shown) from error
    return digesting.digests


class _Spelled(Sequence[bytes]):
    """Every spelling of every digest, made when it is asked for: there may be a million."""

    def __init__(self, digests: Sequence[bytes]) -> None:
        self._digests = digests

    def __len__(self) -> int:
        return len(self._digests) * _TEXTS

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        digest, form = divmod(index, _TEXTS)
        return _SPELLINGS[form][1](self._digests[digest])


def _step(most: int, patterns: int) -> int:
    """The step for some patterns: the larger, the faster, as long as the anchors are few."""
    return max(2, min(most, _ANCHORS // max(patterns, 1)))


class ChecksumFinder:
    """Finds the old digests of some files; made once and used by all threads.

    Args:
        files: the files with the digests; empty files have digests that are everywhere, and are
            left out.

    Attributes:
        longest: bytes of the longest spelling.
        anchors: one of them stands in all bytes in which a digest does.
    """

    def __init__(self, files: Sequence[ChangedFile]) -> None:
        self._meanings = [
            (index, algorithm)
            for index, file in enumerate(files)
            if file.old["sha256"] != _EMPTY
            for algorithm in ALGORITHMS
            if algorithm in file.old
        ]
        self._raw = [index for index, meaning in enumerate(self._meanings) if meaning[1] in _RAW]
        self._digests = [files[index].old[algorithm] for index, algorithm in self._meanings]
        texts, raw = _Spelled(self._digests), [self._digests[meaning] for meaning in self._raw]
        self._texts = Patterns(texts, _step(_STEP, len(texts)))
        self._bytes = Patterns(raw, _step(_RAW_STEP, len(raw)))
        self.anchors = (self._texts.anchors, self._bytes.anchors)
        self.longest = max(self._texts.longest, self._bytes.longest)

    def find(self, data: Buffer) -> Iterator[Checksum]:
        """Every old digest in some bytes; if files were equal, the digest of the first one."""
        told: set[tuple[int, int]] = set()
        with memoryview(data) as view:
            for offset, which in self._texts.find(view):
                meaning, form = divmod(which, _TEXTS)
                yield from self._checksum(view, offset, meaning, form, told)
            for offset, which in self._bytes.find(view):
                yield from self._checksum(view, offset, self._raw[which], _TEXTS, told)

    def _checksum(
        self, view: memoryview, offset: int, meaning: int, form: int, told: set[tuple[int, int]]
    ) -> Iterator[Checksum]:
        index, algorithm = self._meanings[meaning]
        spelling, spell = _SPELLINGS[form]
        size = len(spell(self._digests[meaning]))
        if (offset, size) in told:
            return
        told.add((offset, size))
        before = f"{algorithm}-".encode()
        if form == _SRI and view[max(0, offset - len(before)) : offset] == before:
            spelling = "sri"
        yield Checksum(offset, size, index, algorithm, spelling, form)


_TEXTS: Final = len(_SPELLINGS) - 1
_EMPTY: Final = hashlib.sha256().digest()
_SRI: Final = 2
