"""tar archives (POSIX ustar and pax, GNU): sums of headers, and members that change length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.oci import NAMED_BY_CONTENTS, is_image

_BLOCK = 512
_RECORD = 20 * _BLOCK
_SUM = slice(148, 156)
_SIZE = slice(124, 136)
_REGULAR = (b"\0", b"0", b"7")
_NO_CONTENTS = b"123456"  # links, devices, directories, pipes
_LONG = b"LK"  # GNU: the next member's name or target
_EXTENDED = b"xgX"


class _Member(NamedTuple):
    header: int  # where it is
    contents: int
    length: int
    kind: bytes
    name: bytes
    fixed: bool  # its length is told outside the header as well


class Tar(Fixup):
    """Names, times, order and the length of the last record stay."""

    name = "tar"
    stores = True
    magics = ((257, b"ustar"),)
    suffixes = (b".tar",)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The archive, its headers and members changed."""
        del name
        members = list(_members(data))
        files = [member for member in members if member.kind in _REGULAR and member.length]
        old_contents = [data[m.contents : m.contents + m.length] for m in files]
        names = [(m.name, contents) for m, contents in zip(files, old_contents, strict=True)]
        new_contents = dict(zip(files, inside.members(names), strict=True))
        pieces: list[bytes] = []
        for member in members:
            header = _header(data, member, inside)
            end = member.contents + member.length + -member.length % _BLOCK
            contents = new_contents.get(member)
            if contents is None:  # names and pax headers are text of equal length
                contents = inside.plain(data[member.contents : member.contents + member.length])
            if len(contents) != member.length:
                header = _resized(header, member, len(contents))
                pieces += [header, contents, bytes(-len(contents) % _BLOCK)]
            else:
                pieces += [header, contents, data[member.contents + member.length : end]]
        tail = _end(members)
        made = b"".join(pieces)
        if len(made) != tail and len(data) % _RECORD == 0:
            zeros = 2 * _BLOCK + -(len(made) + 2 * _BLOCK) % _RECORD
            return self._checked(data, made + bytes(zeros), members)
        new = made + data[tail:]
        return self._checked(data, new, members)

    @staticmethod
    def _checked(data: bytes, new: bytes, members: list[_Member]) -> bytes:
        if new == data:
            return data
        if is_image([member.name for member in members]):
            raise LeftAloneError("it is an image of a container: " + NAMED_BY_CONTENTS)
        return new


def _end(members: list[_Member]) -> int:
    return max((m.contents + m.length + -m.length % _BLOCK for m in members), default=0)


def _members(data: bytes) -> Iterator[_Member]:
    at = 0
    long_name: bytes | None = None
    fixed = False
    while at + _BLOCK <= len(data) and data[at : at + _BLOCK].strip(b"\0"):
        header = data[at : at + _BLOCK]
        if _sum(header) != _number(header[_SUM]):
            raise LeftAloneError(f"the header at {at} has another checksum")
        kind = header[156:157]
        length = 0 if kind in _NO_CONTENTS else _number(header[_SIZE])
        contents = at + _BLOCK
        if kind == b"S":  # GNU sparse: more of the map may follow before the contents
            extended = header[482]
            while extended:
                extended = data[contents + 504]
                contents += _BLOCK
        if contents + length > len(data):
            raise LeftAloneError("it is cut")
        name = long_name if long_name is not None else _name(header)
        yield _Member(at, contents, length, kind, name, fixed)
        if kind in _LONG or kind in _EXTENDED:
            text = data[contents : contents + length]
            if kind == b"L":
                long_name = text.rstrip(b"\0")
            fixed = fixed or (kind in _EXTENDED and b" size=" in text)
            if kind in _EXTENDED and b" path=" in text:
                long_name = _pax_path(text)
        else:
            long_name, fixed = None, False
        at = contents + length + -length % _BLOCK
    if at < len(data) and data[at:].strip(b"\0"):
        raise LeftAloneError(f"there is no header at {at}")


def _header(data: bytes, member: _Member, inside: Inside) -> bytes:
    old = data[member.header : member.contents]
    first = inside.plain(old[:_BLOCK], "name")
    if first is old[:_BLOCK] or first == old[:_BLOCK]:
        return old
    return _summed(first) + old[_BLOCK:]


def _resized(header: bytes, member: _Member, length: int) -> bytes:
    if member.fixed or length >= 8**11:
        raise LeftAloneError("the length of a member that changes it stands in a pax header")
    new = bytearray(header[:_BLOCK])
    new[_SIZE] = b"%011o\0" % length
    return _summed(bytes(new))


def _summed(header: bytes) -> bytes:
    return header[:148] + b"%06o\0 " % _sum(header) + header[156:]


def _sum(header: bytes) -> int:
    """The sum of all bytes, with the bytes of the sum itself taken for spaces."""
    return sum(header) - sum(header[_SUM]) + 8 * ord(" ")


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU's binary numbers
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    text = field.split(b"\0")[0].strip()
    try:
        return int(text or b"0", 8)
    except ValueError:
        raise LeftAloneError("a header has a field that is no number") from None


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax_path(text: bytes) -> bytes | None:
    """The path in the records (`length key=value` and a newline) of a pax header."""
    while text:
        length, _, _ = text.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(text):
            raise LeftAloneError("a pax header is damaged")
        key, _, value = text[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"path":
            return value
        text = text[int(length) :]
    return None
