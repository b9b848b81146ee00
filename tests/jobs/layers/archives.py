"""Archives as layers: the wrapped bytes are one member of some."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.jobs.layers.layer import Layer, Make, Reference, WrongError, require
from tests.jobs.layers.surroundings import noise

_NAMES = ("data", "share/doc/text", "lib/a.bin", "part", "a/" + 70 * "long" + "/name")
_SHORT = _NAMES[:4]


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive.

    Attributes:
        name: its path.
        data: its contents, or the target of a link.
        link: whether it is a symlink.
    """

    name: str
    data: bytes
    link: bool = False


Pack = Callable[[Sequence[Member]], bytes]
Unpack = Callable[[bytes], Sequence[Member]]


def _archive(
    choice: random.Random,
    name: str,
    pack: Pack,
    unpack: Unpack,
    *,
    links: bool = True,
    names: Sequence[str] = _SHORT,
    packs: bool = False,
    begins: bool = True,
) -> Layer:
    """An archive with the wrapped bytes in it, beside some other members."""
    own, *others = choice.sample(names, choice.choice((1, 1, 2, 3)))
    filled = [
        Member(each, noise(choice, choice.randrange(3000), choice.choice(("text", "bytes"))))
        for each in others
    ]
    place = choice.randrange(len(filled) + 1)
    linked = links and choice.random() < 0.3

    def members(data: bytes, reference: Reference) -> list[Member]:
        made = [*filled[:place], Member(own, data), *filled[place:]]
        return [*made, Member("link", reference.path + b"/file", link=True)] if linked else made

    def wrap(data: bytes, reference: Reference) -> bytes:
        return pack(sorted(members(data, reference), key=lambda each: each.name))

    def peel(data: bytes, reference: Reference) -> bytes:
        found = {each.name: each for each in unpack(data)}
        require(own in found, "the member is gone")
        contents = found[own].data
        expected = {each.name: each for each in members(contents, reference)}
        require(found == expected, "another member is wrong")
        return contents

    shown = f"{name}({1 + len(others)} members{', a link' if linked else ''})"
    return Layer(shown, wrap, peel, hides="packed" if packs else "", begins=begins)


# ---- tar -------------------------------------------------------------------------------------


def _tar(choice: random.Random) -> Layer:
    form = choice.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    old = form == tarfile.USTAR_FORMAT and choice.random() < 0.5
    called = "v7" if old else {0: "ustar", 1: "gnu", 2: "pax"}[form]
    time: float = 1.5 if form == tarfile.PAX_FORMAT and choice.random() < 0.5 else 1

    def pack(members: Sequence[Member]) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
            for member in members:
                info = tarfile.TarInfo(member.name)
                info.mtime = time
                if member.link:
                    info.type, info.linkname = tarfile.SYMTYPE, member.data.decode()
                    archive.addfile(info)
                else:
                    info.size = len(member.data)
                    archive.addfile(info, io.BytesIO(member.data))
        return _without_magic(packed.getvalue()) if old else packed.getvalue()

    names = _SHORT if form == tarfile.USTAR_FORMAT else _NAMES
    return _archive(choice, f"tar-{called}", pack, _untar, names=names)


