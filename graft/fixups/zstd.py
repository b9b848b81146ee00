"""zstd files (RFC 8878); also several frames behind each other, and skippable ones between them.

libzstd makes other bytes from release to release. So changed contents are written in raw blocks,
which hold them without encoding: larger, and the same for ever.
"""

from __future__ import annotations

import struct

from graft.fixups.api import Inside, LeftAloneError
from graft.fixups.compressed import Compressed, Stream, expanded_stream
from graft.formats.zstd import zstd_module

_MAGIC = b"\x28\xb5\x2f\xfd"
_WINDOW_LOG = 27  # the largest that zstd itself takes without an option
_BLOCK = 1 << 17
_SINGLE_SEGMENT, _CHECKSUM, _DICTIONARY = 0x20, 0x04, 0x03  # of the frame header's first byte


class Zstd(Compressed):
    """Window and checksum stay."""

    name = "zstd"
    magics = ((0, _MAGIC), *((0, bytes((0x50 + n,)) + b"\x2a\x4d\x18") for n in range(16)))
    suffixes = (b".zst", b".zstd", b".tzst")

    def stream(self, data: bytes, start: int, inside: Inside) -> Stream:
        """One frame; a skippable one has no contents."""
        if not data.startswith(_MAGIC, start):
            end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
            if end > len(data):
                raise LeftAloneError("it is cut")
            return Stream(start, end, b"")
        zstd = zstd_module()
        options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        decompressor = zstd.ZstdDecompressor(options=options)
        return expanded_stream(decompressor, data, start, inside, (zstd.ZstdError,))

    def compressed(self, contents: bytes, like: Stream, data: bytes) -> bytes:
        """A frame of raw blocks, with the window and the checksum of another."""
        if not data.startswith(_MAGIC, like.start):
            raise LeftAloneError("its first frame has no contents")
        flags = data[like.start + 4]
        if flags & _DICTIONARY:
            raise LeftAloneError("it was compressed with a dictionary")
        checksum = flags & _CHECKSUM
        # A frame of one segment has a window of its length: beyond a block it gets one of 8 MiB.
        window = 0x68 if flags & _SINGLE_SEGMENT else data[like.start + 5]
        largest = min(_BLOCK, _window_size(window))
        head = struct.pack("<4sBBQ", _MAGIC, 0xC0 | checksum, window, len(contents))
        pieces = [head]
        for start in range(0, max(len(contents), 1), largest):
            block = contents[start : start + largest]
            last = start + largest >= len(contents)
            pieces += [(len(block) << 3 | last).to_bytes(3, "little"), block]
        if checksum:
            # The library's own way to XXH64, which is the same in every release.
            zstd = zstd_module()
            options = {zstd.CompressionParameter.checksum_flag: 1}
            pieces.append(zstd.compress(contents, options=options)[-4:])
        return b"".join(pieces)


def _window_size(descriptor: int) -> int:
    base: int = 1 << (10 + (descriptor >> 3))
    return base + base // 8 * (descriptor & 7)
