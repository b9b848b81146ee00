"""NAR files as they pass: as long as was promised, and not a byte longer."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from graft.errors import CorruptCacheError
from graft.formats.narinfo import NarInfo
from graft.store.caches.directory import CacheDirectory
from graft.store.caches.nar_files import FileWriter, NarReader, NarWriter
from tests.archives import File, archive_of
from tests.caches import STORE
from tests.store_objects import named_path

NAR = archive_of(File(b"some contents\n" * 50))


class Stream:
    """Bytes of a file, in pieces."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)
        self.closed = False

    def readinto(self, view: memoryview) -> int:
        read = min(len(view), len(self._rest), 1 << 18)
        view[:read] = self._rest[:read]
        self._rest = self._rest[read:]
        return read

    def close(self) -> None:
        self.closed = True


def _info(file: bytes, compression: str, *, said: bool = True) -> NarInfo:
    return NarInfo(
        path=named_path("one-1", STORE),
        url="nar/file",
        compression=compression,
        file_hash=hashlib.sha256(file).digest() if said else None,
        file_size=len(file) if said else None,
        nar_hash=hashlib.sha256(NAR).digest(),
        nar_size=len(NAR),
        references=frozenset(),
    )


def _read(file: bytes, info: NarInfo) -> bytes:
    told = bytearray()
    stream = Stream(file)
    reader = NarReader(stream, info, "file:///c", told.__iadd__)
    out, buffer = bytearray(), memoryview(bytearray(100))
    while read := reader.readinto(buffer):
        out += buffer[:read]
    assert told == file
    reader.close()
    assert stream.closed
    return bytes(out)


def _named(length: int) -> bytes:
    """An empty member of a gzip file that is as long as that, by its name."""
    empty = gzip.compress(b"", mtime=0)
    return empty[:3] + b"\x08" + empty[4:10] + b"n" * (length - len(empty) - 1) + b"\0" + empty[10:]


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_nar_is_read_and_each_byte_of_its_file_is_told(compression: str, said: bool) -> None:
    file = NAR if compression == "none" else gzip.compress(NAR)
    assert _read(file, _info(file, compression, said=said)) == NAR


def test_a_buffer_without_room_is_no_end() -> None:
    reader = NarReader(Stream(NAR), _info(NAR, "none"), "file:///c")
    assert reader.readinto(memoryview(bytearray())) == 0
    assert reader.readinto(memoryview(bytearray(len(NAR)))) == len(NAR)


@pytest.mark.parametrize("over", [0, 1])
def test_a_file_of_unsaid_length_may_be_an_eighth_and_a_megabyte_longer(over: int) -> None:
    file = gzip.compress(NAR)
    limit = len(NAR) + len(NAR) // 8 + (1 << 20)
    file += _named(limit + over - len(file))
    info = _info(file, "gzip", said=False)
    if not over:
        assert _read(file, info) == NAR
    else:
        with pytest.raises(CorruptCacheError, match=f"'nar/file' has more than {limit} bytes"):
            _read(file, info)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file + b"x", r"the file 'nar/file' has more than \d+ bytes"),
        (lambda file: file[:-9] + b"x" * 9, "is damaged|has the hash"),
    ],
)
def test_a_file_that_is_another_than_promised_is_an_error(change: object, said: str) -> None:
    file = gzip.compress(NAR)
    assert callable(change)
    with pytest.raises(CorruptCacheError, match=said):
        _read(change(file), _info(file, "gzip"))


@pytest.mark.parametrize(
    ("nar", "said"),
    [
        (NAR[:-1], rf"the nar in 'nar/file' ends after {len(NAR) - 1} of {len(NAR)} bytes"),
        (NAR + b"x", "it expands to more bytes than it may"),
        (NAR[:-1] + b"x", "the nar in 'nar/file' has the hash sha256:.* instead of sha256:"),
    ],
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_nar_that_is_another_than_promised_is_an_error(
    compression: str, nar: bytes, said: str
) -> None:
    file = nar if compression == "none" else gzip.compress(nar)
    with pytest.raises(CorruptCacheError, match=said):
        _read(file, _info(file, compression, said=compression != "none"))


def test_a_file_that_ends_too_early_is_an_error() -> None:
    # Behind the stream's own end only the promise tells that bytes lack.
    file = gzip.compress(NAR) + gzip.compress(b"")
    with pytest.raises(CorruptCacheError, match=r"the file 'nar/file' ends after \d+ of \d+ bytes"):
        _read(file[:-20], _info(file, "gzip"))


def test_a_file_is_named_by_its_bytes_and_told_with_its_size(tmp_path: Path) -> None:
    files = CacheDirectory(str(tmp_path))
    writer = FileWriter(files, "none")
    writer.write(b"12")
    writer.write(b"345")
    assert (writer.size, writer.digest) == (5, hashlib.sha256(b"12345").digest())
    url = writer.publish()
    writer.close()
    assert (tmp_path / url).read_bytes() == b"12345"
    known = FileWriter(files, "xz", digest=bytes(32))
    known.write(b"1")
    assert known.digest == bytes(32)
    assert known.publish() == f"nar/{'0' * 52}.nar.xz"
    known.close()
    files.close()


def test_a_nar_that_is_written_is_told_with_both_sizes_and_both_hashes(tmp_path: Path) -> None:
    files = CacheDirectory(str(tmp_path))
    writer = NarWriter(files, "gzip", level=None, threads=1)
    writer.write(NAR[:100])
    writer.write(NAR[100:])
    made = writer.finish()
    writer.close()
    files.close()
    file = (tmp_path / made.url).read_bytes()
    assert gzip.decompress(file) == NAR
    assert (made.nar_size, made.nar_hash) == (len(NAR), hashlib.sha256(NAR).digest())
    assert (made.file_size, made.file_hash) == (len(file), hashlib.sha256(file).digest())
    assert made.compression == "gzip"
