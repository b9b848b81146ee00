"""Files whose names tell of a sum or a signature of a changed file in the same directory."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from typing import Final

from graft.check.changed_contents import ChangedContents
from graft.fixups.api import SIGNATURES
from graft.formats.file_name import printable
from graft.objects.reading import as_tree
from graft.plan import Plan, PlanWarning
from graft.store.api import Source

_LISTS: Final = (b"CKSUMS", b"cksums", b"CKSUM", b"cksums.txt")
_LARGEST_LIST: Final = 1 << 20

_SUMS: Final = (
    *SIGNATURES,
    *(b".hmac", b".chk", b".md5", b".cksum", b".crc", b".crc32", b".sfv", b".sum", b".digest"),
    *(b".b2", b".b3", b".sha", b".sha1", b".sha224", b".sha256", b".sha384", b".sha512"),
    *(b".md5sum", b".sha1sum", b".sha256sum", b".sha512sum", b".b2sum", b".b3sum"),
)
"""The ends of the names of files that keep a sum or a signature of their neighbour."""

_DIRECTORIES: Final = (b"", b"fipscheck", b"hmac")
"""Directories next to a file that keep sums of it; empty for its own directory."""


def files_beside(plan: Plan, source: Source, changed: ChangedContents) -> Iterator[PlanWarning]:
    """Warns of files that go with a changed file, and have not changed.

    Args:
        source: the store of the originals.

    Raises:
        TreeError, CacheError, CorruptCacheError: an original cannot be read.
    """
    for rewrite in plan.rewrites:
        names = frozenset(changed.names.get(rewrite.new_path, ()))
        if not names:
            continue
        with as_tree(source.store_object(rewrite.path)) as at:
            for file, of in _beside(os.fsencode(at.tree), names):
                full = plan.store_dir.path(rewrite.new_path)
                yield PlanWarning(
                    kind="foreign-checksum",
                    path=rewrite.new_path,
                    message=f"'{full}/{printable(file)}' goes with '{printable(of)}', which the "
                    "graft changed, and has not changed itself: a program that compares them may "
                    "refuse both",
                )


def _beside(top: bytes, names: frozenset[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The files that go with changed ones, each with the changed file."""
    directories = sorted(
        {
            posixpath.join(posixpath.dirname(name), directory)
            for name in names
            if name
            for directory in _DIRECTORIES
        }
    )
    for directory in directories:
        at = os.path.join(top, directory)
        if not os.path.isdir(at):
            continue
        for name in sorted(os.listdir(at)):
            file = posixpath.join(directory, name)
            if file in names:
                continue
            listed = _listed(os.path.join(at, name), file) if name in _LISTS else ()
            of = next((each for each in (*summed_up(file), *listed) if each in names), None)
            if of is not None:
                yield file, of


def _listed(path: bytes, file: bytes) -> Iterator[bytes]:
    """The files in a list that `cksum` writes, whose sums are no digests."""
    with open(path, "rb") as lines:
        for line in lines.read(_LARGEST_LIST).splitlines():
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
