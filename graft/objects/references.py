"""References in bytes: which paths' hash parts stand in a tree, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Self

from graft.formats.file_name import printable
from graft.formats.hashing import NIX32_ALPHABET
from graft.formats.store_path import HASH_PART_LENGTH, StoreDir, StorePath
from graft.kernel import Table
from graft.kernel.place import Place
from graft.kernel.reference import ENCODINGS
from graft.kernel.tree import TreeReport

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


REGISTERED: Final = "registered"
"""The encoding of a reference that is only registered."""


class WantedPaths:
    """Paths whose hash parts are looked for, and the table that finds them.

    Made once and used by all threads.
    """

    def __init__(self, paths: Iterable[StorePath]) -> None:
        # Two valid paths may share a hash part, as a source and its fixed output of another name.
        by_hash_part = {path.hash_part: path for path in paths}
        self.paths = tuple(by_hash_part.values())
        self.table = Table([(hash_part.encode(), None) for hash_part in by_hash_part])

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[StorePath, ...]]]:
        return type(self), (self.paths,)

    def seen(self, report: TreeReport) -> frozenset[StorePath]:
        """The paths a walk that looked for them has seen."""
        return frozenset(self.paths[index] for index in report.seen)


def place_document(place: Place | None) -> dict[str, object]:
    """The fields of a place in docs/reference/json.md; null for a registered reference."""
    return {
        "file": printable(place.file) if place else "",
        "offset": place.offset if place else None,
        "in": place.where if place else "references",
        "encoding": place.encoding if place else REGISTERED,
        "container": list(place.container) if place else [],
    }


class StoreDirScanner:
    """Finds the hash parts that stand after a store directory and a slash, known or not.

    Args:
        store_dir: the logical store directory.
    """

    def __init__(self, store_dir: StoreDir) -> None:
        directory = f"{store_dir}/".encode()
        self._patterns = []
        self._carry_size = 0
        for stride in ENCODINGS:
            between = bytes(stride - 1)
            prefix = between.join(bytes([byte]) for byte in directory)
            hash_part = rb"(?:%s[%s]){32}" % (re.escape(between), NIX32_ALPHABET.encode())
            pattern = re.compile(re.escape(prefix) + b"(?=(" + hash_part + b"))")
            self._patterns.append((pattern, stride))
            self._carry_size = stride * (len(directory) + HASH_PART_LENGTH)
        self._carry = b""
        self.hash_parts: set[str] = set()

    def feed(self, chunk: Buffer) -> None:
        """Takes the next bytes of a stream; finds are added to `hash_parts`."""
        data = self._carry + bytes(chunk)
        for pattern, stride in self._patterns:
            for match in pattern.finditer(data):
                self.hash_parts.add(match[1][stride - 1 :: stride].decode())
        self._carry = data[-self._carry_size :]
