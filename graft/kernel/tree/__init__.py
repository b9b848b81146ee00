"""One directory tree on disk: copied with its references rewritten, read, dumped as NAR, removed.

The work is one pass over the tree in the order of its NAR. The native kernel does it if that is in
use, else its pure twin in graft.kernel.tree.walk.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from graft import kernel
from graft.errors import GraftError
from graft.kernel.anchors import WORD
from graft.kernel.place import Place, Site, Where
from graft.kernel.reference import ENCODINGS
from graft.kernel.tree import mapping as reading
from graft.kernel.tree.descent import MovedDirectoryError
from graft.kernel.tree.failure import Failure, translated
from graft.kernel.tree.mapping import WINDOW
from graft.kernel.tree.marks import HEAD, Marks
from graft.kernel.tree.removal import delete_tree
from graft.kernel.tree.report import FileCounts, TreeReport
from graft.kernel.tree.state import IN_DENSITY, IN_STREAMS, WalkError
from graft.kernel.tree.suspicion import MOST, Suspicion
from graft.kernel.tree.walk import walk_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from graft.kernel import Table

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    Sink = Callable[[memoryview], object]

__all__ = [
    "WINDOW",
    "FileCounts",
    "Marks",
    "Suspicion",
    "TreeReport",
    "copy_tree",
    "read_tree",
    "remove_tree",
    "sync_file_system",
]

_WHERE: Final[tuple[Where, ...]] = ("contents", "target", "name")


def copy_tree(
    source: Path,
    target: Path,
    table: Table | None,
    *,
    wanted: Table | None = None,
    sink: Sink | None = None,
    marks: Marks | None = None,
    suspicions: Sequence[Suspicion] = (),
    report: bool = False,
    links: bool = True,
    owner: tuple[int, int] | None = None,
    window: int = WINDOW,
    jobs: int = 1,
) -> TreeReport:
    """Copies a file, symlink or directory tree, its references rewritten, as a store object.

    Contents, symlink targets and names are rewritten. The copy has the metadata of a store:
    modification time 1, modes 0444 and 0555, symlinks with their own; extended attributes and
    set-user-id bits are not copied. A file without a hit is hard-linked if it is canonical itself,
    else shares its blocks, else is copied. Files that are hard links to each other stay so.

    Args:
        source: the tree's top; a symlink there is not followed.
        target: the path of the copy; must not exist.
        table: the references to rewrite; None or an empty table changes nothing.
        wanted: the references to look for in the result.
        sink: takes the result's NAR in order, in pieces of 64 KiB or more as a rule; a piece is
            valid during the call only.
        marks: the marks of the regular files that are to be reported, as in the original.
        suspicions: words that are looked for in the result.
        report: list the places found, not only which of `wanted` were.
        links: whether hard links to the original may be made; on overlayfs no link is.
        owner: user id and group id of the copy; None: the effective user's. Only files that belong
            to that user are hard-linked.
        window: bytes read at a time.
        jobs: threads that walk the tree; with a sink one does, for the NAR has an order.

    Raises:
        UnsupportedFileError: the tree holds a device, a pipe or a socket.
        NameCollisionError: two entries of one directory would get the same name.
        ChangedFileError: a file changed while it was read.
        NoSpaceError: the file system is full.
        StorePermissionError: something may not be read or written.
        TreeError: any other failure of a system call.

    After an exception, whichever, nothing of the copy is left. An exception of the sink is passed
    on.
    """
    return _walk(
        _path(source),
        _path(target),
        table=table,
        wanted=wanted,
        sink=sink,
        marks=marks,
        suspicions=suspicions,
        report=report,
        links=links,
        owner=owner,
        window=window,
        jobs=jobs,
    )


def read_tree(
    source: Path,
    *,
    table: Table | None = None,
    wanted: Table | None = None,
    sink: Sink | None = None,
    marks: Marks | None = None,
    suspicions: Sequence[Suspicion] = (),
    report: bool = False,
    window: int = WINDOW,
    jobs: int = 1,
) -> TreeReport:
    """Reads a file, symlink or directory tree: dumps it as NAR and searches it. Writes nothing.

    Args:
        source: the tree's top; a symlink there is not followed.
        table: the references to rewrite before anything is searched or dumped: the copy that
            `copy_tree` would make is read instead of the tree itself.
        wanted: the references to look for.
        sink: as for `copy_tree`, whose errors apply as well.
        marks: the marks of the regular files that are to be reported, as in the original.
        suspicions: words that are looked for in the result.
        report: list the places found, not only which of `wanted` were.
        window: bytes read at a time.
        jobs: as for `copy_tree`.
    """
    return _walk(
        _path(source),
        None,
        table=table,
        wanted=wanted,
        sink=sink,
        marks=marks,
        suspicions=suspicions,
        report=report,
        links=False,
        owner=None,
        window=window,
        jobs=jobs,
    )


def remove_tree(path: Path) -> None:
    """Removes a file, symlink or directory tree, read-only directories too.

    A missing path is no error. Files are unlinked and never changed, for they may have other names.

    Raises:
        StorePermissionError: something may not be removed.
        TreeError: any other failure of a system call.
    """
    top = _path(path)
    try:
        delete_tree(top)
    except MovedDirectoryError:
        raise translated(Failure("changed", 0, "openat"), top, top) from None
    except OSError as error:
        failure = Failure("system", error.errno or 0, "remove")
        raise translated(failure, top, top) from error


def sync_file_system(path: Path) -> None:
    """Returns when everything on the file system of `path` is on the disk.

    Raises:
        TreeError: the path cannot be opened, or the disk failed.
    """
    top = _path(path)
    try:
        if kernel.native is None:
            os.close(os.open(top, os.O_RDONLY | os.O_CLOEXEC))
            os.sync()
        else:
            kernel.native.syncfs(top)
    except OSError as error:
        failure = Failure("system", error.errno or 0, "syncfs")
        raise translated(failure, top, top) from error


def _walk(
    source: bytes,
    target: bytes | None,
    *,
    table: Table | None,
    wanted: Table | None,
    sink: Sink | None,
    marks: Marks | None,
    suspicions: Sequence[Suspicion],
    report: bool,
    links: bool,
    owner: tuple[int, int] | None,
    window: int,
    jobs: int,
) -> TreeReport:
    """Walks with the kernel in use; leaves nothing behind if that fails."""
    if window < 1 or jobs < 1:
        raise ValueError("the window must be at least one byte, and the jobs one")
    if marks is not None and not marks.possible:
        raise ValueError(f"a magic is of one byte or more, in the first {HEAD} bytes")
    if len(suspicions) > MOST or not all(suspicion.possible for suspicion in suspicions):
        raise ValueError(f"suspicions are {MOST} at most, their magics of {WORD} bytes at most")
    walk: Callable[..., Any] = walk_tree
    errors: tuple[type[Exception], ...] = (WalkError,)
    if kernel.native is not None:
        errors = (kernel.native.WalkError,)
        walk = partial(
            kernel.native.walk,
            map_window=reading.MAP_WINDOW,
            map_from=reading.MAP_FROM,
            threads_map_from=reading.THREADS_MAP_FROM,
            threads=jobs,
        )
    user, group = owner or _effective_owner()
    try:
        numbers, seen, found, marked, suspects = walk(
            source,
            target,
            table=table,
            wanted=wanted,
            sink=sink,
            marks=marks,
            suspicions=tuple(suspicions),
            report=report,
            links=links,
            reflinks=True,
            owner=user,
            group=group,
            window=window,
        )
    except errors as error:
        failure = Failure(*error.args)
        raised: BaseException | None = error.__cause__
    else:
        places = () if wanted is None else _places(found, wanted)
        return _report(numbers, seen, tuple(places), marked, suspects)
    if raised is None:
        raised = translated(failure, source, target or source)
    if failure.begun and target is not None:
        try:
            remove_tree(target)
        except GraftError as error:
            raised.add_note(f"the left-over is still there: {error}")
    raise raised


def _places(found: Iterable[tuple[bytes, int, int, int, int]], wanted: Table) -> Iterator[Place]:
    for file, offset, index, stride, where in found:
        yield Place(
            file=file,
            where=_WHERE[where],
            offset=offset,
            encoding=ENCODINGS[stride],
            hash_part=wanted.hash_part(index),
        )


def _report(
    numbers: tuple[int, ...],
    seen: bytes,
    found: tuple[Place, ...],
    marked: list[bytes],
    suspects: list[tuple[bytes, int]],
) -> TreeReport:
    nar_size, regular_files, *files = numbers[:6]
    directories, symlinks, read, written, shared, references, bare, overlapped = numbers[6:]
    patched, linked, reflinked, copied = files
    return TreeReport(
        nar_size=nar_size,
        regular_files=regular_files,
        files=FileCounts(patched=patched, linked=linked, reflinked=reflinked, copied=copied),
        directories=directories,
        symlinks=symlinks,
        bytes_read=read,
        bytes_written=written,
        bytes_shared=shared,
        references=references,
        bare=bare,
        overlapped=overlapped,
        found=found,
        seen=frozenset(index for index, flag in enumerate(seen) if flag),
        marked=tuple(sorted(marked)),
        suspects=tuple(
            sorted(Site(file, _WHERE[where]) for file, where in suspects if where < IN_STREAMS)
        ),
        streamed=tuple(sorted(file for file, where in suspects if where == IN_STREAMS)),
        dense=tuple(sorted(file for file, where in suspects if where == IN_DENSITY)),
    )


def _effective_owner() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


def _path(path: Path) -> bytes:
    """A path as the walk wants it: bytes, without slashes at its end."""
    text = os.fsencode(path)
    return text.rstrip(b"/") or text[:1]
