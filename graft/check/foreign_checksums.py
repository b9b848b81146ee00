"""Checksums of files that a plan changes, kept anywhere in its result."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from graft.check.changed_contents import ChangedContents
from graft.check.digest_names import named_by_digests
from graft.formats.elf.debug_link import DebugLink, debug_link
from graft.formats.elf.headers import MAGIC
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.kernel.tree import read_tree
from graft.kernel.tree.marks import Marks
from graft.objects.reading import as_tree
from graft.objects.search import SumPlace
from graft.plan import Plan, PlanWarning
from graft.quantities import counted
from graft.store.api import Source
from graft.workers import DEFAULT_RESOURCES, Resources

_PROGRAMS: Final = Marks(magics=((0, MAGIC),))


def foreign_checksums(
    plan: Plan,
    source: Source,
    target: Source,
    changed: ChangedContents,
    sums: Sequence[tuple[StorePath, SumPlace]],
    resources: Resources = DEFAULT_RESOURCES,
) -> tuple[PlanWarning, ...]:
    """Warns of files that hold a checksum of a changed file, or are named by one, or go with one.

    Args:
        source: the store of the originals.
        target: the store of the result.
        changed: the changed files of this plan, and maybe of others.
        sums: the places of old digests that the proof has found.
        resources: the threads.

    Raises:
        TreeError, CacheError, CorruptCacheError: an object cannot be read.
    """
    if not any(changed.names.get(rewrite.new_path) for rewrite in plan.rewrites):
        return ()
    own = {
        each.name for rewrite in plan.rewrites for each in changed.files.get(rewrite.new_path, ())
    }
    own |= {each.name for each in changed.nars}
    sums = [found for found in sums if found[1].of in own]  # not another plan's
    held = [
        _holds(plan, path, list(places))
        for (path, _, _), places in groupby(
            sums, lambda found: (found[0], found[1].file, found[1].container)
        )
    ]
    linked = _linked(plan, target, changed, resources)
    named = named_by_digests(plan, source, changed)
    beside = _beside(plan, changed)
    return (*held, *linked, *named, *beside)


def _holds(
    plan: Plan, path: StorePath, places: Sequence[tuple[StorePath, SumPlace]]
) -> PlanWarning:
    (_, first), *others = places
    file = "/".join([printable(first.file), *first.container])
    algorithm, _, where = first.encoding.partition(" ")
    kept = f"{where} at {first.offset}"
    return _warning(plan, path, file, algorithm, kept, first.of, len(others))


def _warning(
    plan: Plan, path: StorePath, file: str, algorithm: str, where: str, of: str, others: int
) -> PlanWarning:
    full = f"{plan.store_dir.path(path)}/{file}".rstrip("/")
    more = f", and {counted(others, 'more checksum')}" if others else ""
    return PlanWarning(
        kind="foreign-checksum",
        path=path,
        message=f"'{full}' holds the {algorithm} that '{of}' had before the graft, {where}{more}: "
        "a program that compares them will find that they differ",
    )


def _beside(plan: Plan, changed: ChangedContents) -> Iterator[PlanWarning]:
    """Warns of files that go with a changed file, and have not changed."""
    for rewrite in plan.rewrites:
        full = plan.store_dir.path(rewrite.new_path)
        for file, of in changed.beside.get(rewrite.new_path, ()):
            yield PlanWarning(
                kind="foreign-checksum",
                path=rewrite.new_path,
                message=f"'{full}/{printable(file)}' goes with '{printable(of)}', which the graft "
                "changed, and has not changed itself: a program that compares them may refuse both",
            )


def _linked(
    plan: Plan, target: Source, changed: ChangedContents, resources: Resources
) -> list[PlanWarning]:
    """Programs whose symbols are in a changed file of another path, which a debugger knows by CRC.

    In the same path the fix-up of ELF files sees to it.
    """
    symbols = {
        (posixpath.basename(each.name), each.old["crc32"]): each.name
        for files in changed.files.values()
        for each in files
        if each.name.endswith(".debug") and "crc32" in each.old
    }
    if not symbols:
        return []

    def linked(path: StorePath) -> list[PlanWarning]:
        with as_tree(target.store_object(path)) as at:
            programs = read_tree(at.tree, marks=_PROGRAMS).marked
            return [
                _warning(plan, path, printable(file), "crc32", f"in .gnu_debuglink at {at}", of, 0)
                for file, at, of in _links(at.tree, programs, symbols)
            ]

    with resources.workers("checksums", None) as workers:
        there = sorted(target.path_infos(plan.new_references))
        return [warning for found in workers.map(linked, there) for warning in found]


def _links(
    tree: str, programs: Iterable[bytes], symbols: Mapping[tuple[str, bytes], str]
) -> Iterator[tuple[bytes, int, str]]:
    """ELF files whose symbols are in a changed file: name, offset, and that file."""
    top = os.fsencode(tree)
    for file in programs:
        link = _debug_link(os.path.join(top, file) if file else top)
        if link is None:
            continue
        if (of := symbols.get((printable(link.name), link.crc.to_bytes(4)))) is not None:
            yield file, link.offset, of


def _debug_link(path: bytes) -> DebugLink | None:
    try:
        with open(path, "rb") as file:
            return debug_link(lambda at, size: os.pread(file.fileno(), size, at))
    except OSError:  # the search has read it; a damaged file has no symbols
        return None
