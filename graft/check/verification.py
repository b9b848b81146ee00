"""A grafted closure held against its plan: is what stands in the store what would be made now?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from graft.check.abi.missing_libraries import unresolved
from graft.check.acceptance import Acceptance
from graft.check.proof import Problem, Proof, prove_result, result_search
from graft.formats.store_path import StorePath
from graft.objects.checksums import ChangedFile
from graft.objects.object_rewrite import Rewriting
from graft.objects.rewritten_nar import rewritten_hash
from graft.plan import Plan, Rewrite
from graft.store.api import PathInfo, Source
from graft.workers import DEFAULT_RESOURCES, Resources, Workers


def verify(
    plan: Plan,
    store: Source,
    *,
    target: Source | None = None,
    allowed: Sequence[str] = (),
    resources: Resources = DEFAULT_RESOURCES,
    sums: Sequence[ChangedFile] = (),
) -> Proof:
    """Checks every path of a plan's result, and reads every byte of it.

    `prove` finds some problems. Beyond these, each rewritten path must be its original with only
    the references changed (problem `not-the-rewrite`). It must have the plan's references
    registered (problem `references`), and in content addressing its address (problem
    `content-address`). Where `prove` finds nothing, `library_problems` are looked for too.

    Args:
        store: where the originals are.
        target: where the result is, if that is another.
        allowed: as for `prove`.
        resources: threads, and the progress of the bytes read.
        sums: the changed files whose old digests are looked for besides.

    Raises:
        TreeError, CacheError: an object cannot be read.
    """
    target = store if target is None else target
    acceptance = Acceptance(allowed=tuple(allowed))
    with resources.workers("verify", None) as workers:
        proof = prove_result(plan, target, acceptance, workers, result_search([plan], target, sums))
        problems = [*proof.problems, *_unlike_the_plan(plan, store, target, proof, workers)]
    return replace(proof, problems=tuple(sorted(problems)))


def _unlike_the_plan(
    plan: Plan, store: Source, target: Source, proof: Proof, workers: Workers
) -> Iterator[Problem]:
    infos = target.path_infos(plan.new_paths)
    yield from _wrong_references(plan, infos)
    for path, name in plan.content_names.items():
        if path in infos and infos[path].content_address != str(name.address):
            yield Problem(kind="content-address", path=path)
    if not proof.problems:  # else it is not there to be read
        yield from library_problems(plan, store, target)

    def judge(rewrite: Rewrite) -> tuple[StorePath, bool]:
        return rewrite.new_path, _is_rewrite(rewrite, infos, store, workers)

    registered = [rewrite for rewrite in plan.rewrites if rewrite.new_path in infos]
    for path, is_rewrite in workers.map(judge, registered):
        if not is_rewrite:
            yield Problem(kind="not-the-rewrite", path=path)


def library_problems(plan: Plan, source: Source, target: Source) -> Iterator[Problem]:
    """Looks for libraries that an ELF file of a result needs and the loader would not find.

    Args:
        source: the store of the originals: a library that an original already lacks is not missing.
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
        # More may be registered: paths that only the bytes of the new path still lead to.
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
