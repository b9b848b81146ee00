"""What files hold when they are unpacked, and whether the sums in them are right.

Two files are equal inside if they hold the same once the hashes of store paths are renamed: their
packed bytes can be no more equal than the hashes in them. Sums of other files are held against
these: each has to be right on its own side. Unpacked by Python's library, zstd, lz4 and readelf
themselves, for the judge is to know nothing of the code that it judges.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import hashlib
import importlib.util
import io
import lzma
import posixpath
import re
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import debug_strings
from .bytes_equal import Renaming, difference_in

Read = Callable[[str], bytes | None]
"""The bytes of a file by its path from the top of a tree or an archive."""

EXPLAINED = {
    "packed": "hashes inside differ, so the compressed bytes do; what is inside is equal",
    "packing": "the same contents, compressed to other bytes: graft's packer is not the builder's",
    "sums": "sums of files in which hashes differ; each is right",
    "build id": "the linker's hash of a program's contents, which a graft keeps",
    "debug strings": "the compiler puts them in an order by their hashes, which a graft keeps",
    "order": "a list sorted by store path, an order that a graft keeps",
}
"""Why a grafted file may differ from the rebuilt one by more than renamed hashes."""

_UNREADABLE = (
    *(OSError, ValueError, EOFError, struct.error),
    *(lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile),
)
_CPIO = b"070701"
_MOST = 64 << 20  # bytes that are looked into
_BUILD_ID = re.compile(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})", re.DOTALL)


@dataclass(frozen=True)
class _Part:
    """One thing in a file: where, with all of its header that must be equal, and its contents.

    If it has an excuse, of the keys of EXPLAINED, its contents need not be equal.
    """

    label: str
    data: bytes
    excuse: str = ""


def why_unequal(
    name: str, ours: bytes, theirs: bytes, renaming: Renaming, reads: tuple[Read, Read]
) -> str | None:
    """What makes two unequal files equal inside, of the keys of EXPLAINED; None if they are not.

    Args:
        name: the files' path from the top of their trees.
        ours: the grafted file, whose hashes are renamed.
        reads: the files of either tree.
    """
    if max(len(ours), len(theirs)) > _MOST:
        return None
    try:
        left = list(_parts("", name, ours, reads[0]))
        right = list(_parts("", name, theirs, reads[1]))
    except _UNREADABLE:
        return None
    if len(left) != len(right):
        return None
    kinds: set[str] = set()
    for mine, other in zip(left, right, strict=True):
        if renaming.text(mine.label.encode()) != other.label.encode():
            return None
        if mine.excuse != other.excuse:
            return None
        if mine.excuse:
            kinds |= {mine.excuse} if mine.data != other.data else set()
        elif difference_in(mine.data, other.data, renaming) is not None:
            return None
    if "packed" in kinds and _contents(left) == _contents(right):
        kinds = kinds - {"packed"} | {"packing"}
    return ", ".join(sorted(kinds)) or None


def _contents(parts: list[_Part]) -> list[_Part]:
    return [part for part in parts if part.excuse != "packed"]


def _parts(within: str, name: str, data: bytes, read: Read) -> Iterator[_Part]:
    """All that a file holds, at any depth.

    Args:
        within: the containers around it.
        name: its path in the innermost of them, in which `read` finds its neighbours.
    """
    label, head = f"{within}{name}", data[:8]
    for magic, unpack, header in _COMPRESSED:
        if head.startswith(magic):
            yield _Part(f"{label} {data[:header].hex()}", data, "packed")
            yield from _parts(f"{label}!", "", unpack(data), _nothing)
            return
    if head.startswith(b"PK\3\4"):
        yield from _zip(label, data)
    elif data[257:262] == b"ustar":
        yield from _tar(label, data)
    elif head == b"!<arch>\n":
        yield from _ar(label, data)
    elif head.startswith(_CPIO):
        yield from _cpio(label, data)
    elif head[:4] == b"\x7fELF":
        yield from _elf(label, name, data, read)
    else:
        yield from _summed(label, name, data, read)


def _nothing(_: str) -> None:
    return None


def _command(*command: str) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr.decode(errors="replace"))
        return done.stdout

    return run


# Magic, and how many bytes of the header are equal whatever the contents are.
_COMPRESSED: tuple[tuple[bytes, Callable[[bytes], bytes], int], ...] = (
    (b"\x1f\x8b", gzip.decompress, 10),
    (b"\xfd7zXZ\0", lzma.decompress, 12),
    (b"BZh", bz2.decompress, 4),
    (b"\x28\xb5\x2f\xfd", _command("zstd", "-dcq"), 4),
    (b"\x04\x22\x4d\x18", _command("lz4", "-dcq"), 4),
)


def _zip(label: str, data: bytes) -> Iterator[_Part]:
    yield _Part(label, data, "packed")
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {info.filename: file.read(info) for info in file.infolist()}
        for info in file.infolist():
            header = (info.compress_type, info.date_time, info.external_attr, info.flag_bits)
            yield _Part(f"{label}!{info.filename} {header} {info.extra!r}", b"")
            yield from _parts(f"{label}!", info.filename, members[info.filename], members.get)


def _tar(label: str, data: bytes) -> Iterator[_Part]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as file:
        for info in file:
            header = (info.mode, info.mtime, info.uid, info.gid, info.uname, info.type)
            yield _Part(f"{label}!{info.name} {header} {info.linkname}", b"")
            # Checked by whoever reads it.
            yield _Part(label, str(info.chksum).encode(), "sums")
            stream = file.extractfile(info)
            yield from _parts(f"{label}!", info.name, stream.read() if stream else b"", _nothing)


def _ar(label: str, data: bytes) -> Iterator[_Part]:
    place = 8
    while place < len(data):
        header = data[place : place + 60]
        size, name = int(header[48:58]), header[:16].decode().strip()
        yield _Part(f"{label}!{name} {header[16:48]!r}", b"")
        yield from _parts(f"{label}!", name, data[place + 60 : place + 60 + size], _nothing)
        place += 60 + size + size % 2


def _cpio(label: str, data: bytes) -> Iterator[_Part]:
    place, name = 0, ""
    while name != "TRAILER!!!":
        fields = [int(data[place + at : place + at + 8], 16) for at in range(6, 110, 8)]
        size, named = fields[6], fields[11]
        name = data[place + 110 : place + 110 + named - 1].decode()
        yield _Part(f"{label}!{name} {[*fields[:6], *fields[7:]]}", b"")
        begin = place + _padded(110 + named)
        yield from _parts(f"{label}!", name, data[begin : begin + size], _nothing)
        place = begin + _padded(size)
    # Kernels read what follows as another archive, compressed or not.
    rest = data[place:].lstrip(b"\0")
    yield _Part(f"{label} {len(data) - place - len(rest)}", b"")
    if rest:
        yield from _parts(label, "", rest, _nothing)


def _padded(size: int) -> int:
    return size + -size % 4


def _elf(label: str, name: str, data: bytes, read: Read) -> Iterator[_Part]:
    for build_id in _BUILD_ID.findall(data):
        yield _Part(label, build_id, "build id")
    data = _BUILD_ID.sub(lambda found: bytes(len(found[0])), data)
    strings = debug_strings.separated(data)
    if strings is not None:
        data, tables, shown = strings
        yield _Part(label, tables, "debug strings")
        yield _Part(label, shown)
    base = f"{posixpath.basename(name)}.debug"
    debug = read(posixpath.join(posixpath.dirname(posixpath.dirname(name)), "lib/debug", base))
    if debug is not None:
        encoded = base.encode() + b"\0" * (4 - len(base) % 4)
        crc = struct.pack("<I", binascii.crc32(debug))
        if encoded + crc in data:
            yield _Part(label, crc, "sums")
            data = data.replace(encoded + crc, encoded)
    yield _Part(label, data)


def _summed(label: str, name: str, data: bytes, read: Read) -> Iterator[_Part]:
    """A file, apart from the sums in it that are right."""
    top = posixpath.dirname(posixpath.dirname(name))
    sums: list[bytes] = []
    if name.endswith(".pyc") and data[4:8] == b"\3\0\0\0":
        source = read(posixpath.join(top, f"{posixpath.basename(name).split('.')[0]}.py"))
        if source is not None and data[8:16] == importlib.util.source_hash(source):
            sums.append(data[8:16])
            data = data[:8] + data[16:]
    elif name.endswith(".dist-info/RECORD"):
        data = _without(_RECORDED, data, sums, read, top, _urlsafe)
    elif posixpath.basename(name) == "SHA256SUMS":
        data = _without(_LISTED, data, sums, read, posixpath.dirname(name), bytes.hex)
    yield _Part(label, b"".join(sums), "sums")
    yield _Part(label, data)


_RECORDED = re.compile(rb"(?m)^(?P<file>[^,\n]+),sha256=(?P<sum>[\w-]+)")
_LISTED = re.compile(rb"(?m)^(?P<sum>[0-9a-f]{64})  (?P<file>.+)$")


def _without(
    pattern: re.Pattern[bytes],
    data: bytes,
    sums: list[bytes],
    read: Read,
    top: str,
    written: Callable[[bytes], str],
) -> bytes:
    """A list of sums without those that are right, which are added to `sums`."""

    def judged(found: re.Match[bytes]) -> bytes:
        line, summed = found.group(), read(posixpath.join(top, found["file"].decode()))
        if summed is None or written(hashlib.sha256(summed).digest()).encode() != found["sum"]:
            return line
        sums.append(found["sum"])
        return line.replace(found["sum"], b"")

    return pattern.sub(judged, data)


def _urlsafe(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
