"""What the benchmarks work on: files of this machine, with references planted at fixed places.

The seed is fixed, so the same machine always makes the same corpora.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from graft.formats.hashing import NIX32_ALPHABET

Pair = tuple[str, str]

_TOPS = ("/usr/bin", "/usr/include", "/usr/lib", "/usr/share")
_NAMES = ("openssl-3.0.20", "glibc-2.36-9", "zlib-1.2.13", "bash-5.2-p15", "gcc-12.2.0-lib")
_SLOT = 256  # bytes: no two references are planted in one slot
_MEDIAN = 5000  # bytes
_STORE_TIME = 1_000_000_000  # ns

PLANTED_PAIRS = 10  # references are to the first ones: larger tables find no more


def pairs(count: int) -> list[Pair]:
    """Replacements of base names: the first ones of a fixed list."""
    random = Random("pairs")
    found = []
    for number in range(count):
        name = f"{_NAMES[number % len(_NAMES)]}"
        old, new = ("".join(random.choices(NIX32_ALPHABET, k=32)) for _ in range(2))
        found.append((f"{old}-{name}", f"{new}-{name}"))
    return found


def write_map(replacements: Sequence[Pair], file: Path) -> Path:
    """A replacements file."""
    file.write_text("".join(f"{old} {new}\n" for old, new in replacements), encoding="ascii")
    return file


@dataclass(frozen=True)
class Mixed:
    """A tree of many files, most of them small, as a store would keep it."""

    directory: Path
    files: int
    size: int
    planted_files: int
    references: int

    def regular_files(self) -> list[str]:
        """All of them, in the order of their names."""
        found = [
            os.path.join(top, name) for top, _, names in os.walk(self.directory) for name in names
        ]
        return sorted(found)

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.size / 1e9:.2f} GB, {self.references} references in"
            f" {100 * self.planted_files / self.files:.1f} % of them"
        )


def make_mixed(directory: Path, files: int = 32_586, size: int = 1_570_000_000) -> Mixed:
    """Copies files of this machine into a directory, a fifth of them with references."""
    random = Random("mixed")
    chosen = _choose(random, files, size)
    hosts = [n for n, (_, length) in enumerate(chosen) if length >= 2 * _SLOT]
    planted = random.sample(hosts, round(0.195 * files))
    amounts = dict.fromkeys(planted, 1)
    roomy = [number for number in planted if chosen[number][1] >= 64 * _SLOT]
    references = round(0.2797 * files)
    for number in random.choices(roomy, k=references - len(planted)):
        amounts[number] += 1
    written = made = 0
    wanted = pairs(PLANTED_PAIRS)
    for number, (source, _) in enumerate(chosen):
        if number % 32 == 0:
            place = directory / f"{number // 1024:02}" / f"{number // 32 % 32:02}"
            place.mkdir(parents=True)
        data = bytearray(Path(source).read_bytes())
        made += plant(data, amounts.get(number, 0), wanted, random)
        target = place / f"{number % 32:02}-{os.path.basename(source)[:100]}"
        target.write_bytes(data)
        target.chmod(os.stat(source).st_mode & 0o777)
        written += len(data)
    make_canonical(directory)
    return Mixed(directory, files, written, len(planted), made)


def make_canonical(directory: Path) -> None:
    """Gives the files and directories of a tree the metadata of a store."""
    for place, _, names in os.walk(directory, topdown=False):
        for file in (os.path.join(place, name) for name in names):
            os.chmod(file, 0o555 if os.stat(file).st_mode & 0o111 else 0o444)
            os.utime(file, ns=(_STORE_TIME, _STORE_TIME))
        os.chmod(place, 0o555)
        os.utime(place, ns=(_STORE_TIME, _STORE_TIME))


def plant(data: bytearray, count: int, wanted: Sequence[Pair], random: Random) -> int:
    """Writes references over bytes here and there; how many, for not all may have room."""
    slots = max(0, len(data) // _SLOT - 1)
    for slot in random.sample(range(slots), min(count, slots)):
        reference = f"/nix/store/{random.choice(wanted)[0]}/lib".encode()
        at = slot * _SLOT + random.randrange(_SLOT - len(reference))
        data[at : at + len(reference)] = reference
    return min(count, slots)


def _choose(random: Random, files: int, size: int) -> list[tuple[str, int]]:
    """Some files of the machine: half of them below the median, and altogether of that size."""
    found = _regular_files()
    small = [one for one in found if one[1] <= _MEDIAN]
    large = [one for one in found if one[1] > _MEDIAN]
    half = files // 2
    chosen = random.choices(large, k=files - half)
    total = sum(length for _, length in chosen)
    # The largest give way to others until the sum is right, or others to the largest.
    order = sorted(range(len(chosen)), key=lambda n: -chosen[n][1])
    while total > size and order:
        number = order.pop(0)
        total -= chosen[number][1]
        chosen[number] = random.choice(large[: len(large) // 2] or large)
        total += chosen[number][1]
    by_size = sorted(large, key=lambda one: one[1])
    while total < 0.98 * size and order:
        number = order.pop()
        fitting = [one for one in by_size[-2000:] if one[1] <= size - total] or by_size[:1]
        total -= chosen[number][1]
        chosen[number] = random.choice(fitting)
        total += chosen[number][1]
    chosen += random.choices(small, k=half)
    random.shuffle(chosen)
    return chosen


@cache
def _regular_files() -> list[tuple[str, int]]:
    """The machine's files that are used, and their sizes, in a fixed order."""
    found = []
    for top in _TOPS:
        for directory, subdirectories, names in os.walk(top):
            subdirectories.sort()
            for file in (os.path.join(directory, name) for name in sorted(names)):
                known = os.lstat(file)
                readable = stat.S_ISREG(known.st_mode) and os.access(file, os.R_OK)
                if readable and 0 < known.st_size < 1 << 28:
                    found.append((file, known.st_size))
    return found


