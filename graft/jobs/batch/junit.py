"""The result of a batch as JUnit's XML, as CI systems read it: a test case for each job.

Source: the attributes that Jenkins' junit-10.xsd has and GitLab's and GitHub's readers look at. But
for `time` nothing in it depends on when or where the batch ran.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from graft.jobs.batch.results import BatchResult, JobResult, shown


def junit_text(result: BatchResult) -> str:
    """The whole file."""
    counts = {
        "tests": str(len(result.jobs)),
        "failures": str(result.count("failed")),
        "errors": "0",
        "skipped": str(result.count("not-run")),
        "time": _seconds(result.seconds),
    }
    suites = ET.Element("testsuites", {"name": "graft batch", **counts})
    suite = ET.SubElement(suites, "testsuite", {"name": shown(result.file), **counts})
    for job in result.jobs:
        _add_case(suite, job, result)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _add_case(suite: ET.Element, job: JobResult, result: BatchResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        name=shown(job.job.name),
        classname=shown(result.file),
        file=shown(result.file),
        time=_seconds(job.seconds),
    )
    if job.status == "failed":
        message = shown(result.message(job))
        failure = ET.SubElement(case, "failure", message=message, type=shown(job.kind or ""))
        failure.text = message
    elif job.status == "not-run":
        ET.SubElement(case, "skipped", message="not run, for another job has failed")
    if job.new_roots:
        ET.SubElement(case, "system-out").text = shown("\n".join(job.new_roots))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
