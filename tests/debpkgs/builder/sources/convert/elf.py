"""What an ELF file says about how it is to be loaded."""

import struct
from dataclasses import dataclass

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 15, 29
_ET_EXEC, _ET_DYN = 2, 3
_X86_64 = 62


@dataclass(frozen=True)
class Dynamic:
    """A dynamically linked file: what it needs and where it looks."""

    interpreter: str | None
    needed: list[str]
    rpath: str | None
    position_independent: bool


def read_dynamic(path: str) -> Dynamic | None:
    """The dynamic section of an x86-64 executable or library; None for all other files."""
    with open(path, "rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return None
        kind, machine = struct.unpack_from("<HH", head, 16)
        if machine != _X86_64 or kind not in (_ET_EXEC, _ET_DYN):
            return None
        data = head + file.read()
    try:
        return _parse(data, kind == _ET_DYN)
    except (struct.error, ValueError):  # truncated, or stripped of its dynamic section's strings
        return None


def _parse(data: bytes, position_independent: bool) -> Dynamic | None:
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic = (0, 0)
    interpreter = None
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", data, table + number * size
        )
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, length)
        elif kind == _PT_INTERP:
            interpreter = data[offset : offset + length].rstrip(b"\0").decode()
    entries = _entries(data, *dynamic)
    tables = [value for tag, value in entries if tag == _DT_STRTAB]
    strings = next(
        (
            tables[0] - address + offset
            for address, offset, length in loads
            if tables and address <= tables[0] < address + length
        ),
        None,
    )
    if strings is None:
        return None

    def string(value: int) -> str:
        start = strings + value
        return data[start : data.index(b"\0", start)].decode("utf-8", "replace")

    rpaths = [string(value) for tag, value in entries if tag in (_DT_RPATH, _DT_RUNPATH)]
    return Dynamic(
        interpreter=interpreter,
        needed=[string(value) for tag, value in entries if tag == _DT_NEEDED],
        rpath=rpaths[0] if rpaths else None,
        position_independent=position_independent,
    )


def _entries(data: bytes, offset: int, length: int) -> list[tuple[int, int]]:
    entries: list[tuple[int, int]] = []
    for place in range(offset, offset + length, 16):
        tag, value = struct.unpack_from("<qQ", data, place)
        if tag == _DT_NULL:
            break
        entries.append((tag, value))
    return entries
