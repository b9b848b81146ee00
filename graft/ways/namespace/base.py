"""The base packages of an FHS root: a shell, and the programs that scripts take to be everywhere.

Source: basePkgs in pkgs/build-support/build-fhsenv-bubblewrap/buildFHSEnv.nix of nixpkgs, for the
list; the packages of Guix and of Debian have other names.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from functools import cmp_to_key
from typing import Final

from graft.formats.drv_name import compare_versions
from graft.formats.package_range import version_of
from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.ways.namespace.composition import FhsPackage

# Each with the names it goes by: the first that the store has is taken.
_BASE: Final = (
    ("bash-interactive", "bash", "dash", "busybox"),
    ("coreutils", "coreutils-full", "busybox"),
    ("findutils",),
    ("diffutils",),
    ("gnugrep", "grep"),
    ("gnused", "sed"),
    ("gawk", "mawk"),
    ("gnutar", "tar"),
    ("gzip",),
    ("bzip2",),
    ("xz", "xz-utils"),
    ("less",),
)
# Behind the packages that others propagate, and before a C library that no ROOT has.
_PRIORITY: Final = 5_000.0
_KIND: Final = (4, 5, 18, 19)  # bytes of an ELF header: class, order of bytes, machine


def base_packages(store: LocalStore, roots: Iterable[StorePath]) -> list[FhsPackage]:
    """The newest of each base package that the store has, with priorities behind all others'.

    Args:
        roots: packages of the root: a base package that is among them is taken from there.
    """
    known: dict[str, list[StorePath]] = {}
    for path in store.valid_paths():
        if not path.is_derivation:
            known.setdefault(path.package_name, []).append(path)
    own = {path.package_name for path in roots}
    found: dict[StorePath, None] = {}
    for names in _BASE:
        if not own.isdisjoint(names):
            continue
        for name in names:
            newest = _newest(store, known.get(name, ()))
            if newest is not None:
                found[newest] = None
                break
    return [FhsPackage(path, _PRIORITY + at) for at, path in enumerate(found)]


def _newest(store: LocalStore, paths: Collection[StorePath]) -> StorePath | None:
    """The path of the newest version with programs for this machine."""
    order = cmp_to_key(compare_versions)
    for path in sorted(paths, key=lambda one: (order(version_of(one)), one), reverse=True):
        if any(_runs_here(file) for file in _programs(f"{store.tree(path)}/bin")):
            return path
    return None


def _programs(directory: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return  # an output without programs
    yield from (f"{directory}/{name}" for name in names)


def _runs_here(file: str) -> bool:
    """Whether a file is a program for machines such as this one."""
    own, other = _header("/proc/self/exe"), _header(file)
    return other[:4] == b"\x7fELF" and all(own[at : at + 1] == other[at : at + 1] for at in _KIND)


def _header(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(_KIND[-1] + 1)
    except OSError:
        return b""
