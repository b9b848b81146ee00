"""Batches run by threads: what is shared is done once, and who fails does not stop the others."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graft.formats.signature import SecretKey
from graft.formats.store_path import StoreDir
from graft.jobs.apply import apply
from graft.jobs.batch.jobs_file import JobsFile
from graft.jobs.batch.results import BatchResult
from graft.jobs.batch.runner import Event, run_batch
from graft.store.binary_cache import BinaryCache
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.trust import write_secret_key
from graft.store.writable_cache import WritableCache
from graft.workers import Resources
from tests.caches import cache_of
from tests.jobs.batch.fleet import TOPS, Fleet, files_of
from tests.store_objects import Contents, add_object

_STORE = StoreDir("/nix/store")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet.build(tmp_path)


class Events(list[Event]):
    def of(self, kind: str, key: str) -> list[Any]:
        return [event[key] for event in self if event["event"] == kind]


def batch(
    fleet: Fleet, out: str = "out", events: Events | None = None, **options: Any
) -> BatchResult:
    environment = {"OUT": str(fleet.directory / out), **options.pop("environment", {})}
    resources = {name: options.pop(name) for name in ("jobs", "progress") if name in options}
    return run_batch(
        JobsFile.read(fleet.jobs_file, environment),
        store_url="auto",
        environment=environment,
        resources=Resources(**resources),
        on_event=(lambda _: None) if events is None else events.append,
        **options,
    )


def statuses(result: BatchResult) -> dict[str, str]:
    return {job.job.name: job.status for job in result.jobs}


def test_what_jobs_share_is_made_once(fleet: Fleet) -> None:
    events = Events()
    result = batch(fleet, events=events)
    assert result.succeeded
    made = events.of("path", "path")
    assert len(made) == len(set(made))
    new = {path for job in result.jobs if job.outcome for path in job.outcome.plan.new_paths}
    assert len(new) == 1 + len(fleet.parts) + len(TOPS) == result.rewritten
    assert {_STORE.path(path) for path in new} <= set(made)
    assert result.fetched == 2  # NEW and the data package
    assert sum(len(job.outcome.execution.rewritten) for job in result.jobs if job.outcome) > len(
        new
    )


def test_a_batch_makes_what_apply_makes_job_by_job(fleet: Fleet) -> None:
    result = batch(fleet)
    with (
        BinaryCache.open(f"file://{fleet.directory}/source") as source,
        WritableCache.create(f"file://{fleet.directory}/one-by-one", _STORE) as target,
    ):
        for job in result.jobs:
            root = fleet.tops[job.job.name]
            outcome = apply(source, [root], {fleet.it.old: fleet.it.new}, to=target)
            assert job.outcome is not None
            assert job.outcome.plan.new_roots == outcome.plan.new_roots
    assert files_of(fleet.directory / "out") == files_of(fleet.directory / "one-by-one")


def test_a_second_run_writes_nothing(fleet: Fleet) -> None:
    first = batch(fleet)
    times = {file: os.stat(file).st_mtime_ns for file in (fleet.directory / "out").rglob("*")}
    events = Events()
    second = batch(fleet, events=events)
    assert second.succeeded
    assert (second.rewritten, second.fetched) == (0, 0)
    assert second.resumed == first.rewritten
    assert events.of("path", "path") == []
    assert {
        file: os.stat(file).st_mtime_ns for file in (fleet.directory / "out").rglob("*")
    } == times


@pytest.mark.parametrize("kind", ["corrupt-cache", "fixup"])
def test_a_path_that_fails_fails_the_jobs_that_need_it_and_no_others(
    kind: str, tmp_path: Path
) -> None:
    fleet = Fleet.build(tmp_path, broken=kind == "fixup")
    if kind == "corrupt-cache":
        fleet.spoil_nar(fleet.parts[0])  # only web needs it
    result = batch(fleet)
    assert statuses(result) == {"web": "failed", "db": "succeeded", "mail": "succeeded"}
    [web, *_] = result.jobs
    assert web.kind == kind
    assert fleet.parts[0] in str(web.message)
    with BinaryCache.open(f"file://{fleet.directory}/out") as out:
        valid = out.valid_paths()
        for path in valid:
            assert out.path_infos([path])[path].references <= valid
        assert not any(path.name == "web-1" for path in valid)


def test_a_job_that_cannot_be_planned_does_not_stop_the_others(fleet: Fleet) -> None:
    fleet.write_jobs(
        extra="""
        [[job]]
        name = "nobody"
        roots = ["*-nobody-*"]
        [[job]]
        name = "link"
        roots = ["./nowhere"]
        [[job]]
        name = "nostore"
        roots = ["*-web-1"]
        store = "file:///nowhere/at/all"
        [[job]]
        name = "nokey"
        roots = ["*-web-1"]
        sign-keys = ["no-such-key"]
        [[job]]
        name = "root"
        roots = ["*-web-1"]
        add-root = "link"
        """
    )
    result = batch(fleet)
    kinds = {job.job.name: job.kind for job in result.jobs}
    assert kinds == {
        **dict.fromkeys(TOPS),
        "nobody": "invalid-path",
        "link": "bad-store-path",
        "nostore": "no-store",
        "nokey": "store",
        "root": "usage",
    }


def test_with_fail_fast_what_comes_after_a_failure_is_not_run(fleet: Fleet) -> None:
    fleet.spoil_nar(fleet.parts[1])  # web and db need it
    result = batch(fleet, fail_fast=True)
    assert statuses(result) == {"web": "failed", "db": "not-run", "mail": "not-run"}


def test_a_batch_into_a_store_makes_roots_and_profiles(fleet: Fleet) -> None:
    location = Location.at_root(str(fleet.directory / "there"))
    LocalStore.create(location)
    text = Path(fleet.jobs_file).read_text()
    text = text.replace("file://${OUT}", "${OUT}")
    text += f'[[job]]\nname = "kept"\nroots = ["{fleet.tops["web"]}"]\nadd-root = "patched"\n'
    text += f'profile = "{location.state_dir}/profiles/kept"\n'
    Path(fleet.jobs_file).write_text(text)
    fleet.spoil_nar(fleet.parts[0])
    failed = batch(fleet, "there")
    assert statuses(failed)["db"] == "succeeded"
    assert statuses(failed)["web"] == statuses(failed)["kept"] == "failed"
    assert not os.path.lexists(fleet.directory / "patched")
    fleet.spoil_nar(fleet.parts[0])  # whole again
    result = batch(fleet, "there")
    assert result.succeeded
    kept = result.jobs[-1]
    assert os.readlink(fleet.directory / "patched") == kept.new_roots[0]
    assert os.path.lexists(f"{location.state_dir}/profiles/kept-1-link")
    web = result.jobs[0]
    assert web.outcome is not None
    assert [warning.kind for warning in web.outcome.warnings] == ["no-root"]


def test_names_from_contents_are_the_same_for_all_jobs(fleet: Fleet) -> None:
    fleet.write_jobs('addressing = "content"')
    result = batch(fleet)
    assert result.succeeded
    names = {job.outcome.plan.moved[fleet.it.app] for job in result.jobs if job.outcome}
    assert len(names) == 1
    with BinaryCache.open(f"file://{fleet.directory}/out") as out:
        for job in result.jobs:
            assert job.outcome is not None
            infos = out.path_infos(job.outcome.plan.new_paths)
            assert all(info.content_address is not None for info in infos.values())
    fleet.spoil_nar(fleet.parts[0])
    again = batch(fleet, "other")
    assert statuses(again) == {"web": "failed", "db": "succeeded", "mail": "succeeded"}
    del fleet.tops["db"]
    fleet.write_jobs('addressing = "content"')
    assert statuses(batch(fleet, "of-two")) == {"web": "failed", "mail": "succeeded"}


def test_what_was_signed_by_nobody_trusted_is_refused(fleet: Fleet) -> None:
    text = Path(fleet.jobs_file).read_text().replace("check-sigs = false", "")
    Path(fleet.jobs_file).write_text(text)
    result = batch(fleet)
    assert {job.kind for job in result.jobs} == {"untrusted-path"}
    assert not list((fleet.directory / "out").glob("*.narinfo"))


def test_results_are_signed_with_a_key_that_the_environment_names(fleet: Fleet) -> None:
    key = SecretKey.generate("ci-1")
    write_secret_key(str(fleet.directory / "ci-1.key"), key)
    fleet.write_jobs('sign-keys = ["${KEY_FILE}"]')
    result = batch(fleet, environment={"KEY_FILE": str(fleet.directory / "ci-1.key")})
    assert result.succeeded
    with BinaryCache.open(f"file://{fleet.directory}/out") as out:
        for info in out.path_infos(out.valid_paths()).values():
            assert any(signature.startswith("ci-1:") for signature in info.signatures)


def test_no_secret_is_in_any_report(fleet: Fleet) -> None:
    fleet.write_jobs(
        extra="""
        [[job]]
        name = "secret"
        roots = ["*-web-1"]
        store = "${SECRET}://ci@cache.example.org"
        [[job]]
        name = "key"
        roots = ["*-web-1"]
        sign-keys = ["${SECRET}/key"]
        """
    )
    events = Events()
    result = batch(fleet, events=events, environment={"SECRET": "hunter22"})
    assert statuses(result)["secret"] == statuses(result)["key"] == "failed"
    shown = json.dumps([result.document(), *events])
    assert "${SECRET}" in shown
    assert "hunter22" not in shown


def test_what_results_share_is_read_once_to_prove_them(fleet: Fleet) -> None:
    read: Counter[str] = Counter()

    @contextmanager
    def progress(stage: str, _total: int | None) -> Iterator[Callable[[int], object]]:
        yield lambda size: read.update({stage: size})

    result = batch(fleet, progress=progress)
    with (
        BinaryCache.open(f"file://{fleet.directory}/source") as source,
        BinaryCache.open(f"file://{fleet.directory}/out") as out,
    ):
        new = out.path_infos(out.valid_paths() - source.valid_paths())
    # The others were searched when they were copied.
    assert read["prove"] == sum(info.nar_size for info in new.values()) > 0
    proofs = [job.outcome.proof for job in result.jobs if job.outcome and job.outcome.proof]
    assert [proof.paths for proof in proofs] == [10, 9, 8]


def test_a_job_that_is_not_proven_fails_alone(fleet: Fleet) -> None:
    with LocalStore(location=Location.at_root(str(fleet.directory / "local"))) as store:
        hidden = f"{_STORE.path(fleet.it.old)}\n".encode()
        odd = add_object(store, "odd-1", {"unregistered": hidden})
        add_object(store, "bad-1", {"odd": _STORE.path(odd)}, [odd, fleet.tops["mail"]])
        cache_of(store, fleet.directory / "source")
    fleet.write_jobs(extra='[[job]]\nname = "bad"\nroots = ["*-bad-1"]')
    events = Events()
    result = batch(fleet, events=events)
    assert statuses(result) == {**dict.fromkeys(TOPS, "succeeded"), "bad": "failed"}
    bad = result.jobs[-1]
    assert bad.kind == "not-proven"
    assert f"'{_STORE.path(odd)}'" in str(bad.message)
    assert events.of("job", "error")[-1]["kind"] == "not-proven"


def test_a_strict_job_fails_where_a_file_was_not_looked_into(fleet: Fleet) -> None:
    with LocalStore(location=Location.at_root(str(fleet.directory / "local"))) as store:
        top = fleet.tops["mail"]
        files: dict[str, Contents] = {"mail": _STORE.path(top), "image": b"hsqs" + bytes(200)}
        add_object(store, "image-1", files, [top])
        cache_of(store, fleet.directory / "source")
    jobs = '[[job]]\nname = "{0}"\nroots = ["*-image-1"]\nstrict = {1}\n'
    fleet.write_jobs(extra=jobs.format("lax", "false") + jobs.format("strict", "true"))
    result = batch(fleet)
    assert statuses(result)["lax"] == "succeeded"
    assert result.jobs[-1].kind == "not-proven"
    assert result.jobs[-1].message == "it is strict: 1 file not looked into"


def test_patterns_are_held_against_full_paths_and_links(fleet: Fleet) -> None:
    (fleet.directory / "results").mkdir()
    for name in ("web", "db"):
        link = fleet.directory / "results" / name
        link.symlink_to(_STORE.path(fleet.tops[name]))
    text = Path(fleet.jobs_file).read_text()
    text += '[[job]]\nname = "full"\nroots = ["/nix/store/*-[wm]*-1"]\n'
    text += '[[job]]\nname = "links"\nroots = ["results/*"]\n'
    Path(fleet.jobs_file).write_text(text)
    result = batch(fleet)
    full, links = result.jobs[-2:]
    assert full.outcome is not None
    assert links.outcome is not None
    assert set(full.outcome.plan.roots) == {fleet.tops["web"], fleet.tops["mail"]}
    assert set(links.outcome.plan.roots) == {fleet.tops["web"], fleet.tops["db"]}


def test_jobs_of_several_targets_are_independent(fleet: Fleet) -> None:
    fleet.write_jobs(
        extra=f"""
        [[job]]
        name = "elsewhere"
        roots = ["*-web-1"]
        to = "file://{fleet.directory}/elsewhere"
        compression = "xz"
        """
    )
    result = batch(fleet)
    assert result.succeeded
    names = files_of(fleet.directory / "elsewhere")
    assert any(name.endswith(".xz") for name in names)
    web, elsewhere = result.jobs[0], result.jobs[-1]
    assert web.new_roots == elsewhere.new_roots
