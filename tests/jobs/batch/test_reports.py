"""Reports for CI systems: well-formed whatever names and messages hold, and the same each time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.check.proof import Problem
from graft.errors import CacheError, GraftError
from graft.jobs.apply import apply
from graft.jobs.batch.jobs_file import JobsFile
from graft.jobs.batch.junit import junit_text
from graft.jobs.batch.results import BatchResult, JobResult
from graft.jobs.batch.runner import run_batch
from graft.jobs.batch.summary import summary_text
from graft.jobs.batch.variables import Variables
from graft.jobs.request import Job
from graft.machine.places import Placement
from tests.graftable import Graftable
from tests.jobs.batch.fleet import Fleet
from tests.store_objects import new_store

_TEXT = f'[[job]]\nname = "web"\nroots = ["x"]\nreplacements = {{ "{"0" * 32}-a" = "b" }}'
[_JOB] = JobsFile.parse(_TEXT, "jobs.toml", {}, read=str).jobs

# As a file's name or a server's answer may be: control characters, and bytes that are no UTF-8.
_ANY = st.text(st.characters(exclude_categories=[]))


def result_of(*jobs: JobResult, file: str = "jobs.toml") -> BatchResult:
    return BatchResult(
        file=file,
        variables=Variables({}),
        jobs=jobs,
        rewritten=0,
        resumed=0,
        fetched=0,
        seconds=1.5,
    )


def named(name: str, **fields: object) -> JobResult:
    job: Job = replace(_JOB, name=name)
    return replace(JobResult(job=job), **fields)  # type: ignore[arg-type]


@given(name=_ANY, message=_ANY, note=_ANY, file=_ANY)
def test_any_text_makes_well_formed_reports(name: str, message: str, note: str, file: str) -> None:
    request = replace(_JOB.request, placement=Placement(note=note))
    job = replace(_JOB, name=name, request=request)
    result = result_of(JobResult(job=job, error=GraftError(message, path=message)), file=file)
    suites = ET.fromstring(junit_text(result).encode())
    [case] = suites.iter("testcase")
    assert len(list(case)) == 1
    page = summary_text(result)
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"\|", row)) for row in rows] == [6, 6, 6]
    assert len(page.encode().decode().splitlines()) == 15
    assert json.loads(json.dumps(result.document()))["failed"] == 1


def test_junit_says_what_readers_look_for() -> None:
    result = result_of(
        named("web", error=CacheError("cache 'x' cannot be read")), named("db"), named("mail")
    )
    suites = ET.fromstring(junit_text(result))
    [suite] = suites
    for element in (suites, suite):
        assert (element.get("tests"), element.get("failures")) == ("3", "1")
        assert (element.get("errors"), element.get("skipped")) == ("0", "2")
        assert element.get("time") == "1.500"
    assert [case.get("name") for case in suite] == ["web", "db", "mail"]
    assert {case.get("classname") for case in suite} == {"jobs.toml"}
    assert all(float(str(case.get("time"))) >= 0 for case in suite)
    failure = suite[0].find("failure")
    assert failure is not None
    assert failure.attrib == {"message": "cache 'x' cannot be read", "type": "cache"}
    assert failure.text == "cache 'x' cannot be read"
    assert suite[1].find("skipped") is not None


@pytest.mark.parametrize("text", ["<img src=x>", "[a](b)", "a | b", "`code`", "@team", "a\n# b"])
def test_a_message_makes_nothing_of_its_own_in_the_summary(text: str) -> None:
    page = summary_text(result_of(named("web", error=GraftError(text))))
    assert text not in page
    assert len([line for line in page.splitlines() if line.startswith("#")]) == 2


def test_reports_are_the_same_each_time_but_for_times(tmp_path: Path) -> None:
    fleet = Fleet.build(tmp_path)
    fleet.spoil_nar(fleet.parts[0])
    reports = []
    for _ in range(2):
        environment = {"OUT": str(tmp_path / "out")}
        run_batch(
            JobsFile.read(fleet.jobs_file, environment), store_url="auto", environment=environment
        )
        file = JobsFile.read(fleet.jobs_file, environment)
        result = run_batch(file, store_url="auto", environment=environment)
        document = json.dumps(result.document())
        reports.append(
            (
                re.sub(r' time="[0-9.]+"', "", junit_text(result)),
                re.sub(r"; [^;]* m?s$", "", summary_text(result).rstrip()),
                re.sub(r'"seconds": [0-9.e-]+', "", document),
            )
        )
    assert reports[0] == reports[1]
    assert "**failed**" in reports[0][1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(13, "Permission Denied", "/x"), "'/x': Permission Denied"),
        (OSError(13, "Permission Denied"), "Permission Denied"),
        (OSError("Some Words"), "Some Words"),
    ],
)
def test_an_error_of_the_system_is_told_with_its_file(error: OSError, message: str) -> None:
    result = named("web", error=error)
    assert (result.message, result.kind, result.status) == (message, "system", "failed")


def test_the_document_counts_jobs_by_their_end() -> None:
    failed = [named("web", error=OSError("no")), named("mail", error=OSError("no"))]
    batch = replace(result_of(*failed, named("later")), seconds=1.23456789, rewritten=5)
    document = batch.document()
    assert document["version"] == 1
    assert [job["status"] for job in document["jobs"]] == ["failed", "failed", "not-run"]
    assert (document["succeeded"], document["failed"], document["not_run"]) == (0, 2, 1)
    assert (document["rewritten_paths"], document["seconds"]) == (5, 1.234568)
    assert not batch.succeeded


def test_of_several_wrong_paths_the_first_is_named(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    outcome = apply(it.store, [it.env], {it.old: it.new})
    problems = tuple(Problem(kind="nar-hash", path=path) for path in (it.app, it.env))
    result = named("web", outcome=replace(outcome, problems=problems))
    full = it.store.store_dir.path(it.app)
    assert result.message == f"2 paths of the result are wrong, the first is '{full}' (nar-hash)"
    assert (result.kind, result.status, result.new_roots) == ("not-proven", "failed", [])
