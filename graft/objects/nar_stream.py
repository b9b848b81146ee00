"""Streams rewritten: a NAR into a NAR, or any bytes, in flat memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from graft.errors import NarOrderError
from graft.fixups import HEAD
from graft.fixups.text import TextProbe
from graft.fixups.text_guards import GuardProbe
from graft.formats.nar import padding
from graft.formats.nar_reader import (
    Contents,
    Directory,
    Entry,
    Event,
    Regular,
    Symlink,
    read_archive,
)
from graft.kernel import HASH_LENGTH
from graft.kernel.place import Place
from graft.kernel.tree import FileCounts, TreeReport
from graft.objects.nar_search import NarSearch

if TYPE_CHECKING:
    from graft.fixups import Fixup
    from graft.formats.window import Window
    from graft.kernel import Table
    from graft.objects.nar_fixups import NarFixups
    from graft.objects.search import Findings

_SIZE: Final = 8  # bytes of a length in a NAR
_SMALL: Final = 1 << 18  # bytes of a text that is copied before it is rewritten


@dataclass(slots=True)
class StreamReport:
    """The changes to a stream, and the contents of a NAR.

    Attributes:
        size: bytes written.
        original_size: bytes read of a NAR.
        references: hits rewritten.
        bare: the hits whose hash part was not followed by the name.
        overlapped: hits left alone because they begin inside a rewritten one.
        patched: regular files of a NAR with references.
        copied: regular files of a NAR without references.
        bytes_read: contents of its regular files.
        directories, symlinks: in a NAR.
        seen: indices of the wanted entries that stand anywhere in the result.
        found: where they stand, if that was asked for.
    """

    size: int = 0
    original_size: int = 0
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
        """The report that a walk over the NAR's tree would give, without writing."""
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
    fixups: NarFixups | None = None,
) -> StreamReport:
    """Rewrites a NAR: contents, symlink targets and names, each on its own.

    Only files of a fix-up's type are held, one at a time, until all of their bytes are there.

    Args:
        window: at the beginning of the NAR, which is all of the stream.
        table: the references to rewrite; an empty one changes nothing.
        wanted: the references to look for in the result.
        places: list the places found, not only which of `wanted` were.
        findings: takes the references hidden in the result; `wanted` is the table of its search.
        fixups: see to the references hidden in its files; None: nothing does.

    Raises:
        BadFormatError: the stream is no NAR.
        NarOrderError: two entries of a directory would come in the wrong order, or have one name.
        TreeNeededError: a fix-up has to see other files than the current one. After either, the
            bytes written until then are worthless.
    """
    search = NarSearch(wanted, findings, places=places)
    rewriting = _NarRewriting(window, table, search, fixups)
    for event in read_archive(window):
        rewriting.take(event)
    window.pass_on()
    report = rewriting.report
    report.seen, report.found = search.seen, search.found
    report.size, report.original_size = window.written, window.position
    return report


