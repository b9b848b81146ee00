"""The SHA-256 of a NAR that holds its own store path: the hash part counts as zeros.

A path that is named after its contents cannot hold its name when the contents are hashed. Source:
HashModuloSink and RewritingSink in src/libstore/references.cc of Nix (src/libutil in later ones),
used for content addresses `fixed:r:sha256` with self-references.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

SelfReferences = Literal["positions", "zeroed"]
"""The part of the self-references that is hashed. In the bytes they are zeros; after them come `|`
and the offset in the NAR of each (Nix up to 2.16 and from 2.35 on), or nothing (2.17 to 2.34)."""

SelfReferencesChoice = SelfReferences | Literal["auto"]
"""A rule, or `auto`: the rule of the Nix that is to take the path."""

SELF_REFERENCES: Final[tuple[SelfReferencesChoice, ...]] = ("auto", "positions", "zeroed")
"""The choices, the default first."""


class HashModulo:
    """Takes a NAR in pieces, and hashes it with a hash part taken for zeros.

    Args:
        hash_part: the hash part of the path whose NAR it is: 32 characters.
        rule: which of Nix's two.
    """

    def __init__(self, hash_part: str, rule: SelfReferences) -> None:
        import hashlib  # noqa: PLC0415 - late: OpenSSL, and a command line needs the rules' names

        self._wanted = hash_part.encode()
        self._zeros = bytes(len(self._wanted))
        self._rule = rule
        self._digest = hashlib.sha256()
        self._behind = b""  # less than a hash part, its self-references zeros already
        self._passed = 0
        self._offsets = array("Q")  # as many as the NAR's maker likes: eight bytes each

    @property
    def count(self) -> int:
        """The self-references found so far."""
        return len(self._offsets)

    def update(self, piece: Buffer) -> None:
        """Takes the next bytes; their number is free, and they are only read during the call."""
        data = bytearray(self._behind)
        data += piece
        at = 0
        while (at := data.find(self._wanted, at)) >= 0:
            self._offsets.append(self._passed + at)
            # Zeroed before the search goes on: of overlapping ones Nix finds the first.
            data[at : at + len(self._zeros)] = self._zeros
            at += len(self._zeros)
        cut = max(0, len(data) - len(self._wanted) + 1)
        self._behind = bytes(data[cut:])
        with memoryview(data) as view:
            self._digest.update(view[:cut])
        self._passed += cut

    def digest(self) -> bytes:
        """The hash of all that was taken: 32 bytes."""
        whole = self._digest.copy()
        whole.update(self._behind)
        if self._rule == "positions":
            for offset in self._offsets:
                whole.update(b"|%d" % offset)
        return whole.digest()
