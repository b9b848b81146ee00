"""ld.so.cache, as glibc's own ldconfig reads it."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.elf.loader_cache import (
    _sort_key,
    cache_place,
    default_directories,
    library_flags,
    loader_cache,
    parse_loader_cache,
)

X86_64 = 0x0303
I386 = 0x0003

_NAMES = st.text("abc0129.-_+", min_size=1, max_size=8)


def _libcmp(one: str, other: str) -> int:
    """_dl_cache_libcmp of glibc's dl-cache.c, step by step."""
    left, right = one, other
    while left:
        if left[0].isdigit():
            if not right[:1].isdigit():
                return 1
            numbers = []
            rests = []
            for text in (left, right):
                rest = text.lstrip("0123456789")
                numbers.append(int(text[: len(text) - len(rest)]))
                rests.append(rest)
            if numbers[0] != numbers[1]:
                return numbers[0] - numbers[1]
            left, right = rests
        elif right[:1].isdigit():
            return -1
        elif left[0] != right[:1]:
            return ord(left[0]) - (ord(right[0]) if right else 0)
        else:
            left, right = left[1:], right[1:]
    return -1 if right else 0


@given(_NAMES, _NAMES)
def test_names_are_ordered_as_the_loader_bisects_them(one: str, other: str) -> None:
    expected = _libcmp(one, other)
    keys = _sort_key(one), _sort_key(other)
    assert (keys[0] > keys[1]) - (keys[0] < keys[1]) == (expected > 0) - (expected < 0)


@pytest.mark.needs("ldconfig")
def test_ldconfig_reads_every_entry(tmp_path: Path) -> None:
    libraries = {
        ("libz.so.1", X86_64): "/usr/lib/libz.so.1",
        ("libz.so.1", I386): "/usr/lib32/libz.so.1",
        ("libcaf\u00e9.so.10", X86_64): "/usr/lib/libcaf\u00e9.so.10",
        ("libcaf\u00e9.so.9", X86_64): "/usr/lib/libcaf\u00e9.so.9",
        ("ld-linux-x86-64.so.2", X86_64): "/usr/lib/ld-linux-x86-64.so.2",
    }
    file = tmp_path / "ld.so.cache"
    file.write_bytes(loader_cache(libraries))
    printed = subprocess.run(
        ["ldconfig", "-p", "-C", str(file)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert printed[0].startswith("5 libs found")

    def compare(one: tuple[str, int], other: tuple[str, int]) -> int:
        return _libcmp(one[0], other[0]) or one[1] - other[1]

    order = sorted(libraries, key=functools.cmp_to_key(compare), reverse=True)
    kinds = {X86_64: "(libc6,x86-64)", I386: "(libc6)"}
    assert [line.strip() for line in printed[1:6]] == [
        f"{name} {kinds[flags]} => {libraries[name, flags]}" for name, flags in order
    ]


def test_an_empty_cache_is_one() -> None:
    assert len(loader_cache({})) == 48


def test_only_shared_objects_have_flags() -> None:
    elf = b"\x7fELF\x02\x01\x01" + bytes(9)
    assert library_flags(elf + b"\x03\x00\x3e\x00") == X86_64
    assert library_flags(elf + b"\x02\x00\x3e\x00") is None  # an executable at a fixed address
    assert library_flags(elf + b"\x03\x00\xff\xff") is None  # a machine without a word
    assert library_flags(b"/* GNU ld script */ INPUT(libc.so.6)") is None
    assert library_flags(elf) is None
    big = b"\x7fELF\x02\x02\x01" + bytes(9)
    assert library_flags(big + b"\x00\x03\x00\x16") == 0x0403  # s390x


def test_a_cache_is_read_as_it_was_written() -> None:
    libraries = {("libz.so.1", 0x303): "/a/libz.so.1", ("libz.so.1", 0x803): "/x32/libz.so.1"}
    data = b"older" + loader_cache(libraries)
    assert parse_loader_cache(data, 0x303) == {b"libz.so.1": b"/a/libz.so.1"}
    assert parse_loader_cache(data[:90], 0x303) == {}


@given(st.binary(max_size=200))
def test_what_is_no_cache_has_no_libraries(data: bytes) -> None:
    assert parse_loader_cache(data, 0x303) == {}
    assert isinstance(parse_loader_cache(b"glibc-ld.so.cache1.1" + data, 0x303), dict)


def test_what_a_loader_has_built_in_is_found_among_its_strings() -> None:
    loader = b"\x7fELF\0/etc/ld.so.cache\0/dev/full\0\0/lib/x86/\0/usr/lib/x86/\0/lib/\0x/\0"
    assert default_directories(loader) == (b"/lib/x86", b"/usr/lib/x86", b"/lib")
    assert cache_place(loader) == b"/etc/ld.so.cache"
    assert (default_directories(b""), cache_place(b"")) == ((), None)
