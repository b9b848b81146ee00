"""The directory of OpenGL drivers: Debian's libEGL as NixOS has it, and drivers of no hardware."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.debpkgs.download import newest
from tests.debpkgs.edited import Given, scripted
from tests.debpkgs_graft import MARKS
from tests.ways.compare.real_closure import PROGRAMS, SmallSet, Ways, ways

pytestmark = [*MARKS, pytest.mark.slow, pytest.mark.needs("strace", "bwrap")]

LIBRARIES = "lib/x86_64-linux-gnu"
DEBIANS = "/etc/glvnd/egl_vendor.d:/usr/share/glvnd/egl_vendor.d"
NIXOS = "/run/opengl-driver/share/glvnd/egl_vendor.d"
INFO, CLEARED = range(2)


@dataclass(frozen=True)
class Drivers:
    """A system with a driver, and a newer one."""

    small_set: SmallSet
    root: str
    old: str
    new: str

    def run(self, system: str, *command: str) -> str:
        """Runs a command where a system has been activated."""
        return self.small_set.run(*activated(system), *command)

    def graft(self, system: str, *arguments: str) -> str:
        return self.run(system, *self.small_set.graft(*arguments))


def activated(system: str) -> list[str]:
    """Puts a command where /run is such as activation makes it; the machine's stays as it is."""
    link = ["--symlink", f"{system}/opengl-driver", "/run/opengl-driver"]
    return ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/run", *link, "--"]


def glvnd(it: SmallSet, glibc: str) -> str:
    """Debian's libEGL, which looks for drivers where that of nixpkgs does."""
    egl, dispatch = newest("libegl1", "libglvnd0")
    padding = "\\x00" * (len(DEBIANS) - len(NIXOS))
    script = f"""
    dpkg-deb -x $egl x
    dpkg-deb -x $dispatch x
    mkdir $out
    cp -r x/usr/lib $out
    cd $out/{LIBRARIES}
    grep -qF {DEBIANS} libEGL.so.1.1.0
    sed -i 's|{DEBIANS}|{NIXOS}{padding}|' libEGL.so.1.1.0
    patchelf --set-rpath $PWD:$glibc/{LIBRARIES} lib*.so.?.?.?
    """
    given: Given = {"egl": egl, "dispatch": dispatch, "glibc": glibc}
    return scripted(it.store, "libglvnd-1.6.0", script, it.directory, given)


def driver(it: SmallSet, glibc: str, version: str) -> str:
    script = f"""
    mkdir -p $out/lib $out/share/glvnd/egl_vendor.d
    library=$out/lib/libEGL_vendor.so.0
    gcc -shared -fPIC -Wall -Wextra -Werror -DVERSION='"{version}"' -x c -o $library $source
    patchelf --set-rpath $glibc/{LIBRARIES} $library
    echo '{{"file_format_version": "1.0.0", "ICD": {{"library_path": "'$library'"}}}}' \
      > $out/share/glvnd/egl_vendor.d/50_vendor.json
    """
    given: Given = {"source": PROGRAMS / "egl_driver.c", "glibc": glibc}
    return scripted(it.store, f"driver-{version}", script, it.directory, given)


@pytest.fixture(scope="module")
def drivers(small_set: SmallSet) -> Drivers:
    it, glibc = small_set, small_set.path("glibc-")
    libraries = glvnd(it, glibc)
    info = scripted(
        it.store,
        "eglinfo-1.0",
        f"""
        mkdir -p $out/bin
        gcc -Wall -Wextra -Werror -Wl,--allow-shlib-undefined -o $out/bin/eglinfo \
          -x c $source -x none $glvnd/{LIBRARIES}/libEGL.so.1
        libraries=$glibc/{LIBRARIES}
        patchelf --set-interpreter $libraries/ld-linux-x86-64.so.2 \
          --set-rpath $glvnd/{LIBRARIES}:$libraries $out/bin/eglinfo
        """,
        it.directory,
        {"source": PROGRAMS / "eglinfo.c", "glibc": glibc, "glvnd": libraries},
    )
    old, new = (driver(it, glibc, version) for version in ("1.0", "1.1"))
    # As NixOS has it: the system leads to the driver, and a link outside of the store as well.
    script = "mkdir $out; ln -s $info/bin $out; ln -s $driver $out/opengl-driver"
    paths = {"info": info, "driver": old}
    root = scripted(it.store, "system-1.0", script, it.directory, paths)
    return Drivers(it, root, old, new)


@pytest.fixture(scope="module")
def compared(drivers: Drivers) -> Ways:
    it = drivers
    probes = ["bin/eglinfo", f"env -i {it.root}/bin/eglinfo"]
    pivots = {"opengl-driver": it.new}
    command = it.small_set.comparing(it.root, (it.old, it.new), pivots, probes)
    return Ways(json.loads(it.run(it.root, *command)))


def test_the_loader_of_drivers_is_known_by_the_directory_it_names(drivers: Drivers) -> None:
    listed = drivers.graft(drivers.root, "pivot", "list", drivers.root).splitlines()
    [row] = [line.split() for line in listed if "-libglvnd-" in line]
    variables = ["LIBGL_DRIVERS_PATH", "__EGL_VENDOR_LIBRARY_DIRS", "LD_LIBRARY_PATH"]
    assert row[1:] == ["opengl-driver", "/run/opengl-driver", *variables]


def test_pivots_bring_another_driver(drivers: Drivers, tmp_path: Path) -> None:
    it, directory = drivers, str(tmp_path / "pivots")
    it.graft(
        it.root, "pivot", "create", it.root, f"--pivot=opengl-driver={it.new}", "-o", directory
    )
    program = f"{it.root}/bin/eglinfo"
    options = ("--pivot-dir", directory, "--")
    assert it.run(it.root, program) == "driver 1.0\n"
    assert it.graft(it.root, "pivot", "exec", it.root, *options, program) == "driver 1.1\n"


def test_pivots_and_mounts_reach_what_is_running_and_grafts_what_is_activated(
    compared: Ways,
) -> None:
    assert compared.opened(INFO) == ways("OLD", "OLD", "NEW", "NEW")
    assert compared.printing(INFO, "driver 1.1\n") == {"pivot", "mount"}
    assert compared.opened(CLEARED) == ways("OLD", "OLD", "OLD", "NEW")


def test_only_the_system_leads_to_the_driver_by_a_reference(
    drivers: Drivers, compared: Ways
) -> None:
    assert compared["graft"]["coverage"] == {"dependents": 1, "see_new": 1, "missed": []}
    assert compared.missed("pivot") == {"system-1.0": "no marker for opengl-driver"}


def test_a_graft_is_seen_by_all_once_it_is_activated(drivers: Drivers, compared: Ways) -> None:
    [system] = [member["new_path"] for member in compared.document["closure"] if member["root"]]
    assert drivers.run(system, "env", "-i", f"{drivers.root}/bin/eglinfo") == "driver 1.1\n"
