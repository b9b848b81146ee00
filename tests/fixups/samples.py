"""Containers made by the programs and libraries that make them in the field."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence

from lz4.block import compress as lz4_block
from lz4.frame import LZ4FrameDecompressor
from lz4.frame import compress as lz4_compress

from graft.formats.zstd import zstd_module
from graft.kernel import Table

zstd = zstd_module()

OLD = b"0123456789abcdfghijklmnpqrsvwxyz-openssl-3.0.14"
NEW = b"zv5i4c9wjjllpnyrj27zl2j0wkk8x1nk-openssl-3.0.15"  # not OLD reversed
TABLE = Table([(OLD, NEW)])
BACK = Table([(NEW, OLD)])

Files = Sequence[tuple[str, bytes]]


def grafted(data: bytes) -> bytes:
    return data.replace(OLD, NEW)


def text(lines: int = 40) -> bytes:
    """A reference between lines that a compressor can do something with."""
    some = b"".join(b"line %d of some text\n" % (n * n % 97) for n in range(lines))
    return some + b"/nix/store/" + OLD + b"/lib/libssl.so\n" + some


def tar(files: Files, *, form: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def zipped(files: Files, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, method)
    return stream.getvalue()


def ar(files: Files) -> bytes:
    pieces = [b"!<arch>\n"]
    for name, data in files:
        head = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name.encode(), 0, 0, 0, 0o644, len(data))
        pieces += [head, data, b"\n" * (len(data) % 2)]
    return b"".join(pieces)


def cpio(files: Files, *, sums: bool = False) -> bytes:
    """As the kernel's gen_init_cpio, but for symlinks: there, names end with @."""
    pieces = []
    for inode, (name, data) in enumerate([*files, ("TRAILER!!!", b"")]):
        link = name.endswith("@")
        mode = 0 if name == "TRAILER!!!" else 0o120777 if link else 0o100644
        path = name.rstrip("@").encode() + b"\0"
        numbers = (inode, mode, 0, 0, 1, 1, len(data), 0, 0, 0, 0, len(path))
        total = sum(data) if sums and not link else 0
        head = (b"070702" if sums else b"070701") + b"".join(b"%08X" % n for n in (*numbers, total))
        pieces += [head, path, bytes(-(len(head) + len(path)) % 4), data, bytes(-len(data) % 4)]
    return b"".join(pieces)


def lz4_legacy(data: bytes) -> bytes:
    block = bytes(lz4_block(data, store_size=False))
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + block


