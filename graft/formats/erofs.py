"""Uncompressed erofs images, as `mkcomposefs` and `mkfs.erofs` make them.

A NixOS system whose /etc is an overlay keeps it in one: symlinks into the store, and for each of
its files a redirect, an extended attribute, to where the file lies. Source: `fs/erofs/erofs_fs.h`
of Linux 6.12. All numbers are little-endian; addresses count blocks, node numbers 32 bytes.
"""

from __future__ import annotations

import posixpath
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Self

from graft.errors import BadFormatError

MAGIC: Final = b"\xe2\xe1\xf5\xe0"
"""The bytes that stand at `MAGIC_AT`."""

MAGIC_AT: Final = 1024

Where = Literal["contents", "target", "name"]

_SUPERBLOCK = struct.Struct("<4sIIBBHQQIIII32sI")
_SUPERBLOCK_SIZE = 128
_HAS_CHECKSUM = 1
_ZERO_PADDING, _CHUNKED_FILES, _LONG_PREFIXES = 1, 4, 0x40
_KNOWN_FEATURES = _ZERO_PADDING | _CHUNKED_FILES | _LONG_PREFIXES
_BLOCK_BITS = range(9, 17)
_NODE_SIZE = 32
_COMPACT, _EXTENDED = struct.Struct("<HHHHI4xI"), struct.Struct("<HHHHQI")
_PLAIN, _INLINE, _CHUNKS = 0, 2, 4
_COMPRESSED = (1, 3)
_CHUNK_BITS, _CHUNK_INDEXES = 0x1F, 0x20
_NOWHERE = 0xFFFFFFFF
_XATTRS, _XATTR = struct.Struct("<IB7x"), struct.Struct("<BBH")
_DIRENT = struct.Struct("<QHBx")
_LONGEST_TARGET = 4095
_METACOPY_WITHOUT_DIGEST = 4
_MOST_SHARED = 8  # bytes of all files together for each of the image: deduplicated ones are few


@dataclass(frozen=True, slots=True, order=True)
class ImageText:
    """Bytes of an image that are somebody's, and no structure.

    Attributes:
        parts: where they are, in their order: start and end of each. Most have one; the end of a
            file may lie with its node, apart from the rest.
        where: contents of a file or an extended attribute, target of a symlink, or name.
        path: a file's path from the root of the image, the first if it has several; else empty.
    """

    parts: tuple[tuple[int, int], ...]
    where: Where
    path: bytes = b""

    def read(self, data: bytes | bytearray) -> bytes:
        """The bytes, together."""
        return b"".join(data[start:end] for start, end in self.parts)

    def write(self, data: bytearray, text: bytes) -> None:
        """Puts others in their place, as many."""
        at = 0
        for start, end in self.parts:
            data[start:end] = text[at : at + end - start]
            at += end - start


