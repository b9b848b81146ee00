"""bzip2 files; also several streams behind each other, as pbzip2 makes them.

libbz2 makes the same bytes at a level since 1.0, and the level is in the header.
"""

from __future__ import annotations

import bz2
import hashlib
from functools import cache

from graft.fixups.api import Inside, UnknownLibraryError
from graft.fixups.compressed import Compressed, Stream, expanded_stream
from graft.fixups.sample import sample_text

# By level: the beginning of the SHA-256 of the compressed sample.
_DIGESTS = {
    1: "e1eb734d83ca0bf2",
    2: "107b985eb9c3a55d",
    3: "4842e5e220f86488",
    4: "eb49c0208e588dec",
    5: "3b4b86a06c4c1258",
    6: "09e624374b0d0c5b",
    7: "699ba76e30ec220b",
    8: "a4b4eb760c4e599f",
    9: "1eb9c2d15bc6fd13",
}


class Bzip2(Compressed):
    """The level stays."""

    name = "bzip2"
    magics = ((0, b"BZh"),)
    suffixes = (b".bz2", b".tbz2", b".tbz")

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the magic, a level, and the magic of a block or of the end."""
        return (
            super().recognises(head, name)
            and head[3:4].isdigit()
            and head[4:10] in {b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"}
        )

    def stream(self, data: bytes, start: int, inside: Inside) -> Stream:
        """One of the streams."""
        decompressor = bz2.BZ2Decompressor()
        return expanded_stream(decompressor, data, start, inside, (OSError, ValueError))

    def compressed(self, contents: bytes, like: Stream, data: bytes) -> bytes:
        """A stream of the same level."""
        level = data[like.start + 3] - ord("0")
        if not _is_known(level):
            raise UnknownLibraryError("libbz2")
        return bz2.compress(contents, level)


@cache
def _is_known(level: int) -> bool:
    made = bz2.compress(sample_text(), level)
    return hashlib.sha256(made).hexdigest()[:16] == _DIGESTS[level]
