"""Bytes in memory, looked through as a walk looks through a file: most hold nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from graft import kernel
from graft.kernel.anchors import WORD
from graft.kernel.tree.state import IN_CONTENTS, IN_DENSITY, IN_STREAMS
from graft.kernel.tree.suspicion import Suspicion, Watch

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

    from graft.kernel import Table

STANDS: Final = 1
"""The flag of a hash part."""

SUSPECTED: Final = 2
"""The flag of a word of a suspicion."""

STREAMED: Final = 4
"""The flag of the beginning of a stream."""

DENSE: Final = 8
"""The flag of packed or encrypted bytes."""

EVERYTHING: Final = STANDS | SUSPECTED | STREAMED | DENSE
"""All flags, where no sieve was asked."""

_FLAGS: Final = {IN_CONTENTS: SUSPECTED, IN_STREAMS: STREAMED, IN_DENSITY: DENSE}


class Sieve(Protocol):
    """A search that tells whether bytes are worth a search for places."""

    def find(self, data: Buffer, /) -> int:
        """The flags of the whole contents of a file."""
        ...


class ReferenceSieve:
    """The specification of the native sieve, in plain Python."""

    def __init__(self, table: Table, suspicions: Sequence[Suspicion]) -> None:
        self._table, self._suspicions = table, tuple(suspicions)

    def find(self, data: Buffer, /) -> int:
        """As Sieve.find."""
        contents = bytes(data)
        flags = STANDS if self._table.find(contents)[0] else 0
        for where in Watch(self._suspicions, contents[:WORD]).more(contents, final=True):
            flags |= _FLAGS[where]
        return flags


def make_sieve(table: Table, suspicions: Sequence[Suspicion]) -> Sieve:
    """The sieve of the kernel in use.

    Args:
        table: the hash parts that are looked for.
        suspicions: the suspicions of a walk.
    """
    if kernel.native is None:
        return ReferenceSieve(table, suspicions)
    made: Sieve = kernel.native.Sieve(table, tuple(suspicions))
    return made
