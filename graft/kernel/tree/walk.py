"""One pass over one tree in pure Python: the specification of graft/kernel/native/tree.c.

`walk_tree` has the result and the errors of `graft.kernel.native._native.walk`, and makes the same
trees. It has its arguments too, but for the ways to read files and the number of threads.
graft.kernel.tree calls whichever goes with the kernel in use.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from graft.formats import nar
from graft.kernel.tree.copying import on_overlay
from graft.kernel.tree.creation import make_directory, make_symlink
from graft.kernel.tree.descent import DIRECTORY_FLAGS, Descent, MovedDirectoryError
from graft.kernel.tree.regular import RegularFiles
from graft.kernel.tree.state import IN_NAME, IN_TARGET, DirectoryEntry, WalkError, WalkState

if TYPE_CHECKING:
    from collections.abc import Callable

    from graft.kernel import Table
    from graft.kernel.tree.marks import Marks
    from graft.kernel.tree.suspicion import Suspicion


Walked = tuple[
    tuple[int, ...],
    bytes,
    list[tuple[bytes, int, int, int, int]],
    list[bytes],
    list[tuple[bytes, int]],
]


class _Entry(NamedTuple):
    old_name: bytes
    new_name: bytes
    mode: int  # its type, as in st_mode


class _Level(NamedTuple):
    """A directory that is being walked."""

    old_path: bytes
    new_path: bytes
    entries: list[_Entry]  # still to come, the next one last


class _Walk:
    def __init__(self, state: WalkState, *, links: bool, reflinks: bool, writing: bool) -> None:
        self._state = state
        self._writing = writing
        self._sources, self._targets = Descent(), Descent()
        self._levels: list[_Level] = []
        self.files = RegularFiles(state, self._targets, links=links, reflinks=reflinks)
        self.directories = self.symlinks = 0

    def run(self, source: bytes, target: bytes | None) -> None:
        with self._sources, self._targets:
            self._state.emit(nar.MAGIC)
            self._state.on_source("fstatat")
            mode = os.lstat(source).st_mode
            self._visit(
                DirectoryEntry(None, source),
                None if target is None else DirectoryEntry(None, target),
                mode,
            )
            while self._levels:
                self._step()

    def _step(self) -> None:
        level = self._levels[-1]
        if not level.entries:
            self._leave()
            return
        entry = level.entries.pop()
        self._state.old_path = os.path.join(level.old_path, entry.old_name)
        self._state.new_path = os.path.join(level.new_path, entry.new_name)
        self._state.emit(nar.entry_head(entry.new_name))
        self._state.search_text(entry.new_name, IN_NAME)
        origin = DirectoryEntry(self._sources.innermost, entry.old_name)
        place = DirectoryEntry(self._targets.innermost, entry.new_name) if self._writing else None
        self._visit(origin, place, entry.mode)
        if not stat.S_ISDIR(entry.mode):  # a directory's comes when it is left
            self._state.emit(nar.ENTRY_TAIL)

    def _visit(self, origin: DirectoryEntry, place: DirectoryEntry | None, mode: int) -> None:
        if stat.S_ISDIR(mode):
            self._enter(origin, place)
        elif stat.S_ISREG(mode):
            self.files.visit(origin, place)
        elif stat.S_ISLNK(mode):
            self._symlink(origin, place)
        else:
            self._state.on_source("fstatat")
            raise self._state.error("unsupported")

    def _symlink(self, origin: DirectoryEntry, place: DirectoryEntry | None) -> None:
        self._state.on_source("readlinkat")
        target = self._state.rewrite(os.readlink(origin.name, dir_fd=origin.directory))
        self.symlinks += 1
        self._state.on_target("symlinkat")
        if b"\0" in target:
            raise self._state.error("system", errno.EINVAL)
        self._state.search_text(target, IN_TARGET)
        self._state.emit(nar.symlink_object(target))
        if place is not None:
            make_symlink(self._state, place, target)

    def _enter(self, origin: DirectoryEntry, place: DirectoryEntry | None) -> None:
        self._state.on_source("openat")
        source = os.open(origin.name, DIRECTORY_FLAGS, dir_fd=origin.directory)
        self._sources.enter(source)
        if place is not None:
            self._targets.enter(make_directory(self._state, place))
        self.directories += 1
        self._state.emit(nar.DIRECTORY_HEAD)
        entries = self._listing(source)
        self._levels.append(_Level(self._state.old_path, self._state.new_path, entries))

    def _listing(self, directory: int) -> list[_Entry]:
        """A directory's entries in the order of the NAR, the last one first."""
        self._state.on_source("getdents64")
        entries = []
        with os.scandir(directory) as items:
            for item in items:
                old_name = os.fsencode(item.name)
                new_name = self._state.rewrite(old_name)
                if b"/" in new_name or b"\0" in new_name:
                    self._state.on_target("rename")
                    raise self._state.error("system", errno.EINVAL)
                mode = item.stat(follow_symlinks=False).st_mode
                entries.append(_Entry(old_name, new_name, mode))
        entries.sort(key=lambda entry: entry.new_name, reverse=True)
        # From the end, for the least of several collisions is the one to name.
        for later, sooner in zip(entries[-2::-1], entries[:0:-1], strict=True):
            if later.new_name == sooner.new_name:
                self._state.on_target("")
                self._state.new_path = os.path.join(self._state.new_path, later.new_name)
                raise self._state.error("collision")
        return entries

    def _leave(self) -> None:
        level = self._levels.pop()
        self._state.old_path, self._state.new_path = level.old_path, level.new_path
        if self._writing:
            self._state.finish(self._targets.innermost, 0o555)
            self._state.on_target("openat")
            self._targets.leave()
        self._state.on_source("openat")
        self._sources.leave()
        self._state.emit(nar.DIRECTORY_TAIL)
        if self._levels:
            self._state.emit(nar.ENTRY_TAIL)


