"""Streams rewritten: a NAR into a NAR, or any bytes, in flat memory."""

from __future__ import annotations

from dataclasses import dataclass

from graft.errors import NarOrderError
from graft.formats.nar_reader import (
    Contents,
    Directory,
    Entry,
    Regular,
    Symlink,
    read_archive,
)
from graft.kernel import HASH_LENGTH, Table
from graft.tree import FileCounts
from graft.window import Window


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

    def rewrite(self, table: Table, text: memoryview, *, final: bool) -> int:
        """Rewrites a text in place, and counts; returns how many of its bytes are settled."""
        if final and len(text) < HASH_LENGTH:
            return len(text)  # most names: no reference fits
        cut, references, bare, overlapped = table.rewrite_in_place(text, final)
        self.references += references
        self.bare += bare
        self.overlapped += overlapped
        return cut


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


def rewrite_archive(window: Window, table: Table) -> StreamReport:
    """Rewrites a NAR: contents, symlink targets and names, each on its own.

    Args:
        window: at the beginning of the NAR, which is all of the stream.

    Raises:
        BadFormatError: the stream is no NAR.
        NarOrderError: two entries of a directory would come in the wrong order, or have one name.
            What was written until then is worthless.
    """
    report = StreamReport()
    last_names: list[bytes] = []  # of each open directory, the entry passed last
    before = 0  # references, when the file began
    for event in read_archive(window):
        if isinstance(event, Contents):
            event.taken = report.rewrite(table, event.data, final=event.final)
            if event.final and report.references > before:
                report.patched += 1
            elif event.final:
                report.copied += 1
        elif isinstance(event, Regular):
            before = report.references
        elif isinstance(event, Entry):
            report.rewrite(table, event.name, final=True)
            new_name = bytes(event.name)
            if new_name <= last_names[-1]:
                raise _disorder(new_name, last_names[-1])
            last_names[-1] = new_name
        elif isinstance(event, Symlink):
            report.rewrite(table, event.target, final=True)
        elif isinstance(event, Directory):
            last_names.append(b"")
        else:
            last_names.pop()
    window.pass_on()
    report.size = window.position
    return report


def _disorder(name: bytes, last: bytes) -> NarOrderError:
    shown = name.decode("utf-8", "backslashreplace")
    return NarOrderError(
        f"the entry '{shown}' would no longer come after "
        f"'{last.decode('utf-8', 'backslashreplace')}': a stream cannot be sorted; rewrite "
        "the unpacked tree",
        name=shown,
    )
