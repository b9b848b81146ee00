"""Jobs with the same stores, from plan to proof: shared work is done once.

One job is n = 1: `run_job` raises the errors that a batch writes down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from graft.check.abi import StoreContents
from graft.check.changed_contents import changed_contents
from graft.check.proof import result_search
from graft.errors import GraftError
from graft.executor import Done, Execution
from graft.executor.cache_maker import Made
from graft.executor.content_names import realised_plans
from graft.executor.writing_process import writer
from graft.formats.store_path import StorePath
from graft.jobs.outcome import Outcome
from graft.jobs.request import JobRequest
from graft.jobs.stages import StagedJob
from graft.jobs.stores import Stores
from graft.plan import Plan
from graft.workers import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """Why a job came to no end.

    Attributes:
        error: the exception.
        original: the full path of which something could not be made, if it is about one.
        execution: the paths made before the error, if there are any.
    """

    error: GraftError | OSError
    original: str | None = None
    execution: Execution | None = None


class JobObserver(Protocol):
    """Is told of jobs as they go on."""

    def planned(self, job: StagedJob) -> None:
        """A job is planned, and its inputs are trusted."""

    def path_ended(self, path: str, end: Made | GraftError) -> None:
        """A path of a cache, in full, is made, or could not be."""

    def job_ended(self, job: StagedJob, end: Outcome | JobFailure) -> None:
        """A job has ended."""


class Pipeline:
    """Does jobs that have their stores in common.

    Args:
        stores: the stores of all the jobs.
        resources: the workers of the jobs.
        observer: is told of each.
        keep_going: do without the paths that fail, and without the paths above them.
        deliver_untouched: bring the closures of jobs that replace nothing into another target, too.
    """

    def __init__(
        self,
        stores: Stores,
        resources: Resources,
        observer: JobObserver,
        *,
        keep_going: bool,
        deliver_untouched: bool = False,
    ) -> None:
        self._stores = stores
        self._resources = resources
        self._observer = observer
        self._keep_going = keep_going
        self._deliver_untouched = deliver_untouched and stores.source is not stores.target
        self._going: dict[StagedJob, None] = {}

    def run(self, jobs: Iterable[StagedJob]) -> None:
        """Does the jobs, and tells the observer how each has ended."""
        self._going = dict.fromkeys(jobs)
        if self._going:
            with self._resources.progress("work", None):
                self._do_all()

    def _do_all(self) -> None:
        stores, full = self._stores, self._stores.target.store_dir.path
        try:
            with writer(stores.target) as carry_out:
                with self._resources.progress("plan", None):
                    self._each(self._plan)
                if not self._going:
                    return
                self._name_all()
                with self._resources.progress("check", None):
                    self._check_all()
                if not self._going:
                    return
                begin = time.monotonic()
                done = carry_out(
                    [job.plan for job in self._going],
                    stores.source,
                    stores.target,
                    stores.delivery,
                    self._resources,
                    keep_going=self._keep_going,
                    on_end=lambda path, end: self._observer.path_ended(full(path), end),
                )
        except (GraftError, OSError) as error:
            for job in list(self._going):
                self._end(job, JobFailure(error=error))
            return
        self._share(begin)
        self._conclude(done)

    def _share(self, begin: float) -> None:
        """Adds the time since `begin` to the jobs that it was spent for, by their bytes."""
        seconds = time.monotonic() - begin
        weights = {job: max(1, job.plan.bytes_at_most) for job in self._going}
        for job, weight in weights.items():
            job.seconds += seconds * weight / sum(weights.values())

    def _each(self, stage: Callable[[StagedJob], object]) -> None:
        """Takes the jobs that still go on through a stage; jobs that fail have ended."""
        for job in list(self._going):
            begin = time.monotonic()
            try:
                stage(job)
            except (GraftError, OSError) as error:
                job.seconds += time.monotonic() - begin
                self._end(job, JobFailure(error=error))
            else:
                job.seconds += time.monotonic() - begin

    def _plan(self, job: StagedJob) -> None:
        job.make_plan()
        if job.untouched and not self._deliver_untouched:
            self._observer.planned(job)
            self._end(job, job.conclude_untouched(Execution.nothing()))
            return
        job.check_trust()
        self._observer.planned(job)

    def _name_all(self) -> None:
        """Gives the plans their real names; shared paths are read once.

        If something cannot be read it is done plan by plan, to learn whose it is.
        """
        jobs = list(self._going)
        try:
            self._name(*jobs)
        except (GraftError, OSError):
            if len(jobs) == 1:
                raise
            self._each(self._name)

    def _name(self, *jobs: StagedJob) -> None:
        plans = [job.plan for job in jobs]
        named = realised_plans(plans, self._stores.source, self._resources)
        for job, plan in zip(jobs, named, strict=True):
            job.plan = plan

    def _check_all(self) -> None:
        """Makes sure of room, and that programs and texts will find the files they refer to."""
        with StoreContents(self._stores.source) as contents:

            def check(job: StagedJob) -> None:
                job.check_space()
                job.check_abi(contents)
                job.check_missing_files(contents)

            self._each(check)

    def _conclude(self, done: Done) -> None:
        stores = self._stores
        begin = time.monotonic()
        proven = [
            job.plan
            for job in self._going
            if job.request.acceptance.scope is not None and not job.untouched
        ]
        try:
            changed = changed_contents(
                proven, stores.source, stores.target, done.changed, self._resources
            )
        except (GraftError, OSError) as error:
            for job in list(self._going):
                self._end(job, JobFailure(error=error))
            return
        search = result_search([job.plan for job in self._going], stores.target, changed.all)
        self._share(begin)
        for job in list(self._going):
            begin = time.monotonic()
            execution = Execution.of(job.plan, done)
            end: Outcome | JobFailure | None = _failure(job.plan, done, execution)
            if end is None and job.untouched:
                end = job.conclude_untouched(execution)
            if end is None:
                try:
                    end = job.conclude(execution, done, search, changed)
                except (GraftError, OSError) as error:
                    end = JobFailure(error=error, execution=execution)
            job.seconds += time.monotonic() - begin
            self._end(job, end)

    def _end(self, job: StagedJob, end: Outcome | JobFailure) -> None:
        del self._going[job]
        self._observer.job_ended(job, end)


def _failure(plan: Plan, done: Done, execution: Execution) -> JobFailure | None:
    failed = plan.new_references.keys() & done.failed.keys()
    if not failed:
        return None
    # The lowest of several, whose error is its own; else it would be left to chance.
    lowest = min(path for path in failed if not plan.new_references[path] & failed)
    originals = {rewrite.new_path: rewrite.path for rewrite in plan.rewrites}
    original = plan.store_dir.path(originals.get(lowest, lowest))
    return JobFailure(error=done.failed[lowest], original=original, execution=execution)


def run_job(request: JobRequest[StorePath], stores: Stores, resources: Resources) -> Outcome:
    """Does one job.

    Raises:
        GraftError: nothing was done, or only the registered paths stay.
    """
    observer = _OnlyJob()
    job = StagedJob(request, stores, resources)
    Pipeline(stores, resources, observer, keep_going=False).run([job])
    if isinstance(observer.end, JobFailure):
        raise observer.end.error
    assert observer.end is not None
    return observer.end


class _OnlyJob:
    """How the only job has ended."""

    end: Outcome | JobFailure | None = None

    def planned(self, job: StagedJob) -> None:
        """Does nothing: no caller waits for the event."""

    def path_ended(self, path: str, end: Made | GraftError) -> None:
        """Nor for that."""

    def job_ended(self, job: StagedJob, end: Outcome | JobFailure) -> None:
        """How."""
        del job
        self.end = end
