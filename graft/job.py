"""The whole job: plan, room, write and register, prove, and only then root the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from graft.closure import Closure
from graft.errors import NoSpaceError, ProfileError, RootLinkError
from graft.executor import Execution
from graft.formats.store_path import StorePath
from graft.hidden import deep_closure, recorded_closure
from graft.plan import Plan, PlanWarning, full_pairs, warnings_document
from graft.proof import Problem, Proof, Residual, Scope, proof_document, prove
from graft.store.api import Source, Target
from graft.store.united import UnitedStore
from graft.writer import writer

# What an object takes on disk if all its files are links: a directory, or the block of a file.
_LEAST_OBJECT_SIZE = 4096


class Progress(Protocol):
    """Shows how far a stage of the job is."""

    def __call__(
        self, stage: str, total: int | None
    ) -> AbstractContextManager[Callable[[int], object]]:
        """Begins a stage of `total` bytes; what is entered is told of the bytes done."""


def no_progress(stage: str, total: int | None) -> AbstractContextManager[Callable[[int], object]]:
    """Progress for callers who do not look."""
    del stage, total
    return nullcontext(lambda _size: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the whole job did.

    Attributes:
        plan: what was to be done.
        execution: what was written.
        proof: what reading it again has shown; None if that was not wanted.
        problems: paths that are registered and not on disk, where no proof says so.
        warnings: those of the plan and of the job.
        seconds: of wall time.
    """

    plan: Plan
    execution: Execution
    proof: Proof | None
    problems: tuple[Problem, ...]
    warnings: tuple[PlanWarning, ...]
    seconds: float

    @property
    def hidden_residual(self) -> tuple[Residual, ...]:
        """The residual references nobody acknowledged that were not registered: what a deep plan
        would move.
        """
        originals = {rewrite.new_path: rewrite.path for rewrite in self.plan.rewrites}
        return tuple(
            found
            for found in (self.proof.residual if self.proof is not None else ())
            if not found.acknowledged
            and (original := originals.get(found.path, found.path)) in self.plan.closure
            and found.reference not in self.plan.closure.references(original) | {original}
        )

    @property
    def succeeded(self) -> bool:
        """Whether the result may be used: nothing of OLD is left, and nothing is broken."""
        return not self.problems and (self.proof is None or self.proof.holds)


def apply(
    store: Target,
    roots: Iterable[StorePath],
    replacements: Mapping[StorePath, StorePath] | Iterable[tuple[StorePath, StorePath]],
    *,
    cutoffs: Iterable[StorePath] = (),
    source: Source | None = None,
    add_roots: Sequence[str] = (),
    profile: str | None = None,
    jobs: int | None = None,
    links: bool = True,
    scope: Scope | None = "closure",
    allowed: Sequence[str] = (),
    check_inputs: bool = False,
    repair: bool = False,
    deep: bool = False,
    hidden: Mapping[StorePath, Collection[StorePath]] | None = None,
    approve: Callable[[Plan], object] = lambda _: None,
    progress: Progress = no_progress,
) -> Outcome:
    """Replaces dependencies deep in the closures of `roots`, and proves it.

    Args:
        store: where the result goes, and everything is that is valid there.
        roots: what is to be had without OLD.
        replacements: OLD to NEW.
        cutoffs: paths that are kept as they are.
        source: another store, where NEW or originals come from that are not valid in `store`.
        add_roots: links to be made to the new roots, as many as there are roots, or one that is
            numbered (`LINK`, `LINK-2`, ...), as nix-store does.
        profile: gets the new root as its current generation; only for one root.
        jobs: threads; the number of usable processors if None.
        links: whether unchanged files may be hard links to the original's.
        scope: what the proof reads; None: there is none.
        allowed: shell patterns of `BASENAME/FILE` in which residual references are accepted.
        check_inputs: compare each original's bytes with its registered NAR hash first.
        repair: make again the new paths that are valid, but broken.
        deep: read the closure for references that are not registered, and move them as well.
        hidden: such references as a deep plan has found them before.
        approve: is shown the plan before anything is written, and may raise to stop.
        progress: shows how far the job is.

    Returns:
        What was done. If it did not succeed the new paths stay valid, but no link was made.

    Raises:
        GraftError: nothing was done, or what was registered so far stays and nothing else.
    """
    begin = time.monotonic()
    store.check_writable()
    roots = tuple(dict.fromkeys(roots))
    links_to_make = _root_links(add_roots, roots)
    for link in links_to_make:
        store.check_root_link(link)
    if profile is not None:
        if len(roots) != 1:
            raise ProfileError(
                f"{len(roots)} roots were given for the profile '{profile}': a generation has one",
                path=profile,
            )
        store.check_profile(profile)
    kept = bool(links_to_make) or profile is not None
    pairs = list(replacements.items() if isinstance(replacements, Mapping) else replacements)
    store.protect([*roots, *(path for pair in pairs for path in pair)])
    known: Source = store
    if source is not None:
        source.protect([*roots, *(path for pair in pairs for path in pair)])
        known = UnitedStore(store, source)
    with writer(store) as execute:
        plan = make_plan(
            known,
            roots,
            pairs,
            cutoffs=cutoffs,
            deep=deep,
            hidden=hidden,
            jobs=jobs,
            progress=progress,
        )
        approve(plan)
        _check_space(plan, store, links=links)
        with progress("graft", plan.bytes_at_most) as on_bytes:
            execution = execute(
                plan,
                source=known,
                jobs=jobs,
                links=links,
                check_inputs=check_inputs,
                repair=repair,
                on_bytes=on_bytes,
            )
    proof = None
    if scope is not None:
        with progress("prove", _bytes_read(plan, scope)) as on_bytes:
            proof = prove(
                plan,
                store,
                scope=scope,
                allowed=allowed,
                written=execution.rewritten,
                jobs=jobs,
                on_bytes=on_bytes,
            )
    outcome = Outcome(
        plan=plan,
        execution=execution,
        proof=proof,
        problems=_problems(execution, proof),
        warnings=plan.warnings if kept else (*plan.warnings, *_no_root(plan)),
        seconds=time.monotonic() - begin,
    )
    if outcome.succeeded:
        for link, root in zip(links_to_make, roots, strict=False):
            store.add_root(link, plan.new_roots[root])
        if profile is not None:
            store.switch_profile(profile, plan.new_roots[roots[0]])
    return outcome


