"""`graft batch`: many jobs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from graft.cli.brief_names import brief_path
from graft.cli.output import (
    Bars,
    print_document,
    print_error,
    print_note,
    print_table,
    print_warnings,
)
from graft.cli.result_file import write_file
from graft.cli.settings import Settings, common_options, gather
from graft.errors import UsageError
from graft.formats.file_name import printable_text
from graft.quantities import binary_size, counted

if TYPE_CHECKING:
    from graft.jobs.batch.jobs_file import JobsFile
    from graft.jobs.batch.results import BatchResult, JobResult
    from graft.jobs.batch.runner import Event

_PAGE_VARIABLE = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """The files of reports on a batch; None: the file is not asked for."""

    junit_file: str | None = None
    summary_file: str | None = None

    def write(self, result: BatchResult) -> None:
        """Writes them."""
        from graft.jobs.batch.junit import junit_text
        from graft.jobs.batch.summary import summary_text

        if self.junit_file is not None:
            write_file(self.junit_file, junit_text(result))
        if self.summary_file is not None:
            write_file(self.summary_file, summary_text(result))
        elif page := os.environ.get(_PAGE_VARIABLE):
            with open(page, "a", encoding="utf-8") as stream:
                stream.write(summary_text(result))


@click.command(
    "batch",
    epilog="Example: graft batch jobs.toml --workers 4 --junit report.xml",
)
@gather("graft.cli.commands.batch:Reports", "reports")
@click.argument("file", metavar="JOBS.toml")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Let the workers of this dask.distributed scheduler write the paths for caches.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Let N processes of this machine do that, with a scheduler of their own.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads of this process; as many as there are usable processors if not given.",
)
@click.option(
    "--fail-fast",
    is_flag=True,
    help="Do one job after the other, and stop at the first that fails.",
)
@click.option(
    "--dry-run", is_flag=True, help="Plan all jobs, and show the plans; nothing is written."
)
@click.option("--junit", "junit_file", metavar="FILE", help="Write a report for CI systems.")
@click.option(
    "--summary",
    "summary_file",
    metavar="FILE",
    help=f"Write a summary in Markdown; if not given, it is added to ${_PAGE_VARIABLE} if that "
    "is set.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    file: str,
    scheduler: str | None,
    workers: int | None,
    jobs: int | None,
    fail_fast: bool,
    dry_run: bool,
    reports: Reports,
) -> int:
    """Do the jobs of JOBS.toml: each replaces dependencies in the closures of its roots, as apply.

    A path that several jobs need is made once. A path in the target store is not made again, so the
    same command goes on where one was interrupted. A job that fails does not stop the others.

    With --json stdout has a JSON object a line: events while it runs, and at the end the document.
    Status 1: a job has failed.
    """
    from graft.jobs.batch.cluster import open_cluster
    from graft.jobs.batch.jobs_file import JobsFile
    from graft.jobs.batch.runner import run_batch
    from graft.workers import Resources

    settings.start_log()
    if scheduler is not None and workers is not None:
        raise UsageError("--scheduler has workers already: leave out --workers")
    jobs_file = JobsFile.read(file, os.environ)
    if dry_run:
        return _forecast(settings, jobs_file, jobs)
    with ExitStack() as stack:
        resources = Resources(
            jobs=jobs,
            progress=Bars(settings),
            cluster=stack.enter_context(open_cluster(scheduler, workers))
            if scheduler is not None or workers is not None
            else None,
        )
        result = run_batch(
            jobs_file,
            store_url=settings.store_url,
            environment=os.environ,
            resources=resources,
            fail_fast=fail_fast,
            on_event=_print_event if settings.json else lambda _event: None,
            on_note=lambda note: print_note(note, settings),
        )
    reports.write(result)
    _print_notes(result, settings)
    if settings.json:
        print(json.dumps(result.document()))
    else:
        print_table(
            ["job", "result", "written", "there already", "new roots"],
            map(_row, result.jobs),
            right=["written", "there already"],
        )
    return 0 if result.succeeded else 1


def _forecast(settings: Settings, file: JobsFile, jobs: int | None) -> int:
    """Plans the jobs, and prints the plans; status 1 if a job cannot be planned."""
    from graft.jobs.batch.forecast import forecast_batch
    from graft.workers import Resources

    found = list(
        forecast_batch(
            file,
            store_url=settings.store_url,
            environment=os.environ,
            resources=Resources(jobs=jobs, progress=Bars(settings)),
        )
    )
    failed = [each for each in found if each.plan is None]
    for each in found:
        print_warnings(each.warnings, settings, about=f"job '{each.job.name}': ")
        if each.plan is None:
            message = file.variables.hide(each.message or "")
            print_error(message, about=f"job '{each.job.name}' cannot be planned")
    if settings.json:
        print_document(
            {
                "version": 1,
                "jobs": [each.document(file.variables) for each in found],
                "planned": len(found) - len(failed),
                "failed": len(failed),
            }
        )
    else:
        print_table(
            ["job", "paths", "shared", "at most", "roots"],
            [
                [
                    each.job.name,
                    *("", "", "", "cannot be planned"),
                ]
                if each.plan is None
                else [
                    each.job.name,
                    f"{len(each.plan.rewrites):,}",
                    f"{len(each.plan.shared):,}",
                    binary_size(each.plan.bytes_at_most),
                    ", ".join(map(brief_path, each.plan.roots)),
                ]
                for each in found
            ],
            right=["paths", "shared", "at most"],
        )
    return 1 if failed else 0


def _print_event(event: Event) -> None:
    print(json.dumps(event))
    sys.stdout.flush()


def _row(result: JobResult) -> list[str]:
    execution = result.outcome.execution if result.outcome is not None else None
    return [
        printable_text(result.job.name),
        result.status,
        "" if execution is None else f"{len(execution.rewritten):,}",
        "" if execution is None else f"{len(execution.resumed):,}",
        " ".join(result.new_roots),
    ]


def _print_notes(result: BatchResult, settings: Settings) -> None:
    for job in result.jobs:
        name = printable_text(job.job.name)
        if job.outcome is not None:
            print_warnings(job.outcome.warnings, settings, about=f"job '{name}': ")
        if job.status == "failed":
            print_error(result.message(job), about=f"job '{name}' failed")
    skipped = f", {result.count('not-run'):,} not run" if result.count("not-run") else ""
    print_note(
        f"{result.successes:,} of {counted(len(result.jobs), 'job')} succeeded{skipped}; "
        f"{counted(result.rewritten, 'path')} written, {result.resumed:,} there already, "
        f"{result.fetched:,} fetched; {result.seconds:.2f} s",
        settings,
    )
