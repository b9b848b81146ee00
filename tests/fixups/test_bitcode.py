"""LLVM's bitcode: a path in it is found at any bit, and a name in the open is changed."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from graft.fixups import registered
from graft.formats.store_path import StorePath
from graft.objects.reading import search_object
from graft.objects.search import DeepReport, DeepSearch
from graft.objects.spellings.bits import BitFinder
from graft.store.objects import TreeObject

OLD = "q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6"
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._"


def _searched(tree: Path) -> DeepReport:
    return search_object(TreeObject(str(tree)), DeepSearch([StorePath(f"{OLD}-lib-1.0")]))


def _bits(packing: str) -> str:
    """The hash part in bits, the lowest first."""
    if packing == "numbers of 6 bits":
        values = [part for c in OLD.encode() for part in (c & 31 | 32, c >> 5)]
        width = 6
    elif packing == "6 bits":
        values, width = [_ALPHABET.index(c) for c in OLD], 6
    else:
        values, width = list(OLD.encode()), int(packing[0])
    return "".join(f"{value:0{width}b}"[::-1] for value in values)


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("packing", ["8 bits", "7 bits", "6 bits", "numbers of 6 bits"])
def test_a_hash_part_is_found_at_any_bit(packing: str, shift: int) -> None:
    noise = random.Random(shift)
    around = ["".join(noise.choice("01") for _ in range(88 + each)) for each in (shift, 80)]
    text = around[0] + _bits(packing) + around[1]
    data = bytes(int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8))
    found = [each[1:] for each in BitFinder([OLD.encode()]).find(data)]
    assert found == ([] if (packing, shift) == ("8 bits", 0) else [(0, packing)])


@pytest.mark.nix
@pytest.mark.needs("clang")
@pytest.mark.parametrize("path", [f"/nix/store/{OLD}-lib-1.0", f"{OLD}", f"/{OLD}.ö"])
def test_a_string_that_clang_packs_is_found(tmp_path: Path, path: str) -> None:
    source = f'const char *name(void) {{ return "{path}"; }}\n'
    command = ["clang", "-O1", "-emit-llvm", "-c", "-xc", "-", "-o", str(tmp_path / "a.bc")]
    subprocess.run(command, input=source.encode(), check=True)
    report = _searched(tmp_path)
    assert [each.hash_part for each in report.hidden] == [OLD]
    assert report.unread == ()
    archive = ["llvm-ar", "rc", str(tmp_path / "a.a"), str(tmp_path / "a.bc")]
    subprocess.run(archive, check=True)
    (tmp_path / "a.bc").unlink()
    assert [each.file for each in _searched(tmp_path).hidden] == [b"a.a"]


def test_bitcode_is_a_known_type() -> None:
    assert registered().recognise(b"BC\xc0\xde" + bytes(60), b"a.bc") is not None
