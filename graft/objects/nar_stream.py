"""Streams rewritten: a NAR into a NAR, or any bytes, in flat memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from graft.errors import NarOrderError
from graft.formats.nar_reader import (
    Contents,
    Directory,
    Entry,
    Regular,
    Symlink,
    read_archive,
)
from graft.formats.window import Window
from graft.kernel import HASH_LENGTH, Hit, Table
from graft.kernel.place import Place, Where
from graft.kernel.reference import ENCODINGS
from graft.kernel.tree import FileCounts, TreeReport
from graft.kernel.tree.marks import Marks
from graft.objects.search import Findings, PassingFile


@dataclass(slots=True)
class StreamReport:
    """What was done to a stream, and of a NAR what was seen in it.

    Attributes:
        size: bytes written.
        references: hits rewritten.
        bare: those of them whose hash part was not followed by the name.
        overlapped: hits left alone because they begin inside a rewritten one.
        patched: regular files of a NAR with references.
        copied: those without.
        bytes_read: contents of its regular files.
        directories, symlinks: in a NAR.
        seen: indices of the wanted entries that stand anywhere in the result.
        found: where they stand, if that was asked for.
        marked: its regular files with one of the marks asked for, in the original's names.
    """

    size: int = 0
    references: int = 0
    bare: int = 0
    overlapped: int = 0
    patched: int = 0
    copied: int = 0
    bytes_read: int = 0
    directories: int = 0
    symlinks: int = 0
    seen: set[int] = field(default_factory=set)
    found: list[Place] = field(default_factory=list)
    marked: list[bytes] = field(default_factory=list)

    @property
    def files(self) -> FileCounts:
        """The regular files of a NAR."""
        return FileCounts(patched=self.patched, copied=self.copied)

    def rewrite(self, table: Table, text: memoryview, *, final: bool) -> int:
        """Rewrites a text in place, and counts; returns how many of its bytes are settled."""
        if not table or (final and len(text) < HASH_LENGTH):
            return len(text)  # most names: no reference fits
        cut, references, bare, overlapped = table.rewrite_in_place(text, final)
        self.references += references
        self.bare += bare
        self.overlapped += overlapped
        return cut

    def as_of_tree(self) -> TreeReport:
        """What a walk over the tree of a NAR would have said that writes nothing."""
        return TreeReport(
            nar_size=self.size,
            regular_files=self.patched + self.copied,
            files=FileCounts(patched=self.patched),
            directories=self.directories,
            symlinks=self.symlinks,
            bytes_read=self.bytes_read,
            bytes_written=0,
            bytes_shared=0,
            references=self.references,
            bare=self.bare,
            overlapped=self.overlapped,
            found=tuple(self.found),
            seen=frozenset(self.seen),
            marked=tuple(sorted(self.marked)),
        )


class _Search:
    """Looks for what is wanted in the bytes of a NAR that will not change any more."""

    def __init__(
        self,
        wanted: Table | None,
        report: StreamReport,
        findings: Findings | None,
        *,
        places: bool,
    ) -> None:
        self._findings = findings
        self._passing: PassingFile | None = None  # the file in hand
        self._wanted = wanted or None
        self._report = report
        self._places = places
        self._names: list[bytes] = []  # that lead to the entry in hand
        self._unsearched = b""  # of the contents in hand: what is wanted may still begin there
        self._position = 0  # in the contents, behind those bytes

    def enter(self, name: bytes) -> None:
        """An entry begins."""
        self._names.append(name)
        self.text(name, "name")

    def leave(self) -> None:
        """The entry is over."""
        if self._names:
            self._names.pop()

    def regular(self, size: int) -> None:
        """A file begins."""
        if self._findings is not None:
            name = self._names[-1] if self._names else b""
            self._passing = self._findings.passing_file(b"/".join(self._names), name, size)

    def text(self, text: bytes | memoryview, where: Where) -> None:
        """Looks through a name or a symlink's target."""
        if self._findings is not None and len(text) >= HASH_LENGTH:
            self._findings.text(b"/".join(self._names), where, bytes(text))
        if self._wanted is not None and len(text) >= HASH_LENGTH:
            self._note(self._wanted, self._wanted.find(text)[0], where, 0)

    def contents(self, data: memoryview, *, final: bool) -> None:
        """Looks through the next bytes of a file's contents."""
        if self._passing is not None:
            self._passing.more(data, final=final)
        if self._wanted is not None:
            base = self._position - len(self._unsearched)
            text = self._unsearched + data if self._unsearched else data
            hits, cut = self._wanted.find(text, final)
            self._note(self._wanted, hits, "contents", base)
            self._unsearched = b"" if final else bytes(text[cut:])
            self._position = 0 if final else self._position + len(data)

    def _note(self, wanted: Table, hits: Iterable[Hit], where: Where, base: int) -> None:
        for hit in hits:
            self._report.seen.add(hit.index)
            if self._places:
                self._report.found.append(
                    Place(
                        file=b"/".join(self._names),
                        where=where,
                        offset=base + hit.offset,
                        encoding=ENCODINGS[hit.stride],
                        hash_part=wanted.hash_part(hit.index),
                    )
                )


