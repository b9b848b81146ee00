"""The judge of packed files: what it excuses, and that it excuses no more."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import marshal
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from .bytes_equal import Renaming
from .inside import why_unequal

GRAFTED, REBUILT = "2" * 32, "3" * 32
RENAMING = Renaming([(f"/s/{GRAFTED}-app-1.0", f"/s/{REBUILT}-app-1.0")])
OURS, THEIRS = (f"/s/{code}-app-1.0/bin/app\n".encode() for code in (GRAFTED, REBUILT))


def _why(name: str, ours: bytes, theirs: bytes, *files: dict[str, bytes]) -> str | None:
    left, right = files or ({}, {})
    return why_unequal(name, ours, theirs, RENAMING, (left.get, right.get))


def _gzip(data: bytes, time: int = 0) -> bytes:
    return gzip.compress(data, mtime=time)


def _zip(members: dict[str, bytes], year: int = 1990) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0))
            file.writestr(info, data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _tar(data: bytes, mode: int = 0o644) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        member = tarfile.TarInfo("file")
        member.size, member.mode = len(data), mode
        file.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _ar(data: bytes) -> bytes:
    head = b"file/           0           0     0     644     %-10d`\n" % len(data)
    return b"!<arch>\n" + head + data + b"\n" * (len(data) % 2)


@pytest.mark.parametrize("pack", [_gzip, lambda data: _zip({"file": data})])
def test_packed_files_are_equal_if_what_is_inside_is(pack: object) -> None:
    assert callable(pack)
    assert _why("a", pack(OURS), pack(THEIRS)) == "packed"
    assert _why("a", pack(OURS), pack(THEIRS + b"x")) is None
    assert _why("a", pack(_gzip(OURS)), pack(_gzip(THEIRS))) == "packed"
    assert _why("a", pack(_gzip(OURS)), pack(_gzip(THEIRS[1:]))) is None
    assert _why("a", pack(OURS), THEIRS) is None


def test_the_same_contents_packed_to_other_bytes_are_told_apart_from_others() -> None:
    text = b"what a library says of itself\n" * 99
    best, stored = (gzip.compress(text, level, mtime=0) for level in (9, 0))
    assert _why("a", best, stored) is None  # the header tells the level
    assert _why("a", best, best[:10] + stored[10:]) == "packing"


def test_headers_of_containers_must_be_equal() -> None:
    assert _why("a", _gzip(OURS, 1), _gzip(THEIRS, 2)) is None
    assert _why("a", _zip({"a": OURS}, 1990), _zip({"a": THEIRS}, 1991)) is None
    assert _why("a", _zip({"a": OURS}), _zip({"b": THEIRS})) is None
    assert _why("a", _tar(OURS, 0o644), _tar(THEIRS, 0o755)) is None


def test_archives_that_are_not_packed_are_looked_into() -> None:
    assert _why("a", _ar(_gzip(OURS)), _ar(_gzip(THEIRS))) == "packed"
    assert _why("a", _tar(_gzip(OURS)), _tar(_gzip(THEIRS))) == "packed"
    assert _why("a", _ar(_gzip(OURS)), _ar(_gzip(OURS + b"x"))) is None


def test_a_sum_must_be_right_on_either_side() -> None:
    def summed(data: bytes) -> bytes:
        return hashlib.sha256(data).hexdigest().encode() + b"  file\n"

    files = {"d/file": OURS}, {"d/file": THEIRS}
    assert _why("d/SHA256SUMS", summed(OURS), summed(THEIRS), *files) == "sums"
    assert _why("d/SHA256SUMS", summed(b""), summed(THEIRS), *files) is None
    assert _why("d/SHA256SUMS", summed(OURS), summed(b""), *files) is None
    assert _why("d/SHA256SUMS", summed(OURS), summed(THEIRS)) is None


def test_byte_code_must_have_the_hash_of_its_source() -> None:
    def cached(source: bytes) -> bytes:
        code = marshal.dumps(compile("1", "file", "exec"))
        return importlib.util.MAGIC_NUMBER + b"\3\0\0\0" + importlib.util.source_hash(source) + code

    name, files = "d/__pycache__/file.cpython-311.pyc", ({"d/file.py": OURS}, {"d/file.py": THEIRS})
    assert _why(name, cached(OURS), cached(THEIRS), *files) == "sums"
    assert _why(name, cached(THEIRS), cached(OURS), *files) is None


def test_damaged_containers_are_not_explained() -> None:
    for data in (_gzip(OURS), _zip({"a": OURS}), _ar(_gzip(OURS)), b"070701" + b"x" * 200):
        assert _why("a", data[:-9], _gzip(THEIRS)) is None
        assert _why("a", data[:-9], data) is None


@pytest.mark.slow
@pytest.mark.needs("gcc", "readelf")
def test_strings_of_debugging_information_may_stand_in_another_order(tmp_path: Path) -> None:
    def compiled(text: str) -> bytes:
        source, made = tmp_path / "a.c", tmp_path / "a.o"
        source.write_text(f'#define TEXT "{text}"\nint number;\n')
        command = ["gcc", "-g3", "-c", "-o", str(made), str(source)]
        subprocess.run(command, check=True)
        return made.read_bytes()

    theirs = compiled(THEIRS.decode().strip())
    ours = compiled(OURS.decode().strip())
    assert _why("a.o", ours, theirs) == "debug strings"
    assert _why("a.o", ours.replace(b"bin/app", b"bin/app"[::-1]), theirs) is None
    assert _why("a.o", ours.replace(b"number", b"rebmun"), theirs) is None
