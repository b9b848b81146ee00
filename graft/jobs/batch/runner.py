"""The jobs of a batch carried out: each path once, for any number of jobs that need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from graft.errors import GraftError
from graft.executor.cache_maker import Made
from graft.formats.store_path import StorePath
from graft.jobs.arguments import resolve_path, resolve_roots
from graft.jobs.batch.jobs_file import JobsFile
from graft.jobs.batch.results import BatchResult, JobResult, error_document
from graft.jobs.outcome import Outcome
from graft.jobs.pipeline import JobFailure, Pipeline
from graft.jobs.request import Job, JobRequest
from graft.jobs.stages import StagedJob
from graft.jobs.stores import StoreOpening, Stores, daemon_note
from graft.workers import DEFAULT_RESOURCES, Resources

Event = dict[str, Any]
"""A JSON object whose key `event` names the event."""


def run_batch(
    file: JobsFile,
    *,
    store_url: str,
    environment: Mapping[str, str],
    resources: Resources = DEFAULT_RESOURCES,
    fail_fast: bool = False,
    on_event: Callable[[Event], object] = lambda _event: None,
    on_note: Callable[[str], object] = lambda _note: None,
) -> BatchResult:
    """Does all the jobs of a file.

    Jobs that agree in their stores and in how results are written are one group: their work is
    done together. The target store is the journal, between groups and between runs.

    Args:
        store_url: the store of jobs that name no store.
        environment: the variables that the store `auto` depends on.
        resources: the workers; a cluster writes into caches.
        fail_fast: do one job after the other, and stop at the first failure.
        on_event: called for each event, as it happens.
        on_note: called once for each note to the user before the work.
    """
    begin = time.monotonic()
    groups = list(_groups(file.jobs, together=not fail_fast))
    batch = _Batch(file, on_event)
    notes: set[str] = set()
    for group in groups:
        with ExitStack() as stack:
            try:
                opening = StoreOpening(group[0].transfer, store_url, environment, stack)
                opening.open_target()
                stores = opening.stores()
            except (GraftError, OSError) as error:
                for job in group:
                    batch.fail(job, error)
            else:
                if stores.daemon is not None and (note := daemon_note(stores.daemon)) not in notes:
                    notes.add(note)
                    on_note(note)
                pipeline = Pipeline(
                    stores,
                    resources,
                    batch,
                    keep_going=not fail_fast,
                    deliver_untouched=True,
                )
                pipeline.run(list(batch.staged(group, stores, resources)))
        if fail_fast and batch.has_failed:
            break
    return batch.result(time.monotonic() - begin)


def _groups(jobs: Sequence[Job], *, together: bool) -> Iterator[list[Job]]:
    if not together:
        yield from ([job] for job in jobs)
        return
    groups: dict[Hashable, list[Job]] = {}
    for job in jobs:
        # Under another rule for names the same placeholder stands for another path.
        graft = job.request.graft
        key = job.transfer, graft.addressing, graft.self_references
        groups.setdefault(key, []).append(job)
    yield from groups.values()


class _Batch:
    """The results of the jobs so far."""

    def __init__(self, file: JobsFile, on_event: Callable[[Event], object]) -> None:
        self._file = file
        self._on_event = on_event
        self._jobs: dict[StagedJob, Job] = {}
        self._results: dict[str, JobResult] = {}
        self._rewritten: set[StorePath] = set()
        self._fetched: set[StorePath] = set()
        self._resumed: set[StorePath] = set()

    @property
    def has_failed(self) -> bool:
        """Whether any job has."""
        return any(result.status == "failed" for result in self._results.values())

    def result(self, seconds: float) -> BatchResult:
        """The results of all the jobs."""
        return BatchResult(
            file=self._file.name,
            variables=self._file.variables,
            jobs=tuple(self._results.get(job.name, JobResult(job=job)) for job in self._file.jobs),
            rewritten=len(self._rewritten),
            # A path that an earlier group has made is there for the next one: it was made now.
            resumed=len(self._resumed - self._rewritten),
            fetched=len(self._fetched),
            seconds=seconds,
        )

    def staged(
        self, jobs: Sequence[Job], stores: Stores, resources: Resources
    ) -> Iterator[StagedJob]:
        """The jobs that can be begun; the others have failed."""
        source = stores.source
        for job in jobs:
            try:
                asked = job.request.graft
                graft = asked.resolved(
                    partial(resolve_path, source), resolve_roots(source, asked.roots)
                )
                request = JobRequest(
                    graft=graft,
                    acceptance=job.request.acceptance,
                    placement=job.request.placement,
                )
                staged = StagedJob(request, stores, resources)
            except (GraftError, OSError) as error:
                self.fail(job, error)
            else:
                self._jobs[staged] = job
                yield staged

    def planned(self, job: StagedJob) -> None:
        """Tells of a plan."""
        self._on_event(
            {
                "event": "planned",
                "job": self._jobs[job].name,
                "rewrites": len(job.plan.rewrites),
                "closure_paths": len(job.plan.new_references),
            }
        )

    def path_ended(self, path: str, end: Made | GraftError) -> None:
        """Tells of a path of a cache."""
        error = end.message if isinstance(end, GraftError) else None
        self._on_event(
            {
                "event": "path",
                "path": path,
                "error": None if error is None else self._file.variables.hide(error),
            }
        )

    def job_ended(self, job: StagedJob, end: Outcome | JobFailure) -> None:
        """Takes the result of a job."""
        if (execution := end.execution) is not None:
            self._rewritten |= execution.rewritten
            self._fetched |= execution.fetched
            self._resumed |= execution.resumed
        asked = self._jobs[job]
        if isinstance(end, Outcome):
            self._end(JobResult(job=asked, outcome=end, seconds=job.seconds))
        else:
            failed = JobResult(
                job=asked, error=end.error, original=end.original, seconds=job.seconds
            )
            self._end(failed)

    def fail(self, job: Job, error: GraftError | OSError) -> None:
        """Takes it that a job could not be begun."""
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
