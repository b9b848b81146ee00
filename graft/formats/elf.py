"""What the dynamic loader reads of an ELF file: what it needs, and what it offers.

Only the tables that PT_DYNAMIC leads to are read, as a loader would, so that section headers may
be missing or lie, and a file's size hardly matters. Source: the System V gABI, chapters 4 and 5;
the GNU symbol versions of LSB Core 5, chapter 10.7; DT_GNU_HASH as elf/dl-lookup.c of glibc reads
it. An ELF file from a cache is a stranger's word: every table lies in its file, no chain is
followed in a circle, and names take no more memory than the file has earned.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from graft.errors import BadFormatError

Read = Callable[[int, int], bytes]
"""Gives, from an offset of a file, so many bytes, or what there is."""

MAGIC: Final = b"\x7fELF"

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_SHT_NOBITS: Final = 8
_DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 1, 4, 5, 6, 7, 8
_DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_REL, _DT_RELSZ, _DT_RUNPATH = 10, 14, 15, 17, 18, 29
_DT_GNU_HASH, _DT_VERSYM, _DT_RELACOUNT, _DT_RELCOUNT = (
    0x6FFFFEF5,
    0x6FFFFFF0,
    0x6FFFFFF9,
    0x6FFFFFFA,
)
_DT_FLAGS_1, _DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFFB, 0x6FFFFFFC, 0x6FFFFFFD
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
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
_MOST_HEADERS: Final = 0xFFFF
_LONGEST_PATH: Final = 4096  # PATH_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """A file that a dynamic loader starts or loads, as far as others can tell.

    A symbol is named `NAME@VERSION`, or `NAME` where no version is asked for.

    Attributes:
        machine: class (1: 32 bits, 2: 64), byte order (1: little) and machine, as in its header.
        interpreter: the loader that a program asks for.
        needed: the libraries, in their order.
        soname: what it calls itself.
        rpath, runpath: where its libraries are looked for, before and after LD_LIBRARY_PATH.
        no_default_directories: whether only there.
        undefined: the symbols it wants from others.
        copied: the variables it has copies of, and how many bytes it has for each.
        versions_needed: by library, the versions it must have.
    """

    machine: tuple[int, int, int]
    interpreter: bytes | None
    needed: tuple[bytes, ...]
    soname: bytes | None
    rpath: bytes | None
    runpath: bytes | None
    no_default_directories: bool
    undefined: frozenset[bytes]
    copied: Mapping[bytes, int]
    versions_needed: Mapping[bytes, frozenset[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What a library offers.

    Attributes:
        symbols: and the size of each in bytes.
        thread_local: those of them of which each thread has its own.
        any_version: names that serve whoever asks for a version of them, whichever.
        versions: those it defines; empty where it has no versions at all.
    """

    symbols: Mapping[bytes, int]
    thread_local: frozenset[bytes]
    any_version: frozenset[bytes]
    versions: frozenset[bytes]

    @classmethod
    def none(cls) -> Self:
        """Those of a file that offers nothing."""
        nothing: frozenset[bytes] = frozenset()
        return cls(symbols={}, thread_local=nothing, any_version=nothing, versions=nothing)

    def provided(self, wanted: frozenset[bytes]) -> frozenset[bytes]:
        """Those of the wanted symbols that are offered."""
        found = wanted & self.symbols.keys()
        if self.any_version:
            found |= {key for key in wanted - found if key.partition(b"@")[0] in self.any_version}
        return frozenset(found)


def read_elf(read: Read, size: int) -> Elf | None:
    """What a file needs; None if it is no ELF file, or none that a dynamic loader has to do with.

    Args:
        size: of the file, in bytes.

    Raises:
        BadFormatError: it is one, but its tables are broken.
    """
    image = _open(read, size)
    return image.elf() if image is not None else None


def read_exports(read: Read, size: int) -> Exports:
    """What a file offers; nothing if `read_elf` gives None.

    Raises:
        BadFormatError: its tables are broken.
    """
    image = _open(read, size)
    return image.exports() if image is not None else Exports.none()


