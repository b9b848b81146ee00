"""zip archives (PKWARE APPNOTE 6.3): wheels, jars, eggs, documents; members stored and deflated."""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

from graft.fixups.api import Fixup, Inside, LeftAloneError, Where
from graft.fixups.deflated import deflated_again, inflated

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_DESCRIPTOR = b"PK\x07\x08"
_LOCAL_SIZE, _CENTRAL_SIZE, _END_SIZE = 30, 46, 22
_ENCRYPTED, _HAS_DESCRIPTOR = 0x0001, 0x0008
_STORED, _DEFLATED = 0, 8
_ZIP64 = 1  # of an extra field
_APK_SIGNATURE = b"APK Sig Block 42"  # the end of a block before the central directory
# Members that sign the others: of ODF, OOXML, EPUB, NuGet, Mozilla's extensions.
_SIGNED = re.compile(
    rb"META-INF/(?:\w*signatures[^/]*\.xml|cose\.sig)\Z|_xmlsignatures/|\.signature\.p7s\Z"
)
_SIGNATURES = (b".SF", b".RSA", b".DSA", b".EC")


class _Member(NamedTuple):  # an archive may have tens of thousands
    central: int  # where its entry of the central directory is
    central_end: int
    local: int  # where its local header is
    start: int  # its data
    end: int
    method: int
    flags: int
    crc: int
    size: int
    name: bytes
    contents: bytes | None = None  # None: it cannot be read
    comment: int = 0  # where it is

    @property
    def texts(self) -> tuple[tuple[int, int, Where], ...]:
        """Where its name and its comment begin and end in the central directory."""
        name = self.central + _CENTRAL_SIZE
        return (name, name + len(self.name), "name"), (self.comment, self.central_end, "contents")


class Zip(Fixup):
    """Order, names, times, methods and alignment stay; signed jars are refused."""

    name = "zip"
    magics = ((0, _LOCAL),)
    suffixes = (b".zip", b".jar", b".whl", b".egg")

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The archive, its members changed."""
        del name
        end, members = _members(data)
        members = [member._replace(contents=_contents(data, member, inside)) for member in members]
        readable = [m for m in members if m.contents is not None]
        results = inside.members([(m.name, m.contents or b"") for m in readable])
        changed = {
            m.central: contents
            for m, contents in zip(readable, results, strict=True)
            if contents is not m.contents
        }
        texts = {
            at: inside.plain(data[at:text_end], where) if at < text_end else b""
            for m in members
            for at, text_end, where in m.texts
        }
        comment = data[end + _END_SIZE :]
        texts[end + _END_SIZE] = inside.plain(comment)
        if not changed and all(data.startswith(text, at) for at, text in texts.items()):
            return data
        if any(
            m.name.upper().startswith(b"META-INF/") and m.name.upper().endswith(_SIGNATURES)
            for m in members
        ):
            raise LeftAloneError("it is a signed jar")
        directory = min((m.central for m in members), default=end)
        signed = data.startswith(_APK_SIGNATURE, directory - len(_APK_SIGNATURE))
        if signed or any(_SIGNED.match(m.name) for m in members):
            raise LeftAloneError("it is signed: only the owner of the key can sign it again")
        return _Written(data, end, members).archive(changed, texts)


class _Written:
    """An archive written anew: unchanged parts are copied from the old one."""

    def __init__(self, data: bytes, end: int, members: list[_Member]) -> None:
        self._data, self._end = data, end
        self._members = sorted(members, key=lambda m: m.local)
        stored = [m for m in members if m.method == _STORED and m.size]
        # By chance one or two are; an archive that is aligned has all of them so.
        self._aligned = len(stored) > 2 and all(m.start % 4 == 0 for m in stored)

    def archive(self, changed: dict[int, bytes], texts: dict[int, bytes]) -> bytes:
        data = self._data
        made = bytearray()
        offsets: dict[int, int] = {}
        crcs: dict[int, tuple[int, int, int]] = {}
        at = 0
        for member in self._members:
            if member.local < at:
                raise LeftAloneError("its members overlap")
            made += data[at : member.local]
            offsets[member.central] = len(made)
            header = bytearray(data[member.local : member.start])
            name = texts[member.central + _CENTRAL_SIZE]
            header[_LOCAL_SIZE : _LOCAL_SIZE + len(name)] = name
            packed, at = data[member.start : member.end], member.end
            descriptor = b""
            contents = changed.get(member.central)
            if contents is not None:
                old = member.contents or b""
                if member.method == _DEFLATED:
                    packed = deflated_again(contents, old, packed)
                else:
                    packed = contents
                sums = zlib.crc32(contents), len(packed), len(contents)
                crcs[member.central] = sums
                if member.flags & _HAS_DESCRIPTOR:
                    descriptor = _descriptor(data, at, member, sums)
                    at += len(descriptor)
                    if header[14:18].strip(b"\0"):  # some write them at both places
                        _put_sums(header, len(name), sums)
                else:
                    _put_sums(header, len(name), sums)
            if self._aligned and member.method == _STORED and member.size:
                self._align(header, member.start, len(made))
            made += bytes(header) + packed + descriptor
        directory = min((m.central for m in self._members), default=self._end)
        made += data[at:directory]
        new_directory = len(made)
        at = directory
        for member in sorted(self._members, key=lambda m: m.central):
            made += data[at : member.central]
            entry = bytearray(data[member.central : member.central_end])
            at = member.central_end
            for start, stop, _ in member.texts:
                entry[start - member.central : stop - member.central] = texts[start]
            if member.central in crcs:
                entry[16:28] = struct.pack("<III", *crcs[member.central])
            entry[42:46] = struct.pack("<I", offsets[member.central])
            made += entry
        made += data[at : self._end]
        end = bytearray(data[self._end :])
        end[12:20] = struct.pack("<II", len(made) - new_directory, new_directory)
        end[_END_SIZE:] = texts[self._end + _END_SIZE]
        return bytes(made + end)

    @staticmethod
    def _align(header: bytearray, old_start: int, at: int) -> None:
        """Lets the data begin at as round an offset as it did, by zeros in the extra field."""
        alignment = 4096 if old_start % 4096 == 0 else 4
        missing = -(at + len(header)) % alignment
        if missing:
            header += bytes(missing)
            length = int.from_bytes(header[28:30], "little") + missing
            header[28:30] = struct.pack("<H", length)


def _descriptor(data: bytes, at: int, member: _Member, sums: tuple[int, int, int]) -> bytes:
    """The descriptor behind a member's data, with other sums: in 4 or in 8 bytes each (zip64)."""
    old = member.crc, member.end - member.start, member.size
    for signature in (_DESCRIPTOR, b""):
        for form in ("<III", "<IQQ"):
            if data.startswith(signature + struct.pack(form, *old), at):
                return signature + struct.pack(form, *sums)
    raise LeftAloneError("a member is not followed by its sums")


