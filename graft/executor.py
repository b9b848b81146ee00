"""A plan carried out: every path of it written by threads, and registered.

The executor never decides what is done. The target store is its journal: what is valid there is
not made again, so that the same command finishes what an interrupted one began.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from graft.formats.store_path import StorePath
from graft.graph import references_first
from graft.kernel import Table
from graft.plan import Alias, Plan, Rewrite
from graft.references import WantedPaths
from graft.rewrite import (
    RewrittenObject,
    corrupt_original,
    make_alias,
    rewrite_object,
    rewrite_table,
    tree_hash,
)
from graft.store.api import Making, PathInfo, Source, Target
from graft.tree import FileCounts
from graft.workers import Workers

# Paths locked, made and registered together. Each holds a descriptor for its lock; the limit of
# open files is 1024 on many machines.
_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What carrying out a plan did.

    Attributes:
        rewritten: new paths made and registered now, aliases included.
        resumed: new paths that were valid and on disk before.
        fetched: shared paths that were not valid in the target, copied from the source.
        lost: new paths that are registered, but not on disk.
        references_rewritten: hits in contents, targets and names.
        files: regular files of the rewritten paths, by how they were made.
        bytes_written: contents of patched and copied files.
        bytes_shared: contents of linked and reflinked files.
    """

    rewritten: frozenset[StorePath]
    resumed: frozenset[StorePath]
    fetched: frozenset[StorePath]
    lost: frozenset[StorePath]
    references_rewritten: int
    files: FileCounts
    bytes_written: int
    bytes_shared: int


def execute(
    plan: Plan,
    *,
    source: Source,
    target: Target,
    jobs: int | None = None,
    links: bool = True,
    check_inputs: bool = False,
    repair: bool = False,
    on_bytes: Callable[[int], object] | None = None,
) -> Execution:
    """Writes and registers every new path of a plan, and what else of the result is missing.

    Until the target is closed the whole new closure is kept from collectors, and so are the plan's
    roots and NEWs.

    Args:
        source: where the originals and the shared paths are read.
        target: where the new closure is to be; of what is not valid there, the NAR hash is always
            compared before it is used.
        jobs: threads; the number of usable processors if None.
        links: whether unchanged files may be hard links to the original's.
        check_inputs: compare each original's bytes with its registered NAR hash first.
        repair: read the new paths that are valid, and make again those whose bytes are wrong.
        on_bytes: called from any thread with the number of NAR bytes done since the last call.

    Raises:
        CorruptOriginalError: an original is not what was registered.
        TreeError, StoreError: a path cannot be read, written or registered. What was registered
            before stays; nothing else is left.
    """
    target.protect([*plan.roots, *plan.replacements.values(), *sorted(plan.new_references)])
    with Workers(jobs, on_bytes) as workers:
        execution = _Executor(plan, source, target, workers, links=links)
        broken = execution.broken() if repair else frozenset[StorePath]()
        execution.make(broken, check_inputs=check_inputs)
        return execution.summary()