def make_plan(
    store: Source,
    roots: Iterable[StorePath],
    replacements: Iterable[tuple[StorePath, StorePath]],
    *,
    cutoffs: Iterable[StorePath] = (),
    deep: bool = False,
    hidden: Mapping[StorePath, Collection[StorePath]] | None = None,
    jobs: int | None = None,
    progress: Progress = no_progress,
) -> Plan:
    """Walks the closure, and plans; arguments as for `apply`.

    Raises:
        InvalidPathError: a path is not valid in the store.
        PlanError: the replacements make no plan.
    """
    roots, pairs = list(roots), list(replacements)
    paths = [*roots, *(new for _, new in pairs)]
    olds = store.path_infos(old for old, _ in pairs).keys()
    if deep:
        with progress("read", None) as on_bytes:
            closure = deep_closure(store, paths, olds, jobs=jobs, on_bytes=on_bytes)
    elif hidden:
        closure = recorded_closure(Closure.of(store, [*paths, *olds]), paths, hidden)
    else:
        # OLD itself as well, though nothing may lead to it: warnings ask what it was built from.
        closure = Closure.of(store, [*paths, *olds])
    return Plan.of(closure, pairs, roots=roots, cutoffs=cutoffs)


def _root_links(links: Sequence[str], roots: Sequence[StorePath]) -> list[str]:
    if len(links) == 1:
        return [links[0], *(f"{links[0]}-{number}" for number in range(2, len(roots) + 1))]
    if links and len(links) != len(roots):
        raise RootLinkError(
            f"{len(links)} root links were given for {len(roots)} roots: give one for each, or one "
            "that is numbered",
            links=list(links),
        )
    return list(links)


def _check_space(plan: Plan, store: Target, *, links: bool) -> None:
    """Raises NoSpaceError where the work cannot end well; with links, nobody knows before."""
    missing = plan.new_references.keys() - store.path_infos(plan.new_references)
    needed = len(missing) * _LEAST_OBJECT_SIZE
    needed += sum(plan.closure.infos[path].nar_size for path in plan.shared & missing)
    if not links:
        needed += sum(rewrite.nar_size for rewrite in plan.rewrites if rewrite.new_path in missing)
    free = store.free_bytes()
    if free < needed:
        raise NoSpaceError(
            f"the file system of the store '{store.url}' has {free} bytes left and the graft needs "
            f"{needed}: free some room first",
            needed=needed,
            free=free,
        )


def _bytes_read(plan: Plan, scope: Scope) -> int:
    shared = plan.shared if scope == "closure" else ()
    return plan.bytes_at_most + sum(plan.closure.infos[path].nar_size for path in shared)


def _problems(execution: Execution, proof: Proof | None) -> tuple[Problem, ...]:
    if proof is not None:
        return proof.problems
    return tuple(Problem(kind="not-on-disk", path=path) for path in sorted(execution.lost))


def _no_root(plan: Plan) -> Iterable[PlanWarning]:
    for root in sorted(set(plan.new_roots.values()) & plan.new_paths):
        yield PlanWarning(
            kind="no-root",
            path=root,
            message=f"nothing keeps '{plan.store_dir.path(root)}' from the garbage collector: give "
            "--add-root or --profile",
        )


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """The result of `graft apply` as docs/reference/json.md lays it down."""
    plan, execution = outcome.plan, outcome.execution
    full = plan.store_dir.path
    return {
        "version": 1,
        "new_roots": {full(root): full(new) for root, new in plan.new_roots.items()},
        "paths": full_pairs(plan.moved, plan.store_dir),
        "rewritten_paths": len(execution.rewritten),
        "resumed_paths": len(execution.resumed),
        "fetched_paths": len(execution.fetched),
        "references_rewritten": execution.references_rewritten,
        "files": {
            "patched": execution.files.patched,
            "linked": execution.files.linked,
            "reflinked": execution.files.reflinked,
            "copied": execution.files.copied,
        },
        "bytes": {"written": execution.bytes_written, "shared": execution.bytes_shared},
        "fixups": [],
        "warnings": warnings_document(outcome.warnings, plan.store_dir),
        "proof": proof_document(outcome.proof, full) if outcome.proof is not None else None,
        "seconds": round(outcome.seconds, 6),
    }