def _without_magic(data: bytes) -> bytes:
    """An archive of version 7: a ustar one whose headers end with the name of the link."""
    made, at = bytearray(data), 0
    while made[at : at + 512].strip(b"\0"):
        size = int(made[at + 124 : at + 135], 8)
        made[at + 257 : at + 512] = bytes(255)
        made[at + 148 : at + 156] = b" " * 8
        made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
        at += 512 + -(-size // 512) * 512
    return bytes(made)


def _untar(data: bytes) -> list[Member]:
    require(len(data) % 512 == 0, "the tar archive is cut")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        members = []
        for info in archive:
            if info.issym():
                members.append(Member(info.name, info.linkname.encode(), link=True))
                continue
            file = archive.extractfile(info)
            assert file is not None
            members.append(Member(info.name, file.read()))
    return members


# ---- cpio ------------------------------------------------------------------------------------

_FILE, _LINK = 0o100644, 0o120777


def _cpio(choice: random.Random) -> Layer:
    form = choice.choice(("newc", "crc", "odc"))
    padding = choice.choice((1, 512))

    def entry(name: str, mode: int, data: bytes) -> bytes:
        path = name.encode() + b"\0"
        if form == "odc":
            old = (0, 1, mode, 0, 0, 1, 0)
            head = b"070707" + b"".join(b"%06o" % each for each in old)
            return head + b"%011o%06o%011o" % (1, len(path), len(data)) + path + data
        check = sum(data) & 0xFFFFFFFF if form == "crc" and mode == _FILE else 0
        magic = b"070702" if form == "crc" else b"070701"
        fields = (1, mode, 0, 0, 1, 1, len(data), 0, 0, 0, 0, len(path), check)
        made = magic + b"".join(b"%08X" % each for each in fields) + path
        made += bytes(-len(made) % 4) + data
        return made + bytes(-len(data) % 4)

    def pack(members: Sequence[Member]) -> bytes:
        made = b"".join(
            entry(each.name, _LINK if each.link else _FILE, each.data) for each in members
        )
        made += entry("TRAILER!!!", 0, b"")
        return made + bytes(-len(made) % padding)

    return _archive(choice, f"cpio-{form}", pack, _uncpio)


def _uncpio(data: bytes) -> list[Member]:
    members: list[Member] = []
    at = 0
    while True:
        magic = data[at : at + 6]
        if magic == b"070707":
            mode, length = int(data[at + 18 : at + 24], 8), int(data[at + 59 : at + 65], 8)
            size, name, check = int(data[at + 65 : at + 76], 8), at + 76, None
            start, step = name + length, 1
        else:
            require(magic in {b"070701", b"070702"}, "the cpio archive has no header there")
            fields = [int(data[place : place + 8], 16) for place in range(at + 6, at + 110, 8)]
            mode, size, length, name = fields[1], fields[6], fields[11], at + 110
            check, step = fields[12] if magic.endswith(b"2") else None, 4
            start = name + length + (-(110 + length) % 4)
        path, contents = data[name : name + length - 1].decode(), data[start : start + size]
        require(len(contents) == size, "the cpio archive is cut")
        at = start + size + -size % step
        if path == "TRAILER!!!":
            require(not data[at:].strip(b"\0"), "bytes stand behind the cpio archive")
            return members
        if check is not None and mode == _FILE:
            require(sum(contents) & 0xFFFFFFFF == check, "the sum of a cpio member is wrong")
        members.append(Member(path, contents, link=mode == _LINK))


# ---- ar --------------------------------------------------------------------------------------


def _ar(choice: random.Random) -> Layer:
    long = choice.random() < 0.4

    def pack(members: Sequence[Member]) -> bytes:
        table = b"".join(each.name.encode() + b"/\n" for each in members)
        made = b"!<arch>\n"
        if long:
            made += _ar_header(b"//", len(table)) + table + b"\n" * (len(table) % 2)
        for each in members:
            name = each.name.encode() + b"/"
            if long:
                name = b"/%d" % table.index(name + b"\n")
            made += _ar_header(name, len(each.data)) + each.data + b"\n" * (len(each.data) % 2)
        return made

    names = ("data", "a.o", "part", "b.txt")
    if long:
        names = ("data-with-a-long-name", "another-long-name.o", "the-third-long-name", "x")
    return _archive(choice, f"ar(long={long})", pack, _unar, links=False, names=names)


def _ar_header(name: bytes, size: int) -> bytes:
    return b"%-16b%-12d%-6d%-6d%-8b%-10d`\n" % (name, 0, 0, 0, b"100644", size)


def _unar(data: bytes) -> list[Member]:
    require(data.startswith(b"!<arch>\n"), "the ar archive has no magic")
    members, table, at = [], b"", 8
    while at < len(data):
        head = data[at : at + 60]
        require(len(head) == 60 and head.endswith(b"`\n"), "an ar header is wrong")
        name, size = head[:16].rstrip(), int(head[48:58])
        contents = data[at + 60 : at + 60 + size]
        require(len(contents) == size, "the ar archive is cut")
        at += 60 + size + size % 2
        if name == b"//":
            table = contents
            continue
        if name[:1] == b"/":
            name = table[int(name[1:]) :].partition(b"\n")[0]
        members.append(Member(name.rstrip(b"/").decode(), contents))
    return members


# ---- zip -------------------------------------------------------------------------------------

_METHODS = (
    zipfile.ZIP_STORED,
    *(zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED),
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)


class _Pipe(io.RawIOBase):
    """Takes bytes, and cannot go back."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.taken += piece
        return len(piece)


def _zip(choice: random.Random) -> Layer:
    method, large = choice.choice(_METHODS), choice.random() < 0.2
    piped, comment = choice.random() < 0.25, choice.choice((b"", b"", b"a comment"))
    before = choice.choice((b"", b"", b"#!/bin/sh\nexit 0\n", noise(choice, 700, "bytes")))
    counted = choice.random() < 0.5  # offsets count from the first byte of the file

    def pack(members: Sequence[Member]) -> bytes:
        packed: _Pipe | io.BytesIO = _Pipe() if piped else io.BytesIO()
        if counted:
            packed.write(before)
        with zipfile.ZipFile(packed, "w" if piped else "a", method) as archive:
            archive.comment = comment
            for each in members:
                info = zipfile.ZipInfo(each.name)
                info.compress_type = method
                with archive.open(info, "w", force_zip64=large) as file:
                    file.write(each.data)
        made = bytes(packed.taken) if isinstance(packed, _Pipe) else packed.getvalue()
        return made if counted else before + made

    def unpack(data: bytes) -> list[Member]:
        require(data.startswith(before), "the bytes before the zip archive changed")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            require(archive.comment == comment, "the comment of the zip archive changed")
            return [Member(each.filename, archive.read(each)) for each in archive.infolist()]

    name = f"zip(method={method} zip64={large} piped={piped} {len(before)} before"
    packs = method != zipfile.ZIP_STORED
    name = f"{name} counted={counted})"
    begins = not before
    return _archive(choice, name, pack, unpack, links=False, packs=packs, begins=begins)


# ---- NAR -------------------------------------------------------------------------------------


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


def _nar(choice: random.Random) -> Layer:
    def node(member: Member) -> bytes:
        words = [b"(", b"type", b"symlink", b"target", member.data, b")"]
        if not member.link:
            words = [b"(", b"type", b"regular", b"contents", member.data, b")"]
        return b"".join(map(_text, words))

    def pack(members: Sequence[Member]) -> bytes:
        made = b"".join(map(_text, (b"nix-archive-1", b"(", b"type", b"directory")))
        for each in members:
            head = b"".join(map(_text, (b"entry", b"(", b"name", each.name.encode(), b"node")))
            made += head + node(each) + _text(b")")
        return made + _text(b")")

    return _archive(choice, "nar", pack, _unnar, names=("data", "text", "a.bin", "part"))


def _unnar(data: bytes) -> list[Member]:
    at = 0

    def word() -> bytes:
        nonlocal at
        size = int.from_bytes(data[at : at + 8], "little")
        found = data[at + 8 : at + 8 + size]
        if len(found) != size:
            raise WrongError("the NAR is cut")
        at += 8 + size + -size % 8
        return found

    def expect(*words: bytes) -> None:
        for each in words:
            require(word() == each, f"the NAR lacks {each!r}")

    members = []
    expect(b"nix-archive-1", b"(", b"type", b"directory")
    while (tag := word()) == b"entry":
        expect(b"(", b"name")
        name = word().decode()
        expect(b"node", b"(", b"type")
        link = word() == b"symlink"
        expect(b"target" if link else b"contents")
        members.append(Member(name, word(), link))
        expect(b")", b")")
    require(tag == b")" and at == len(data), "the NAR does not end")
    return members


ARCHIVES: tuple[Make, ...] = (_tar, _tar, _cpio, _ar, _zip, _zip, _zip, _nar)
