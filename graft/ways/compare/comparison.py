"""All the ways to replace a dependency, tried on one closure."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from graft.errors import MountError, NamespaceError, PlanError, StorePermissionError
from graft.formats.store_path import StorePath
from graft.jobs.pipeline import run_job
from graft.jobs.request import JobRequest
from graft.jobs.stores import Stores
from graft.machine.places import Placement
from graft.plan import Plan, PlanWarning
from graft.plan.forecast import static_copies
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.ways.compare.coverage import Dependents
from graft.ways.compare.pivoted import Pivoted
from graft.ways.compare.probes import (
    Observation,
    Stage,
    can_trace,
    check_probe,
    difference,
    observe,
)
from graft.ways.compare.sizes import written_and_shared
from graft.ways.compare.way import Comparison, Probe, Way
from graft.ways.namespace import Mount, command_line, why_unavailable
from graft.ways.rebuild import Rebuild, Rebuilt, rebuild_of
from graft.workers import DEFAULT_RESOURCES, Resources

# A namespace is made that often to say how long it takes.
_STARTS = 5

_ORDER = ("graft", "pivot", "mount", "rebuild")


def compare(
    store: LocalStore,
    plan: Plan,
    *,
    pivots: Mapping[str, str] | None = None,
    probes: Sequence[str] = (),
    rebuilt: StorePath | None = None,
    log_dir: str = "/nix/var/log/nix",
    resources: Resources = DEFAULT_RESOURCES,
) -> Comparison:
    """Tries every way on the closure of one root.

    The graft is really made, and nothing keeps it from the next garbage collection; the others
    leave nothing behind.

    Args:
        plan: the plan of one root.
        pivots: the target that programs are to find instead, by type.
        probes: command lines, run without input under each way; the first word of each may be
            relative to the root, and the root's path in them stands for the root of each way.
        rebuilt: the root as a rebuild has made it.
        log_dir: Nix's directory with the logs of builds.
        resources: the resources that reading and the graft may use.

    Raises:
        PlanError: the plan has more than one root, or the root does not lead to an OLD.
        UsageError: a probe is no command line.
        GraftError: the graft cannot be made, or a pivot has no such type or target.
    """
    for probe in probes:
        check_probe(probe)
    comparing = _Comparing(store, plan, probes)
    with resources.progress("search", None) as on_bytes:
        pivoted = Pivoted.of(store, plan, pivots or {}, on_bytes)
    comparing.warn_of_wrappers(pivoted.secure)
    copies = static_copies(plan, store, resources)
    ways = (
        # First, for if it cannot be made that is to be known at once.
        comparing.pivot(pivoted),
        comparing.graft(resources),
        comparing.mount(),
        comparing.rebuild(rebuilt, log_dir),
    )
    return Comparison(
        plan=plan,
        root=comparing.root,
        olds=comparing.dependents.olds,
        pivots=pivoted.types,
        original=tuple(comparing.judged(seen, None) for seen in comparing.original.values()),
        ways=tuple(sorted(ways, key=lambda way: _ORDER.index(way.name))),
        warnings=tuple(sorted({*plan.warnings, *copies, *comparing.warnings})),
    )


class _Comparing:
    """One comparison: the closure, and the probes on the original."""

    def __init__(self, store: LocalStore, plan: Plan, probes: Sequence[str]) -> None:
        full = plan.store_dir.path
        if len(plan.roots) != 1:
            raise PlanError("the ways are compared on one closure: give one ROOT")
        (self.root,) = plan.roots
        self._store, self._plan = store, plan
        self.dependents = Dependents(plan, store)
        if not self.dependents.olds:
            raise PlanError(
                f"'{full(self.root)}' does not lead to anything that is to be replaced: there is "
                "nothing to compare",
                root=full(self.root),
            )
        self.news = {plan.moved.get(new, new) for new in plan.replacements.values()}
        self.news |= {alias.target for alias in plan.aliases}
        self.warnings: list[PlanWarning] = []
        plain = Mount(location=store.location, over={})
        self._view = plain.view
        # Programs of a store with another root find their paths only where they say they are.
        elsewhere = store.location.real_store_dir != store.store_dir
        self._prefix = tuple(command_line(plain.options(), ())) if elsewhere else ()
        self.original = {
            probe: observe(probe, self._stage(self.root), plan.store_dir) for probe in probes
        }

        if probes and not can_trace():
            self.warnings.append(
                PlanWarning(
                    kind="not-observed",
                    path=None,
                    message="graft could not watch which files the probes opened: install the "
                    "package 'strace', and let it trace processes",
                )
            )

    def warn_of_wrappers(self, secure: Mapping[StorePath, str]) -> None:
        """Says which wrappers name a path that a graft makes anew, and will not name the new one.

        Args:
            secure: the wrapper of each path that has one.
        """
        for path, wrapper in secure.items():
            if path in self._plan.moved:
                self.warnings.append(
                    PlanWarning(
                        kind="wrapped-program",
                        path=path,
                        message=f"'{wrapper}' runs '{self._plan.store_dir.path(path)}', and goes "
                        "on doing so after a graft or a rebuild, until the wrappers are made again",
                    )
                )

    def _stage(
        self,
        root: StorePath,
        *,
        environment: Mapping[str, str] | None = None,
        names: Mapping[StorePath, StorePath] | None = None,
    ) -> Stage:
        return Stage(
            root=self._plan.store_dir.path(root),
            original=self._plan.store_dir.path(self.root),
            view=self._view,
            prefix=self._prefix,
            environment=environment or {},
            names=names or {},
        )

    def judged(self, seen: Observation, changed: str | None) -> Probe:
        """The probe's verdict on OLD and NEW."""
        return Probe(
            observation=seen,
            opened_old=seen.opened_any(self.dependents.olds),
            opened_new=seen.opened_any(self.news),
            difference=changed,
        )

    def _probes(self, stage: Stage) -> Iterator[Probe]:
        for probe, original in self.original.items():
            seen = observe(probe, stage, self._plan.store_dir)
            yield self.judged(seen, difference(original, seen, stage))

    def graft(self, resources: Resources) -> Way:
        """Really made, proven, and not rooted."""
        plan = self._plan
        graft = Graft.of(
            plan.roots,
            plan.replacements,
            cutoffs=tuple(plan.cutoffs),
            initrd_cutoff=False,  # the plan has them
            hidden=plan.closure.hidden,
            fixups=plan.fixups,
            addressing=plan.addressing,
            self_references=plan.self_references,
        )
        stores = Stores(source=self._store, target=self._store)
        try:
            outcome = run_job(
                JobRequest(graft=graft, placement=Placement(recorded=False)), stores, resources
            )
        except StorePermissionError as error:
            return Way(
                name="graft",
                reason=error.message,
                paths_changed=len(plan.new_paths),
                coverage=self.dependents.coverage(self.dependents.missed_by_graft(None)),
            )
        assert outcome.proof is not None  # it was wanted
        written, shared = written_and_shared(outcome, self._store)
        if resumed := len(outcome.execution.resumed):
            self.warnings.append(
                PlanWarning(
                    kind="graft-exists",
                    path=None,
                    message=f"{resumed} of the {len(plan.new_paths)} grafted paths were there "
                    "already: the seconds of the graft are without them",
                )
            )
        stage = self._stage(
            plan.new_roots[self.root], names={new: old for old, new in plan.moved.items()}
        )
        left = outcome.proof.open_residual
        return Way(
            name="graft",
            paths_changed=len(plan.new_paths),
            bytes_written=written,
            bytes_shared=shared,
            seconds=outcome.seconds,
            coverage=self.dependents.coverage(self.dependents.missed_by_graft(outcome.proof)),
            old_references_left=len(left),
            probes=tuple(self._probes(stage)),
        )

    def pivot(self, pivoted: Pivoted) -> Way:
        """A directory of links, and the variables that lead to it."""
        coverage = self.dependents.coverage(self.dependents.missed_by_pivot(pivoted))
        if not pivoted.targets:
            return Way(
                name="pivot",
                reason="no --pivot TYPE=TARGET names the target to be found instead",
                coverage=coverage,
            )
        probes = []
        with pivoted.in_force(os.environ) as (environment, seconds):
            self.warnings += [
                PlanWarning(kind="pivot-environment", path=None, message=message)
                for message in environment.warnings
            ]
            stage = self._stage(self.root, environment=environment.variables)
            for probe in self._probes(stage):
                found = pivoted.leads_to_any(probe.observation.files)
                probes.append(replace(probe, opened_new=found or probe.opened_new))
        return Way(
            name="pivot",
            paths_changed=0,
            bytes_written=0,
            bytes_shared=0,
            seconds=seconds,
            coverage=coverage,
            probes=tuple(probes),
        )

    def mount(self) -> Way:
        """NEW over OLD, in a namespace of each program's own."""
        coverage = self.dependents.coverage(self.dependents.static())
        try:
            mount = Mount.of(self._plan, self._store.location)
            reason = why_unavailable(mount.options())
        except (MountError, NamespaceError) as error:
            reason = error.message
        if reason is not None:
            return Way(name="mount", reason=reason, coverage=coverage)
        times = []
        command = command_line(mount.options(), ["/proc/self/exe", "--version"])
        for _ in range(_STARTS):
            begin = time.monotonic()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            times.append(time.monotonic() - begin)
        root = self._plan.store_dir.path(self.root)
        stage = Stage(
            root=root,
            original=root,
            view=mount.view,
            prefix=tuple(command_line(mount.options(), ())),
        )
        # A file that is opened below OLD's name is NEW's.
        probes = [
            replace(
                probe,
                opened_old=False if probe.observation.traced else None,
                opened_new=probe.opened_new or probe.opened_old,
            )
            for probe in self._probes(stage)
        ]
        return Way(
            name="mount",
            paths_changed=0,
            bytes_written=0,
            bytes_shared=0,
            seconds=median(times),
            coverage=coverage,
            probes=tuple(probes),
        )

    def rebuild(self, rebuilt: StorePath | None, log_dir: str) -> Way:
        """Counted from the derivations; nothing is built."""
        plan, store = self._plan, self._store
        found = rebuild_of(store, plan.closure, [self.root], self.dependents.olds, log_dir)
        known = found if isinstance(found, Rebuild) else None
        made = None
        changed = None
        probes: tuple[Probe, ...] = ()
        if rebuilt is not None:
            made = Rebuilt.of(store, plan.closure, rebuilt, self.dependents.olds)
            changed = len(made.paths)
            probes = tuple(self._probes(self._stage(rebuilt, names=made.names)))
        elif known is not None:
            changed = sum(
                plan.closure.infos[path].deriver in known.derivations
                for path in plan.closure.requisites([self.root])
            )
        if known is not None and known.seconds is not None:
            self.warnings.append(
                PlanWarning(
                    kind="rebuild-time",
                    path=None,
                    message=f"the seconds of the rebuild are the sum of {len(known.seconds_of)} of "
                    f"{len(known.derivations)} builds, as their logs tell; builds that do not "
                    "follow one another may go side by side",
                )
            )
        return Way(
            name="rebuild",
            reason=None if made is not None or known is not None else str(found),
            paths_changed=changed,
            bytes_written=made.nar_size if made is not None else None,
            bytes_shared=0 if made is not None else None,
            seconds=known.seconds if known is not None else None,
            coverage=self.dependents.coverage(),
            old_references_left=made.old_references if made is not None else None,
            derivations=len(known.derivations) if known is not None else None,
            levels=known.levels if known is not None else None,
            probes=probes,
        )