class _NarRewriting:
    """A NAR while it passes."""

    def __init__(
        self, window: Window, table: Table, search: NarSearch, fixups: NarFixups | None
    ) -> None:
        self.report = StreamReport()
        self._window, self._table = window, table
        self._search, self._fixups = search, fixups
        self._last_names: list[bytes] = []  # the entry passed last of each open directory
        self._old_names: list[bytes] = []  # they lead to the current entry, in the original
        # The state of the current file:
        self._path = b""  # in old names
        self._before = 0  # references, when it began
        self._stays = False  # it keeps its bytes
        self._fixup: Fixup | None = None  # that is to have it
        self._held = bytearray()  # its passed bytes, if a fix-up is to have it
        self._size = 0
        self._text: TextProbe | None = None  # of a file without a fix-up
        self._guard = GuardProbe()  # of the same

    def take(self, event: Event) -> None:
        """Rewrites the data of the next event of the archive."""
        if isinstance(event, Contents):
            self._contents(event)
        elif isinstance(event, Regular):
            self._regular(event)
        elif isinstance(event, Entry):
            self._entry(event)
        elif isinstance(event, Symlink):
            if self._fixups is not None:
                self._fixups.symlink(b"/".join(self._old_names))
            self.report.rewrite(self._table, event.target, final=True)
            self._search.text(event.target, "target")
            self.report.symlinks += 1
            self._leave()
        elif isinstance(event, Directory):
            self._last_names.append(b"")
            self.report.directories += 1
        else:
            self._last_names.pop()
            self._leave()

    def _entry(self, event: Entry) -> None:
        self._old_names.append(bytes(event.name))
        self.report.rewrite(self._table, event.name, final=True)
        new_name = bytes(event.name)
        if new_name <= self._last_names[-1]:
            raise _disorder(new_name, self._last_names[-1])
        self._last_names[-1] = new_name
        self._search.enter(new_name)

    def _leave(self) -> None:
        self._search.leave()
        del self._old_names[-1:]

    def _regular(self, event: Regular) -> None:
        self._before = self.report.references
        self.report.bytes_read += event.size
        self._stays, self._fixup = False, None
        self._size, self._text = event.size, None
        if self._fixups is not None:
            self._begin(self._fixups, event.size)
        if self._fixup is None:
            self._search.regular(event.size)
            if self._fixups is not None and not self._stays:
                self._text, self._guard = TextProbe(), GuardProbe()

    def _begin(self, fixups: NarFixups, size: int) -> None:
        """Holds back the file that begins, and its size before it, if a fix-up is to have it."""
        window = self._window
        self._path = b"/".join(self._old_names)
        window.at -= _SIZE
        length = _SIZE + min(size, HEAD)
        window.holds(length)
        head = bytes(window.view[window.at + _SIZE : min(window.at + length, window.end)])
        fixup = fixups.regular(self._path, head)
        if fixup is not None and fixups.is_too_large(size):
            self._stays = fixups.too_large(fixup, self._path).replaced
        elif fixup is not None:
            self._fixup = fixup
            self._held = bytearray()
            window.withhold(_SIZE + size + -size % 8)
        window.at += _SIZE

    def _contents(self, event: Contents) -> None:
        if self._fixup is not None and self._fixups is not None:
            self._held += event.data
            if event.final:
                self._fix(self._fixups, self._fixup, bytes(self._held))
            return
        # A small text that ends with no line may end with a sum of itself.
        whole: bytes | None = None
        if self._text is not None and len(event.data) == self._size <= _SMALL:
            whole = bytes(event.data)
        # References that stay are counted all the same, as the walk over a tree does.
        text = memoryview(bytearray(event.data)) if self._stays else event.data
        event.taken = self.report.rewrite(self._table, text, final=event.final)
        self._search.contents(event.data[: event.taken], final=event.final)
        if self._text is not None:
            self._text.more(event.data[: event.taken], final=event.final)
            if self._text.text is not False:
                self._guard.more(bytes(event.data[: event.taken]))
        if event.final:
            patched = self.report.references > self._before
            if patched and self._fixups is not None and self._text is not None:
                free = self._text.text is not False and not self._guard.guarded(whole)
                self._fixups.check_unguarded(self._size, free=free)
            self._end(patched=patched, changed=patched and not self._stays)

    def _fix(self, fixups: NarFixups, fixup: Fixup, data: bytes) -> None:
        """Sends on the fix-up's result for the file that was held."""
        plain = bytearray(data)
        self.report.rewrite(self._table, memoryview(plain), final=True)
        self._held = bytearray()
        fix = fixups.fix(fixup, self._path, data, plain)
        contents: bytes | bytearray = plain
        if fix is not None and fix.contents is not None:
            contents = fix.contents
        size = len(contents)
        self._window.insert(size.to_bytes(_SIZE, "little"), contents, padding(size))
        self._search.regular(size)
        self._search.contents(memoryview(contents), final=True)
        patched = self.report.references > self._before or (fix is not None and fix.unshared)
        self._end(patched=patched, changed=contents != data)

    def _end(self, *, patched: bool, changed: bool) -> None:
        if patched:
            self.report.patched += 1
        else:
            self.report.copied += 1
        if self._fixups is not None:
            self._fixups.passed(self._path, changed=changed)
        self._leave()


def _disorder(name: bytes, last: bytes) -> NarOrderError:
    shown = name.decode("utf-8", "backslashreplace")
    return NarOrderError(
        f"the entry '{shown}' would no longer come after "
        f"'{last.decode('utf-8', 'backslashreplace')}': a stream cannot be sorted; rewrite "
        "the unpacked tree",
        name=shown,
    )
