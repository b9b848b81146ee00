"""Compressed streams: read in pieces and bounded, whatever wrote them; damaged ones are errors."""

from __future__ import annotations

import io
import os
import random
import subprocess
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError, UsageError
from graft.formats.compression import CompressingWriter, DecompressingReader
from graft.formats.compression_levels import LEVELS

COMPRESSED = [name for name in LEVELS if name != "none"]
TEXT = b"".join(b"%d and some text\n" % number for number in range(2000))


def _compress(
    data: bytes, compression: str, *, piece: int = 1000, level: int | None = None, threads: int = 1
) -> bytes:
    out = io.BytesIO()
    writer = CompressingWriter(out.write, compression, level=level, threads=threads)
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
    writer.finish()
    return out.getvalue()


def _expand(
    data: bytes, compression: str, *, limit: int | None = None, size: int = 4096, most: int = 65536
) -> bytes:
    """What a stream expands to, read into buffers of a size from pieces of at most some bytes."""
    source = io.BytesIO(data)
    reader = DecompressingReader(
        lambda view: source.readinto(view[:most]),
        compression,
        limit=len(TEXT) * 2 if limit is None else limit,
    )
    out = bytearray()
    buffer = memoryview(bytearray(size))
    while read := reader.readinto(buffer):
        out += buffer[:read]
    assert reader.readinto(buffer) == 0
    return bytes(out)


@pytest.mark.parametrize("compression", LEVELS)
@given(
    data=st.binary(max_size=3000) | st.sampled_from([b"", b"a" * 100_000, TEXT]),
    size=st.sampled_from([1000, 100_000]),
    most=st.sampled_from([7, 100_000]),
    limit=st.none() | st.just(0),
)
def test_every_stream_is_read_back(
    compression: str, data: bytes, size: int, most: int, limit: int | None
) -> None:
    limit = len(data) if limit is None else 10**6
    compressed = _compress(data, compression)
    assert _expand(compressed, compression, limit=limit, size=size, most=most) == data


@pytest.mark.parametrize("compression", LEVELS)
def test_one_byte_at_a_time_is_as_good(compression: str) -> None:
    data = TEXT[:5000]
    assert _expand(_compress(data, compression, piece=1), compression, size=1, most=1) == data


@pytest.mark.parametrize("compression", LEVELS)
def test_a_stream_that_expands_to_more_than_it_may_is_an_error(compression: str) -> None:
    compressed = _compress(TEXT, compression)
    assert _expand(compressed, compression, limit=len(TEXT)) == TEXT
    for limit in (0, 1, len(TEXT) - 1):
        with pytest.raises(BadFormatError, match="more bytes than it may"):
            _expand(compressed, compression, limit=limit)


@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_stream_that_is_cut_anywhere_is_an_error(compression: str) -> None:
    compressed = _compress(TEXT[:300], compression)
    for end in range(len(compressed)):
        with pytest.raises(BadFormatError, match=f"{compression} stream: it is cut"):
            _expand(compressed[:end], compression)


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("extra", [b"\0", b"x", b"garbage " * 10_000, bytes(100_000)])
def test_what_follows_a_stream_is_an_error(compression: str, extra: bytes) -> None:
    with pytest.raises(BadFormatError, match=f"{compression} stream"):
        _expand(_compress(TEXT, compression) + extra, compression)


@pytest.mark.parametrize("compression", COMPRESSED)
def test_several_streams_are_one(compression: str) -> None:
    streams = _compress(b"", compression) + _compress(TEXT, compression) * 2
    for most in (5, 1_000_000):
        assert _expand(streams, compression, most=most) == TEXT * 2


@pytest.mark.parametrize("compression", COMPRESSED)
@given(data=st.binary(max_size=200), keep=st.integers(0, 40))
def test_any_bytes_are_a_stream_or_a_typed_error(compression: str, data: bytes, keep: int) -> None:
    try:
        _expand(_compress(TEXT, compression)[:keep] + data, compression)
    except BadFormatError as error:
        message = error.message
    else:
        return
    assert message.startswith(f"{compression} stream: ")
    assert message.isprintable()


