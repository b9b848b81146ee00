"""Names of files that are hexadecimal digits of a digest."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from typing import Final

from graft.formats.file_name import printable

_DIGITS: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{32,128}(?![0-9a-f])")

_SIZES: Final = frozenset((40, 56, 64, 96, 128))
"""Hexadecimal digits of a digest that names contents. An MD5 of 32 often names a path or a page."""

_NO_CONTENTS: Final = ".build-id"
"""A directory of files by the build ids of programs, which stay."""


def digits_in(file: bytes) -> list[str]:
    """The runs of hexadecimal digits in the last part of a path that may be a digest."""
    return _DIGITS.findall(printable(posixpath.basename(file)).lower())


def joined(file: str) -> str:
    """A path without its slashes: caches divide a digest between directories."""
    return file.replace("/", "").lower()


def looks_like_a_digest(file: str) -> bool:
    """Whether the last parts of a path together are the hexadecimal digits of a digest."""
    *parts, name = file.lower().split("/")
    stem = name.split(".", 1)[0]
    if _NO_CONTENTS in parts:
        return False
    while re.fullmatch("[0-9a-f]+", stem):
        if len(stem) in _SIZES:
            return True
        if not parts or not re.fullmatch("[0-9a-f]{1,3}", parts[-1]):
            return False
        stem = parts.pop() + stem
    return False


def entries(top: bytes) -> Iterator[bytes]:
    """The files and directories below a tree's top, relative to it."""
    for directory, directories, files in os.walk(top):
        for name in [*directories, *files]:
            yield os.path.relpath(os.path.join(directory, name), top)
