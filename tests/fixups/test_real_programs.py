"""What the programs of the field make is rewritten, and what was rewritten they read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from graft.fixups import registered
from tests.fixups.samples import OLD, TABLE, grafted, text

pytestmark = pytest.mark.slow

EVERYTHING = registered(("initrd",))


def run(*command: str | Path, data: bytes = b"", directory: Path | None = None) -> bytes:
    return subprocess.run(
        command, input=data, stdout=subprocess.PIPE, check=True, cwd=directory
    ).stdout


def rewritten(data: bytes, name: str) -> bytes:
    new, outcomes = EVERYTHING.rewrite(data, name.encode(), TABLE)
    assert outcomes
    assert {outcome.outcome for outcome in outcomes} == {"rewritten"}
    places, _ = EVERYTHING.references(new, name.encode(), TABLE)
    assert places == []
    return new


COMMANDS = [
    *(("gzip", f"-{level}n", ".gz") for level in (1, 6, 9)),
    *(("xz", option, ".xz") for option in ("-0", "-6", "-9", "-T2")),
    *(("bzip2", f"-{level}", ".bz2") for level in (1, 9)),
    *(("zstd", option, ".zst") for option in ("-1", "-19", "--no-check", "--long=24")),
    *(("lz4", option, ".lz4") for option in ("-1", "-9", "-l", "-BX", "--content-size", "-B4D")),
]


@pytest.mark.parametrize(
    ("program", "option", "suffix"),
    [pytest.param(*command, marks=pytest.mark.needs(command[0])) for command in COMMANDS],
)
@pytest.mark.parametrize("lines", [10, 30_000])
def test_compressed_by_the_program_and_expanded_by_it(
    program: str, option: str, suffix: str, lines: int
) -> None:
    data = run(program, option, "-c", data=text(lines))
    more = ["--long=27"] if program == "zstd" else []
    assert run(program, "-d", *more, "-c", data=rewritten(data, "a" + suffix)) == grafted(
        text(lines)
    )


@pytest.mark.needs("xz")
def test_xz_with_other_filters_is_left_alone() -> None:
    data = run("xz", "--x86", "--lzma2=preset=6", "-c", data=text())
    new, [outcome] = EVERYTHING.rewrite(data, b"a.xz", TABLE)
    assert new is data
    assert outcome.reason == "its filters or its dictionary do not belong to a preset of xz"
    assert len(EVERYTHING.references(data, b"a.xz", TABLE)[0]) == 1


@pytest.mark.needs("gzip")
def test_a_man_page_is_what_gzip_makes_of_the_new_one() -> None:
    data = run("gzip", "-9n", "-c", data=text(100))
    assert rewritten(data, "a.1.gz") == run("gzip", "-9n", "-c", data=grafted(text(100)))


@pytest.mark.needs("dpkg-deb")
@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd", "none"])
def test_a_debian_package_is_read_by_dpkg(tmp_path: Path, compression: str) -> None:
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN" / "control").write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n"
    )
    (package / "usr").mkdir()
    (package / "usr" / "file").write_bytes(text())
    (package / "usr" / "link").symlink_to(f"/nix/store/{OLD.decode()}")
    deb = tmp_path / "a.deb"
    run("dpkg-deb", f"-Z{compression}", "--root-owner-group", "-b", package, deb)
    deb.write_bytes(rewritten(deb.read_bytes(), "a.deb"))
    run("dpkg-deb", "-x", deb, tmp_path / "out")
    assert (tmp_path / "out" / "usr" / "file").read_bytes() == grafted(text())
    target = os.readlink(tmp_path / "out" / "usr" / "link").encode()
    assert target == b"/nix/store/" + grafted(OLD)


@pytest.mark.needs("zip", "unzip")
@pytest.mark.parametrize("option", ["-0", "-6", "-9", "-fd"])
def test_a_zip_archive_is_read_by_unzip(tmp_path: Path, option: str) -> None:
    (tmp_path / "a").write_bytes(text())
    (tmp_path / "b").write_bytes(b"nothing " * 99)
    if option == "-fd":  # a stream has its sums behind the members
        data = run("zip", "-q", "-r", "-", "a", "b", directory=tmp_path)
    else:
        run("zip", "-q", option, "a.zip", "a", "b", directory=tmp_path)
        data = (tmp_path / "a.zip").read_bytes()
    new = tmp_path / "new.zip"
    new.write_bytes(rewritten(data, "a.zip"))
    run("unzip", "-tq", new)
    assert run("unzip", "-p", new, "a") == grafted(text())
    assert run("unzip", "-p", new, "b") == b"nothing " * 99


@pytest.mark.needs("jar")
def test_a_jar_is_read_by_java(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(text())
    run("jar", "cf", "a.jar", "a", directory=tmp_path)
    (tmp_path / "new.jar").write_bytes(rewritten((tmp_path / "a.jar").read_bytes(), "a.jar"))
    (tmp_path / "out").mkdir()
    run("jar", "xf", tmp_path / "new.jar", directory=tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == grafted(text())


@pytest.mark.needs("ar", "gcc")
def test_a_static_library_links_with_what_it_says_now(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(f'const char *where = "/nix/store/{OLD.decode()}";')
    (tmp_path / "main.c").write_text(
        "#include <stdio.h>\nextern const char *where;int main(void) {puts(where);}"
    )
    run("gcc", "-c", "a.c", directory=tmp_path)
    run("ar", "rcs", "liba.a", "a.o", directory=tmp_path)
    library = tmp_path / "liba.a"
    library.write_bytes(rewritten(library.read_bytes(), "liba.a"))
    run("gcc", "main.c", "liba.a", "-o", "main", directory=tmp_path)
    assert run(tmp_path / "main") == b"/nix/store/" + grafted(OLD) + b"\n"


@pytest.mark.needs("cpio", "gzip")
def test_an_initrd_is_read_by_cpio(tmp_path: Path) -> None:
    top = tmp_path / "root"
    top.mkdir()
    (top / "init").write_bytes(text())
    (top / "sh").symlink_to(f"/nix/store/{OLD.decode()}/bin/sh")
    archive = run("cpio", "-o", "-H", "newc", "--quiet", data=b"init\nsh\n", directory=top)
    new = rewritten(run("gzip", "-9n", data=archive), "initrd")
    (tmp_path / "out").mkdir()
    run("cpio", "-i", "--quiet", data=run("gzip", "-dc", data=new), directory=tmp_path / "out")
    assert (tmp_path / "out" / "init").read_bytes() == grafted(text())
    assert grafted(OLD) in os.readlink(tmp_path / "out" / "sh").encode()
