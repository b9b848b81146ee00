"""What came of a batch as JUnit's XML, as CI systems read it: a test case for each job.

Source: the attributes that Jenkins' junit-10.xsd has and GitLab's and GitHub's readers look at. But
for `time` nothing in it depends on when or where the batch ran.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from graft.batch.results import BatchResult, JobResult
from graft.formats.file_name import printable_text

# What XML 1.0 cannot hold, not even escaped.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    suite = ET.SubElement(suites, "testsuite", {"name": _xml(result.file), **counts})
    for job in result.jobs:
        _add_case(suite, job, result)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _add_case(suite: ET.Element, job: JobResult, result: BatchResult) -> None:
    seconds = job.outcome.seconds if job.outcome is not None else 0.0
    case = ET.SubElement(
        suite,
        "testcase",
        name=_xml(job.job.name),
        classname=_xml(result.file),
        file=_xml(result.file),
        time=_seconds(seconds),
    )
    if job.status == "failed":
        message = _xml(result.message(job))
        failure = ET.SubElement(case, "failure", message=message, type=_xml(job.kind or ""))
        failure.text = message
    elif job.status == "not-run":
        ET.SubElement(case, "skipped", message="not run, for another job has failed")
    if job.new_roots:
        ET.SubElement(case, "system-out").text = _xml("\n".join(job.new_roots))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"


def _xml(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", printable_text(text))
