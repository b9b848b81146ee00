"""Changed files of which fix-ups say that a part could not be made anew: no verdict is `gone`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from graft.fixups.elf import BUILD_ID
from graft.formats.store_path import StorePath
from graft.kernel.tree import read_tree
from graft.objects.file_fixups import FixedFile
from graft.objects.object_rewrite import ObjectRewrite, Rewriting
from graft.objects.reading import as_tree
from graft.plan import Plan
from graft.store.api import Source


def noted_files(
    fixed: Mapping[StorePath, Iterable[FixedFile]],
) -> Iterator[tuple[StorePath, bytes]]:
    """The files with a note, but for the build id, which nothing that runs asks for.

    Args:
        fixed: the files that fix-ups had something to do with, by their new paths.
    """
    for path, files in fixed.items():
        for file in files:
            if any(
                outcome.outcome == "noted" and outcome.reason != BUILD_ID
                for outcome in file.outcomes
            ):
                yield path, file.file


def fixed_before(
    plan: Plan, paths: Collection[StorePath], source: Source
) -> dict[StorePath, tuple[FixedFile, ...]]:
    """The files that fix-ups had something to do with in paths that an earlier run has made.

    Args:
        paths: new paths of the plan.
        source: the store of the originals, which are rewritten once more; nothing is written.

    Raises:
        TreeError, CacheError, CorruptCacheError: an original cannot be read.
    """
    rewrites = [rewrite for rewrite in plan.rewrites if rewrite.new_path in paths]
    return {rewrite.new_path: _fixed(plan, rewrite, source) for rewrite in rewrites}


def _fixed(plan: Plan, rewrite: ObjectRewrite, source: Source) -> tuple[FixedFile, ...]:
    rewriting = Rewriting.of(rewrite, plan.store_dir)
    with as_tree(source.store_object(rewrite.path)) as at:
        report = read_tree(at.tree, table=rewriting.table, marks=rewriting.marks)
        return tuple(rewriting.fixes(at.tree, report.marked, bare=report.bare).files)
