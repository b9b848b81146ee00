"""ELF files read as a loader does: held against pyelftools, and against broken files."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from hypothesis import example, given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.elf.dynamic import Elf, Exports, Imports, read_elf, read_exports, read_imports

_LIBRARIES = sorted(
    {
        os.path.realpath(line.split(" (")[0].split(" => ")[-1].strip())
        for line in subprocess.run(
            ["ldd", os.path.realpath(sys.executable)], capture_output=True, text=True, check=False
        ).stdout.splitlines()
        if "/" in line
    }
    | {os.path.realpath(sys.executable)}
)


def _reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: data[offset : offset + size]


def _read(data: bytes) -> Elf | None:
    return read_elf(_reader(data), len(data))


def _imports(data: bytes) -> Imports:
    return read_imports(_reader(data), len(data))


def _exports(data: bytes) -> Exports:
    return read_exports(_reader(data), len(data))


def _by_pyelftools(file: str) -> tuple[list[bytes], set[bytes], dict[bytes, set[bytes]]]:
    with open(file, "rb") as stream:
        elf: Any = ELFFile(stream)
        dynamic: Any
        (dynamic,) = (one for one in elf.iter_segments() if isinstance(one, DynamicSegment))
        needed = [tag.needed.encode() for tag in dynamic.iter_tags("DT_NEEDED")]
        symbols = list(elf.get_section_by_name(".dynsym").iter_symbols())
        names: dict[int, bytes] = {}
        needs: dict[bytes, set[bytes]] = {}
        for section in elf.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                library: Any
                for library, versions in section.iter_versions():
                    version: Any
                    for version in versions:
                        names[version["vna_other"]] = version.name.encode()
                        needs.setdefault(library.name.encode(), set()).add(version.name.encode())
        versym = elf.get_section_by_name(".gnu.version")
        undefined = set()
        for index, symbol in enumerate(symbols):
            if symbol["st_shndx"] == "SHN_UNDEF" and symbol["st_info"]["bind"] != "STB_LOCAL":
                mark = versym.get_symbol(index)["ndx"] if versym is not None else 1
                known = names.get(mark)
                name = symbol.name.encode()
                undefined.add(name + b"@" + known if known is not None else name)
    return needed, undefined, needs


@pytest.mark.parametrize("file", _LIBRARIES, ids=os.path.basename)
def test_what_a_file_needs_is_what_pyelftools_reads(file: str) -> None:
    data = Path(file).read_bytes()
    elf, imports = _read(data), _imports(data)
    assert elf is not None
    needed, undefined, needs = _by_pyelftools(file)
    assert list(elf.needed) == needed
    assert imports.undefined == undefined
    assert {library: set(found) for library, found in imports.versions_needed.items()} == needs


def test_the_c_library_offers_what_programs_want_of_it() -> None:
    (libc,) = (file for file in _LIBRARIES if os.path.basename(file).startswith("libc."))
    exports = _exports(Path(libc).read_bytes())
    imports = _imports(Path(os.path.realpath(sys.executable)).read_bytes())
    (wanted,) = (key for key in imports.undefined if key.startswith(b"__libc_start_main@"))
    assert exports.provided(frozenset({wanted})) == {wanted}
    assert exports.provided(frozenset({b"malloc@GLIBC_9", b"nothing"})) == frozenset()
    assert exports.provided(frozenset({b"malloc"})) == {b"malloc"}
    assert any(key.partition(b"@")[0] == b"errno" for key in exports.thread_local)


@functools.cache
def _small() -> bytes:
    return Path(min(_LIBRARIES, key=os.path.getsize)).read_bytes()


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + bytes(60), b"#!/bin/sh\n"])
def test_what_has_nothing_for_a_loader_is_none(data: bytes) -> None:
    assert _read(data) is None
    assert _imports(data) == Imports.none()
    assert _exports(data) == Exports.none()


def _read_whole(data: bytes) -> None:
    with contextlib.suppress(BadFormatError):
        _read(data)
    with contextlib.suppress(BadFormatError):
        _imports(data)
    with contextlib.suppress(BadFormatError):
        _exports(data)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.binary(min_size=1, max_size=8)
            | st.sampled_from([b"\xff" * 8, b"\xff" * 4, b"\0" * 8, b"\xff\xff\xff\x7f"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_file_with_some_bytes_changed_is_read_or_refused(
    changes: list[tuple[float, bytes]],
) -> None:
    data = bytearray(_small())
    tables = min(len(data), 16384)  # where all that is read lies, in a small file
    for place, text in changes:
        at = int(place * tables)
        data[at : at + len(text)] = text
    _read_whole(bytes(data))


@given(st.floats(0, 1))
@example(0.5)
def test_a_file_cut_off_anywhere_is_read_or_refused(part: float) -> None:
    data = _small()
    _read_whole(data[: int(part * len(data))])


def test_names_that_overlap_beyond_measure_are_refused() -> None:
    """Each symbol's name is all the rest of one long string: quadratic memory."""
    count, long = 4000, 200_000
    names = b"\0" + b"x" * long + b"\0"
    base = 64 + 56 * 2
    symbols = b"".join(
        (1 + index).to_bytes(4, "little") + b"\x12" + bytes(19) for index in range(count)
    )
    hashes = (1).to_bytes(4, "little") + count.to_bytes(4, "little")
    places = {5: base, 6: base + len(names), 4: base + len(names) + len(symbols)}
    dynamic_at = places[4] + len(hashes)
    entries = [*places.items(), (10, len(names)), (0, 0)]
    dynamic = b"".join(
        tag.to_bytes(8, "little") + value.to_bytes(8, "little") for tag, value in entries
    )
    size = dynamic_at + len(dynamic)

    def header(kind: int, offset: int, length: int) -> bytes:
        numbers = (offset, offset, offset, length, length, 8)
        return (
            kind.to_bytes(4, "little")
            + bytes(4)
            + b"".join(number.to_bytes(8, "little") for number in numbers)
        )

    head = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0\1\0\0\0" + bytes(8)
    head += (64).to_bytes(8, "little") + bytes(8) + bytes(4) + b"\x40\0\x38\0\x02\0\0\0\0\0\0\0"
    data = head + header(1, 0, size) + header(2, dynamic_at, len(dynamic))
    data += names + symbols + hashes + dynamic
    with pytest.raises(BadFormatError, match="overlap"):
        _imports(data)
