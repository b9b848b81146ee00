"""The plans of a batch's jobs, with nothing written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from graft.check.abi import StoreContents, forecast_abi
from graft.errors import GraftError
from graft.jobs.arguments import resolve_path, resolve_roots
from graft.jobs.batch.jobs_file import JobsFile
from graft.jobs.batch.results import JobResult, error_document
from graft.jobs.batch.variables import Variables
from graft.jobs.request import Job
from graft.jobs.stores import StoreOpening
from graft.plan import Plan, PlanWarning, plan_document, warnings_document
from graft.plan.making import make_plan
from graft.workers import DEFAULT_RESOURCES, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class JobForecast:
    """One job, planned.

    Attributes:
        job: the job of the file.
        plan: its plan; None if it cannot be planned.
        warnings: warnings of the plan and about programs that would not work.
        error: the reason why it cannot be planned.
    """

    job: Job
    plan: Plan | None = None
    warnings: tuple[PlanWarning, ...] = ()
    error: GraftError | OSError | None = None

    @property
    def message(self) -> str | None:
        """Why it cannot be planned, in one sentence."""
        return self._result.message

    @property
    def _result(self) -> JobResult:
        return JobResult(job=self.job, error=self.error)

    def document(self, variables: Variables) -> dict[str, Any]:
        """The entry of `jobs` in the document of `graft batch --dry-run`.

        Args:
            variables: the variables of the file, whose values may not be shown.
        """
        plan = self.plan
        return {
            "name": self.job.name,
            "status": "failed" if plan is None else "planned",
            "error": error_document(self._result, variables),
            "plan": None
            if plan is None
            else {
                **plan_document(plan),
                "warnings": warnings_document(self.warnings, plan.store_dir),
                "bytes_at_most": plan.bytes_at_most,
            },
        }


def forecast_batch(
    file: JobsFile,
    *,
    store_url: str,
    environment: Mapping[str, str],
    resources: Resources = DEFAULT_RESOURCES,
) -> Iterator[JobForecast]:
    """Plans the jobs of a file, one after the other; no target is opened.

    Args:
        store_url: the store of jobs that name no store.
        environment: the variables that the store `auto` depends on.
        resources: the workers.
    """
    for job in file.jobs:
        try:
            with ExitStack() as stack:
                source = StoreOpening(job.transfer, store_url, environment, stack).source
                asked = job.request.graft
                graft = asked.resolved(
                    partial(resolve_path, source), resolve_roots(source, asked.roots)
                )
                plan = make_plan(source, graft, resources)
                with StoreContents(source) as contents:
                    abi = forecast_abi(plan, source, contents, download=graft.deep)
                warnings = (*plan.warnings, *abi.warnings)
        except (GraftError, OSError) as error:
            yield JobForecast(job=job, error=error)
        else:
            yield JobForecast(job=job, plan=plan, warnings=warnings)
