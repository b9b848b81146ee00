"""Wrappers: the programs of a machine that run with more rights than their callers have."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from typing import Final

from graft.formats.store_path import HASH_PART_LENGTH, StorePath

WRAPPERS: Final = ("/run/wrappers/bin", "/run/setuid-programs", "/run/privileged/bin")
"""Where NixOS and Guix keep the programs that have more rights than their callers."""

_LARGEST_WRAPPER = 1 << 20


def wrapped_programs(
    store_dir: str, paths: Collection[StorePath], directories: Collection[str] = WRAPPERS
) -> Iterator[tuple[StorePath, str]]:
    """The paths that a wrapper runs with more rights than its caller's, and the wrapper.

    A wrapper has its program's path compiled in; a wrapper of an older NixOS reads it in a file
    `.real` next to it.

    Args:
        store_dir: the logical store directory.
    """
    known = {path[:HASH_PART_LENGTH]: path for path in paths}
    hash_parts = re.compile(re.escape(store_dir.encode()) + rb"/([0-9a-z]{32})-")
    for directory in directories:
        if not os.path.isdir(directory):
            continue
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.name.endswith(".real") or not entry.is_file() or not _has_rights(entry):
                continue
            for file in (entry.path, f"{entry.path}.real"):
                for found in hash_parts.findall(_contents(file)):
                    if (path := known.get(found.decode())) is not None:
                        yield path, entry.path


def _has_rights(entry: os.DirEntry[str]) -> bool:
    if entry.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
        return True
    try:
        return bool(os.getxattr(entry.path, "security.capability"))
    except OSError:
        return False


def _contents(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(_LARGEST_WRAPPER)
    except OSError:  # a file that only its owner may read names nothing that others could find out
        return b""
