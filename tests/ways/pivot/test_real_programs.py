"""Real programs that know nothing of pivots, and some that do, with other data at run time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.authority import make_certificate, serving
from tests.debpkgs.built import Built, small
from tests.debpkgs.store import PrivateStore
from tests.debpkgs_graft import MARKS

pytestmark = [*MARKS, pytest.mark.slow]

_MODULE = """\
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <string.h>

enum nss_status _nss_pivoted_getpwnam_r(const char *name, struct passwd *found, char *buffer,
                                        size_t size, int *error)
{
    if (strcmp(name, "pivoted") != 0 || size < 16)
        return *error = ENOENT, NSS_STATUS_NOTFOUND;
    memcpy(buffer, "pivoted\\0/none", 14);
    *found = (struct passwd){buffer, buffer + 7, 4242, 4242, buffer + 7, buffer + 8, buffer + 8};
    return NSS_STATUS_SUCCESS;
}
"""


@dataclass(frozen=True)
class Machine:
    """The small set, with what stands on this machine for newer data."""

    built: Built
    store: PrivateStore
    directory: Path

    @property
    def root(self) -> str:
        return self.built.old_root

    def graft(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        url = f"--store=local?store={self.store.store_dir}&state={self.store.state_dir}"
        return self.run(sys.executable, "-m", "graft", url, "pivot", *arguments, **variables)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, check=False
        )

    def program(self, name: str) -> str:
        return f"{self.root}/sw/bin/{name}"

    def create(self, *options: str, **targets: Path) -> str:
        """Makes pivots for the root: stand-ins for the types that it is marked with, and more."""
        pivots = {"cacert": self.directory / "cert.pem", "tzdata": self.directory / "zones"}
        pivots |= {kind.replace("_", "-"): target for kind, target in targets.items()}
        given = [f"--pivot={kind}={target}" for kind, target in pivots.items()]
        done = self.graft("create", self.root, *given, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def pivoted(
        self, pivots: str, *command: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program with the pivots in force."""
        options = ("--pivot-dir", pivots, "--", *command)
        return self.graft("exec", self.root, *options, **variables)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    built = small()
    directory = tmp_path_factory.mktemp("newer")
    with built.checkout() as store:
        machine = Machine(built, store, directory)
        make_certificate(machine.program("openssl"), directory)
        # What no release of the time zones says of Paris.
        zones = Path(f"{machine.root}/etc/zoneinfo")
        (directory / "zones" / "Europe").mkdir(parents=True)
        (directory / "zones" / "tzdata.zi").write_text("# version pivoted\n")
        shutil.copyfile(zones / "Asia" / "Kathmandu", directory / "zones" / "Europe" / "Paris")
        yield machine


@pytest.fixture(scope="module")
def pivots(machine: Machine) -> str:
    return machine.create("-o", str(machine.directory / "pivots"))


@pytest.fixture(scope="module")
def url(machine: Machine) -> Iterator[str]:
    """Of a server with a certificate that nobody trusts."""
    with serving(machine.directory) as url:
        yield url


def test_curl_trusts_another_authority(machine: Machine, pivots: str, url: str) -> None:
    command = [machine.program("curl"), "--silent", "--noproxy", "*", url]
    assert machine.run(*command).returncode == 60
    done = machine.pivoted(pivots, *command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "trusted", "")


def test_python_trusts_another_authority(machine: Machine, pivots: str, url: str) -> None:
    program = (
        "import ssl, sys, urllib.request as r\n"
        "opener = r.build_opener(r.ProxyHandler({}))\n"
        "try: print(opener.open(sys.argv[1]).read().decode())\n"
        "except r.URLError as error: print(error.reason.__class__.__name__)\n"
    )
    command = [machine.program("python3"), "-c", program, url]
    assert machine.run(*command).stdout == "SSLCertVerificationError\n"
    assert machine.pivoted(pivots, *command).stdout == "trusted\n"


def test_git_trusts_another_authority(machine: Machine, pivots: str, url: str) -> None:
    command = [machine.program("git"), "ls-remote", url]
    assert "certificate" in machine.run(*command, no_proxy="*").stderr
    # What it gets is as good as an empty repository.
    assert machine.pivoted(pivots, *command, no_proxy="*").returncode == 0


def test_a_program_that_asks_no_variable_runs_as_built(
    machine: Machine, pivots: str, url: str
) -> None:
    # Debian's wget is built with GnuTLS, which has no variable for its authorities.
    command = [machine.program("wget"), "--no-proxy", "--quiet", "-O", "-", url]
    assert machine.pivoted(pivots, *command).returncode == 5


def test_a_program_that_gets_a_cleared_environment_runs_as_built(
    machine: Machine, pivots: str, url: str
) -> None:
    command = [machine.program("env"), "-i", machine.program("curl"), "--silent", url]
    assert machine.pivoted(pivots, *command).returncode == 60


