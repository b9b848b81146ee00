"""A root in the form of the Filesystem Hierarchy Standard, composed of packages.

The tree of symlinks is made in a temporary directory and bound. Given to bubblewrap as --symlink
options it would need no directory, but bubblewrap takes 9,000 arguments in all, arguments from
--args included: not even 3,000 links. The tree is small, as a directory that only one package has
is one link: its size is the size of the directories that several packages share.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from graft.errors import MountError
from graft.formats.store_path import StoreDir, StorePath
from graft.plan.closure import Closure
from graft.ways.namespace.composition import (
    HOST,
    FhsPackage,
    compose,
    machine_files,
    view_with_machine,
)
from graft.ways.namespace.loader import (
    cache_of,
    cache_place,
    loader_name,
    narrow_loader_name,
)
from graft.ways.namespace.machine import machine_options, room_options
from graft.ways.namespace.mount import Mount
from graft.ways.namespace.union import make_tree
from graft.ways.namespace.view import View

# Entries of the root, each with the target of its link.
_ROOT_LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib",
    "lib32": "usr/lib32",
    "libx32": "usr/libx32",
    "share": "usr/share",
}

_LOCALE_ARCHIVE = "/usr/lib/locale/locale-archive"

PROFILE_SCRIPT = f"{HOST}/profile-script"
"""Where the file of --profile-script is seen inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FhsRoot:
    """An FHS root whose tree has been made.

    Attributes:
        mount: the store it is composed of.
        directory: where the tree lies on the machine.
        caches: where the loaders look for their caches; nothing without a loader that has one.
        c_libraries: the C libraries of the closure, if no package has a loader; the first one is
            taken.
    """

    mount: Mount
    directory: str
    caches: tuple[str, ...]
    c_libraries: tuple[StorePath, ...]

    @classmethod
    def make(
        cls, mount: Mount, closure: Closure, packages: Sequence[FhsPackage], directory: str
    ) -> Self:
        """Composes a root.

        Args:
            mount: the store.
            closure: the closure of the packages and of every NEW.
            packages: the packages it is composed of, together with the ones they propagate to the
                user.
            directory: where its tree is made; there, and empty.

        Raises:
            PackageCollisionError: two packages have different files for one place.
            MountError: a package is no directory.
        """
        tree, c_libraries = compose(mount, closure, packages)
        make_tree(tree, directory)
        store_dir = mount.location.store_dir
        if store_dir.split("/")[1] in ("usr", "etc"):
            os.makedirs(directory + store_dir, exist_ok=True)
        root = cls(mount=mount, directory=directory, caches=(), c_libraries=c_libraries)
        return replace(root, caches=tuple(root._make_caches()))

    @property
    def view(self) -> View:
        """The meaning of paths inside."""
        places = view_with_machine(self.mount.view).places
        places |= {f"/{name}": f"{self.directory}/{name}" for name in ("usr", "etc")}
        places |= {f"/{name}": f"{self.directory}/{to}" for name, to in _ROOT_LINKS.items()}
        return View(places)

    @property
    def missing_loader(self) -> str | None:
        """The loader of this machine's programs, if the root lacks it."""
        name = loader_name()
        return None if name is None or self.view.exists(f"/usr/lib/{name}") else name

    def options(self, *, profile_script: str | None = None) -> list[str]:
        """The options of bubblewrap.

        Args:
            profile_script: a file to be seen as PROFILE_SCRIPT.
        """
        mount = self.mount
        points, room = [mount.location.store_dir], []
        for cache in self.caches:
            if cache.startswith("/etc/"):
                continue
            if mount.location.store_dir.contains(cache):
                room += room_options(cache, mount.view)
            else:
                points.append(StoreDir(cache))
            room += ["--ro-bind", f"{self.directory}/ld.so.cache", cache]
        composed = ("usr", "etc", HOST.strip("/"), *_ROOT_LINKS)
        options = machine_options(points, without=composed, whole=False)
        for name in ("usr", "etc"):
            options += ["--ro-bind", f"{self.directory}/{name}", f"/{name}"]
        for name, target in _ROOT_LINKS.items():
            options += ["--symlink", target, f"/{name}"]
        for path in machine_files():
            options += ["--ro-bind-try", path, f"{HOST}{path}"]
        options += [*mount.store_options(), *room]
        if profile_script is not None:
            options += ["--ro-bind", profile_script, PROFILE_SCRIPT]
        return options

    def environment(self, outside: Mapping[str, str]) -> dict[str, str]:
        """The environment of programs inside, made from the machine's."""
        found = dict(outside)
        paths = ["/usr/bin", "/usr/sbin", *filter(None, outside.get("PATH", "").split(os.pathsep))]
        found["PATH"] = os.pathsep.join(dict.fromkeys(paths))
        if outside.get("XDG_DATA_DIRS"):
            found["XDG_DATA_DIRS"] = f"{outside['XDG_DATA_DIRS']}:/usr/share"
        if self.view.exists(_LOCALE_ARCHIVE):
            found["LOCALE_ARCHIVE"] = _LOCALE_ARCHIVE  # where glibc of nixpkgs looks first
        return found

    @property
    def shell(self) -> str:
        """The shell of the root.

        Raises:
            MountError: it has no shell.
        """
        for shell in ("/bin/bash", "/bin/sh"):
            if os.path.isfile(self.view.outside(shell)):
                return shell
        raise MountError(
            "the composed root has no /bin/sh: add a package with a shell to the ROOTs, or give "
            "--base if the store has one"
        )

    def with_profile(self, program: Sequence[str]) -> list[str]:
        """The program, started by a shell of the root's that sources PROFILE_SCRIPT first.

        Raises:
            MountError: the root has no shell.
        """
        # Words of the text: a script that is sourced may set "$@" to something else.
        return [self.shell, "-c", f'. "$0"; exec {shlex.join(program)}', PROFILE_SCRIPT]

    def _make_caches(self) -> Iterator[str]:
        """Writes the loaders' cache into the tree, and says where the loaders look for it.

        Each entry of a cache tells which kind of programs it is for: one cache serves all.
        """
        view = self.view
        places = []
        for loader in filter(None, (loader_name(), narrow_loader_name())):
            path = view.outside(f"/usr/lib/{loader}")
            if os.path.isfile(path) and (place := cache_place(path)) is not None:
                places.append(place)
        if not places:
            return
        libraries = f"{self.directory}/usr/lib"
        triplets = sorted(name for name in os.listdir(libraries) if "-linux-" in name)
        narrow = sorted(name for name in os.listdir(f"{libraries}32") if "-linux-" in name)
        directories = [
            "/usr/lib",
            *(f"/usr/lib/{name}" for name in triplets if view.is_directory(f"/usr/lib/{name}")),
            "/usr/lib32",
            *(f"/usr/lib32/{name}" for name in narrow if view.is_directory(f"/usr/lib32/{name}")),
            "/usr/libx32",
        ]
        contents = cache_of(directories, view)
        for place in dict.fromkeys(places):
            own = place if place.startswith("/etc/") else "/ld.so.cache"
            if os.path.lexists(self.directory + own):
                os.unlink(self.directory + own)
            with open(self.directory + own, "wb") as stream:
                stream.write(contents)
            yield place
