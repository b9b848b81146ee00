"""Ad-hoc code signatures in Mach-O files: the hashes of the file's pages, checked and made anew.

A page whose bytes change without its hash does not run on macOS. Sources: `mach-o/loader.h`,
`mach-o/fat.h`, and `cs_blobs.h` in xnu; numbers in a signature are big-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from graft.errors import BadFormatError

MAGICS: Final = (
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"\xca\xfe\xba\xbf",
)
"""The first bytes of thin files of 64 and 32 bits, little-endian as every signed one is; then of
fat files. The first magic of fat files is a Java class's too; `is_mach_o` knows."""

_FAT = {b"\xca\xfe\xba\xbe": struct.Struct(">IIIII"), b"\xca\xfe\xba\xbf": struct.Struct(">IIQQII")}
_HEADER = {b"\xcf\xfa\xed\xfe": 32, b"\xce\xfa\xed\xfe": 28}
_MOST_DIRECTORIES = 6  # that there are slots for
_MOST_SLICES = 30  # a Java class has there its version, a number of at least 45
_LC_CODE_SIGNATURE = 0x1D
_SUPER_BLOB = 0xFADE0CC0
_CODE_DIRECTORY = 0xFADE0C02
_CMS_SLOT = 0x10000
_BLOB = struct.Struct(">II")
_DIRECTORY = struct.Struct(">IIIIIIIIIBBBBI")
_ADHOC = 2
_HASHES: dict[int, tuple[str, int]] = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20)}
_SCATTER, _LONG_LIMIT = 0x20100, 0x20300


@dataclass(frozen=True, slots=True)
class CodeDirectory:
    """The hashes of one slice's pages, by one algorithm; offsets in bytes from the file's start.

    Attributes:
        image: where the slice is whose pages these are.
        limit: bytes of it that are hashed.
        page_size: bytes; the last page may be shorter.
        algorithm: `sha1` or `sha256`.
        hash_size: bytes; fewer than the algorithm gives if they are cut off.
        hashes: where they stand, one after the other.
        count: how many.
        identifier: where the signature's name is, without the NUL.
        signature: where all of the slice's signature is.
    """

    image: range
    limit: int
    page_size: int
    algorithm: str
    hash_size: int
    hashes: int
    count: int
    identifier: range
    signature: range

    def stored(self, data: bytes | bytearray) -> bytes:
        """The hashes that stand there."""
        return bytes(data[self.hashes : self.hashes + self.count * self.hash_size])

    def computed(self, data: bytes) -> bytes:
        """The hashes as the pages are."""
        end = self.image.start + self.limit
        return b"".join(
            hashlib.new(self.algorithm, data[at : min(at + self.page_size, end)]).digest()[
                : self.hash_size
            ]
            for at in range(self.image.start, end, self.page_size)
        )


def is_mach_o(head: bytes) -> bool:
    """Whether a file that begins so is a Mach-O file, and little-endian.

    Args:
        head: the first 8 bytes, or more.
    """
    if head[:4] not in _FAT:
        return head[:4] in _HEADER
    return len(head) >= 8 and 0 < int.from_bytes(head[4:8], "big") <= _MOST_SLICES


def code_directories(data: bytes) -> list[CodeDirectory]:
    """The code directories of all slices; empty if nothing is signed.

    Args:
        data: a whole Mach-O file, thin or fat.

    Raises:
        BadFormatError: it is no Mach-O file, or is signed in a way that cannot be made anew; the
            text says why.
    """
    try:
        return [found for image in _slices(data) for found in _in_slice(data, image)]
    except (struct.error, IndexError):
        raise BadFormatError("the Mach-O file is cut off") from None


def resigned(old: bytes, new: bytes) -> bytes:
    """A changed file with the hashes of its pages as they have to be.

    Everything else of the signatures (requirements, entitlements, and their hashes) stays.

    Args:
        old: the file as it was: its hashes are right.
        new: with changes in place.

    Returns:
        `new` itself if nothing is signed, or no page has changed.

    Raises:
        BadFormatError: it cannot be done soundly; the text says why.
    """
    directories = code_directories(old)
    if old == new or not directories:
        return new
    if code_directories(new) != directories:
        raise BadFormatError("the change is in the description of the code signature")
    for directory in directories:
        if directory.stored(old) != directory.computed(old):
            raise BadFormatError("the code signature did not fit the pages before")
    if _besides_names(old, directories) != _besides_names(new, directories):
        raise BadFormatError("the change is inside of the code signature")
    result = bytearray(new)
    for directory in directories:
        hashes = directory.computed(new)
        result[directory.hashes : directory.hashes + len(hashes)] = hashes
    return bytes(result)


def _besides_names(data: bytes, directories: list[CodeDirectory]) -> list[bytes]:
    """All signatures, without their names."""
    blank = bytearray(data)
    for each in directories:
        blank[each.identifier.start : each.identifier.stop] = bytes(len(each.identifier))
    return [bytes(blank[each.signature.start : each.signature.stop]) for each in directories]


