"""The whole job: plan, room, write and register, prove, and only then root the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol

from graft.abi import check_abi, check_reporting, unresolved, write_report
from graft.closure import Closure
from graft.content_naming import realise
from graft.errors import NoSpaceError, ProfileError, RootLinkError, UsageError
from graft.executor import Compression
from graft.formats.hash_modulo import SelfReferences
from graft.formats.signature import PublicKey, SecretKey
from graft.formats.store_path import StorePath
from graft.hidden import deep_closure, recorded_closure
from graft.outcome import Outcome
from graft.plan import Addressing, Plan, PlanWarning
from graft.proof import Problem, Scope, prove
from graft.store.api import LocalTarget, PathInfo, Source, Store, Target
from graft.store.objects import NarObject
from graft.store.trust import check_signatures
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


def apply(
    store: Source,
    roots: Iterable[StorePath],
    replacements: Mapping[StorePath, StorePath] | Iterable[tuple[StorePath, StorePath]],
    *,
    cutoffs: Iterable[StorePath] = (),
    to: Target | None = None,
    source: Source | None = None,
    add_roots: Sequence[str] = (),
    profile: str | None = None,
    jobs: int | None = None,
    links: bool = True,
    scope: Scope | None = "closure",
    allowed: Sequence[str] = (),
    check_inputs: bool = False,
    repair: bool = False,
    trusted_public_keys: Collection[PublicKey] | None = None,
    sign_keys: Collection[SecretKey] = (),
    compression: Compression | None = None,
    deep: bool = False,
    hidden: Mapping[StorePath, Collection[StorePath]] | None = None,
    addressing: Addressing = "input",
    self_references: SelfReferences = "positions",
    allow_abi_breaks: bool = False,
    abi_report: str | None = None,
    approve: Callable[[Plan], object] = lambda _: None,
    progress: Progress = no_progress,
) -> Outcome:
    """Replaces dependencies deep in the closures of `roots`, and proves it.

    Args:
        store: where everything is that is valid there, and where the result goes unless `to` is
            given.
        roots: what is to be had without OLD.
        replacements: OLD to NEW.
        cutoffs: paths that are kept as they are.
        to: another store, where the result goes: a cache, or a store on this machine.
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
        trusted_public_keys: whoever must have signed what is read from a cache, unless its name
            comes from its contents; None: that is believed without.
        sign_keys: sign what is made and fetched.
        compression: of NARs in a cache; None is zstd's default.
        deep: read the closure for references that are not registered, and move them as well.
        hidden: such references as a deep plan has found them before.
        addressing: what new paths are named after; `content`: their bytes.
        self_references: then, the rule of the Nix that is to take them.
        allow_abi_breaks: go on where a program will not work with what it will load.
        abi_report: a file or a directory for what abidiff says of the libraries that change.
        approve: is shown the plan before anything is written, and may raise to stop.
        progress: shows how far the job is.

    Returns:
        What was done. If it did not succeed the new paths stay valid, but no link was made.

    Raises:
        GraftError: nothing was done, or what was registered so far stays and nothing else.
    """
    begin = time.monotonic()
    target = to if to is not None else _as_target(store)
    target.check_writable()
    if abi_report is not None:
        check_reporting()
    roots = tuple(dict.fromkeys(roots))
    keeping = _Keeping(target, roots, add_roots, profile)
    pairs = list(replacements.items() if isinstance(replacements, Mapping) else replacements)
    known = store if source is None else UnitedStore(store, source)
    known.protect([*roots, *(path for pair in pairs for path in pair)])
    if to is not None:
        UnitedStore(known, to)  # they must have one store directory
    with writer(target) as execute:
        plan = make_plan(
            known,
            roots,
            pairs,
            cutoffs=cutoffs,
            deep=deep,
            hidden=hidden,
            addressing=addressing,
            self_references=self_references,
            jobs=jobs,
            progress=progress,
        )
        approve(plan)
        if trusted_public_keys is not None:
            check_inputs_signed(plan, known, trusted_public_keys)
        plan = realised_plan(plan, known, jobs=jobs, progress=progress)
        _check_space(plan, target, links=links)
        abi = check_abi(plan, known)
        if abi_report is not None:
            write_report(abi, known, abi_report)
        if not allow_abi_breaks:
            abi.refuse_breaks()
        with progress("graft", plan.bytes_at_most) as on_bytes:
            execution = execute(
                plan,
                source=known,
                jobs=jobs,
                links=links,
                check_inputs=check_inputs,
                repair=repair,
                sign_keys=sign_keys,
                compression=compression,
                on_bytes=on_bytes,
            )
    proof = None
    if scope is not None:
        with progress("prove", _bytes_read(plan, scope)) as on_bytes:
            proof = prove(
                plan,
                target,
                scope=scope,
                allowed=allowed,
                written=execution.rewritten,
                jobs=jobs,
                on_bytes=on_bytes,
            )
        if not proof.problems:  # else it is not there to be read
            proof = replace(proof, problems=tuple(_unresolved(plan, known, target)))
    warnings = (*plan.warnings, *abi.warnings)
    outcome = Outcome(
        plan=plan,
        execution=execution,
        proof=proof,
        problems=proof.problems
        if proof is not None
        else tuple(Problem(kind="not-on-disk", path=path) for path in sorted(execution.lost)),
        warnings=warnings
        if keeping or not isinstance(target, LocalTarget)
        else (*warnings, *_no_root(plan)),
        seconds=time.monotonic() - begin,
    )
    if outcome.succeeded:
        keeping.keep(plan.new_roots)
    return outcome


def _unresolved(plan: Plan, source: Source, target: Source) -> Iterable[Problem]:
    for found in unresolved(plan, source, target):
        yield Problem(
            kind="unresolved-library",
            path=found.place.path,
            file=found.place.name,
            library=found.library,
        )


def make_plan(
    store: Source,
    roots: Iterable[StorePath],
    replacements: Iterable[tuple[StorePath, StorePath]],
    *,
    cutoffs: Iterable[StorePath] = (),
    deep: bool = False,
    hidden: Mapping[StorePath, Collection[StorePath]] | None = None,
    addressing: Addressing = "input",
    self_references: SelfReferences = "positions",
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
    return Plan.of(
        closure,
        pairs,
        roots=roots,
        cutoffs=cutoffs,
        addressing=addressing,
        self_references=self_references,
    )


def realised_plan(
    plan: Plan, source: Source, *, jobs: int | None = None, progress: Progress = no_progress
) -> Plan:
    """The plan with the names of its new paths: in content addressing it reads all of them.

    Raises:
        GraftError: an original cannot be read.
    """
    if not plan.placeholders:
        return plan
    with progress("name", plan.bytes_at_most) as on_bytes:
        return realise(plan, source, jobs=jobs, on_bytes=on_bytes)


def _as_target(store: Source) -> Target:
    if not isinstance(store, Target):
        raise UsageError(
            f"nothing can be written into the store '{store.url}': say with --to where the result "
            "is to go"
        )
    return store


def check_inputs_signed(
    plan: Plan, source: Source, trusted_public_keys: Collection[PublicKey]
) -> None:
    """Makes sure that somebody trusted has signed whatever of a plan comes from a cache.

    Raises:
        UntrustedPathError: nobody has.
        BadFormatError: a signature is none.
    """
    read = plan.shared.union(rewrite.path for rewrite in plan.rewrites)
    caches: dict[str, tuple[Store, list[PathInfo]]] = {}
    for path in sorted(read):
        item = source.store_object(path)
        if isinstance(item, NarObject):
            caches.setdefault(item.cache.url, (item.cache, []))[1].append(plan.closure.infos[path])
    for cache, infos in caches.values():
        check_signatures(cache, infos, trusted_public_keys)


class _Keeping:
    """Links and a profile that are to keep the new roots, checked before anything is done."""

    def __init__(
        self,
        target: Target,
        roots: Sequence[StorePath],
        links: Sequence[str],
        profile: str | None,
    ) -> None:
        self._roots = roots
        self._links = _root_links(links, roots)
        self._profile = profile
        self._target: LocalTarget | None = None
        if not self:
            return
        if not isinstance(target, LocalTarget):
            raise UsageError(
                f"the cache '{target.url}' has no roots and no profiles: leave out --add-root and "
                "--profile, and make them where its paths are copied to"
            )
        self._target = target
        for link in self._links:
            target.check_root_link(link)
        if profile is not None:
            if len(roots) != 1:
                raise ProfileError(
                    f"{len(roots)} roots were given for the profile '{profile}': a generation has "
                    "one",
                    path=profile,
                )
            target.check_profile(profile)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._links) or self._profile is not None

    def keep(self, new_roots: Mapping[StorePath, StorePath]) -> None:
        """Makes the links, and the profile's generation."""
        if self._target is None:
            return
        for link, root in zip(self._links, self._roots, strict=False):
            self._target.add_root(link, new_roots[root])
        if self._profile is not None:
            self._target.switch_profile(self._profile, new_roots[self._roots[0]])


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


