"""Files whose names tell of a sum or a signature of a changed file in the same directory."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from graft.fixups.api import SIGNATURES

_LISTS: Final = (b"CKSUMS", b"cksums", b"CKSUM", b"cksums.txt")
LARGEST_LIST: Final = 1 << 20
"""Bytes of a list that are read."""

_SUMS: Final = (
    *SIGNATURES,
    *(b".hmac", b".chk", b".md5", b".cksum", b".crc", b".crc32", b".sfv", b".sum", b".digest"),
    *(b".b2", b".b3", b".sha", b".sha1", b".sha224", b".sha256", b".sha384", b".sha512"),
    *(b".md5sum", b".sha1sum", b".sha256sum", b".sha512sum", b".b2sum", b".b3sum"),
)
"""The ends of the names of files that keep a sum or a signature of their neighbour."""

_DIRECTORIES: Final = (b"", b"fipscheck", b"hmac")
"""Directories next to a file that keep sums of it; empty for its own directory."""


def files_beside(
    entries: Iterable[bytes], names: Collection[bytes], lists: Mapping[bytes, bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """The unchanged files that go with changed ones, each with the changed file.

    Args:
        entries: all of a tree, relative to its top.
        names: the changed files of it.
        lists: the contents of the files in it that `is_list`.
    """
    for file in sorted(set(entries).difference(names)):
        listed = _listed(lists[file], file) if file in lists else ()
        of = next((each for each in (*summed_up(file), *listed) if each in names), None)
        if of is not None:
            yield file, of


def is_list(file: bytes) -> bool:
    """Whether a file is a list that `cksum` writes, whose sums are no digests."""
    return posixpath.basename(file) in _LISTS


def _listed(contents: bytes, file: bytes) -> Iterator[bytes]:
    """The files in such a list."""
    for line in contents[:LARGEST_LIST].splitlines():
        if len(fields := line.split(None, 2)) == 3:
            yield posixpath.normpath(posixpath.join(posixpath.dirname(file), fields[2]))


def summed_up(file: bytes) -> Iterator[bytes]:
    """The files whose sum or signature a file may be, by its name."""
    directory, name = posixpath.split(file)
    stem, suffix = posixpath.splitext(name)
    if suffix not in _SUMS:
        return
    above = posixpath.dirname(directory)
    beside = [directory, above] if posixpath.basename(directory) in _DIRECTORIES else [directory]
    for place in beside:
        yield posixpath.join(place, stem)
        yield posixpath.join(place, stem.removeprefix(b"."))
        if suffix == b".chk":  # of NSS: beside libsoftokn3.so lies libsoftokn3.chk
            yield posixpath.join(place, stem + b".so")
