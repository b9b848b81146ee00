"""One job in its stages: several jobs may share the work between them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from graft.check.abi import AbiCheck, StoreContents, check_abi
from graft.check.abi.report import write_report
from graft.check.changed_contents import ChangedContents
from graft.check.foreign_checksums import foreign_checksums
from graft.check.missing_files import MissingFiles, missing_files
from graft.check.noted import fixed_before, noted_files
from graft.check.proof import Problem, Proof, prove_result
from graft.check.reference_rules import reference_rules
from graft.check.remaining import remaining
from graft.check.verification import library_problems
from graft.errors import GraftError, NoSpaceError, ProvenanceError
from graft.executor import Done, Execution
from graft.formats.store_path import StorePath
from graft.jobs.outcome import Outcome
from graft.jobs.request import JobRequest
from graft.jobs.stores import Stores
from graft.machine.originals import Originals
from graft.machine.places import RootKeeping, RootPlace
from graft.machine.record import GraftRecord, PlaceRecord, Provenance, user_name
from graft.objects.reading import ObjectSearch
from graft.plan import Plan, PlanWarning
from graft.plan.forecast import not_looked_into, replaced_libraries, static_copies
from graft.plan.making import make_plan
from graft.quantities import counted
from graft.store.api import PathInfo, Store
from graft.store.objects import NarObject
from graft.store.trust import check_signatures
from graft.store.union import UnitedStore
from graft.version import VERSION
from graft.workers import Resources

# An object's bytes on disk if all its files are links: a directory, or the block of a file.
_LEAST_OBJECT_SIZE = 4096


class StagedJob:
    """One job in its stages; several jobs may share the work between them.

    Making one checks everything that can be checked before the work. Then come `make_plan`, the
    other checks, the execution of the plan, and `conclude`.

    Args:
        request: the request of the job.
        stores: where it is read and written.
        resources: the workers of the job.

    Attributes:
        request: as given, each root once.
        plan: once it is made.
        untouched: then, whether no root leads to an OLD.
        seconds: the time spent for this job, and its part of the time spent for several together.

    Raises:
        GraftError: nothing can be written there, or the links or the profile cannot be made.
    """

    plan: Plan
    untouched: bool = False

    def __init__(
        self, request: JobRequest[StorePath], stores: Stores, resources: Resources
    ) -> None:
        self._begin = time.monotonic()
        self.seconds = 0.0
        self._stores = stores
        self._resources = resources
        self._abi: AbiCheck | None = None
        self._missing: MissingFiles | None = None
        source, target, graft = stores.source, stores.target, request.graft
        target.check_writable()
        roots = tuple(dict.fromkeys(graft.roots))
        self.request = replace(request, graft=replace(graft, roots=roots))
        self._keeping = RootKeeping(target, roots, request.placement)
        kept = [*roots, *(path for pair in graft.replacements for path in pair)]
        source.protect(kept)
        if source is not target:
            UnitedStore(source, target)  # they must have one store directory
            target.protect(kept)

    def make_plan(self) -> None:
        """Plans, if the plan is approved; errors as of `graft.plan.making.make_plan`.

        Raises:
            UsageError: the daemon names paths from contents by another rule.
        """
        graft = self.request.graft
        if graft.addressing == "content":
            # Late: that runs a program. The Nix that is to take the paths is the target's.
            from graft.store.nix_version import check_rule, rule_of  # noqa: PLC0415

            target = self._stores.target
            if graft.self_references == "auto":
                graft = replace(graft, self_references=rule_of(target, os.environ))
            else:
                imported = self._stores.daemon is not None
                check_rule(graft.self_references, target, os.environ, imported=imported)
        self.plan = make_plan(self._stores.source, graft, self._resources)
        self.request.approve(self.plan)

        self.untouched = self.plan.replaces_nothing
        if self.untouched:
            self.plan = self.plan.without_replacements()

    def check_trust(self) -> None:
        """Makes sure that all inputs are trusted, and that the result will be.

        Raises:
            UntrustedPathError: no trusted key has signed a path from a cache.
            UntrustedUserError: a daemon will not take the new paths.
        """
        plan, daemon = self.plan, self._stores.daemon
        if daemon is not None and (
            plan.new_references.keys() - daemon.path_infos(plan.new_references)
        ):
            keys = self._stores.delivery.sign_keys
            daemon.check_accepted(keys, content_addressed=plan.addressing == "content")
        if self._stores.trusted_public_keys is not None:
            _check_inputs_signed(plan, self._stores)

    def check_space(self) -> None:
        """Raises NoSpaceError where a plan, whose names are known, cannot end well.

        With links the size is not known before. The compressed size of NARs is not known either.
        """
        plan, target = self.plan, self._stores.rooted
        free = target.free_bytes() if target is not None else None
        if target is None or free is None:
            return
        missing = plan.new_references.keys() - target.path_infos(plan.new_references)
        needed = len(missing) * _LEAST_OBJECT_SIZE
        needed += sum(plan.closure.infos[path].nar_size for path in plan.shared & missing)
        if not self._stores.links:
            needed += sum(each.nar_size for each in plan.rewrites if each.new_path in missing)
        if free < needed:
            raise NoSpaceError(
                f"the file system of the store '{target.url}' has {free} bytes left and the graft "
                f"needs {needed}: free some room first",
                needed=needed,
                free=free,
            )

    def check_abi(self, contents: StoreContents) -> None:
        """Makes sure that programs will work with the libraries they will load, or warns in the
        outcome.

        Args:
            contents: the contents of the source; objects that several jobs share are read once.

        Raises:
            AbiError: a program will not, and that is not put up with.
            AbiReportError: abidiff is not there, or the report cannot be written.
        """
        acceptance, source = self.request.acceptance, self._stores.source
        check = check_abi(self.plan, source, contents)
        if acceptance.abi_report is not None:
            write_report(check, source, acceptance.abi_report)
        if not acceptance.abi_breaks:
            check.refuse_breaks()
        self._abi = check

    def check_missing_files(self, contents: StoreContents) -> None:
        """Makes sure that NEW has the files of OLD that paths refer to, or warns in the outcome.

        Args:
            contents: the contents of the source's objects; an object that several jobs share is
                read once.

        Raises:
            MissingFileError: NEW lacks a file, and the request does not accept that.
        """
        found = missing_files(self.plan, self._stores.source, contents)
        if not self.request.acceptance.missing_files:
            found.refuse()
        self._missing = found

    def conclude(
        self, execution: Execution, done: Done, search: ObjectSearch, changed: ChangedContents
    ) -> Outcome:
        """Proves the result, and if it holds makes links and profile, and writes it down.

        Args:
            execution: the result for this job's plan.
            done: the result of the work for it, and maybe for others.
            search: as for `graft.check.proof.prove_result`.
            changed: the changed files of this job, and maybe of others.
        """
        plan, stores = self.plan, self._stores
        proof = self._prove(execution, done, search)
        warnings = (*plan.warnings, *(self._abi.warnings if self._abi is not None else ()))
        if self._missing is not None:
            warnings += self._missing.warnings
        warnings += reference_rules(plan, stores.source)
        if proof is not None:
            warnings += foreign_checksums(
                plan, stores.source, stores.target, changed, proof.sums, self._resources
            )
            warnings += tuple(_not_looked_into(plan, proof))
            copies = self._copies(proof)
            warnings += copies
            proof = replace(proof, remaining=remaining(plan, copies))
        warnings += tuple(self._unsigned_in_cache(execution))
        kept = self._keeping or stores.rooted is None
        outcome = Outcome(
            plan=plan,
            execution=execution,
            proof=proof,
            problems=proof.problems
            if proof is not None
            else tuple(Problem(kind="not-on-disk", path=path) for path in sorted(execution.lost)),
            warnings=warnings if kept else (*warnings, *_no_root(plan)),
            seconds=time.monotonic() - self._begin,
            strict=self.request.acceptance.strict,
        )
        if outcome.succeeded:
            graft = self._graft(outcome)
            not_kept = tuple(self._keep_originals(graft))
            outcome = self._recorded(outcome, graft, self._keeping.keep(plan.new_roots))
            passed = tuple(map(_passed, self._keeping.passed))
            outcome = replace(outcome, warnings=(*outcome.warnings, *not_kept, *passed))
        return outcome

    def _unsigned_in_cache(self, execution: Execution) -> Iterator[PlanWarning]:
        """The warning of new paths in a cache without a signature, which other machines refuse."""
        stores, made = self._stores, self.plan.new_paths & execution.rewritten
        if stores.rooted is None and not stores.delivery.sign_keys and made:
            if self.plan.addressing == "content":
                return  # their names come from their contents, and the plan warns of others
            yield PlanWarning(
                kind="unsigned",
                path=min(made),
                message=f"{counted(len(made), 'new path')} of the cache '{stores.target.url}' "
                "are not signed, and other machines refuse them: give --sign-key FILE",
            )

    def conclude_untouched(self, execution: Execution) -> Outcome:
        """The outcome of a job that replaces nothing: there is no proof, and no link is made.

        Args:
            execution: the shared paths that a target lacked, if anything.
        """
        return Outcome(
            plan=self.plan,
            execution=execution,
            proof=None,
            problems=(),
            warnings=(
                _nothing_replaced(self.plan, deep=self.request.graft.deep),
                *self.plan.warnings,
            ),
            seconds=time.monotonic() - self._begin,
            untouched=True,
        )

    def _prove(self, execution: Execution, done: Done, search: ObjectSearch) -> Proof | None:
        plan, target, acceptance = self.plan, self._stores.target, self.request.acceptance
        if acceptance.scope is None:
            return None
        for path, seen in done.seen.items():  # searched on its way from one cache to another
            if (report := done.made[path]) is not None:
                search.know(path, report, seen, done.unread[path])
        shared = plan.shared if acceptance.scope == "closure" else ()
        size = plan.bytes_at_most + sum(plan.closure.infos[path].nar_size for path in shared)
        with self._resources.workers("prove", size) as workers:
            proof = prove_result(
                plan, target, acceptance, workers, search, written=execution.rewritten
            )
        if proof.problems:  # it is not there to be read
            return proof
        noted = set(noted_files(execution.fixed))
        if proof.verdict == "gone" and not noted and execution.resumed:
            before = fixed_before(plan, execution.resumed, self._stores.source)
            noted.update(noted_files(before))
        proof = replace(proof, unknown=tuple(sorted(noted.union(proof.unknown))))
        return replace(proof, problems=tuple(self._library_problems(plan)))

    def _copies(self, proof: Proof) -> tuple[PlanWarning, ...]:
        """Warnings of vendored and static copies, unless the plan has them already."""
        plan, stores = self.plan, self._stores
        if proof.scope != "closure" or self.request.graft.deep or not plan.rewrites:
            return ()
        finder = stores.copy_finder(replaced_libraries(plan, stores.source))
        return static_copies(plan, stores.source, self._resources, finder)

    def _library_problems(self, plan: Plan) -> Iterable[Problem]:
        """Libraries that are not found in the result; paths written to a cache are not read."""
        if self._stores.rooted is not None:
            return library_problems(plan, self._stores.source, self._stores.rooted)
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

    def _graft(self, outcome: Outcome) -> GraftRecord:
        """The record of the graft, without places."""
        plan, execution, asked = outcome.plan, outcome.execution, self.request.graft
        return GraftRecord(
            roots={root: new for root, new in plan.new_roots.items() if new != root},
            replacements=dict(asked.replacements),
            cutoffs=frozenset(asked.cutoffs),
            rewrites=_named(plan),
            addressing=plan.addressing,
            note=self.request.placement.note,
            time=int(time.time()),
            tool_version=VERSION,
            user=user_name(),
            bytes_written=execution.bytes_written,
            bytes_shared=execution.bytes_shared,
        )

    def _keep_originals(self, graft: GraftRecord) -> Iterator[PlanWarning]:
        """Keeps the originals from the collector, before any place is turned: for the way back."""
        machine, rooted = self._stores.machine, self._stores.rooted
        originals = self._keeping.originals & graft.roots.keys()
        if machine is None or rooted is None or not originals:
            return
        try:
            Originals(machine.location, os.environ).keep(rooted, graft.id, originals)
        except GraftError as error:
            yield PlanWarning(
                kind="original-not-kept",
                path=min(originals),
                message=f"the way back is kept by older generations only: {error}",
            )

    def _recorded(
        self, outcome: Outcome, graft: GraftRecord, places: Sequence[PlaceRecord]
    ) -> Outcome:
        """The outcome of a graft that stands, once it is written down where it was made."""
        machine = self._stores.machine
        if machine is None or not outcome.plan.moved or not self.request.placement.recorded:
            return outcome
        placed = tuple(place for place in places if place.new_root != place.root)
        try:
            graft = Provenance(machine.location, os.environ).record(replace(graft, places=placed))
        except ProvenanceError as error:
            warning = PlanWarning(
                kind="not-recorded",
                path=None,
                message=f"the graft is done, but 'graft status' will not know of it: {error}",
            )
            return replace(outcome, warnings=(*outcome.warnings, warning))
        return replace(outcome, graft=graft.id)


def _named(plan: Plan) -> dict[StorePath, StorePath]:
    """The new path of each original: rewrites, and the aliases of replacements."""
    found = {one.path: one.new_path for one in plan.rewrites}
    return found | {one.replaces: one.path for one in plan.aliases}


def _check_inputs_signed(plan: Plan, stores: Stores) -> None:
    """Makes sure that a trusted key has signed each path of a plan that comes from a cache.

    Raises:
        UntrustedPathError: no trusted key has signed a path.
        BadFormatError: a signature is malformed.
    """
    assert stores.trusted_public_keys is not None
    read = plan.shared.union(rewrite.path for rewrite in plan.rewrites)
    caches: dict[str, tuple[Store, list[PathInfo]]] = {}
    for path in sorted(read):
        item = stores.source.store_object(path)
        if isinstance(item, NarObject):
            caches.setdefault(item.cache.url, (item.cache, []))[1].append(plan.closure.infos[path])
    for cache, infos in caches.values():
        check_signatures(cache, infos, stores.trusted_public_keys)


def _not_looked_into(plan: Plan, proof: Proof) -> Iterable[PlanWarning]:
    told = {warning.path for warning in plan.warnings if warning.kind == "not-looked-into"}
    originals = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
    for path, files in groupby(proof.unread, lambda each: each[0]):
        if originals.get(path, path) not in told:
            unread = [each for _, each in files]
            yield not_looked_into(plan.store_dir.path(path), path, unread[0], len(unread))


def _passed(place: RootPlace) -> PlanWarning:
    return PlanWarning(
        kind="switched-meanwhile",
        path=place.root,
        message=f"the {place.kind} '{place.link}' has been switched to something else meanwhile, "
        "and stays there: run again",
    )


def _nothing_replaced(plan: Plan, *, deep: bool) -> PlanWarning:
    root, *others = plan.roots
    olds = [old for old, new in plan.replacements.items() if old != new]
    if olds:
        more = f" and {len(olds) - 1} others" if olds[1:] else ""
        so = f"and {counted(len(others), 'other root')} do" if others else "does"
        why = f"'{root}' {so} not lead to '{olds[0]}'{more} (did you swap OLD and NEW?)"
        why += "" if deep else "; --deep looks deeper"
        led_to = plan.closure.requisites(plan.roots).intersection(olds)
        if led_to:
            why = f"a cutoff keeps all that leads to '{min(led_to)}'"
    else:
        why = f"OLD and NEW are the same, '{next(iter(plan.replacements))}'"
    return PlanWarning(kind="nothing-replaced", path=root, message=f"nothing was replaced: {why}")


def _no_root(plan: Plan) -> Iterable[PlanWarning]:
    for root in sorted(set(plan.new_roots.values()) & plan.new_paths):
        yield PlanWarning(
            kind="no-root",
            path=root,
            message=f"nothing keeps '{plan.store_dir.path(root)}' from the garbage collector: give "
            "--add-root or --profile",
        )