@pytest.mark.needs("setpriv")
def test_a_program_in_secure_execution_runs_as_built(
    machine: Machine, pivots: str, open_directory: Path
) -> None:
    copy = shutil.copy(os.path.realpath(machine.program("date")), open_directory)
    command = [str(copy), "-d", "@1700000000", "+%H:%M"]
    assert machine.pivoted(pivots, *command, TZ="Europe/Paris").stdout == "03:58\n"
    os.chmod(copy, 0o4755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = machine.pivoted(pivots, *nobody, *command, TZ="Europe/Paris")
    # glibc takes TZDIR away, and so it is the machine's time zones, if it has any.
    assert done.stdout in {"23:13\n", "22:13\n"}, done.stderr


def test_date_and_python_have_other_time_zones(machine: Machine, pivots: str) -> None:
    date = [machine.program("date"), "-d", "@1700000000", "+%H:%M"]
    program = (
        "import datetime as d, zoneinfo as z;"
        "print(d.datetime.fromtimestamp(1700000000, z.ZoneInfo('Europe/Paris')).strftime('%H:%M'))"
    )
    python = [machine.program("python3"), "-c", program]
    zones = f"{machine.root}/etc/zoneinfo"
    assert machine.run(*date, TZ="Europe/Paris", TZDIR=zones).stdout == "23:13\n"
    assert machine.run(*python, PYTHONTZPATH=zones).stdout == "23:13\n"
    assert machine.pivoted(pivots, *date, TZ="Europe/Paris").stdout == "03:58\n"
    assert machine.pivoted(pivots, *python, PYTHONTZPATH=zones).stdout == "03:58\n"


def test_programs_that_know_pivots_find_their_own(machine: Machine, pivots: str) -> None:
    built_in = machine.run(machine.program("tool")).stdout.splitlines()
    assert [line.split()[0] for line in built_in[1:]] == ["builtin", "builtin"]
    found = machine.pivoted(pivots, machine.program("tool")).stdout.splitlines()
    places = [line.removeprefix("pivot ") for line in found[1:]]
    assert [os.path.basename(place) for place in places] == ["tzdata", "cacert"]
    assert os.path.realpath(places[0]) == os.path.realpath(machine.directory / "zones")


def test_glibc_loads_another_nss_module(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "module.c").write_text(_MODULE)
    modules = tmp_path / "nss" / "lib"
    modules.mkdir(parents=True)
    options = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        ["gcc", *options, "-o", modules / "libnss_pivoted.so.2", tmp_path / "module.c"], check=True
    )
    made = machine.create("-o", str(tmp_path / "pivots"), nss_modules=tmp_path / "nss")
    # What a line `passwd: pivoted` in /etc/nsswitch.conf does.
    program = (
        "import ctypes, pwd; ctypes.CDLL(None).__nss_configure_lookup(b'passwd', b'pivoted');"
        "print(pwd.getpwnam('pivoted').pw_uid)"
    )
    command = [machine.program("python3"), "-c", program]
    assert "name not found" in machine.run(*command).stderr
    done = machine.pivoted(made, *command)
    assert (done.stdout, done.stderr) == ("4242\n", "")


def test_glibc_has_other_locales(machine: Machine, tmp_path: Path) -> None:
    # A locale that glibc of the set has not, by the name at least.
    shutil.copytree("/usr/lib/locale/C.utf8", tmp_path / "locales" / "xx_XX.utf8")
    made = machine.create("-o", str(tmp_path / "pivots"), locales=tmp_path / "locales")
    program = "import locale; print(locale.setlocale(locale.LC_ALL, 'xx_XX.UTF-8'))"
    command = [machine.program("python3"), "-c", program]
    assert "unsupported locale setting" in machine.run(*command).stderr
    assert machine.pivoted(made, *command).stdout == "xx_XX.UTF-8\n"


def test_list_knows_what_the_set_holds(machine: Machine) -> None:
    done = machine.graft("list", machine.root)
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    found = {(os.path.basename(row[0])[33:].split("-")[0], row[1], row[-1]) for row in rows}
    assert found == {
        ("pivot", "tzdata", "pivots"),
        ("pivot", "cacert", "pivots"),
        ("glibc", "locales", "LOCPATH"),
        ("glibc", "nss-modules", "LD_LIBRARY_PATH"),
        ("tzdata", "tzdata", "PYTHONTZPATH"),
        ("ca", "cacert", "GIT_SSL_CAINFO"),
    }


def test_nix_keeps_a_store_object_and_what_it_leads_to(machine: Machine) -> None:
    bundle = machine.directory / "bundle"
    bundle.mkdir()
    shutil.copy(machine.directory / "cert.pem", bundle / "ca-bundle.crt")
    added = machine.store.run("nix-store", "--add", str(bundle)).strip()
    made = machine.create(cacert=Path(added))
    machine.store.run("nix-store", "--gc")
    machine.store.run("nix-store", "--verify")
    machine.store.run("nix", "store", "verify", "--no-trust", made)
    references = machine.store.run("nix-store", "--query", "--references", made).split()
    assert {added, machine.root} <= set(references)
    done = machine.pivoted(made, machine.program("bash"), "-c", 'echo "$SSL_CERT_FILE"')
    assert done.stdout == f"{added}/ca-bundle.crt\n"
    assert os.path.exists(done.stdout.strip())
