"""A sieve tells the same of bytes in memory as a walk of a file, natively as by reference."""

from __future__ import annotations

import gc
import gzip
import random
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft import kernel
from graft.kernel import Table
from graft.kernel.anchors import make_anchors
from graft.kernel.sieve import (
    DENSE,
    STANDS,
    STREAMED,
    SUSPECTED,
    ReferenceSieve,
    Sieve,
    make_sieve,
)
from graft.kernel.tree import Suspicion, read_tree

HASH = b"q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6"
TEXT = b"a text of no hash part, no word and no stream\n"
NOISE = random.Random(1).randbytes(3000)
PIECES = [TEXT, HASH, b"mystring", b"codeword", b"\x7fELF", NOISE, gzip.compress(TEXT * 2), b"."]


def suspicions() -> list[Suspicion]:
    return [
        Suspicion(make_anchors([b"mystring"], 1)),
        Suspicion(make_anchors([b"codeword"], 1), (b"\x7fELF",)),
        Suspicion(None),
        Suspicion(None, (b"\x7fELF",), density=True),
    ]


def sieves() -> list[Sieve]:
    table = Table([(HASH, None)])
    return [make_sieve(table, suspicions()), ReferenceSieve(table, suspicions())]


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        (b"", 0),
        (TEXT * 9, 0),
        (TEXT + HASH, STANDS),
        (TEXT + b"mystring", SUSPECTED),
        (TEXT + b"codeword", 0),
        (b"\x7fELF" + TEXT + b"codeword", SUSPECTED),
        (TEXT + gzip.compress(TEXT * 2) + TEXT * 9, STREAMED),
        (TEXT + NOISE, DENSE),
        (b"\x7fELF" + NOISE, DENSE),
        (b"\x7fELF" + TEXT * 100 + NOISE, 0),
    ],
)
def test_a_sieve_tells_each_kind(data: bytes, flags: int) -> None:
    assert [sieve.find(data) for sieve in sieves()] == [flags, flags]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
def test_the_native_sieve_is_the_reference_and_the_walk(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("sieve") / "file"
    file.write_bytes(data)
    native, reference = (sieve.find(data) for sieve in sieves())
    assert native == reference
    assert native == _walked(file)


def _walked(file: Path) -> int:
    table = Table([(HASH, None)])
    report = read_tree(file, wanted=table, suspicions=suspicions())
    flags = STANDS if report.seen else 0
    flags |= SUSPECTED if report.suspects else 0
    flags |= STREAMED if report.streamed else 0
    return flags | (DENSE if report.dense else 0)


def test_a_sieve_keeps_what_it_was_made_of() -> None:
    sieve = make_sieve(Table([(HASH, None)]), suspicions())
    gc.collect()
    assert sieve.find(b"\x7fELF codeword " + HASH) == STANDS | SUSPECTED


def test_a_sieve_refuses_what_is_no_table() -> None:
    if kernel.native is None:
        pytest.skip("the native kernel was not built")
    with pytest.raises(TypeError):
        kernel.native.Sieve(None, ())
    with pytest.raises(ValueError, match="suspicions"):
        kernel.native.Sieve(Table([(HASH, None)]), [])


def test_without_the_native_kernel_the_reference_is_asked() -> None:
    with mock.patch.object(kernel, "native", None):
        assert isinstance(make_sieve(Table([]), ()), ReferenceSieve)
