"""The regular files of a tree: the pure twin's way to read, patch, share and copy them."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from graft.formats import nar
from graft.kernel.anchors import WORD
from graft.kernel.tree.copying import NO_REFLINKS, copy_bytes, is_canonical, reflink, write_all
from graft.kernel.tree.creation import make_file
from graft.kernel.tree.descent import DIRECTORY_FLAGS, Descent
from graft.kernel.tree.state import IN_CONTENTS, DirectoryEntry, Tally, WalkState
from graft.kernel.tree.suspicion import Watch

if TYPE_CHECKING:
    from graft.kernel import Table

# O_NONBLOCK: a file that was listed may have become a pipe.
FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

PATH_MAX: Final = 4096  # include/uapi/linux/limits.h; the NUL at the end counts


class _File:
    __slots__ = ("hits", "marked", "origin", "place", "reported", "source", "status", "target")

    def __init__(self, origin: DirectoryEntry, place: DirectoryEntry | None, source: int) -> None:
        self.origin, self.place, self.source = origin, place, source
        self.status = os.fstat(source)
        self.target: int | None = None  # a descriptor, once there is something to write
        self.hits = Tally()
        self.marked = False  # was looked at for marks
        self.reported = False  # is among the marked files

    @property
    def identity(self) -> tuple[int, int]:
        return self.status.st_dev, self.status.st_ino

    @property
    def executable(self) -> bool:
        return bool(self.status.st_mode & stat.S_IXUSR)


class RegularFiles:
    """Visits the regular files of one walk.

    Args:
        state: the state of the walk.
        targets: the directories of the target on the way to the current file.
        links: hard-link unchanged canonical files, until the file system says it cannot.
        reflinks: let unchanged files share blocks, until the file system says it cannot.

    Attributes:
        count: files seen.
        patched, linked, reflinked, copied: files made, by how.
        bytes_read, bytes_written, bytes_shared: as in a TreeReport.
    """

    def __init__(self, state: WalkState, targets: Descent, *, links: bool, reflinks: bool) -> None:
        self._state = state
        self._targets = targets
        self._links, self._reflinks = links, reflinks
        self._twins: dict[tuple[int, int], tuple[bytes, Tally]] = {}
        self.count = self.patched = self.linked = self.reflinked = self.copied = 0
        self.bytes_read = self.bytes_written = self.bytes_shared = 0

    def visit(self, origin: DirectoryEntry, place: DirectoryEntry | None) -> None:
        """Dumps and searches one file and, if it has a place, makes it there."""
        self._state.on_source("openat")
        source = os.open(origin.name, FILE_FLAGS, dir_fd=origin.directory)
        file = None
        try:
            file = _File(origin, place, source)
            self._steps(file)
        finally:
            os.close(source if file is None else file.source)
            if file is not None and file.target is not None:
                os.close(file.target)

    def _steps(self, file: _File) -> None:
        if not stat.S_ISREG(file.status.st_mode):
            raise self._state.error("unsupported")
        self.count += 1
        size = file.status.st_size
        if file.place is not None and file.status.st_nlink > 1:
            self._mark(file, b"")  # for a twin the bytes read below are the result's
        twinned = file.place is not None and self._make_twin(file, file.place)
        self._state.emit(nar.regular_head(size, executable=file.executable))
        table = None if twinned else self._state.table
        if table is None and not self._state.reads:
            self._state.nar_size += size  # there is no need to read it
            self._mark(file, b"")
        else:
            self._stream(file, table)
        self._state.emit(nar.regular_tail(size))
        self._state.hits.add(file.hits)
        if self._state.marks is not None and file.hits.references and not file.reported:
            self._state.marked.append(self._state.old_path)
        if file.place is None:
            self.patched += bool(file.hits.references)
        elif not twinned:
            self._make_file(file, file.place)

    def _stream(self, file: _File, table: Table | None) -> None:
        """One pass over the contents: read, rewritten, searched, dumped, written from a hit on."""
        size = file.status.st_size
        got = done = 0  # bytes read; bytes settled
        unsettled = b""  # a hit of the table may still lie in them
        unsearched = b""  # settled, but a wanted one may still lie in them
        final = False
        watch: Watch | None = None
        while not final:
            self._state.on_source("read")
            data = os.read(file.source, self._state.window)
            got += len(data)
            self.bytes_read += len(data)
            if got > size or (not data and got < size):
                raise self._state.error("changed")
            self._mark(file, data)
            if self._state.suspicions and watch is None:
                watch = Watch(self._state.suspicions, self._head(file, data, WORD))
            # Less than was asked for: the end was seen.
            final = got == size and len(data) < self._state.window
            settled = data
            if table is not None:
                data = unsettled + data
                settled, hits, cut = table.rewrite(data, final)
                unsettled = data[cut:]
                if file.hits.count(hits) and file.place is not None and file.target is None:
                    self._create(file, file.place)
                    self._copy(file, done)
            base = done - len(unsearched)
            if self._state.wanted is not None:
                text = unsearched + settled
                unsearched = text[self._state.search(text, IN_CONTENTS, base, final=final) :]
            if watch is not None:
                for where in watch.more(settled, final=final):
                    self._state.suspects.append((self._state.new_path, where))
            self._state.emit(settled)
            if file.target is not None:
                self._state.on_target("write")
                write_all(file.target, settled)
            done += len(settled)

    def _mark(self, file: _File, head: bytes) -> None:
        """Reports a file if it has a mark; `head` are its first bytes, or too few of them."""
        marks = self._state.marks
        if marks is None or file.marked:
            return
        file.marked = True
        if marks.has(os.path.basename(file.origin.name)) or marks.begins(
            self._head(file, head, marks.head)
        ):
            file.reported = True
            self._state.marked.append(self._state.old_path)

    def _head(self, file: _File, read: bytes, size: int) -> bytes:
        """The first `size` bytes, or more of them; these were read, and may be fewer."""
        if len(read) >= min(size, file.status.st_size):
            return read
        self._state.on_source("pread")
        return os.pread(file.source, size, 0)

    def _make_file(self, file: _File, place: DirectoryEntry) -> None:
        """Makes a file without hits in the cheapest way; gives every file its metadata."""
        size = file.status.st_size
        if file.target is not None:
            self.patched += 1
            self.bytes_written += size
        elif self._link(file, place):
            self.linked += 1
            self.bytes_shared += size
            return
        elif self._clone(file, self._create(file, place)):
            self.reflinked += 1
            self.bytes_shared += size
        else:
            self._copy(file, size)
            self.copied += 1
            self.bytes_written += size
        if file.status.st_nlink > 1:
            self._twins[file.identity] = self._state.new_path, file.hits
        assert file.target is not None
        self._state.finish(file.target, 0o555 if file.executable else 0o444)
        target, file.target = file.target, None
        self._state.on_target("close")
        os.close(target)

    def _create(self, file: _File, place: DirectoryEntry) -> int:
        file.target = make_file(self._state, place)
        return file.target

    def _link(self, file: _File, place: DirectoryEntry) -> bool:
        if not self._links or not is_canonical(file.source, file.status, self._state.owner[0]):
            return False
        try:
            os.link(
                file.origin.name,
                place.name,
                src_dir_fd=file.origin.directory,
                dst_dir_fd=place.directory,
                follow_symlinks=False,
            )
        except OSError as error:
            # For any reason: a copy may do; if not it will say why.
            self._links = error.errno != errno.EXDEV
            return False
        self._state.begun = True
        return True

    def _clone(self, file: _File, target: int) -> bool:
        if not self._reflinks or not file.status.st_size:
            return False
        try:
            reflink(file.source, target)
        except OSError as error:
            self._reflinks = error.errno not in NO_REFLINKS
            return False
        return True

    def _copy(self, file: _File, size: int) -> None:
        assert file.target is not None
        self._state.on_target("copy_file_range")
        if copy_bytes(file.source, file.target, size) < size:
            self._state.on_source("pread")
            raise self._state.error("changed")

    def _make_twin(self, file: _File, place: DirectoryEntry) -> bool:
        """If a hard link of this file was made before: links to that.

        The source then is the file that was made, to be dumped and searched.
        """
        if file.status.st_nlink < 2 or file.identity not in self._twins:
            return False
        path, hits = self._twins[file.identity]
        try:
            self._link_made(path, place)
        except OSError:
            return False  # for any reason: it can be written again
        file.hits = hits
        self.linked += 1
        self.bytes_shared += file.status.st_size
        if self._state.reads:
            self._state.on_target("openat")
            made = os.open(place.name, FILE_FLAGS, dir_fd=place.directory)
            os.close(file.source)
            file.source = made
        return True

    def _link_made(self, path: bytes, place: DirectoryEntry) -> None:
        """Links a file of the target, which may be further away than one path can say."""
        opened = None
        start = self._targets.top
        try:
            while len(path) >= PATH_MAX:
                part, slash, _ = path[: PATH_MAX - 1].rpartition(b"/")
                if not slash:
                    break
                path = path[len(part) + 1 :]
                start = os.open(part, DIRECTORY_FLAGS, dir_fd=start)
                if opened is not None:
                    os.close(opened)
                opened = start
            os.link(
                path,
                place.name,
                src_dir_fd=start,
                dst_dir_fd=place.directory,
                follow_symlinks=False,
            )
        finally:
            if opened is not None:
                os.close(opened)
