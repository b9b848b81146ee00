"""What people replace, on real programs: certificates, time zones, locales, name services."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from tests.authority import ANSWER, make_certificate, serving
from tests.debpkgs.edited import edited
from tests.debpkgs_graft import MARKS
from tests.ways.compare.real_closure import PROGRAMS, SmallSet, Ways, ways

pytestmark = [*MARKS, pytest.mark.slow, pytest.mark.needs("strace", "bwrap")]

TRUSTED = f"{ANSWER.decode()}\n"

# --- a new bundle of certificates

FETCH = """\
import sys, urllib.request as r
try: print(r.urlopen(sys.argv[1]).read().decode())
except r.URLError as error: sys.exit(error.reason.__class__.__name__)
"""
CURL, CLEARED, PYTHON, PROFILE, GIT, WGET = range(6)


@pytest.fixture(scope="module")
def certificates(small_set: SmallSet) -> Ways:
    """The bundle replaced by one with an authority of our own, and who trusts it."""
    it, root = small_set, small_set.root
    old = it.path("ca-certificates-")
    certificate = make_certificate(f"{root}/sw/bin/openssl", it.directory)
    new = edited(
        it.store,
        old,
        "cat $certificate >> etc/ssl/certs/ca-certificates.crt",
        it.directory,
        {"certificate": certificate},
    )
    # What is marked wants every type: what is not to change leads to what is built in.
    pivots = {"cacert": new, "tzdata": it.path("tzdata-")}
    with serving(it.directory) as url:
        fetch = shlex.join(["python3", "-c", FETCH, url])
        probes = [
            f"sw/bin/curl --silent {url}",
            f"env -i {root}/sw/bin/curl --silent --noproxy localhost {url}",
            f"sw/bin/{fetch}",
            shlex.join(["sw/bin/bash", "-c", f". {root}/etc/profile; {fetch}"]),
            f"sw/bin/git ls-remote {url}",
            f"sw/bin/wget --quiet --output-document=- {url}",
        ]
        command = it.comparing(root, (old, new), pivots, probes)
        return Ways(json.loads(it.run(*command, no_proxy="localhost")))


def test_curl_trusts_the_new_bundle_under_every_way(certificates: Ways) -> None:
    assert certificates.opened(CURL) == ways("OLD", "NEW", "NEW", "NEW")
    assert certificates.exits(CURL) == {"original": 60, "graft": 0, "pivot": 0, "mount": 0}
    assert certificates.printing(CURL, ANSWER.decode()) == {"graft", "pivot", "mount"}


def test_in_a_cleared_environment_pivots_are_gone(certificates: Ways) -> None:
    assert certificates.opened(CLEARED) == ways("OLD", "NEW", "OLD", "NEW")
    assert certificates.printing(CLEARED, ANSWER.decode()) == {"graft", "mount"}
    assert certificates.probe("pivot", CLEARED)["exit"] == 60


def test_python_has_no_bundle_of_its_own_and_only_a_variable_reaches_it(
    certificates: Ways,
) -> None:
    assert certificates.opened(PYTHON) == ways("neither", "neither", "NEW", "neither")
    assert certificates.printing(PYTHON, TRUSTED) == {"pivot"}
    assert certificates.printing(PYTHON, "SSLCertVerificationError\n") == {
        *("original", "graft", "mount")
    }


def test_a_profile_that_sets_the_variable_itself_hides_pivots(certificates: Ways) -> None:
    assert certificates.opened(PROFILE) == ways("OLD", "NEW", "OLD", "NEW")
    assert certificates.printing(PROFILE, TRUSTED) == {"graft", "mount"}


def test_git_trusts_the_new_bundle_by_gnutls_under_every_way(certificates: Ways) -> None:
    assert certificates.opened(GIT) == ways("OLD", "NEW", "NEW", "NEW")
    # What the server has is as good as an empty repository.
    assert certificates.printing(GIT, "") == {"graft", "pivot", "mount"}
    assert "exit status 0 instead of 128" in certificates.probe("graft", GIT)["difference"]


def test_what_names_a_bundle_outside_of_the_store_is_reached_by_nothing(
    small_set: SmallSet, certificates: Ways
) -> None:
    library = Path(small_set.path("libgnutls30-")) / "lib/x86_64-linux-gnu/libgnutls.so.30"
    assert b"\0/etc/ssl/certs/ca-certificates.crt\0" in library.read_bytes()
    assert set(certificates.opened(WGET).values()) == {"neither"}
    assert set(certificates.exits(WGET).values()) == {5}


def test_a_bundle_has_few_dependents_and_nearly_all_of_them_can_be_told(certificates: Ways) -> None:
    graft, pivot, rebuild = (certificates[way] for way in ("graft", "pivot", "rebuild"))
    assert graft["coverage"]["dependents"] == graft["paths_changed"] > 0
    assert graft["old_references_left"] == 0
    assert certificates.missed("graft") == certificates.missed("mount") == {}
    # By its profile, that is.
    assert certificates.missed("pivot") == {"system-small": "sets SSL_CERT_FILE to OLD itself"}
    assert (pivot["paths_changed"], pivot["bytes"]) == (0, {"written": 0, "shared": 0})
    # Those that use it when they are built as well.
    assert rebuild["derivations"] >= graft["paths_changed"]


# --- new time zones

WHEN = """\
import datetime as d, zoneinfo as z
print(d.datetime.fromtimestamp(1700000000, z.ZoneInfo("Europe/Paris")).strftime("%H:%M"))
"""
ZONEINFO, CLEARED_ZONEINFO, DATE, PROFILE_DATE, TOOL = range(5)
PARIS, KATHMANDU = "23:13\n", "03:58\n"


@pytest.fixture(scope="module")
def zones(small_set: SmallSet) -> Ways:
    """The time zones replaced by some where Paris is as far east as Kathmandu."""
    it, root = small_set, small_set.root
    old = it.path("tzdata-")
    script = "cd share/zoneinfo; cp --remove-destination Asia/Kathmandu Europe/Paris"
    new = edited(it.store, old, script, it.directory)
    pivots = {"tzdata": f"{new}/share/zoneinfo", "cacert": it.path("ca-certificates-")}
    python = shlex.join(["python3", "-c", WHEN])
    date = "TZ=Europe/Paris date -d @1700000000 +%H:%M"
    probes = [
        f"sw/bin/{python}",
        f"env -i {root}/sw/bin/{python}",
        f"sw/bin/bash -c 'PATH={root}/sw/bin; {date}'",
        f"sw/bin/bash -c '. {root}/etc/profile; {date}'",
        "sw/bin/tool",
    ]
    return Ways(json.loads(it.run(*it.comparing(root, (old, new), pivots, probes))))


def test_python_has_the_zones_built_in_and_asks_a_variable_first(zones: Ways) -> None:
    assert zones.opened(ZONEINFO) == ways("OLD", "NEW", "NEW", "NEW")
    assert zones.printing(ZONEINFO, PARIS) == {"original"}
    assert zones.printing(ZONEINFO, KATHMANDU) == {"graft", "pivot", "mount"}
    assert zones.opened(CLEARED_ZONEINFO) == ways("OLD", "NEW", "OLD", "NEW")
    assert zones.printing(CLEARED_ZONEINFO, KATHMANDU) == {"graft", "mount"}


def test_what_glibc_names_outside_of_the_store_only_a_variable_replaces(zones: Ways) -> None:
    assert zones.opened(DATE) == ways("neither", "neither", "NEW", "neither")
    assert zones.printing(DATE, KATHMANDU) == {"pivot"}


def test_a_profile_with_zones_is_grafted_and_hides_pivots(zones: Ways) -> None:
    assert zones.opened(PROFILE_DATE) == ways("OLD", "NEW", "OLD", "NEW")
    assert zones.printing(PROFILE_DATE, KATHMANDU) == {"graft", "mount"}
    assert zones.missed("pivot") == {"system-small": "sets TZDIR to OLD itself"}


def test_marked_programs_say_that_they_were_pivoted(zones: Ways) -> None:
    assert "+pivot " in zones.probe("pivot", TOOL)["difference"]
    # A graft and a mount change no answer: the path is built in as before, but for its hash part.
    assert [zones.probe(way, TOOL)["differs"] for way in ("graft", "mount")] == [False, False]
    pivots = {
        StorePath(os.path.basename(member["path"])).package_name: member["pivots"]
        for member in zones.document["closure"]
        if member["pivots"] and member["role"] != "new"
    }
    assert pivots == {
        "pivot-tz": ["tzdata"],
        "pivot-ca": ["cacert"],
        "tzdata": ["tzdata"],
        "ca-certificates": ["cacert"],
    }


# --- a module for glibc's name service, and a locale

# What a line `passwd: grafted` in /etc/nsswitch.conf does.
KNOWN = """\
import ctypes, pwd
ctypes.CDLL(None).__nss_configure_lookup(b"passwd", b"grafted")
print(pwd.getpwnam("grafted").pw_uid)
"""
SPOKEN = "import locale; print(locale.setlocale(locale.LC_ALL, 'xx_XX.UTF-8'))"
NAME, CLEARED_NAME, LOCALE = range(3)


@pytest.fixture(scope="module")
def glibc(small_set: SmallSet) -> Ways:
    """glibc replaced by one with another module beside it, and with a locale."""
    it, root = small_set, small_set.root
    old = it.path("glibc-")
    shutil.copytree("/usr/lib/locale/C.utf8", it.directory / "locale")
    # nixpkgs' loader looks for modules in glibc's own directory, Debian's in those of Debian.
    script = """
    cd lib/x86_64-linux-gnu
    gcc -shared -fPIC -Wall -Wextra -Werror -o libnss_grafted.so.2 $source
    patchelf --set-rpath $PWD libc.so.6
    mkdir ../modules ../locale
    ln -s ../x86_64-linux-gnu/libnss_grafted.so.2 ../modules
    cp -r $locale ../locale/xx_XX.utf8
    """
    files = {"source": PROGRAMS / "nss_grafted.c", "locale": it.directory / "locale"}
    new = edited(it.store, old, script, it.directory, files)
    pivots = {
        "cacert": it.path("ca-certificates-"),
        "tzdata": it.path("tzdata-"),
        # A directory of nothing but modules: beside a libc.so.6 it would bring that as well.
        "nss-modules": f"{new}/lib/modules",
        "locales": f"{new}/lib/locale",
    }
    known = shlex.join(["python3", "-c", KNOWN])
    probes = [
        f"sw/bin/{known}",
        f"env -i {root}/sw/bin/{known}",
        shlex.join(["sw/bin/python3", "-c", SPOKEN]),
    ]
    return Ways(json.loads(it.run(*it.comparing(root, (old, new), pivots, probes))))


def test_a_module_is_found_in_glibc_or_by_the_library_path(glibc: Ways) -> None:
    assert glibc.opened(NAME) == ways("OLD", "NEW", "OLD and NEW", "NEW")
    assert glibc.probe("original", NAME)["exit"] == 1
    assert glibc.printing(NAME, "4242\n") == {"graft", "pivot", "mount"}
    assert glibc.opened(CLEARED_NAME) == ways("OLD", "NEW", "OLD", "NEW")
    assert glibc.printing(CLEARED_NAME, "4242\n") == {"graft", "mount"}


def test_a_module_in_glibc_costs_a_graft_of_nearly_everything(glibc: Ways) -> None:
    graft, mount = glibc["graft"], glibc["mount"]
    original = [path for path in glibc.document["closure"] if path["role"] != "new"]
    assert graft["paths_changed"] == graft["coverage"]["dependents"]
    assert graft["paths_changed"] > 0.9 * len(original)
    assert graft["bytes"]["written"] > 100_000_000
    assert (mount["paths_changed"], mount["bytes"]["written"]) == (0, 0)
    assert mount["coverage"] == graft["coverage"]
    assert glibc["pivot"]["bytes"]["written"] == 0


def test_a_locale_is_found_only_where_a_variable_says(glibc: Ways) -> None:
    # Debian's glibc names /usr/lib/locale; NEW's own directory it does not ask.
    assert glibc.opened(LOCALE) == ways("OLD", "NEW", "OLD and NEW", "NEW")
    assert glibc.printing(LOCALE, "xx_XX.UTF-8\n") == {"pivot"}
    assert glibc.probe("graft", LOCALE)["exit"] == 1
