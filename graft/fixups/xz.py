"""xz files (The .xz File Format 1.2); also several streams behind each other.

The preset is told from the dictionary's size and by trying. As with zlib, only a liblzma that
compresses a sample as graft expects is used.
"""

from __future__ import annotations

import hashlib
import lzma
from functools import cache
from typing import Final

from graft.fixups.api import Inside, LeftAloneError, UnknownLibraryError
from graft.fixups.compressed import Compressed, Stream, compresses_to, expanded_stream
from graft.fixups.sample import sample_text

_MEMORY = 128 << 20  # of a decompressor: xz -9 wants half of it
_PADDING = bytes(4)  # behind a stream, any number of times
_HEADER = 12  # of a stream
_LZMA2 = 0x21  # a filter's id

# The presets of each dictionary size, in the order in which they are tried.
_PRESETS: Final = {
    1 << 18: (0, 0 | lzma.PRESET_EXTREME),
    1 << 20: (1, 1 | lzma.PRESET_EXTREME),
    1 << 21: (2, 2 | lzma.PRESET_EXTREME),
    1 << 22: (4, 3, 3 | lzma.PRESET_EXTREME, 4 | lzma.PRESET_EXTREME),
    1 << 23: (6, 6 | lzma.PRESET_EXTREME, 5, 5 | lzma.PRESET_EXTREME),
    1 << 24: (7, 7 | lzma.PRESET_EXTREME),
    1 << 25: (8, 8 | lzma.PRESET_EXTREME),
    1 << 26: (9, 9 | lzma.PRESET_EXTREME),
}

# By preset: the beginning of the SHA-256 of the compressed sample.
_DIGESTS = {
    0: "05eb92e258e12cbd",
    0 | lzma.PRESET_EXTREME: "184f1aebedeb7a66",
    1: "094cb1a90f88f115",
    1 | lzma.PRESET_EXTREME: "587ab4c84f2bf9cb",
    2: "0e0ce6e819a6364c",
    2 | lzma.PRESET_EXTREME: "e99c1fffbc571ed1",
    3: "aebd7d80a8012cdd",
    3 | lzma.PRESET_EXTREME: "ca5ec5f9c2e3e5d2",
    4: "6a5f9f8ff845a117",
    4 | lzma.PRESET_EXTREME: "e1c0ecc52688a5ac",
    5: "3cd92c6d0e43c82c",
    5 | lzma.PRESET_EXTREME: "4dcbe1ef7448e000",
    6: "101f6face5232870",
    6 | lzma.PRESET_EXTREME: "58e3e1cd05747f76",
    7: "8e2abe45939f709e",
    7 | lzma.PRESET_EXTREME: "c2dacb56e14b386e",
    8: "7c6105d686d3cb4f",
    8 | lzma.PRESET_EXTREME: "96b8ef88dcc2b542",
    9: "b146675f184a3f66",
    9 | lzma.PRESET_EXTREME: "930e45cc6ee9a130",
}


class Xz(Compressed):
    """Check, dictionary and preset stay; blocks become one."""

    name = "xz"
    magics = ((0, b"\xfd7zXZ\0"),)
    suffixes = (b".xz", b".txz")

    def stream(self, data: bytes, start: int, inside: Inside) -> Stream:
        """One of the streams."""
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        stream = expanded_stream(decompressor, data, start, inside, (lzma.LZMAError, ValueError))
        # Zeros between two streams belong to the first; at the end of a file they stay as they are.
        end = stream.end
        while data.startswith(_PADDING, end):
            end += len(_PADDING)
        return stream._replace(end=end) if data.startswith(self.magics[0][1], end) else stream

    def compressed(self, contents: bytes, like: Stream, data: bytes) -> bytes:
        """A stream with the same check and filters."""
        check = data[like.start + 7] & 0x0F
        presets = _PRESETS.get(_dictionary(data, like.start + _HEADER), ())
        if not presets:
            raise LeftAloneError("its filters or its dictionary do not belong to a preset of xz")
        old = data[like.start : like.end].rstrip(b"\0")  # a stream ends with YZ
        padding = bytes(like.end - like.start - len(old))
        made = [preset for preset in presets if _makes(preset, check, like.contents, old)]
        # If no preset makes it, another liblzma might: so all of them must be known.
        preset = made[0] if made else presets[0]
        if not all(_is_known(one) for one in (made[:1] or presets)):
            raise UnknownLibraryError("liblzma")
        return lzma.compress(contents, lzma.FORMAT_XZ, check, preset) + padding


def _dictionary(data: bytes, block: int) -> int:
    """The size in bytes of the dictionary of a block whose only filter is LZMA2; else 0."""
    flags, at = data[block + 1], block + 2
    if data[block] == 0 or flags & 0x3F:  # the index of a stream without blocks; more filters
        return 0
    for present in (0x40, 0x80):  # two sizes of variable length, which may be left out
        if flags & present:
            while data[at] & 0x80:
                at += 1
            at += 1
    if data[at : at + 2] != bytes((_LZMA2, 1)):
        return 0
    bits = data[at + 2]
    return (2 | bits & 1) << (bits // 2 + 11)


def _makes(preset: int, check: int, contents: bytes, compressed: bytes) -> bool:
    return compresses_to(lzma.LZMACompressor(lzma.FORMAT_XZ, check, preset), contents, compressed)


@cache
def _is_known(preset: int) -> bool:
    made = lzma.compress(sample_text(), lzma.FORMAT_XZ, lzma.CHECK_CRC32, preset)
    return hashlib.sha256(made).hexdigest()[:16] == _DIGESTS[preset]