@pytest.mark.parametrize("compression", ["xz", "bzip2", "gzip"])
def test_a_changed_byte_is_an_error_where_there_is_a_checksum(compression: str) -> None:
    compressed = bytearray(_compress(TEXT, compression))
    compressed[len(compressed) // 2] ^= 0x55
    with pytest.raises(BadFormatError):
        _expand(bytes(compressed), compression)


@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_bomb_takes_no_memory(compression: str) -> None:
    bomb = _compress(bytes(1 << 25), compression, piece=1 << 20)
    assert len(bomb) < 100_000
    source = io.BytesIO(bomb)
    buffer = memoryview(bytearray(65536))
    with pytest.raises(BadFormatError):
        _expand(b"x", compression)  # loads what is loaded late
    tracemalloc.start()
    reader = DecompressingReader(source.readinto, compression, limit=1 << 30)
    while reader.readinto(buffer):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20  # 8 MiB of it are the window of xz


@pytest.mark.needs("xz")
def test_a_window_that_is_too_large_is_an_error() -> None:
    large = subprocess.run(
        ["xz", "--lzma2=dict=512MiB"], input=b"x", capture_output=True, check=True
    )
    with pytest.raises(BadFormatError, match="xz stream: memory usage limit exceeded"):
        _expand(large.stdout, "xz")


@pytest.mark.parametrize("compression", COMPRESSED)
def test_the_bytes_depend_on_nothing_but_data_and_level(compression: str) -> None:
    levels = LEVELS[compression]
    for level in (levels[0], levels[4], None):
        first = _compress(TEXT, compression, piece=100_000, level=level)
        assert _compress(TEXT, compression, piece=77, level=level) == first
    assert _compress(TEXT, compression, level=levels[0]) != _compress(TEXT, compression, level=5)


# At level 1 zstd gives 2 MiB to a thread, at level 3 8 MiB.
@pytest.mark.parametrize("level", [1, 3])
@pytest.mark.parametrize("size", [0, 1, 1 << 21, (1 << 23) + 1, 40_000_000])
def test_the_number_of_threads_does_not_change_the_bytes(size: int, level: int) -> None:
    data = (random.Random(1).randbytes(1 << 20) * 40)[:size]
    one = _compress(data, "zstd", piece=1 << 20, level=level)
    for threads, piece in ((2, 1 << 18), (3, 20_000_000), (4, 70_001)):
        assert _compress(data, "zstd", piece=piece, level=level, threads=threads) == one
    assert _expand(one, "zstd", limit=size, size=1 << 20) == data


@pytest.mark.parametrize("end", [CompressingWriter.finish, CompressingWriter.close])
def test_no_thread_outlives_its_stream(end: Callable[[CompressingWriter], None]) -> None:
    before = set(os.listdir("/proc/self/task"))  # some of these may be about to end
    writer = CompressingWriter(len, "zstd", threads=3)
    writer.write(bytes(1 << 20))
    new = set(os.listdir("/proc/self/task")) - before
    assert len(new) == 3
    end(writer)
    # The kernel may list a thread for a moment after another one has waited for its end.
    patience = time.monotonic() + 60
    while new & set(os.listdir("/proc/self/task")):
        assert time.monotonic() < patience
        time.sleep(0.001)


def test_what_no_compression_has_is_an_error() -> None:
    with pytest.raises(UsageError, match="not among none, xz"):
        _compress(b"", "br")
    with pytest.raises(BadFormatError, match="'br' cannot be read"):
        _expand(b"", "br")
    with pytest.raises(UsageError, match="from 1 to 22"):
        _compress(b"", "zstd", level=23)
    with pytest.raises(UsageError, match="no level at all"):
        _compress(b"", "none", level=1)
    with pytest.raises(UsageError, match="only zstd"):
        _compress(b"", "xz", threads=2)


@pytest.mark.parametrize(
    ("compression", "program"),
    [
        pytest.param(name, name, marks=pytest.mark.needs(name))
        for name in ("xz", "zstd", "bzip2", "gzip")
    ],
)
def test_the_programs_and_graft_read_each_other(compression: str, program: str) -> None:
    theirs = subprocess.run([program, "-c"], input=TEXT, capture_output=True, check=True).stdout
    assert _expand(theirs, compression) == TEXT
    ours = _compress(TEXT, compression)
    assert _expanded_by(program, ours) == TEXT


@pytest.mark.needs("zstd")
def test_the_program_reads_frame_behind_frame() -> None:
    data = TEXT * 1000  # about 40 MB
    assert _expanded_by("zstd", _compress(data, "zstd", piece=1 << 20)) == data


def _expanded_by(program: str, data: bytes) -> bytes:
    return subprocess.run([program, "-d", "-c"], input=data, capture_output=True, check=True).stdout
