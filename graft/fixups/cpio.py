"""cpio archives of the new form (newc, with or without sums), several behind each other: initrds.

Source: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel. An archive
begins at a multiple of four bytes; one more may follow it, compressed or not.
"""

from __future__ import annotations

from typing import NamedTuple

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.compressed import zeros_before

_HEADER = 110
_TRAILER = b"TRAILER!!!"
_MAGICS = (b"070701", b"070702")
_SYMLINK, _REGULAR, _TYPE = 0o120000, 0o100000, 0o170000


class _Member(NamedTuple):
    start: int
    name: bytes
    contents: int
    length: int
    type: int

    @property
    def end(self) -> int:
        """Behind its padding."""
        return self.contents + self.length + -self.length % 4


class Initrd(Fixup):
    """Names, inodes, times, order and alignment stay."""

    name = "initrd"
    by_default = False
    stores = True
    magics = tuple((0, magic) for magic in _MAGICS)
    suffixes = (b".cpio",)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The archive, and the data after it."""
        del name
        members = _members(data)
        files = [m for m in members if m.type == _REGULAR and m.length]
        new_contents = dict(
            zip(
                files,
                inside.members([(m.name, data[m.contents : m.contents + m.length]) for m in files]),
                strict=True,
            )
        )
        pieces = [_written(data, member, new_contents.get(member), inside) for member in members]
        made = b"".join(pieces)
        end = min(members[-1].end, len(data))
        rest = data[end:].lstrip(b"\0")
        if not rest:
            new = made[: len(made) - (members[-1].end - end)] + data[end:]
        else:
            new_rest = inside.contents(b"", rest)
            zeros = zeros_before(len(data) - len(rest), end, len(made))
            new = made + bytes(zeros) + new_rest
        return data if new == data else new


def _members(data: bytes) -> list[_Member]:
    """The members of the first archive, its trailer the last."""
    members: list[_Member] = []
    at = 0
    while True:
        if data[at : at + 6] not in _MAGICS:
            raise LeftAloneError(f"there is no header at {at}")
        try:
            fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        except ValueError:
            raise LeftAloneError(f"the header at {at} is damaged") from None
        mode, length, name_length = fields[1], fields[6], fields[11]
        name_end = at + _HEADER + name_length
        contents = name_end + -name_end % 4
        if name_length == 0 or contents + length > len(data) + 3:
            raise LeftAloneError("it is cut")
        name = data[at + _HEADER : name_end - 1]
        members.append(_Member(at, name, contents, length, mode & _TYPE))
        if name == _TRAILER:
            return members
        at = members[-1].end


def _written(data: bytes, member: _Member, contents: bytes | None, inside: Inside) -> bytes:
    old = data[member.contents : member.contents + member.length]
    if contents is None:
        contents = inside.plain(old, "target" if member.type == _SYMLINK else "contents")
    name = inside.plain(member.name, "name")
    if name is member.name and contents == old:
        return data[member.start : member.end] + bytes(max(0, member.end - len(data)))
    head = bytearray(data[member.start : member.contents])
    head[_HEADER : _HEADER + len(name)] = name
    head[54:62] = b"%08X" % len(contents)
    if head[:6] == _MAGICS[1] and contents != old:
        head[102:110] = b"%08X" % (sum(contents) & 0xFFFFFFFF)
    return bytes(head) + contents + bytes(-len(contents) % 4)
