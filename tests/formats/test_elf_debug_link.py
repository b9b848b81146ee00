"""Sections that name detached symbols, in files that are whole and that are not."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.elf.debug_link import DebugLink, debug_link
from tests.detached_symbols import with_detached_symbols


def read(data: bytes) -> DebugLink | None:
    return debug_link(lambda at, size: data[at : at + size])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    return with_detached_symbols("/nix/store/x", tmp_path_factory.mktemp("made"))


@pytest.mark.slow
@pytest.mark.needs("gcc", "objcopy")
def test_the_sum_and_the_name_are_those_of_the_detached_file(made: tuple[bytes, bytes]) -> None:
    program, debug = made
    link = read(program)
    assert link is not None
    assert (link.name, link.crc, link.order) == (b"tool.debug", zlib.crc32(debug), "little")
    assert program[link.offset :].startswith(link.crc.to_bytes(4, "little"))
    assert read(debug) is None


@pytest.mark.slow
@pytest.mark.needs("gcc", "objcopy")
@given(
    place=st.one_of(st.integers(4, 63), st.integers(-4000, -1)),  # headers are at both ends
    value=st.integers(0, 255),
    cut=st.one_of(st.just(0), st.integers(0, 20_000)),
)
def test_headers_that_lie_are_no_section(
    made: tuple[bytes, bytes], place: int, value: int, cut: int
) -> None:
    program = bytearray(made[0])
    program[place] = value
    end = max(0, len(program) - cut)
    link = read(bytes(program[:end]))
    assert link is None or len(link.name) <= 4096


def test_what_is_no_elf_file_has_none() -> None:
    assert read(b"") is None
    assert read(b"#!/bin/sh\n" + bytes(100)) is None