def _check_space(plan: Plan, target: Target, *, links: bool) -> None:
    """Raises NoSpaceError where the work cannot end well; with links, nobody knows before."""
    free = target.free_bytes()
    if free is None or not isinstance(target, LocalTarget):
        return  # and how well NARs can be compressed, nobody knows either
    missing = plan.new_references.keys() - target.path_infos(plan.new_references)
    needed = len(missing) * _LEAST_OBJECT_SIZE
    needed += sum(plan.closure.infos[path].nar_size for path in plan.shared & missing)
    if not links:
        needed += sum(rewrite.nar_size for rewrite in plan.rewrites if rewrite.new_path in missing)
    if free < needed:
        raise NoSpaceError(
            f"the file system of the store '{target.url}' has {free} bytes left and the graft "
            f"needs {needed}: free some room first",
            needed=needed,
            free=free,
        )


def _bytes_read(plan: Plan, scope: Scope) -> int:
    shared = plan.shared if scope == "closure" else ()
    return plan.bytes_at_most + sum(plan.closure.infos[path].nar_size for path in shared)


def _no_root(plan: Plan) -> Iterable[PlanWarning]:
    for root in sorted(set(plan.new_roots.values()) & plan.new_paths):
        yield PlanWarning(
            kind="no-root",
            path=root,
            message=f"nothing keeps '{plan.store_dir.path(root)}' from the garbage collector: give "
            "--add-root or --profile",
        )
