"""The directory of set-user-ID wrappers, made for real in a mount namespace of the tests' own."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import graft.ways.pivot
from tests.debpkgs.edited import edited
from tests.debpkgs_graft import MARKS
from tests.ways.compare.real_closure import PROGRAMS, SmallSet, Ways, ways

pytestmark = [
    *MARKS,
    pytest.mark.slow,
    pytest.mark.needs("strace", "bwrap", "setpriv", "unshare"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make programs with more rights"),
]

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
WRAPPER = "/run/wrappers/bin/paris"
OLD, NEW = "CET-1CEST,M3.5.0,M10.5.0/3\n", "<+0545>-5:45\n"
PLAIN, WRAPPED = range(2)

# A /run of our own, with the wrappers $1 has; and directories on the way to the store that only
# root may search, as in a home directory, replaced by some with nothing but what is needed.
NAMESPACE = """
set -e
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/wrappers/bin /run/behind
install -m 4755 "$1"/* /run/wrappers/bin
shift
while [ "$1" != -- ]; do
  mount --rbind "$1" /run/behind
  mount -t tmpfs -o mode=755 none "$1"
  for entry in $2; do
    mkdir "$1/$entry"
    mount --rbind "/run/behind/$entry" "$1/$entry"
  done
  umount --lazy /run/behind
  shift 2
done
shift
exec "$@"
"""


def opening(places: list[str]) -> Iterator[str]:
    """The closed directories above these places, and what of each one is needed."""
    parents = {parent for place in places for parent in Path(place).parents}
    for closed in sorted(parents):
        if not closed.stat().st_mode & 0o001:
            below = [
                Path(place).relative_to(closed) for place in places if closed in Path(place).parents
            ]
            yield from (str(closed), " ".join(sorted({path.parts[0] for path in below})))


@dataclass(frozen=True)
class Wrapped:
    """A program that a wrapper runs as root, and that looks time zones up as a pivot."""

    small_set: SmallSet
    root: str
    old: str
    new: str

    def wrappers(self, system: str) -> Path:
        """The directory of wrappers that activating a system would make."""
        directory = self.small_set.directory / f"wrappers-of-{os.path.basename(system)}"
        if not directory.exists():
            directory.mkdir()
            program = f'-DPROGRAM="{system}/bin/pivot-tz"'
            options = ["-Wall", "-Wextra", "-Werror", program]
            source, wrapper = PROGRAMS / "wrapper.c", directory / os.path.basename(WRAPPER)
            self.small_set.run("gcc", *options, "-o", wrapper, source)
        return directory

    def run(self, system: str, *command: str, **variables: str) -> str:
        """Runs a command as root where a system's wrappers are in force."""
        places = [str(self.small_set.store.store_dir), os.getcwd(), sys.prefix, sys.base_prefix]
        within = ("unshare", "--mount", "--propagation", "private", "sh", "-c", NAMESPACE, "sh")
        given = (str(self.wrappers(system)), *opening(places), "--")
        return self.small_set.run(*within, *given, *command, **variables)


@pytest.fixture(scope="module")
def wrapped(small_set: SmallSet) -> Wrapped:
    it = small_set
    old, glibc = it.path("tzdata-"), it.path("glibc-")
    script = "cd share/zoneinfo; cp --remove-destination Asia/Kathmandu Europe/Paris"
    new = edited(it.store, old, script, it.directory)
    root = edited(
        it.store,
        it.path("pivot-tz-"),
        f"""
        gcc -Wall -Wextra -Werror -I{os.path.dirname(graft.ways.pivot.__file__)} \
          -DOUT="\\"$out\\"" -DZONES='"{old}/share/zoneinfo"' -x c -o bin/pivot-tz $source
        libraries={glibc}/lib/x86_64-linux-gnu
        patchelf --set-interpreter $libraries/ld-linux-x86-64.so.2 --set-rpath $libraries \
          bin/pivot-tz
        """,
        it.directory,
        {"source": PROGRAMS / "paris.c"},
    )
    return Wrapped(it, root, old, new)


@pytest.fixture(scope="module")
def compared(wrapped: Wrapped) -> Ways:
    it = wrapped
    probes = ["bin/pivot-tz", shlex.join([*NOBODY, WRAPPER])]
    pivots = {"tzdata": f"{it.new}/share/zoneinfo"}
    command = it.small_set.comparing(it.root, (it.old, it.new), pivots, probes)
    return Ways(json.loads(it.run(it.root, *command)))


def test_the_wrapper_gives_root_and_no_variable_gets_through(wrapped: Wrapped) -> None:
    it, directory = wrapped, wrapped.small_set.directory / "pivots"
    links = directory / os.path.basename(it.root)
    links.mkdir(parents=True)
    (links / "tzdata").symlink_to(f"{it.new}/share/zoneinfo")
    pivots = {"NIXPKGS_PIVOT_DIRS": str(directory)}
    assert it.run(it.root, f"{it.root}/bin/pivot-tz", **pivots) == f"user 0, secure 0, {NEW}"
    assert it.run(it.root, *NOBODY, WRAPPER, **pivots) == f"user 0, secure 1, {OLD}"


def test_pivots_do_not_reach_what_a_wrapper_runs(compared: Ways) -> None:
    assert compared.opened(PLAIN) == ways("OLD", "NEW", "NEW", "NEW")
    assert compared.opened(WRAPPED)["pivot"] == "OLD"
    assert compared.missed("pivot") == {
        "pivot-tz-1.0": f"secure execution: '{WRAPPER}' runs it, the environment is ignored"
    }


def test_a_mount_takes_the_rights_away(compared: Ways) -> None:
    assert compared.opened(WRAPPED)["mount"] == "NEW"
    assert compared.printing(WRAPPED, f"user 65534, secure 0, {NEW}") == {"mount"}


def test_a_mount_by_an_ordinary_user_takes_the_rights_away(wrapped: Wrapped) -> None:
    it = wrapped
    replace = f"--replace={it.old}={it.new}"
    command = it.small_set.graft("mount", it.root, replace, "--", WRAPPER)
    assert it.run(it.root, *NOBODY, *command) == f"user 65534, secure 0, {NEW}"


def test_a_graft_needs_the_wrappers_made_again(wrapped: Wrapped, compared: Ways) -> None:
    assert compared.opened(WRAPPED)["graft"] == "OLD"
    assert compared.printing(WRAPPED, f"user 0, secure 1, {OLD}") == {"original", "graft", "pivot"}
    assert compared.warnings["wrapped-program"] == (
        f"'{WRAPPER}' runs '{wrapped.root}', and goes on doing so after a graft or a rebuild, "
        "until the wrappers are made again"
    )
    [system] = [member["new_path"] for member in compared.document["closure"] if member["root"]]
    assert wrapped.run(system, *NOBODY, WRAPPER) == f"user 0, secure 1, {NEW}"


def test_the_machine_has_no_wrapper_of_ours(compared: Ways) -> None:
    assert not os.path.exists(WRAPPER)
