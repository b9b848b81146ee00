"""The result of a batch as Markdown, for the pages of CI systems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from graft.jobs.batch.results import BatchResult, JobResult, shown
from graft.quantities import counted, human_seconds

# Characters that could begin something in Markdown, a table or HTML; as entities they are only
# characters.
_SPECIAL: Final = re.compile(r"[\\`*_\[\]<>|&~@$#!]")
_RESULTS: Final = {
    "succeeded": "succeeded",
    "untouched": "untouched",
    "failed": "**failed**",
    "not-run": "not run",
}


def summary_text(result: BatchResult) -> str:
    """The whole page; its last words are the only ones that depend on time."""
    return "\n".join([*_lines(result), ""])


def _lines(result: BatchResult) -> Iterator[str]:
    done, of = result.successes, counted(len(result.jobs), "job")
    yield f"## {_text(result.file)}: {done:,} of {of} succeeded"
    yield ""
    yield "| job | result | paths written | there already | new roots |"
    yield "|---|---|--:|--:|---|"
    for job in result.jobs:
        yield f"| {' | '.join(_cells(job))} |"
    failed = [job for job in result.jobs if job.status == "failed"]
    if failed:
        yield ""
        yield "### Failures"
        yield ""
        for job in failed:
            yield f"- **{_text(job.job.name)}** ({job.kind}): {_text(result.message(job))}"
    notes = [
        (job.job.name, note)
        for job in result.jobs
        if (note := job.job.request.placement.note) is not None
    ]
    if notes:
        yield ""
        yield "### Notes"
        yield ""
        for name, note in notes:
            yield f"- **{_text(name)}**: {_text(note)}"
    yield ""
    yield (
        f"{counted(result.rewritten, 'path')} written, {result.resumed:,} there already, "
        f"{result.fetched:,} fetched; {human_seconds(result.seconds)}"
    )


def _cells(job: JobResult) -> Iterator[str]:
    yield _text(job.job.name)
    yield _RESULTS[job.status]
    execution = job.outcome.execution if job.outcome is not None else None
    yield "" if execution is None else f"{len(execution.rewritten):,}"
    yield "" if execution is None else f"{len(execution.resumed):,}"
    yield "<br>".join(map(_text, job.new_roots))


def _text(text: str) -> str:
    """A text that nothing in it can make more than a text; on one line."""
    escaped = _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", shown(text))
    return " ".join(escaped.split())