class _Executor:
    """One execution: what is to be made, and what came of it so far."""

    def __init__(
        self, plan: Plan, source: Source, target: Target, workers: Workers, *, links: bool
    ) -> None:
        self._plan = plan
        self._source = source
        self._target = target
        self._workers = workers
        self._links = links
        self._owner = target.owner
        self._wanted = WantedPaths(sorted(plan.closure.infos))
        self._work: dict[StorePath, Rewrite | Alias | PathInfo] = {
            **{rewrite.new_path: rewrite for rewrite in plan.rewrites},
            **{alias.path: alias for alias in plan.aliases},
        }
        self._foreign: frozenset[StorePath] = frozenset()
        if source is not target:
            here = target.path_infos(plan.closure.infos)
            self._foreign = frozenset(plan.closure.infos.keys() - here)
            self._work |= {path: plan.closure.infos[path] for path in plan.shared & self._foreign}
        self._made: dict[StorePath, RewrittenObject] = {}
        self._lost: set[StorePath] = set()

    def broken(self) -> frozenset[StorePath]:
        """The new paths that are valid but whose trees are gone or have other bytes."""
        infos = self._target.path_infos(self._plan.new_paths)

        def judge(info: PathInfo) -> tuple[StorePath, bool]:
            tree = self._target.tree(info.path)
            whole = os.path.lexists(tree) and (
                tree_hash(tree, self._workers.progress) == info.nar_hash
            )
            return info.path, whole

        return frozenset(
            path for path, whole in self._workers.map(judge, infos.values()) if not whole
        )

    def make(self, broken: Collection[StorePath], *, check_inputs: bool) -> None:
        """Makes and registers what is not valid or broken, references before referrers."""
        for batch in _batches(self._waiting(broken)):
            with self._target.making(batch, repair=broken) as making:
                self._lost.update(making.lost)

                def make_one(
                    path: StorePath, making: Making = making
                ) -> tuple[StorePath, RewrittenObject]:
                    return path, self._make_one(path, making.staging(path), check_inputs)

                # The largest first: no thread is left alone with one at the end.
                order = sorted(making.missing, key=self._nar_size, reverse=True)
                for path, made in self._workers.map(make_one, order):
                    making.finish(self._info(path, made))
                    self._made[path] = made

    def _waiting(self, broken: Collection[StorePath]) -> list[StorePath]:
        """What is to be made, references before referrers, as the database wants them."""
        valid = self._target.path_infos(self._work)
        self._lost = {
            path
            for path in valid
            if path not in broken and not os.path.lexists(self._target.tree(path))
        }
        waiting = {path for path in self._work if path not in valid or path in broken}
        return references_first(
            {path: self._plan.new_references[path] & waiting for path in waiting}
        )

    def _nar_size(self, path: StorePath) -> int:
        """Of the NAR a path is made from, in bytes; next to nothing for an alias."""
        work = self._work[path]
        return 0 if isinstance(work, Alias) else work.nar_size

    def _make_one(self, path: StorePath, staging: str, check_inputs: bool) -> RewrittenObject:
        work = self._work[path]
        store_dir = self._plan.store_dir
        if isinstance(work, Alias):
            return make_alias(staging, work.target, store_dir, owner=self._owner)
        original = self._plan.closure.infos[work.path]
        tree = self._source.tree(work.path)
        links = self._links and work.path not in self._foreign
        if isinstance(work, PathInfo):
            made = self._copy(tree, staging, Table([]), links=links)
            if made.nar_hash != work.nar_hash:
                raise corrupt_original(work.path, store_dir)
            return made
        if (check_inputs or work.path in self._foreign) and (
            tree_hash(tree, self._workers.progress) != original.nar_hash
        ):
            raise corrupt_original(work.path, store_dir)
        table = rewrite_table(work.path, path, work.references)
        made = self._copy(tree, staging, table, links=links)
        # A rewrite never changes a length, so this much is known without a second reading.
        if original.nar_size and made.nar_size != original.nar_size:
            raise corrupt_original(work.path, store_dir)
        return made

    def _copy(self, tree: str, staging: str, table: Table, *, links: bool) -> RewrittenObject:
        return rewrite_object(
            tree,
            staging,
            table,
            wanted=self._wanted,
            links=links,
            owner=self._owner,
            on_bytes=self._workers.progress,
        )

    def _info(self, path: StorePath, made: RewrittenObject) -> PathInfo:
        work = self._work[path]
        if isinstance(work, PathInfo):
            return replace(work, ultimate=False)
        references = self._plan.new_references[path] | made.found
        if isinstance(work, Rewrite):
            original = self._plan.closure.infos[work.path]
            if work.path in original.references:
                references |= {path}
        return PathInfo(
            path=path,
            nar_hash=made.nar_hash,
            nar_size=made.nar_size,
            references=references,
            ultimate=True,
        )

    def summary(self) -> Execution:
        """What was done."""
        reports = [made.tree for made in self._made.values() if made.tree is not None]
        made = self._plan.new_paths & self._made.keys()
        return Execution(
            rewritten=made,
            resumed=self._plan.new_paths - made - self._lost,
            fetched=frozenset(self._made) - made,
            lost=frozenset(self._lost),
            references_rewritten=sum(report.references for report in reports),
            files=FileCounts(
                patched=sum(report.files.patched for report in reports),
                linked=sum(report.files.linked for report in reports),
                reflinked=sum(report.files.reflinked for report in reports),
                copied=sum(report.files.copied for report in reports),
            ),
            bytes_written=sum(report.bytes_written for report in reports),
            bytes_shared=sum(report.bytes_shared for report in reports),
        )


def _batches(paths: list[StorePath]) -> Iterator[list[StorePath]]:
    for start in range(0, len(paths), _BATCH):
        yield paths[start : start + _BATCH]
