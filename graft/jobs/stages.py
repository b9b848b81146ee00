"""One job in its stages: what is between them several jobs may have in common."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from graft.check.abi import AbiCheck, StoreContents, check_abi
from graft.check.abi.report import write_report
from graft.check.foreign_checksums import foreign_checksums
from graft.check.proof import Problem, Proof, Scope, prove, replaced_paths
from graft.check.verification import library_problems
from graft.errors import NoSpaceError, ProvenanceError
from graft.executor import Done, Execution
from graft.formats.hash_modulo import SelfReferences
from graft.formats.signature import PublicKey, SecretKey
from graft.formats.store_path import StorePath
from graft.jobs.outcome import Outcome
from graft.machine.places import RootKeeping, RootPlace
from graft.machine.record import GraftRecord, PlaceRecord, Provenance, user_name
from graft.objects.reading import ObjectSearch
from graft.objects.search import DeepSearch
from graft.plan import Addressing, Plan, PlanWarning
from graft.plan.forecast import not_looked_into
from graft.plan.making import make_plan
from graft.store.api import LocalTarget, PathInfo, RootedTarget, Source, Store, Target
from graft.store.daemon import DaemonStore
from graft.store.local import LocalStore
from graft.store.objects import NarObject
from graft.store.trust import check_signatures
from graft.store.union import UnitedStore
from graft.version import VERSION
from graft.workers import Progress, no_progress

# What an object takes on disk if all its files are links: a directory, or the block of a file.
_LEAST_OBJECT_SIZE = 4096


class StagedJob:
    """One job in its stages; what is between them several jobs may have in common.

    Making one checks what can be checked before anything is done. Then come `plan`, the other
    checks, whatever carries the plan out, and `conclude`.

    Args:
        source: where everything is that the job reads.
        target: where the result goes, often the same store.
        roots, replacements, cutoffs, initrd_cutoff: as for `apply`.
        add_roots, profile, places, note, jobs, progress: as for `apply`.

    Attributes:
        source: as given.
        target: as given.

    Raises:
        GraftError: nothing can be written there, or the links or the profile cannot be made.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        roots: Iterable[StorePath],
        replacements: Mapping[StorePath, StorePath] | Iterable[tuple[StorePath, StorePath]],
        *,
        cutoffs: Iterable[StorePath] = (),
        initrd_cutoff: bool = True,
        add_roots: Sequence[str] = (),
        profile: str | None = None,
        places: Sequence[RootPlace] = (),
        note: str | None = None,
        jobs: int | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self.source = source
        self.target = target
        self._begin = time.monotonic()
        self._abi: AbiCheck | None = None
        target.check_writable()
        self._roots = tuple(dict.fromkeys(roots))
        self._keeping = RootKeeping(target, self._roots, add_roots, profile, places)
        self._pairs = list(
            replacements.items() if isinstance(replacements, Mapping) else replacements
        )
        self._cutoffs = tuple(cutoffs)
        self._initrd_cutoff = initrd_cutoff
        self._note = note
        self._jobs = jobs
        self._progress = progress
        kept = [*self._roots, *(path for pair in self._pairs for path in pair)]
        source.protect(kept)
        if source is not target:
            UnitedStore(source, target)  # they must have one store directory
            target.protect(kept)

    def plan(
        self,
        *,
        deep: bool = False,
        hidden: Mapping[StorePath, Collection[StorePath]] | None = None,
        addressing: Addressing = "input",
        self_references: SelfReferences = "positions",
        fixups: Iterable[str] = (),
    ) -> Plan:
        """Plans; arguments and errors as of `make_plan`."""
        return make_plan(
            self.source,
            self._roots,
            self._pairs,
            cutoffs=self._cutoffs,
            initrd_cutoff=self._initrd_cutoff,
            deep=deep,
            hidden=hidden,
            addressing=addressing,
            self_references=self_references,
            fixups=fixups,
            jobs=self._jobs,
            progress=self._progress,
        )

    def check_trust(
        self,
        plan: Plan,
        *,
        trusted_public_keys: Collection[PublicKey] | None,
        sign_keys: Collection[SecretKey],
    ) -> None:
        """Makes sure that what is read may be believed, and that what is written will be.

        Raises:
            UntrustedPathError: nobody trusted has signed what comes from a cache.
            UntrustedUserError: a daemon will not take what is made.
        """
        if isinstance(self.target, DaemonStore) and (
            plan.new_references.keys() - self.target.path_infos(plan.new_references)
        ):
            self.target.check_accepted(sign_keys, content_addressed=plan.addressing == "content")
        if trusted_public_keys is not None:
            _check_inputs_signed(plan, self.source, trusted_public_keys)

    def check_space(self, plan: Plan, *, links: bool) -> None:
        """Raises NoSpaceError where a plan, whose names are known, cannot end well.

        With links, nobody knows before.
        """
        _check_space(plan, self.target, links=links)

    def check_abi(
        self,
        plan: Plan,
        *,
        allow_breaks: bool,
        report: str | None = None,
        contents: StoreContents | None = None,
    ) -> None:
        """Makes sure that programs will work with what they will load, or warns in the outcome.

        Args:
            allow_breaks: warn only.
            report: a file or a directory for what abidiff says of the libraries that change.
            contents: of `source`, so that what several jobs share is read once.

        Raises:
            AbiError: a program will not.
            AbiReportError: abidiff is not there, or the report cannot be written.
        """
        check = check_abi(plan, self.source, contents)
        if report is not None:
            write_report(check, self.source, report)
        if not allow_breaks:
            check.refuse_breaks()
        self._abi = check

    def conclude(
        self,
        plan: Plan,
        done: Done,
        *,
        scope: Scope | None,
        allowed: Sequence[str],
        search: ObjectSearch | None = None,
    ) -> Outcome:
        """Proves the result, and if it holds makes links and profile, and writes it down.

        Args:
            done: what came of carrying out the plan, and maybe others with it.
            scope, allowed: as for `apply`.
            search: as for `graft.check.proof.prove`.
        """
        execution = Execution.of(plan, done)
        proof = None
        if scope is not None:
            if search is None:
                replaced = sorted(replaced_paths(plan))
                search = ObjectSearch(self.target, DeepSearch(replaced, store_dir=plan.store_dir))
            for path, seen in done.seen.items():  # searched on its way from one cache to another
                if (report := done.made[path]) is not None:
                    search.know(path, report, seen, done.unread[path])
            with self._progress("prove", _bytes_read(plan, scope)) as on_bytes:
                proof = prove(
                    plan,
                    self.target,
                    scope=scope,
                    allowed=allowed,
                    written=execution.rewritten,
                    search=search,
                    jobs=self._jobs,
                    on_bytes=on_bytes,
                )
            if not proof.problems:  # else it is not there to be read
                proof = replace(proof, problems=tuple(self._library_problems(plan)))
        warnings = (*plan.warnings, *(self._abi.warnings if self._abi is not None else ()))
        if "checksums" in plan.fixups and scope == "closure":
            with self._progress("checksums", None) as on_bytes:
                warnings += foreign_checksums(
                    plan, self.source, self.target, jobs=self._jobs, on_bytes=on_bytes
                )
        if proof is not None:
            warnings += tuple(_not_looked_into(plan, proof))
        kept = self._keeping or not isinstance(self.target, RootedTarget)
        outcome = Outcome(
            plan=plan,
            execution=execution,
            proof=proof,
            problems=proof.problems
            if proof is not None
            else tuple(Problem(kind="not-on-disk", path=path) for path in sorted(execution.lost)),
            warnings=warnings if kept else (*warnings, *_no_root(plan)),
            seconds=time.monotonic() - self._begin,
        )
        if outcome.succeeded:
            outcome = self._recorded(outcome, self._keeping.keep(plan.new_roots))
            passed = tuple(map(_passed, self._keeping.passed))
            outcome = replace(outcome, warnings=(*outcome.warnings, *passed))
        return outcome

    def _library_problems(self, plan: Plan) -> Iterable[Problem]:
        """Libraries that are not found in the result; what was written to a cache is not read."""
        if isinstance(self.target, RootedTarget):
            return library_problems(plan, self.source, self.target)
        missing = self._abi.missing_libraries if self._abi is not None else ()
        return [
            Problem(
                kind="unresolved-library",
                path=plan.moved[place.path],
                file=place.name,
                library=name,
            )
            for place, name in missing
        ]

    def _recorded(self, outcome: Outcome, places: Sequence[PlaceRecord]) -> Outcome:
        """The outcome of a graft that stands, once it is written down where it was made."""
        plan, execution = outcome.plan, outcome.execution
        if not isinstance(self.target, LocalStore | DaemonStore) or not plan.moved:
            return outcome
        graft = GraftRecord(
            roots={root: new for root, new in plan.new_roots.items() if new != root},
            replacements=dict(self._pairs),
            cutoffs=frozenset(self._cutoffs),
            rewrites=_named(plan),
            addressing=plan.addressing,
            places=tuple(place for place in places if place.new_root != place.root),
            note=self._note,
            time=int(time.time()),
            tool_version=VERSION,
            user=user_name(),
            bytes_written=execution.bytes_written,
            bytes_shared=execution.bytes_shared,
        )
        try:
            Provenance(self.target.location, os.environ).record(graft)
        except ProvenanceError as error:
            warning = PlanWarning(
                kind="not-recorded",
                path=None,
                message=f"the graft is done, but 'graft status' will not know of it: {error}",
            )
            return replace(outcome, warnings=(*outcome.warnings, warning))
        return replace(outcome, graft=graft.id)


