"""The parts of an FHS root: packages, the packages they ask for, and the machine's own files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from graft.errors import MountError
from graft.formats.store_path import StoreDir, StorePath
from graft.plan.closure import Closure
from graft.ways.namespace.loader import is_narrow, loader_name, narrow_loader_name
from graft.ways.namespace.mount import Mount
from graft.ways.namespace.union import Union, UnionDirectory, UnionLink
from graft.ways.namespace.view import View

DEFAULT_PRIORITY: Final = 5
"""The priority of a package without a stated one, as in Nix's profiles."""

# As in Nix's buildenv.cc: packages that others propagate collide with nothing.
_PROPAGATED_PRIORITY = 1000
_C_LIBRARY_PRIORITY = 10_000.0
_MACHINE_PRIORITY = float("inf")

# Programs ask for their loader in /lib or /lib64 as their ABI says, and packages of Nix have all in
# lib: one directory serves both.
_PLACES = {"lib64": "lib"}
_IN_USR = ("bin", "sbin", "lib", "lib64", "lib32", "libx32", "libexec", "include", "share", "games")
_MADE = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib32", "usr/libx32", "usr/share")

# The files of the machine's own /etc that programs need; after nixpkgs' buildFHSEnv. Not the
# machine's ld.so.conf, profile or alternatives: they speak of the /usr that is not there.
_MACHINE_ETC = frozenset(
    """
    X11 adjtime alsa asound.conf ca-certificates ca-certificates.conf crypto-policies default
    dbus-1 egl ethers fonts fuse.conf gai.conf glvnd group gshadow host.conf hostname hosts
    krb5.conf krb5.conf.d locale.conf localtime login.defs machine-id mailcap
    mime.types mtab netgroup networks nix nsswitch.conf os-release pam.d passwd pki protocols pulse
    resolv.conf rpc services shadow shells ssl static subgid subuid sudoers sudoers.d terminfo
    timezone vulkan xdg zoneinfo
""".split()  # noqa: SIM905 - a list of words is read more easily
)
MACHINE_USR: Final = ("lib/os-release", "share/ca-certificates", "share/zoneinfo")
"""Entries of the machine's /usr that stand at the same place inside; links of its /etc lead there.
"""
HOST: Final = "/.host"
"""Where the machine's own /etc, and the needed part of its /usr, are seen inside."""


def machine_files() -> list[str]:
    """The paths of the machine that are shown below HOST."""
    links = [f"/etc/{name}" for name in _MACHINE_ETC if os.path.islink(f"/etc/{name}")]
    targets = {_target_inside(link) for link in links}
    needed = {target.removeprefix(HOST) for target in targets if target.startswith(f"{HOST}/usr/")}
    return ["/etc", *(f"/usr/{name}" for name in MACHINE_USR), *sorted(needed)]


@dataclass(frozen=True, slots=True)
class FhsPackage:
    """A package of an FHS root, with its priority; the lower number wins."""

    path: StorePath
    priority: float = DEFAULT_PRIORITY


def compose(
    mount: Mount, closure: Closure, packages: Sequence[FhsPackage]
) -> tuple[UnionDirectory, tuple[StorePath, ...]]:
    """The tree of /usr and /etc, and the C libraries of the closure, if no package has a loader.

    The first of these libraries is then part of the tree.

    Args:
        mount: the store.
        closure: the closure of the packages and of every NEW.
        packages: the packages it is composed of, together with the ones they propagate to the user.

    Raises:
        PackageCollisionError: two packages have different files for one place.
        MountError: a package is no directory.
    """
    view, store_dir = mount.view, mount.location.store_dir
    union = Union(view_with_machine(view))
    for package in _with_propagated(packages, view, store_dir):
        _add_package(union, view, store_dir.path(package.path), package.priority)
    c_libraries: tuple[StorePath, ...] = ()
    name = loader_name()
    if name is not None and name not in union.top.below("usr/lib").entries:
        c_libraries = _c_libraries(closure, mount, name)
        for path in c_libraries[:1]:
            _add_package(union, view, store_dir.path(path), _C_LIBRARY_PRIORITY)
    _add_narrow_loader(union)
    programs = union.top.below("usr/bin").entries
    for shell in ("bash", "dash"):
        if "sh" not in programs and shell in programs:
            programs["sh"] = programs[shell]
    _add_machine(union)
    for place in _MADE:
        union.top.below(place)
    return union.top, c_libraries


def view_with_machine(view: View) -> View:
    """A view in which the machine's own files are seen as in an FHS root."""
    return View({**view.places, HOST: ""})


