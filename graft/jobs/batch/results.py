"""The results of the jobs of a batch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from graft.check.proof_document import incompleteness
from graft.errors import ClusterError, GraftError
from graft.formats.error_object import error_object, system_message
from graft.formats.file_name import printable_text
from graft.jobs.batch.variables import Variables
from graft.jobs.outcome import Outcome, outcome_document
from graft.jobs.request import Job
from graft.quantities import counted

# Control characters, lone surrogates, and the code points that Unicode itself calls no character.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Status = Literal["succeeded", "untouched", "failed", "not-run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """The result of one job.

    Attributes:
        job: as it was written.
        outcome: the result of the job, if it came to an end.
        error: why it did not.
        original: the full path of which something could not be made, if it is about one.
        seconds: the time spent for this job, and its part of the time spent for several together.
    """

    job: Job
    outcome: Outcome | None = None
    error: GraftError | OSError | None = None
    original: str | None = None
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        """How it ended; `not-run` if another one's failure has stopped the batch, `untouched` if no
        root leads to an OLD.
        """
        if self.error is not None:
            return "failed"
        if self.outcome is None:
            return "not-run"
        if self.outcome.untouched:
            return "untouched"
        return "succeeded" if self.outcome.succeeded else "failed"

    @property
    def kind(self) -> str | None:
        """A word for why it failed: the error's, `system`, or `not-proven`."""
        if isinstance(self.error, OSError):
            return "system"
        if self.error is not None:
            return self.error.kind
        return "not-proven" if self.status == "failed" else None

    @property
    def message(self) -> str | None:
        """Why it failed, in one sentence."""
        if isinstance(self.error, OSError):
            return system_message(self.error)
        if self.error is not None:
            about_all = self.original is None or isinstance(self.error, ClusterError)
            if about_all or str(self.original) in self.error.message:
                return self.error.message
            return f"'{self.original}' cannot be grafted: {self.error.message}"
        if self.outcome is None or self.outcome.succeeded or self.outcome.untouched:
            return None
        full = self.outcome.plan.store_dir.path
        if self.outcome.problems:
            problem = self.outcome.problems[0]
            return (
                f"{counted(len(self.outcome.problems), 'path')} of the result are wrong, "
                f"the first is '{full(problem.path)}' ({problem.kind})"
            )
        assert self.outcome.proof is not None
        residual = self.outcome.proof.open_residual
        if not residual:
            return f"it is strict: {incompleteness(self.outcome.proof)}"
        return (
            f"replaced or rewritten paths are still found in {counted(len(residual), 'place')}, "
            f"the first is in '{full(residual[0].path)}'"
        )

    @property
    def new_roots(self) -> list[str]:
        """The full paths of the job's new roots, if they may be used; unchanged ones, too."""
        if self.outcome is None or not (self.outcome.succeeded or self.outcome.untouched):
            return []
        plan = self.outcome.plan
        return [plan.store_dir.path(plan.new_roots[root]) for root in plan.roots]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """The result of a batch.

    Attributes:
        file: the name of the jobs file.
        variables: the variables with values that may not be shown.
        jobs: in the order of the jobs file.
        rewritten: paths made now, each counted once however many jobs need it.
        resumed: new paths that were there before.
        fetched: shared paths that were taken over now.
        seconds: seconds of wall time.
    """

    file: str
    variables: Variables
    jobs: tuple[JobResult, ...]
    rewritten: int
    resumed: int
    fetched: int
    seconds: float

    def count(self, status: Status) -> int:
        """How many jobs ended so."""
        return sum(result.status == status for result in self.jobs)

    @property
    def successes(self) -> int:
        """How many jobs succeeded, with the untouched ones: there was nothing to do."""
        return self.count("succeeded") + self.count("untouched")

    @property
    def succeeded(self) -> bool:
        """Whether all jobs did."""
        return self.successes == len(self.jobs)

    def message(self, result: JobResult) -> str:
        """Why a job failed, as it may be shown; one line."""
        return " ".join(shown(self.variables.hide(result.message or "")).split())

    def document(self) -> dict[str, Any]:
        """The JSON document, as docs/reference/json.md lays it down."""
        return {
            "version": 1,
            "jobs": [self._job_document(result) for result in self.jobs],
            "succeeded": self.successes,
            "untouched": self.count("untouched"),
            "failed": self.count("failed"),
            "not_run": self.count("not-run"),
            "rewritten_paths": self.rewritten,
            "resumed_paths": self.resumed,
            "fetched_paths": self.fetched,
            "seconds": round(self.seconds, 6),
        }

    def _job_document(self, result: JobResult) -> dict[str, Any]:
        return {
            "name": result.job.name,
            "status": result.status,
            "note": result.job.request.placement.note,
            "error": error_document(result, self.variables),
            "outcome": outcome_document(result.outcome) if result.outcome is not None else None,
        }


def shown(text: str) -> str:
    """A text as reports can hold it: characters that XML 1.0 does not allow are replaced."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", printable_text(text))


def error_document(result: JobResult, variables: Variables) -> dict[str, Any] | None:
    """The reason for a job's failure, as JSON; null if it has not failed."""
    if result.status != "failed":
        return None
    fields = result.error.fields if isinstance(result.error, GraftError) else {}
    error = {"kind": result.kind, "message": result.message, **fields}
    return error_object(variables.hide_in(error))
