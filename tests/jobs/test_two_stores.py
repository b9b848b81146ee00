"""What is not valid in one store comes from another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.errors import CorruptOriginalError, InvalidPathError, StoreError
from graft.jobs.apply import apply
from graft.store.api import path_info
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import Contents, add_object, new_store, opened


def _rooted(directory: Path) -> LocalStore:
    """A store that is /nix/store logically, as all of this machine's that exchange paths are."""
    location = Location.at_root(str(directory))
    LocalStore.create(location)
    return opened(location)


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(_rooted(tmp_path / "here"))


@pytest.fixture
def other(tmp_path: Path) -> LocalStore:
    return _rooted(tmp_path / "there")


@pytest.mark.nix
def test_new_comes_from_another_store_with_all_it_refers_to(
    it: Graftable, other: LocalStore, tmp_path: Path
) -> None:
    below = add_object(other, "below-1", {"file": b"below\n"})
    text: Contents = {"lib": b"newer\n", "self": "{self}/lib", "below": other.store_dir.path(below)}
    new = add_object(other, "lib-1.2", text, [below])
    unrelated = add_object(other, "unrelated-1", b"")
    with pytest.raises(InvalidPathError):
        apply(it.store, [it.env], {it.old: new})
    outcome = apply(it.store, [it.env], {it.old: new}, source=other)
    assert outcome.succeeded
    assert outcome.execution.fetched == {new, below}
    assert path_info(it.store, new).references == {new, below}
    assert not path_info(it.store, new).ultimate
    assert it.store.path_infos([unrelated]) == {}
    assert not os.path.samefile(f"{it.tree(new)}/lib", f"{other.tree(new)}/lib")
    RealNix(it.store.location, tmp_path).check()
    again = apply(it.store, [it.env], {it.old: new}, source=other)
    assert again.execution.fetched == frozenset()


@pytest.mark.nix
def test_originals_come_from_another_store(
    it: Graftable, other: LocalStore, tmp_path: Path
) -> None:
    outcome = apply(other, [it.env], {it.old: it.new}, source=it.store)
    assert outcome.succeeded
    assert outcome.execution.fetched == {it.new, it.data}
    assert other.path_infos([it.app, it.old]) == {}
    nix = RealNix(other.location, tmp_path)
    nix.check()
    closure = nix.run("nix-store", "-qR", other.store_dir.path(outcome.plan.new_roots[it.env]))
    assert len(closure.split()) == len(outcome.plan.new_references)


def _spoil(store: LocalStore, file: str) -> None:
    directory = Path(file).parent
    directory.chmod(0o755)
    contents = Path(file).read_bytes()
    os.unlink(file)
    Path(file).write_bytes(contents.swapcase())


@pytest.mark.parametrize("which", ["new", "original"])
def test_what_comes_from_another_store_is_always_checked(
    it: Graftable, other: LocalStore, which: str
) -> None:
    if which == "new":
        _spoil(it.store, f"{it.tree(it.new)}/lib")
    else:
        _spoil(it.store, f"{it.tree(it.app)}/share/unchanged")
    with pytest.raises(CorruptOriginalError):
        apply(other, [it.env], {it.old: it.new}, source=it.store)
    assert other.valid_paths() == set()


def test_stores_of_different_directories_do_not_mix(it: Graftable, tmp_path: Path) -> None:
    elsewhere = new_store(tmp_path)
    with pytest.raises(StoreError, match="different store directories"):
        apply(it.store, [it.env], {it.old: it.new}, source=elsewhere)


def test_the_command_takes_new_from_another_store(
    it: Graftable, other: LocalStore, tmp_path: Path
) -> None:
    new = add_object(other, "lib-1.2", {"lib": b"newer\n", "self": "{self}/lib"})
    command = [
        sys.executable,
        "-m",
        "graft",
        f"--store={it.store.url}",
        "apply",
        it.env,
        f"--from={other.url}",
    ]
    command += [f"--replace={it.old}={new}"]
    dry = subprocess.run(
        [*command, "--dry-run", "--verbose"], capture_output=True, text=True, check=True
    )
    assert it.app in dry.stdout
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 fetched" in done.stderr
    root = it.store.location.resolve(done.stdout.strip())
    assert os.path.lexists(it.tree(root))