def gvdb(values: Mapping[bytes, bytes]) -> bytes:
    """One table, its hashes as GLib computes them."""
    head = 24 + 8 + 4 + 24 * len(values)
    items, rest = [], b""
    for key, value in values.items():
        number = 5381
        for byte in key:
            number = (number * 33 + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
        key_at = head + len(rest)
        rest += key + bytes(-len(key) % 8)
        at = head + len(rest)
        end = at + len(value)
        item = (number, 0xFFFFFFFF, key_at, len(key), b"v", at, end)
        items.append(struct.pack("<IIIHcxII", *item))
        rest += value + bytes(-len(value) % 8)
    table = struct.pack("<III", 0, 1, 0) + b"".join(items)
    return b"GVariant" + struct.pack("<IIII", 0, 0, 24, head) + table + rest


def cdb(values: Mapping[bytes, bytes]) -> bytes:
    records = b"".join(
        struct.pack("<II", len(key), len(value)) + key + value for key, value in values.items()
    )
    tables: list[list[tuple[int, int]]] = [[] for _ in range(256)]
    at = 2048
    for key, value in values.items():
        number = 5381
        for byte in key:
            number = ((number << 5) + number & 0xFFFFFFFF) ^ byte
        tables[number % 256].append((number, at))
        at += 8 + len(key) + len(value)
    head, rest = b"", b""
    for table in tables:
        slots = [(0, 0)] * (2 * len(table))
        for number, record in table:
            slot = (number >> 8) % len(slots)
            while slots[slot][1]:
                slot = (slot + 1) % len(slots)
            slots[slot] = number, record
        head += struct.pack("<II", 2048 + len(records) + len(rest), len(slots))
        rest += b"".join(struct.pack("<II", *slot) for slot in slots)
    return head + records + rest


def beam(chunks: Mapping[bytes, bytes]) -> bytes:
    """A module as `erlc` up to OTP 27 makes it, its literals compressed."""
    body = b"BEAM"
    for kind, chunk in chunks.items():
        packed = chunk
        if kind == b"LitT":
            packed = struct.pack(">I", len(chunk)) + zlib.compress(chunk)
        body += kind + struct.pack(">I", len(packed)) + packed + bytes(-len(packed) % 4)
    return b"FOR1" + struct.pack(">I", len(body)) + body


def sbcl_core(data: bytes, *, compressed: bool = False) -> bytes:
    """With one space."""
    entry = (1 | 8 * compressed, len(data) // 8, 1, 0x50000000, 1)
    head = b"LCBS\0\0\0\0" + struct.pack("<7Q", 3861, 7, *entry) + struct.pack("<QQ", 3840, 2)
    return head.ljust(32768, b"\0") + data


def pe(sections: Mapping[bytes, bytes], *, signed: bool = False) -> bytes:
    """A 64-bit program, as much of it as says what it is."""
    optional = bytearray(112 + 8 * 16)
    optional[:2] = b"\x0b\x02"
    optional[108:112] = struct.pack("<I", 16)
    if signed:
        optional[112 + 8 * 4 : 112 + 8 * 5] = struct.pack("<II", 0x1000, 8)
    table, rest = b"", b""
    at = 64 + 24 + len(optional) + 40 * len(sections)
    for name, data in sections.items():
        sizes = struct.pack("<IIII", len(data), 0x1000, len(data), at + len(rest))
        table += name.ljust(8, b"\0") + sizes + bytes(16)
        rest += data
    head = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22)
    return head + optional + table + rest


def oci_layout(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """An image with one layer, as a directory."""
    layer = gzip.compress(tar(list(files.items())), mtime=0)
    blobs = {hashlib.sha256(layer).hexdigest(): layer}
    descriptor = {"digest": f"sha256:{next(iter(blobs))}", "size": len(layer)}
    manifest = json.dumps({"schemaVersion": 2, "layers": [descriptor]}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    blobs[digest] = manifest
    index = json.dumps({"manifests": [{"digest": f"sha256:{digest}", "size": len(manifest)}]})
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": index.encode(),
        **{f"blobs/sha256/{name}": data for name, data in blobs.items()},
    }


COMPRESSORS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": (".gz", lambda data: gzip.compress(data, 9, mtime=0)),
    "bzip2": (".bz2", bz2.compress),
    "xz": (".xz", lzma.compress),
    "zstd": (".zst", zstd.compress),
    "lz4": (".lz4", lz4_compress),
}
ARCHIVES: dict[str, tuple[str, Callable[[Files], bytes]]] = {
    "tar": (".tar", tar),
    "zip": (".zip", zipped),
    "ar": (".a", ar),
    "initrd": (".cpio", cpio),
}


def unpacked(data: bytes) -> object:
    """Everything inside, by the libraries and not by graft: bytes, or (name, contents) pairs."""
    for magic, decompress in (
        (b"\x1f\x8b", gzip.decompress),
        (b"BZh", bz2.decompress),
        (b"\xfd7zXZ", lzma.decompress),
        (b"\x28\xb5\x2f\xfd", zstd.decompress),
        (b"\x04\x22\x4d\x18", _lz4_frames),
    ):
        if data.startswith(magic):
            return unpacked(decompress(data))
    if data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return [
                (
                    member.name,
                    unpacked(file.read()) if (file := archive.extractfile(member)) else b"",
                )
                for member in archive
            ]
    if data.startswith(b"PK\3\4"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return [(name, unpacked(archive.read(name))) for name in archive.namelist()]
    if data.startswith(b"!<arch>\n"):
        return _unpacked_ar(data)
    if data.startswith(b"07070"):
        return _unpacked_cpio(data)
    return data


def _lz4_frames(data: bytes) -> bytes:
    pieces = []
    while data:
        frame = LZ4FrameDecompressor()
        pieces.append(bytes(frame.decompress(data)))
        data = frame.unused_data or b""
    return b"".join(pieces)


def _unpacked_ar(data: bytes) -> object:
    at, members = 8, []
    while at < len(data):
        length = int(data[at + 48 : at + 58])
        members.append((data[at : at + 16], unpacked(data[at + 60 : at + 60 + length])))
        at += 60 + length + length % 2
    return members


def _unpacked_cpio(data: bytes) -> object:
    at, members = 0, []
    while True:
        assert at % 4 == 0
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 109 + fields[11]]
        start = at + 110 + fields[11] + -(110 + fields[11]) % 4
        contents = data[start : start + fields[6]]
        if data.startswith(b"070702", at):
            assert fields[12] == sum(contents)
        members.append((name, unpacked(contents)))
        at = start + fields[6] + -fields[6] % 4
        if name == b"TRAILER!!!":
            break
    rest = data[at:].lstrip(b"\0")
    return [members, unpacked(rest)] if rest else members
