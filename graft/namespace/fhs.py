"""A root in the form of the Filesystem Hierarchy Standard, composed of packages.

The tree of symlinks is made in a temporary directory and bound. Given to bubblewrap as --symlink
options it would need no directory, but bubblewrap takes 9,000 arguments in all, those from --args
included: not even 3,000 links. The tree is small, as a directory that only one package has is one
link: its size is that of the directories that several packages share.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from graft.closure import Closure
from graft.errors import MountError
from graft.formats.store_path import StoreDir, StorePath
from graft.namespace.loader import cache_of, cache_place, loader_name
from graft.namespace.machine import machine_options, room_options
from graft.namespace.mount import Mount
from graft.namespace.union import Link, Union, make_tree
from graft.namespace.view import View

DEFAULT_PRIORITY = 5
"""Of a package of which nothing else is said, as in Nix's profiles."""

# As in Nix's buildenv.cc: what packages ask for besides themselves collides with nothing.
_PROPAGATED_PRIORITY = 1000
_C_LIBRARY_PRIORITY = 10_000.0
_MACHINE_PRIORITY = float("inf")

_LOCALE_ARCHIVE = "/usr/lib/locale/locale-archive"

# Programs ask for their loader in /lib or /lib64 as their ABI says, and packages of Nix have all in
# lib: one directory serves both.
_PLACES = {"lib64": "lib"}
_IN_USR = ("bin", "sbin", "lib", "lib64", "lib32", "libx32", "libexec", "include", "share", "games")
# Entries of the root, and what each is a link to.
_ROOT_LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib",
    "lib32": "usr/lib32",
    "libx32": "usr/libx32",
    "share": "usr/share",
}
_MADE = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib32", "usr/libx32", "usr/share")

