"""Running processes: real programs in a store, held against what Nix itself sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.store_path import StorePath
from graft.machine.processes import Process, find_kernel_roots, find_processes, systemd_unit
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.collecting import run_collector
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.running import add_program, running
from tests.store_objects import add_object, new_store


def _found(store: LocalStore, pid: int) -> Process | None:
    location = store.location
    found = find_processes(location.store_dir, location.real_store_dir).found
    return next((process for process in found if process.pid == pid), None)


def test_every_way_of_holding_a_path_is_seen(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path
    program = add_program(store)
    opened, directory, named = (
        add_object(store, name, {"file": b"x"}) for name in ("opened-1", "directory-1", "named-1")
    )
    with running(
        f"{full(program)}/bin/sleep",
        directory=full(directory),
        opened=f"{full(opened)}/file",
        environment={"PATH": f"/bin:{full(named)}/bin:/usr/bin", "OTHER": "/x"},
    ) as pid:
        process = _found(store, pid)
        assert process is not None
        assert process.uses == {
            program: {"exe", "maps"},
            opened: {"fd"},
            directory: {"cwd"},
            named: {"environ"},
        }
        assert process.program == "sleep"
        assert process.user == Path(f"/proc/{pid}").owner()
    assert _found(store, pid) is None


def test_a_program_that_was_deleted_while_it_runs_is_seen(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path = add_program(store)
    with running(f"{store.store_dir.path(path)}/bin/sleep") as pid:
        os.chmod(os.path.join(store.tree(path), "bin"), 0o755)
        os.chmod(store.tree(path), 0o755)
        shutil.rmtree(store.tree(path))
        process = _found(store, pid)
        assert process is not None
        assert process.uses == {path: {"exe", "maps"}}


def test_a_store_at_a_root_is_seen_under_the_name_the_kernel_has(tmp_path: Path) -> None:
    location = Location.at_root(str(tmp_path / "root"))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        path = add_program(store)
        named = add_object(store, "named-1", b"")
        with running(
            f"{store.tree(path)}/bin/sleep", environment={"A": f"x:{store.store_dir.path(named)}"}
        ) as pid:
            process = _found(store, pid)
            assert process is not None
            assert process.uses == {path: {"exe", "maps"}, named: {"environ"}}


def test_what_only_looks_like_a_store_path_is_not_taken_for_one(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    sleep = shutil.which("sleep")
    assert sleep is not None
    names = [".links", "short-1", f"{'e' * 32}-bad", f"{'0' * 32}-"]
    environment = {f"N{at}": store.store_dir + "/" + name for at, name in enumerate(names)}
    with running(sleep, environment=environment) as pid:
        assert _found(store, pid) is None


def test_this_process_is_not_among_them(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path = add_object(store, "opened-1", b"x")
    with open(store.tree(path), "rb"):
        assert _found(store, os.getpid()) is None


@as_ordinary_user
def test_processes_of_others_are_counted(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path = add_program(store)
    with running(f"{store.store_dir.path(path)}/bin/sleep") as pid:
        found = find_processes(store.store_dir, store.store_dir)
        assert [process.pid for process in found.found] == [pid]
    try:
        os.listdir("/proc/1/fd")
    except PermissionError:
        assert found.unreadable > 0


@pytest.mark.nix
@pytest.mark.slow
def test_nix_sees_the_same_in_a_process(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path
    program = add_program(store)
    opened, directory, named = (
        add_object(store, name, {"file": b"x"}) for name in ("opened-1", "directory-1", "named-1")
    )
    nix = RealNix(store.location, tmp_path)
    with running(
        f"{full(program)}/bin/sleep",
        directory=full(directory),
        opened=f"{full(opened)}/file",
        environment={"PATH": f"/bin:{full(named)}/bin", "GONE": f"{full(named)}-gone"},
    ) as pid:
        process = _found(store, pid)
        done = run_collector(["nix-store", "--gc", "--print-roots"], nix.environment)
    assert process is not None
    theirs = {
        (use, StorePath(name))
        for use, name in re.findall(
            rf'^"?/proc/{pid}/([a-z]+)(?:/\d+)?"? -> {re.escape(store.store_dir)}/(\S+)$',
            done.stdout,
            re.MULTILINE,
        )
    }
    ours = {(use, path) for path, uses in process.uses.items() for use in uses}
    gone = StorePath(f"{named}-gone")
    assert ours - theirs == {("environ", gone)}  # not valid, so nothing that Nix would keep
    assert theirs - ours == set()


@pytest.mark.parametrize(
    ("groups", "unit"),
    [
        ("0::/system.slice/sshd.service\n", "sshd.service"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/a.service/x\n", "a.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", "session-1.scope"),
        ("12:pids:/a.service\n1:name=systemd:/system.slice/b.service\n", "b.service"),
        ("0::/machine.slice/container@web.service/payload/system.slice/c.service", "c.service"),
        ("0::/\n", None),
        ("0::/a:b.service", "a:b.service"),
        ("", None),
    ],
)
def test_the_innermost_unit_is_named(groups: str, unit: str | None) -> None:
    assert systemd_unit(groups) == unit


@given(st.text())
def test_a_file_of_control_groups_may_say_anything(groups: str) -> None:
    unit = systemd_unit(groups)
    assert unit is None or unit in groups


def test_programs_that_the_kernel_would_start_are_roots(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path = add_object(store, "kmod-1", {"bin": {"modprobe": b""}})
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    for name, text in {
        "modprobe": f"{store.store_dir.path(path)}/bin/modprobe\n",
        "poweroff_cmd": "/sbin/poweroff\n",
    }.items():
        (tmp_path / "proc/sys/kernel" / name).write_text(text)
    assert find_kernel_roots(store.store_dir, proc=str(tmp_path / "proc")) == {
        f"{tmp_path}/proc/sys/kernel/modprobe": path
    }


def test_threads_of_the_kernel_and_dead_processes_hide_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    store = new_store(tmp_path)
    assert _found(store, child.pid) is None
    proc = tmp_path / "proc"
    (proc / "2").mkdir(parents=True)
    (proc / "2/stat").write_text("2 (a) b) S 0 0 0 0 -1 2129984 0\n")
    (proc / "3").mkdir()
    (proc / "3/stat").write_text("3 (dead) Z 0 0 0 0 -1 0 0\n")
    found = find_processes(store.store_dir, store.store_dir, proc=str(proc))
    assert (found.found, found.unreadable) == ((), 0)
    child.wait()


def _process(proc: Path, pid: int, *, uses: str = "", flags: int = 0) -> Path:
    """A process as the kernel shows it, that holds a path by its environment."""
    place = proc / str(pid)
    (place / "fd").mkdir(parents=True)
    for name, text in {
        "maps": "",
        "environ": f"A={uses}\0",
        "comm": "name\n",
        "cgroup": "0::/a.service\n",
        "stat": f"{pid} (a) b) S 0 0 0 0 -1 {flags} 0\n",
    }.items():
        (place / name).write_text(text)
    return place


@as_ordinary_user
def test_a_process_that_cannot_be_read_wholly_is_counted_and_still_looked_at(
    tmp_path: Path,
) -> None:
    store = new_store(tmp_path)
    path = add_object(store, "one-1", b"")
    proc, full = tmp_path / "proc", store.store_dir.path(path)
    _process(proc, 100001, uses=full)
    for pid, flags in ((100002, 0), (100003, 1), (100004, 0x200000), (100005, 0x200001)):
        (_process(proc, pid, uses=full, flags=flags) / "fd").chmod(0)
    (_process(proc, 100006) / "environ").chmod(0)
    gone = _process(proc, 100007)
    (gone / "fd").chmod(0)
    (gone / "stat").unlink()
    found = find_processes(store.store_dir, store.store_dir, proc=str(proc))
    assert [one.pid for one in found.found] == list(range(100001, 100006))
    assert {(one.program, one.unit, *one.uses) for one in found.found} == {
        ("name", "a.service", path)
    }
    assert found.unreadable == 3  # the threads of the kernel have no files
    for place in proc.iterdir():
        (place / "fd").chmod(0o700)


def test_a_machine_whose_processes_can_be_read_has_none_that_cannot(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path = add_object(store, "one-1", b"")
    _process(tmp_path / "proc", 100001, uses=store.store_dir.path(path))
    _process(tmp_path / "proc", 100002)
    (tmp_path / "proc/100003").mkdir()
    (tmp_path / "proc/self").mkdir()
    found = find_processes(store.store_dir, store.store_dir, proc=str(tmp_path / "proc"))
    assert ([one.pid for one in found.found], found.unreadable) == ([100001], 0)
