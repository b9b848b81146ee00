"""All that keeps store paths alive or at work on a machine: systems, generations, links, processes.

Source: findRoots in src/libstore of Nix; nixos/modules of nixpkgs for `/run/current-system` and
`/run/booted-system`, and for containers (virtualisation/nixos-containers.nix); Nix manual,
"Profiles", for profiles in home directories.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from graft.errors import BadStorePathError
from graft.formats.store_path import StorePath
from graft.machine.originals import is_kept_original
from graft.machine.processes import Process, find_kernel_roots, find_processes
from graft.plan.nixos_system import find_specialisations
from graft.store.local import LocalStore
from graft.store.local_store.temporary_roots import find_temporary_roots
from graft.store.location import Location
from graft.store.roots.profile import Profile, find_profiles, profile_of_generation
from graft.store.roots.roots import find_roots, find_stale_links

RootKind = Literal[
    "process",
    "current-system",
    "booted-system",
    "generation",
    "container",
    "specialisation",
    "link",
    "original",
    "temporary",
    "kernel",
]
"""The kind of a root. `container` is a declared container's system, `link` any other root of the
collector's. `original` is a root of graft's own, which keeps the original of a graft; nothing runs
from it. `temporary` is a path in the store that a process is at work on, `kernel` a path that the
kernel would start.
"""

_SYSTEMS: Final[dict[RootKind, str]] = {
    "current-system": "run/current-system",
    "booted-system": "run/booted-system",
}
_DEFAULT_DIRS: Final = {("/nix/store", "/nix/var/nix"), ("/gnu/store", "/var/guix")}
_USER_PROFILES: Final = ".local/state/nix/profiles"
# Since 22.05, and before.
_CONTAINERS: Final = ("var/lib/nixos-containers", "var/lib/containers")
_CONTAINER_SETTINGS: Final = ("etc/nixos-containers", "etc/containers")
_SYSTEM_PATH: Final = re.compile(r"^SYSTEM_PATH=[\"']?([^\"'\n]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One root, and the paths it holds itself.

    Attributes:
        place: its link; of a process its directory in /proc.
        paths: one path, except for processes and their temporary roots; valid or not.
        current: whether it is in force: neither an old generation nor the system once booted.
        profile: the profile of a generation, or of a generation's specialisation.
        number: the generation's number.
        time: when the generation was made, in seconds since 1970.
        name: the name of a specialisation or a container.
        process: the process of a root of kind `process`.
    """

    kind: RootKind
    place: str
    paths: tuple[StorePath, ...]
    current: bool = True
    profile: str | None = None
    number: int | None = None
    time: int | None = None
    name: str | None = None
    process: Process | None = None

    @property
    def in_force(self) -> bool:
        """Whether something runs from it, or starts from it: the booted system, too."""
        return self.current or self.kind == "booted-system"

    @property
    def lasting(self) -> bool:
        """Whether it is a link, that leads somewhere else when a graft has been made."""
        return self.kind not in _PASSING


_PASSING: Final[Collection[RootKind]] = ("process", "temporary", "kernel")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRoots:
    """All roots of a store.

    Attributes:
        roots: in no order.
        stale: links of the collector's that lead nowhere any more, and where they led.
        unreadable_processes: how many this user may not look at, or not wholly.
        unreadable_places: links and directories that this user may not read.
    """

    roots: tuple[Root, ...]
    stale: dict[str, str] = field(default_factory=dict)
    unreadable_processes: int = 0
    unreadable_places: tuple[str, ...] = ()


def current_roots(store: LocalStore, environment: Mapping[str, str]) -> list[Root]:
    """The roots in force: current generations, links, and the roots that depend on one of these.

    Errors as of `find_machine_roots`.
    """
    found = find_machine_roots(store, environment, processes=False)
    return [root for root in found.roots if root.current]


