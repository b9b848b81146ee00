"""A NAR that comes as a stream, made into a tree: a stranger's word made into files."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Self

from graft.errors import GraftError
from graft.formats.nar_reader import (
    Contents,
    Directory,
    DirectoryEnd,
    Entry,
    Event,
    Regular,
    Symlink,
    read_archive,
)
from graft.formats.window import Window
from graft.kernel.tree import remove_tree
from graft.kernel.tree.copying import write_all
from graft.kernel.tree.creation import make_directory, make_file, make_symlink
from graft.kernel.tree.descent import Descent, MovedDirectoryError
from graft.kernel.tree.failure import Failure, translated
from graft.kernel.tree.state import DirectoryEntry, WalkError, WalkState


def unpack_archive(
    readinto: Callable[[memoryview], int],
    target: str | bytes | os.PathLike[str],
    *,
    owner: tuple[int, int] | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> None:
    """Makes a file, symlink or directory tree of a NAR, as a store object, in flat memory.

    The tree has the metadata of a store: modification time 1, modes 0444 and 0555, symlinks with
    their own, no ACLs. Nothing is made outside the target, for any NAR.

    Args:
        readinto: puts bytes of the NAR at the beginning of the buffer it is given, and returns
            their number: 0 only at the end, which is reached before this returns.
        target: the path of the tree; must not exist.
        owner: user id and group id of the tree; None: the effective user's.
        on_bytes: called with the number of bytes of the NAR done since the last call.

    Raises:
        BadFormatError: it is no NAR, or a stranger's trick.
        NoSpaceError: the file system is full.
        StorePermissionError: something may not be written.
        TreeError: any other failure of a system call.

    After an exception, whichever, nothing of the tree is left. Exceptions of `readinto` and
    `on_bytes` are passed on.
    """
    place = os.fsencode(target)
    state = WalkState(
        table=None,
        wanted=None,
        sink=None,
        report=False,
        owner=owner or (os.geteuid(), os.getegid()),
        window=0,
    )
    window = Window(readinto, lambda data: None if on_bytes is None else on_bytes(len(data)))
    try:
        with _Unpacking(state, place) as unpacking:
            for event in read_archive(window):
                unpacking.take(event)
            window.pass_on()
    except BaseException as error:
        raised = error
        if isinstance(error, WalkError):
            raised = translated(Failure(*error.args), place, place)
        if state.begun:
            try:
                remove_tree(place)
            except GraftError as left:
                raised.add_note(f"the left-over is still there: {left}")
        if raised is error:
            raise
        raise raised from None


class _Unpacking:
    """A tree while it is made; closes the open files when left as a context."""

    def __init__(self, state: WalkState, target: bytes) -> None:
        self._state = state
        self._target = target
        self._descent = Descent()
        # The way from the target to the current entry: names and no paths, whose lengths would add
        # up to the square of the depth.
        self._names: list[bytes] = []
        self._file: int | None = None
        self._executable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._descent:
            if self._file is not None:
                os.close(self._file)

    def take(self, event: Event) -> None:
        """Makes the entry of the next event of the archive.

        Raises:
            WalkError: a system call failed.
        """
        try:
            self._take(event)
        except MovedDirectoryError:
            raise self._error("changed") from None
        except OSError as error:
            raise self._error("system", error.errno or 0) from None

    def _error(self, kind: str, code: int = 0) -> WalkError:
        self._state.new_path = b"/".join(self._names)
        return self._state.error(kind, code)

    def _take(self, event: Event) -> None:
        if isinstance(event, Entry):
            self._names.append(bytes(event.name))
        elif isinstance(event, Contents):
            self._write(event)
        elif isinstance(event, Regular):
            self._executable = event.executable
            self._file = make_file(self._state, self._place())
        elif isinstance(event, Symlink):
            make_symlink(self._state, self._place(), bytes(event.target))
            self._end_entry()
        elif isinstance(event, Directory):
            self._descent.enter(make_directory(self._state, self._place()))
        elif isinstance(event, DirectoryEnd):
            self._state.finish(self._descent.innermost, 0o555)
            self._state.on_target("openat")
            self._descent.leave()
            self._end_entry()

    def _place(self) -> DirectoryEntry:
        if self._names:
            return DirectoryEntry(self._descent.innermost, self._names[-1])
        return DirectoryEntry(None, self._target)

    def _end_entry(self) -> None:
        if self._names:
            self._names.pop()

    def _write(self, piece: Contents) -> None:
        assert self._file is not None
        self._state.on_target("write")
        write_all(self._file, piece.data)
        if not piece.final:
            return
        self._state.finish(self._file, 0o555 if self._executable else 0o444)
        file, self._file = self._file, None
        self._state.on_target("close")
        os.close(file)
        self._end_entry()