def _open(read: Read, size: int) -> _Image | None:
    head = read(0, 64)
    if head[:4] != MAGIC or len(head) < 52 or head[4] not in {1, 2} or head[5] not in {1, 2}:
        return None
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if wide and len(head) < 64:
        return None
    machine, phoff, shoff = struct.unpack_from(
        f"{order}2xH4x{'8xQQ' if wide else '4xII'}", head, 16
    )
    entry, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    form = struct.Struct(order + ("II6Q" if wide else "8I"))
    if not count or entry != form.size:
        return None
    table = read(phoff, form.size * count)
    if len(table) < form.size * count:
        raise _broken("its program headers are not in the file")
    loads, dynamic, interpreter = [], None, None
    for fields in form.iter_unpack(table):
        if wide:
            kind, _flags, offset, address, _, file_size, _, _ = fields
        else:
            kind, offset, address, _, file_size, _, _flags, _ = fields
        if kind == _PT_LOAD:
            loads.append((address, offset, file_size))
        elif kind == _PT_DYNAMIC:
            dynamic = (address, offset, file_size)
        elif kind == _PT_INTERP:
            interpreter = (offset, file_size)
    if dynamic is None or not dynamic[2]:
        return None
    sections = struct.unpack_from(f"{order}HH", head, 58 if wide else 46)
    if _is_left_out(read, (wide, order), shoff, sections, dynamic[0]):
        return None
    image = _Image(read, size, (head[4], head[5], machine), loads)
    image.read_dynamic(dynamic[1], dynamic[2], interpreter)
    return image


def _is_left_out(
    read: Read, form: tuple[bool, str], offset: int, sections: tuple[int, int], address: int
) -> bool:
    """Whether a file has only the place of its dynamic part: one of debugging information alone."""
    wide, order = form
    entry, count = sections
    section = struct.Struct(order + ("4xI8xQ40x" if wide else "4xI4xI24x"))
    if not offset or entry != section.size:
        return False
    table = read(offset, section.size * count)
    whole = len(table) - len(table) % section.size
    return any(
        kind == _SHT_NOBITS and at == address for kind, at in section.iter_unpack(table[:whole])
    )


