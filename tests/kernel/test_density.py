"""Density: packed and encrypted bytes are told from all others, natively as by reference."""

from __future__ import annotations

import base64
import lzma
import os
import random
import sys
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft import kernel
from graft.kernel.density import ReferenceDensity, is_dense
from graft.kernel.tree import Suspicion, read_tree

LARGE = 1 << 20
TEXT = b"/nix/store/q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6-lib-1.0/lib/liba.so is a text\n"


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [50, 80, 256, 1000, 4096, 100_000, LARGE + 5000])
def test_packed_bytes_are_dense(size: int) -> None:
    assert is_dense(noise(size))


def test_a_packed_part_of_a_file_is_dense() -> None:
    assert is_dense(TEXT * 1000 + noise(2048) + TEXT * 1000)
    assert is_dense(TEXT * 20_000 + noise(100_000) + TEXT * 20_000)


def test_little_of_a_large_file_is_not_told() -> None:
    assert not is_dense(TEXT * 20_000 + noise(2048))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        noise(39),
        TEXT * 100,
        base64.b64encode(noise(5000)),
        noise(5000).hex().encode(),
        bytes(range(256)) * 8,
        "中文字符在这里没有压缩过的内容".encode() * 50,
        bytes(100_000),
    ],
    ids=["none", "short", "text", "base64", "hex", "table", "chinese", "zeros"],
)
def test_what_is_not_packed_is_not_dense(data: bytes) -> None:
    assert not is_dense(data)


def test_a_program_is_packed_if_most_of_it_is() -> None:
    program = TEXT * 100 + noise(4096)
    assert is_dense(program)
    assert not is_dense(program, mostly=True)
    # Tables of hashes in a real program are dense, so a part of it would be told.
    assert not is_dense(Path(sys.executable).resolve().read_bytes(), mostly=True)
    assert is_dense(TEXT + noise(100_000), mostly=True)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=600),
            st.integers(0, 3000).map(noise),
            st.integers(0, 60).map(lambda count: TEXT * count),
            st.integers(0, 3000).map(bytes),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_the_native_measure_is_the_reference(pieces: list[bytes], mostly: bool) -> None:
    data = b"".join(pieces)
    assert is_dense(data, mostly=mostly) == ReferenceDensity(data).is_dense(mostly=mostly)


@pytest.mark.parametrize("window", [1000, 1 << 20])
@pytest.mark.parametrize("native", [True, False])
def test_a_walk_tells_dense_files(tmp_path: Path, window: int, native: bool) -> None:
    (tmp_path / "packed").write_bytes(lzma.compress(os.urandom(3000)))
    (tmp_path / "short").write_bytes(noise(200))
    (tmp_path / "large").write_bytes(noise(LARGE + 1))
    (tmp_path / "text").write_bytes(TEXT * 30)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "program").write_bytes(b"\x7fELF" + TEXT * 100 + noise(3000))
    (tmp_path / "packed-program").write_bytes(b"\x7fELF" + TEXT + noise(30_000))
    suspicion = Suspicion(None, (b"\x7fELF",), density=True)
    with mock.patch.object(kernel, "native", kernel.native if native else None):
        report = read_tree(tmp_path, suspicions=[suspicion], window=window)
    assert report.dense == (b"large", b"packed", b"packed-program", b"short")
    assert not report.suspects
    assert not report.streamed