def write_elf(file: Path, size: int, references: int, wanted: Sequence[Pair]) -> Path:
    """Real ELF files one behind the other, again and again if need be, with references."""
    random = Random("elf")
    with open(file, "wb") as stream:
        left = size
        while left:
            before = left
            for source, length in _regular_files():
                if left and length >= 1 << 16 and (data := _elf(source)):
                    left -= stream.write(data[:left])
            if left == before:
                raise RuntimeError(f"there are no ELF files below {', '.join(_TOPS)}")
    with open(file, "r+b") as stream:
        stride = size // max(1, references)
        for number in range(references):
            reference = f"/nix/store/{wanted[number % len(wanted)][0]}/lib".encode()
            stream.seek(number * stride + random.randrange(stride - len(reference)))
            stream.write(reference)
    file.chmod(0o444)
    os.utime(file, ns=(_STORE_TIME, _STORE_TIME))
    return file


def _elf(file: str) -> bytes:
    with open(file, "rb") as stream:
        begin = stream.read(4)
        return begin + stream.read() if begin == b"\x7fELF" else b""


def _base32(random: Random, size: int) -> bytes:
    table = bytes(ord(NIX32_ALPHABET[byte % 32]) for byte in range(256))
    return random.randbytes(size).translate(table)


def _dashed(random: Random, size: int) -> bytes:
    data = bytearray(_base32(random, size))
    data[31::32] = b"-" * len(data[31::32])
    return bytes(data)


def _hex_dump(random: Random, size: int) -> bytes:
    lines = []
    for at in range(0, size, 68):
        words = random.randbytes(16).hex(" ", 2)
        lines.append(f"{at:08x}: {words}  ................\n")
    return "".join(lines).encode()[:size]


def _sums(random: Random, size: int) -> bytes:
    lines = (f"{random.randbytes(32).hex()}  ./lib/file-{n}.so\n" for n in range(size // 80 + 1))
    return "".join(lines).encode()[:size]


def _wide(data: bytes) -> bytes:
    wide = bytearray(2 * len(data))
    wide[::2] = data
    return bytes(wide)


WORST: dict[str, Callable[[Random, int], bytes]] = {
    "random base32": _base32,
    "one repeated character": lambda _, size: b"a" * size,
    "hex dump": _hex_dump,
    "sha256sum list": _sums,
    "31 and a dash": _dashed,
    "random base32 in UTF-16": lambda random, size: _wide(_base32(random, size // 2)),
    "31 and a dash in UTF-16": lambda random, size: _wide(_dashed(random, size // 2)),
}
"""Inputs that look like references nearly everywhere, and are none."""
