"""The Nix Archive (NAR): the one serialisation of a file system object that Nix hashes and ships.

Source: the Nix manual, chapter "Protocols", section "Nix Archive (NAR) format". An archive is a
sequence of strings. Each is its length as 8 bytes, least significant first, then its bytes, then
NUL up to a multiple of 8:

    archive   = "nix-archive-1" object
    object    = "(" "type" "regular" ["executable" ""] "contents" CONTENTS ")"
              | "(" "type" "symlink" "target" TARGET ")"
              | "(" "type" "directory" {"entry" "(" "name" NAME "node" object ")"} ")"

The entries of a directory stand in ascending order of the bytes of their names, each name once.

The functions give the pieces of an archive in that order, so that one of any size can be written
piece by piece: `MAGIC`, then for the object `regular_head` + contents + `regular_tail`, or
`symlink_object`, or `DIRECTORY_HEAD`, for each entry `entry_head` + object + `ENTRY_TAIL`, and
`DIRECTORY_TAIL`.
"""

from __future__ import annotations

from typing import Final


def padding(length: int) -> bytes:
    """The NUL bytes after a string of `length` bytes: at most seven."""
    return bytes(-length % 8)


def encode_string(value: bytes) -> bytes:
    """One string of the format: its length, its bytes, its padding."""
    return len(value).to_bytes(8, "little") + value + padding(len(value))


def encode_strings(*values: bytes) -> bytes:
    """Several strings of the format, one after the other."""
    return b"".join(map(encode_string, values))


MAGIC: Final = encode_string(b"nix-archive-1")
DIRECTORY_HEAD: Final = encode_strings(b"(", b"type", b"directory")
DIRECTORY_TAIL: Final = encode_string(b")")
ENTRY_TAIL: Final = encode_string(b")")


def regular_head(size: int, *, executable: bool) -> bytes:
    """The bytes before the contents of a regular file.

    Args:
        size: length of the contents in bytes.
        executable: whether its owner may execute the file.
    """
    mark = (b"executable", b"") if executable else ()
    strings = encode_strings(b"(", b"type", b"regular", *mark, b"contents")
    return strings + size.to_bytes(8, "little")


def regular_tail(size: int) -> bytes:
    """The bytes after the contents of a regular file, which are `size` bytes."""
    return padding(size) + encode_string(b")")


def symlink_object(target: bytes) -> bytes:
    """A symlink, whole."""
    return encode_strings(b"(", b"type", b"symlink", b"target", target, b")")


def entry_head(name: bytes) -> bytes:
    """The bytes before the object that a directory holds as `name`."""
    return encode_strings(b"entry", b"(", b"name", name, b"node")


def symlink_archive(target: bytes) -> bytes:
    """The whole archive of a store object that is a symlink to `target`."""
    return MAGIC + symlink_object(target)