@dataclass(frozen=True, slots=True)
class ErofsImage:
    """The used bytes of an image: all bytes that its root leads to.

    Attributes:
        texts: in ascending order; one that is shared stands here once.
        structure: ranges of offsets of everything else that means something, ascending.
        digests: whether it holds fs-verity digests of files outside.
        checksummed: up to which offset the superblock's checksum reaches; None without one.
    """

    texts: tuple[ImageText, ...]
    structure: tuple[tuple[int, int], ...]
    digests: bool
    checksummed: int | None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads an image.

        Raises:
            BadFormatError: it is no EROFS image, is compressed, or is made in a way that is not
                known here; the text says which.
        """
        reader = _Reader(data)
        try:
            reader.read()
        except struct.error:
            raise BadFormatError("the erofs image is cut off") from None
        return cls(
            texts=tuple(sorted(reader.texts)),
            structure=tuple(sorted(reader.structure)),
            digests=reader.digests,
            checksummed=reader.checksummed,
        )


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._claimed = self._shown = 0
        self._block = 0
        self._nodes = 0
        self._shared = 0
        self._seen_shared: set[int] = set()
        self.texts: set[ImageText] = set()
        self.structure: set[tuple[int, int]] = set()
        self.digests = False
        self.checksummed: int | None = None

    def read(self) -> None:
        """The superblock, and every node from the root on, once."""
        data = self._data
        if data[MAGIC_AT : MAGIC_AT + 4] != MAGIC:
            raise BadFormatError("it is no erofs image")
        (
            *_,
            compatible,
            bits,
            slots,
            root,
            _,
            _,
            _,
            _,
            nodes,
            shared,
            _,
            features,
        ) = _SUPERBLOCK.unpack_from(data, MAGIC_AT)
        if features & ~_KNOWN_FEATURES:
            raise BadFormatError(
                "the erofs image is compressed, lies on several devices, or uses other features "
                f"that are not known here ({features:#x})"
            )
        if bits not in _BLOCK_BITS:
            raise BadFormatError("the erofs image has blocks of an unknown size")
        self._block = 1 << bits
        self._nodes, self._shared = nodes * self._block, shared * self._block
        if compatible & _HAS_CHECKSUM:
            end = self._block if self._block > MAGIC_AT else MAGIC_AT + self._block
            self.checksummed = self._inside(MAGIC_AT, end)[1]
        self._claim(MAGIC_AT, MAGIC_AT + _SUPERBLOCK_SIZE + 16 * slots)
        waiting, seen = [(root, b"")], {root}
        while waiting:
            node, path = waiting.pop()
            for number, name in self._node(node, path):
                if number not in seen:
                    seen.add(number)
                    waiting.append((number, posixpath.join(path, name)))
                    self._show(len(path) + len(name))

    def _inside(self, start: int, end: int) -> tuple[int, int]:
        if end > len(self._data):
            raise BadFormatError("the erofs image is cut off")
        return start, end

    def _claim(self, start: int, end: int) -> None:
        """Structure: all of it together cannot be more than the image, unless it overlaps."""
        self.structure.add(self._inside(start, end))
        self._count(end - start)

    def _count(self, size: int) -> None:
        self._claimed += size
        if self._claimed > len(self._data):
            raise BadFormatError("parts of the erofs image overlap")

    def _text(self, parts: Iterable[tuple[int, int]], where: Where, path: bytes = b"") -> None:
        found = tuple(self._inside(*part) for part in parts if part[0] < part[1])
        text = ImageText(found, where, path)
        if text.parts and text not in self.texts:
            self.texts.add(text)
            self._show(sum(end - start for start, end in text.parts))

    def _show(self, size: int) -> None:
        """Counts the bytes given out: more than a few times the image can only be there to harm."""
        self._shown += size
        if self._shown > _MOST_SHARED * len(self._data):
            raise BadFormatError("files in the erofs image share too much")

    def _node(self, number: int, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Takes a node in; the nodes it leads to and their names, if it is a directory."""
        start = self._nodes + number * _NODE_SIZE
        self._inside(start, start + _COMPACT.size)
        form, xattrs, mode, _, size, where = _COMPACT.unpack_from(self._data, start)
        length = _NODE_SIZE
        if form & 1:
            form, xattrs, mode, _, size, where = _EXTENDED.unpack_from(self._data, start)
            length = 2 * _NODE_SIZE
        layout = form >> 1
        if layout in _COMPRESSED:
            raise BadFormatError("a file in the erofs image is compressed")
        if layout not in (_PLAIN, _INLINE, _CHUNKS):
            raise BadFormatError("the erofs image has a node of an unknown form")
        end = start + length
        if xattrs:
            size_of_xattrs = _XATTRS.size + 4 * (xattrs - 1)
            self._claim(start, end + _XATTRS.size)
            self._xattrs(end, end + size_of_xattrs)
            end += size_of_xattrs
        else:
            self._claim(start, end)
        kind = stat.S_IFMT(mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            return
        parts = self._parts(layout, where, end, size)
        if kind == stat.S_IFREG:
            self._text(parts, "contents", path or b"/")
        elif kind == stat.S_IFLNK:
            if not 0 < size <= _LONGEST_TARGET:
                raise BadFormatError("the erofs image has a symlink of an unknown form")
            self._text(parts, "target")
        else:
            yield from self._directory(parts)

    def _parts(self, layout: int, where: int, end: int, size: int) -> list[tuple[int, int]]:
        """Where the bytes of a file are, in their order; holes are left out.

        Args:
            where: the node's field that says it.
            end: the end of the node and its attributes.
        """
        if layout == _CHUNKS:
            return self._chunks(where, end, size)
        full = size
        parts = []
        if layout == _INLINE and size:
            full = (size - 1) // self._block * self._block
            tail = self._inside(end, end + size - full)
            if end % self._block + size - full > self._block:
                raise BadFormatError("a file's end in the erofs image goes over its block")
            parts.append(tail)
        if full:
            start = where * self._block
            parts.insert(0, self._inside(start, start + full))
        return parts

    def _chunks(self, form: int, end: int, size: int) -> list[tuple[int, int]]:
        if form & ~(_CHUNK_BITS | _CHUNK_INDEXES):
            raise BadFormatError("the erofs image has chunks of an unknown form")
        chunk = self._block << (form & _CHUNK_BITS)
        count = -(-size // chunk)
        width = 8 if form & _CHUNK_INDEXES else 4
        table = -(-end // width) * width
        self._claim(table, table + width * count)
        parts = []
        for index in range(count):
            entry = table + width * index
            if width == 8:
                high, device, block = struct.unpack_from("<HHI", self._data, entry)
                if high not in (0, 0xFFFF) or device:
                    raise BadFormatError("the erofs image has chunks on another device")
            else:
                (block,) = struct.unpack_from("<I", self._data, entry)
            if block != _NOWHERE:
                start = block * self._block
                parts.append(self._inside(start, start + min(chunk, size - index * chunk)))
        return parts

    def _xattrs(self, start: int, end: int) -> None:
        self._inside(start, end)
        _, count = _XATTRS.unpack_from(self._data, start)
        at = start + _XATTRS.size + 4 * count
        if at > end:
            raise BadFormatError("the erofs image has attributes that overlap")
        self._claim(start + _XATTRS.size, at)
        for index in range(count):
            (number,) = struct.unpack_from("<I", self._data, start + _XATTRS.size + 4 * index)
            if number not in self._seen_shared:
                self._seen_shared.add(number)
                self._xattr(self._shared + 4 * number, len(self._data))
        while at < end:
            at = self._xattr(at, end)

    def _xattr(self, start: int, limit: int) -> int:
        """Takes an attribute in; where the next one is."""
        self._inside(start, start + _XATTR.size)
        length, _, size = _XATTR.unpack_from(self._data, start)
        value = start + _XATTR.size + length
        if value + size > limit:
            raise BadFormatError("the erofs image has attributes that overlap")
        self._claim(start, value)
        self._text([(value, value + size)], "contents")
        if self._data.endswith(b"metacopy", start, value) and size > _METACOPY_WITHOUT_DIGEST:
            self.digests = True
        after: int = value + size
        return -(-after // 4) * 4

    def _directory(self, parts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        last = b""
        for part in parts:
            self._count(part[1] - part[0])
            for start in range(*part, self._block):
                end = min(start + self._block, part[1])
                for number, name in self._entries(start, end):
                    if name <= last:
                        raise BadFormatError("names in the erofs image are out of order")
                    last = name
                    yield number, name

    def _entries(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The entries of one block of a directory: all heads, then all names."""
        _, first, _ = _DIRENT.unpack_from(self._data, start)
        if first % _DIRENT.size or not _DIRENT.size <= first <= end - start:
            raise BadFormatError("the erofs image has a directory of an unknown form")
        self.structure.add((start, start + first))
        heads = list(_DIRENT.iter_unpack(self._data[start : start + first]))
        names = [start + offset for _, offset, _ in heads]
        for (number, _, _), at, next_at in zip(heads, names, [*names[1:], end], strict=True):
            if not start + first <= at < next_at <= end:
                raise BadFormatError("the erofs image has a directory of an unknown form")
            name = self._data[at:next_at]
            if next_at == end:
                name = name.split(b"\0", 1)[0]
            if not name or b"\0" in name or b"/" in name:
                raise BadFormatError("the erofs image has a bad file name")
            self._text([(at, at + len(name))], "name")
            yield number, name