def walk_tree(
    source: bytes,
    target: bytes | None,
    *,
    table: Table | None,
    wanted: Table | None,
    sink: Callable[[memoryview], object] | None,
    marks: Marks | None,
    suspicions: tuple[Suspicion, ...],
    report: bool,
    links: bool,
    reflinks: bool,
    owner: int,
    group: int,
    window: int,
) -> Walked:
    """Walks one tree in the order of its NAR; the specification of the native `walk`.

    Args:
        source: the tree's top, without a slash at its end.
        target: the path of the copy, which must not exist; None to write nothing.
        table: the references to rewrite.
        wanted: the references to look for in the result.
        sink: takes the bytes of the result's NAR in order.
        marks: the marks of the regular files that are to be reported.
        suspicions: words that are looked for in the result.
        report: list the places found, not only which of `wanted` were.
        links: hard-link unchanged canonical files, unless on overlayfs.
        reflinks: let unchanged files share blocks.
        owner: user id of the copy, and of files that count as canonical.
        group: group id of the copy.
        window: bytes read at a time.

    Returns:
        The numbers of a TreeReport in its order, `files` in four; for each wanted entry a byte,
        1 if it was seen; (file, offset, index, stride, where) of each place found, where by its
        index in contents, target, name; the files that have one of the marks, by their old
        paths, in any order; (file, where) of each content, target and name in which a word of the
        suspicions stands, in any order.

    Raises:
        WalkError: for every failure, the sink's exceptions and KeyboardInterrupt included.
    """
    state = WalkState(
        table=table,
        wanted=wanted,
        sink=sink,
        marks=marks,
        suspicions=suspicions,
        report=report,
        owner=(owner, group),
        window=window,
    )
    if target is not None and links:
        links = not on_overlay(target[: target.rfind(b"/") + 1] or b".")
    walk = _Walk(state, links=links, reflinks=reflinks, writing=target is not None)
    try:
        walk.run(source, target)
    except WalkError:
        raise
    except MovedDirectoryError:
        raise state.error("changed") from None
    except OSError as error:
        raise state.error("system", error.errno or 0) from None
    except BaseException as error:
        raise state.error("stopped") from error
    files = walk.files
    numbers = (
        state.nar_size,
        files.count,
        files.patched,
        files.linked,
        files.reflinked,
        files.copied,
        walk.directories,
        walk.symlinks,
        files.bytes_read,
        files.bytes_written,
        files.bytes_shared,
        state.hits.references,
        state.hits.bare,
        state.hits.overlapped,
    )
    return numbers, bytes(state.seen), state.found, state.marked, state.suspects