def find_machine_roots(
    store: LocalStore, environment: Mapping[str, str] | None = None, *, processes: bool = True
) -> MachineRoots:
    """Finds all roots.

    Some places are outside of a store's own directories, such as `/run` and the home directories.
    They are looked at for the machine's own store, and for a store at a root below that root.

    Args:
        environment: XDG_STATE_HOME is looked up, for the machine's own store.
        processes: whether to look at running processes.

    Raises:
        StoreError: the collector's roots cannot be read, for another reason than that this user
            may not.
    """
    unreadable: set[str] = set()
    finding = _Finding(store, unreadable.add)
    found = [*finding.systems(), *finding.generations(environment or {}), *finding.containers()]
    found += [root for one in found for root in finding.specialisations(one)]
    found += finding.links()
    unreadable_processes = 0
    if processes:
        location = store.location
        running = find_processes(location.store_dir, location.real_store_dir)
        unreadable_processes = running.unreadable
        found += [_of_process(process) for process in running.found]
        found += [
            Root(kind="temporary", place=f"/proc/{pid}", paths=tuple(sorted(paths)))
            for pid, paths in find_temporary_roots(store.store_dir, location.state_dir).items()
        ]
        found += [
            Root(kind="kernel", place=file, paths=(path,))
            for file, path in find_kernel_roots(store.store_dir).items()
        ]
    valid = store.path_infos({path for root in found for path in root.paths if root.lasting})
    stale = dict(find_stale_links(store.location.state_dir))
    stale |= {
        root.place: store.store_dir.path(root.paths[0])
        for root in found
        if root.lasting and root.paths[0] not in valid
    }
    return MachineRoots(
        roots=tuple(root for root in found if not root.lasting or root.paths[0] in valid),
        stale=dict(sorted(stale.items())),
        unreadable_processes=unreadable_processes,
        unreadable_places=tuple(sorted(unreadable)),
    )


class _Finding:
    """The search for lasting roots of one store."""

    def __init__(self, store: LocalStore, on_unreadable: Callable[[str], object]) -> None:
        self._store_dir = store.store_dir
        self._location = store.location
        self._on_unreadable = on_unreadable
        self._top = machine_of(store.location)
        self._links = list(find_roots(store.store_dir, store.location.state_dir, on_unreadable))
        self._resolved = _Resolved()
        self._seen: set[str] = set()

    def systems(self) -> Iterator[Root]:
        """The system that runs, and the one that was booted."""
        if self._top is None:
            return
        for kind, place in _SYSTEMS.items():
            link = os.path.join(self._top, place)
            path = self._led_to(link)
            if path is not None and self._is_new(link):
                yield Root(kind=kind, place=link, paths=(path,), current=kind == "current-system")

    def generations(self, environment: Mapping[str, str]) -> Iterator[Root]:
        """The generations of all profiles."""
        for place in self._profile_places(environment):
            for profile in find_profiles(place, self._store_dir, self._on_unreadable):
                yield from self._generations_of(profile)
        # Profiles anywhere else are found by the links that keep their generations.
        for link, _ in self._links:
            if self._resolved(link) not in self._seen:
                found = profile_of_generation(link, self._store_dir)
                if found is not None:
                    yield from self._generations_of(found)

    def _profile_places(self, environment: Mapping[str, str]) -> list[str]:
        places = [os.path.join(self._location.state_dir, "profiles")]
        if self._top is not None:
            homes = _homes(self._top, own=self._top == "/")
            for container in self._container_trees():
                homes += _homes(container, own=False)
            places += [os.path.join(home, _USER_PROFILES) for home in homes]
            if self._top == "/" and (state := environment.get("XDG_STATE_HOME")):
                places.append(os.path.join(state, "nix/profiles"))
        return sorted(set(map(os.path.realpath, places)))

    def _generations_of(self, profile: Profile) -> Iterator[Root]:
        current = profile.current
        for generation in profile.generations():
            path = self._path_in(generation.target)
            if path is not None and self._is_new(generation.link):
                yield Root(
                    kind="generation",
                    place=generation.link,
                    paths=(path,),
                    current=generation.number == current,
                    profile=profile.path,
                    number=generation.number,
                    time=generation.time,
                )

    def containers(self) -> Iterator[Root]:
        """The systems of the containers that a NixOS configuration declares.

        The system of any other container has a profile.
        """
        for directory in self._below_top(_CONTAINER_SETTINGS):
            for name in _listed(directory, self._on_unreadable):
                file = os.path.join(directory, name)
                if not name.endswith(".conf"):
                    continue
                try:
                    with open(file, encoding="utf-8", errors="surrogateescape") as stream:
                        match = _SYSTEM_PATH.search(stream.read())
                except OSError:
                    continue
                path = self._path_in(match[1]) if match is not None else None
                if path is not None:
                    yield Root(
                        kind="container",
                        place=file,
                        paths=(path,),
                        name=name.removesuffix(".conf"),
                    )

    def _container_trees(self) -> Iterator[str]:
        for directory in self._below_top(_CONTAINERS):
            for name in _listed(directory, self._on_unreadable):
                yield os.path.join(directory, name)

    def _below_top(self, places: tuple[str, ...]) -> list[str]:
        return [os.path.join(self._top, place) for place in places] if self._top else []

    def specialisations(self, root: Root) -> Iterator[Root]:
        """The specialisations of a system, or of a generation of home-manager."""
        tree = f"{self._location.real_store_dir}/{root.paths[0]}"
        for name, path in find_specialisations(tree, self._store_dir).items():
            yield Root(
                kind="specialisation",
                place=os.path.join(root.place, "specialisation", name),
                paths=(path,),
                current=root.current,
                profile=root.profile,
                number=root.number,
                time=root.time,
                name=name,
            )

    def links(self) -> Iterator[Root]:
        """The collector's roots that have not been found as something else."""
        for link, path in self._links:
            if self._is_new(link):
                kept = is_kept_original(link)
                kind: RootKind = "original" if kept else "link"
                yield Root(kind=kind, place=link, paths=(path,), current=not kept)

    def _is_new(self, link: str) -> bool:
        """Whether a link has not been found yet, on any way."""
        real = self._resolved(link)
        new = real not in self._seen
        self._seen.add(real)
        return new

    def _led_to(self, link: str) -> StorePath | None:
        try:
            return self._path_in(os.readlink(link))
        except OSError:
            return None

    def _path_in(self, target: str) -> StorePath | None:
        if target.startswith(f"{self._location.real_store_dir}/"):
            target = self._store_dir + target[len(self._location.real_store_dir) :]
        try:
            return self._store_dir.first_path(target)
        except BadStorePathError:
            return None


