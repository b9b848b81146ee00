"""The files that plans change, with the digests of their old contents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graft.check.digested_texts import LARGEST_TEXT, digested_text, moving_texts
from graft.check.digits import digits_in, entries
from graft.check.files_beside import LARGEST_LIST, files_beside, is_list
from graft.formats.digests import Digesting, Digests
from graft.formats.file_name import printable
from graft.formats.nar_reader import (
    Contents,
    DirectoryEnd,
    Entry,
    Regular,
    Symlink,
    read_archive,
)
from graft.formats.store_path import StorePath
from graft.formats.window import Window
from graft.kernel import Table
from graft.kernel.tree import read_tree
from graft.objects.checksums import ChangedFile, digests_of
from graft.objects.file_fixups import ChangedName
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import as_tree
from graft.plan import Plan, Rewrite
from graft.store.api import Source
from graft.store.objects import NarObject, TreeObject
from graft.workers import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedContents:
    """The files that plans change.

    Attributes:
        names: by the new path, the changed files of its original, in old names.
        files: by the new path, the digests of the same files and then of the files in them.
        beside: by the new path, files that go with changed ones, each with the changed file.
        numbered: by the new path, entries whose names have the hexadecimal digits of a digest.
        nars: the NARs of originals and of replaced paths.
    """

    names: Mapping[StorePath, Sequence[bytes]]
    files: Mapping[StorePath, Sequence[ChangedFile]]
    beside: Mapping[StorePath, Sequence[tuple[bytes, bytes]]]
    numbered: Mapping[StorePath, Sequence[bytes]]
    nars: Sequence[ChangedFile]

    @property
    def all(self) -> list[ChangedFile]:
        """Everything whose old digest may be kept somewhere."""
        if not any(self.names.values()):
            return []
        return [*(file for files in self.files.values() for file in files), *self.nars]


def changed_contents(
    plans: Iterable[Plan],
    source: Source,
    target: Source,
    known: Mapping[StorePath, Sequence[ChangedName]],
    resources: Resources,
) -> ChangedContents:
    """Hashes the files that plans change, each once; 9 ns a byte.

    Args:
        source: the store of the originals.
        target: the store of the result; paths that are not there are left out.
        known: by the new path, the changed files of its original. The rest is found out by a
            rewrite of the original that is not kept.
        resources: the threads.

    Raises:
        TreeError, CacheError, CorruptCacheError, BadFormatError: an original cannot be read.
    """
    plans = list(plans)
    rewrites = {rewrite.new_path: rewrite for plan in plans for rewrite in plan.rewrites}
    valid = target.path_infos(rewrites)
    there = [rewrite for path, rewrite in sorted(rewrites.items()) if path in valid]

    def hashed(rewrite: Rewrite) -> tuple[StorePath, _Changed]:
        return rewrite.new_path, _hashed(rewrite, source, known.get(rewrite.new_path))

    with resources.workers("checksums", None) as workers:
        made = dict(workers.map(hashed, there))
    moved = {rewrite.path for rewrite in there}
    registered = {path: info for plan in plans for path, info in plan.closure.infos.items()}
    moved |= {path for plan in plans for path in plan.replacements}
    return ChangedContents(
        names={path: each.names for path, each in made.items()},
        files={path: each.files for path, each in made.items()},
        beside={path: each.beside for path, each in made.items()},
        numbered={path: each.numbered for path, each in made.items()},
        nars=[
            ChangedFile(name=f"{path} (NAR)", old={"sha256": registered[path].nar_hash})
            for path in sorted(moved & registered.keys())
        ],
    )


class _Changed(NamedTuple):
    """The parts of ChangedContents for one path."""

    names: list[bytes]
    files: list[ChangedFile]
    beside: list[tuple[bytes, bytes]]
    numbered: list[bytes]


def _hashed(rewrite: Rewrite, source: Source, known: Sequence[ChangedName] | None) -> _Changed:
    item = source.store_object(rewrite.path)
    if known is None:
        with as_tree(item) as at:
            rewriting = Rewriting.of(rewrite, source.store_dir)
            report = read_tree(at.tree, table=rewriting.table, marks=rewriting.marks)
            known = rewriting.fixes(at.tree, report.marked, bare=report.bare).changes
            return _changed(rewrite, known, _in_tree(at, known, rewriting.table))
    table = Rewriting.of(rewrite, source.store_dir).table
    inside = (
        _in_tree(item, known, table)
        if isinstance(item, TreeObject)
        else _in_nar(item, known, table)
    )
    return _changed(rewrite, known, inside)


class _Inside(NamedTuple):
    """The contents of an original that are asked for."""

    entries: list[bytes]
    digests: dict[bytes, Digests]
    lists: dict[bytes, bytes]
    texts: set[bytes]


def _changed(rewrite: Rewrite, known: Sequence[ChangedName], inside: _Inside) -> _Changed:
    files, inner = [], []
    for each in known:
        name = f"{rewrite.path}/{printable(each.file)}".rstrip("/")
        files.append(ChangedFile(name=name, old=inside.digests[each.file]))
        inner += [
            ChangedFile(name="/".join([name, *member.container]), old=member.old)
            for member in each.inner
        ]
    files += inner + [digested_text(text) for text in sorted(inside.texts)]
    names = [each.file for each in known]
    return _Changed(
        names=names,
        files=files,
        beside=list(files_beside(inside.entries, frozenset(names), inside.lists)),
        numbered=[file for file in inside.entries if digits_in(file)],
    )


def _in_tree(item: TreeObject, known: Sequence[ChangedName], table: Table) -> _Inside:
    top = os.fsencode(item.tree)
    there = list(entries(top))
    lists = {}
    for file in filter(is_list, there):
        path = os.path.join(top, file)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as stream:
                lists[file] = stream.read(LARGEST_LIST)
    digests = {
        each.file: digests_of(os.path.join(top, each.file) if each.file else top) for each in known
    }
    texts: set[bytes] = set()
    for each in known:
        path = os.path.join(top, each.file) if each.file else top
        if os.path.getsize(path) <= LARGEST_TEXT:
            with open(path, "rb") as stream:
                texts |= moving_texts(stream.read(), table)
    return _Inside(there, digests, lists, texts)


def _in_nar(item: NarObject, known: Sequence[ChangedName], table: Table) -> _Inside:
    """Hashes the files as the NAR passes: nothing is unpacked."""
    inside = _Inside([], {}, {}, set())
    text = bytearray()
    names: list[bytes] = []
    changed = frozenset(each.file for each in known)
    digesting, file = Digesting(), b""
    with item.open() as nar:
        window = Window(nar.readinto, lambda _: None)
        for event in read_archive(window):
            if isinstance(event, Entry):
                names.append(bytes(event.name))
                inside.entries.append(b"/".join(names))
            elif isinstance(event, Regular):
                digesting, file = Digesting(), b"/".join(names)
                text.clear()
                if is_list(file):
                    inside.lists[file] = b""
            elif isinstance(event, Contents):
                event.taken = len(event.data)
                if file in changed:
                    digesting.more(event.data)
                    if len(text) <= LARGEST_TEXT:
                        text += event.data
                if len(inside.lists.get(file, bytes(LARGEST_LIST))) < LARGEST_LIST:
                    inside.lists[file] += bytes(event.data)
                if event.final:
                    if file in changed:
                        inside.digests[file] = digesting.digests
                        if len(text) <= LARGEST_TEXT:
                            inside.texts.update(moving_texts(bytes(text), table))
                    del names[-1:]
            elif isinstance(event, Symlink | DirectoryEnd):
                del names[-1:]
        window.pass_on()
    return inside