def _joined(loads: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Segments, those being one that follow each other in memory and in the file.

    patchelf lets a table run on from one into the next.
    """
    joined: list[tuple[int, int, int]] = []
    for address, offset, size in sorted(loads):
        if joined:
            start, before, length = joined[-1]
            if start + length == address and before + length == offset:
                joined[-1] = (start, before, length + size)
                continue
        joined.append((address, offset, size))
    return joined


def _broken(what: str) -> BadFormatError:
    return BadFormatError(f"broken ELF file: {what}")


class _Image:
    """The tables of a file by the addresses they are loaded at."""

    def __init__(
        self,
        read: Read,
        size: int,
        machine: tuple[int, int, int],
        loads: list[tuple[int, int, int]],
    ) -> None:
        self._read = read
        self._size = size
        self._machine = machine
        self._loads = _joined(loads)
        self._wide = machine[0] == 2
        self._order = "<" if machine[1] == 1 else ">"
        # Where the fields of a symbol are, the name being the first.
        self._info, self._section, self._value, self._length = (
            (1, 3, 4, 5) if self._wide else (3, 5, 1, 2)
        )
        self._interpreter: bytes | None = None
        self._values: dict[int, int] = {}
        self._needed: list[int] = []
        self._strings = b""
        self._names: dict[int, bytes] = {}
        self._names_left = 0

    def read_dynamic(self, offset: int, size: int, interpreter: tuple[int, int] | None) -> None:
        """Reads what leads to all the rest."""
        if interpreter is not None:
            text = self._read(interpreter[0], min(interpreter[1], _LONGEST_PATH))
            self._interpreter = text.partition(b"\0")[0]
        form = struct.Struct(self._order + ("QQ" if self._wide else "II"))
        if offset + size > self._size:
            raise _broken("its dynamic section is not in the file")
        table = self._read(offset, size - size % form.size)
        if len(table) % form.size:
            raise _broken("its dynamic section is cut off")
        for tag, value in form.iter_unpack(table):
            if not tag:
                break
            if tag == _DT_NEEDED:
                self._needed.append(value)
            else:
                self._values[tag] = value
        if _DT_STRTAB in self._values:
            self._strings = self._table(_DT_STRTAB, self._values.get(_DT_STRSZ, 0))
        # Linkers let names share their ends, but not many times over.
        self._names_left = 16 * len(self._strings) + 4096

    def elf(self) -> Elf:
        """What it needs."""
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
                raise _broken("a relocation is of no symbol")
            symbol = symbols[index]
            copied[key(symbol[0], versions, marks[index] if marks else 0)] = symbol[self._length]
        undefined.discard(b"")
        return Elf(
            machine=self._machine,
            interpreter=self._interpreter,
            needed=tuple(self._string(offset) for offset in self._needed),
            soname=self._text(_DT_SONAME),
            # "If both RUNPATH and RPATH are given, the latter is ignored": elf/get-dynamic-info.h.
            rpath=self._text(_DT_RPATH) if _DT_RUNPATH not in self._values else None,
            runpath=self._text(_DT_RUNPATH),
            no_default_directories=bool(self._values.get(_DT_FLAGS_1, 0) & _DF_1_NODEFLIB),
            undefined=frozenset(undefined),
            copied=copied,
            versions_needed=needs,
        )

    def exports(self) -> Exports:
        """What it offers: to whom asks for a version, and who does not (check_match of glibc)."""
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
            name = self._string(offset)
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

    def _at(self, address: int, what: str) -> tuple[int, int]:
        """The offset of an address in the file, and how many bytes of its segment follow there."""
        for start, offset, size in self._loads:
            if start <= address < start + size:
                place = offset + address - start
                return place, min(start + size - address, self._size - place)
        raise _broken(f"its {what} are in no segment")

    def _table(self, tag: int, size: int) -> bytes:
        offset, most = self._at(self._values[tag], "tables")
        if size > most:
            raise _broken("a table does not end in its segment")
        data = self._read(offset, size)
        if len(data) != size:
            raise _broken("a table does not end in the file")
        return data

    def _text(self, tag: int) -> bytes | None:
        return self._string(self._values[tag]) if tag in self._values else None

    def _string(self, offset: int) -> bytes:
        found = self._names.get(offset)
        if found is None:
            end = self._strings.find(b"\0", offset)
            if end < 0:
                raise _broken("a name is not in its table of strings")
            self._names[offset] = found = self._strings[offset:end]
            self._names_left -= len(found)
            if self._names_left < 0:
                raise _broken("its names overlap beyond measure")
        return found

    def _key(self, name: int, versions: Mapping[int, bytes], mark: int) -> bytes:
        version = versions.get(mark & ~_HIDDEN_VERSION)
        return self._string(name) if version is None else self._string(name) + b"@" + version

    def _symbols(self) -> list[tuple[int, ...]]:
        """The table of symbols, of each its fields in their order."""
        form = struct.Struct(self._order + ("IBBHQQ" if self._wide else "IIIBBH"))
        size = self._symbol_count * form.size
        return list(form.iter_unpack(self._table(_DT_SYMTAB, size))) if size else []

    @cached_property
    def _symbol_count(self) -> int:
        if _DT_SYMTAB not in self._values:
            return 0
        if _DT_HASH in self._values and self._machine[2] not in {22, 0x9026}:
            return int(struct.unpack_from(f"{self._order}4xI", self._table(_DT_HASH, 8))[0])
        if _DT_GNU_HASH in self._values:
            return self._symbols_hashed()
        return 0

    def _symbols_hashed(self) -> int:
        """The number of symbols: what follows the last bucket's first, until its chain ends."""
        word = struct.Struct(f"{self._order}I")
        head = self._table(_DT_GNU_HASH, 16)
        buckets, first, bloom, _ = struct.unpack(f"{self._order}4I", head)
        offset, most = self._at(self._values[_DT_GNU_HASH], "hash tables")
        start = 16 + bloom * (8 if self._wide else 4)
        chains = start + 4 * buckets
        if chains > most:
            raise _broken("its hash table does not end in its segment")
        table = self._read(offset + start, 4 * buckets)
        last = max(struct.unpack(f"{self._order}{len(table) // 4}I", table), default=0)
        if last < first:
            return int(first)
        at = chains + 4 * (last - first)
        while at < most:
            chunk = self._read(offset + at, min(4096, most - at) // 4 * 4)
            if not chunk or len(chunk) % 4:
                break
            for (found,) in word.iter_unpack(chunk):
                last += 1
                if found & 1:
                    return int(last)
            at += len(chunk)
        raise _broken("a chain of its hash table does not end")

    def _marks(self) -> tuple[int, ...]:
        """Of each symbol, which version it has; empty where none has one."""
        if _DT_VERSYM not in self._values:
            return ()
        count = self._symbol_count
        return struct.unpack(f"{self._order}{count}H", self._table(_DT_VERSYM, 2 * count))

    def _chain(
        self, tag: int, count: int, form: str, offset: int = 0
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The entries of a chained list whose last field is how far the next one is away."""
        entry = struct.Struct(self._order + form)
        base, most = self._at(self._values[tag], "versions")
        for _ in range(count):
            data = self._read(base + offset, entry.size) if offset + entry.size <= most else b""
            if len(data) < entry.size:
                raise _broken("its versions do not end in their segment")
            fields = entry.unpack(data)
            yield offset, fields
            if not fields[-1]:
                break
            offset += fields[-1]

    def _versions_needed(self) -> tuple[dict[int, bytes], dict[bytes, frozenset[bytes]]]:
        """The version each mark stands for, and those each library must have."""
        versions: dict[int, bytes] = self._versions_defined()
        needs: dict[bytes, frozenset[bytes]] = {}
        if _DT_VERNEED not in self._values:
            return versions, needs
        most = self._values.get(_DT_VERNEEDNUM, 0)
        for at, (_, count, file, first, _) in self._chain(_DT_VERNEED, most, "HHIII"):
            found = set()
            for _, (_, flags, mark, name, _) in self._chain(
                _DT_VERNEED, count, "IHHII", at + first
            ):
                version = versions[mark & ~_HIDDEN_VERSION] = self._string(name)
                if not flags & _VER_FLG_WEAK:
                    found.add(version)
            library = self._string(file)
            needs[library] = needs.get(library, frozenset()) | found
        return versions, needs

    def _versions_defined(self) -> dict[int, bytes]:
        """The version each mark stands for, without the library's own name."""
        versions: dict[int, bytes] = {}
        if _DT_VERDEF in self._values:
            most = self._values.get(_DT_VERDEFNUM, 0)
            for at, (_, flags, mark, _, _, first, _) in self._chain(_DT_VERDEF, most, "HHHHIII"):
                if not flags & _VER_FLG_BASE:
                    for _, (name, _) in self._chain(_DT_VERDEF, 1, "II", at + first):
                        versions[mark & ~_HIDDEN_VERSION] = self._string(name)
        return versions

    def _copies(self) -> set[int]:
        """The symbols whose contents are copied here from a library, by index."""
        copy = _COPY.get(self._machine[2])
        if copy is None or self._interpreter is None:
            return set()  # only programs have any
        found: set[int] = set()
        wide = self._wide
        for place, length, form, known in (
            (_DT_RELA, _DT_RELASZ, "8xQ8x" if wide else "4xI4x", _DT_RELACOUNT),
            (_DT_REL, _DT_RELSZ, "8xQ" if wide else "4xI", _DT_RELCOUNT),
        ):
            if place not in self._values:
                continue
            entry = struct.Struct(self._order + form)
            table = self._table(place, self._values.get(length, 0))
            # Those that are relative to the program alone come first, and are very many.
            start = min(self._values.get(known, 0) * entry.size, len(table))
            end = len(table) - (len(table) - start) % entry.size
            for (info,) in entry.iter_unpack(memoryview(table)[start:end]):
                if (info & 0xFFFFFFFF if wide else info & 0xFF) == copy:
                    found.add(info >> 32 if wide else info >> 8)
        return found
