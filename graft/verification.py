"""A grafted closure held against its plan: is what stands in the store what would be made now?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from graft.formats.store_path import StorePath
from graft.plan import Plan, Rewrite
from graft.proof import Problem, Proof, prove
from graft.rewrite import rewrite_table
from graft.store.api import PathInfo, Source
from graft.tree import read_tree
from graft.workers import Workers


def verify(
    plan: Plan,
    store: Source,
    *,
    allowed: Sequence[str] = (),
    jobs: int | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> Proof:
    """Checks every path of a plan's result, and reads every byte of it.

    Beyond what `prove` finds, each rewritten path must be its original with nothing but the
    references changed (problem `not-the-rewrite`), and have the references registered that the
    plan gives it (problem `references`).

    Args:
        allowed: as for `prove`.
        jobs: threads; the number of usable processors if None.
        on_bytes: called from any thread with the number of bytes read since the last call.

    Raises:
        TreeError: a file cannot be read.
    """
    proof = prove(plan, store, allowed=allowed, jobs=jobs, on_bytes=on_bytes)
    infos = store.path_infos(plan.new_paths)
    problems = list(proof.problems)
    problems += _wrong_references(plan, infos)
    with Workers(jobs, on_bytes) as workers:

        def judge(rewrite: Rewrite) -> tuple[StorePath, bool]:
            return rewrite.new_path, _is_rewrite(rewrite, infos, store, workers)

        registered = [rewrite for rewrite in plan.rewrites if rewrite.new_path in infos]
        for path, is_rewrite in workers.map(judge, registered):
            if not is_rewrite:
                problems.append(Problem(kind="not-the-rewrite", path=path))
    return replace(proof, problems=tuple(sorted(problems)))


def _wrong_references(plan: Plan, infos: dict[StorePath, PathInfo]) -> Iterator[Problem]:
    originals = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
    for path, info in infos.items():
        expected = set(plan.new_references[path])
        original = originals.get(path)
        if original is not None and original in plan.closure.infos[original].references:
            expected.add(path)
        # More may be registered: what only the bytes of the new path still lead to.
        if not expected <= info.references:
            yield Problem(kind="references", path=path)


def _is_rewrite(
    rewrite: Rewrite, infos: dict[StorePath, PathInfo], store: Source, workers: Workers
) -> bool:
    """Whether a path was registered with the hash its original has once it is rewritten."""
    tree = store.tree(rewrite.path)
    if not os.path.lexists(tree):
        return False
    table = rewrite_table(rewrite.path, rewrite.new_path, rewrite.references)
    digest = hashlib.sha256()

    def sink(chunk: memoryview) -> None:
        digest.update(chunk)
        workers.progress(len(chunk))

    read_tree(tree, table=table, sink=sink)
    return digest.digest() == infos[rewrite.new_path].nar_hash
