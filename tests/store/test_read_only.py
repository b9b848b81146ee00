"""A store that is mounted read-only, as on NixOS: written by a process with mounts of its own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graft.cli import run
from graft.errors import CorruptOriginalError, StorePermissionError
from graft.formats.signature import SecretKey
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome
from graft.kernel.native import load
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.store.trust import check_signatures
from tests.bind_mount import mounted_again, needs_mounts
from tests.graftable import Graftable
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store

pytestmark = [
    pytest.mark.slow,
    needs_mounts,
    pytest.mark.skipif(load() is None, reason="only the C extension can mount"),
]

_FLAGS = ["nosuid", "nodev", "noexec", "noatime"]


@dataclass(frozen=True)
class ReadOnly:
    """The little closure in a store that is mounted read-only; nothing has it open."""

    it: Graftable
    directory: Path

    @property
    def store_dir(self) -> Path:
        return Path(self.it.store.location.real_store_dir)

    @property
    def url(self) -> str:
        return f"local?store={self.store_dir}&state={self.it.store.location.state_dir}"

    def open(self) -> LocalStore:
        return LocalStore(location=self.it.store.location)

    def arguments(self, *options: str, root: StorePath | None = None) -> list[str]:
        full = self.it.store.store_dir.path
        pair = f"{full(self.it.old)}={full(self.it.new)}"
        return [
            "--store",
            self.url,
            "apply",
            full(root or self.it.env),
            "--replace",
            pair,
            *options,
        ]

    def start(self, *options: str, root: StorePath | None = None) -> subprocess.Popen[str]:
        """Begins a job, as the leader of a process group as a terminal has it."""
        return subprocess.Popen(
            [sys.executable, "-m", "graft", *self.arguments(*options, root=root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def is_read_only(self) -> bool:
        return bool(os.statvfs(self.store_dir).f_flag & os.ST_RDONLY)

    def contents(self) -> set[str]:
        return set(os.listdir(self.store_dir))

    def apply(self, **options: Any) -> Outcome:
        with self.open() as store:
            return apply(store, [self.it.env], {self.it.old: self.it.new}, **options)


@pytest.fixture
def unmounted(tmp_path: Path) -> ReadOnly:
    with new_store(tmp_path) as store:
        return ReadOnly(Graftable.build(store), tmp_path)


@pytest.fixture
def mounted(unmounted: ReadOnly) -> Iterator[ReadOnly]:
    with mounted_again(str(unmounted.store_dir), "ro,nosuid"):
        assert unmounted.is_read_only()
        yield unmounted


def _run(program: str) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def _wait_until(condition: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < 60
        time.sleep(0.001)


def _is_alive(process: int) -> bool:
    """Whether it still runs; an orphan that has ended may stay, where process 1 waits for none."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "XZ"


def _child(process: subprocess.Popen[str]) -> int | None:
    """The process it has started."""
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except FileNotFoundError:
        return None
    return int(text.split()[0]) if text else None


@pytest.mark.nix
def test_the_whole_job_works_and_the_mount_stays_read_only(
    mounted: ReadOnly, tmp_path: Path
) -> None:
    link, profile = tmp_path / "patched", tmp_path / "profile"
    job = mounted.start("--add-root", str(link), "--profile", str(profile))
    out, err = job.communicate()
    assert job.returncode == 0, err
    assert mounted.is_read_only()
    assert _run(f"{link}/bin/run").splitlines()[0] == "new"
    assert _run(f"{profile}/bin/run").splitlines()[0] == "new"
    assert out.strip() == os.readlink(link)
    nix = RealNix(mounted.it.store.location, tmp_path)
    nix.check()
    nix.run("nix", "store", "verify", "-r", out.strip())
    again = mounted.start("--add-root", str(link), "--json")
    out, err = again.communicate()
    assert json.loads(out)["resumed_paths"] == 2


def test_the_writer_signs(mounted: ReadOnly) -> None:
    key = SecretKey.generate("signer-1")
    outcome = mounted.apply(sign_keys=[key])
    with mounted.open() as store:
        check_signatures(
            store, store.path_infos(outcome.execution.rewritten).values(), [key.public_key]
        )


