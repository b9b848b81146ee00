"""Files of OLD that a changed path refers to, and that NEW has not: they would be missing.

A path that is rewritten refers to a file of OLD by its full path: in a text, in a string of a
program, in the target of a symlink. Where OLD has that file or directory, NEW must have it too, for
after the graft the same text leads into NEW. Texts inside of containers are not looked at.
"""

from __future__ import annotations

import mmap
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from graft.check.abi.store_contents import StoreContents
from graft.check.abi.views import World, world_after, world_before
from graft.errors import MissingFileError, TreeError
from graft.formats.file_name import printable
from graft.formats.nar_reader import (
    Contents,
    DirectoryEnd,
    Entry,
    Regular,
    Symlink,
    read_archive,
)
from graft.formats.store_path import HASH_PART_LENGTH, StoreDir, StorePath
from graft.formats.window import Window
from graft.kernel import Table
from graft.kernel.place import Place
from graft.kernel.tree import read_tree
from graft.plan import Plan, PlanWarning, Rewrite
from graft.quantities import counted
from graft.store.api import Source
from graft.store.objects import NarObject, StoreObject, TreeObject

_LONGEST: Final = 4096  # PATH_MAX
_SHOWN: Final = 3

# A path in a text ends at a character that hardly any file of a package has in its name. A path put
# together when a program runs ("lib/$NAME", "lib/%s") names no file that is there, and is passed
# by.
_TEXT: Final = re.compile(rb"""[^\0-\x20\x7f"'`<>|;:,&(){}\[\]\\$*?#]+""")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class MissingFile:
    """A reference to a file that will not be there.

    Attributes:
        path: the original of the path that refers to it.
        file: which of its files does, relative to its top.
        reference: the full path of the file of OLD.
        new: the NEW that has no such file.
    """

    path: StorePath
    file: bytes
    reference: bytes
    new: StorePath


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFiles:
    """All of a plan's.

    Attributes:
        store_dir: the logical store directory.
        found: in order.
    """

    store_dir: StoreDir
    found: tuple[MissingFile, ...] = ()

    @property
    def warnings(self) -> tuple[PlanWarning, ...]:
        """One for each file of OLD that is missing, with the first files that refer to it."""

        def key(one: MissingFile) -> tuple[StorePath, bytes]:
            return one.new, one.reference

        return tuple(
            PlanWarning(kind="missing-file", path=new, message=self._sentence(list(found)))
            for (new, _), found in groupby(sorted(self.found, key=key), key)
        )

    def refuse(self) -> None:
        """Raises MissingFileError if there are any."""
        if not self.found:
            return
        warnings = self.warnings
        more = f" (and {counted(len(warnings) - 1, 'more file')})" if len(warnings) > 1 else ""
        raise MissingFileError(
            f"{warnings[0].message}{more}: take a NEW that has it, or give --allow-missing-files",
            file=printable(self.found[0].reference),
            missing=[self._as_json(one) for one in self.found],
        )

    def _sentence(self, found: Sequence[MissingFile]) -> str:
        first = found[0]
        shown = ", ".join(f"'{self._referrer(one)}'" for one in found[:_SHOWN])
        more = f" and {counted(len(found) - _SHOWN, 'more file')}" if len(found) > _SHOWN else ""
        verb = "refers" if len(found) == 1 else "refer"
        return (
            f"{shown}{more} {verb} to '{printable(first.reference)}', and "
            f"'{self.store_dir.path(first.new)}' has no such file"
        )

    def _referrer(self, one: MissingFile) -> str:
        full = self.store_dir.path(one.path)
        return f"{full}/{printable(one.file)}" if one.file else full

    def _as_json(self, one: MissingFile) -> dict[str, str]:
        return {
            "path": self.store_dir.path(one.path),
            "file": printable(one.file),
            "reference": printable(one.reference),
            "new": self.store_dir.path(one.new),
        }


def missing_files(plan: Plan, source: Source, contents: StoreContents) -> MissingFiles:
    """Looks for them before anything is written.

    Only paths that refer to a replaced path themselves are read: a path that leads to a copy of a
    path finds the same files there.

    Args:
        source: where the originals and every NEW are.
        contents: the contents of the source's objects.

    Raises:
        TreeError, CacheError, CorruptCacheError, BadFormatError: an object cannot be read.
    """
    before, after = world_before(plan, contents), world_after(plan, contents)
    originals = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
    targets = {alias.path: alias.target for alias in plan.aliases}
    found: set[MissingFile] = set()
    for rewrite in plan.rewrites:
        replaced = {
            old: targets.get(new, new)
            for old, new in rewrite.references.items()
            if originals.get(targets.get(new, new), new) != old
        }
        if replaced:
            search = _Search(plan.store_dir, rewrite, replaced, before, after)
            found.update(search.run(source.store_object(rewrite.path)))
    return MissingFiles(store_dir=plan.store_dir, found=tuple(sorted(found)))


