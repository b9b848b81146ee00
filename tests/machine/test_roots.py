"""All that keeps paths on a machine: systems, profiles of everybody, containers, links."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.machine.roots import (
    MachineRoots,
    Root,
    current_roots,
    find_machine_roots,
    machine_of,
)
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.nixos_systems import add_system
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.running import add_program, running
from tests.store.printed_roots import printed_roots
from tests.store_objects import add_object, new_store, opened


@dataclass(frozen=True)
class Machine:
    """A machine below a directory, with a path for each link that a test makes."""

    top: Path
    store: LocalStore

    @classmethod
    def at(cls, directory: Path) -> Machine:
        location = Location.at_root(str(directory / "machine"))
        LocalStore.create(location)
        return cls(directory / "machine", opened(location))

    def link(self, place: str, path: StorePath) -> None:
        link = self.top / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.store.store_dir.path(path))

    def profile(self, place: str, paths: Mapping[int, StorePath], current: int | None) -> None:
        for number, path in paths.items():
            self.link(f"{place}-{number}-link", path)
        if current is not None:
            (self.top / place).symlink_to(f"{Path(place).name}-{current}-link")

    def roots(self) -> list[Root]:
        return list(find_machine_roots(self.store, processes=False).roots)

    def found(self) -> dict[str, tuple[str, bool]]:
        found: dict[str, tuple[str, bool]] = {
            os.path.relpath(root.place, self.top): (root.kind, root.current)
            for root in self.roots()
        }
        assert len(found) == len(self.roots())
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.at(tmp_path)


@pytest.fixture
def paths(machine: Machine) -> list[StorePath]:
    return [add_object(machine.store, f"env-{number}", {"bin": {}}) for number in range(4)]


def test_profiles_of_the_system_and_of_all_users_are_found(
    machine: Machine, paths: list[StorePath]
) -> None:
    profiles = {
        "nix/var/nix/profiles/system": 2,
        "nix/var/nix/profiles/per-user/old/profile": 1,
        "nix/var/nix/profiles/per-container/web/system": 2,
        "nix/var/nix/profiles/system-profiles/test": None,
        "home/ada/.local/state/nix/profiles/profile": 2,
        "home/ada/.local/state/nix/profiles/home-manager": 1,
        "srv/bob/.local/state/nix/profiles/channels": 2,
        "var/lib/nixos-containers/web/home/eve/.local/state/nix/profiles/profile": 2,
        "var/lib/containers/old/root/.local/state/nix/profiles/profile": 2,
    }
    for place, current in profiles.items():
        machine.profile(place, {1: paths[0], 2: paths[1]}, current)
    machine.profile("root/other/profile", {1: paths[0]}, 1)  # nobody's place for profiles
    (machine.top / "etc").mkdir()
    (machine.top / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nbob:x:1:1::/srv/bob:/bin/sh\nnone:x:2:2::/var/empty:/bin/sh\n"
        "short:x:3:3:gecos\n\n"
    )
    assert machine.found() == {
        f"{place}-{number}-link": ("generation", number == current)
        for place, current in profiles.items()
        for number in (1, 2)
    }
    for root in machine.roots():
        assert root.place == f"{root.profile}-{root.number}-link"
        assert root.paths == (paths[root.number - 1],) if root.number else ()
        assert root.time == int(os.lstat(root.place).st_mtime)


def test_a_root_that_is_found_on_several_ways_is_one(
    machine: Machine, paths: list[StorePath]
) -> None:
    state = machine.store.location.state_dir
    machine.profile("home/ada/.local/state/nix/profiles/profile", {1: paths[0]}, 1)
    machine.link("run/current-system", paths[1])
    machine.link("run/booted-system", paths[2])
    (machine.top / "other-name").symlink_to(machine.top / "home")
    for name, target in {
        "auto/one": "home/ada/.local/state/nix/profiles/profile-1-link",
        "auto/two": "other-name/ada/.local/state/nix/profiles/profile-1-link",
        "current-system": "run/current-system",
        "booted-system": "run/booted-system",
    }.items():
        Path(state, "gcroots", name).symlink_to(machine.top / target)
    assert machine.found() == {
        "home/ada/.local/state/nix/profiles/profile-1-link": ("generation", True),
        "run/current-system": ("current-system", True),
        "run/booted-system": ("booted-system", False),
    }


def test_a_profile_anywhere_is_found_by_the_links_that_keep_it(
    machine: Machine, paths: list[StorePath]
) -> None:
    mine = str(machine.top / "mine")
    for path in paths[:3]:
        machine.store.switch_profile(mine, path)
    machine.store.add_root(str(machine.top / "result"), paths[3])
    assert machine.found() == {
        "mine-1-link": ("generation", False),
        "mine-2-link": ("generation", False),
        "mine-3-link": ("generation", True),
        "result": ("link", True),
    }


def test_specialisations_are_roots_beside_their_system(machine: Machine) -> None:
    store = machine.store
    library = add_object(store, "lib-1", b"lib")
    special = add_system(store, library, name="nixos-system-special-1")
    system = add_system(store, library, specialisations={"work": special})
    machine.profile("nix/var/nix/profiles/system", {1: system.path, 2: special.path}, 2)
    machine.link("run/current-system", system.path)
    found = {root.place: root for root in machine.roots() if root.kind == "specialisation"}
    old = found.pop(f"{machine.top}/nix/var/nix/profiles/system-1-link/specialisation/work")
    now = found.pop(f"{machine.top}/run/current-system/specialisation/work")
    assert found == {}
    assert (old.current, old.number, old.name) == (False, 1, "work")
    assert (now.current, now.number, now.name) == (True, None, "work")
    assert old.paths == now.paths == (special.path,)


def test_systems_of_declared_containers_are_roots(machine: Machine, paths: list[StorePath]) -> None:
    full = machine.store.store_dir.path
    for place, text in {
        "etc/nixos-containers/web.conf": f"PRIVATE_NETWORK=1\nSYSTEM_PATH={full(paths[0])}\n",
        "etc/containers/old.conf": f'SYSTEM_PATH="{full(paths[1])}"\n',
        "etc/containers/imperative.conf": "SYSTEM_PATH=/nix/var/nix/profiles/per-container/x/y\n",
        "etc/containers/policy.json": f"SYSTEM_PATH={full(paths[2])}\n",
    }.items():
        (machine.top / place).parent.mkdir(parents=True, exist_ok=True)
        (machine.top / place).write_text(text)
    assert {(root.kind, root.name, root.paths) for root in machine.roots()} == {
        ("container", "web", (paths[0],)),
        ("container", "old", (paths[1],)),
    }


def test_links_that_lead_nowhere_any_more_are_stale(
    machine: Machine, paths: list[StorePath]
) -> None:
    gone = StorePath(f"{'0' * 32}-gone")
    machine.store.add_root(str(machine.top / "result"), paths[0])
    (machine.top / "result").unlink()
    machine.profile("nix/var/nix/profiles/system", {1: gone}, 1)
    found = find_machine_roots(machine.store, processes=False)
    assert found.roots == ()
    link, *_ = (link for link in found.stale if "/auto/" in link)
    assert found.stale == {
        link: str(machine.top / "result"),
        f"{machine.top}/nix/var/nix/profiles/system-1-link": machine.store.store_dir.path(gone),
    }


def test_of_a_store_of_its_own_only_its_own_directories_are_looked_at(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    path = add_object(store, "one-1", b"1")
    store.switch_profile(f"{store.location.state_dir}/profiles/p", path)
    found = find_machine_roots(store, os.environ, processes=False)
    assert [(root.kind, root.number) for root in found.roots] == [("generation", 1)]


@as_ordinary_user
def test_homes_that_may_not_be_read_are_told_of(tmp_path: Path) -> None:
    machine = Machine.at(tmp_path)
    path = add_object(machine.store, "one-1", b"1")
    machine.profile("home/ada/.local/state/nix/profiles/profile", {1: path}, 1)
    (machine.top / "home/ada").chmod(0)
    found = find_machine_roots(machine.store, processes=False)
    assert found.roots == ()
    assert found.unreadable_places == (f"{machine.top}/home/ada/.local/state/nix/profiles",)
    (machine.top / "home/ada").chmod(0o700)
    settings = machine.top / "etc/nixos-containers"
    settings.mkdir(parents=True)
    for place in (settings, machine.top / "home"):
        place.chmod(0)
    found = find_machine_roots(machine.store, processes=False)
    assert found.unreadable_places == (str(settings),)  # users below /home may be known otherwise
    for place in (settings, machine.top / "home"):
        place.chmod(0o700)
    machine.store.close()


@pytest.mark.nix
@pytest.mark.slow
def test_nix_finds_no_root_that_is_not_found_here(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full, state = store.store_dir.path, store.location.state_dir
    packages = [
        add_object(store, f"tool-{number}", {"bin": {f"tool{number}": b"#!/bin/sh\n"}})
        for number in range(3)
    ]
    nix = RealNix(store.location, tmp_path)
    own, global_ = str(tmp_path / "mine"), f"{state}/profiles/global"
    for number in (0, 1, 2, 1):
        nix.run("nix-env", "-p", own, "--set", full(packages[number]))
    nix.run("nix-env", "-p", own, "--delete-generations", "2")
    nix.run("nix-env", "-p", global_, "--set", full(packages[0]))
    nix.run("nix-env", "-p", global_, "--set", full(packages[1]))
    nix.run("nix-env", "-p", global_, "--rollback")
    nix.run("nix-store", "--realise", full(packages[2]), "--add-root", str(tmp_path / "result"))
    nix.run("nix-store", "--realise", full(packages[2]), "--add-root", str(tmp_path / "stale"))
    (tmp_path / "stale").unlink()
    found = find_machine_roots(store, processes=False)
    ours = sorted(f"{root.place} -> {full(root.paths[0])}\n" for root in found.roots)
    command = ["nix-store", "--gc", "--print-roots"]
    assert "".join(ours) == printed_roots(command, nix.environment)
    assert sorted(found.stale.values()) == [
        str(tmp_path / name) for name in ("mine-2-link", "stale")
    ]
    current = {root.profile: root.number for root in found.roots if root.profile and root.current}
    assert current.keys() == {own, global_}
    for profile, shown in current.items():
        listed = nix.run("nix-env", "-p", profile, "--list-generations").splitlines()
        assert [line.split()[0] for line in listed if "(current)" in line] == [str(shown)]


def test_processes_and_what_they_are_at_work_on_are_roots(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    program = add_program(store)
    with running(f"{store.store_dir.path(program)}/bin/sleep") as pid:
        found = find_machine_roots(store)
    (root,) = (root for root in found.roots if root.kind == "process")
    assert root.process is not None
    assert (root.place, root.paths, root.lasting) == (f"/proc/{pid}", (program,), False)
    assert root.current


def test_where_processes_are_not_looked_at_none_is_found_or_counted(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    program = add_program(store)
    store.add_root(str(tmp_path / "result"), program)
    with running(f"{store.store_dir.path(program)}/bin/sleep"):
        found = find_machine_roots(store, processes=False)
        assert [root.kind for root in found.roots] == ["link"]
        assert found.unreadable_processes == MachineRoots(roots=()).unreadable_processes == 0
        assert current_roots(store, {}) == list(found.roots)


_ASKED = """
"$1" 600 &
until [ "$(readlink /proc/$!/exe)" = "$1" ]; do sleep 0.1; done
"$2" -m graft affected --json lib
nix-store --gc --print-roots >&2
kill $!
"""


@pytest.mark.nix
@pytest.mark.slow
@pytest.mark.needs("bwrap")
def test_of_a_machines_own_store_all_places_are_looked_at(machine: Machine, tmp_path: Path) -> None:
    """In a namespace where /nix and /run are this machine's."""
    store = machine.store
    full = store.store_dir.path
    library = add_object(store, "lib-1", b"lib")
    system = add_system(store, library)
    program = add_program(store, "sleeper-1", [library])
    machine.profile("nix/var/nix/profiles/system", {1: library, 2: system.path}, 2)
    machine.profile("state/nix/profiles/profile", {1: library}, 1)
    machine.link("run/current-system", system.path)
    machine.link("run/booted-system", library)
    gcroots = machine.top / "nix/var/nix/gcroots"
    (gcroots / "booted-system").symlink_to("/run/booted-system")
    (gcroots / "profile").symlink_to(machine.top / "state/nix/profiles/profile-1-link")
    store.close()
    bound = [
        word
        for name in sorted(set(os.listdir("/")) - {"nix", "run", "proc", "dev"})
        for word in (
            ("--symlink", os.readlink(f"/{name}"), f"/{name}")
            if os.path.islink(f"/{name}")
            else ("--dev-bind", f"/{name}", f"/{name}")
        )
    ]
    done = subprocess.run(
        [
            *("bwrap", *bound, "--proc", "/proc", "--dev", "/dev", "--unshare-pid"),
            *("--bind", f"{machine.top}/nix", "/nix", "--bind", f"{machine.top}/run", "/run"),
            *("--", "sh", "-c", _ASKED),
            *("sh", f"{full(program)}/bin/sleep", sys.executable),
        ],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "XDG_STATE_HOME": str(machine.top / "state"),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    roots = json.loads(done.stdout)["roots"]
    process, *others = roots
    assert (process["kind"], process["chain"]) == ("process", [full(program), full(library)])
    profiles = "/nix/var/nix/profiles"
    assert [(root["kind"], root["place"]) for root in others] == [
        ("current-system", "/run/current-system"),
        ("booted-system", "/run/booted-system"),
        ("generation", f"{profiles}/system-2-link"),
        ("generation", f"{machine.top}/state/nix/profiles/profile-1-link"),
        ("generation", f"{profiles}/system-1-link"),
    ]
    lines = [line.split(" -> ") for line in done.stderr.splitlines() if " -> " in line]
    printed = {place.strip('"') for place, _ in lines}
    printed = {re.sub(r"^(/proc/\d+)/.*", r"\1", place) for place in printed}
    # Nothing has made the current system a root of the collector's here.
    assert {root["place"] for root in roots} - printed == {"/run/current-system"}
    assert printed <= {root["place"] for root in roots}


@pytest.mark.parametrize(
    ("location", "top"),
    [
        (Location.of_directories("/nix/store", "/nix/var/nix"), "/"),
        (Location.of_directories("/gnu/store", "/var/guix"), "/"),
        (Location.of_directories("/gnu/store", "/nix/var/nix"), None),
        (Location.of_directories("/x/store", "/x/state"), None),
        (Location.at_root("/mnt"), "/mnt"),
    ],
)
def test_a_machine_is_where_its_own_store_is(location: Location, top: str | None) -> None:
    assert machine_of(location) == top
