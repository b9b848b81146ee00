"""Streams rewritten: a NAR into a NAR, or any bytes, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graft.errors import NarOrderError
from graft.formats import nar
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
from graft.kernel import Rewriter, Table
from graft.tree import FileCounts

PIECE = 262_144
"""Bytes read from a stream at a time."""


@dataclass(slots=True)
class StreamReport:
    """What was done to a stream.

    Attributes:
        size: bytes written.
        references: hits rewritten.
        bare: those of them whose hash part was not followed by the name.
        overlapped: hits left alone because they begin inside a rewritten one.
        patched: regular files of a NAR with references.
        copied: those without.
    """

    size: int = 0
    references: int = 0
    bare: int = 0
    overlapped: int = 0
    patched: int = 0
    copied: int = 0

    @property
    def files(self) -> FileCounts:
        """The regular files of a NAR."""
        return FileCounts(patched=self.patched, copied=self.copied)


def rewrite_stream(
    read: Callable[[int], bytes], write: Callable[[bytes], object], table: Table
) -> StreamReport:
    """Rewrites a stream of any bytes.

    Args:
        read: gives up to as many bytes as asked for, and none only at the end.
        write: takes the result in order.
    """
    report = StreamReport()
    for piece in _rewritten(iter(lambda: read(PIECE), b""), table, report):
        write(piece)
        report.size += len(piece)
    return report


def rewrite_archive(
    read: Callable[[int], bytes], write: Callable[[bytes], object], table: Table
) -> StreamReport:
    """Rewrites a NAR: contents, symlink targets and names, each on its own.

    Raises:
        BadFormatError: the stream is no NAR.
        NarOrderError: two entries of a directory would come in the wrong order, or have one name.
            What was written until then is worthless.
    """
    report = StreamReport()

    def put(data: bytes) -> None:
        write(data)
        report.size += len(data)

    put(nar.MAGIC)
    writer = _ArchiveWriter(put, table, report)
    for event in read_archive(read):
        writer.take(event)
    return report


def _rewritten(pieces: Iterator[bytes], table: Table, report: StreamReport) -> Iterator[bytes]:
    rewriter = Rewriter(table)
    for piece in pieces:
        yield rewriter.feed(piece)
    yield rewriter.finish()
    report.references += rewriter.references
    report.bare += rewriter.bare
    report.overlapped += rewriter.overlapped


class _ArchiveWriter:
    """Writes a NAR again, event by event, rewritten."""

    def __init__(self, put: Callable[[bytes], object], table: Table, report: StreamReport) -> None:
        self._put = put
        self._table = table
        self._report = report
        self._last_names: list[bytes] = []  # of each open directory, the entry written last
        self._file: Rewriter | None = None
        self._left = 0  # bytes of the file's contents that are still to come
        self._size = 0

    def take(self, event: Event) -> None:
        match event:
            case Regular(executable, size):
                self._put(nar.regular_head(size, executable=executable))
                self._file = Rewriter(self._table)
                self._left = self._size = size
                self._end_file_if_whole()
            case Contents(data):
                assert self._file is not None
                self._put(self._file.feed(data))
                self._left -= len(data)
                self._end_file_if_whole()
            case Symlink(target):
                self._put(nar.symlink_object(self._text(target)))
                self._end_object()
            case Directory():
                self._put(nar.DIRECTORY_HEAD)
                self._last_names.append(b"")
            case Entry(name):
                new_name = self._text(name)
                self._check_order(new_name)
                self._put(nar.entry_head(new_name))
            case DirectoryEnd():
                self._put(nar.DIRECTORY_TAIL)
                self._last_names.pop()
                self._end_object()

    def _end_file_if_whole(self) -> None:
        if self._left or self._file is None:
            return
        self._put(self._file.finish())
        self._put(nar.regular_tail(self._size))
        self._count(self._file)
        if self._file.references:
            self._report.patched += 1
        else:
            self._report.copied += 1
        self._file = None
        self._end_object()

    def _end_object(self) -> None:
        if self._last_names:
            self._put(nar.ENTRY_TAIL)

    def _text(self, text: bytes) -> bytes:
        """A name or target, rewritten whole."""
        rewriter = Rewriter(self._table)
        rewritten = rewriter.feed(text) + rewriter.finish()
        self._count(rewriter)
        return rewritten

    def _count(self, rewriter: Rewriter) -> None:
        self._report.references += rewriter.references
        self._report.bare += rewriter.bare
        self._report.overlapped += rewriter.overlapped

    def _check_order(self, name: bytes) -> None:
        last = self._last_names[-1]
        if name <= last:
            shown = name.decode("utf-8", "backslashreplace")
            raise NarOrderError(
                f"the entry '{shown}' would no longer come after "
                f"'{last.decode('utf-8', 'backslashreplace')}': a stream cannot be sorted; rewrite "
                "the unpacked tree",
                name=shown,
            )
        self._last_names[-1] = name
