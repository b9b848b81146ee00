"""The whole job: plan, room, write and register, prove, and only then root the result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from graft.check.acceptance import Acceptance, Scope
from graft.executor import Compression, Delivery
from graft.formats.hash_modulo import SelfReferencesChoice
from graft.formats.signature import PublicKey, SecretKey
from graft.formats.store_path import StorePath
from graft.jobs.outcome import Outcome
from graft.jobs.pipeline import run_job
from graft.jobs.request import JobRequest
from graft.jobs.stores import Stores, as_target
from graft.machine.places import Placement, RootPlace
from graft.plan import Addressing, Plan
from graft.plan.request import Graft
from graft.store.api import Source, Target
from graft.store.union import UnitedStore
from graft.workers import Progress, Resources, no_progress


def apply(  # noqa: PLR0913 - the public face: to its callers each is a word of its own
    store: Source,
    roots: Iterable[str],
    replacements: Mapping[StorePath, StorePath] | Mapping[str, str] | Iterable[tuple[str, str]],
    *,
    cutoffs: Iterable[str] = (),
    initrd_cutoff: bool = True,
    to: Target | None = None,
    source: Source | None = None,
    add_roots: Sequence[str] = (),
    profile: str | None = None,
    places: Sequence[RootPlace] = (),
    note: str | None = None,
    jobs: int | None = None,
    links: bool = True,
    scope: Scope | None = "closure",
    allowed: Sequence[str] = (),
    strict: bool = False,
    check_inputs: bool = False,
    repair: bool = False,
    trusted_public_keys: Collection[PublicKey] | None = None,
    sign_keys: Collection[SecretKey] = (),
    compression: Compression | None = None,
    deep: bool = False,
    hidden: Mapping[StorePath, Collection[StorePath]] | None = None,
    addressing: Addressing = "input",
    self_references: SelfReferencesChoice = "auto",
    fixups: Iterable[str] = (),
    allow_abi_breaks: bool = False,
    allow_missing_files: bool = False,
    abi_report: str | None = None,
    approve: Callable[[Plan], object] = lambda _: None,
    progress: Progress = no_progress,
) -> Outcome:
    """Replaces dependencies deep in the closures of `roots`, and proves it.

    Args:
        store: where everything is that is valid there, and where the result goes unless `to` is
            given.
        roots: the paths to be made without OLD: store paths, or texts, as the command line takes
            them. So may all other paths be.
        replacements: OLD to NEW.
        cutoffs: paths that are kept unchanged.
        initrd_cutoff: so are the initrds of NixOS systems among the roots.
        to: another store, where the result goes: a cache, or a store on this machine.
        source: another store, where NEW or originals come from that are not valid in `store`.
        add_roots: links to be made to the new roots, as many as there are roots, or one that is
            numbered (`LINK`, `LINK-2`, ...), as nix-store does.
        profile: gets the new root as its current generation; only for one root.
        places: profiles and links that lead to one of `roots`, and get its grafted root.
        note: why, for the record of grafts.
        jobs: threads; the number of usable processors if None.
        links: whether unchanged files may be hard links to the original's.
        scope: the paths that the proof reads; None for no proof.
        allowed: shell patterns of `BASENAME/FILE` in which residual references are accepted.
        strict: no root or link is made unless the proof is complete; for scope `closure`.
        check_inputs: compare each original's bytes with its registered NAR hash first.
        repair: make again the new paths that are valid, but broken.
        trusted_public_keys: the keys that must have signed a path from a cache, unless its name
            comes from its contents; None to trust all paths.
        sign_keys: keys that sign new and fetched paths.
        compression: the compression of NARs in a cache; None is zstd's default.
        deep: read the closure for references that are not registered, and move them as well.
        hidden: such references as a deep plan has found them before.
        addressing: the origin of new names; `content`: the paths' bytes.
        self_references: then, the rule of the Nix that is to take them; `auto` asks the target's.
        fixups: names of fix-ups to be switched on, or with `no-` before them off.
        allow_abi_breaks: go on where a program will not work with the libraries it will load.
        allow_missing_files: go on where a path refers to a file of OLD that NEW lacks.
        abi_report: a file or a directory for abidiff's report on the libraries that change.
        approve: is shown the plan before anything is written, and may raise to stop.
        progress: shows how far the job is.

    Returns:
        The result of the job. If it did not succeed the new paths stay valid, but no link was
        made.

    Raises:
        GraftError: nothing was done, or only the registered paths stay.
    """
    united = store if source is None else UnitedStore(store, source)

    def named(path: str) -> StorePath:
        return path if isinstance(path, StorePath) else united.resolve(path)

    pairs = replacements.items() if isinstance(replacements, Mapping) else replacements
    request = JobRequest(
        graft=Graft.of(
            map(named, roots),
            [(named(old), named(new)) for old, new in pairs],
            cutoffs=tuple(map(named, cutoffs)),
            initrd_cutoff=initrd_cutoff,
            deep=deep,
            hidden=hidden or {},
            addressing=addressing,
            self_references=self_references,
            fixups=tuple(fixups),
        ),
        acceptance=Acceptance(
            scope=scope,
            allowed=tuple(allowed),
            strict=strict,
            abi_breaks=allow_abi_breaks,
            missing_files=allow_missing_files,
            abi_report=abi_report,
        ),
        placement=Placement(
            root_links=tuple(add_roots), profile=profile, places=tuple(places), note=note
        ),
        approve=approve,
    )
    stores = Stores(
        source=united,
        target=to if to is not None else as_target(store),
        delivery=Delivery(
            links=links,
            check_inputs=check_inputs,
            repair=repair,
            sign_keys=tuple(sign_keys),
            compression=compression or Compression(),
        ),
        trusted_public_keys=trusted_public_keys,
    )
    return run_job(request, stores, Resources(jobs=jobs, progress=progress))
