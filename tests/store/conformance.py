"""What the protocols of graft/store/api.py promise, each promise a claim that any store is held to.

`test_conformance.py` runs every claim over every kind of store that makes the promise. A new kind
needs a `Candidate` there, and no test of its own for what stands here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graft.errors import (
    BadStorePathError,
    CacheError,
    InvalidPathError,
    ProfileError,
    RootLinkError,
    UsageError,
)
from graft.formats.store_path import StorePath
from graft.kernel.tree import read_tree
from graft.store.api import (
    LOCAL_PRIORITY,
    LocalTarget,
    RelayedTarget,
    RootedTarget,
    Source,
    Store,
    Target,
    path_info,
)
from graft.store.objects import TreeObject
from tests.store_objects import named_path

Add = Callable[[Any, str, Sequence[StorePath], Callable[[], None]], StorePath]
"""Makes a path of that name valid in an opened target, which refers to some others.

The last argument is called when its bytes are written, before it is registered.
"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A store that is held to claims.

    Attributes:
        open: opens the store, anew each time; what it gives may be closed.
        promises: the protocol it keeps.
        low: a valid path without references.
        high: a valid path, a directory with a file `in`; it refers to `low` and to itself.
        archives: the NARs of both.
        add: of a target.
        lists: whether it can tell all its paths.
        hashes: whether it knows the NARs' hashes and sizes.
        nars: the paths whose objects are NARs in a cache; the others are trees on this machine.
        is_trusted: whether its word counts without a signature.
        is_local: whether it is asked before every cache.
    """

    open: Callable[[], Any]
    promises: type[Any]
    low: StorePath
    high: StorePath
    archives: dict[StorePath, bytes]
    add: Add | None = None
    lists: bool = True
    hashes: bool = True
    nars: frozenset[StorePath] = frozenset()
    is_trusted: bool = True
    is_local: bool = True

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        store = self.open()
        try:
            yield store
        finally:
            if hasattr(store, "close"):
                store.close()

    def made(self, store: Any, name: str, halfway: Callable[[], None] = lambda: None) -> StorePath:
        """A new path, which refers to `low`."""
        assert self.add is not None
        return self.add(store, name, [self.low], halfway)


Claim = Callable[[Candidate, Path], None]

CLAIMS: list[tuple[type[Any], Claim]] = []


def claim(promises: type[Any]) -> Callable[[Claim], Claim]:
    """Makes a function a claim about every store that keeps a protocol."""

    def claimed(function: Claim) -> Claim:
        CLAIMS.append((promises, function))
        return function

    return claimed


def claims_of(promises: type[Any]) -> list[Claim]:
    """The claims about stores that keep a protocol: its own, and those of what it extends."""
    return [found for protocol, found in CLAIMS if protocol in promises.__mro__]


def absent(store: Store) -> StorePath:
    return named_path("absent-1", store.store_dir)


def archive(store: Source, path: StorePath) -> bytes:
    """The NAR of an object, read as graft reads it."""
    item = store.store_object(path)
    out = bytearray()
    if isinstance(item, TreeObject):
        read_tree(item.tree, sink=out.extend)
        return bytes(out)
    buffer = memoryview(bytearray(65_536))
    with item.open() as reader:
        while read := reader.readinto(buffer):
            out += buffer[:read]
    return bytes(out)


# Store


@claim(Store)
def path_infos_has_valid_paths_and_leaves_out_the_others(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        asked = [it.low, absent(store), it.high]
        infos = store.path_infos(path for path in asked)
        assert infos.keys() == {it.low, it.high}
        assert all(info.path == path for path, info in infos.items())
        assert store.path_infos([]) == {}
        assert store.path_infos([it.low, it.low]).keys() == {it.low}


@claim(Store)
def references_are_those_of_the_bytes_the_path_itself_included(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        infos = store.path_infos([it.low, it.high])
        assert infos[it.low].references == frozenset()
        assert infos[it.high].references == {it.low, it.high}


@claim(Store)
def hash_and_size_are_those_of_the_nar(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        for path, info in store.path_infos(it.archives).items():
            known = it.archives[path]
            if it.hashes:
                assert info.nar_hash == hashlib.sha256(known).digest()
                assert info.nar_size == len(known)
            else:
                assert (info.nar_hash, info.nar_size) == (bytes(32), 0)


@claim(Store)
def valid_paths_are_all_or_it_says_that_it_cannot_tell(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        if it.lists:
            assert store.valid_paths() == {it.low, it.high}
        else:
            with pytest.raises(CacheError, match="cannot list its paths"):
                store.valid_paths()


@claim(Store)
def a_path_that_is_not_valid_is_a_typed_error_with_the_name_of_the_store(
    it: Candidate, _: Path
) -> None:
    with it.opened() as store:
        assert path_info(store, it.low).path == it.low
        with pytest.raises(InvalidPathError) as raised:
            path_info(store, absent(store))
        assert store.url in raised.value.message
        assert store.url.isprintable()


# Source


@claim(Source)
def an_argument_is_resolved_be_the_path_valid_or_not(it: Candidate, tmp_path: Path) -> None:
    with it.opened() as store:
        for path in (it.high, absent(store)):
            full = store.store_dir.path(path)
            link = tmp_path / f"link-to-{path}"
            link.symlink_to(f"{full}/in")
            for argument in (str(path), full, f"{full}/in/side", str(link)):
                assert store.resolve(argument) == path


@claim(Source)
def an_argument_that_leads_elsewhere_is_an_error(it: Candidate, tmp_path: Path) -> None:
    with it.opened() as store:
        for argument in (str(tmp_path), "/", f"{tmp_path}/nothing", str(store.store_dir)):
            with pytest.raises(BadStorePathError):
                store.resolve(argument)


@claim(Source)
def objects_are_there_and_have_the_bytes_that_are_registered(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        for path, known in it.archives.items():
            item = store.store_object(path)
            assert item.exists()
            assert isinstance(item, TreeObject) == (path not in it.nars)
            assert archive(store, path) == known


@claim(Source)
def protection_may_be_asked_for_whatever_is_valid_and_changes_nothing(
    it: Candidate, _: Path
) -> None:
    with it.opened() as store:
        before = store.path_infos(it.archives)
        store.protect([it.high, absent(store)])
        store.protect(iter([it.low]))
        store.protect([])
        assert store.path_infos([*it.archives, absent(store)]) == before


@claim(Source)
def a_block_closes_it_and_it_may_be_closed_again(it: Candidate, _: Path) -> None:
    with it.open() as store:
        assert store.path_infos([it.low])
    store.close()
    with it.opened() as again:
        assert again.path_infos([it.low])


@claim(Source)
def what_came_from_elsewhere_is_not_trusted_and_asked_later(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        assert store.is_trusted == it.is_trusted
        assert (store.priority == LOCAL_PRIORITY) == it.is_local


# Target


@claim(Target)
def it_is_writable_and_knows_its_room_or_says_that_it_does_not(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        store.check_writable()
        free = store.free_bytes()
        assert free is None or free > 0
        assert isinstance(store, Target)


@claim(Target)
def a_path_is_valid_when_it_is_registered_and_not_before(it: Candidate, _: Path) -> None:
    path = StorePath(named_path("made-1", store_dir_of(it)))
    with it.opened() as store, it.opened() as other:

        def halfway() -> None:
            assert store.path_infos([path]) == {}
            assert other.path_infos([path]) == {}

        assert it.made(store, "made-1", halfway) == path
        info = path_info(store, path)
        assert info.references == {it.low}
        assert hashlib.sha256(archive(store, path)).digest() == info.nar_hash
    with it.opened() as again:
        assert path_info(again, path).nar_hash == info.nar_hash
        assert hashlib.sha256(archive(again, path)).digest() == info.nar_hash


@claim(Target)
def an_error_registers_nothing_and_the_path_can_be_made_afterwards(it: Candidate, _: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop() -> None:
        raise StoppedError

    with it.opened() as store:
        with pytest.raises(StoppedError):
            it.made(store, "made-1", stop)
        assert store.path_infos([named_path("made-1", store.store_dir)]) == {}
        assert store.path_infos([it.made(store, "made-1")])


@claim(Target)
def a_killed_process_registers_nothing_and_the_path_can_be_made_afterwards(
    it: Candidate, _: Path
) -> None:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            it.made(it.open(), "made-1", lambda: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with it.opened() as store:
        path = named_path("made-1", store.store_dir)
        assert store.path_infos([path]) == {}
        assert it.made(store, "made-1") == path
        assert hashlib.sha256(archive(store, path)).digest() == path_info(store, path).nar_hash


def store_dir_of(it: Candidate) -> Any:
    with it.opened() as store:
        return store.store_dir


# RootedTarget


@claim(RootedTarget)
def a_root_is_a_link_to_the_path_and_asking_changes_nothing(it: Candidate, tmp_path: Path) -> None:
    link = tmp_path / "result"
    with it.opened() as store:
        store.check_root_link(str(link))
        assert not os.path.lexists(link)
        store.add_root(str(link), it.high)
        assert os.readlink(link) == store.store_dir.path(it.high)
        store.add_root(str(link), it.low)
        assert os.readlink(link) == store.store_dir.path(it.low)


@claim(RootedTarget)
def a_file_that_is_no_link_is_replaced_by_no_root_or_profile(it: Candidate, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"kept")
    with it.opened() as store:
        with pytest.raises(RootLinkError):
            store.check_root_link(str(file))
        with pytest.raises(ProfileError):
            store.check_profile(str(file))
    assert file.read_bytes() == b"kept"


@claim(RootedTarget)
def a_profile_s_new_generation_is_the_path(it: Candidate, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    with it.opened() as store:
        store.check_profile(str(profile))
        assert not os.path.lexists(profile)
        for number, path in enumerate((it.low, it.high), 1):
            store.switch_profile(str(profile), path)
            assert os.readlink(profile) == f"profile-{number}-link"
            assert os.readlink(f"{profile}-{number}-link") == store.store_dir.path(path)


@claim(RootedTarget)
def trees_lie_where_the_location_says(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        assert store.location.store_dir == store.store_dir
        for path in it.archives:
            assert store.tree(path) == f"{store.location.real_store_dir}/{path}"
            assert os.path.lexists(store.tree(path))


# RelayedTarget


@claim(RelayedTarget)
def whoever_takes_paths_from_a_cache_repairs_none(it: Candidate, _: Path) -> None:
    with it.opened() as store, pytest.raises(UsageError), store.receiving(repair=True):
        pass


# LocalTarget


@claim(LocalTarget)
def a_pickled_one_is_opened_anew(it: Candidate, _: Path) -> None:
    with it.opened() as store, pickle.loads(pickle.dumps(store)) as again:
        assert again.path_infos(it.archives) == store.path_infos(it.archives)
        again.close()
        assert store.path_infos(it.archives)


@claim(LocalTarget)
def only_paths_that_are_not_there_are_missing(it: Candidate, _: Path) -> None:
    with it.opened() as store:
        path = named_path("made-1", store.store_dir)
        with store.making(sorted([it.low, path])) as making:
            assert set(making.missing) == {path}
            assert set(making.lost) == set()
            assert not os.path.lexists(making.staging(path))
        with store.making([it.low], repair=[it.low]) as making:
            assert set(making.missing) == {it.low}
        assert archive(store, it.low) == it.archives[it.low]
