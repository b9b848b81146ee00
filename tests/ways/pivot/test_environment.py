"""What brings pivots into force: the variable of pivots, and those of unmodified programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.errors import PivotError
from graft.formats.store_path import StoreDir, StorePath
from graft.plan.closure import Closure
from graft.ways.pivot.directory import write_directory
from graft.ways.pivot.environment import PivotEnvironment, pivot_environment
from graft.ways.pivot.reach import find_reaches, prepare_environment
from graft.ways.pivot.variables import VARIABLES, variable_values
from tests.store_objects import named_path, new_store
from tests.ways.pivot.closures import Pivotable
from tests.ways.pivot.test_lookup import BASE

PACKAGE = StorePath(BASE)


def touch(top: Path, *names: str) -> None:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()


_FILES = VARIABLES["cacert"]
_ZONES = VARIABLES["tzdata"]
_CERTS = "etc/ssl/certs"
_ARCHIVE = "lib/locale/locale-archive"
_LIBRARIES = "lib/x86_64-linux-gnu"


@pytest.mark.parametrize(
    ("kind", "files", "expected"),
    [
        (
            "cacert",
            [f"{_CERTS}/ca-bundle.crt"],
            dict.fromkeys(_FILES, f"{_CERTS}/ca-bundle.crt"),
        ),
        (
            "cacert",
            [f"{_CERTS}/ca-certificates.crt"],
            dict.fromkeys(_FILES, f"{_CERTS}/ca-certificates.crt"),
        ),
        ("cacert", ["ca-bundle.crt", "12345678.0"], dict.fromkeys(_FILES, "ca-bundle.crt")),
        ("cacert", ["12345678.0"], dict.fromkeys(["SSL_CERT_DIR", "GIT_SSL_CAPATH"], "")),
        ("cacert", ["other"], {}),
        (
            "tzdata",
            ["share/zoneinfo/UTC"],
            dict.fromkeys(_ZONES, "share/zoneinfo"),
        ),
        (
            "tzdata",
            ["usr/share/zoneinfo/UTC"],
            dict.fromkeys(_ZONES, "usr/share/zoneinfo"),
        ),
        ("tzdata", ["tzdata.zi"], dict.fromkeys(_ZONES, "")),
        ("tzdata", ["other"], {}),
        (
            "locales",
            [_ARCHIVE, "lib/locale/C.utf8/LC_CTYPE"],
            {"LOCALE_ARCHIVE": _ARCHIVE},
        ),
        ("locales", ["lib/locale/C.utf8/LC_CTYPE"], {"LOCPATH": "lib/locale"}),
        ("locales", ["C.utf8/LC_CTYPE"], {"LOCPATH": ""}),
        ("locales", ["other"], {}),
        ("nss-modules", ["lib/libnss_x.so.2"], {"LD_LIBRARY_PATH": "lib"}),
        (
            "nss-modules",
            ["lib/x86_64-linux-gnu/libnss_x.so.2"],
            {"LD_LIBRARY_PATH": "lib/x86_64-linux-gnu"},
        ),
        ("nss-modules", ["libnss_x.so.2"], {"LD_LIBRARY_PATH": ""}),
        ("nss-modules", ["lib/other.so"], {}),
        (
            "opengl-driver",
            ["lib/dri/x_dri.so", "share/glvnd/egl_vendor.d/x.json"],
            {
                "LIBGL_DRIVERS_PATH": "lib/dri",
                "__EGL_VENDOR_LIBRARY_DIRS": "share/glvnd/egl_vendor.d",
                "LD_LIBRARY_PATH": "lib",
            },
        ),
        ("opengl-driver", ["other"], {}),
        ("setuid-wrappers", ["sudo"], {}),
        ("no-such-type", ["other"], {}),
    ],
)
def test_variables_name_what_they_are_for(
    tmp_path: Path, kind: str, files: list[str], expected: dict[str, str]
) -> None:
    top = tmp_path / "target"
    touch(top, *files)
    places = {name: str(top / place) if place else str(top) for name, place in expected.items()}
    assert variable_values(kind, str(top)) == places


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cacert", dict.fromkeys(_FILES, "target")),
        ("locales", {"LOCALE_ARCHIVE": "target"}),
        ("nss-modules", {"LD_LIBRARY_PATH": ""}),
    ],
)
def test_a_file_is_what_is_meant(tmp_path: Path, kind: str, expected: dict[str, str]) -> None:
    (tmp_path / "target").touch()
    places = {name: str(tmp_path / place) for name, place in expected.items()}
    assert variable_values(kind, str(tmp_path / "target")) == places


def handmade(top: Path, **targets: Path) -> str:
    """A directory of pivots for one package, as anybody may make it."""
    for kind, target in targets.items():
        place = top / BASE / kind.replace("_", "-")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    return str(top)


def environment(directory: str, **before: str) -> PivotEnvironment:
    return pivot_environment(directory, [PACKAGE], before)


def test_lists_keep_what_was_in_them(tmp_path: Path) -> None:
    touch(tmp_path / "modules", "libnss_x.so.2")
    touch(tmp_path / "zones", "UTC")
    made = handmade(tmp_path / "p", nss_modules=tmp_path / "modules", tzdata=tmp_path / "zones")
    before = {"NIXPKGS_PIVOT_DIRS": "/a:/b", "LD_LIBRARY_PATH": "/c", "TZDIR": "/d"}
    found = environment(made, **before)
    assert found.variables == {
        "NIXPKGS_PIVOT_DIRS": f"{made}:/a:/b",
        "LD_LIBRARY_PATH": f"{tmp_path}/modules:/c",
        "TZDIR": f"{tmp_path}/zones",
        "PYTHONTZPATH": f"{tmp_path}/zones",
    }
    assert found.types["LD_LIBRARY_PATH"] == "nss-modules"
    assert found.warnings == ()
    assert environment(made, NIXPKGS_PIVOT_DIRS="").variables["NIXPKGS_PIVOT_DIRS"] == made


def test_two_types_share_a_list(tmp_path: Path) -> None:
    touch(tmp_path / "modules", "libnss_x.so.2")
    touch(tmp_path / "mesa", "lib/dri/x_dri.so")
    made = handmade(
        tmp_path / "p", nss_modules=tmp_path / "modules", opengl_driver=tmp_path / "mesa"
    )
    found = environment(made, LD_LIBRARY_PATH="/c")
    assert found.variables["LD_LIBRARY_PATH"] == f"{tmp_path}/modules:{tmp_path}/mesa/lib:/c"
    assert found.types["LD_LIBRARY_PATH"] == "nss-modules, opengl-driver"


def test_only_the_closures_paths_count(tmp_path: Path) -> None:
    touch(tmp_path / "zones", "UTC")
    made = handmade(tmp_path / "p", tzdata=tmp_path / "zones")
    other = named_path("other", StoreDir("/nix/store"))
    found = pivot_environment(made, [other], {})
    assert found.variables == {"NIXPKGS_PIVOT_DIRS": made}
    assert len(found.warnings) == 1
    assert "has nothing for this closure" in found.warnings[0]


def test_what_unmodified_programs_do_not_get_is_said(tmp_path: Path) -> None:
    touch(tmp_path / "empty", "nothing")
    made = handmade(tmp_path / "p", cacert=tmp_path / "empty", tzdata=tmp_path / "none")
    found = environment(made)
    assert found.variables == {"NIXPKGS_PIVOT_DIRS": made}
    assert "/cacert" not in found.warnings[0]
    assert "leads nowhere" in found.warnings[0]
    assert "nothing that SSL_CERT_FILE could name" in found.warnings[1]


@pytest.mark.parametrize(
    ("kind", "files", "name"),
    [
        ("cacert", ["12345678.0"], "SSL_CERT_FILE"),
        ("locales", ["locale-archive"], "LOCPATH"),
        ("locales", ["locale-archive"], "LOCALE_ARCHIVE_2_27"),
        ("locales", ["C.utf8/LC_CTYPE"], "GUIX_LOCPATH"),
    ],
)
def test_a_variable_that_programs_prefer_is_warned_of(
    tmp_path: Path, kind: str, files: list[str], name: str
) -> None:
    touch(tmp_path / "new", *files)
    made = handmade(tmp_path / "p", **{kind: tmp_path / "new"})
    assert environment(made).warnings == ()
    found = environment(made, **{name: "/old"})
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith(f"{name} is set to '/old'")


def test_a_libc_beside_the_modules_is_warned_of(tmp_path: Path) -> None:
    touch(tmp_path / "glibc", "lib/libnss_x.so.2", "lib/libc.so.6")
    found = environment(handmade(tmp_path / "p", nss_modules=tmp_path / "glibc"))
    assert "has a libc.so.6" in found.warnings[0]


def test_one_type_with_two_targets_is_warned_of(tmp_path: Path) -> None:
    touch(tmp_path, "one", "two")
    made = handmade(tmp_path / "p", cacert=tmp_path / "one")
    other = named_path("other", StoreDir("/nix/store"))
    (tmp_path / "p" / other).mkdir()
    (tmp_path / "p" / other / "cacert").symlink_to(tmp_path / "two")
    found = pivot_environment(made, [PACKAGE, other], {})
    assert len(found.warnings) == 1
    assert "variables name" in found.warnings[0]
    assert found.variables["SSL_CERT_FILE"] == f"{tmp_path}/one"


def test_what_is_no_link_is_itself_meant(tmp_path: Path) -> None:
    touch(tmp_path / BASE, "cacert")
    found = environment(str(tmp_path))
    assert found.variables["SSL_CERT_FILE"] == f"{tmp_path}/{BASE}/cacert"


def test_names_with_colons_are_refused_where_they_would_be_in_lists(tmp_path: Path) -> None:
    touch(tmp_path / "a:b", "UTC")
    made = handmade(tmp_path / "p", tzdata=tmp_path / "a:b")
    with pytest.raises(PivotError, match="colon"):
        environment(made)
    (tmp_path / "c:d").mkdir()
    with pytest.raises(PivotError, match="colon"):
        environment(str(tmp_path / "c:d"))


def test_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PivotError, match="there is no directory of pivots"):
        environment(str(tmp_path / "none"))


def test_how_far_pivots_reach(tmp_path: Path) -> None:
    it = Pivotable.build(new_store(tmp_path))
    closure = Closure.of(it.store, [it.system])
    cacert, tzdata = find_reaches(it.store, closure, it.system, it.targets)
    assert (cacert.type, cacert.target, cacert.marked) == (
        "cacert",
        it.targets["cacert"],
        (it.curl,),
    )
    assert [found.path for found in cacert.candidates] == [it.cacert]
    assert set(tzdata.marked) == {it.curl, it.clock}
    assert [found.variables for found in tzdata.candidates] == [("TZDIR", "PYTHONTZPATH")]


def test_the_environment_of_a_closure_is_made_in_one_go(tmp_path: Path) -> None:
    it = Pivotable.build(new_store(tmp_path))
    closure = Closure.of(it.store, [it.system])
    made = str(tmp_path / "pivots")
    found = prepare_environment(it.store, closure, it.system, it.targets, made, {"TZDIR": "/x"})
    assert found.warnings == ()
    assert found.variables["NIXPKGS_PIVOT_DIRS"] == made
    assert found.variables["TZDIR"] == f"{it.targets['tzdata']}/share/zoneinfo"
    write_directory(made, it.pivots())
    assert pivot_environment(made, closure.infos, {"TZDIR": "/x"}) == found
