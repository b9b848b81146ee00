"""`graft batch` as people and CI systems see it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from graft.cli import run
from tests.jobs.batch.fleet import TOPS, Fleet
from tests.store_objects import add_object, new_store


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    _prepare(tmp_path, monkeypatch)
    return Fleet.build(tmp_path)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    _prepare(tmp_path, monkeypatch)
    return Fleet.build(tmp_path, broken=True)


def _prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def batch(fleet: Fleet, *options: str, status: int = 0) -> None:
    assert run(["batch", fleet.jobs_file, *options]) == status


def test_a_table_says_what_came_of_each_job(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(fleet)
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows[2:]] == list(TOPS)
    assert {row[1] for row in rows[2:]} == {"succeeded"}
    assert all(row[-1].startswith("/nix/store/") for row in rows[2:])
    assert "3 of 3 jobs succeeded; 10 paths written" in err


def test_one_failed_job_is_the_status_and_a_line(
    broken: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(broken, status=1)
    out, err = capsys.readouterr()
    assert "failed" in out
    [line] = [line for line in err.splitlines() if line.startswith("graft: job 'web' failed: ")]
    assert "part-0/etc-metadata.erofs' must not be left alone" in line
    assert "2 of 3 jobs succeeded" in err


def test_json_is_lines_while_it_runs_and_a_document_at_the_end(
    broken: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(broken, "--json", status=1)
    *events, document = map(json.loads, capsys.readouterr().out.splitlines())
    assert {event["event"] for event in events} == {"planned", "path", "job"}
    assert [event["job"] for event in events if event["event"] == "planned"] == list(TOPS)
    [error] = [event["error"] for event in events if event.get("error") and "path" in event]
    assert isinstance(error, str)
    assert next(iter(document)) == "version"
    assert [job["status"] for job in document["jobs"]] == ["failed", "succeeded", "succeeded"]
    assert document["jobs"][0]["error"]["kind"] == "fixup"
    assert document["jobs"][1]["outcome"]["proof"]["residual"] == []
    assert (document["succeeded"], document["failed"], document["not_run"]) == (2, 1, 0)


def test_each_case_of_junit_has_its_own_time(fleet: Fleet, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    batch(fleet, f"--junit={report}", "-q")
    [suite] = ET.parse(report).getroot()
    times = [float(str(case.get("time"))) for case in suite]
    assert all(seconds > 0 for seconds in times)
    # Not the whole time for each: work for several jobs is shared out among them.
    assert sum(times) <= float(str(suite.get("time"))) + 0.01


def test_a_dry_run_shows_the_plans_and_writes_nothing(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    batch(fleet, "--dry-run")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows[2:]] == list(TOPS)
    assert all(int(row[1]) > 0 for row in rows[2:])
    batch(fleet, "--dry-run", "--json")
    document = json.loads(capsys.readouterr().out)
    assert (document["planned"], document["failed"]) == (3, 0)
    assert all(job["plan"]["rewrites"] for job in document["jobs"])
    assert sorted(tmp_path.rglob("*")) == before
    Path(fleet.jobs_file).write_text(
        Path(fleet.jobs_file).read_text().replace("roots = [", 'roots = ["nosuch", ', 1)
    )
    batch(fleet, "--dry-run", status=1)
    out, err = capsys.readouterr()
    assert "cannot be planned" in out
    assert "cannot be planned: 'nosuch' is" in err


def test_the_first_failure_is_the_last_with_fail_fast(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.spoil_nar(fleet.parts[1])
    batch(fleet, "--fail-fast", status=1)
    assert "0 of 3 jobs succeeded, 2 not run" in capsys.readouterr().err


def test_reports_are_written_where_they_are_wanted(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    report, summary = tmp_path / "report.xml", tmp_path / "summary.md"
    batch(fleet, f"--junit={report}", f"--summary={summary}")
    assert len(list(ET.parse(report).iter("testcase"))) == 3
    assert summary.read_text().startswith("## ")
    assert page.read_text() == "before\n"
    batch(fleet, "-q")
    assert page.read_text().startswith("before\n## ")


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ("", "there is no job"),
        ("jobs = 1\n[[job]]", "unknown key 'jobs'"),
        ('[[job]]\nname = "a"\nroots-file = "none"', "none': No such file or directory"),
    ],
)
def test_a_bad_file_is_one_error_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: str, said: str
) -> None:
    file = tmp_path / "jobs.toml"
    file.write_text(contents)
    report = tmp_path / "report.xml"
    assert run(["batch", str(file), f"--junit={report}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("graft: error: ")
    assert said in err
    assert err.count("\n") == 1
    assert not report.exists()


def test_a_scheduler_brings_its_own_workers(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(fleet, "--workers=2", "--scheduler=tcp://127.0.0.1:1", status=2)
    assert "leave out --workers" in capsys.readouterr().err


def test_without_dask_it_says_what_to_install(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    batch(fleet, "--workers=2", status=2)
    assert "extra 'distributed'" in capsys.readouterr().err


def test_a_job_whose_programs_would_not_start_fails_unless_that_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path
    old = add_object(store, "shell-1.0", {"bin": {"sh": b"#!/bin/sh\n"}})
    new = add_object(store, "shell-1.1", {"bin": {"bash": b"#!/bin/sh\n"}})
    tops = [
        add_object(store, name, {"run": f"#!{full(old)}/bin/sh\n".encode()}, [old])
        for name in ("one", "two")
    ]
    lines = [f'store = "local?store={store.store_dir}&state={tmp_path}/state"']
    lines += [f'replacements = {{ "{full(old)}" = "{full(new)}" }}', 'prove = "none"']
    for top, allowed in zip(tops, ("false", "true"), strict=True):
        lines += ["[[job]]", f'name = "{top.name}"', f'roots = ["{full(top)}"]']
        lines += [f"allow-abi-breaks = {allowed}", f"allow-missing-files = {allowed}"]
    jobs = tmp_path / "jobs.toml"
    jobs.write_text("\n".join(lines))
    assert run(["batch", str(jobs), "--json"]) == 1
    *events, _ = map(json.loads, capsys.readouterr().out.splitlines())
    ended = {event["job"]: event for event in events if event["event"] == "job"}
    assert ended["one"]["error"]["kind"] == "abi"
    assert ended["one"]["error"]["program"] == f"{full(tops[0])}/run"
    assert ended["two"]["status"] == "succeeded"
