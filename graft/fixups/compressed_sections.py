"""Sections of ELF files that are compressed: debugging information, mostly.

Source: the System V gABI, chapter 4, "Section Compression". A section is written anew in its place.
It may become shorter there, or take the zeros behind it: the bytes that follow stay in their place.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO, NamedTuple

from graft.fixups.api import Inside, LeftAloneError
from graft.fixups.damage import damage
from graft.fixups.deflated import deflated, deflated_again, inflated
from graft.formats.elf.headers import ElfHeaders, SectionHeader
from graft.formats.zstd import zstd_module

_COMPRESSED, _ALLOCATED = 0x800, 0x2  # of sh_flags
_ZLIB, _ZSTD = 1, 2  # of ch_type
_TIGHTEST = 9, 9


class _Section(NamedTuple):
    name: bytes
    size_at: int  # where its size is in the table of sections, a word
    word: str  # as struct has it, with the byte order
    chdr: str  # the header before its contents, as struct has it
    start: int
    end: int
    room: int  # up to where there is nothing else


def compressed_sections(data: bytes, inside: Inside) -> bytes:
    """An ELF file with changed contents of compressed sections; the same object if nothing changes.

    Args:
        data: the whole file. Other changes may have been made to it, but not to these sections.
        inside: each section is a member of the file for it, by its name.

    A section that would become longer than there is room for stays, and that is noted.

    Raises:
        LeftAloneError: a section cannot be read.
        UnknownLibraryError: this zlib is another than graft knows.
    """
    headers = ElfHeaders.open(lambda at, size: data[at : at + size])
    if headers is None:
        return data
    try:
        sections = list(_sections(data, headers))
        old = [_contents(data, section, inside) for section in sections]
    except struct.error:
        raise LeftAloneError("its table of sections is damaged") from None
    if not sections:
        return data
    new = inside.members([(s.name, contents) for s, contents in zip(sections, old, strict=True)])
    made = bytearray(data)
    for section, old_contents, contents in zip(sections, old, new, strict=True):
        if contents is not old_contents and not _put(made, data, section, old_contents, contents):
            inside.note(f"its section {_shown(section)} stays: it would become longer")
    return data if made == data else bytes(made)


def has_compressed_sections(file: IO[bytes]) -> bool:
    """Whether an ELF file has such sections; False where it is damaged.

    Args:
        file: it is looked at wherever need be.
    """

    def read(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    headers = ElfHeaders.open(read)
    return headers is not None and any(map(_is_compressed, headers.section_headers))


def _is_compressed(header: SectionHeader) -> bool:
    return bool(header.flags & _COMPRESSED) and not header.flags & _ALLOCATED


def _sections(data: bytes, headers: ElfHeaders) -> Iterator[_Section]:
    found = headers.section_headers
    if len(found) < headers.sections.entries:
        raise LeftAloneError("its table of sections is damaged")
    word = headers.order + headers.word
    chdr = headers.order + ("I4xQQ" if headers.wide else "III")
    taken = sorted({headers.sections.offset, len(data), *(header.offset for header in found)})
    for index, header in enumerate(found):
        if not _is_compressed(header):
            continue
        start, end = header.offset, header.offset + header.size
        if end > len(data):
            raise LeftAloneError("it is cut")
        room = taken[bisect_left(taken, end)]
        if data[end:room].strip(b"\0"):
            room = end
        name = headers.section_name(header)
        yield _Section(name, headers.size_place(index), word, chdr, start, end, room)


def _contents(data: bytes, section: _Section, inside: Inside) -> bytes:
    kind, size, _ = struct.unpack_from(section.chdr, data, section.start)
    start = section.start + struct.calcsize(section.chdr)
    if kind == _ZLIB:
        contents, end = inflated(data[start + 2 : section.end], 0, inside)
        at = start + 2 + end
        if data[at : at + 4] != struct.pack(">I", zlib.adler32(contents)):
            raise LeftAloneError(f"the checksum of its section {_shown(section)} is wrong")
    elif kind == _ZSTD:
        zstd = zstd_module()
        stream = zstd.ZstdDecompressor()
        given = [data[start : section.end]]

        def read(most: int) -> bytes:
            piece = b"" if stream.eof else stream.decompress(given.pop() if given else b"", most)
            return bytes(piece)

        try:
            contents = inside.expanded(read, section.end - start)
        except zstd.ZstdError as error:
            reason = f"its section {_shown(section)} is damaged: {damage(error).lower()}"
            raise LeftAloneError(reason) from None
    else:
        raise LeftAloneError(f"its section {_shown(section)} is compressed in an unknown way")
    if len(contents) != size:
        raise LeftAloneError(f"its section {_shown(section)} is not as long as it says")
    return contents


def _put(made: bytearray, data: bytes, section: _Section, old: bytes, new: bytes) -> bool:
    """Puts other contents into a section; whether there is room for them."""
    kind, size, _ = struct.unpack_from(section.chdr, data, section.start)
    start = section.start + struct.calcsize(section.chdr)
    if kind != _ZLIB or len(new) != size:
        return False
    old_deflated = data[start + 2 : section.end - 4]
    again = deflated_again(new, old, old_deflated)
    if start + len(again) + 6 > section.room:
        again = deflated(new, _TIGHTEST)
    end = start + len(again) + 6
    if end > section.room:
        return False
    packed = data[start : start + 2] + again + struct.pack(">I", zlib.adler32(new))
    made[start : max(section.end, end)] = packed + bytes(max(0, section.end - end))
    struct.pack_into(section.word, made, section.size_at, end - section.start)
    return True


def _shown(section: _Section) -> str:
    return section.name.decode(errors="backslashreplace")
