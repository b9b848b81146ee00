"""glibc's ld.so.cache: the libraries by their names; and a loader's built-in paths.

Source: sysdeps/generic/dl-cache.h, elf/cache.c and elf/dl-cache.c of glibc 2.36; the "new" format
alone, all that glibc has read since 2.2 and written since 2.32.
"""

from __future__ import annotations

import itertools
import re
import struct
import sys
from collections.abc import Mapping
from typing import Final

_MAGIC: Final = b"glibc-ld.so.cache1.1"
_HEADER: Final = struct.Struct("=20sIIB3xI12x")
_ENTRY: Final = struct.Struct("=iIIIQ")
_BYTE_ORDER: Final = 2 if sys.byteorder == "little" else 3

_ELF_LIBC6: Final = 0x0003
# (class, machine) of an ELF header to the bits of an entry's flags that name it, without
# _ELF_LIBC6. The word size alone tells ABIs apart that share a machine.
_FLAGS: Final[Mapping[tuple[int, int], int]] = {
    (1, 3): 0x0000,  # i386
    (2, 62): 0x0300,  # x86-64
    (1, 62): 0x0800,  # x32
    (1, 40): 0x0900,  # arm, hard float
    (2, 183): 0x0A00,  # aarch64
    (2, 243): 0x1000,  # riscv64, lp64d
    (2, 21): 0x0500,  # powerpc64
    (2, 22): 0x0400,  # s390x
}

_DIRECTORIES: Final = re.compile(rb"(?<=\0)(?:/[^\0]*/\0)+")
_CACHE: Final = re.compile(rb"(?<=\0)/[^\0]*/ld\.so\.cache(?=\0)")

ELF_HEADER_SIZE: Final = 20
"""Bytes of a file that tell which entry its library gets."""


def library_flags(header: bytes) -> int | None:
    """The flags of a library's entry; None for a file of a kind that the cache does not know.

    Args:
        header: the file's first ELF_HEADER_SIZE bytes.
    """
    if len(header) < ELF_HEADER_SIZE or header[:4] != b"\x7fELF":
        return None
    order = "<" if header[5] == 1 else ">"
    kind, machine = struct.unpack_from(f"{order}HH", header, 16)
    return flags_of_kind(header[4], machine) if kind == 3 else None


def flags_of_kind(elf_class: int, machine: int) -> int | None:
    """The flags of the entries of one kind of library; None for a kind that the cache does not
    know.

    Args:
        elf_class, machine: as in the header of an ELF file.
    """
    flags = _FLAGS.get((elf_class, machine))
    return flags | _ELF_LIBC6 if flags is not None else None


def loader_cache(libraries: Mapping[tuple[str, int], str]) -> bytes:
    """The bytes of a cache.

    Args:
        libraries: by name (a soname) and flags, the full path.
    """
    # The loader looks up by bisection, in falling order.
    order = sorted(libraries, key=lambda key: (_sort_key(key[0]), key[1]), reverse=True)
    start = _HEADER.size + len(order) * _ENTRY.size
    entries, strings = [], bytearray()
    for name, flags in order:
        texts = [text.encode("utf-8", "surrogateescape") for text in (name, libraries[name, flags])]
        places = []
        for text in texts:
            places.append(start + len(strings))
            strings += text + b"\0"
        entries.append(_ENTRY.pack(flags, places[0], places[1], 0, 0))
    header = _HEADER.pack(_MAGIC, len(order), len(strings), _BYTE_ORDER, 0)
    return b"".join([header, *entries, strings])


def parse_loader_cache(data: bytes, flags: int) -> dict[bytes, bytes]:
    """The cache's libraries of one kind: by name the full path, the first one in the file.

    Libraries for some processors only are left out.

    Args:
        data: the file, of this machine's byte order; a file that is no cache has no libraries.
        flags: the kind's flags, as `library_flags` gives them.
    """
    found: dict[bytes, bytes] = {}
    start = data.find(_MAGIC)  # an older cache may stand before it
    if start < 0 or len(data) < start + _HEADER.size:
        return found
    _, count, _, _, _ = _HEADER.unpack_from(data, start)
    first = start + _HEADER.size
    for place in range(
        first, min(first + count * _ENTRY.size, len(data) - _ENTRY.size + 1), _ENTRY.size
    ):
        kind, name, path, _, processors = _ENTRY.unpack_from(data, place)
        if kind == flags and not processors:
            texts = [data[start + at : data.find(b"\0", start + at)] for at in (name, path)]
            found.setdefault(texts[0], texts[1])
    return found


def default_directories(loader: bytes) -> tuple[bytes, ...]:
    """Where a loader looks at last, as it was built: the directories, without a slash behind.

    Args:
        loader: its file. `system_dirs` of elf/dl-load.c is the one list of names in it that end in
            a slash.
    """
    lists = max(_DIRECTORIES.findall(loader), key=len, default=b"")
    return tuple(name[:-1] for name in lists.split(b"\0") if name)


def cache_place(loader: bytes) -> bytes | None:
    """The place where a loader looks for its cache; None if it has no cache.

    Args:
        loader: its file.
    """
    found = _CACHE.search(loader)
    return found[0] if found is not None else None


def _sort_key(name: str) -> tuple[tuple[int, int], ...]:
    """_dl_cache_libcmp: runs of digits are compared as numbers, and come after everything else."""
    parts = re.findall(rb"[0-9]+|[^0-9]", name.encode("utf-8", "surrogateescape"))
    return tuple(
        itertools.chain(
            ((1, int(part)) if part.isdigit() else (0, part[0]) for part in parts), [(-1, 0)]
        )
    )
