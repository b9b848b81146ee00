"""Headers of ELF files: held against pyelftools, and in files that lie or are cut."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.elf.headers import ElfHeaders

_PROGRAM = os.path.realpath(sys.executable)


def headers(data: bytes) -> ElfHeaders | None:
    return ElfHeaders.open(lambda at, size: data[at : at + size])


@pytest.fixture(scope="module")
def program() -> bytes:
    with open(_PROGRAM, "rb") as file:
        return file.read()


def test_headers_and_names_are_those_that_pyelftools_reads(program: bytes) -> None:
    found = headers(program)
    assert found is not None
    with open(_PROGRAM, "rb") as file:
        elf: Any = ELFFile(file)
        assert len(found.section_headers) == elf.num_sections() > 20
        for mine, section in zip(found.section_headers, elf.iter_sections(), strict=True):
            assert found.section_name(mine).decode() == section.name
            assert (mine.offset, mine.size, mine.address, mine.link) == tuple(
                section[name] for name in ("sh_offset", "sh_size", "sh_addr", "sh_link")
            )
        assert len(found.program_headers) == elf.num_segments()
        for header, segment in zip(found.program_headers, elf.iter_segments(), strict=True):
            assert (header.offset, header.address, header.size, header.flags) == tuple(
                segment[name] for name in ("p_offset", "p_vaddr", "p_filesz", "p_flags")
            )


def test_the_place_of_a_size_holds_it(program: bytes) -> None:
    found = headers(program)
    assert found is not None
    for index, section in enumerate(found.section_headers):
        at = found.size_place(index)
        assert int.from_bytes(program[at : at + 8], "little") == section.size


def test_of_a_file_that_is_cut_the_headers_that_are_left_are_read(program: bytes) -> None:
    whole = headers(program)
    assert whole is not None
    end = whole.sections.offset + 3 * whole.sections.entry_size + 1
    cut = headers(program[:end])
    assert cut is not None
    assert cut.section_headers == whole.section_headers[:3]
    assert cut.sections.entries == len(whole.section_headers)


def test_headers_of_another_size_are_none(program: bytes) -> None:
    for place, name in ((54, "program_headers"), (58, "section_headers")):
        found = headers(program[:place] + b"\x39\0" + program[place + 2 :])
        assert found is not None
        assert getattr(found, name) == []


def test_an_offset_beyond_any_file_is_not_read(program: bytes) -> None:
    lying = program[:40] + b"\xff" * 8 + program[48:]
    asked: list[int] = []

    def read(at: int, size: int) -> bytes:
        asked.append(at)
        return lying[at : at + size]

    found = ElfHeaders.open(read)
    assert found is not None
    assert found.section_headers == []
    assert asked == [0]


@given(place=st.integers(4, 63), value=st.integers(0, 255), end=st.integers(0, 200))
def test_whatever_the_first_header_says_is_no_error(
    program: bytes, place: int, value: int, end: int
) -> None:
    data = bytearray(program[: len(program) - end] if end > 100 else program[: 64 * end])
    if place < len(data):
        data[place] = value
    found = headers(bytes(data))
    if found is not None:
        assert len(found.program_headers) <= found.programs.entries
        assert all(len(found.section_name(one)) <= 4096 for one in found.section_headers[:50])
