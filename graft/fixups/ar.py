"""ar archives: static libraries, and Debian packages. Their headers have no checksums."""

from __future__ import annotations

from typing import NamedTuple

from graft.fixups.api import Fixup, Inside, LeftAloneError

_MAGIC = b"!<arch>\n"
_HEADER = 60
_GO = b"__.PKGDEF"
_SYMBOLS = (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED")


class _Member(NamedTuple):
    header: int
    contents: int
    length: int
    name: bytes


class Ar(Fixup):
    """Names, times and order stay; where there is a table of symbols, so does every offset."""

    name = "ar"
    stores = True
    magics = ((0, _MAGIC),)
    suffixes = (b".a", b".deb")

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The archive, its members changed."""
        del name
        members = _members(data)
        old = [data[m.contents : m.contents + m.length] for m in members]
        new = inside.members([(m.name, contents) for m, contents in zip(members, old, strict=True)])
        pieces = [_MAGIC]
        for member, before, contents in zip(members, old, new, strict=True):
            header = inside.plain(data[member.header : member.contents], "name")
            end = member.contents + member.length
            padding = data[end : end + member.length % 2]
            if len(contents) != len(before):
                if any(m.name in _SYMBOLS for m in members):
                    raise LeftAloneError("a member changes its length, and there is a symbol table")
                header = header[:48] + b"%-10d" % len(contents) + header[58:]
                padding = b"\n" * (len(contents) % 2)
            pieces += [header, contents, padding]
        made = b"".join(pieces)
        if made == data:
            return data
        if members[0].name == _GO:
            inside.note("the build ids of Go in it are of the old contents")
        return made


def _members(data: bytes) -> list[_Member]:
    members = []
    at = len(_MAGIC)
    long_names = b""
    while at < len(data):
        header = data[at : at + _HEADER]
        if header[58:] != b"`\n" or not header[48:58].strip().isdigit():
            raise LeftAloneError(f"there is no header at {at}")
        length = int(header[48:58])
        contents = at + _HEADER
        if contents + length > len(data):
            raise LeftAloneError("it is cut")
        name = header[:16].rstrip()
        if name == b"//":
            long_names = data[contents : contents + length]
        elif name.startswith(b"#1/") and name[3:].isdigit():  # BSD: before the contents
            name = data[contents : contents + min(int(name[3:]), length)].rstrip(b"\0")
        elif name[:1] == b"/" and name[1:].isdigit():  # GNU: in a table
            name = long_names[int(name[1:]) :].split(b"/\n")[0]
        elif name not in _SYMBOLS:
            name = name.removesuffix(b"/")
        members.append(_Member(at, contents, length, name))
        at = contents + length + length % 2
    return members