def _with_propagated(
    packages: Iterable[FhsPackage], view: View, store_dir: StoreDir
) -> list[FhsPackage]:
    """The packages in the order of their priorities, then the packages that they propagate.

    Source: `nix-support/propagated-user-env-packages`, full paths between white space.
    """
    found: dict[StorePath, FhsPackage] = {}
    for package in sorted(packages, key=lambda each: each.priority):
        found.setdefault(package.path, package)
    waiting = list(found)
    for path in waiting:
        file = view.outside(f"{store_dir.path(path)}/nix-support/propagated-user-env-packages")
        if not os.path.isfile(file):
            continue
        with open(file, encoding="utf-8", errors="replace") as stream:
            for text in stream.read().split():
                propagated = store_dir.first_path(text)
                if propagated not in found:
                    priority = _PROPAGATED_PRIORITY + len(found)
                    found[propagated] = FhsPackage(propagated, priority)
                    waiting.append(propagated)
    return list(found.values())


def _add_package(union: Union, view: View, package: str, priority: float) -> None:
    """Lays a package's directories into /usr and /etc; others have no place in such a root."""
    if not view.is_directory(package):
        raise MountError(
            f"'{package}' is a file: an FHS root is composed of packages, which are directories",
            path=package,
        )
    # A NixOS system has its packages in sw, and Debian's are made for a root.
    for parent in (package, f"{package}/usr", f"{package}/sw"):
        if not view.is_directory(parent):
            continue
        for name in sorted(os.listdir(view.outside(parent))):
            source = f"{parent}/{name}"
            if name in _IN_USR and view.is_directory(source):
                place = _PLACES.get(name, name)
                if place == "lib" and is_narrow(view.outside(source)):
                    place = "lib32"
                union.add(UnionLink(source, priority), f"usr/{place}")
            elif name == "etc" and view.is_directory(source):
                union.add(UnionLink(source, priority), "etc")


def _add_narrow_loader(union: Union) -> None:
    """Has 32-bit programs find their loader in /lib, where they ask for it."""
    name = narrow_loader_name()
    loader = union.top.below("usr/lib32").entries.get(name or "")
    if name is not None and isinstance(loader, UnionLink):
        union.top.below("usr/lib").entries.setdefault(name, loader)


def _add_machine(union: Union) -> None:
    """Lays the machine's own files below all others."""
    etc = union.top.below("etc")
    for name in sorted(_MACHINE_ETC):
        path = f"/etc/{name}"
        if os.path.islink(path):
            etc.entries.setdefault(name, UnionLink(_target_inside(path), _MACHINE_PRIORITY))
        elif os.path.exists(path) and (name not in etc.entries or os.path.isdir(path)):
            union.put(etc, UnionLink(HOST + path, _MACHINE_PRIORITY), f"etc/{name}")
    for name in MACHINE_USR:
        directory, _, base = name.rpartition("/")
        if os.path.exists(f"/usr/{name}"):
            entries = union.top.below(f"usr/{directory}").entries
            entries.setdefault(base, UnionLink(f"{HOST}/usr/{name}", _MACHINE_PRIORITY))


def _target_inside(link: str) -> str:
    """The target that a link of the machine's /etc has inside.

    Most links lead to the same place there: /run is the machine's, and so are MACHINE_USR and the
    shown part of /etc. Any other link is followed to its end on the machine.
    """
    target = os.readlink(link)
    path = os.path.normpath(os.path.join(os.path.dirname(link), target))
    top, _, rest = path.lstrip("/").partition("/")
    shown = top not in {"etc", "usr", *_IN_USR}
    shown |= top == "etc" and rest.partition("/")[0] in _MACHINE_ETC
    shown |= top == "usr" and any(f"{rest}/".startswith(f"{name}/") for name in MACHINE_USR)
    if shown or not os.path.exists(link):
        return target
    end = os.path.realpath(link)
    return end if end.split("/")[1] not in {"etc", "usr"} else HOST + end


def _c_libraries(closure: Closure, mount: Mount, loader: str) -> tuple[StorePath, ...]:
    """The packages of a closure that a loader lies in, the one most others refer to first."""
    store_dir, real = mount.location.store_dir, mount.location.real_store_dir
    found = [
        path
        for path in sorted(closure.infos.keys() - mount.over.keys())
        if any(
            os.path.lexists(f"{real}/{path}/{directory}/{loader}")
            and mount.view.outside(f"{store_dir.path(path)}/{directory}/{loader}").startswith(
                f"{real}/{path}/"
            )
            for directory in ("lib", "lib64")
        )
    ]
    referring = dict.fromkeys(found, 0)
    for path in closure.infos:
        for reference in closure.references(path):
            if reference in referring:
                referring[reference] += 1
    return tuple(sorted(found, key=lambda path: -referring[path]))
