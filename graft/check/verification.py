"""A grafted closure held against its plan: is what stands in the store what would be made now?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from graft.check.abi.missing_libraries import unresolved
from graft.check.proof import Problem, Proof, prove
from graft.formats.store_path import StorePath
from graft.objects.rewrite import Rewriting, rewritten_hash
from graft.plan import Plan, Rewrite
from graft.store.api import PathInfo, Source
from graft.workers import Workers


def verify(
    plan: Plan,
    store: Source,
    *,
    target: Source | None = None,
    allowed: Sequence[str] = (),
    jobs: int | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> Proof:
    """Checks every path of a plan's result, and reads every byte of it.

    Beyond what `prove` finds, each rewritten path must be its original with nothing but the
    references changed (problem `not-the-rewrite`), and have the references registered that the
    plan gives it (problem `references`), and in content addressing its address (problem
    `content-address`). Where `prove` finds nothing, `library_problems` are looked for too.

    Args:
        store: where the originals are.
        target: where the result is, if that is another.
        allowed: as for `prove`.
        jobs: threads; the number of usable processors if None.
        on_bytes: called from any thread with the number of bytes read since the last call.

    Raises:
        TreeError, CacheError: an object cannot be read.
    """
    target = store if target is None else target
    proof = prove(plan, target, allowed=allowed, jobs=jobs, on_bytes=on_bytes)
    infos = target.path_infos(plan.new_paths)
    problems = list(proof.problems)
    problems += _wrong_references(plan, infos)
    for path, name in plan.content_names.items():
        if path in infos and infos[path].content_address != str(name.address):
            problems.append(Problem(kind="content-address", path=path))
    if not proof.problems:  # else it is not there to be read
        problems += library_problems(plan, store, target)
    with Workers(jobs, on_bytes) as workers:

        def judge(rewrite: Rewrite) -> tuple[StorePath, bool]:
            return rewrite.new_path, _is_rewrite(rewrite, infos, store, workers)

        registered = [rewrite for rewrite in plan.rewrites if rewrite.new_path in infos]
        for path, is_rewrite in workers.map(judge, registered):
            if not is_rewrite:
                problems.append(Problem(kind="not-the-rewrite", path=path))
    return replace(proof, problems=tuple(sorted(problems)))


def library_problems(plan: Plan, source: Source, target: Source) -> Iterator[Problem]:
    """Looks for libraries that an ELF file of a result needs and the loader would not find.

    Args:
        source: where the originals are: what was missing for one of them already is none.
        target: where the result is, complete and as it was registered.

    Yields:
        `unresolved-library`.

    Raises:
        TreeError, CacheError, CorruptCacheError, BadFormatError: an object cannot be read.
    """
    for found in unresolved(plan, source, target):
        yield Problem(
            kind="unresolved-library",
            path=found.place.path,
            file=found.place.name,
            library=found.library,
        )


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
    original = store.store_object(rewrite.path)
    if not original.exists():
        return False
    made = rewritten_hash(original, Rewriting.of(rewrite, store.store_dir), workers.progress)
    return made == infos[rewrite.new_path].nar_hash
