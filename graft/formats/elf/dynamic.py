"""The dynamic loader's view of an ELF file: needed libraries, wanted symbols, offered symbols.

Source: the System V gABI, chapters 4 and 5; the GNU symbol versions of LSB Core 5, chapter 10.7;
DT_GNU_HASH as elf/dl-lookup.c of glibc reads it. No chain is followed in a circle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from graft.formats.elf.headers import Read, broken
from graft.formats.elf.image import ElfImage, open_image

_DT_HASH, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 4, 6, 7, 8
_DT_SONAME, _DT_RPATH, _DT_REL, _DT_RELSZ, _DT_RUNPATH = 14, 15, 17, 18, 29
_DT_GNU_HASH, _DT_VERSYM, _DT_RELACOUNT, _DT_RELCOUNT = (
    0x6FFFFEF5,
    0x6FFFFFF0,
    0x6FFFFFF9,
    0x6FFFFFFA,
)
_DT_FLAGS_1, _DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFFB, 0x6FFFFFFC, 0x6FFFFFFD
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_DT_CONFIG, _DT_DEPAUDIT, _DT_AUDIT = 0x6FFFFEFA, 0x6FFFFEFB, 0x6FFFFEFC
_DT_AUXILIARY, _DT_FILTER = 0x7FFFFFFD, 0x7FFFFFFF
_NAMES: Final = (
    *(_DT_SONAME, _DT_RPATH, _DT_RUNPATH),
    *(_DT_CONFIG, _DT_DEPAUDIT, _DT_AUDIT, _DT_AUXILIARY, _DT_FILTER),
)
_DF_1_NODEFLIB: Final = 0x800
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2
_HIDDEN_VERSION: Final = 0x8000
_STB_LOCAL: Final = 0
_STT_TLS: Final = 6
_STT_EXPORTED: Final = frozenset({0, 1, 2, 5, _STT_TLS, 10})  # do_lookup_x of glibc
_SHN_ABS: Final = 0xFFF1
_VISIBLE: Final = frozenset({0, 3})  # STV_DEFAULT, STV_PROTECTED
# The relocation that copies a variable of a library into a program, by machine: elf.h of glibc.
_COPY: Final[Mapping[int, int]] = {
    3: 5,  # i386
    20: 19,  # powerpc
    21: 19,  # powerpc64
    22: 9,  # s390
    40: 20,  # arm
    62: 5,  # x86-64
    183: 1024,  # aarch64
    243: 4,  # riscv
    258: 4,  # loongarch
}
# More than any program has, and less than a stranger could ask for.
_MOST_VERSIONS: Final = 100_000
_MOST_SYMBOLS: Final = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """A file that a dynamic loader starts or loads, and the search paths for its libraries.

    Attributes:
        machine: class (1: 32 bits, 2: 64), byte order (1: little) and machine, as in its header.
        interpreter: the loader that a program asks for.
        needed: the libraries, in their order.
        soname: the name it calls itself by.
        rpath, runpath: where its libraries are looked for, before and after LD_LIBRARY_PATH.
        no_default_directories: whether only there.
    """

    machine: tuple[int, int, int]
    interpreter: bytes | None
    needed: tuple[bytes, ...]
    soname: bytes | None
    rpath: bytes | None
    runpath: bytes | None
    no_default_directories: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """The symbols and versions that a file wants of its libraries.

    A symbol is named `NAME@VERSION`, or `NAME` where no version is asked for.

    Attributes:
        undefined: the symbols it wants from others.
        copied: the variables it has copies of, and how many bytes it has for each.
        versions_needed: by library, the versions it must have.
    """

    undefined: frozenset[bytes]
    copied: Mapping[bytes, int]
    versions_needed: Mapping[bytes, frozenset[bytes]]

    @classmethod
    def none(cls) -> Self:
        """The imports of a file that wants nothing."""
        return cls(undefined=frozenset(), copied={}, versions_needed={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """The symbols and versions that a library offers.

    Attributes:
        symbols: the symbols, each with its size in bytes.
        thread_local: the symbols of which each thread has its own copy.
        any_version: names that serve a request for any version of them.
        versions: the versions it defines; empty where it has no versions at all.
    """

    symbols: Mapping[bytes, int]
    thread_local: frozenset[bytes]
    any_version: frozenset[bytes]
    versions: frozenset[bytes]

    @classmethod
    def none(cls) -> Self:
        """The exports of a file that offers nothing."""
        nothing: frozenset[bytes] = frozenset()
        return cls(symbols={}, thread_local=nothing, any_version=nothing, versions=nothing)

    def provided(self, wanted: frozenset[bytes]) -> frozenset[bytes]:
        """The wanted symbols that are offered."""
        found = wanted & self.symbols.keys()
        if self.any_version:
            found |= {key for key in wanted - found if key.partition(b"@")[0] in self.any_version}
        return frozenset(found)


def read_elf(read: Read, size: int) -> Elf | None:
    """The needs of a file; None if a dynamic loader has nothing to do with it.

    Args:
        size: the file's size in bytes.

    Raises:
        BadFormatError: it is one, but its tables are broken.
    """
    image = open_image(read, size)
    if image is None:
        return None
    return Elf(
        machine=image.machine,
        interpreter=image.interpreter,
        needed=tuple(image.string(offset) for offset in image.needed),
        soname=image.text(_DT_SONAME),
        # "If both RUNPATH and RPATH are given, the latter is ignored": elf/get-dynamic-info.h.
        rpath=image.text(_DT_RPATH) if _DT_RUNPATH not in image.values else None,
        runpath=image.text(_DT_RUNPATH),
        no_default_directories=bool(image.values.get(_DT_FLAGS_1, 0) & _DF_1_NODEFLIB),
    )


def read_imports(read: Read, size: int) -> Imports:
    """The imports of a file; empty if `read_elf` gives None.

    Raises:
        BadFormatError: its tables are broken.
    """
    image = open_image(read, size)
    return _Tables(image).imports() if image is not None else Imports.none()


def read_exports(read: Read, size: int) -> Exports:
    """The exports of a file; empty if `read_elf` gives None.

    Raises:
        BadFormatError: its tables are broken.
    """
    image = open_image(read, size)
    return _Tables(image).exports() if image is not None else Exports.none()


def read_name_places(read: Read, size: int) -> tuple[int, frozenset[int]]:
    """The places of the names that a loader reads from the dynamic strings of a file.

    Linkers let a name be the end of another one: a version `1.0` may be the end of a path.

    Returns:
        The offset of the table of strings in the file, and the offset of each name in the table;
        zero and no name if `read_elf` gives None.

    Raises:
        BadFormatError: its tables are broken.
    """
    image = open_image(read, size)
    return _Tables(image).name_places() if image is not None else (0, frozenset())


class _Tables:
    """The tables of an image, read."""

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._wide = image.wide
        self._order = image.order
        # Where the fields of a symbol are, the name being the first.
        self._info, self._section, self._value, self._length = (
            (1, 3, 4, 5) if self._wide else (3, 5, 1, 2)
        )
        self._versions_left = _MOST_VERSIONS

    def imports(self) -> Imports:
        """The imports of the file."""
        versions, needs = self._versions_needed()
        symbols, marks = self._symbols(), self._marks()
        key = self._key
        undefined = {
            key(symbol[0], versions, marks[index] if marks else 0)
            for index, symbol in enumerate(symbols)
            if not symbol[self._section] and symbol[self._info] >> 4 != _STB_LOCAL
        }
        copied = {}
        for index in self._copies():
            if index >= len(symbols):
                raise broken("a relocation is of no symbol")
            symbol = symbols[index]
            copied[key(symbol[0], versions, marks[index] if marks else 0)] = symbol[self._length]
        undefined.discard(b"")
        return Imports(undefined=frozenset(undefined), copied=copied, versions_needed=needs)

    def exports(self) -> Exports:
        """The exports of the file, with and without a version (check_match of glibc)."""
        versions = self._versions_defined()
        marks = self._marks()
        sizes: dict[bytes, int] = {}
        thread_local, any_version = set(), set()
        for index, symbol in enumerate(self._symbols()):
            offset, size, value = symbol[0], symbol[self._length], symbol[self._value]
            info, other, section = symbol[self._info], symbol[self._info + 1], symbol[self._section]
            kind = info & 15
            if (
                not section
                or info >> 4 == _STB_LOCAL
                or kind not in _STT_EXPORTED
                or other & 3 not in _VISIBLE
                or (not value and section != _SHN_ABS and kind != _STT_TLS)
            ):
                continue
            name = self._image.string(offset)
            keys = []
            mark = marks[index] if marks else 1
            version = versions.get(mark & ~_HIDDEN_VERSION)
            hidden = mark & _HIDDEN_VERSION
            if version is not None:
                keys.append(name + b"@" + version)
            elif not hidden:
                any_version.add(name)
            if not hidden or mark & ~_HIDDEN_VERSION < 3:
                keys.append(name)
            for key in keys:
                sizes[key] = size
                if kind == _STT_TLS:
                    thread_local.add(key)
        return Exports(
            symbols=sizes,
            thread_local=frozenset(thread_local),
            any_version=frozenset(any_version),
            versions=frozenset(versions.values()),
        )

    def name_places(self) -> tuple[int, frozenset[int]]:
        """The offset of the table of strings, and the offset of each name in the table."""
        values = self._image.values
        names = {symbol[0] for symbol in self._symbols()} | set(self._image.needed)
        names |= {values[tag] for tag in _NAMES if tag in values}
        if _DT_VERNEED in values:
            most = values.get(_DT_VERNEEDNUM, 0)
            for at, (_, count, file, first, _) in self._chain(_DT_VERNEED, most, "HHIII"):
                chain = self._chain(_DT_VERNEED, count, "IHHII", at + first)
                names |= {file, *(fields[3] for _, fields in chain)}
        if _DT_VERDEF in values:
            most = values.get(_DT_VERDEFNUM, 0)
            for at, (_, _, _, count, _, first, _) in self._chain(_DT_VERDEF, most, "HHHHIII"):
                names |= {name for _, (name, _) in self._chain(_DT_VERDEF, count, "II", at + first)}
        return self._image.strings()[0], frozenset(names)

    def _key(self, name: int, versions: Mapping[int, bytes], mark: int) -> bytes:
        version = versions.get(mark & ~_HIDDEN_VERSION)
        return (
            self._image.string(name)
            if version is None
            else self._image.string(name) + b"@" + version
        )

    def _symbols(self) -> list[tuple[int, ...]]:
        """The table of symbols, of each its fields in their order."""
        form = struct.Struct(self._order + ("IBBHQQ" if self._wide else "IIIBBH"))
        if self._symbol_count > _MOST_SYMBOLS:
            raise broken("it has more symbols than any library")
        size = self._symbol_count * form.size
        return list(form.iter_unpack(self._image.table(_DT_SYMTAB, size))) if size else []

    @cached_property
    def _symbol_count(self) -> int:
        if _DT_SYMTAB not in self._image.values:
            return 0
        if _DT_HASH in self._image.values and self._image.machine[2] not in {22, 0x9026}:
            return int(struct.unpack_from(f"{self._order}4xI", self._image.table(_DT_HASH, 8))[0])
        if _DT_GNU_HASH in self._image.values:
            return self._symbols_hashed()
        return 0

    def _symbols_hashed(self) -> int:
        """The number of symbols: the last bucket's first symbol, and the rest of its chain."""
        word = struct.Struct(f"{self._order}I")
        head = self._image.table(_DT_GNU_HASH, 16)
        buckets, first, bloom, _ = struct.unpack(f"{self._order}4I", head)
        offset, most = self._image.at(self._image.values[_DT_GNU_HASH], "hash tables")
        start = 16 + bloom * (8 if self._wide else 4)
        chains = start + 4 * buckets
        if chains > most:
            raise broken("its hash table does not end in its segment")
        table = self._image.read(offset + start, 4 * buckets)
        last = max(struct.unpack(f"{self._order}{len(table) // 4}I", table), default=0)
        if last < first:
            return int(first)
        at = chains + 4 * (last - first)
        while at < most:
            chunk = self._image.read(offset + at, min(4096, most - at) // 4 * 4)
            if not chunk or len(chunk) % 4:
                break
            for (found,) in word.iter_unpack(chunk):
                last += 1
                if found & 1:
                    return int(last)
            at += len(chunk)
        raise broken("a chain of its hash table does not end")

    def _marks(self) -> tuple[int, ...]:
        """The version of each symbol; empty where no symbol has a version."""
        if _DT_VERSYM not in self._image.values:
            return ()
        count = self._symbol_count
        return struct.unpack(f"{self._order}{count}H", self._image.table(_DT_VERSYM, 2 * count))

    def _chain(
        self, tag: int, count: int, form: str, offset: int = 0
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The entries of a chained list whose last field is how far the next one is away."""
        entry = struct.Struct(self._order + form)
        base, most = self._image.at(self._image.values[tag], "versions")
        for _ in range(count):
            self._versions_left -= 1
            if self._versions_left < 0:
                raise broken("its versions lead from one to the next without end")
            data = (
                self._image.read(base + offset, entry.size) if offset + entry.size <= most else b""
            )
            if len(data) < entry.size:
                raise broken("its versions do not end in their segment")
            fields = entry.unpack(data)
            yield offset, fields
            if not fields[-1]:
                break
            offset += fields[-1]

    def _versions_needed(self) -> tuple[dict[int, bytes], dict[bytes, frozenset[bytes]]]:
        """The version each mark stands for, and the versions each library must have."""
        versions: dict[int, bytes] = self._versions_defined()
        needs: dict[bytes, frozenset[bytes]] = {}
        if _DT_VERNEED not in self._image.values:
            return versions, needs
        most = self._image.values.get(_DT_VERNEEDNUM, 0)
        for at, (_, count, file, first, _) in self._chain(_DT_VERNEED, most, "HHIII"):
            found = set()
            for _, (_, flags, mark, name, _) in self._chain(
                _DT_VERNEED, count, "IHHII", at + first
            ):
                version = versions[mark & ~_HIDDEN_VERSION] = self._image.string(name)
                if not flags & _VER_FLG_WEAK:
                    found.add(version)
            library = self._image.string(file)
            needs[library] = needs.get(library, frozenset()) | found
        return versions, needs

    def _versions_defined(self) -> dict[int, bytes]:
        """The version each mark stands for, without the library's own name."""
        versions: dict[int, bytes] = {}
        if _DT_VERDEF in self._image.values:
            most = self._image.values.get(_DT_VERDEFNUM, 0)
            for at, (_, flags, mark, _, _, first, _) in self._chain(_DT_VERDEF, most, "HHHHIII"):
                if not flags & _VER_FLG_BASE:
                    for _, (name, _) in self._chain(_DT_VERDEF, 1, "II", at + first):
                        versions[mark & ~_HIDDEN_VERSION] = self._image.string(name)
        return versions

    def _copies(self) -> set[int]:
        """The symbols whose contents are copied here from a library, by index."""
        copy = _COPY.get(self._image.machine[2])
        if copy is None or self._image.interpreter is None:
            return set()  # only programs have any
        found: set[int] = set()
        wide = self._wide
        for place, length, form, known in (
            (_DT_RELA, _DT_RELASZ, "8xQ8x" if wide else "4xI4x", _DT_RELACOUNT),
            (_DT_REL, _DT_RELSZ, "8xQ" if wide else "4xI", _DT_RELCOUNT),
        ):
            if place not in self._image.values:
                continue
            entry = struct.Struct(self._order + form)
            table = self._image.table(place, self._image.values.get(length, 0))
            # The entries that are relative to the program alone come first, and are very many.
            start = min(self._image.values.get(known, 0) * entry.size, len(table))
            end = len(table) - (len(table) - start) % entry.size
            for (info,) in entry.iter_unpack(memoryview(table)[start:end]):
                if (info & 0xFFFFFFFF if wide else info & 0xFF) == copy:
                    found.add(info >> 32 if wide else info >> 8)
        return found
