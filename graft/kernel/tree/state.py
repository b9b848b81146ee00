"""The request, the place and the finds of one walk: the pure twin's state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from graft.kernel import Hit, Table
    from graft.kernel.tree.marks import Marks
    from graft.kernel.tree.suspicion import Suspicion

IN_CONTENTS: Final = 0
IN_TARGET: Final = 1
IN_NAME: Final = 2
IN_STREAMS: Final = 3  # of a suspect: a stream begins in its contents
IN_DENSITY: Final = 4  # of a suspect: its contents are dense

STORE_TIME: Final = (1_000_000_000, 1_000_000_000)
"""Access and modification time of every file in a store: the second after the epoch, in ns."""


class WalkError(Exception):
    """A walk failed; its cause is the exception of the sink or of a signal's handler.

    args are kind (system, unsupported, collision, changed, stopped), errno and the system call. The
    file relative to the top follows, whether that is the target's, and whether something was made
    at the target.
    """


class DirectoryEntry(NamedTuple):
    """An entry by its directory's descriptor and its name; no directory for the tree's top."""

    directory: int | None
    name: bytes


class Tally:
    """Hits counted as a TreeReport has them."""

    __slots__ = ("bare", "overlapped", "references")

    def __init__(self) -> None:
        self.references = self.bare = self.overlapped = 0

    def count(self, hits: list[Hit]) -> bool:
        """Counts hits; True if one of them takes bytes."""
        taking = [hit for hit in hits if not hit.overlapped]
        self.references += len(taking)
        self.bare += sum(hit.bare for hit in taking)
        self.overlapped += len(hits) - len(taking)
        return bool(taking)

    def add(self, other: Tally) -> None:
        """Adds the counts of another walk."""
        self.references += other.references
        self.bare += other.bare
        self.overlapped += other.overlapped


class WalkState:
    """The state that directories, symlinks and files share.

    Attributes:
        table: the references to rewrite; None if there are no such references.
        wanted: the references to look for; None if there are no such references.
        owner: user id and group id of the files made.
        set_owner: whether new files would get another owner by themselves.
        window: bytes read at a time.
        marks: the marks of the files that are to be reported.
        marked: these files, by their old paths.
        suspicions: the words that are looked for in the result.
        suspects: (file, where) of each place in which one stands.
        old_path: the current entry's path, relative to the source.
        new_path: the current entry's path, relative to the target.
        begun: whether something was made.
        nar_size: bytes of NAR so far.
        hits: the counts of hits of `table`.
        seen: for each entry of `wanted` a byte, 1 if it was seen.
        found: (file, offset, index, stride, where) of each place found, if a report is asked for.
    """

    def __init__(
        self,
        *,
        table: Table | None,
        wanted: Table | None,
        sink: Callable[[memoryview], object] | None,
        report: bool,
        owner: tuple[int, int],
        window: int,
        marks: Marks | None = None,
        suspicions: tuple[Suspicion, ...] = (),
    ) -> None:
        self.table = table or None
        self.wanted = wanted or None
        self.sink, self.owner, self.window = sink, owner, window
        self.marks = marks
        self.marked: list[bytes] = []
        self.suspicions = suspicions
        self.suspects: list[tuple[bytes, int]] = []
        self.set_owner = owner != (os.geteuid(), os.getegid())
        self.old_path = self.new_path = b""
        self.begun = False
        self.nar_size = 0
        self.hits = Tally()
        self.seen = bytearray(len(wanted or ()))
        self.found: list[tuple[bytes, int, int, int, int]] = []
        self._report = report
        self._call, self._in_target = "", False

    @property
    def reads(self) -> bool:
        """Whether contents are read for more than to be rewritten."""
        return self.sink is not None or self.wanted is not None or bool(self.suspicions)

    def on_source(self, call: str) -> None:
        """Notes, for an error's sake, which system call is about to be made."""
        self._call, self._in_target = call, False

    def on_target(self, call: str) -> None:
        """Notes, for an error's sake, which system call is about to be made."""
        self._call, self._in_target = call, True

    def error(self, kind: str, code: int = 0) -> WalkError:
        """The error for the failure noted last."""
        file = self.new_path if self._in_target else self.old_path
        return WalkError(kind, code, self._call, file, self._in_target, self.begun)

    def emit(self, data: bytes) -> None:
        """Hands over bytes of the NAR."""
        self.nar_size += len(data)
        if self.sink is None or not data:
            return
        try:
            self.sink(memoryview(data))
        except BaseException as error:
            raise self.error("stopped") from error

    def search(self, data: bytes, where: int, base: int = 0, *, final: bool = True) -> int:
        """Searches settled bytes of the result, `base` being the offset of the first.

        Returns:
            The cut: the bytes that need not be seen again.
        """
        if self.wanted is None:
            return len(data)
        hits, cut = self.wanted.find(data, final)
        for hit in hits:
            self.seen[hit.index] = 1
            if self._report:
                place = (self.new_path, base + hit.offset, hit.index, hit.stride, where)
                self.found.append(place)
        return cut

    def search_text(self, text: bytes, where: int) -> None:
        """Searches a name or a symlink's target, whole."""
        if any(
            each.anchors is not None and not each.magics and each.anchors.find(text)
            for each in self.suspicions
        ):
            self.suspects.append((self.new_path, where))
        self.search(text, where)

    def rewrite(self, name: bytes) -> bytes:
        """A name or a symlink's target, rewritten."""
        if self.table is None:
            return name
        result, hits, _ = self.table.rewrite(name)
        self.hits.count(hits)
        return result

    def finish(self, target: int, mode: int) -> None:
        """Gives a made file or directory its metadata."""
        if self.set_owner:
            self.on_target("fchown")
            os.fchown(target, *self.owner)
        self.on_target("fchmod")
        os.fchmod(target, mode)
        self.on_target("futimens")
        os.utime(target, ns=STORE_TIME)