def _put_sums(header: bytearray, name: int, sums: tuple[int, int, int]) -> None:
    """Puts CRC and sizes into a local header; the sizes into its extra field, if it is of zip64."""
    wide = header[18:26] == b"\xff" * 8
    packed, size = struct.unpack_from("<II", header, 18)
    header[14:18] = struct.pack("<I", sums[0])
    if not wide:
        header[18:26] = struct.pack("<II", *sums[1:])
    at = _LOCAL_SIZE + name
    while at + 4 <= len(header):
        kind, length = struct.unpack_from("<HH", header, at)
        if kind == _ZIP64 and length >= 16:
            # Python before 3.11.4 writes the sizes at both places.
            if wide or struct.unpack_from("<QQ", header, at + 4) == (size, packed):
                header[at + 4 : at + 20] = struct.pack("<QQ", sums[2], sums[1])
            return
        at += 4 + length
    if wide:
        raise LeftAloneError("the sizes of a member are not in its header")


def _members(data: bytes) -> tuple[int, list[_Member]]:
    """Where the end record is, and the members in the order of the central directory."""
    end = data.rfind(_END, max(0, len(data) - _END_SIZE - 0xFFFF))
    if end < 0 or end + _END_SIZE > len(data):
        raise LeftAloneError("it has no central directory")
    disk, _, _, count, size, directory = struct.unpack_from("<HHHHII", data, end + 4)
    if 0xFFFF in (disk, count) or 0xFFFFFFFF in (size, directory):
        raise LeftAloneError("it is of the kind for more than 4 GiB (zip64)")
    members = []
    at = directory
    for _ in range(count):
        if not data.startswith(_CENTRAL, at) or at + _CENTRAL_SIZE > end:
            raise LeftAloneError("its central directory is damaged")
        flags, method = struct.unpack_from("<HH", data, at + 8)
        crc, packed, size = struct.unpack_from("<III", data, at + 16)
        lengths = struct.unpack_from("<HHH", data, at + 28)
        (local,) = struct.unpack_from("<I", data, at + 42)
        name = data[at + _CENTRAL_SIZE : at + _CENTRAL_SIZE + lengths[0]]
        after = at + _CENTRAL_SIZE + sum(lengths)
        if not data.startswith(_LOCAL, local) or 0xFFFFFFFF in (packed, size, local):
            raise LeftAloneError("its central directory does not lead to its members")
        start = local + _LOCAL_SIZE + sum(struct.unpack_from("<HH", data, local + 26))
        if start + packed > directory or data[local + 30 : local + 30 + len(name)] != name:
            raise LeftAloneError("its members do not match its central directory")
        members.append(
            _Member(
                central=at,
                central_end=after,
                local=local,
                start=start,
                end=start + packed,
                method=method,
                flags=flags,
                crc=crc,
                size=size,
                name=name,
                comment=after - lengths[2],
            )
        )
        at = after
    return end, members


def _contents(data: bytes, member: _Member, inside: Inside) -> bytes | None:
    if member.flags & _ENCRYPTED or member.method not in (_STORED, _DEFLATED):
        inside.note(f"member '{member.name.decode(errors='backslashreplace')}' cannot be read")
        return None
    if member.method == _STORED:
        contents = data[member.start : member.end]
    else:
        contents, end = inflated(data[member.start : member.end], 0, inside)
        if end != member.end - member.start:
            raise LeftAloneError("a member is not as long as it says")
    if zlib.crc32(contents) != member.crc or len(contents) != member.size:
        raise LeftAloneError("a member's checksum does not match its contents")
    return contents
