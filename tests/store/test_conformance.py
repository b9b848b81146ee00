"""Every kind of store keeps what it promises: the claims of `conformance.py`, over all of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from graft.formats.derivations.references_graph import GraphNode
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StorePath
from graft.kernel.tree import read_tree
from graft.store.api import LocalTarget, PathInfo, RelayedTarget, Source, Store, Target
from graft.store.binary_cache import BinaryCache
from graft.store.daemon import DaemonStore
from graft.store.incoming_cache import IncomingCache
from graft.store.kinds import KINDS
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.memory import MemoryStore
from graft.store.opening import open_store, open_target
from graft.store.union import UnitedStore
from graft.store.writable_cache import WritableCache
from tests.archives import File, archive_of
from tests.buckets import BucketServer, bucket_server, sign_in
from tests.caches import cache_of, written
from tests.real_nix import RealNix
from tests.registrations import print_graph
from tests.serving import serving
from tests.store.conformance import Candidate, Claim, claims_of
from tests.store_objects import add_object, named_path

pytestmark = pytest.mark.slow

MADE = File(b"made\n")
HASHED = archive_of(MADE)


@dataclass(frozen=True)
class Ground:
    """A store on this machine that holds two paths, of which other stores are made."""

    directory: Path
    location: Location
    infos: Mapping[StorePath, PathInfo]
    candidate: Candidate

    @classmethod
    def at(cls, location: Location, directory: Path) -> Ground:
        LocalStore.create(location)
        with LocalStore(location=location) as store:
            low = add_object(store, "low-1", b"#!/bin/sh\n")
            text = f"{{self}} {store.store_dir.path(low)}".encode()
            high = add_object(store, "high-1", {"in": text, "link": "in"}, [low])
            archives = {}
            for path in (low, high):
                out = bytearray()
                read_tree(store.tree(path), sink=out.extend)
                archives[path] = bytes(out)
            infos = store.path_infos([low, high])
        candidate = Candidate(
            open=partial(LocalStore, location=location),
            promises=LocalTarget,
            low=low,
            high=high,
            archives=archives,
            add=_add_tree,
        )
        return cls(directory, location, infos, candidate)

    def cache(self) -> Path:
        """The directory of a cache with both paths."""
        directory = self.directory / "cache"
        with LocalStore(location=self.location) as store, cache_of(store, directory):
            return directory

    def as_cache(self, open_: Callable[[], Any], promises: type[Any]) -> Candidate:
        return replace(
            self.candidate,
            open=open_,
            promises=promises,
            add=_add_nar if promises is Target else None,
            nars=frozenset(self.infos),
            is_trusted=False,
            is_local=False,
        )


def _add_tree(
    store: LocalStore, name: str, references: Sequence[StorePath], halfway: Callable[[], None]
) -> StorePath:
    path = named_path(name, store.store_dir)
    with store.making([path]) as making:
        place = making.staging(path)
        Path(place).write_bytes(MADE.contents)
        os.chmod(place, 0o444)
        os.utime(place, (1, 1))
        nar_hash = hashlib.sha256(HASHED).digest()
        making.finish(
            PathInfo(
                path=path,
                nar_hash=nar_hash,
                nar_size=len(HASHED),
                references=frozenset(references),
                ultimate=True,
            )
        )
        halfway()
    return path


def _add_nar(
    cache: WritableCache, name: str, references: Sequence[StorePath], halfway: Callable[[], None]
) -> StorePath:
    info = written(cache, name, MADE, references)
    halfway()
    cache.register([info])
    return info.path


def _add_by_daemon(
    store: DaemonStore, name: str, references: Sequence[StorePath], halfway: Callable[[], None]
) -> StorePath:
    with store.receiving() as cache:
        assert isinstance(cache, IncomingCache)
        return _add_nar(cache, name, references, halfway)


@dataclass(frozen=True)
class Setting:
    """What candidates are made with."""

    ground: Ground
    bucket: Callable[[], BucketServer]
    stack: ExitStack


def _local(it: Setting) -> Candidate:
    return it.ground.candidate


def _chroot(it: Setting) -> Candidate:
    location = Location.at_root(str(it.ground.directory / "chroot"))
    return Ground.at(location, it.ground.directory).candidate


def _daemon(it: Setting) -> Candidate:
    nix = RealNix(it.ground.location, it.ground.directory)
    with (it.ground.directory / "daemon-log").open("wb") as log:
        process = subprocess.Popen(["nix-daemon"], env=nix.environment, stderr=log)
    it.stack.callback(process.wait)
    it.stack.callback(process.terminate)
    while not os.path.exists(f"{it.ground.location.state_dir}/daemon-socket/socket"):
        assert process.poll() is None, (it.ground.directory / "daemon-log").read_text()
        time.sleep(0.02)
    return replace(
        it.ground.candidate,
        open=lambda: DaemonStore(it.ground.location, nix.environment),
        promises=RelayedTarget,
        add=_add_by_daemon,
    )


def _directory(it: Setting) -> Candidate:
    url = f"file://{it.ground.cache()}"
    return it.ground.as_cache(lambda: BinaryCache.open(url), Source)


def _writable_directory(it: Setting) -> Candidate:
    url = f"file://{it.ground.cache()}"
    store_dir = it.ground.location.store_dir
    return it.ground.as_cache(lambda: open_target(url, {}, store_dir), Target)


def _server(it: Setting) -> Candidate:
    server = it.stack.enter_context(serving(it.ground.cache()))
    found = it.ground.as_cache(lambda: open_store(server.url, {}), Source)
    return replace(found, lists=False)


def _bucket(it: Setting) -> Candidate:
    url = it.bucket().url("bucket/a")
    store_dir = it.ground.location.store_dir
    with (
        BinaryCache.open(f"file://{it.ground.cache()}") as source,
        WritableCache.create(url, store_dir) as cache,
    ):
        cache.register([cache.copy_nar(source, path) for path in it.ground.infos])
    return it.ground.as_cache(lambda: open_target(url, {}, store_dir), Target)


def _memory(it: Setting) -> Candidate:
    store_dir, infos = it.ground.location.store_dir, it.ground.infos.values()
    return replace(
        it.ground.candidate, open=lambda: MemoryStore(store_dir, infos), promises=Store, add=None
    )


def _graph(it: Setting) -> Candidate:
    full = it.ground.location.store_dir.path
    listed = [
        {
            "path": full(path),
            "narHash": f"sha256:{nix32_encode(info.nar_hash)}",
            "narSize": info.nar_size,
            "references": sorted(map(full, info.references)),
        }
        for path, info in it.ground.infos.items()
    ]
    document = {"exportReferencesGraph": {"all": [full(it.ground.candidate.high)]}, "all": listed}
    return _exported(it, json.dumps(document))


def _graph_without_hashes(it: Setting) -> Candidate:
    nodes = [
        GraphNode(path=path, references=tuple(sorted(info.references)))
        for path, info in it.ground.infos.items()
    ]
    return _exported(it, print_graph(nodes, it.ground.location.store_dir))


def _exported(it: Setting, text: str) -> Candidate:
    file = it.ground.directory / "graph"
    file.write_text(text)
    environment = {"NIX_STORE": str(it.ground.location.store_dir)}
    return replace(
        it.ground.candidate,
        open=lambda: open_store(f"graph:{file}", environment),
        promises=Source,
        add=None,
    )


def _union(it: Setting) -> Candidate:
    store_dir = it.ground.location.store_dir
    first = Location(
        store_dir=store_dir,
        real_store_dir=f"{it.ground.directory}/first/store",
        state_dir=f"{it.ground.directory}/first/state",
    )
    LocalStore.create(first)
    with LocalStore(location=first) as store:
        assert add_object(store, "low-1", b"#!/bin/sh\n") == it.ground.candidate.low
    url = f"file://{it.ground.cache()}"
    return replace(
        it.ground.candidate,
        open=lambda: UnitedStore(LocalStore(location=first), BinaryCache.open(url)),
        promises=Source,
        add=None,
        nars=frozenset([it.ground.candidate.high]),
        is_trusted=False,
    )


CANDIDATES: dict[str, tuple[Callable[[Setting], Candidate], type[Any], str | None]] = {
    "local": (_local, LocalTarget, "local"),
    "chroot": (_chroot, LocalTarget, "local"),
    "daemon": (_daemon, RelayedTarget, "local"),
    "cache in a directory": (_directory, Source, "file"),
    "writable cache": (_writable_directory, Target, "file"),
    "cache behind a server": (_server, Source, "http"),
    "cache in a bucket": (_bucket, Target, "s3"),
    "memory": (_memory, Store, None),
    "graph": (_graph, Source, "graph"),
    "graph without hashes": (_graph_without_hashes, Source, "graph"),
    "union": (_union, Source, None),
}
"""Each with the protocol it keeps, and with a scheme of its kind's URLs if it has any."""


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[], BucketServer]]:
    """Starts a server of buckets when it is first asked for."""
    with ExitStack() as stack:
        found: list[BucketServer] = []

        def started() -> BucketServer:
            if not found:
                found.append(stack.enter_context(bucket_server()))
            found[0].request("POST", "/moto-api/reset")
            found[0].make("bucket")
            return found[0]

        yield started


@pytest.mark.parametrize(
    ("name", "held"),
    [
        pytest.param(name, held, marks=pytest.mark.nix if name == "daemon" else ())
        for name, (_, promises, _) in CANDIDATES.items()
        for held in claims_of(promises)
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_store_keeps_what_it_promises(
    name: str,
    held: Claim,
    tmp_path: Path,
    running: Callable[[], BucketServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    sign_in(monkeypatch, str(tmp_path))
    place = tmp_path / "ground"
    place.mkdir()
    location = Location.of_directories(f"{place}/store", f"{place}/state")
    with ExitStack() as stack:
        setting = Setting(Ground.at(location, place), running, stack)
        make, promises, _ = CANDIDATES[name]
        candidate = make(setting)
        assert candidate.promises is promises
        held(candidate, tmp_path)


def test_every_kind_in_the_list_is_held_to_the_claims() -> None:
    schemes = {scheme for _, _, scheme in CANDIDATES.values()}
    assert [kind for kind in KINDS if schemes.isdisjoint(kind.schemes)] == []
