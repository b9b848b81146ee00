"""Batches on a real cluster: the same bytes as on one machine, whoever dies meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("distributed")

from tests.buckets import bucket_server, sign_in
from tests.jobs.batch.dask_cluster import DaskCluster, dask_cluster, kill, wait_until
from tests.jobs.batch.fleet import GRAFT_BATCH, TOPS, Fleet, files_of

pytestmark = pytest.mark.slow

_PARTS = 12


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    # Noise that xz is busy with for a second: long enough to be killed in.
    directory = tmp_path_factory.mktemp("fleet")
    return Fleet.build(directory, parts=_PARTS, size=150_000, head='compression = "xz"')


@pytest.fixture(scope="module")
def expected(fleet: Fleet) -> dict[str, bytes]:
    """What one machine makes, with threads."""
    out = fleet.directory / "expected"
    finish(fleet.start(out))
    return files_of(out)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask") / "cluster", workers=3) as cluster:
        yield cluster


def finish(process: subprocess.Popen[str], status: int = 0) -> tuple[str, str]:
    out, err = process.communicate()
    assert process.returncode == status, err
    return out, err


def nars_in(out: Path) -> int:
    return len(list(out.glob("nar/*")))


def test_workers_write_the_same_files_into_a_bucket(
    fleet: Fleet, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moto")
    pytest.importorskip("boto3")
    sign_in(monkeypatch, str(tmp_path))
    text = Path(fleet.jobs_file).read_text()
    try:
        with bucket_server() as server:
            server.make("patched")
            url = server.url("patched")
            Path(fleet.jobs_file).write_text(text.replace("file://${OUT}", url))
            finish(fleet.start(tmp_path, "--workers=2"))
            listing = ET.fromstring(server.request("GET", "/patched?list-type=2"))
            names = [str(key.text) for key in listing.iter() if key.tag.endswith("}Key")]
            found = {name: server.request("GET", f"/patched/{name}") for name in names}
    finally:
        Path(fleet.jobs_file).write_text(text)
    assert found == expected


def test_a_worker_killed_in_the_middle_costs_only_its_task(
    fleet: Fleet, expected: dict[str, bytes], cluster: DaskCluster
) -> None:
    out = fleet.directory / "killed"
    process = fleet.start(out, f"--scheduler={cluster.address}", "--json")
    wait_until(lambda: nars_in(out) >= 2)
    kill(cluster.workers[0])
    assert nars_in(out) < _PARTS
    stdout, _ = finish(process)
    events = [json.loads(line) for line in stdout.splitlines()]
    made = [event["path"] for event in events if event.get("event") == "path"]
    assert len(made) == len(set(made)) == 1 + _PARTS + len(TOPS) + 2
    assert files_of(out) == expected
    again, _ = finish(fleet.start(out, f"--scheduler={cluster.address}", "--json"))
    assert json.loads(again.splitlines()[-1])["resumed_paths"] == 1 + _PARTS + len(TOPS)
    assert '"event": "path"' not in again


def test_a_batch_killed_in_the_middle_goes_on_where_it_was(
    fleet: Fleet, cluster: DaskCluster
) -> None:
    first = '[[job]]\nname = "first"\nroots = ["*-part-0"]\ncompression = "zstd"\n'
    text = Path(fleet.jobs_file).read_text()
    head, rest = text.split("[[job]]", 1)
    try:
        # Its paths are registered before the others, which take longer, are begun.
        Path(fleet.jobs_file).write_text(f"{head}{first}[[job]]{rest}")
        out = fleet.directory / "interrupted"
        process = fleet.start(out, f"--scheduler={cluster.address}")
        wait_until(lambda: len(list(out.glob("*.narinfo"))) >= 4)
        kill(process)
        process.communicate()
        before = len(list(out.glob("*.narinfo")))
        stdout, _ = finish(fleet.start(out, f"--scheduler={cluster.address}", "--json"))
        finish(fleet.start(fleet.directory / "never-interrupted"))
    finally:
        Path(fleet.jobs_file).write_text(text)
    assert before == 4  # NEW, data, the application and the part
    assert json.loads(stdout.splitlines()[-1])["resumed_paths"] == 2
    # What workers had in hand when nobody wanted it any more is gone with the stores they close.
    wait_until(lambda: not list(out.glob(".graft-*")))
    assert files_of(out) == files_of(fleet.directory / "never-interrupted")


def test_a_path_that_fails_on_a_worker_fails_its_jobs_only(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    fleet = Fleet.build(tmp_path, broken=True)
    out = fleet.directory / "failed"
    stdout, err = finish(fleet.start(out, f"--scheduler={cluster.address}", "--json"), 1)
    document = json.loads(stdout.splitlines()[-1])
    statuses = {job["name"]: job["status"] for job in document["jobs"]}
    assert statuses == {"web": "failed", "db": "succeeded", "mail": "succeeded"}
    assert "job 'web' failed: " in err
    assert not list(out.glob(".graft-*"))


def test_names_from_contents_are_found_by_workers_as_well(
    fleet: Fleet, cluster: DaskCluster
) -> None:
    text = Path(fleet.jobs_file).read_text()
    try:
        fleet.write_jobs('addressing = "content"')
        finish(fleet.start(fleet.directory / "content-threads"))
        out = fleet.directory / "content-cluster"
        finish(fleet.start(out, f"--scheduler={cluster.address}"))
    finally:
        Path(fleet.jobs_file).write_text(text)
    assert files_of(out) == files_of(fleet.directory / "content-threads")


def test_nothing_secret_is_in_the_logs_of_the_cluster(fleet: Fleet, cluster: DaskCluster) -> None:
    text = Path(fleet.jobs_file).read_text()
    try:
        fleet.write_jobs('from = "file://${SECRET}"')
        process = subprocess.run(
            [*GRAFT_BATCH, fleet.jobs_file, "-vv", f"--scheduler={cluster.address}"],
            env={
                **os.environ,
                "OUT": str(fleet.directory / "secret-out"),
                "SECRET": str(fleet.directory / "hunter22"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        Path(fleet.jobs_file).write_text(text)
    assert process.returncode == 1
    assert "hunter22" not in process.stdout + process.stderr + cluster.logs()


def test_a_scheduler_that_dies_is_one_error_of_each_job(fleet: Fleet, tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "mortal", workers=1) as mortal:
        process = fleet.start(tmp_path / "out", f"--scheduler={mortal.address}", "--json")
        wait_until(lambda: nars_in(tmp_path / "out") >= 2)
        kill(mortal.scheduler)
        out, err = finish(process, 1)
    document = json.loads(out.splitlines()[-1])
    assert {job["error"]["kind"] for job in document["jobs"]} == {"cluster"}
    assert "is gone: run the same command again" in err
    assert "Traceback" not in err


def test_workers_with_another_graft_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "old", workers=0) as old:
        old.start_worker(graft_version="0.0.1")
        _, err = finish(fleet.start(tmp_path / "out", f"--scheduler={old.address}"), 2)
    assert "has graft 0.0.1, and this is graft " in err
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_answer_is_one_error(fleet: Fleet) -> None:
    _, err = finish(fleet.start(fleet.directory / "none", "--scheduler=tcp://127.0.0.1:1"), 2)
    assert err.startswith("graft: error: the scheduler 'tcp://127.0.0.1:1' does not answer: ")
    assert err.count("\n") == 1
