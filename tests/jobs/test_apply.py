"""The whole job on a little store: what is written, registered, proved, rooted, resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graft.check.proof import Problem, prove
from graft.errors import (
    CorruptOriginalError,
    InvalidPathError,
    NoSpaceError,
    ProfileError,
    RootLinkError,
    StorePermissionError,
    UnsupportedFileError,
)
from graft.executor.delivery import Delivery
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import outcome_document
from graft.jobs.stores import Stores
from graft.kernel.place import Place
from graft.objects.rewrite import RewrittenObject, write_tree
from graft.store.api import PathInfo, path_info
from graft.store.local import LocalStore
from tests.bind_mount import needs_mounts
from tests.caches import cache_of
from tests.graftable import Graftable
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _run(program: str) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def _overwrite(file: str, contents: bytes) -> None:
    """Breaks a file of the store; not through its inode, which others may share."""
    directory = Path(file).parent
    mode = directory.stat().st_mode
    directory.chmod(0o755)
    os.unlink(file)
    Path(file).write_bytes(contents)
    directory.chmod(mode)


def test_the_new_root_runs_with_new_and_the_old_one_as_before(it: Graftable) -> None:
    before = _run(f"{it.tree(it.env)}/bin/run")
    outcome = apply(it.store, [it.env], {it.old: it.new})
    new_env = outcome.plan.new_roots[it.env]
    assert outcome.succeeded
    assert new_env != it.env
    assert _run(f"{it.tree(new_env)}/bin/run").splitlines()[0] == "new"
    assert _run(f"{it.tree(it.env)}/bin/run") == before
    assert before.splitlines()[0] == "old"


def test_what_is_registered_is_what_the_plan_says(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new})
    moved = outcome.plan.moved
    new_app = path_info(it.store, moved[it.app])
    assert new_app.references == {it.new, it.data, moved[it.app]}
    assert path_info(it.store, moved[it.env]).references == {moved[it.app]}
    assert new_app.ultimate
    assert new_app.deriver is None
    assert new_app.nar_size == path_info(it.store, it.app).nar_size


def test_unchanged_files_are_links_and_changed_ones_are_not(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new})
    old, new = it.tree(it.app), it.tree(outcome.plan.moved[it.app])
    assert os.path.samefile(f"{old}/share/unchanged", f"{new}/share/unchanged")
    assert not os.path.samefile(f"{old}/bin/run", f"{new}/bin/run")
    assert os.stat(f"{new}/bin/run").st_mode & 0o777 == 0o555
    assert os.stat(f"{new}/bin/run").st_mtime == 1
    assert outcome.execution.files.linked == 1


def test_without_hard_links_nothing_is_shared(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new}, links=False)
    old, new = it.tree(it.app), it.tree(outcome.plan.moved[it.app])
    assert not os.path.samefile(f"{old}/share/unchanged", f"{new}/share/unchanged")
    assert outcome.execution.files.linked == 0


def test_the_same_job_again_writes_nothing(it: Graftable) -> None:
    first = apply(it.store, [it.env], {it.old: it.new})
    second = apply(it.store, [it.env], {it.old: it.new})
    assert second.succeeded
    assert second.plan.new_roots == first.plan.new_roots
    assert second.execution.rewritten == frozenset()
    assert second.execution.resumed == first.execution.rewritten


@pytest.mark.nix
def test_the_real_nix_agrees_with_all_that_was_registered(it: Graftable, tmp_path: Path) -> None:
    nix = RealNix(it.store.location, tmp_path)
    link = tmp_path / "patched"
    outcome = apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(link)])
    full = it.store.store_dir.path
    new_root = full(outcome.plan.new_roots[it.env])
    nix.check()
    nix.run("nix", "store", "verify", "-r", new_root)
    closure = nix.run("nix-store", "-qR", new_root).split()
    assert set(closure) == {full(path) for path in outcome.plan.new_references}
    cache = tmp_path / "cache"
    nix.run("nix", "copy", "--to", f"file://{cache}", new_root)
    assert len(list(cache.glob("*.narinfo"))) == len(closure)
    it.store.close()  # with its temporary roots
    nix.collect()
    assert all(os.path.lexists(path) for path in closure)
    assert not os.path.lexists(it.tree(it.env))
    link.unlink()
    nix.collect()
    assert not any(os.path.lexists(path) for path in closure)
    nix.check()


_KILLED = """
import os, signal, sys
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.local_store.database import Database
from graft.store.local import LocalStore
from graft.store.local_store.making import LocalMaking

