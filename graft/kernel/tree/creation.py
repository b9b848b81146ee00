"""The entries of a tree, each made beneath a directory's descriptor: no symlink is followed."""

from __future__ import annotations

import os
from typing import Final

from graft.kernel.tree.copying import strip_default_acl
from graft.kernel.tree.descent import DIRECTORY_FLAGS
from graft.kernel.tree.state import STORE_TIME, DirectoryEntry, WalkState

CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make_symlink(state: WalkState, place: DirectoryEntry, target: bytes) -> None:
    """Makes a symlink, its metadata included."""
    state.on_target("symlinkat")
    os.symlink(target, place.name, dir_fd=place.directory)
    state.begun = True
    if state.set_owner:
        state.on_target("fchownat")
        os.chown(place.name, *state.owner, dir_fd=place.directory, follow_symlinks=False)
    state.on_target("utimensat")
    os.utime(place.name, ns=STORE_TIME, dir_fd=place.directory, follow_symlinks=False)


def make_directory(state: WalkState, place: DirectoryEntry) -> int:
    """Makes an empty directory, which inherits no ACL, and opens it."""
    state.on_target("mkdirat")
    os.mkdir(place.name, 0o755, dir_fd=place.directory)
    first, state.begun = not state.begun, True
    state.on_target("openat")
    directory = os.open(place.name, DIRECTORY_FLAGS, dir_fd=place.directory)
    if first:
        strip_default_acl(directory)
    return directory


def make_file(state: WalkState, place: DirectoryEntry) -> int:
    """Makes an empty regular file, which inherits no ACL, and opens it for writing."""
    state.on_target("openat")
    file = os.open(place.name, CREATE_FLAGS, 0o600, dir_fd=place.directory)
    if not state.begun:
        state.begun = True
        strip_default_acl(file)
    return file
