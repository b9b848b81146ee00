"""Files that others may have signed: kernel modules, PE, files with a signature.

Sources: Documentation/admin-guide/module-signing.rst of the Linux kernel; Microsoft's "PE Format";
the UAPI group's "Unified Kernel Image". IMA's signatures and fs-verity's digests are attributes of
files, which no store keeps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from graft.fixups.api import HEAD, SIGNATURES, Fixup, Inside, LeftAloneError
from graft.fixups.compressed_sections import compressed_sections, has_compressed_sections

_ELF = b"\x7fELF"
_MODULE_TRAILER = b"~Module signature appended~\n"
_SECTION = 40
_KERNEL = b".linux"
_CERTIFICATES = 4  # of the data directories
_WIDE = 0x20B  # PE32+
_CHECKSUM = 24 + 64  # behind the beginning of the headers
_PIECE = 1 << 20


class KernelModule(Fixup):
    """Rewritten if it is not signed: as it stands, and in compressed sections."""

    name = "kernel-module"
    opens = False
    packs = True
    suffixes = (b".ko",)

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the name and the magic."""
        return super().recognises(head, name) and head.startswith(_ELF)

    def is_packed(self, file: IO[bytes]) -> bool:
        """Whether it has compressed sections."""
        return has_compressed_sections(file)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The module, rewritten."""
        del name
        new = compressed_sections(inside.plain(data), inside)
        if new is not data and data.endswith(_MODULE_TRAILER):
            raise LeftAloneError("it is signed: the kernel would not load it")
        return new


class Pe(Fixup):
    """Programs of Windows and of firmwares: rewritten as they stand, if they are not signed."""

    name = "pe"
    opens = False
    packs = True
    magics = ((0, b"MZ"),)

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the two magics."""
        return super().recognises(head, name) and head.startswith(b"PE\0\0", _header(head))

    def is_packed(self, file: IO[bytes]) -> bool:
        """Whether it is a unified kernel image."""
        file.seek(0)
        return _KERNEL + b"\0" in file.read(HEAD)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The program, rewritten; the sections of a unified kernel image are looked into."""
        del name
        sections = list(_sections(data))
        if any(section == _KERNEL for section, _ in sections):
            changed = inside.members(sections)
            if any(new is not old for new, (_, old) in zip(changed, sections, strict=True)):
                raise LeftAloneError("it is a unified kernel image: make it anew")
            return data
        new = inside.plain(data)
        if new is not data and _is_signed(data):
            raise LeftAloneError("it is signed: firmware would not start it")
        at = _header(data) + _CHECKSUM
        if new is data or data[at : at + 4] != _checksum(data, at):
            return new  # most have none
        return new[:at] + _checksum(new, at) + new[at + 4 :]


class Signature(Fixup):
    """Signature files, by their names; a note tells if one of the signed files changes.

    One that is of a file type is left alone; this is of the others, which change as they stand.
    """

    name = "signature"
    opens = False
    suffixes = SIGNATURES

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The unchanged file."""
        signed = name.rpartition(b".")[0]
        if inside.changed(signed):
            shown = signed.decode(errors="backslashreplace")
            inside.note(f"it is a signature of '{shown}' before the graft: a check of it fails")
        return inside.plain(data)


def _checksum(data: bytes, at: int) -> bytes:
    """The right checksum of a program in which it stands at a place."""
    text = data[:at] + bytes(4) + data[at + 4 :] + bytes(len(data) % 2)
    total = 0
    for begin in range(0, len(text), _PIECE):
        piece = text[begin : begin + _PIECE]
        total += sum(struct.unpack(f"<{len(piece) // 2}H", piece))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (total + len(data)).to_bytes(4, "little")


def _header(data: bytes) -> int:
    return int.from_bytes(data[60:64], "little")


def _sections(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and contents of each."""
    header = _header(data)
    (count,) = struct.unpack_from("<H", data, header + 6)
    (optional,) = struct.unpack_from("<H", data, header + 20)
    for index in range(count):
        at = header + 24 + optional + _SECTION * index
        size, start = struct.unpack_from("<II", data, at + 16)
        yield data[at : at + 8].rstrip(b"\0"), data[start : start + size]


def _is_signed(data: bytes) -> bool:
    header = _header(data)
    (kind,) = struct.unpack_from("<H", data, header + 24)
    directories = header + 24 + (112 if kind == _WIDE else 96)
    (count,) = struct.unpack_from("<I", data, directories - 4)
    if count <= _CERTIFICATES:
        return False
    return any(data[directories + 8 * _CERTIFICATES : directories + 8 * _CERTIFICATES + 8])