def _slices(data: bytes) -> Iterator[range]:
    """Where the thin files are."""
    if not is_mach_o(data):
        raise BadFormatError("it is no Mach-O file")
    arch = _FAT.get(data[:4])
    if arch is None:
        yield range(len(data))
        return
    last = 0
    found = []
    for index in range(int.from_bytes(data[4:8], "big")):
        _, _, offset, size, *_ = arch.unpack_from(data, 8 + index * arch.size)
        found.append(range(offset, offset + size))
    for image in sorted(found, key=lambda image: image.start):
        if image.start < last or image.stop > len(data):
            raise BadFormatError("the slices of the Mach-O file overlap or go beyond its end")
        last = image.stop
        # Static libraries and others may be slices as well: nothing of them is signed.
        if data[image.start : image.start + 4] in _HEADER:
            yield image


def _in_slice(data: bytes, image: range) -> Iterator[CodeDirectory]:
    header = _HEADER[data[image.start : image.start + 4]]
    count, size = struct.unpack_from("<II", data, image.start + 16)
    at = image.start + header
    end = at + size
    if end > image.stop:
        raise BadFormatError("the Mach-O file is cut off")
    found: range | None = None
    for _ in range(count):
        command, length = struct.unpack_from("<II", data, at)
        if length < 8 or at + length > end:
            raise BadFormatError("a load command goes beyond the others' end")
        if command == _LC_CODE_SIGNATURE:
            if length < 16:
                raise BadFormatError("a load command is cut off")
            offset, size = struct.unpack_from("<II", data, at + 8)
            if found is not None:
                raise BadFormatError("there are two code signatures")
            found = range(image.start + offset, image.start + offset + size)
        at += length
    if found is not None:
        if found.start < end or found.stop > image.stop:
            raise BadFormatError("the code signature is not inside of the file")
        yield from _in_signature(data, image, found)


def _in_signature(data: bytes, image: range, place: range) -> Iterator[CodeDirectory]:
    magic, length = _BLOB.unpack_from(data, place.start)
    if magic != _SUPER_BLOB or not 12 <= length <= len(place):
        raise BadFormatError("the code signature is of an unknown form")
    signature = range(place.start, place.start + length)
    (count,) = struct.unpack_from(">I", data, signature.start + 8)
    if 12 + count * _BLOB.size > length:
        raise BadFormatError("the code signature is cut off")
    directories = []
    for index in range(count):
        slot, offset = _BLOB.unpack_from(data, signature.start + 12 + index * _BLOB.size)
        start = signature.start + offset
        if offset + _BLOB.size > length:
            raise BadFormatError("the code signature is cut off")
        magic, size = _BLOB.unpack_from(data, start)
        if size < _BLOB.size or start + size > signature.stop:
            raise BadFormatError("the code signature is cut off")
        if slot == _CMS_SLOT and size > _BLOB.size:
            raise BadFormatError("somebody's key has signed it: only they can do it again")
        if magic == _CODE_DIRECTORY:
            directories.append((start, size))
    if not directories:
        raise BadFormatError("the code signature has no code directory")
    if len(directories) > _MOST_DIRECTORIES:
        raise BadFormatError("the code signature has too many code directories")
    last = 0
    for start, size in sorted(directories):
        if start < last:
            raise BadFormatError("the code directories overlap")
        last = start + size
        yield _directory(data, image, range(start, start + size), place)


def _directory(data: bytes, image: range, blob: range, place: range) -> CodeDirectory:
    if len(blob) < _DIRECTORY.size:
        raise BadFormatError("a code directory is cut off")
    (
        *_,
        version,
        flags,
        hashes,
        identifier,
        special,
        count,
        limit,
        hash_size,
        hash_type,
        _,
        page_shift,
        _,
    ) = _DIRECTORY.unpack_from(data, blob.start)
    if not flags & _ADHOC:
        raise BadFormatError("its code signature is not ad hoc")
    if version >= _SCATTER and struct.unpack_from(">I", data, blob.start + 44) != (0,):
        raise BadFormatError("its code signature has pages scattered, which is not known here")
    if version >= _LONG_LIMIT:
        (long_limit,) = struct.unpack_from(">Q", data, blob.start + 56)
        limit = long_limit or limit
    algorithm, expected_size = _HASHES.get(hash_type, ("", 0))
    if not algorithm or hash_size != expected_size:
        raise BadFormatError(f"its code signature is by hashes of type {hash_type}, not known here")
    if page_shift > 30:
        raise BadFormatError("the pages of its code signature are too large")
    page_size = 1 << page_shift if page_shift else max(limit, 1)
    if image.start + limit > place.start:
        raise BadFormatError("its code signature is of more than stands before it")
    if count != -(-limit // page_size):
        raise BadFormatError("its code signature has not as many hashes as there are pages")
    if hashes < _DIRECTORY.size + special * hash_size or hashes + count * hash_size > len(blob):
        raise BadFormatError("the hashes of its code signature are not inside of it")
    name_end = data.find(b"\0", blob.start + identifier, blob.stop)
    if identifier < _DIRECTORY.size or name_end < 0:
        raise BadFormatError("its code signature has no name")
    name = range(blob.start + identifier, name_end)
    first = blob.start + hashes - special * hash_size
    if name.start < blob.start + hashes + count * hash_size and name.stop > first:
        raise BadFormatError("the hashes of its code signature overlap its name")
    return CodeDirectory(
        image=image,
        limit=limit,
        page_size=page_size,
        algorithm=algorithm,
        hash_size=hash_size,
        hashes=blob.start + hashes,
        count=count,
        identifier=name,
        signature=place,
    )