class _Resolved:
    """The real places of links, behind all links to their directories."""

    def __init__(self) -> None:
        self._directories: dict[str, str] = {}

    def __call__(self, link: str) -> str:
        directory, name = os.path.split(link)
        if directory not in self._directories:
            self._directories[directory] = os.path.realpath(directory)
        return os.path.join(self._directories[directory], name)


def machine_of(location: Location) -> str | None:
    """The root directory of the machine whose own store this is, if it is one's."""
    if location.real_store_dir != location.store_dir:
        return location.real_store_dir.removesuffix(location.store_dir) or "/"
    directories = (location.store_dir, location.state_dir)
    return "/" if directories in _DEFAULT_DIRS else None


def _homes(top: str, *, own: bool) -> list[str]:
    """The home directories of a machine, or of a container's tree.

    Args:
        own: it is this machine, whose users may come from elsewhere than a file.
    """
    homes = set()
    if own:
        homes = {user.pw_dir for user in pwd.getpwall()}
    else:
        try:
            with open(os.path.join(top, "etc/passwd"), encoding="utf-8", errors="replace") as file:
                lines = [line.rstrip("\n").split(":") for line in file]
            homes = {fields[5] for fields in lines if len(fields) > 5}
        except OSError:
            homes = {"/root"}
    # A directory service need not list its users.
    homes |= {f"/home/{name}" for name in _listed(os.path.join(top, "home"))}
    return sorted({os.path.join(top, home.lstrip("/")) for home in homes})


def _listed(directory: str, on_unreadable: Callable[[str], object] | None = None) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except PermissionError:
        if on_unreadable is not None:
            on_unreadable(directory)
        return []
    except OSError:
        return []


def _of_process(process: Process) -> Root:
    return Root(
        kind="process",
        place=f"/proc/{process.pid}",
        paths=tuple(sorted(process.uses)),
        process=process,
    )
