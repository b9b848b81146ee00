"""Checksums of files that a plan changes, kept anywhere in its result."""

from __future__ import annotations

import filecmp
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

from graft.formats.elf.debug_link import DebugLink, debug_link
from graft.formats.elf.headers import MAGIC
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.kernel.tree import Suspicion, read_tree
from graft.kernel.tree.marks import Marks
from graft.objects.checksums import (
    ChangedFile,
    ChecksumFinder,
    ChecksumPlace,
    digests_of,
    search_tree,
)
from graft.objects.file_windows import regular_files
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import as_tree
from graft.plan import Plan, PlanWarning, Rewrite
from graft.quantities import counted
from graft.store.api import Source
from graft.workers import DEFAULT_RESOURCES, Resources

_PROGRAMS: Final = Marks(magics=((0, MAGIC),))


def foreign_checksums(
    plan: Plan,
    source: Source,
    target: Source,
    resources: Resources = DEFAULT_RESOURCES,
) -> tuple[PlanWarning, ...]:
    """Reads a plan's result for checksums of its files' contents before the graft.

    The sums are md5, sha1, sha256 and sha512; and the CRC-32 by which a debugger knows the file
    that has a program's symbols.

    Args:
        source: where the originals are.
        target: the store of the result; paths that are not valid there are left out.
        resources: threads, and the progress of the bytes read.

    Returns:
        A warning for each file that holds such checksums.

    Raises:
        TreeError, CacheError, CorruptCacheError: an object cannot be read.
    """
    valid = target.path_infos(plan.new_references)
    there = {path for path in valid if target.store_object(path).exists()}
    with resources.workers("checksums", None) as workers:

        def changed(rewrite: Rewrite) -> list[ChangedFile]:
            return _changed_files(rewrite, source, target)

        rewrites = [rewrite for rewrite in plan.rewrites if rewrite.new_path in there]
        files = [file for found in workers.map(changed, rewrites) for file in found]
        if not files:
            return ()
        finder = ChecksumFinder(files)
        by_crc = {(posixpath.basename(file.name), file.old["crc32"]): file.name for file in files}

        def searched(path: StorePath) -> tuple[StorePath, list[ChecksumPlace]]:
            with as_tree(target.store_object(path)) as at:
                # One walk tells which files may hold a sum, and which are programs.
                report = read_tree(
                    at.tree,
                    sink=lambda chunk: workers.progress(len(chunk)),
                    marks=_PROGRAMS,
                    suspicions=(Suspicion(finder.anchors),),
                )
                suspected = [each.file for each in report.suspects if each.where == "contents"]
                places = [
                    *search_tree(at.tree, files, finder=finder, suspected=suspected),
                    *_links(at.tree, report.marked, by_crc),
                ]
                return path, sorted(places, key=lambda place: (place.file, place.offset))

        return tuple(
            _warning(plan.store_dir.path(path), path, printable(file), list(places))
            for path, found in sorted(workers.map(searched, sorted(there)))
            for file, places in groupby(found, lambda place: place.file)
        )


def _changed_files(rewrite: Rewrite, source: Source, target: Source) -> list[ChangedFile]:
    """The original's files that are other ones now, with their digests."""
    table = Rewriting.of(rewrite, source.store_dir).table
    changed = []
    with (
        as_tree(source.store_object(rewrite.path)) as old,
        as_tree(target.store_object(rewrite.new_path)) as new,
    ):
        old_top, new_top = os.fsencode(old.tree), os.fsencode(new.tree)
        for file in regular_files(old.tree):
            renamed = b"/".join(table.rewrite(part)[0] for part in file.split(b"/"))
            before = os.path.join(old_top, file) if file else old_top
            after = os.path.join(new_top, renamed) if file else new_top
            same = os.path.samefile(before, after)
            if not same and not filecmp.cmp(before, after, shallow=False):
                name = f"{rewrite.path}/{printable(file)}".rstrip("/")
                changed.append(ChangedFile(name=name, old=digests_of(before)))
    return changed


def _links(
    tree: str, programs: Iterable[bytes], by_crc: Mapping[tuple[str, bytes], str]
) -> Iterator[ChecksumPlace]:
    """ELF files whose symbols are in a file that has changed, by its name and sum."""
    top = os.fsencode(tree)
    for file in programs:
        link = _debug_link(os.path.join(top, file) if file else top)
        if link is None:
            continue
        if (of := by_crc.get((printable(link.name), link.crc.to_bytes(4)))) is not None:
            yield ChecksumPlace(
                file=file,
                offset=link.offset,
                algorithm="crc32",
                spelling=".gnu_debuglink",
                of=of,
            )


def _debug_link(path: bytes) -> DebugLink | None:
    try:
        with open(path, "rb") as file:
            return debug_link(lambda at, size: os.pread(file.fileno(), size, at))
    except OSError:  # the search has read it; a damaged file has no symbols
        return None


def _warning(full: str, path: StorePath, file: str, places: list[ChecksumPlace]) -> PlanWarning:
    first, *others = places
    more = f", and {counted(len(others), 'more checksum')}" if others else ""
    return PlanWarning(
        kind="foreign-checksum",
        path=path,
        message=f"'{f'{full}/{file}'.rstrip('/')}' holds the {first.algorithm} that "
        f"'{first.of}' had before the graft, in {first.spelling} at {first.offset}{more}: a "
        "program that compares them will find that they differ",
    )
