"""Store objects made on the spot, in stores of graft's own writer: no Nix is needed for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from graft.formats.store_path import StoreDir, StorePath, make_store_path
from graft.kernel.tree import copy_tree, read_tree, remove_tree
from graft.store.api import PathInfo
from graft.store.local import LocalStore
from graft.store.location import Location

Contents = bytes | str | Mapping[str, "Contents"]
"""A regular file, the target of a symlink, or a directory."""


_opened: list[LocalStore] = []


def new_store(directory: Path) -> LocalStore:
    """An empty store, its logical directory where it really is; closed when the test is over."""
    location = Location.of_directories(str(directory / "store"), str(directory / "state"))
    LocalStore.create(location)
    return opened(location)


def opened(location: Location) -> LocalStore:
    """The store there; closed when the test is over."""
    store = LocalStore(location=location)
    _opened.append(store)
    return store


def close_stores() -> None:
    """Closes what `opened` has opened."""
    while _opened:
        _opened.pop().close()


def add_object(
    store: LocalStore,
    name: str,
    contents: Contents,
    references: Iterable[StorePath] = (),
    *,
    deriver: StorePath | None = None,
    salt: str = "",
) -> StorePath:
    """Makes an object; `{self}` in the bytes of its files becomes its own full path.

    Args:
        salt: gives another hash part to the same name.
    """
    path = named_path(name, store.store_dir, salt)
    full = store.store_dir.path(path)
    with store.making([path]) as making:
        raw = Path(f"{making.staging(path)}-raw")
        write_contents(raw, contents, full)
        digest = hashlib.sha256()
        copy_tree(raw, making.staging(path), None, sink=digest.update, links=False)
        size = read_tree(raw).nar_size
        remove_tree(raw)
        own = {path} if full.encode() in _all_bytes(contents, full) else set()
        making.finish(
            PathInfo(
                path=path,
                nar_hash=digest.digest(),
                nar_size=size,
                references=frozenset(references) | own,
                deriver=deriver,
                ultimate=True,
            )
        )
    return path


def named_path(name: str, store_dir: StoreDir, salt: str = "") -> StorePath:
    """A path of that name, the same one each time."""
    digest = hashlib.sha256((name + salt).encode()).digest()
    return make_store_path("output:out", digest, name, store_dir)


def write_contents(place: Path, contents: Contents, full: str) -> None:
    """Writes contents to the file system; scripts become executable."""
    if isinstance(contents, bytes):
        place.write_bytes(contents.replace(b"{self}", full.encode()))
        place.chmod(0o755 if contents.startswith(b"#!") else 0o644)
    elif isinstance(contents, str):
        place.symlink_to(contents.replace("{self}", full))
    else:
        place.mkdir()
        for name, inner in contents.items():
            write_contents(place / name, inner, full)


def _all_bytes(contents: Contents, full: str) -> bytes:
    if isinstance(contents, bytes):
        return contents.replace(b"{self}", full.encode())
    if isinstance(contents, str):
        return contents.replace("{self}", full).encode()
    return b"\n".join(_all_bytes(inner, full) for inner in contents.values())
