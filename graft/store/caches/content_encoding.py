"""Texts that a server sends compressed, though it was not asked to: HTTP's Content-Encoding.

Source: RFC 9110, "Content-Encoding"; Nix manual, `narinfo-compression` of caches over HTTP and in
buckets. Objects of a bucket are sent with the encoding that they were put there with.
"""

from __future__ import annotations

from typing import Final

from graft.errors import BadFormatError
from graft.formats.compression import DecompressingReader
from graft.store.caches.files import LARGEST_TEXT

_COMPRESSIONS: Final = {
    "gzip": "gzip",
    "x-gzip": "gzip",
    "zstd": "zstd",
    "xz": "xz",
    "bzip2": "bzip2",
}


def decoded(data: bytes, encoding: str) -> bytes:
    """The text behind its encodings.

    Args:
        encoding: the header of the answer, or an empty text; the last one was applied last.

    Raises:
        BadFormatError: an encoding is not one of gzip, zstd, xz and bzip2, or the data is damaged
            or expands to more than any such text.
    """
    names = [name.strip().lower() for name in encoding.split(",")]
    for name in reversed([name for name in names if name not in {"", "identity"}]):
        if name not in _COMPRESSIONS:
            raise BadFormatError(
                f"it is sent in the encoding '{name}', and graft reads gzip, zstd, xz and bzip2"
            )
        data = _expanded(data, _COMPRESSIONS[name])
    return data


def _expanded(data: bytes, compression: str) -> bytes:
    left = memoryview(data)

    def take(view: memoryview) -> int:
        nonlocal left
        piece = left[: len(view)]
        view[: len(piece)] = piece
        left = left[len(piece) :]
        return len(piece)

    reader = DecompressingReader(take, compression, limit=LARGEST_TEXT)
    found = bytearray()
    buffer = memoryview(bytearray(65_536))
    while read := reader.readinto(buffer):
        found += buffer[:read]
    return bytes(found)