# What of the machine's own files programs need; after nixpkgs' buildFHSEnv. Not the machine's
# ld.so.conf, profile or alternatives: those speak of the /usr that is not there.
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
# Where links of the machine's /etc lead to.
_MACHINE_USR = ("lib/os-release", "share/ca-certificates", "share/zoneinfo")
_HOST = "/.host"
PROFILE_SCRIPT = f"{_HOST}/profile-script"
"""Where the file of --profile-script is seen inside."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package of an FHS root, with its priority; of two, the lower number is taken."""

    path: StorePath
    priority: float = DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class FhsRoot:
    """An FHS root whose tree has been made.

    Attributes:
        mount: the store it is composed of.
        directory: where the tree lies on the machine.
        cache: where the loader looks for its cache; None without a loader that has one.
        c_libraries: those of the closure, if no package has a loader; the first one is taken.
    """

    mount: Mount
    directory: str
    cache: str | None
    c_libraries: tuple[StorePath, ...]

    @classmethod
    def make(
        cls, mount: Mount, closure: Closure, packages: Sequence[Package], directory: str
    ) -> Self:
        """Composes a root.

        Args:
            mount: the store.
            closure: of the packages, and of every NEW.
            packages: what it is composed of, together with what they propagate to the user.
            directory: where its tree is made; there, and empty.

        Raises:
            PackageCollisionError: two packages have different files for one place.
            MountError: a package is no directory.
        """
        view = mount.view
        union = Union(view_with_machine(view))
        store_dir = mount.location.store_dir
        for package in _with_propagated(packages, view, store_dir):
            _add_package(union, view, store_dir.path(package.path), package.priority)
        c_libraries: tuple[StorePath, ...] = ()
        name = loader_name()
        if name is not None and name not in union.top.below("usr/lib").entries:
            c_libraries = _c_libraries(closure, mount, name)
            for path in c_libraries[:1]:
                _add_package(union, view, store_dir.path(path), _C_LIBRARY_PRIORITY)
        programs = union.top.below("usr/bin").entries
        for shell in ("bash", "dash"):
            if "sh" not in programs and shell in programs:
                programs["sh"] = programs[shell]
        _add_machine(union)
        for place in _MADE:
            union.top.below(place)
        make_tree(union.top, directory)
        if store_dir.split("/")[1] in ("usr", "etc"):
            os.makedirs(directory + store_dir, exist_ok=True)
        root = cls(mount=mount, directory=directory, cache=None, c_libraries=c_libraries)
        return replace(root, cache=root._make_cache(name))

    @property
    def view(self) -> View:
        """What paths mean inside."""
        places = view_with_machine(self.mount.view).places
        places |= {f"/{name}": f"{self.directory}/{name}" for name in ("usr", "etc")}
        places |= {f"/{name}": f"{self.directory}/{to}" for name, to in _ROOT_LINKS.items()}
        return View(places)

    def options(self, *, profile_script: str | None = None) -> list[str]:
        """The options of bubblewrap.

        Args:
            profile_script: a file to be seen as PROFILE_SCRIPT.
        """
        mount, cache = self.mount, self.cache
        points, room = [mount.location.store_dir], []
        if cache is not None and not cache.startswith("/etc/"):
            if mount.location.store_dir.contains(cache):
                room = room_options(cache, mount.view)
            else:
                points.append(StoreDir(cache))
            room += ["--ro-bind", f"{self.directory}/ld.so.cache", cache]
        composed = ("usr", "etc", _HOST.strip("/"), *_ROOT_LINKS)
        options = machine_options(points, without=composed, whole=False)
        for name in ("usr", "etc"):
            options += ["--ro-bind", f"{self.directory}/{name}", f"/{name}"]
        for name, target in _ROOT_LINKS.items():
            options += ["--symlink", target, f"/{name}"]
        for path in ("/etc", *(f"/usr/{name}" for name in _MACHINE_USR)):
            options += ["--ro-bind-try", path, f"{_HOST}{path}"]
        options += [*mount.store_options(), *room]
        if profile_script is not None:
            options += ["--ro-bind", profile_script, PROFILE_SCRIPT]
        return options

    def environment(self, outside: Mapping[str, str]) -> dict[str, str]:
        """The environment of programs inside, made from that of the machine's."""
        found = dict(outside)
        paths = ["/usr/bin", "/usr/sbin", *filter(None, outside.get("PATH", "").split(os.pathsep))]
        found["PATH"] = os.pathsep.join(dict.fromkeys(paths))
        if outside.get("XDG_DATA_DIRS"):
            found["XDG_DATA_DIRS"] = f"{outside['XDG_DATA_DIRS']}:/usr/share"
        if self.view.exists(_LOCALE_ARCHIVE):
            found["LOCALE_ARCHIVE"] = _LOCALE_ARCHIVE  # where glibc of nixpkgs looks first
        return found

    def with_profile(self, program: Sequence[str]) -> list[str]:
        """The program, started by a shell of the root's that sources PROFILE_SCRIPT first.

        Raises:
            MountError: the root has no shell.
        """
        for shell in ("/bin/bash", "/bin/sh"):
            if os.path.isfile(self.view.outside(shell)):
                # Words of the text: a script that is sourced may set "$@" to something else.
                return [shell, "-c", f'. "$0"; exec {shlex.join(program)}', PROFILE_SCRIPT]
        raise MountError(
            "the composed root has no /bin/sh that could source the profile script: add a package "
            "with a shell to the ROOTs"
        )

    def _make_cache(self, loader: str | None) -> str | None:
        """Writes the loader's cache into the tree, and says where the loader looks for it."""
        view = self.view
        path = None if loader is None else view.outside(f"/usr/lib/{loader}")
        if path is None or not os.path.isfile(path) or (place := cache_place(path)) is None:
            return None
        libraries = f"{self.directory}/usr/lib"
        triplets = sorted(name for name in os.listdir(libraries) if "-linux-" in name)
        directories = [
            "/usr/lib",
            *(f"/usr/lib/{name}" for name in triplets if view.is_directory(f"/usr/lib/{name}")),
            "/usr/lib32",
            "/usr/libx32",
        ]
        own = place if place.startswith("/etc/") else "/ld.so.cache"
        if os.path.lexists(self.directory + own):
            os.unlink(self.directory + own)
        with open(self.directory + own, "wb") as stream:
            stream.write(cache_of(directories, view))
        return place


def view_with_machine(view: View) -> View:
    """A view in which the machine's own files are seen as in an FHS root."""
    return View({**view.places, _HOST: ""})


def _with_propagated(packages: Iterable[Package], view: View, store_dir: StoreDir) -> list[Package]:
    """The packages in the order of their priorities, then those that they propagate.

    Source: `nix-support/propagated-user-env-packages`, full paths between white space.
    """
    found = {package.path: package for package in sorted(packages, key=lambda each: each.priority)}
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
                    found[propagated] = Package(propagated, priority)
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
                union.add(Link(source, priority), f"usr/{_PLACES.get(name, name)}")
            elif name == "etc" and view.is_directory(source):
                union.add(Link(source, priority), "etc")


def _add_machine(union: Union) -> None:
    """Lays the machine's own files below all others."""
    etc = union.top.below("etc")
    for name in sorted(_MACHINE_ETC):
        path = f"/etc/{name}"
        if os.path.islink(path):
            # It leads to the same place inside: /run is the machine's, and so are _MACHINE_USR.
            etc.entries.setdefault(name, Link(os.readlink(path), _MACHINE_PRIORITY))
        elif os.path.exists(path) and (name not in etc.entries or os.path.isdir(path)):
            union.put(etc, Link(_HOST + path, _MACHINE_PRIORITY), f"etc/{name}")
    for name in _MACHINE_USR:
        directory, _, base = name.rpartition("/")
        if os.path.exists(f"/usr/{name}"):
            entries = union.top.below(f"usr/{directory}").entries
            entries.setdefault(base, Link(f"{_HOST}/usr/{name}", _MACHINE_PRIORITY))


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
