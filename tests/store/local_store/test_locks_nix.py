"""Path locks against a real Nix that makes the same path at the same time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.api import PathInfo
from graft.store.local import LocalStore
from graft.store.local_store.making import LocalMaking
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import new_store

pytestmark = pytest.mark.nix


@dataclass(frozen=True)
class Contended:
    """A grafted path that a binary cache has, and the store has no longer."""

    it: Graftable
    nix: RealNix
    cache: Path
    exported: bytes
    new_app: StorePath
    info: PathInfo

    @classmethod
    def under(cls, directory: Path) -> Contended:
        store = new_store(directory)
        it, nix, cache = Graftable.build(store), RealNix(store.location, directory), directory / "c"
        full = store.store_dir.path
        with store:
            outcome = apply(store, [it.env], {it.old: it.new})
            new_env, new_app = outcome.plan.new_roots[it.env], outcome.plan.moved[it.app]
            info = store.path_infos([new_app])[new_app]
        nix.run("nix", "copy", "--to", f"file://{cache}?compression=none", full(new_env))
        exported = subprocess.run(
            ["nix-store", "--export", full(new_app)],
            env=nix.environment,
            capture_output=True,
            check=True,
        ).stdout
        nix.collect("--delete", full(new_env), full(new_app))
        assert not os.path.lexists(store.tree(new_app))
        return cls(it, nix, cache, exported, new_app, info)

    @property
    def tree(self) -> str:
        return self.it.tree(self.new_app)

    def open(self) -> LocalStore:
        return LocalStore(location=self.it.store.location)

    def copy(self) -> list[str]:
        """The command that takes the path from the cache."""
        full = self.it.store.store_dir.path(self.new_app)
        return ["nix", "copy", "--no-check-sigs", "--from", f"file://{self.cache}", full]

    def check(self, *, registered_by_nix: bool) -> None:
        """The path is there as if nobody else had made it."""
        with self.open() as store:
            info = store.path_infos([self.new_app])[self.new_app]
            assert info.nar_hash == self.info.nar_hash
            assert info.references == self.info.references
            assert info.ultimate is not registered_by_nix
        left = {name for name in os.listdir(self.it.store.location.real_store_dir) if "." in name}
        assert {name for name in left if name.endswith((".lock", "-graft"))} == set()
        self.nix.check()


@pytest.fixture
def contended(tmp_path: Path) -> Contended:
    return Contended.under(tmp_path)


def _wait_for_flock(process: subprocess.Popen[bytes]) -> None:
    """Returns when a process waits for a flock somebody else has."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "->" and words[2] == "FLOCK" and words[5] == str(process.pid):
                return
        time.sleep(0.005)
    raise AssertionError(f"it does not wait: {process.communicate()}")


@pytest.mark.parametrize("how", ["copy", "import"])
def test_nix_waits_for_a_path_that_is_being_grafted(
    contended: Contended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Without the lock Nix deletes the tree and writes its own."""
    command = contended.copy() if how == "copy" else ["nix-store", "--import"]
    file = tmp_path / "exported"
    file.write_bytes(contended.exported)
    others: list[subprocess.Popen[bytes]] = []
    made: list[int] = []
    finish = LocalMaking.finish

    def finish_in_company(self: LocalMaking, info: PathInfo) -> None:
        finish(self, info)
        if info.path == contended.new_app:
            made.append(os.lstat(contended.tree).st_ino)
            with file.open("rb") as stream:
                other = subprocess.Popen(
                    command,
                    env=contended.nix.environment,
                    stdin=stream,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            others.append(other)
            _wait_for_flock(other)

    monkeypatch.setattr(LocalMaking, "finish", finish_in_company)
    with contended.open() as store:
        outcome = apply(store, [contended.it.env], {contended.it.old: contended.it.new})
        assert contended.new_app in outcome.execution.rewritten
        assert outcome.succeeded
    (other,) = others
    _, err = other.communicate()
    assert other.returncode == 0, err
    assert [os.lstat(contended.tree).st_ino] == made
    contended.check(registered_by_nix=False)


def _open_when_read(pipe: Path) -> int | None:
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


@contextmanager
def _nix_in_the_middle(contended: Contended) -> Iterator[None]:
    """A `nix copy` that has locked the path, and waits for the NAR until the block is left."""
    (description,) = contended.cache.glob(f"{contended.new_app.hash_part}.narinfo")
    fields = dict(line.split(": ", 1) for line in description.read_text().splitlines())
    nar = contended.cache / fields["URL"]
    contents = nar.read_bytes()
    nar.unlink()
    os.mkfifo(nar)
    copy = subprocess.Popen(contended.copy(), env=contended.nix.environment, stderr=subprocess.PIPE)
    while (pipe := _open_when_read(nar)) is None:
        assert copy.poll() is None, copy.communicate()
        time.sleep(0.005)
    yield
    os.set_blocking(pipe, True)
    with open(pipe, "wb") as stream:
        stream.write(contents)
    _, err = copy.communicate()
    assert copy.returncode == 0, err


def test_graft_waits_for_a_path_that_nix_makes_and_uses_it(contended: Contended) -> None:
    location, it = contended.it.store.location, contended.it
    full = it.store.store_dir.path
    pair = f"--replace={full(it.old)}={full(it.new)}"
    url = f"--store=local?store={location.real_store_dir}&state={location.state_dir}"
    with _nix_in_the_middle(contended):
        job = subprocess.Popen(
            [sys.executable, "-m", "graft", url, "apply", full(it.env), pair, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert job.stderr is not None
        assert job.stderr.readline() == f"graft: waiting for the lock on '{contended.tree}'\n"
        assert job.poll() is None
    out, err = job.communicate()
    assert job.returncode == 0, err
    document = json.loads(out)
    assert (document["resumed_paths"], document["rewritten_paths"]) == (1, 1)
    contended.check(registered_by_nix=True)
