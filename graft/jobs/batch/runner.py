"""The jobs of a batch carried out: each path once, whatever the number of jobs that need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from graft.check.abi import StoreContents
from graft.check.proof import replaced_paths
from graft.errors import GraftError
from graft.executor import CacheMaker, Compression, Done, Execution, Work, make_into_cache
from graft.executor.content_names import Namer, content_names
from graft.executor.writing_process import writer
from graft.formats.store_path import StorePath
from graft.jobs.arguments import resolve_path, resolve_roots
from graft.jobs.batch.cluster import Cluster
from graft.jobs.batch.executors import Crew, open_crew
from graft.jobs.batch.job import Job, Transfer
from graft.jobs.batch.jobs_file import JobsFile
from graft.jobs.batch.results import BatchResult, JobResult, error_document
from graft.jobs.stages import StagedJob
from graft.jobs.stores import Stores, open_stores
from graft.objects.reading import ObjectSearch
from graft.objects.search import DeepSearch
from graft.plan import ContentName, Plan
from graft.store.api import Target
from graft.store.writable_cache import WritableCache
from graft.workers import Progress, no_progress

Event = dict[str, Any]
"""A JSON object whose key `event` says what has happened."""


def run_batch(
    file: JobsFile,
    *,
    store_url: str,
    environment: Mapping[str, str],
    cluster: Cluster | None = None,
    threads: int | None = None,
    fail_fast: bool = False,
    on_event: Callable[[Event], object] = lambda _event: None,
    progress: Progress = no_progress,
) -> BatchResult:
    """Does all the jobs of a file.

    Jobs that agree in their stores and in how results are written are one group: their work is
    done together. The target store is the journal, between groups and between runs.

    Args:
        store_url: of jobs that name no store.
        environment: what the store `auto` depends on.
        cluster: makes what goes into caches; None: threads of this process do.
        threads: of this process; the number of usable processors if None.
        fail_fast: do one job after the other, and none after one that has failed.
        on_event: told of what happens, as it happens.
        progress: shows how far the work is.
    """
    begin = time.monotonic()
    batch = _Batch(file, store_url, environment, cluster, threads, on_event, progress)
    for group in _groups(file.jobs, together=not fail_fast):
        batch.run(group, keep_going=not fail_fast)
        if fail_fast and batch.has_failed:
            break
    return batch.result(time.monotonic() - begin)


def _groups(jobs: Sequence[Job], *, together: bool) -> Iterator[list[Job]]:
    if not together:
        yield from ([job] for job in jobs)
        return
    groups: dict[Transfer, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.transfer, []).append(job)
    yield from groups.values()


class _Batch:
    """What came of the jobs so far."""

    def __init__(
        self,
        file: JobsFile,
        store_url: str,
        environment: Mapping[str, str],
        cluster: Cluster | None,
        threads: int | None,
        on_event: Callable[[Event], object],
        progress: Progress,
    ) -> None:
        self._file = file
        self._store_url = store_url
        self._environment = environment
        self._cluster = cluster
        self._threads = threads
        self._on_event = on_event
        self._progress = progress
        self._results: dict[str, JobResult] = {}
        self._rewritten: set[StorePath] = set()
        self._fetched: set[StorePath] = set()
        self._resumed: set[StorePath] = set()

    @property
    def has_failed(self) -> bool:
        """Whether any job has."""
        return any(result.status == "failed" for result in self._results.values())

    def result(self, seconds: float) -> BatchResult:
        """What came of all the jobs."""
        return BatchResult(
            file=self._file.name,
            variables=self._file.variables,
            jobs=tuple(self._results.get(job.name, JobResult(job=job)) for job in self._file.jobs),
            rewritten=len(self._rewritten),
            # What an earlier group has made is there for the next one: it was made now.
            resumed=len(self._resumed - self._rewritten),
            fetched=len(self._fetched),
            seconds=seconds,
        )

    def run(self, group: Sequence[Job], *, keep_going: bool) -> None:
        """Does jobs that have their stores in common."""
        transfer = group[0].transfer
        with ExitStack() as stack:
            try:
                stores = open_stores(transfer, self._store_url, self._environment, stack)
                carry_out = self._carrier(transfer, stores, stack, keep_going=keep_going)
            except (GraftError, OSError) as error:
                for job in group:
                    self._fail(job, error)
                return
            planned = list(self._named(list(self._planned(group, stores)), stores))
            if not planned:
                return
            try:
                done = carry_out([plan for _, _, plan in planned])
            except (GraftError, OSError) as error:
                for job, _, _ in planned:
                    self._fail(job, error)
                return
            for _, _, plan in planned:
                execution = Execution.of(plan, done)
                self._rewritten |= execution.rewritten
                self._fetched |= execution.fetched
                self._resumed |= execution.resumed
            replaced = {path for _, _, plan in planned for path in replaced_paths(plan)}
            search = ObjectSearch(
                stores.target, DeepSearch(sorted(replaced), store_dir=stores.target.store_dir)
            )
            for job, staged, plan in planned:
                self._conclude(job, staged, plan, done, search)

    def _carrier(
        self, transfer: Transfer, stores: Stores, stack: ExitStack, *, keep_going: bool
    ) -> Callable[[list[Plan]], Done]:
        """What carries plans out into the target."""
        target = stores.target
        if isinstance(target, WritableCache):
            return lambda plans: self._into_cache(
                plans, transfer, stores, target, keep_going=keep_going
            )
        carry_out = stack.enter_context(writer(target))

        def into_store(plans: list[Plan]) -> Done:
            with self._progress("graft", sum(plan.bytes_at_most for plan in plans)) as on_bytes:
                return carry_out(
                    plans,
                    source=stores.source,
                    jobs=self._threads,
                    links=transfer.links,
                    check_inputs=transfer.check_inputs,
                    repair=transfer.repair,
                    sign_keys=stores.sign_keys,
                    keep_going=keep_going,
                    on_bytes=on_bytes,
                )

        return into_store

    @contextmanager
    def _crew(self, stage: str, total: int) -> Iterator[Crew]:
        with (
            self._progress(stage, total) as on_bytes,
            open_crew(self._cluster, self._threads, on_bytes) as hands,
        ):
            yield hands

    def _into_cache(
        self,
        plans: list[Plan],
        transfer: Transfer,
        stores: Stores,
        target: WritableCache,
        *,
        keep_going: bool,
    ) -> Done:
        work = Work.of(plans, stores.source, target)
        sizes = {path: work.nar_size(path) for path in work.items}
        with self._crew("graft", sum(sizes.values())) as hands:
            maker = CacheMaker(
                source=stores.source,
                target=target,
                search=work.search,
                compression=Compression(name=transfer.compression or "zstd", level=transfer.level),
                check_inputs=transfer.check_inputs,
                progress=hands.progress,
            )

            def on_end(path: StorePath, end: object) -> None:
                self._tell_of_path(path, end, target)
                hands.ended(sizes.get(path, 0))

            return make_into_cache(
                work,
                maker,
                hands.submit,
                hands.slots,
                repair=transfer.repair,
                sign_keys=stores.sign_keys,
                keep_going=keep_going,
                on_end=on_end,
            )

    def _planned(
        self, group: Sequence[Job], stores: Stores
    ) -> Iterator[tuple[Job, StagedJob, Plan]]:
        """The jobs that can be carried out; the others have failed."""
        for job in group:
            try:
                yield job, *self._plan(job, stores)
            except (GraftError, OSError) as error:
                self._fail(job, error)

    def _named(
        self, planned: Sequence[tuple[Job, StagedJob, Plan]], stores: Stores
    ) -> Iterator[tuple[Job, StagedJob, Plan]]:
        """The plans with real names: what several have in common is read once.

        If something cannot be read it is done plan by plan, to learn whose it is.
        """
        try:
            names = self._names([plan for _, _, plan in planned], stores)
        except (GraftError, OSError):
            names = None
        with StoreContents(stores.source) as contents:
            for job, staged, plan in planned:
                try:
                    found = self._names([plan], stores) if names is None else names
                    real = plan.realised(found) if plan.placeholders else plan
                    staged.check_space(real, links=job.transfer.links)
                    staged.check_abi(real, allow_breaks=job.allow_abi_breaks, contents=contents)
                except (GraftError, OSError) as error:
                    self._fail(job, error)
                else:
                    yield job, staged, real

    def _names(self, plans: Sequence[Plan], stores: Stores) -> dict[StorePath, ContentName]:
        plans = [plan for plan in plans if plan.placeholders]
        if not plans:
            return {}
        wanted = {path for plan in plans for path in plan.closure.infos}
        with self._crew("name", sum(plan.bytes_at_most for plan in plans)) as hands:
            namer = Namer(
                source=stores.source,
                search=DeepSearch(sorted(wanted), store_dir=stores.source.store_dir),
                progress=hands.progress,
            )
            return content_names(plans, namer, hands.submit, hands.slots)

    def _plan(self, job: Job, stores: Stores) -> tuple[StagedJob, Plan]:
        source = stores.source
        staged = StagedJob(
            source,
            stores.target,
            resolve_roots(source, job.roots),
            [
                (resolve_path(source, old), resolve_path(source, new))
                for old, new in job.replacements
            ],
            cutoffs=[resolve_path(source, path) for path in job.cutoffs],
            initrd_cutoff=job.initrd_cutoff,
            add_roots=job.add_roots,
            profile=job.profile,
            note=job.note,
            jobs=self._threads,
            progress=self._progress,
        )
        plan = staged.plan(
            deep=job.deep,
            addressing=job.transfer.addressing,
            self_references=job.transfer.self_references,
            fixups=job.fixups,
        )
        staged.check_trust(
            plan, trusted_public_keys=stores.trusted_public_keys, sign_keys=stores.sign_keys
        )
        self._on_event(
            {
                "event": "planned",
                "job": job.name,
                "rewrites": len(plan.rewrites),
                "closure_paths": len(plan.new_references),
            }
        )
        return staged, plan

    def _conclude(
        self, job: Job, staged: StagedJob, plan: Plan, done: Done, search: ObjectSearch
    ) -> None:
        failed = plan.new_references.keys() & done.failed.keys()
        if failed:
            # Of several the lowest, whose error is its own; else it would be left to chance.
            lowest = min(path for path in failed if not plan.new_references[path] & failed)
            originals = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
            original = plan.store_dir.path(originals.get(lowest, lowest))
            self._end(JobResult(job=job, error=done.failed[lowest], original=original))
            return
        try:
            outcome = staged.conclude(
                plan,
                done,
                scope=job.scope,
                allowed=job.allowed,
                strict=job.strict,
                search=search,
            )
        except (GraftError, OSError) as error:
            self._fail(job, error)
            return
        self._end(JobResult(job=job, outcome=outcome))

    def _fail(self, job: Job, error: GraftError | OSError) -> None:
        self._end(JobResult(job=job, error=error))

    def _end(self, result: JobResult) -> None:
        self._results[result.job.name] = result
        self._on_event(
            {
                "event": "job",
                "job": result.job.name,
                "status": result.status,
                "new_roots": result.new_roots,
                "error": error_document(result, self._file.variables),
            }
        )

    def _tell_of_path(self, path: StorePath, end: object, target: Target) -> None:
        full = target.store_dir.path(path)
        error = end.message if isinstance(end, GraftError) else None
        self._on_event(
            {
                "event": "path",
                "path": full,
                "error": None if error is None else self._file.variables.hide(error),
            }
        )
