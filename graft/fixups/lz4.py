"""lz4 frames (LZ4 Frame Format 1.6.4), and the legacy ones of the Linux kernel.

Changed contents are written in blocks that are not compressed, for liblz4 promises no bytes:
larger, and the same for ever. The legacy frame has no such blocks: there they consist of literals
alone.
"""

from __future__ import annotations

import struct

from graft.fixups.api import Inside, LeftAloneError
from graft.fixups.compressed import Compressed, Stream, expanded_stream
from graft.fixups.damage import damage

_MAGIC = b"\x04\x22\x4d\x18"
_LEGACY = b"\x02\x21\x4c\x18"
_LEGACY_BLOCK = 8 << 20
_BLOCK_SIZES = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
_STORED = 1 << 31
_DICTIONARY, _CHECKSUM, _SIZE, _BLOCK_CHECKSUMS = 0x01, 0x04, 0x08, 0x10  # of FLG


class Lz4(Compressed):
    """Block size, flags and checksums stay."""

    name = "lz4"
    magics = ((0, _MAGIC), (0, _LEGACY))
    suffixes = (b".lz4",)

    def stream(self, data: bytes, start: int, inside: Inside) -> Stream:
        """One frame."""
        if data.startswith(_LEGACY, start):
            return _legacy_stream(data, start, inside)
        from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415 - few files are of it

        decompressor = LZ4FrameDecompressor()
        return expanded_stream(decompressor, data, start, inside, (RuntimeError, ValueError))

    def compressed(self, contents: bytes, like: Stream, data: bytes) -> bytes:
        """A frame like another, its blocks stored."""
        if data.startswith(_LEGACY, like.start):
            return _legacy_frame(contents)
        from xxhash import xxh32_intdigest  # noqa: PLC0415 - as above

        flags, block_descriptor = data[like.start + 4], data[like.start + 5]
        if flags & _DICTIONARY:
            raise LeftAloneError("it was compressed with a dictionary")
        descriptor = bytes((flags, block_descriptor))
        if flags & _SIZE:
            descriptor += struct.pack("<Q", len(contents))
        largest = _BLOCK_SIZES[block_descriptor >> 4 & 7]
        pieces = [_MAGIC, descriptor, bytes((xxh32_intdigest(descriptor) >> 8 & 0xFF,))]
        for start in range(0, len(contents), largest):
            block = contents[start : start + largest]
            pieces += [struct.pack("<I", _STORED | len(block)), block]
            if flags & _BLOCK_CHECKSUMS:
                pieces.append(struct.pack("<I", xxh32_intdigest(block)))
        pieces.append(bytes(4))
        if flags & _CHECKSUM:
            pieces.append(struct.pack("<I", xxh32_intdigest(contents)))
        return b"".join(pieces)


def _legacy_stream(data: bytes, start: int, inside: Inside) -> Stream:
    """It ends where no block's length can follow: with the file, zeros, or another magic."""
    from lz4.block import LZ4BlockError, decompress  # noqa: PLC0415 - as above

    at = start + 4
    expanded = b""

    def read(most: int) -> bytes:
        nonlocal at, expanded
        if not expanded and at + 4 <= len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            if 0 < length <= _LEGACY_BLOCK + _LEGACY_BLOCK // 255 + 16:
                if at + 4 + length > len(data):
                    raise LeftAloneError("it is cut")
                block = data[at + 4 : at + 4 + length]
                try:
                    expanded = decompress(block, uncompressed_size=_LEGACY_BLOCK)
                except LZ4BlockError as error:
                    raise LeftAloneError(f"it is damaged: {damage(error).lower()}") from None
                at += 4 + length
        piece, expanded = expanded[:most], expanded[most:]
        return piece

    contents = inside.expanded(read, len(data) - start)
    return Stream(start, at, contents)


def _legacy_frame(contents: bytes) -> bytes:
    pieces = [_LEGACY]
    largest = _LEGACY_BLOCK
    for start in range(0, len(contents), largest):
        block = contents[start : start + largest]
        # A token that says 15 literals and more, how many more, and they.
        more, rest = divmod(len(block) - 15, 255) if len(block) >= 15 else (-1, 0)
        if more < 0:
            literal = bytes((len(block) << 4,)) + block
        else:
            literal = b"\xf0" + b"\xff" * more + bytes((rest,)) + block
        pieces += [struct.pack("<I", len(literal)), literal]
    return b"".join(pieces)
