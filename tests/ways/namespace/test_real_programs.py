"""Real programs under mounts and in FHS roots: a library's fix seen before it is grafted."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.debpkgs.built import Built, small
from tests.debpkgs.store import PrivateStore
from tests.debpkgs_graft import MARKS

pytestmark = [*MARKS, pytest.mark.slow, pytest.mark.needs("bwrap")]

_PYTHON = "import ssl, subprocess; print(ssl.OPENSSL_VERSION)"

# What was made elsewhere: it knows of no store, prints versions, and where its code comes from.
_FOREIGN = """
#include <stdio.h>
#include <string.h>
const char *zlibVersion(void);
const char *OpenSSL_version(int);
int main(void) {
    char line[4096];
    printf("%s\\n%s\\n", zlibVersion(), OpenSSL_version(0));
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "r-xp") && strchr(line, '/')) fputs(strchr(line, '/'), stdout);
    return 3;
}
"""


@dataclass(frozen=True)
class Programs:
    """The small set, and what runs on it."""

    built: Built
    store: PrivateStore
    foreign: Path

    @property
    def pairs(self) -> list[str]:
        return [f"--replace={old}={new}" for old, new in self.built.replacements.items()]

    def package(self, name: str) -> str:
        """The one path of the old closure that has that package name."""
        pattern = re.compile(rf"/[^/]{{32}}-{re.escape(name)}-[0-9][^/]*?(?<!-bin)(?<!-dev)$")
        (found,) = filter(pattern.search, self.store.closure(self.built.old_root))
        return found

    def command(self, *arguments: str) -> list[str]:
        url = f"--store=local?store={self.store.store_dir}&state={self.store.state_dir}"
        return [sys.executable, "-m", "graft", url, *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        found = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert found.returncode == status, found.stderr
        return found.stdout

    def mount(self, *program: str) -> str:
        return self.run("mount", self.built.old_root, *self.pairs, "--", *program)

    @property
    def versions(self) -> tuple[str, str]:
        variant = self.built.variant
        return f"OpenSSL {variant.old_text}", f"OpenSSL {variant.new_text}"


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    directory = tmp_path_factory.mktemp("foreign")
    built = small()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(built.checkout())
        it = Programs(built, store, directory / "foreign")
        (directory / "foreign.c").write_text(_FOREIGN)
        libraries: list[str | Path] = [
            f"{it.package(package)}/lib/x86_64-linux-gnu/{library}"
            for package, library in (("zlib1g", "libz.so.1"), ("openssl", "libcrypto.so.3"))
        ]
        command = ["gcc", "-o", it.foreign, directory / "foreign.c", *libraries]
        subprocess.run([*command, "-Wl,--allow-shlib-undefined"], check=True)
        yield it


def _library(version: str) -> str:
    """How the program `openssl` tells its library's version; it tells its own first."""
    return f"(Library: {version} "


def test_programs_and_their_children_use_new(it: Programs) -> None:
    old, new = it.versions
    assert _library(new) in it.mount("sw/bin/openssl", "version")
    if it.built.variant.how != "edited":  # curl prints the bare number, which is left as it was
        assert new.replace(" ", "/") in it.mount("sw/bin/curl", "--version")
    python = f"{it.built.old_root}/sw/bin/python3"
    assert it.mount(python, "-c", _PYTHON).startswith(new)
    child = f"import subprocess; subprocess.run([{python!r}, '-c', {_PYTHON!r}], check=True)"
    assert it.mount("sw/bin/python3", "-c", child).startswith(new)
    outside = subprocess.run(
        [f"{it.built.old_root}/sw/bin/openssl", "version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert _library(old) in outside.stdout


def test_a_foreign_program_runs_on_the_roots_libraries_alone(it: Programs) -> None:
    old, new = it.versions
    roots = [it.built.old_root, it.package("zlib1g"), it.package("openssl")]
    for replace, version in (([], old), (it.pairs, new)):
        out = it.run("fhs", *roots, *replace, "--", str(it.foreign), status=3)
        zlib, openssl, *code = out.splitlines()
        assert zlib == "1.2.13"
        assert openssl.startswith(version)
        others = [file for file in code if not file.startswith(f"{it.store.store_dir}/")]
        assert others == [str(it.foreign)]
        loaded = {os.path.basename(file) for file in code}
        assert {"libc.so.6", "libcrypto.so.3", "ld-linux-x86-64.so.2"} <= loaded
    without = it.run("fhs", it.built.old_root, "--", str(it.foreign), status=127)
    assert without == ""  # no package with zlib, and the machine's is out of reach


def test_programs_of_the_store_keep_their_own_libraries_in_an_fhs_root(it: Programs) -> None:
    """The cache comes after a program's own search path; LD_LIBRARY_PATH would come before it."""
    old, _ = it.versions
    new_openssl = dict(it.built.replacements)[it.package("openssl")]
    roots = [it.built.old_root, it.package("zlib1g"), new_openssl]
    assert _library(old) in it.run("fhs", *roots, "--", "openssl", "version")


def test_the_profile_script_is_sourced_first(it: Programs, tmp_path: Path) -> None:
    script = tmp_path / "profile"
    script.write_text("export GREETING='from the profile'\nset -- wrong\n")
    out = it.run(
        "fhs",
        it.built.old_root,
        "--profile-script",
        str(script),
        "--",
        *("bash", "-c", 'echo "$GREETING: $1"; exit 9', "bash", "an argument"),
        status=9,
    )
    assert out == "from the profile: an argument\n"


def test_a_shell_script_made_elsewhere_finds_its_shell_and_its_programs(
    it: Programs, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\ncat /etc/passwd | head -n 1; ls -d /usr/bin /lib64; env true\n")
    script.chmod(0o755)
    out = it.run("fhs", it.built.old_root, "--", str(script))
    first = Path("/etc/passwd").read_text(encoding="utf-8").splitlines()[0]
    assert out.splitlines() == [first, "/lib64", "/usr/bin"]


def test_a_signal_ends_the_program_and_leaves_nothing(it: Programs, tmp_path: Path) -> None:
    command = it.command("fhs", it.built.old_root, "--", "sh", "-c", "echo ready; exec sleep 1000")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert len(os.listdir(tmp_path)) == 1
        process.terminate()
        assert process.wait() == 143
    assert os.listdir(tmp_path) == []


def test_nothing_in_the_store_has_changed(it: Programs) -> None:
    it.mount("sw/bin/openssl", "version")
    it.run("fhs", it.built.old_root, *it.pairs, "--", "openssl", "version")
    paths = [it.built.old_root, *it.built.replacements.values()]
    it.store.run("nix", "store", "verify", "--no-trust", "--recursive", *paths)
