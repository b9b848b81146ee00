"""Compressed layers, as many programs write them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import lz4.frame

from graft.formats.zstd import zstd_module
from tests.jobs.layers.layer import Layer, Make, Reference, require

_LEAST = 64  # bytes that a stream holds: one of less than 32 is not looked into


def _pieces(data: bytes, count: int) -> list[bytes]:
    size = max(-(-len(data) // count), _LEAST)
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def _layer(name: str, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]) -> Layer:
    def wrap(data: bytes, reference: Reference) -> bytes:
        del reference
        return pack(data)

    def peel(data: bytes, reference: Reference) -> bytes:
        del reference
        return unpack(data)

    return Layer(name, wrap, peel, hides="packed")


def _gzip(choice: random.Random) -> Layer:
    level, members = choice.choice((1, 6, 9)), choice.choice((1, 1, 1, 2, 3))
    name, time = choice.choice(("", "", "a name")), choice.choice((0, 1, 1_700_000_000))

    def pack(data: bytes) -> bytes:
        packed = io.BytesIO()
        for piece in _pieces(data, members):
            with gzip.GzipFile(name, "wb", level, packed, time) as stream:
                stream.write(piece)
        return packed.getvalue()

    return _layer(f"gzip(-{level} members={members} name={name!r})", pack, gzip.decompress)


def _unzlib(data: bytes, dictionary: bytes = b"") -> bytes:
    stream = zlib.decompressobj(zdict=dictionary) if dictionary else zlib.decompressobj()
    contents = stream.decompress(data)
    require(stream.eof and not stream.unused_data, "the zlib stream does not end")
    return contents


def _zlib(choice: random.Random) -> Layer:
    level = choice.choice((0, 1, 6, 9))
    strategy = choice.choice((zlib.Z_DEFAULT_STRATEGY, zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED))
    window = choice.choice((15, 15, 15, 15, 9, 12))

    def pack(data: bytes) -> bytes:
        stream = zlib.compressobj(level, zlib.DEFLATED, window, 8, strategy)
        return stream.compress(data) + stream.flush()

    layer = _layer(f"zlib(-{level} strategy={strategy} window={window})", pack, _unzlib)
    return replace(layer, begins=window == 15)


def _bzip2(choice: random.Random) -> Layer:
    level, streams = choice.choice((1, 9)), choice.choice((1, 1, 1, 2))

    def pack(data: bytes) -> bytes:
        return b"".join(bz2.compress(piece, level) for piece in _pieces(data, streams))

    return _layer(f"bzip2(-{level} streams={streams})", pack, bz2.decompress)


_CHECKS = (lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_CRC64, lzma.CHECK_SHA256, lzma.CHECK_NONE)


def _xz(choice: random.Random) -> Layer:
    preset, check = choice.choice((0, 1)), choice.choice(_CHECKS)
    streams, padding = choice.choice((1, 1, 1, 2)), choice.choice((0, 0, 0, 4, 8))
    filters: list[dict[str, int]] | None = choice.choice(
        (
            *(None, None, None),
            [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": preset}],
            [{"id": lzma.FILTER_DELTA, "dist": 4}, {"id": lzma.FILTER_LZMA2, "preset": preset}],
        )
    )

    def pack(data: bytes) -> bytes:
        packed = (
            lzma.compress(piece, lzma.FORMAT_XZ, check, None if filters else preset, filters)
            for piece in _pieces(data, streams)
        )
        return b"".join(piece + bytes(padding) for piece in packed)

    name = f"xz(-{preset} check={check} streams={streams} padding={padding}"
    return _layer(f"{name} filters={len(filters or [])})", pack, _unxz)


def _unxz(data: bytes) -> bytes:
    contents = b""
    while data:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        contents += stream.decompress(data)
        require(stream.eof, "the xz stream does not end")
        rest = stream.unused_data.lstrip(b"\0")
        require((len(stream.unused_data) - len(rest)) % 4 == 0, "the padding of xz is wrong")
        data = rest
    return contents


def _lzma(choice: random.Random) -> Layer:
    preset = choice.choice((0, 1, 6))

    def unpack(data: bytes) -> bytes:
        stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
        contents = stream.decompress(data)
        require(stream.eof and not stream.unused_data, "the lzma stream does not end")
        return contents

    pack = partial(lzma.compress, format=lzma.FORMAT_ALONE, preset=preset)
    return _layer(f"lzma(-{preset})", pack, unpack)


def _zstd(choice: random.Random) -> Layer:
    zstd = zstd_module()
    level, frames = choice.choice((1, 3, 10)), choice.choice((1, 1, 1, 2, 3))
    sized, summed = choice.random() < 0.5, choice.random() < 0.5
    skipped = choice.random() < 0.15
    options = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.content_size_flag: int(sized),
        zstd.CompressionParameter.checksum_flag: int(summed),
    }

    def pack(data: bytes) -> bytes:
        packed = [b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little") + b"a frame!"] if skipped else []
        for piece in _pieces(data, frames):
            stream = zstd.ZstdCompressor(options=options)
            if sized:
                stream.set_pledged_input_size(len(piece))
            packed.append(stream.compress(piece, zstd.ZstdCompressor.FLUSH_FRAME))
        return b"".join(packed)

    name = f"zstd(-{level} frames={frames} sized={sized} summed={summed} skipped={skipped})"
    return replace(_layer(name, pack, zstd.decompress), begins=not skipped)


def _lz4_frame(choice: random.Random) -> Layer:
    block = choice.choice((lz4.frame.BLOCKSIZE_MAX64KB, lz4.frame.BLOCKSIZE_MAX4MB))
    linked, sized = choice.random() < 0.5, choice.random() < 0.5
    summed, level = choice.random() < 0.5, choice.choice((0, 9))

    def pack(data: bytes) -> bytes:
        packed = lz4.frame.compress(
            data,
            compression_level=level,
            block_size=block,
            block_linked=linked,
            content_checksum=summed,
            block_checksum=summed and linked,
            store_size=sized,
        )
        return bytes(packed)

    def unpack(data: bytes) -> bytes:
        contents, read = lz4.frame.decompress(data, return_bytes_read=True)
        require(read == len(data), "bytes stand behind the lz4 frame")
        return bytes(contents)

    return _layer(f"lz4(-{level} linked={linked} summed={summed} sized={sized})", pack, unpack)


COMPRESSIONS: tuple[Make, ...] = (
    *(_gzip, _gzip, _zlib, _zlib, _bzip2, _xz, _lzma, _zstd, _zstd, _lz4_frame),
)
"""All of them have a magic: a raw block of LZ4 or of deflate is seen only if it is dense."""
