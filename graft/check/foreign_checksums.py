"""Checksums of files that a plan changes, kept anywhere in its result."""

from __future__ import annotations

import filecmp
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from graft.fixups.api import SIGNATURES
from graft.formats.elf.debug_link import DebugLink, debug_link
from graft.formats.elf.headers import MAGIC
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.kernel.tree import Suspicion, read_tree
from graft.kernel.tree.marks import Marks
from graft.objects.checksums import (
    ALGORITHMS,
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

_LISTS: Final = (b"CKSUMS", b"cksums", b"CKSUM", b"cksums.txt")
_LARGEST_LIST: Final = 1 << 20

_SUMS: Final = (
    *SIGNATURES,
    *(b".hmac", b".chk", b".md5", b".cksum", b".sum", b".digest", b".b2", b".b3"),
    *(b".sha1", b".sha224", b".sha256", b".sha384", b".sha512", b".sha"),
    *(b".md5sum", b".sha1sum", b".sha256sum", b".sha512sum", b".b2sum"),
)
"""The ends of the names of files that keep a sum or a signature of their neighbour."""


def foreign_checksums(
    plan: Plan,
    source: Source,
    target: Source,
    resources: Resources = DEFAULT_RESOURCES,
) -> tuple[PlanWarning, ...]:
    """Reads a plan's result for checksums of its files' contents before the graft.

    These are the digests of `graft.objects.checksums`; the NAR hashes of the originals and of the
    replaced paths; the CRC-32 by which a debugger knows the file that has a program's symbols;
    file names that are a digest; and files whose names say that they have a sum of another file.

    Args:
        source: where the originals are.
        target: the store of the result; paths that are not valid there are left out.
        resources: threads, and the progress of the bytes read.

    Returns:
        A warning for each file that holds such checksums, or is named by one.

    Raises:
        TreeError, CacheError, CorruptCacheError: an object cannot be read.
    """
    valid = target.path_infos(plan.new_references)
    there = {path for path in valid if target.store_object(path).exists()}
    with resources.workers("checksums", None) as workers:

        def changed(rewrite: Rewrite) -> list[ChangedFile]:
            return _changed_files(rewrite, source, target)

        def beside(rewrite: Rewrite) -> list[PlanWarning]:
            return list(_beside(plan, rewrite, source, target))

        rewrites = [rewrite for rewrite in plan.rewrites if rewrite.new_path in there]
        files = [file for found in workers.map(changed, rewrites) for file in found]
        if not files:
            return ()
        named = [*_named_by_digest(plan, files)]
        named += [each for found in workers.map(beside, rewrites) for each in found]
        by_crc = {(posixpath.basename(file.name), file.old["crc32"]): file.name for file in files}
        moved = {rewrite.path for rewrite in rewrites} | plan.replacements.keys()
        files += [
            ChangedFile(name=f"{path} (NAR)", old={"sha256": plan.closure.infos[path].nar_hash})
            for path in sorted(moved & plan.closure.infos.keys())
        ]
        finder = ChecksumFinder(files)

        def searched(path: StorePath) -> tuple[StorePath, list[ChecksumPlace]]:
            with as_tree(target.store_object(path)) as at:
                # One walk tells which files may hold a sum, and which are programs.
                report = read_tree(
                    at.tree,
                    sink=lambda chunk: workers.progress(len(chunk)),
                    marks=_PROGRAMS,
                    suspicions=tuple(map(Suspicion, finder.anchors)),
                )
                suspected = [each.file for each in report.suspects if each.where == "contents"]
                places = [
                    *search_tree(at.tree, files, finder=finder, suspected=suspected),
                    *_links(at.tree, report.marked, by_crc),
                ]
                return path, sorted(places, key=lambda place: (place.file, place.offset))

        held = [
            _warning(plan.store_dir.path(path), path, printable(file), list(places))
            for path, found in sorted(workers.map(searched, sorted(there)))
            for file, places in groupby(found, lambda place: place.file)
        ]
        return (*held, *named)


class _Trees:
    """An original and its rewritten object, as trees."""

    def __init__(self, old: bytes, new: bytes, rewrite: Rewrite, source: Source) -> None:
        self._old, self._new = old, new
        self._table = Rewriting.of(rewrite, source.store_dir).table

    def changed(self, file: bytes) -> bool:
        """Whether a file of the original has other bytes now."""
        renamed = b"/".join(self._table.rewrite(part)[0] for part in file.split(b"/"))
        before = os.path.join(self._old, file) if file else self._old
        after = os.path.join(self._new, renamed) if file else self._new
        same = os.path.samefile(before, after)
        return not same and not filecmp.cmp(before, after, shallow=False)


def _changed_files(rewrite: Rewrite, source: Source, target: Source) -> list[ChangedFile]:
    """The original's files that are other ones now, with their digests."""
    changed = []
    with (
        as_tree(source.store_object(rewrite.path)) as old,
        as_tree(target.store_object(rewrite.new_path)) as new,
    ):
        top = os.fsencode(old.tree)
        pair = _Trees(top, os.fsencode(new.tree), rewrite, source)
        for file in regular_files(old.tree):
            if pair.changed(file):
                name = f"{rewrite.path}/{printable(file)}".rstrip("/")
                before = os.path.join(top, file) if file else top
                changed.append(ChangedFile(name=name, old=digests_of(before)))
    return changed


def _named_by_digest(plan: Plan, files: Sequence[ChangedFile]) -> Iterator[PlanWarning]:
    """The files that are named by a digest of their old contents, as caches by content do it."""
    for file in files:
        base_name, _, inside = file.name.partition("/")
        name = inside.replace("/", "").lower()
        for algorithm in ALGORITHMS:
            if file.old[algorithm].hex() in name:
                yield PlanWarning(
                    kind="foreign-checksum",
                    path=StorePath(base_name),
                    message=f"'{plan.store_dir}/{file.name}' is named by the {algorithm} that it "
                    "had before the graft: a program that compares them will find that they differ",
                )
                break


def _beside(plan: Plan, rewrite: Rewrite, source: Source, target: Source) -> Iterator[PlanWarning]:
    """Files whose names say that they have a sum of a file that has changed, and have not."""
    with (
        as_tree(source.store_object(rewrite.path)) as old,
        as_tree(target.store_object(rewrite.new_path)) as new,
    ):
        pair = _Trees(os.fsencode(old.tree), os.fsencode(new.tree), rewrite, source)
        files = set(regular_files(old.tree))
        for file in sorted(files):
            listed = _listed(os.path.join(os.fsencode(old.tree), file), file)
            of = next((each for each in (*summed_up(file), *listed) if each in files), None)
            if of is not None and pair.changed(of) and not pair.changed(file):
                full = plan.store_dir.path(rewrite.new_path)
                yield PlanWarning(
                    kind="foreign-checksum",
                    path=rewrite.new_path,
                    message=f"'{full}/{printable(file)}' goes with '{printable(of)}', which the "
                    "graft changed, and has not changed itself: a program that compares them may "
                    "refuse both",
                )


def _listed(path: bytes, file: bytes) -> Iterator[bytes]:
    """The files in a list that `cksum` writes, whose sums are no digests."""
    directory, name = posixpath.split(file)
    if name not in _LISTS:
        return
    with open(path, "rb") as lines:
        for line in lines.read(_LARGEST_LIST).splitlines():
            if len(fields := line.split(None, 2)) == 3:
                yield posixpath.normpath(posixpath.join(directory, fields[2]))


def summed_up(file: bytes) -> Iterator[bytes]:
    """The files whose sum or signature a file may be, by its name."""
    directory, name = posixpath.split(file)
    stem, suffix = posixpath.splitext(name)
    if suffix in _SUMS:
        yield posixpath.join(directory, stem)
        yield posixpath.join(directory, stem.removeprefix(b"."))
    if suffix == b".chk":  # of NSS: libsoftokn3.chk lies next to libsoftokn3.so
        yield posixpath.join(directory, stem + b".so")


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
