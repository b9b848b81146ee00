"""Garbage collector roots: a link of the user's, and the indirect root that makes it count.

Source: Nix manual, "Garbage collector roots"; addPermRoot and addIndirectRoot in src/libstore of
Nix. An indirect root is `gcroots/auto/<nix32 of the SHA-1 of the link's path>`, a symlink to the
link.
"""

from __future__ import annotations

import hashlib
import os

from graft.errors import RootLinkError
from graft.formats.store_path import StoreDir, StorePath
from graft.hashing import nix32_encode


def replace_symlink(link: str, target: str) -> None:
    """Makes `link` a symlink to `target` at once, in place of a symlink that may be there."""
    directory, name = os.path.split(link)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    try:
        os.symlink(target, temporary)
        os.rename(temporary, link)
    except OSError as error:
        if os.path.islink(temporary):
            os.unlink(temporary)
        raise RootLinkError(
            f"cannot make the link '{link}': {(error.strerror or '').lower()}", path=link
        ) from error


def check_root_link(link: str, store_dir: StoreDir) -> None:
    """Makes sure that `link` could become a root.

    Raises:
        RootLinkError: something is there that is no symlink into the store, its directory is
            missing or may not be written, or the link lies inside the store.
    """
    link = os.path.abspath(link)
    if store_dir.contains(link):
        raise RootLinkError(f"a root may not lie in the store: '{link}'", path=link)
    if os.path.lexists(link) and not (
        os.path.islink(link) and store_dir.contains(os.path.join("/", os.readlink(link)))
    ):
        raise RootLinkError(
            f"'{link}' exists and is no link into the store: remove it or name another", path=link
        )
    directory = os.path.dirname(link)
    if not os.path.isdir(directory):
        raise RootLinkError(f"there is no directory '{directory}' for the root", path=link)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise RootLinkError(f"you may not write the directory '{directory}'", path=link)


def add_root(link: str, path: StorePath, store_dir: StoreDir, state_dir: str) -> None:
    """Makes `link` a symlink to the path, and registers it as an indirect root.

    Raises:
        RootLinkError: as `check_root_link`, or the link could not be made.
    """
    check_root_link(link, store_dir)
    link = os.path.abspath(link)
    replace_symlink(link, store_dir.path(path))
    roots = os.path.join(state_dir, "gcroots")
    if link.startswith(f"{roots}/"):
        return
    automatic = os.path.join(roots, "auto")
    os.makedirs(automatic, exist_ok=True)
    name = nix32_encode(hashlib.sha1(os.fsencode(link)).digest())  # noqa: S324 - Nix's own name for it
    replace_symlink(os.path.join(automatic, name), link)
