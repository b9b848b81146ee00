"""Beginnings of streams: found at any offset, and nearly nowhere else; natively as by reference."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.zstd import zstd_module
from graft.kernel import native
from graft.kernel.streams import KINDS, find_by_reference, find_streams

TEXT = b"/nix/store/q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6-lib-1.0/lib/liba.so " * 3


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", data)
    return file.getvalue()


def cpio(data: bytes) -> bytes:
    fields = [1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, 2, 0]
    return b"070701" + b"".join(b"%08x" % field for field in fields) + b"a\0" + data


def ar(data: bytes) -> bytes:
    return (
        b"!<arch>\n" + b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (b"a/", 0, 0, 0, 0o644, len(data)) + data
    )


def raw_window(bits: int) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, bits)
        return packer.compress(data) + packer.flush()

    return compress


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip-1": ("gzip", lambda data: gzip.compress(data, 1)),
    "zlib": ("zlib", zlib.compress),
    "zlib-0": ("zlib", lambda data: zlib.compress(data, 0)),
    "zlib-1": ("zlib", lambda data: zlib.compress(data, 1)),
    "zlib-9": ("zlib", lambda data: zlib.compress(data, 9)),
    **{f"zlib-window-{bits}": ("zlib", raw_window(bits)) for bits in range(9, 15)},
    "xz": ("xz", lzma.compress),
    "lzma": ("lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
    "bzip2": ("bzip2", bz2.compress),
    "zstd": ("zstd", lambda data: bytes(zstd_module().compress(data))),
    "lz4": ("lz4", lz4.frame.compress),
    "zip": ("zip", zipped),
    "cpio": ("cpio", cpio),
    "ar": ("ar", ar),
}


def by_every_kernel(data: bytes, *, final: bool = True) -> list[tuple[int, int]]:
    found = find_by_reference(data, final)
    if native is not None:
        assert native.find_streams(data, final) == found
    return found


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("before", [0, 1, 31, 32, 4095])
def test_a_stream_is_found_at_any_offset(packer: str, before: int) -> None:
    kind, pack = PACKERS[packer]
    data = b"#" * before + pack(TEXT) + b"behind"
    assert (before, KINDS.index(kind)) in by_every_kernel(data)


@given(
    st.binary(min_size=32, max_size=2000), st.sampled_from(sorted(PACKERS)), st.binary(max_size=99)
)
def test_whatever_is_packed_it_is_found(data: bytes, packer: str, before: bytes) -> None:
    kind, pack = PACKERS[packer]
    assert (len(before), KINDS.index(kind)) in by_every_kernel(before + pack(data))


@given(st.binary(max_size=600), st.booleans())
def test_the_kernels_agree_on_any_bytes(data: bytes, final: bool) -> None:
    by_every_kernel(data, final=final)


_HEADS = [pack(TEXT)[:64] for _, pack in PACKERS.values()]


@given(
    st.lists(st.one_of(st.sampled_from(_HEADS), st.binary(max_size=40)), max_size=8), st.booleans()
)
def test_the_kernels_agree_on_damaged_heads(pieces: list[bytes], final: bool) -> None:
    by_every_kernel(b"".join(pieces), final=final)


_ZLIB_HEADS = [
    bytes([first, second])
    for first in range(8, 0x80, 16)
    for second in range(256)
    if (first * 256 + second) % 31 == 0 and not second & 0x20
]
_DEFLATED = st.one_of(
    st.binary(min_size=8, max_size=40),
    st.tuples(st.sampled_from([2, 3]), st.binary(max_size=40)).map(  # the fixed code
        lambda piece: bytes([piece[0] | 0x48]) + piece[1]
    ),
    st.integers(0, 9).map(lambda level: zlib.compress(TEXT, level)[2:30]),
    st.integers(0, 300).map(
        lambda size: bytes([1, size & 255, size >> 8, ~size & 255, ~size >> 8 & 255])
    ),
)


@given(st.lists(st.tuples(st.sampled_from(_ZLIB_HEADS), _DEFLATED), min_size=2, max_size=8))
def test_the_kernels_agree_on_heads_of_zlib(pieces: list[tuple[bytes, bytes]]) -> None:
    by_every_kernel(b"".join(head + deflated for head, deflated in pieces) + bytes(64))


@pytest.mark.parametrize("packer", PACKERS)
def test_a_stream_that_breaks_off_in_a_window_is_found(packer: str) -> None:
    kind, pack = PACKERS[packer]
    packed = pack(TEXT)
    for size in range(1, len(packed) + 1):
        found = by_every_kernel(packed[:size], final=False)
        assert (0, KINDS.index(kind)) in found, size


def test_random_bytes_have_nearly_none() -> None:
    data = random.Random(7).randbytes(1 << 22)
    assert len(find_streams(data)) <= 4


@pytest.mark.skipif(native is None, reason="the reference takes minutes for it")
def test_programs_have_nearly_none_that_cannot_be_opened() -> None:
    wrong = total = 0
    for file in sorted(Path("/usr/lib").rglob("lib*.so*"))[:150]:
        if not file.is_file():
            continue
        data = file.read_bytes()
        total += len(data)
        for found in find_streams(data):
            if found.kind == "zlib":
                try:
                    zlib.decompressobj().decompress(data[found.offset :], 1 << 20)
                except zlib.error:
                    wrong += 1
    assert wrong <= total // 50_000_000 + 1, f"{wrong} in {total} bytes"


def test_an_empty_stream_is_of_no_interest() -> None:
    assert find_streams(zlib.compress(b"")) == []
    assert find_streams(zlib.compress(b"short")) == []


def test_an_end_record_counts_where_its_directory_can_be_in_front_of_it() -> None:
    end = zipped(TEXT)[-22:]
    assert find_streams(end) == []
    assert [found.kind for found in find_streams(zipped(TEXT))] == ["zip", "zip-end"]


def test_large_data_is_searched_in_both_loops_alike() -> None:
    packed = zlib.compress(TEXT)
    data = bytearray(os.urandom(1000))
    for offset in range(900, 1000):
        whole = bytes(data[:offset]) + packed
        assert (offset, KINDS.index("zlib")) in by_every_kernel(whole)