def rewrite_stream(window: Window, table: Table) -> StreamReport:
    """Rewrites a stream of any bytes, from where the window is to its end."""
    report = StreamReport()
    while True:
        window.at += report.rewrite(table, window.view[window.at : window.end], final=False)
        if not window.move():
            break
    window.at += report.rewrite(table, window.view[: window.end], final=True)
    window.pass_on()
    report.size = window.position
    return report


def rewrite_archive(
    window: Window,
    table: Table,
    *,
    wanted: Table | None = None,
    places: bool = False,
    findings: Findings | None = None,
    marks: Marks | None = None,
) -> StreamReport:
    """Rewrites a NAR: contents, symlink targets and names, each on its own.

    Args:
        window: at the beginning of the NAR, which is all of the stream.
        table: what to rewrite; an empty one changes nothing.
        wanted: what to look for in the result.
        places: list the places found, not only which of `wanted` were.
        findings: takes what is hidden in the result; `wanted` is the table of its search.
        marks: of the regular files that are to be reported, as they are in the original.

    Raises:
        BadFormatError: the stream is no NAR.
        NarOrderError: two entries of a directory would come in the wrong order, or have one name.
            What was written until then is worthless.
    """
    report = StreamReport()
    search = _Search(wanted, report, findings, places=places)
    last_names: list[bytes] = []  # of each open directory, the entry passed last
    old_names: list[bytes] = []  # that lead to the entry in hand, in the original
    before = 0  # references, when the file began
    for event in read_archive(window):
        if isinstance(event, Contents):
            event.taken = report.rewrite(table, event.data, final=event.final)
            search.contents(event.data[: event.taken], final=event.final)
            if event.final:
                if report.references > before:
                    report.patched += 1
                else:
                    report.copied += 1
                search.leave()
                del old_names[-1:]
        elif isinstance(event, Regular):
            before = report.references
            report.bytes_read += event.size
            search.regular(event.size)
            if marks is not None and _has(marks, old_names, window, event.size):
                report.marked.append(b"/".join(old_names))
        elif isinstance(event, Entry):
            old_names.append(bytes(event.name))
            report.rewrite(table, event.name, final=True)
            new_name = bytes(event.name)
            if new_name <= last_names[-1]:
                raise _disorder(new_name, last_names[-1])
            last_names[-1] = new_name
            search.enter(new_name)
        elif isinstance(event, Symlink):
            report.rewrite(table, event.target, final=True)
            search.text(event.target, "target")
            report.symlinks += 1
            search.leave()
            del old_names[-1:]
        elif isinstance(event, Directory):
            last_names.append(b"")
            report.directories += 1
        else:
            last_names.pop()
            search.leave()
            del old_names[-1:]
    window.pass_on()
    report.size = window.position
    return report


def _has(marks: Marks, names: list[bytes], window: Window, size: int) -> bool:
    """Whether the file whose contents begin in the window has one of the marks."""
    if names and marks.has(names[-1]):
        return True
    length = min(size, marks.head)
    window.holds(length)
    return marks.begins(bytes(window.view[window.at : window.at + length]))


def _disorder(name: bytes, last: bytes) -> NarOrderError:
    shown = name.decode("utf-8", "backslashreplace")
    return NarOrderError(
        f"the entry '{shown}' would no longer come after "
        f"'{last.decode('utf-8', 'backslashreplace')}': a stream cannot be sorted; rewrite "
        "the unpacked tree",
        name=shown,
    )
