"""Names of an ELF file's dynamic symbols, which its hash tables are made of."""

from __future__ import annotations

from collections.abc import Iterator

from graft.errors import BadFormatError
from graft.formats.elf.image import open_image


def kept_names(data: bytes, new: bytes) -> Iterator[tuple[int, bytes]]:
    """The names of dynamic symbols that a rewrite has changed, as they were.

    A loader finds a symbol by the hash of its name, in this file and in all that refer to it. A
    path in the same table has a slash, and a symbol has no slash.

    Args:
        data: the original file.
        new: the file after its change, of equal length.

    Yields:
        The offset of each, and its old bytes.
    """
    try:
        image = open_image(lambda at, size: data[at : at + size], len(data))
    except BadFormatError:
        return
    if image is None:
        return
    at, strings = image.strings()
    if new.startswith(strings, at):
        return
    for name in strings.split(b"\0"):
        if b"/" not in name and not new.startswith(name, at):
            yield at, name
        at += len(name) + 1