def test_what_is_done_is_what_is_done_in_a_writable_store(
    mounted: ReadOnly, tmp_path: Path
) -> None:
    seen: list[tuple[str, int]] = []

    @contextmanager
    def progress(stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
        yield lambda size: seen.append((stage, size))

    outcome = mounted.apply(progress=progress)
    assert outcome.succeeded
    (tmp_path / "other").mkdir()
    with new_store(tmp_path / "other") as store:
        other = Graftable.build(store)
        expected = apply(store, [other.env], {other.old: other.new})
    for name in ("references_rewritten", "files", "bytes_shared"):
        assert getattr(outcome.execution, name) == getattr(expected.execution, name)
    assert outcome.execution.rewritten == outcome.plan.new_paths
    nar_sizes = sum(rewrite.nar_size for rewrite in outcome.plan.rewrites)
    assert sum(size for stage, size in seen if stage == "graft") == nar_sizes


def test_links_are_made_by_this_process_which_stays_in_its_namespace(
    mounted: ReadOnly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    add_root = LocalStore.add_root

    def recorded(self: LocalStore, link: str, path: StorePath) -> None:
        made.append(link)
        add_root(self, link, path)

    monkeypatch.setattr(LocalStore, "add_root", recorded)
    before = os.readlink("/proc/self/ns/mnt")
    link = tmp_path / "patched"
    outcome = mounted.apply(add_roots=[str(link)])
    assert outcome.succeeded
    assert made == [str(link)]
    assert os.readlink("/proc/self/ns/mnt") == before
    assert mounted.is_read_only()


@contextmanager
def _path_lock(store: Path, path: StorePath) -> Iterator[None]:
    """Nix's lock on a path, held by this process however the store is mounted inside the block."""
    directory = os.open(store, os.O_PATH | os.O_DIRECTORY)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
        os.unlink(f"{path}.lock", dir_fd=directory)
        os.write(descriptor, b"d")
    finally:
        os.close(descriptor)
        os.close(directory)


def _mount_options(process: int | str, directory: Path) -> set[str]:
    """The options of the topmost mount of a directory in a process's namespace."""
    lines = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
    fields = [line.split() for line in lines if line.split()[4] == str(directory)]
    return set(fields[-1][5].split(","))


@pytest.fixture
def new_app(unmounted: ReadOnly) -> StorePath:
    """What the app will be called."""
    it = unmounted.it
    with unmounted.open() as store:
        return make_plan(store, Graft.of([it.env], [(it.old, it.new)])).moved[it.app]


def test_the_other_flags_of_the_mount_stay_where_it_is_writable(
    unmounted: ReadOnly, new_app: StorePath
) -> None:
    store = unmounted.store_dir
    with (
        _path_lock(store, new_app),
        mounted_again(str(store), ",".join(["ro", *_FLAGS])),
    ):
        job = unmounted.start()
        assert job.stderr is not None
        # The writer has the lock to wait for, and what it says is said here.
        assert "waiting for the lock" in job.stderr.readline()
        writing = _child(job)
        assert writing is not None
        assert _mount_options(writing, store) == {"rw", *_FLAGS}
        assert _mount_options(job.pid, store) == {"ro", *_FLAGS}
        job.send_signal(signal.SIGTERM)
        assert job.wait() == 130
        job.communicate()


def test_a_writer_waits_for_a_path_somebody_else_makes(
    unmounted: ReadOnly, new_app: StorePath
) -> None:
    lock = _path_lock(unmounted.store_dir, new_app)
    lock.__enter__()
    with mounted_again(str(unmounted.store_dir), "ro"):
        job = unmounted.start()
        assert job.stderr is not None
        assert "waiting for the lock" in job.stderr.readline()
        lock.__exit__(None, None, None)
        _, err = job.communicate()
        assert job.returncode == 0, err


def _big(store: LocalStore, it: Graftable) -> StorePath:
    """A path that takes some time to be written."""
    text = store.store_dir.path(it.old).encode()
    return add_object(store, "big-1", {"big": text + bytes(64 << 20)}, [it.old])


@pytest.mark.parametrize("who", ["terminal", "job", "writer", "job is killed"])
def test_an_interrupt_leaves_nothing(unmounted: ReadOnly, who: str) -> None:
    with unmounted.open() as store:
        big = _big(store, unmounted.it)
    before = unmounted.contents()
    with mounted_again(str(unmounted.store_dir), "ro"):
        job = unmounted.start(root=big)
        _wait_until(lambda: any(name.endswith("-graft") for name in unmounted.contents()))
        writing = _child(job)
        assert writing is not None
        os.kill(writing, signal.SIGSTOP)
        if who == "terminal":
            os.killpg(job.pid, signal.SIGINT)
        else:
            victim = writing if who == "writer" else job.pid
            os.kill(victim, signal.SIGKILL if "killed" in who else signal.SIGTERM)
        os.kill(writing, signal.SIGCONT)
        _, err = job.communicate()
        if who == "job is killed":
            assert job.returncode == -signal.SIGKILL
            _wait_until(lambda: not _is_alive(writing))
        else:
            assert (job.returncode, err.strip()) == (130, "graft: interrupted")
            assert not Path(f"/proc/{writing}").exists()
            assert os.listdir(Path(unmounted.it.store.location.state_dir, "temproots")) == []
        assert unmounted.contents() == before
        with unmounted.open() as store:
            assert store.valid_paths() == before - {".links"}


def test_the_death_of_the_writer_is_told_and_the_same_command_finishes(
    unmounted: ReadOnly,
) -> None:
    with unmounted.open() as store:
        big = _big(store, unmounted.it)
    with mounted_again(str(unmounted.store_dir), "ro"):
        job = unmounted.start("--json", root=big)
        _wait_until(lambda: any(name.endswith("-graft") for name in unmounted.contents()))
        writing = _child(job)
        assert writing is not None
        os.kill(writing, signal.SIGKILL)
        out, err = job.communicate()
        assert job.returncode == 2
        assert err.startswith("graft: error: the process that writes into")
        assert "(signal 9)" in err
        assert json.loads(out)["error"]["kind"] == "store"
        again = unmounted.start(root=big)
        out, err = again.communicate()
        assert again.returncode == 0, err
        assert not any(name.endswith(("-graft", ".lock")) for name in unmounted.contents())


def test_an_error_of_the_writer_is_the_error_of_the_job_and_leaves_nothing(
    unmounted: ReadOnly,
) -> None:
    script = f"{unmounted.it.tree(unmounted.it.app)}/bin/run"
    os.chmod(script, 0o755)
    with open(script, "a", encoding="utf-8") as stream:
        stream.write("# no longer what is registered\n")
    os.chmod(script, 0o555)
    before = unmounted.contents()
    with mounted_again(str(unmounted.store_dir), "ro"):
        with pytest.raises(CorruptOriginalError, match="app-1") as raised:
            unmounted.apply(check_inputs=True)
        assert raised.value.kind == "corrupt-original"
        assert "in the writing process" in raised.value.__notes__[0]
        assert unmounted.contents() == before


def test_a_job_that_is_refused_ends_the_writer(mounted: ReadOnly) -> None:
    def refuse(_plan: object) -> None:
        raise ZeroDivisionError

    before, children = mounted.contents(), _children()
    with pytest.raises(ZeroDivisionError):
        mounted.apply(approve=refuse)
    assert mounted.contents() == before
    assert _children() == children


def _children() -> set[str]:
    """The processes this one has started and not waited for; other tests may have left some."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended meanwhile
            if f"PPid:\t{os.getpid()}\n" in status.read_text():
                found.add(status.parent.name)
    return found


def test_a_store_below_a_read_only_mount_becomes_a_mount_of_its_own(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    with new_store(top) as store:
        it = Graftable.build(store)
    # The database is not below that mount, as /nix/var is not below /nix/store's.
    state = tmp_path / "state"
    os.rename(top / "state", state)
    it = Graftable(
        LocalStore(store=str(top / "store"), state=str(state)),
        it.old,
        it.new,
        it.data,
        it.app,
        it.env,
    )
    it.store.close()
    read_only = ReadOnly(it, tmp_path)
    with mounted_again(str(top), "ro,nodev"):
        assert read_only.is_read_only()
        assert read_only.apply().succeeded
        assert read_only.is_read_only()


def test_a_read_only_file_system_is_an_error_before_any_work(tmp_path: Path) -> None:
    store_dir = tmp_path / "store"
    store_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(store_dir)], check=True)
    try:
        with new_store(tmp_path) as store:
            read_only = ReadOnly(Graftable.build(store), tmp_path)
        subprocess.run(["mount", "-o", "remount,ro", str(store_dir)], check=True)
        with pytest.raises(StorePermissionError, match="itself mounted read-only"):
            read_only.apply(approve=lambda _: pytest.fail("it was planned"))
    finally:
        subprocess.run(["umount", str(store_dir)], check=True)


@pytest.mark.needs("setpriv")
def test_root_that_may_not_mount_gets_an_error_before_any_work(mounted: ReadOnly) -> None:
    before = mounted.contents()
    done = subprocess.run(
        [
            "setpriv",
            "--bounding-set=-sys_admin",
            *[sys.executable, "-m", "graft", *mounted.arguments()],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "CAP_SYS_ADMIN" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert mounted.contents() == before


def test_without_the_extension_the_error_says_so(
    mounted: ReadOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.store.local_store.access.load", lambda: None)
    with pytest.raises(StorePermissionError, match="C extension"):
        mounted.apply()


@as_ordinary_user
def test_an_ordinary_user_gets_an_error_and_may_still_plan(
    tmp_path: Path, mounted: ReadOnly, capsys: pytest.CaptureFixture[str]
) -> None:
    before = mounted.contents()
    assert run(mounted.arguments("--add-root", str(tmp_path / "patched"))) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("graft: error: ")
    assert "run as root" in err
    assert len(err.splitlines()) == 1
    assert mounted.contents() == before
    assert not (tmp_path / "patched").is_symlink()
    assert run(mounted.arguments("--dry-run", "--json")) == 0


def test_a_store_that_is_writable_needs_no_other_process(
    unmounted: ReadOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert unmounted.apply().succeeded
