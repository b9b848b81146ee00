"""Sections of ELF files that are compressed: debugging information, mostly.

Source: the System V gABI, chapter 4, "Section Compression". A section is written anew in its place.
It may become shorter there, or take the zeros behind it: what follows stays where it is.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO, NamedTuple

from graft.fixups.api import Inside, LeftAloneError
from graft.fixups.deflated import deflated, deflated_again, inflated
from graft.formats.zstd import zstd_module

_COMPRESSED, _ALLOCATED = 0x800, 0x2  # of sh_flags
_ZLIB, _ZSTD = 1, 2  # of ch_type
_TIGHTEST = 9, 9


class _Section(NamedTuple):
    name: bytes
    size_at: int  # where its size is in the table of sections
    start: int
    end: int
    room: int  # up to where there is nothing else


class _Form(NamedTuple):
    """What differs with class and byte order."""

    order: str
    word: str  # an address or a size
    table: int  # where the header has the table's offset
    counts: int  # and size of an entry, number of entries, index of the names' section
    flags: int  # in an entry
    chdr: str


_FORMS = {1: ("I", 32, 46, 8, "III"), 2: ("Q", 40, 58, 8, "I4xQQ")}


def compressed_sections(data: bytes, inside: Inside) -> bytes:
    """An ELF file with what is in its compressed sections changed; the same object if nothing is.

    Args:
        data: the whole file. Other changes may have been made to it, but not to these sections.
        inside: each section is a member of the file for it, by its name.

    A section that would become longer than there is room for stays, and that is noted.

    Raises:
        LeftAloneError: a section cannot be read.
        UnknownLibraryError: this zlib is another than graft knows.
    """
    if data[4:5] not in (b"\1", b"\2") or data[5:6] not in (b"\1", b"\2"):
        return data
    form = _Form("<" if data[5] == 1 else ">", *_FORMS[data[4]])
    try:
        sections = list(_sections(data, form))
        old = [_contents(data, section, form, inside) for section in sections]
    except (struct.error, IndexError):
        raise LeftAloneError("its table of sections is damaged") from None
    if not sections:
        return data
    new = inside.members([(s.name, contents) for s, contents in zip(sections, old, strict=True)])
    made = bytearray(data)
    for section, old_contents, contents in zip(sections, old, new, strict=True):
        if contents is not old_contents and not _put(
            made, data, section, form, old_contents, contents
        ):
            inside.note(f"its section {_shown(section)} stays: it would become longer")
    return data if made == data else bytes(made)


def has_compressed_sections(file: IO[bytes]) -> bool:
    """Whether an ELF file has such sections; False where it is damaged.

    Args:
        file: it is looked at wherever need be.
    """
    file.seek(0)
    head = file.read(64)
    if head[4:5] not in (b"\1", b"\2") or head[5:6] not in (b"\1", b"\2"):
        return False
    form = _Form("<" if head[5] == 1 else ">", *_FORMS[head[4]])
    try:
        (table,) = struct.unpack_from(form.order + form.word, head, form.table)
        size, count, _ = struct.unpack_from(form.order + "HHH", head, form.counts)
        if not table or size < form.flags + struct.calcsize(form.word):
            return False
        file.seek(table)
        entries = file.read(size * count)
        flags = (
            struct.unpack_from(form.order + form.word, entries, at + form.flags)[0]
            for at in range(0, len(entries) - size + 1, size)
        )
        return any(found & _COMPRESSED and not found & _ALLOCATED for found in flags)
    except (struct.error, OSError, OverflowError):
        return False


def _sections(data: bytes, form: _Form) -> Iterator[_Section]:
    (table,) = struct.unpack_from(form.order + form.word, data, form.table)
    size, count, names = struct.unpack_from(form.order + "HHH", data, form.counts)
    if not table or names >= count:
        return
    word = struct.calcsize(form.order + form.word)

    def entry(index: int) -> tuple[int, int, int, int]:
        at = table + index * size
        (name,) = struct.unpack_from(form.order + "I", data, at)
        flags, _, offset, length = struct.unpack_from(
            form.order + 4 * form.word, data, at + form.flags
        )
        return name, flags, offset, length

    entries = [entry(index) for index in range(count)]
    strings = entries[names][2]
    taken = sorted({table, len(data), *(offset for _, _, offset, _ in entries)})
    for index, (name, flags, offset, length) in enumerate(entries):
        if not flags & _COMPRESSED or flags & _ALLOCATED:
            continue
        if offset + length > len(data):
            raise LeftAloneError("it is cut")
        end = data.index(b"\0", strings + name) if strings + name < len(data) else 0
        size_at = table + index * size + form.flags + 3 * word
        room = taken[bisect_left(taken, offset + length)]
        if data[offset + length : room].strip(b"\0"):
            room = offset + length
        yield _Section(data[strings + name : end], size_at, offset, offset + length, room)


def _contents(data: bytes, section: _Section, form: _Form, inside: Inside) -> bytes:
    kind, size, _ = struct.unpack_from(form.order + form.chdr, data, section.start)
    start = section.start + struct.calcsize(form.order + form.chdr)
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
        except zstd.ZstdError:
            raise LeftAloneError(f"its section {_shown(section)} is damaged") from None
    else:
        raise LeftAloneError(f"its section {_shown(section)} is compressed in an unknown way")
    if len(contents) != size:
        raise LeftAloneError(f"its section {_shown(section)} is not as long as it says")
    return contents


def _put(
    made: bytearray, data: bytes, section: _Section, form: _Form, old: bytes, new: bytes
) -> bool:
    """Puts other contents into a section; whether there is room for them."""
    kind, size, _ = struct.unpack_from(form.order + form.chdr, data, section.start)
    start = section.start + struct.calcsize(form.order + form.chdr)
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
    struct.pack_into(form.order + form.word, made, section.size_at, end - section.start)
    return True


def _shown(section: _Section) -> str:
    return section.name.decode(errors="backslashreplace")
