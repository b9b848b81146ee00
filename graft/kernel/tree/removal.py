"""Trees removed, read-only directories and all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from graft.kernel.tree.descent import DIRECTORY_FLAGS, Descent


def delete_tree(path: bytes) -> None:
    """Removes a file, symlink or directory tree; does nothing if it is missing.

    Only directories are made writable: a file may be a hard link to one that stays.

    Raises:
        OSError: something cannot be removed, or is put there all the time.
        MovedDirectoryError: a directory was moved meanwhile.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    with Descent() as descent:
        pending: list[tuple[bytes, list[bytes]]] = []  # of each level: its name, directories in it

        def enter(name: bytes) -> None:
            directory = _open_writable(name, descent.innermost if len(descent) else None)
            descent.enter(directory)
            pending.append((name, _remove_files(directory)))

        enter(path)
        while True:
            name, directories = pending[-1]
            if directories:
                enter(directories.pop())
                continue
            pending.pop()
            descent.leave()
            if not pending:
                break
            os.rmdir(name, dir_fd=descent.innermost)
    os.rmdir(path)


def _open_writable(name: bytes, parent: int | None) -> int:
    """Opens a directory and sees to it that its entries can be listed and removed."""
    try:
        directory = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    except PermissionError:
        # A descriptor of the directory itself, so that no symlink put in its place is followed.
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        finally:
            os.close(handle)
        directory = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    try:
        mode = stat.S_IMODE(os.fstat(directory).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(directory, mode | stat.S_IRWXU)
    except BaseException:
        os.close(directory)
        raise
    return directory


def _remove_files(directory: int) -> list[bytes]:
    """Removes all entries but directories; returns the names of the directories."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in list(entries):
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
            else:
                with suppress(FileNotFoundError):  # somebody else removes the tree as well
                    os.unlink(name, dir_fd=directory)
    return directories
