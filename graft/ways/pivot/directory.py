"""Directories of pivots on disk: made whole or not at all, in place of an earlier one at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from typing import Final

from graft.errors import BadFormatError, PivotError
from graft.kernel.tree import remove_tree
from graft.ways.pivot.pivots import RECORD, Pivots, parse_record

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2  # linux/fs.h


def fill_directory(directory: str, pivots: Pivots) -> None:
    """Makes a directory, the links in it, and its record."""
    os.mkdir(directory)
    for path, kinds in pivots.links.items():
        os.mkdir(os.path.join(directory, path))
        for kind in kinds:
            os.symlink(pivots.targets[kind], os.path.join(directory, path, kind))
    with open(os.path.join(directory, RECORD), "x", encoding="utf-8") as file:
        file.write(pivots.record())
        file.flush()
        os.fsync(file.fileno())


def check_directory(directory: str, pivots: Pivots) -> None:
    """Makes sure that a directory of pivots may be made; changes nothing.

    Raises:
        PivotError: something else is there, it would be in the store, or its name cannot be in a
            list of directories.
    """
    if pivots.store_dir.contains(directory):
        raise PivotError(
            f"'{directory}' is in the store: leave out -o, and a store object is made",
            path=directory,
        )
    if ":" in directory:
        raise PivotError(
            f"the name '{directory}' has a colon, which separates directories: name another",
            path=directory,
        )
    if os.path.lexists(directory) and not _is_replaceable(directory):
        raise PivotError(
            f"'{directory}' exists and is no directory that 'graft pivot create' has made: remove "
            "it or name another",
            path=directory,
        )


def write_directory(directory: str, pivots: Pivots) -> None:
    """Makes a directory of pivots; one that was made before is replaced at once.

    Args:
        directory: absolute; its parent is there.

    Raises:
        PivotError: as `check_directory`, or it cannot be made. Nothing was changed then.
    """
    check_directory(directory, pivots)
    parent, name = os.path.split(directory)
    aside = os.path.join(parent, f".{name}.{os.getpid()}.tmp")
    try:
        remove_tree(aside)
        fill_directory(aside, pivots)
        if os.path.isdir(directory) and os.listdir(directory):
            _exchange(aside, directory)
        else:
            os.rename(aside, directory)
    except OSError as error:
        raise PivotError(
            f"cannot make the directory '{directory}': {error.strerror or ''}",
            path=directory,
        ) from error
    finally:
        remove_tree(aside)


def read_record(directory: str) -> Pivots | None:
    """The record of a directory's origin; None if it has no record.

    Raises:
        BadFormatError: its record has another form than graft's.
    """
    name = os.path.join(directory, RECORD)
    try:
        with open(name, encoding="utf-8", errors="replace") as file:
            return parse_record(file.read(), name)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_replaceable(directory: str) -> bool:
    """Whether nothing is lost: it is empty, or holds the links of its record and nothing else."""
    if os.path.islink(directory) or not os.path.isdir(directory):
        return False
    names = set(os.listdir(directory))
    if not names:
        return True
    try:
        pivots = read_record(directory)
    except BadFormatError:
        return False
    return (
        pivots is not None
        and names <= {RECORD, *pivots.links}
        and all(
            _holds_links(os.path.join(directory, path), kinds)
            for path, kinds in pivots.links.items()
            if path in names
        )
    )


def _holds_links(directory: str, names: Collection[str]) -> bool:
    """Whether a directory holds links of these names, and nothing else."""
    if os.path.islink(directory) or not os.path.isdir(directory):
        return False
    with os.scandir(directory) as entries:
        return all(entry.name in names and entry.is_symlink() for entry in entries)


def _exchange(one: str, other: str) -> None:
    """Swaps two directories, at one moment for all processes."""
    import ctypes  # noqa: PLC0415 - late: rarely needed

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if renameat2 is not None:
        paths = os.fsencode(one), os.fsencode(other)
        if renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
    raise OSError(code, f"{os.strerror(code)}, when it was to replace the earlier one at once")
