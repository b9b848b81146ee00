"""The real garbage collector, at work all the time while stores are grafted."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.kernel.native import load
from graft.store.local import LocalStore
from tests.bind_mount import mounted_again, needs_mounts
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store

_GRAFTS = 10


class _Collector:
    """`nix-store --gc`, again and again in a thread."""

    def __init__(self, nix: RealNix) -> None:
        self._nix = nix
        self._stop = threading.Event()
        self._another = threading.Condition()
        self._error: BaseException | None = None
        self.collections = 0

    def _collect(self) -> None:
        try:
            while not self._stop.is_set():
                self._nix.collect()
                with self._another:
                    self.collections += 1
                    self._another.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised by whoever stops it
            self._error = error

    def wait_for_whole_collection(self) -> None:
        """Returns when a collection that began after this call has ended."""
        with self._another:
            wanted = self.collections + 2
            assert self._another.wait_for(lambda: self.collections >= wanted, 300), self._error

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._collect)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        if self._error is not None:
            raise self._error


@dataclass(frozen=True)
class _Generation:
    """A root of its own above the little closure's app, and a NEW of its own."""

    root: StorePath
    new: StorePath


def _generations(it: Graftable, links: Path) -> list[_Generation]:
    """Ten of them, each kept by a link."""
    links.mkdir()
    made = []
    full = it.store.store_dir.path
    for number in range(_GRAFTS):
        new = add_object(
            it.store, f"lib-2.{number}", {"lib": b"new %d\n" % number, "self": "{self}/lib"}
        )
        own = add_object(
            it.store, f"own-{number}", {"lib": full(it.old), "big": bytes(1 << 20)}, [it.old]
        )
        root = add_object(
            it.store,
            f"root-{number}",
            {"bin": f"{full(it.env)}/bin", "own": full(own)},
            [it.env, own],
        )
        for path in (root, new):
            it.store.add_root(str(links / path.name), path)
        made.append(_Generation(root, new))
    it.store.add_root(str(links / "old"), it.old)
    return made


def _is_whole(store: LocalStore, root: StorePath) -> bool:
    reached, waiting = set(), {root}
    while waiting:
        infos = store.path_infos(waiting)
        if infos.keys() != waiting or not all(os.path.lexists(store.tree(path)) for path in infos):
            return False
        reached |= waiting
        waiting = {found for info in infos.values() for found in info.references} - reached
    return True


_NEEDS_REMOUNT = [
    needs_mounts,
    pytest.mark.skipif(load() is None, reason="only the C extension can mount"),
]


@pytest.mark.nix
@pytest.mark.parametrize(
    "options", [pytest.param("rw", id="writable"), pytest.param("ro", marks=_NEEDS_REMOUNT)]
)
def test_ten_grafts_while_a_collector_never_rests(tmp_path: Path, options: str) -> None:
    store = new_store(tmp_path)
    with store:
        it = Graftable.build(store)
        generations = _generations(it, tmp_path / "links")
    before = {path for path in os.listdir(store.location.real_store_dir) if path[0] != "."}
    nix = RealNix(store.location, tmp_path)
    collector = _Collector(nix)
    real = store.location.real_store_dir
    mount = mounted_again(real, options) if options == "ro" else nullcontext()
    results: list[StorePath] = []
    with mount, collector.running():
        for number, generation in enumerate(generations):
            link = tmp_path / f"patched-{number}"
            with LocalStore(location=store.location) as target:
                outcome = apply(
                    target, [generation.root], {it.old: generation.new}, add_roots=[str(link)]
                )
                assert outcome.succeeded
                # Nothing but its own temporary roots keeps what it did not link.
                assert all(_is_whole(target, path) for path in outcome.plan.new_paths)
            results.append(outcome.plan.new_roots[generation.root])
            if number % 3 == 0:
                collector.wait_for_whole_collection()
    with LocalStore(location=store.location) as after:
        for number, result in enumerate(results):
            assert _is_whole(after, result)
            link = tmp_path / f"patched-{number}"
            done = subprocess.run([f"{link}/bin/run"], capture_output=True, text=True, check=True)
            assert done.stdout.splitlines()[0] == f"new {number}"
            link.unlink()
    assert collector.collections > _GRAFTS // 3
    nix.check()
    assert os.listdir(Path(store.location.state_dir, "temproots")) == []
    # With the links everything that was grafted goes, and the originals stay.
    nix.collect()
    assert {path for path in os.listdir(real) if path[0] != "."} <= before
    assert {generation.root for generation in generations} <= set(os.listdir(real))
    nix.check()


@contextmanager
def _told(store: LocalStore) -> Iterator[list[str]]:
    """What a collector is told that has begun, and has read the permanent roots already."""
    told: list[str] = []
    directory = Path(store.location.state_dir, "gc-socket")
    directory.mkdir()
    lock = os.open(store.location.collector_lock, os.O_RDWR | os.O_CREAT, 0o600)
    place = os.open(directory, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(f"/proc/self/fd/{place}/socket")  # a socket's name has at most 107 bytes
        listening.listen()
        fcntl.flock(lock, fcntl.LOCK_EX)

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rw") as stream:
                for line in stream:
                    told.append(line.rstrip("\n"))
                    stream.write("1")
                    stream.flush()

        thread = threading.Thread(target=answer)
        thread.start()
        yield told
        store.close()
        thread.join()
    os.close(place)
    os.close(lock)


@pytest.mark.parametrize("kind", ["link", "profile"])
def test_a_collector_that_has_begun_is_told_what_becomes_permanent(
    tmp_path: Path, kind: str
) -> None:
    """It reads the permanent roots before the temporary ones, which may be gone by then."""
    store = new_store(tmp_path)
    path = add_object(store, "one-1", b"")
    store.protect([path])
    with _told(store) as told:
        if kind == "link":
            store.add_root(str(tmp_path / "link"), path)
        else:
            store.switch_profile(str(tmp_path / "profile"), path)
        assert told == [store.store_dir.path(path)]
