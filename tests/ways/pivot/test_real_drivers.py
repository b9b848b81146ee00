"""OpenGL's own dispatcher, from Debian, loads the driver that a pivot leads to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.store.local import LocalStore
from tests.debpkgs.download import newest
from tests.debpkgs_graft import MARKS
from tests.store_objects import add_object, new_store

pytestmark = [*MARKS, pytest.mark.slow]

# What the dispatcher calls when it has loaded a vendor's library (libglvnd, libeglabi.h). It offers
# nothing, and says that it was there.
_DRIVER = """\
#include <stdio.h>

int __egl_Main(unsigned version, const void *exports, void *vendor, void *imports)
{
    (void)exports, (void)vendor, (void)imports;
    puts(version ? "pivoted driver" : "");
    return fflush(stdout);
}
"""

_PROGRAM = """\
import ctypes, sys
ctypes.CDLL(f"{sys.argv[1]}/libGLdispatch.so.0", ctypes.RTLD_GLOBAL)
ctypes.CDLL(f"{sys.argv[1]}/libEGL.so.1").eglGetDisplay(None)
"""


@pytest.fixture
def libraries(tmp_path: Path) -> dict[str, bytes]:
    """The dispatcher's libraries, of the newest packages that apt offers."""
    for archive in newest("libegl1", "libglvnd0"):
        subprocess.run(["dpkg-deb", "-x", archive, tmp_path / "debian"], check=True)
    directory = tmp_path / "debian" / "usr" / "lib" / "x86_64-linux-gnu"
    return {name: (directory / name).read_bytes() for name in ("libEGL.so.1", "libGLdispatch.so.0")}


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """What /run/opengl-driver holds on NixOS."""
    top = tmp_path / "driver"
    vendors = top / "share" / "glvnd" / "egl_vendor.d"
    vendors.mkdir(parents=True)
    (top / "lib" / "dri").mkdir(parents=True)
    (tmp_path / "driver.c").write_text(_DRIVER)
    library = top / "lib" / "libEGL_pivoted.so.0"
    options = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *options, "-o", library, tmp_path / "driver.c"], check=True)
    # Found by its name alone: in what LD_LIBRARY_PATH has.
    icd = {"file_format_version": "1.0.0", "ICD": {"library_path": library.name}}
    (vendors / "50_pivoted.json").write_text(json.dumps(icd))
    return top


def pivot(store: LocalStore, *arguments: str) -> str:
    command = [sys.executable, "-m", "graft", f"--store={store.url}", "pivot", *arguments]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_dispatcher_loads_the_driver(
    libraries: dict[str, bytes], driver: Path, tmp_path: Path
) -> None:
    store = new_store(tmp_path)
    contents = {"lib": libraries, "share": {"vendors": b"/run/opengl-driver/share/glvnd\n"}}
    path = store.store_dir.path(add_object(store, "libglvnd-1.6.0", contents))
    (candidate,) = json.loads(pivot(store, "list", path, "--json"))["candidates"]
    assert (candidate["type"], candidate["sign"]) == ("opengl-driver", "/run/opengl-driver")

    made = str(tmp_path / "pivots")
    pivot(store, "create", path, f"--pivot=opengl-driver={driver}", "-o", made)
    program = [sys.executable, "-c", _PROGRAM, f"{path}/lib"]
    plain = subprocess.run(program, capture_output=True, text=True, check=True)
    assert "pivoted driver" not in plain.stdout
    assert pivot(store, "exec", path, "--pivot-dir", made, "--", *program) == "pivoted driver\n"

    ask = 'echo "$LIBGL_DRIVERS_PATH"'
    drivers = pivot(store, "exec", path, "--pivot-dir", made, "--", "sh", "-c", ask)
    assert drivers == f"{driver}/lib/dri\n"
