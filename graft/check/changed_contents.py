"""The files that plans change, with the digests of their old contents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.kernel.tree import read_tree
from graft.objects.checksums import ChangedFile, digests_of
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import as_tree
from graft.objects.tree_fixups import ChangedName
from graft.plan import Plan, Rewrite
from graft.store.api import Source
from graft.workers import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedContents:
    """The files that plans change.

    Attributes:
        names: by the new path, the changed files of its original, in old names.
        files: by the new path, the digests of the same files and then of the files in them.
        nars: the NARs of originals and of replaced paths.
    """

    names: Mapping[StorePath, Sequence[bytes]]
    files: Mapping[StorePath, Sequence[ChangedFile]]
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
        TreeError, CacheError, CorruptCacheError: an original cannot be read.
    """
    plans = list(plans)
    rewrites = {rewrite.new_path: rewrite for plan in plans for rewrite in plan.rewrites}
    valid = target.path_infos(rewrites)
    there = [rewrite for path, rewrite in sorted(rewrites.items()) if path in valid]

    def hashed(rewrite: Rewrite) -> tuple[StorePath, list[bytes], list[ChangedFile]]:
        return rewrite.new_path, *_hashed(rewrite, source, known.get(rewrite.new_path))

    with resources.workers("checksums", None) as workers:
        made = list(workers.map(hashed, there))
    moved = {rewrite.path for rewrite in there}
    registered = {path: info for plan in plans for path, info in plan.closure.infos.items()}
    moved |= {path for plan in plans for path in plan.replacements}
    return ChangedContents(
        names={path: names for path, names, _ in made},
        files={path: files for path, _, files in made},
        nars=[
            ChangedFile(name=f"{path} (NAR)", old={"sha256": registered[path].nar_hash})
            for path in sorted(moved & registered.keys())
        ],
    )


def _hashed(
    rewrite: Rewrite, source: Source, known: Sequence[ChangedName] | None
) -> tuple[list[bytes], list[ChangedFile]]:
    with as_tree(source.store_object(rewrite.path)) as at:
        if known is None:
            rewriting = Rewriting.of(rewrite, source.store_dir)
            report = read_tree(at.tree, table=rewriting.table, marks=rewriting.marks)
            known = rewriting.fixes(at.tree, report.marked, bare=report.bare).changes
        top = os.fsencode(at.tree)
        files, inner = [], []
        for each in known:
            name = f"{rewrite.path}/{printable(each.file)}".rstrip("/")
            old = digests_of(os.path.join(top, each.file) if each.file else top)
            files.append(ChangedFile(name=name, old=old))
            inner += [
                ChangedFile(name="/".join([name, *member.container]), old=member.old)
                for member in each.inner
            ]
        return [each.file for each in known], files + inner
