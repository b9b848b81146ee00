"""gzip files (RFC 1952): man pages, info, .el.gz, .svgz, .tgz; also several behind each other."""

from __future__ import annotations

import struct
import zlib

from graft.fixups.api import Inside, LeftAloneError
from graft.fixups.compressed import Compressed, Stream
from graft.fixups.deflated import deflated_again, inflated

_HEADER = 10
_HEADER_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16  # bits of FLG
_LEVELS = {2: 9, 4: 1}  # of XFL


class Gzip(Compressed):
    """Header (with time, flags and length) and parameters stay; see graft.fixups.deflated."""

    name = "gzip"
    magics = ((0, b"\x1f\x8b\x08"),)
    suffixes = (b".gz", b".tgz", b".gzip")

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file, and the name and the comment in its first header."""
        start, end = _texts(data)
        text = data[start:end]
        new_text = inside.plain(text, "name")
        if new_text is text:
            return super().apply(data, name, inside)
        named = bytearray(data)
        named[start:end] = new_text
        if data[3] & _HEADER_CRC:
            if data[end : end + 2] != _header_crc(data[:end]):
                raise LeftAloneError("the checksum of its header was wrong before")
            named[end : end + 2] = _header_crc(bytes(named[:end]))
        return super().apply(bytes(named), name, inside)

    def stream(self, data: bytes, start: int, inside: Inside) -> Stream:
        """One member of the file."""
        contents, end = inflated(data, _deflated_at(data, start), inside)
        if data[end : end + 8] != _trailer(contents):
            raise LeftAloneError("its checksum does not match its contents")
        return Stream(start, end + 8, contents)

    def compressed(self, contents: bytes, like: Stream, data: bytes) -> bytes:
        """A member with the header of another.

        Raises:
            LeftAloneError: the header tells where parts of the file are, as in BGZF and dictzip.
        """
        if data[like.start + 3] & _EXTRA:
            raise LeftAloneError("its header tells the length of its parts, which others rely on")
        begin = _deflated_at(data, like.start)
        level = _LEVELS.get(data[like.start + 8], 6)
        again = deflated_again(contents, like.contents, data[begin : like.end - 8], level=level)
        return data[like.start : begin] + again + _trailer(contents)


def _trailer(contents: bytes) -> bytes:
    return struct.pack("<II", zlib.crc32(contents), len(contents) & 0xFFFFFFFF)


def _header_crc(header: bytes) -> bytes:
    return struct.pack("<H", zlib.crc32(header) & 0xFFFF)


def _deflated_at(data: bytes, start: int) -> int:
    """Where the deflated data of the member begins that begins at `start`."""
    end = _texts(data, start)[1]
    return end + 2 if data[start + 3] & _HEADER_CRC else end


def _texts(data: bytes, start: int = 0) -> tuple[int, int]:
    """Where name and comment of the member are that begins at `start`."""
    if len(data) < start + _HEADER:
        raise LeftAloneError("it is cut")
    flags = data[start + 3]
    at = start + _HEADER
    if flags & _EXTRA:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    texts = at
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            at = data.find(b"\0", at) + 1
            if not at:
                raise LeftAloneError("it is cut")
    return texts, at