class _Search:
    """The search in one path that refers to replaced ones."""

    def __init__(
        self,
        store_dir: StoreDir,
        rewrite: Rewrite,
        replaced: dict[StorePath, StorePath],
        before: World,
        after: World,
    ) -> None:
        self._path = rewrite.path
        self._prefix = f"{store_dir}/".encode()
        self._new = {old.hash_part.encode(): new for old, new in replaced.items()}
        self._table = Table([(hash_part, None) for hash_part in sorted(self._new)])
        self._before, self._after = before, after
        self._known: dict[bytes, bytes | None] = {}

    def run(self, item: StoreObject) -> Iterator[MissingFile]:
        texts = self._in_tree(item) if isinstance(item, TreeObject) else self._in_nar(item)
        for file, text in texts:
            reference = self._missing(text)
            if reference is not None:
                yield self._told(file, reference)

    def _told(self, file: bytes, reference: bytes) -> MissingFile:
        at = len(self._prefix)
        new = self._new[reference[at : at + HASH_PART_LENGTH]]
        return MissingFile(path=self._path, file=file, reference=reference, new=new)

    def _missing(self, text: bytes) -> bytes | None:
        """The file of OLD that a text names and that will not be there."""
        at = len(self._prefix)
        if not text.startswith(self._prefix) or text[at : at + HASH_PART_LENGTH] not in self._new:
            return None  # the target of a symlink that leads elsewhere
        if text not in self._known:
            self._known[text] = self._looked_for(text)
        return self._known[text]

    def _looked_for(self, text: bytes) -> bytes | None:
        for name in dict.fromkeys((text, text.rstrip(b"."))):  # the end of a sentence, maybe
            if self._before.resolve(name, self._path) is not None:
                return name if self._after.resolve(name, self._path) is None else None
        return None

    # ---- texts that begin with the full path of an OLD ------------------------------------------

    def _in_tree(self, item: TreeObject) -> Iterator[tuple[bytes, bytes]]:
        top = os.fsencode(item.tree)
        report = read_tree(item.tree, wanted=self._table, report=True)
        for file, places in groupby(report.found, lambda place: place.file):
            yield from self._in_file(top, file, list(places))

    def _in_file(
        self, top: bytes, file: bytes, places: Iterable[Place]
    ) -> Iterator[tuple[bytes, bytes]]:
        full = os.path.join(top, file) if file else top
        offsets = [place.offset for place in places if place.where == "contents"]
        try:
            if offsets:
                with (
                    open(full, "rb", buffering=0) as stream,
                    mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
                ):
                    for text in self._texts(data, offsets):
                        yield file, text
            elif any(place.where == "target" for place in places):
                yield file, self._target(file, os.readlink(full))
        except OSError as error:
            shown = printable(full)
            raise TreeError(f"'{shown}' cannot be read: {error.strerror}", path=shown) from error

    def _in_nar(self, item: NarObject) -> Iterator[tuple[bytes, bytes]]:
        names: list[bytes] = []
        carry = b""
        with item.open() as nar:
            window = Window(nar.readinto, lambda _: None)
            for event in read_archive(window):
                file = b"/".join(names)
                if isinstance(event, Entry):
                    names.append(bytes(event.name))
                elif isinstance(event, Regular):
                    carry = b""
                elif isinstance(event, Symlink):
                    if self._table.find(event.target)[0]:
                        yield file, self._target(file, bytes(event.target))
                    del names[-1:]
                elif isinstance(event, DirectoryEnd):
                    del names[-1:]
                elif isinstance(event, Contents):
                    data = carry + bytes(event.data)
                    event.taken = len(event.data)
                    end = len(data) if event.final else len(data) - _LONGEST
                    offsets = [hit.offset for hit in self._table.find(data)[0] if hit.offset < end]
                    for text in self._texts(data, offsets):
                        yield file, text
                    carry = data[max(0, end - len(self._prefix)) :]
                    if event.final:
                        del names[-1:]
            window.pass_on()

    def _texts(self, data: bytes | mmap.mmap, offsets: Iterable[int]) -> Iterator[bytes]:
        before = len(self._prefix)
        for offset in offsets:
            start = offset - before
            if start < 0 or data[start:offset] != self._prefix:
                continue
            found = _TEXT.match(data, start, start + _LONGEST)
            if found is not None:
                yield found[0]

    def _target(self, file: bytes, target: bytes) -> bytes:
        """Where a symlink leads to, as a full path; a relative target begins at its directory."""
        if target.startswith(b"/"):
            return target
        directory = posixpath.dirname(posixpath.join(os.fsencode(self._path), file).rstrip(b"/"))
        return self._prefix + posixpath.normpath(posixpath.join(directory, target))
