"""PHP archives: the manifest behind a program's stub, and the packed files behind it.

Source: "Phar File Format" in the PHP manual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

_STUB_END: Final = re.compile(rb"HALT_COMPILER\(\);(?: ?\?>\r?\n)?")
_METHODS: Final[dict[int, Literal["deflate", "bzip2"]]] = {0x1000: "deflate", 0x2000: "bzip2"}
_METHOD: Final = 0xF000


class PackedFile(NamedTuple):
    """A packed file in a PHP archive.

    Attributes:
        name: its name there.
        start: the offset of its first byte.
        end: the offset behind its last one.
        method: how it is packed; None: in an unknown way.
    """

    name: bytes
    start: int
    end: int
    method: Literal["deflate", "bzip2"] | None


def packed_files(data: bytes, start: int) -> Iterator[PackedFile]:
    """The packed files of the archive whose stub ends with the text at an offset.

    Raises:
        ValueError: its manifest is damaged.
    """
    stub = _STUB_END.match(data, start)
    if stub is None:
        raise ValueError("there is no end of a stub")
    manifest = _Manifest(data, stub.end())
    begin = manifest.end
    count = manifest.number()
    manifest.skip(6)  # the version and the flags of the archive
    manifest.text()  # the alias
    manifest.text()  # data that a program has added
    for _ in range(count):
        name = manifest.text()
        manifest.skip(8)  # the size of the contents, and a time
        packed = manifest.number()
        manifest.skip(4)  # the sum of the contents
        flags = manifest.number()
        manifest.text()
        if begin + packed > len(data):
            raise ValueError("a file is cut")
        if flags & _METHOD:
            yield PackedFile(name, begin, begin + packed, _METHODS.get(flags & _METHOD))
        begin += packed


class _Manifest:
    """The fields of a manifest, one after another."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at, self.end = data, at, len(data)
        self.end = self.number() + at + 4

    def number(self) -> int:
        """A number of four bytes."""
        self.skip(4)
        return int.from_bytes(self._data[self._at - 4 : self._at], "little")

    def text(self) -> bytes:
        """Bytes behind their length."""
        size = self.number()
        self.skip(size)
        return self._data[self._at - size : self._at]

    def skip(self, size: int) -> None:
        """Passes some bytes."""
        self._at += size
        if self._at > min(self.end, len(self._data)):
            raise ValueError("the manifest is cut")
