"""Closures grafted from and into binary caches, without any store on this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graft.check.verification import verify
from graft.errors import CorruptCacheError, GraftError, UsageError
from graft.executor import Compression
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome
from graft.kernel.tree import read_tree
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.writable_cache import WritableCache
from tests.caches import cache_of, read_nar, spoil
from tests.graftable import Graftable
from tests.store_objects import add_object, opened


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    location = Location.at_root(str(tmp_path / "local"))
    LocalStore.create(location)
    return Graftable.build(opened(location))


@pytest.fixture
def source(it: Graftable, tmp_path: Path) -> WritableCache:
    return cache_of(it.store, tmp_path / "source")


@pytest.fixture
def target(it: Graftable, tmp_path: Path) -> WritableCache:
    return WritableCache.create(f"file://{tmp_path / 'target'}", it.store.store_dir)


def _graft(it: Graftable, source: WritableCache, target: WritableCache) -> Outcome:
    return apply(source, [it.env], {it.old: it.new}, to=target)


def _files(cache: WritableCache) -> dict[str, bytes]:
    directory = Path(cache.url.removeprefix("file://"))
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file()
    }


def test_a_closure_in_a_cache_is_grafted_as_it_is_in_a_store(
    it: Graftable, source: WritableCache, target: WritableCache
) -> None:
    outcome = _graft(it, source, target)
    assert outcome.succeeded
    assert outcome.execution.fetched == {it.new, it.data}
    local = apply(it.store, [it.env], {it.old: it.new})
    assert outcome.plan.new_roots == local.plan.new_roots
    assert outcome.execution.rewritten == local.execution.rewritten
    assert outcome.execution.references_rewritten == local.execution.references_rewritten
    infos = it.store.path_infos(local.plan.new_references)
    assert target.valid_paths() == infos.keys()
    for path, info in infos.items():
        nar = bytearray()
        read_tree(it.tree(path), sink=nar.extend)
        assert read_nar(target, path) == nar
        found = target.path_infos([path])[path]
        assert (found.nar_hash, found.references) == (info.nar_hash, info.references)


def test_what_is_copied_is_searched_on_its_way(
    it: Graftable, source: WritableCache, target: WritableCache, tmp_path: Path
) -> None:
    leftover = add_object(it.store, "leftover-1", it.store.store_dir.path(it.old).encode())
    env = add_object(it.store, "env-2", it.store.store_dir.path(leftover), [leftover])
    source = cache_of(it.store, tmp_path / "with-leftover")
    outcome = apply(source, [it.env, env], {it.old: it.new}, to=target)
    assert outcome.execution.fetched == {it.new, it.data, leftover, env}
    assert outcome.proof is not None
    assert [(found.path, found.reference) for found in outcome.proof.residual] == [
        (leftover, it.old)
    ]
    assert outcome.proof.paths == len(outcome.plan.new_references)
    again = apply(source, [it.env, env], {it.old: it.new}, to=target)
    assert again.proof == outcome.proof


def test_a_store_is_grafted_into_a_cache(it: Graftable, target: WritableCache) -> None:
    before = it.store.valid_paths()
    outcome = apply(it.store, [it.env], {it.old: it.new}, to=target)
    assert outcome.succeeded
    assert it.store.valid_paths() == before
    assert target.valid_paths() == outcome.plan.new_references.keys()
    assert outcome.execution.files.patched == 2
    assert [warning.kind for warning in outcome.warnings] == ["unsigned"]


def test_a_cache_is_grafted_into_a_store(
    it: Graftable, source: WritableCache, tmp_path: Path
) -> None:
    location = Location.at_root(str(tmp_path / "there"))
    LocalStore.create(location)
    with LocalStore(location=location) as there:
        outcome = apply(source, [it.env], {it.old: it.new}, to=there)
        assert outcome.succeeded
        here = apply(it.store, [it.env], {it.old: it.new})
        for path in here.plan.new_references:
            ours, theirs = bytearray(), bytearray()
            read_tree(it.tree(path), sink=ours.extend)
            read_tree(there.tree(path), sink=theirs.extend)
            assert ours == theirs
        assert not list(Path(location.real_store_dir).glob("*-graft*"))
        again = apply(source, [it.env], {it.old: it.new}, to=there)
        assert again.execution.resumed == outcome.execution.rewritten
        assert again.execution.fetched == frozenset()


def test_the_same_input_makes_the_same_files(
    it: Graftable, source: WritableCache, target: WritableCache, tmp_path: Path
) -> None:
    _graft(it, source, target)
    other = WritableCache.create(f"file://{tmp_path / 'other'}", it.store.store_dir)
    apply(source, [it.env], {it.old: it.new}, to=other, jobs=1)
    assert _files(target) == _files(other)


def test_a_second_run_writes_nothing(
    it: Graftable, source: WritableCache, target: WritableCache
) -> None:
    first = _graft(it, source, target)
    before = _files(target)
    again = _graft(it, source, target)
    assert again.execution.resumed == first.execution.rewritten
    assert again.execution.fetched == again.execution.rewritten == frozenset()
    assert _files(target) == before


def test_a_nar_whose_names_change_their_order_is_sorted_anew(
    it: Graftable, target: WritableCache, tmp_path: Path
) -> None:
    # Whatever the two hash parts are, some of these names stand between them.
    names = {it.old.hash_part: b"moves\n", **dict.fromkeys("0123456789abcdfghijklmnpqrsvwxyz", b"")}
    odd = add_object(it.store, "odd-1", names, [it.old])
    source = cache_of(it.store, tmp_path / "source")
    outcome = apply(source, [odd], {it.old: it.new}, to=target)
    assert outcome.succeeded
    local = apply(it.store, [odd], {it.old: it.new})
    new = local.plan.new_roots[odd]
    assert target.path_infos([new])[new].nar_hash == it.store.path_infos([new])[new].nar_hash


def test_what_only_the_bytes_lead_to_is_registered_and_fetched(
    it: Graftable, target: WritableCache, tmp_path: Path
) -> None:
    hidden = add_object(it.store, "hidden-1", it.store.store_dir.path(it.data).encode(), [it.old])
    user = add_object(it.store, "user-1", it.store.store_dir.path(hidden).encode(), [hidden])
    source = cache_of(it.store, tmp_path / "source")
    outcome = apply(source, [user, it.env], {it.old: it.new}, to=target)
    moved = outcome.plan.moved[hidden]
    assert target.path_infos([moved])[moved].references == {it.new, it.data}


def test_a_failure_leaves_what_is_whole_and_nothing_else(
    it: Graftable, source: WritableCache, target: WritableCache
) -> None:
    directory = Path(source.url.removeprefix("file://"))
    nar = directory / source.narinfo(it.app).url
    data = bytearray(nar.read_bytes())
    data[len(data) // 2] ^= 1
    nar.write_bytes(data)
    with pytest.raises(CorruptCacheError, match="app-1"):
        _graft(it, source, target)
    target.close()
    names = list(_files(target))
    assert [name for name in names if name.startswith(".graft")] == []
    for path in target.valid_paths():
        assert target.narinfo(path).references <= target.valid_paths()
        read_nar(target, path)
    nar.write_bytes(
        bytes(data[: len(data) // 2])
        + bytes([data[len(data) // 2] ^ 1])
        + data[len(data) // 2 + 1 :]
    )
    assert _graft(it, source, target).succeeded


def test_a_nar_that_is_gone_or_broken_is_a_problem_until_it_is_repaired(
    it: Graftable, source: WritableCache, target: WritableCache
) -> None:
    outcome = _graft(it, source, target)
    directory = Path(target.url.removeprefix("file://"))
    app, env = outcome.plan.moved[it.app], outcome.plan.moved[it.env]
    nar = directory / target.narinfo(app).url
    whole = nar.read_bytes()
    nar.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (directory / target.narinfo(env).url).unlink()
    again = _graft(it, source, target)
    assert [(problem.kind, problem.path) for problem in again.problems] == [
        ("nar-hash", app),
        ("not-on-disk", env),
    ]
    repaired = apply(source, [it.env], {it.old: it.new}, to=target, repair=True)
    assert repaired.succeeded
    assert repaired.execution.rewritten == {app, env}
    assert nar.read_bytes() == whole


def test_what_stands_in_a_cache_is_verified_against_the_originals(
    it: Graftable, source: WritableCache, target: WritableCache
) -> None:
    outcome = _graft(it, source, target)
    assert verify(outcome.plan, source, target=target).problems == ()
    app = outcome.plan.moved[it.app]
    target_directory = Path(target.url.removeprefix("file://"))
    spoil(target_directory, app, references=frozenset({it.data}))
    reopened = WritableCache.open(target.url)
    problems = verify(outcome.plan, source, target=reopened).problems
    assert [(problem.kind, problem.path) for problem in problems] == [("references", app)]


@pytest.mark.parametrize(
    ("name", "level"), [("xz", 1), ("bzip2", None), ("gzip", None), ("none", None), ("zstd", 19)]
)
def test_every_compression_is_written_and_read(
    it: Graftable, source: WritableCache, target: WritableCache, name: str, level: int | None
) -> None:
    compression = Compression(name=name, level=level)
    outcome = apply(source, [it.env], {it.old: it.new}, to=target, compression=compression)
    assert outcome.succeeded
    written = {target.narinfo(path).compression for path in outcome.execution.rewritten}
    assert written == {name}


def test_a_cache_has_no_roots_and_no_profiles(
    it: Graftable, source: WritableCache, target: WritableCache, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no roots and no profiles"):
        apply(
            source,
            [it.env],
            {it.old: it.new},
            to=target,
            add_roots=[str(tmp_path / "link")],
        )
    assert target.valid_paths() == set()


def test_a_cache_that_nobody_trusted_has_signed_is_not_believed(
    it: Graftable, source: WritableCache, target: WritableCache
) -> None:
    with pytest.raises(GraftError, match="is not signed") as caught:
        apply(source, [it.env], {it.old: it.new}, to=target, trusted_public_keys=[])
    assert caught.value.kind == "untrusted-path"
    assert target.valid_paths() == set()


@pytest.mark.slow
def test_a_run_that_was_killed_is_finished_by_the_next(it: Graftable, tmp_path: Path) -> None:
    for number in range(40):
        add_object(it.store, f"user-{number}", {"lib": it.store.store_dir.path(it.old)}, [it.old])
    users = sorted(path for path in it.store.valid_paths() if path.name.startswith("user-"))
    source = cache_of(it.store, tmp_path / "source")
    command = [sys.executable, "-m", "graft", "apply", f"--store={source.url}", "--no-check-sigs"]
    command += [f"--to=file://{tmp_path / 'target'}", f"--replace={it.old}={it.new}", *users]
    stopper = (
        "import os, signal, sys\n"
        "from graft.store.writable_cache import WritableCache\n"
        "first = WritableCache.register\n"
        "def register(self, infos):\n"
        "    first(self, list(infos)[:20])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "WritableCache.register = register\n"
        "from graft.cli import run\n"
        "run(sys.argv[1:])\n"
    )
    killed = subprocess.run([sys.executable, "-c", stopper, *command[3:]], check=False)
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "--json"], capture_output=True, check=True)
    document = json.loads(done.stdout)
    assert 0 < document["resumed_paths"] < 40
    assert document["resumed_paths"] + document["rewritten_paths"] == 40
    assert not list((tmp_path / "target").glob(".graft-*"))
    clean = tmp_path / "clean"
    subprocess.run(
        [*(part.replace(str(tmp_path / "target"), str(clean)) for part in command)], check=True
    )
    for file in clean.rglob("*"):
        if file.is_file():
            assert (tmp_path / "target" / file.relative_to(clean)).read_bytes() == file.read_bytes()
