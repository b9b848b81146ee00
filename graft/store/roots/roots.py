"""Garbage collector roots: made, with the indirect root that makes a user's link count, and found.

Source: Nix manual, "Garbage collector roots"; addPermRoot, addIndirectRoot and findRoots in
src/libstore of Nix. An indirect root is `gcroots/auto/<nix32 of the SHA-1 of the link's path>`, a
symlink to the link. Guix has the same directories.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from graft.errors import BadStorePathError, RootLinkError, StoreError
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StoreDir, StorePath
from graft.store.local_store.locks import give_to_owner

_log = logging.getLogger(__name__)

_LASTING_ERRORS = {errno.EACCES, errno.ENOENT, errno.ENOTDIR}
_TRIES = 10
_NO_LINK = {errno.ENOENT, errno.ENOTDIR, errno.EINVAL}


def link_target(link: str) -> str | None:
    """The text of a symlink; None if there is nothing, or something else.

    `os.path.islink` takes every error for an answer: a link that cannot be read is not absent.

    Raises:
        RootLinkError: the link cannot be read.
    """
    try:
        return os.readlink(link)
    except OSError as error:
        if error.errno in _NO_LINK:
            return None
        raise RootLinkError(
            f"cannot read the link '{link}': {error.strerror}", path=link
        ) from error


def replace_symlink(link: str, target: str) -> None:
    """Makes `link` a symlink to `target` at once, in place of a symlink that may be there.

    The temporary name is the same for every process: the next change of the link removes the
    left-over of a killed one. If two processes change one link at the same time, either may win.

    Raises:
        RootLinkError: the link cannot be made.
    """
    directory, name = os.path.split(link)
    temporary = os.path.join(directory, f".{name}.graft")
    for _ in range(_TRIES):
        try:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            os.symlink(target, temporary)
            os.rename(temporary, link)
        except (FileExistsError, FileNotFoundError) as error:  # another process came in between
            last: OSError = error
        except OSError as error:
            with suppress(OSError):  # the first error is the one to tell
                os.unlink(temporary)
            last = error
            break
        else:
            return
    raise RootLinkError(
        f"cannot make the link '{link}': {last.strerror or ''}", path=link
    ) from last


def check_root_link(link: str, store_dir: StoreDir) -> None:
    """Makes sure that `link` could become a root.

    Raises:
        RootLinkError: the place has something else than a symlink into the store; or its directory
            is missing or may not be written; or the link lies inside the store.
    """
    link = os.path.abspath(link)
    if store_dir.contains(link):
        raise RootLinkError(f"a root may not lie in the store: '{link}'", path=link)
    target = link_target(link)
    other = target is None or not store_dir.contains(os.path.join("/", target))
    if other and os.path.lexists(link):
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
    if not os.path.isdir(automatic):
        os.makedirs(automatic, exist_ok=True)
        give_to_owner(roots, automatic)
    name = nix32_encode(hashlib.sha1(os.fsencode(link)).digest())  # noqa: S324 - Nix's own name for it
    indirect = os.path.join(automatic, name)
    replace_symlink(indirect, link)
    give_to_owner(automatic, indirect)


def find_roots(
    store_dir: StoreDir, state_dir: str, on_unreadable: Callable[[str], object] | None = None
) -> Iterator[tuple[str, StorePath]]:
    """Finds the permanent roots below `gcroots` and `profiles`, as Nix's collector does.

    A link into the store is a root. A link to such a link makes that other one a root, wherever it
    is; nothing is followed further, and no link to a directory. So is a file with the name of a
    store path. Links that lead nowhere are left out and left alone.

    Args:
        on_unreadable: told of each place that this user may not read.

    Yields:
        The link that leads into the store, and the path, which need not be valid. A root that is
        found in two ways comes twice.

    Raises:
        StoreError: a directory cannot be read, for another reason than that this user may not.
    """
    for name in ("gcroots", "profiles"):
        yield from _find_roots(os.path.join(state_dir, name), store_dir, on_unreadable)


def find_stale_links(state_dir: str) -> list[tuple[str, str]]:
    """The indirect roots whose links are gone, which the collector is going to remove.

    Returns:
        The link below `gcroots/auto`, and the one that it leads to.
    """
    automatic = os.path.join(state_dir, "gcroots", "auto")
    found = []
    try:
        names = sorted(os.listdir(automatic))
    except OSError:
        return []
    for name in names:
        link = os.path.join(automatic, name)
        try:
            target = os.path.join(automatic, os.readlink(link))
            os.lstat(target)
        except (FileNotFoundError, NotADirectoryError):
            found.append((link, target))
        except OSError:
            continue  # no link, or its target is not readable
    return found


def _find_roots(
    place: str, store_dir: StoreDir, on_unreadable: Callable[[str], object] | None
) -> Iterator[tuple[str, StorePath]]:
    directories = [place]
    while directories:
        place = directories.pop()
        try:
            with os.scandir(place) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            _skip(place, error, on_unreadable)
            continue
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.path)
            else:
                yield from _root_at(entry, store_dir, on_unreadable)


def _root_at(
    entry: os.DirEntry[str], store_dir: StoreDir, on_unreadable: Callable[[str], object] | None
) -> Iterator[tuple[str, StorePath]]:
    link = entry.path
    try:
        if entry.is_file(follow_symlinks=False):
            yield link, StorePath(entry.name)
        if not entry.is_symlink():
            return
        target = os.readlink(link)
        # Nix looks at the text: a relative link into the store is no root.
        if not target.startswith(f"{store_dir}/"):
            link = os.path.normpath(os.path.join(os.path.dirname(link), target))
            if not _is_symlink(link, on_unreadable):
                return
            target = os.readlink(link)
        if target.startswith(f"{store_dir}/"):
            yield link, StorePath(target[len(store_dir) + 1 :].partition("/")[0])
    except BadStorePathError:
        return
    except OSError as error:
        _skip(link, error, on_unreadable)


def _is_symlink(link: str, on_unreadable: Callable[[str], object] | None) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(link).st_mode)
    except OSError as error:
        if error.errno == errno.EACCES and on_unreadable is not None:
            on_unreadable(link)
        return False


def _skip(place: str, error: OSError, on_unreadable: Callable[[str], object] | None) -> None:
    if error.errno == errno.EACCES and on_unreadable is not None:
        on_unreadable(place)
    if error.errno not in _LASTING_ERRORS:
        raise StoreError(
            f"cannot look for roots in '{place}': {error.strerror or ''}", path=place
        ) from error
    _log.info("cannot read potential root '%s'", place)