def _named(plan: Plan) -> dict[StorePath, StorePath]:
    """What was made anew under the name of what: rewrites, and the aliases of replacements."""
    found = {one.path: one.new_path for one in plan.rewrites}
    return found | {one.replaces: one.path for one in plan.aliases}


def _check_inputs_signed(
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


def _check_space(plan: Plan, target: Target, *, links: bool) -> None:
    """Raises NoSpaceError where the work cannot end well; with links, nobody knows before."""
    free = target.free_bytes()
    if free is None or not isinstance(target, RootedTarget):
        return  # and how well NARs can be compressed, nobody knows either
    links = links and isinstance(target, LocalTarget)
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


def _not_looked_into(plan: Plan, proof: Proof) -> Iterable[PlanWarning]:
    told = {warning.path for warning in plan.warnings if warning.kind == "not-looked-into"}
    originals = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
    for unread in proof.unread:
        if originals.get(unread.path, unread.path) not in told:
            full = plan.store_dir.path(unread.path)
            yield not_looked_into(full, unread.path, unread.first, unread.count)


def _passed(place: RootPlace) -> PlanWarning:
    return PlanWarning(
        kind="switched-meanwhile",
        path=place.root,
        message=f"the {place.kind} '{place.link}' has been switched to something else meanwhile, "
        "and stays there: run again",
    )


def _no_root(plan: Plan) -> Iterable[PlanWarning]:
    for root in sorted(set(plan.new_roots.values()) & plan.new_paths):
        yield PlanWarning(
            kind="no-root",
            path=root,
            message=f"nothing keeps '{plan.store_dir.path(root)}' from the garbage collector: give "
            "--add-root or --profile",
        )