victim, name = {"finish": (LocalMaking, "finish"), "register": (Database, "register")}[sys.argv[1]]
setattr(victim, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
store = LocalStore(store=sys.argv[2], state=sys.argv[3])
apply(store, [StorePath(sys.argv[4])], {StorePath(sys.argv[5]): StorePath(sys.argv[6])})
"""


@pytest.mark.nix
@pytest.mark.parametrize("moment", ["finish", "register"])
def test_a_killed_job_leaves_a_valid_store_and_is_finished_by_the_same_command(
    it: Graftable, tmp_path: Path, moment: str
) -> None:
    nix = RealNix(it.store.location, tmp_path)
    location = it.store.location
    arguments = [moment, str(location.store_dir), location.state_dir, it.env, it.old, it.new]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    nix.run("nix-store", "--verify")
    outcome = apply(it.store, [it.env], {it.old: it.new})
    assert outcome.succeeded
    assert outcome.execution.resumed == frozenset()
    nix.check()
    left = {name for name in os.listdir(location.real_store_dir) if name.endswith("-graft")}
    assert left == set()


def test_a_hidden_reference_is_found_and_no_link_is_made(it: Graftable, tmp_path: Path) -> None:
    hidden = it.store.store_dir.path(it.old).encode("utf-16-le")
    page = add_object(it.store, "page-1", {"text": b"x" + hidden})
    root = add_object(
        it.store,
        "root-1",
        f"{it.store.store_dir.path(it.env)}:{it.store.store_dir.path(page)}",
        [it.env, page],
    )
    link = tmp_path / "patched"
    outcome = apply(it.store, [root], {it.old: it.new}, add_roots=[str(link)])
    assert not outcome.succeeded
    assert not link.is_symlink()
    assert outcome.proof is not None
    (found,) = outcome.proof.residual
    assert (found.path, found.reference) == (page, it.old)
    offset = 1 + 2 * len(f"{it.store.store_dir}/")
    assert found.place == Place(
        file=b"text",
        where="contents",
        offset=offset,
        encoding="utf-16",
        hash_part=it.old.hash_part,
    )
    assert outcome.plan.new_roots[root] in it.store.path_infos(outcome.plan.new_references)
    allowed = apply(
        it.store, [root], {it.old: it.new}, add_roots=[str(link)], allowed=["*-page-1/te?t"]
    )
    assert allowed.succeeded
    assert link.is_symlink()


def _with_hidden(it: Graftable) -> tuple[StorePath, StorePath]:
    """A shared page that refers to OLD in UTF-16 only, and a root above it."""
    text = it.store.store_dir.path(it.old).encode("utf-16-le")
    page = add_object(it.store, "page-1", {"text": text})
    links = {"env": it.store.store_dir.path(it.env), "page": it.store.store_dir.path(page)}
    return page, add_object(it.store, "root-1", links, [it.env, page])


def test_a_deep_plan_moves_hidden_references_and_registers_them(it: Graftable) -> None:
    page, root = _with_hidden(it)
    shallow = apply(it.store, [root], {it.old: it.new})
    assert [found.path for found in shallow.hidden_residual] == [page]
    outcome = apply(it.store, [root], {it.old: it.new}, deep=True)
    assert outcome.succeeded
    new_page = outcome.plan.moved[page]
    text = Path(it.tree(new_page), "text").read_bytes().decode("utf-16-le")
    assert text == it.store.store_dir.path(it.new)
    assert path_info(it.store, new_page).references == {it.new}


def test_hidden_references_are_recorded_in_a_plan_and_not_looked_for_again(
    it: Graftable,
) -> None:
    _, root = _with_hidden(it)
    deep = apply(it.store, [root], {it.old: it.new}, deep=True)
    recorded = apply(it.store, [root], {it.old: it.new}, hidden=deep.plan.closure.hidden)
    assert recorded.plan.new_roots == deep.plan.new_roots
    assert recorded.execution.rewritten == frozenset()


def test_a_hidden_reference_alone_leads_to_old(it: Graftable) -> None:
    text = it.store.store_dir.path(it.old).encode("utf-32-be")
    page = add_object(it.store, "page-1", {"text": text})
    outcome = apply(it.store, [page], {it.old: it.new}, deep=True)
    assert outcome.succeeded
    assert outcome.plan.moved.keys() == {it.old, page}


@pytest.mark.nix
def test_the_real_collector_keeps_what_a_hidden_reference_needs(
    it: Graftable, tmp_path: Path
) -> None:
    page, root = _with_hidden(it)
    link = tmp_path / "patched"
    nix = RealNix(it.store.location, tmp_path)
    outcome = apply(it.store, [root], {it.old: it.new}, deep=True, add_roots=[str(link)])
    it.store.close()
    nix.collect()
    assert Path(it.tree(outcome.plan.moved[page]), "text").exists()
    assert Path(it.tree(it.new), "lib").exists()
    assert not os.path.lexists(it.tree(it.old))
    nix.check()


def test_an_unregistered_reference_in_a_rewritten_path_is_registered(it: Graftable) -> None:
    """Else the collector would delete what only those bytes lead to."""
    full = it.store.store_dir.path
    other = add_object(it.store, "other-1", b"")
    both = add_object(
        it.store,
        "both-1",
        {"new": full(it.old).encode(), "hidden": full(other).encode("utf-16-le")},
        [it.old],
    )
    root = add_object(it.store, "root-1", {"a": full(both), "b": full(other)}, [both, other])
    outcome = apply(it.store, [root], {it.old: it.new})
    new_both = outcome.plan.moved[both]
    assert path_info(it.store, new_both).references == {it.new, other}


def test_a_cutoff_acknowledges_what_it_keeps(it: Graftable) -> None:
    beside = add_object(it.store, "beside-1", it.store.store_dir.path(it.old), [it.old])
    outcome = apply(it.store, [it.env, beside], {it.old: it.new}, cutoffs=[it.app])
    assert outcome.succeeded
    assert outcome.proof is not None
    assert {found.path for found in outcome.proof.residual} == {it.app, it.old}
    assert outcome.plan.new_roots[it.env] == it.env
    other = add_object(it.store, "other-1", it.store.store_dir.path(it.old), [it.old])
    root = add_object(
        it.store,
        "root-1",
        {"a": it.store.store_dir.path(it.env), "b": it.store.store_dir.path(other)},
        [it.env, other],
    )
    outcome = apply(it.store, [root], {it.old: it.new}, cutoffs=[it.app])
    assert outcome.succeeded
    assert outcome.proof is not None
    assert {found.path for found in outcome.proof.residual} == {it.app, it.old}
    assert all(found.acknowledged for found in outcome.proof.residual)


def test_the_narrower_proof_judges_shared_paths_by_their_references(it: Graftable) -> None:
    other = add_object(it.store, "other-1", it.store.store_dir.path(it.old), [it.old])
    root = add_object(
        it.store,
        "root-1",
        {"a": it.store.store_dir.path(it.env), "b": it.store.store_dir.path(other)},
        [it.env, other],
    )
    outcome = apply(it.store, [root], {it.old: it.new}, cutoffs=[other], scope="rewritten")
    assert outcome.proof is not None
    assert outcome.succeeded
    registered = {found.path for found in outcome.proof.residual if found.place is None}
    assert registered == {other, it.old}
    assert outcome.proof.paths < len(outcome.plan.new_references)


def test_the_narrower_proof_hashes_only_what_was_not_written_just_now(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new}, scope="rewritten")
    new_app = outcome.plan.moved[it.app]
    _overwrite(f"{it.tree(new_app)}/bin/run", b"#!/bin/sh\necho broken\n")
    broken = (Problem(kind="nar-hash", path=new_app),)
    written = outcome.execution.rewritten
    assert new_app in written
    plan, store = outcome.plan, it.store
    assert prove(plan, store, scope="rewritten", written=written).problems == ()
    assert prove(plan, store, scope="rewritten", written=written - {new_app}).problems == broken
    assert prove(plan, store, scope="closure", written=written).problems == broken
    again = apply(it.store, [it.env], {it.old: it.new}, scope="rewritten")
    assert again.problems == broken


def test_the_narrower_proof_still_searches_what_was_written_just_now(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new}, scope="rewritten")
    new_app = outcome.plan.moved[it.app]
    _overwrite(f"{it.tree(new_app)}/bin/run", it.old.encode())
    proof = prove(outcome.plan, it.store, scope="rewritten", written=outcome.execution.rewritten)
    assert [found.path for found in proof.residual] == [new_app]
    assert [found.place.file for found in proof.residual if found.place] == [b"bin/run"]


def test_the_largest_paths_are_written_first(
    it: Graftable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def recorded(*arguments: Any, **options: Any) -> RewrittenObject:
        made = write_tree(*arguments, **options)
        sizes.append(made.nar_size)
        return made

    monkeypatch.setattr("graft.executor.into_store.write_tree", recorded)
    small = add_object(it.store, "small-1", it.store.store_dir.path(it.old), [it.old])
    large = add_object(
        it.store,
        "large-1",
        {"self": it.store.store_dir.path(small), "rest": bytes(100_000)},
        [small],
    )
    assert apply(it.store, [it.env, large], {it.old: it.new}, jobs=1).succeeded
    assert len(sizes) == 4
    assert sizes == sorted(sizes, reverse=True)


def test_a_broken_new_path_is_a_problem_until_it_is_repaired(it: Graftable, tmp_path: Path) -> None:
    first = apply(it.store, [it.env], {it.old: it.new})
    new_app = it.tree(first.plan.moved[it.app])
    _overwrite(f"{new_app}/bin/run", b"#!/bin/sh\necho broken\n")
    link = tmp_path / "patched"
    outcome = apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(link)])
    assert [(problem.kind, problem.path) for problem in outcome.problems] == [
        ("nar-hash", first.plan.moved[it.app])
    ]
    assert not link.is_symlink()
    repaired = apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(link)], repair=True)
    assert repaired.succeeded
    assert repaired.execution.rewritten == {first.plan.moved[it.app]}
    assert _run(f"{link}/bin/run").splitlines()[0] == "new"


@pytest.mark.parametrize("scope", ["closure", None])
def test_a_new_path_that_is_lost_is_a_problem_until_it_is_repaired(
    it: Graftable, scope: str | None
) -> None:
    first = apply(it.store, [it.env], {it.old: it.new})
    os.chmod(it.tree(first.plan.moved[it.env]), 0o755)
    subprocess.run(["rm", "-rf", it.tree(first.plan.moved[it.env])], check=True)
    outcome = apply(it.store, [it.env], {it.old: it.new}, scope="closure" if scope else None)
    assert [(problem.kind, problem.path) for problem in outcome.problems] == [
        ("not-on-disk", first.plan.moved[it.env])
    ]
    assert apply(it.store, [it.env], {it.old: it.new}, repair=True).succeeded


def test_a_corrupted_original_is_not_blessed(it: Graftable) -> None:
    run = f"{it.tree(it.app)}/bin/run"
    _overwrite(run, Path(run).read_bytes().replace(b"cat", b"dog"))
    with pytest.raises(CorruptOriginalError):
        apply(it.store, [it.env], {it.old: it.new}, check_inputs=True)


def test_an_original_of_another_length_is_noticed_without_a_second_reading(
    it: Graftable,
) -> None:
    _overwrite(f"{it.tree(it.app)}/share/unchanged", b"longer than it was registered with\n")
    with pytest.raises(CorruptOriginalError):
        apply(it.store, [it.env], {it.old: it.new})


def test_names_of_unequal_length_meet_in_an_alias(it: Graftable) -> None:
    new = add_object(it.store, "lib-1.1.12", {"lib": b"new\n", "self": "{self}/lib"})
    outcome = apply(it.store, [it.env], {it.old: new})
    assert outcome.succeeded
    (alias,) = outcome.plan.aliases
    assert os.readlink(it.tree(alias.path)) == it.store.store_dir.path(new)
    assert path_info(it.store, alias.path).references == {new}
    new_env = outcome.plan.new_roots[it.env]
    assert _run(f"{it.tree(new_env)}/bin/run").splitlines()[0] == "new"


def test_each_root_gets_its_link(it: Graftable, tmp_path: Path) -> None:
    links = [str(tmp_path / "one"), str(tmp_path / "two")]
    outcome = apply(it.store, [it.env, it.app], {it.old: it.new}, add_roots=links)
    full = it.store.store_dir.path
    assert [os.readlink(link) for link in links] == [
        full(outcome.plan.new_roots[root]) for root in (it.env, it.app)
    ]
    apply(it.store, [it.env, it.app], {it.old: it.new}, add_roots=[str(tmp_path / "result")])
    assert os.readlink(tmp_path / "result-2") == os.readlink(links[1])


def test_a_result_without_a_root_is_warned_of(it: Graftable, tmp_path: Path) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new})
    assert "no-root" in {warning.kind for warning in outcome.warnings}
    rooted = apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(tmp_path / "patched")])
    assert "no-root" not in {warning.kind for warning in rooted.warnings}


def test_the_document_is_that_of_the_contract(it: Graftable) -> None:
    document = outcome_document(apply(it.store, [it.env], {it.old: it.new}))
    assert next(iter(document)) == "version"
    assert document.keys() == {
        "version",
        "new_roots",
        "paths",
        "rewritten_paths",
        "resumed_paths",
        "fetched_paths",
        "references_rewritten",
        "files",
        "bytes",
        "fixups",
        "warnings",
        "proof",
        "seconds",
        "graft",
    }
    assert document["proof"].keys() == {
        *("verdict", "scope", "paths", "files", "bytes", "residual", "problems"),
        *("unsearched_paths", "unread", "unknown", "remaining"),
    }
    assert document["rewritten_paths"] == 2
    assert set(document["paths"]) == {
        it.store.store_dir.path(path) for path in (it.old, it.app, it.env)
    }


def _contents(store: LocalStore) -> set[str]:
    return set(os.listdir(store.location.real_store_dir))


def test_bad_root_links_are_refused_before_any_work(it: Graftable, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    before = _contents(it.store)
    for links in ([str(tmp_path / "precious")], [str(tmp_path / "a"), str(tmp_path / "b")]):
        with pytest.raises(RootLinkError):
            apply(it.store, [it.env], {it.old: it.new}, add_roots=links)
    assert _contents(it.store) == before


def test_an_unknown_new_is_refused_before_any_work(it: Graftable) -> None:
    before = _contents(it.store)
    unknown = StorePath(f"{'0' * 32}-lib-1.1")
    with pytest.raises(InvalidPathError):
        apply(it.store, [it.env], {it.old: unknown})
    assert _contents(it.store) == before


def test_a_pipe_in_a_tree_is_refused_and_nothing_is_left(it: Graftable) -> None:
    share = f"{it.tree(it.app)}/share"
    os.chmod(share, 0o755)
    os.mkfifo(f"{share}/pipe")
    before = _contents(it.store)
    with pytest.raises(UnsupportedFileError, match="share/pipe"):
        apply(it.store, [it.env], {it.old: it.new})
    assert _contents(it.store) == before


class _FullStore(LocalStore):
    free = 4096

    def free_bytes(self) -> int:
        return self.free


def test_a_full_disk_is_refused_before_the_first_byte(it: Graftable) -> None:
    before = _contents(it.store)
    with _FullStore(location=it.store.location) as full, pytest.raises(NoSpaceError):
        apply(full, [it.env], {it.old: it.new})
    assert _contents(it.store) == before


@pytest.mark.parametrize("links", [True, False])
def test_the_room_that_is_just_enough_is_enough(it: Graftable, links: bool) -> None:
    sizes = [path_info(it.store, path).nar_size for path in (it.app, it.env)]
    needed = 2 * 4096 + (0 if links else sum(sizes))
    with _FullStore(location=it.store.location) as store:
        store.free = needed - 1
        with pytest.raises(NoSpaceError) as caught:
            apply(store, [it.env], {it.old: it.new}, links=links)
        assert caught.value.fields["needed"] == needed
        store.free = needed
        assert apply(store, [it.env], {it.old: it.new}, links=links).succeeded


@needs_mounts
def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=True)
    try:
        with new_store(small) as store:
            it = Graftable.build(store)
            full = store.store_dir.path(it.old).encode()
            big = add_object(store, "big-1", {"big": full + bytes(1_500_000)}, [it.old])
            before = _contents(store)
            filler = small / "filler"
            filler.write_bytes(bytes(os.statvfs(small).f_bavail * 4096 - 65536))
            with pytest.raises(NoSpaceError):
                apply(store, [big], {it.old: it.new})
            assert {name for name in _contents(store) if name not in before} == set()
            filler.unlink()
            assert apply(store, [big], {it.old: it.new}).succeeded
    finally:
        subprocess.run(["umount", str(small)], check=True)


@as_ordinary_user
def test_an_ordinary_user_is_refused_before_any_work(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    os.chmod(it.store.location.real_store_dir, 0o555)
    with LocalStore(location=it.store.location) as store, pytest.raises(StorePermissionError):
        apply(store, [it.env], {it.old: it.new})


def test_a_lying_database_cannot_make_the_executor_register_nonsense(it: Graftable) -> None:
    info = path_info(it.store, it.app)
    with it.store.making([it.app], repair=[it.app]) as making:
        os.rename(it.tree(it.app), making.staging(it.app))
        making.finish(
            PathInfo(
                path=it.app, nar_hash=bytes(32), nar_size=info.nar_size, references=info.references
            )
        )
    with pytest.raises(CorruptOriginalError):
        apply(it.store, [it.env], {it.old: it.new}, check_inputs=True)


def test_the_new_root_becomes_the_current_generation_of_a_profile(
    it: Graftable, tmp_path: Path
) -> None:
    profile = tmp_path / "profile"
    it.store.switch_profile(str(profile), it.env)
    outcome = apply(it.store, [it.env], {it.old: it.new}, profile=str(profile))
    assert os.readlink(profile) == "profile-2-link"
    assert _run(f"{profile}/bin/run").splitlines()[0] == "new"
    assert "no-root" not in {warning.kind for warning in outcome.warnings}
    with pytest.raises(ProfileError):
        apply(it.store, [it.env, it.app], {it.old: it.new}, profile=str(profile))


def test_only_the_trees_of_a_local_target_may_be_links(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    cache = cache_of(store, tmp_path / "cache")
    linked, apart = Delivery(), Delivery(links=False)
    assert linked.links
    assert Stores(source=store, target=store, delivery=linked).links
    assert not Stores(source=store, target=store, delivery=apart).links
    assert not Stores(source=store, target=cache, delivery=linked).links
    assert Stores(source=store, target=store).rooted is store
    assert Stores(source=store, target=store).machine is store
    assert Stores(source=store, target=cache).rooted is None
    assert Stores(source=store, target=cache).machine is None
    assert Stores(source=store, target=store).daemon is None
