"""Which paths without a marker are known for what they hold or name."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.kernel.tree import WINDOW
from graft.store.local import LocalStore
from graft.ways.pivot.candidates import Candidate, find_candidates, mentioned_texts
from graft.ways.pivot.variables import VARIABLES
from tests.store_objects import Contents, add_object, new_store
from tests.ways.pivot.test_points import marked

_CERTIFICATES = ("SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
_OPENGL = ("LIBGL_DRIVERS_PATH", "__EGL_VENDOR_LIBRARY_DIRS", "LD_LIBRARY_PATH")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def found(
    store: LocalStore, name: str, contents: Contents
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Type, sign and variables of the candidates that one object makes."""
    path = add_object(store, name, contents)
    candidates = find_candidates(store, [path])
    assert all(candidate.path == path for candidate in candidates)
    return [(one.type, one.sign, one.variables) for one in candidates]


def under(place: str, contents: Contents) -> Contents:
    for part in reversed(place.split("/")):
        contents = {part: contents}
    return contents


@pytest.mark.parametrize("name", ["ca-bundle.crt", "ca-certificates.crt"])
def test_certificates_are_known_by_their_bundle(store: LocalStore, name: str) -> None:
    sign = f"etc/ssl/certs/{name}"
    assert found(store, "any-1.0", under(sign, b"")) == [("cacert", sign, _CERTIFICATES)]


def test_certificates_are_known_by_the_packages_name(store: LocalStore) -> None:
    contents = under("etc/ssl/certs/one.crt", b"")
    assert found(store, "any-3.98", contents) == []
    assert found(store, "nss-cacert-3.98-unbundled", contents) == [
        ("cacert", "etc/ssl/certs", _CERTIFICATES)
    ]


@pytest.mark.parametrize("prefix", ["", "usr/"])
@pytest.mark.parametrize("file", ["zone.tab", "tzdata.zi", "UTC"])
def test_time_zones_are_known_by_their_directory(store: LocalStore, prefix: str, file: str) -> None:
    sign = f"{prefix}share/zoneinfo"
    contents = under(sign, {file: b""})
    assert found(store, "any", contents) == [("tzdata", sign, ("TZDIR", "PYTHONTZPATH"))]


def test_an_archive_of_locales_is_reached_by_its_variable(store: LocalStore) -> None:
    sign = "lib/locale/locale-archive"
    assert found(store, "any", under(sign, b"")) == [("locales", sign, ("LOCALE_ARCHIVE",))]


def test_directories_of_locales_are_reached_by_glibcs_own_variable(store: LocalStore) -> None:
    contents = under("lib/locale/C.utf8/LC_CTYPE", b"")
    assert found(store, "any", contents) == [("locales", "lib/locale", ("LOCPATH",))]


@pytest.mark.parametrize(
    ("strings", "variables"),
    [
        (b"\0LOCPATH\0", ("LOCPATH",)),
        (b"\0LOCPATH\0LOCALE_ARCHIVE\0", ("LOCALE_ARCHIVE", "LOCPATH")),
        (b"none", ()),
    ],
)
@pytest.mark.parametrize("directory", ["lib", "lib64", "lib/x86_64-linux-gnu"])
def test_glibc_looks_for_modules_and_for_locales_as_its_build_does(
    store: LocalStore, directory: str, strings: bytes, variables: tuple[str, ...]
) -> None:
    sign = f"{directory}/libc.so.6"
    assert found(store, "glibc-2.39", under(sign, strings)) == [
        ("locales", sign, variables),
        ("nss-modules", sign, ("LD_LIBRARY_PATH",)),
    ]


def test_a_directory_of_modules_is_known_by_their_names(store: LocalStore) -> None:
    contents = under("lib", {"libnss_ldap.so.2": b"", "libnss.so": b"", "libnss_x.a": b""})
    assert found(store, "nss-pam-ldapd", contents) == [
        ("nss-modules", "lib/libnss_ldap.so.2", ("LD_LIBRARY_PATH",))
    ]


def test_drivers_are_known_by_their_directory(store: LocalStore) -> None:
    contents = under("lib/dri/iris_dri.so", b"")
    assert found(store, "mesa-24.0", contents) == [("opengl-driver", "lib/dri", _OPENGL)]


@pytest.mark.parametrize(
    ("text", "kind", "variables"),
    [
        ("/run/opengl-driver", "opengl-driver", _OPENGL),
        ("/run/wrappers", "setuid-wrappers", ()),
        ("/run/setuid-programs", "setuid-wrappers", ()),
        ("/run/privileged", "setuid-wrappers", ()),
    ],
)
def test_a_directory_outside_the_store_is_known_by_the_bytes_that_name_it(
    store: LocalStore, text: str, kind: str, variables: tuple[str, ...]
) -> None:
    whole = text.encode()
    places: list[Contents] = [
        {"bin": b"#!/bin/sh\nexec " + whole + b"/bin/x\n"},
        {"bin": f"{text}/bin"},
    ]
    for number, contents in enumerate(places):
        assert found(store, f"any-{number}", contents) == [(kind, text, variables)]
    assert found(store, "not", {"bin": whole[:-1] + b"_"}) == []


def test_a_directory_is_seen_over_the_end_of_what_is_read_at_a_time(tmp_path: Path) -> None:
    text = b"/run/opengl-driver"
    file = tmp_path / "file"
    window = WINDOW
    for offset in range(window - 150, window + 20):
        file.write_bytes(bytes(offset) + text + bytes(window))
        seen = mentioned_texts(str(file), [text, b"/run/wrappers"], lambda _size: None)
        assert seen == {text}, offset


def test_texts_need_not_have_anything_in_common(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(b"getenv\0SSL_CERT_FILE\0TZDIR\0")
    texts = [b"SSL_CERT_FILE", b"LOCPATH", b"TZDIR"]
    assert mentioned_texts(str(file), texts, lambda _size: None) == {b"SSL_CERT_FILE", b"TZDIR"}


def test_what_a_path_only_links_to_is_not_its_own(store: LocalStore) -> None:
    contents: Contents = {
        "etc": {"ssl": {"certs": {"ca-bundle.crt": b""}}},
        "share": {"zoneinfo": {"UTC": b""}},
        "lib": {
            "libc.so.6": b"",
            "libnss_x.so.2": b"",
            "dri": {},
            "locale": {"locale-archive": b""},
        },
    }
    package = add_object(store, "package", contents)
    assert {one.type for one in find_candidates(store, [package])} == {
        "cacert",
        "tzdata",
        "locales",
        "nss-modules",
        "opengl-driver",
    }
    full = store.store_dir.path(package)
    links: Contents = {name: f"{full}/{name}" for name in ("etc", "share", "lib")}
    assert found(store, "environment", links) == []
    deep: Contents = {
        "etc": {"ssl": {"certs": {"ca-bundle.crt": f"{full}/etc/ssl/certs/ca-bundle.crt"}}}
    }
    assert found(store, "system", deep) == []


def test_a_marked_path_is_no_candidate_of_its_type(store: LocalStore) -> None:
    share: Contents = {"zoneinfo": {"UTC": b""}}
    path = add_object(store, "own", marked("tzdata", share=share))
    other = add_object(store, "other", marked("cacert", share=share))
    assert find_candidates(store, [path, other]) == [
        Candidate(path=other, type="tzdata", sign="share/zoneinfo", variables=VARIABLES["tzdata"])
    ]


def test_only_the_types_asked_for_are_looked_for(store: LocalStore) -> None:
    contents: Contents = {"share": {"zoneinfo": {"UTC": b"/run/wrappers"}}}
    path = add_object(store, "both", contents)
    sizes: list[int] = []
    for types, expected in [
        (["tzdata"], ["tzdata"]),
        (["setuid-wrappers"], ["setuid-wrappers"]),
        (["cacert"], []),
    ]:
        sizes.clear()
        candidates = find_candidates(store, [path], types, on_bytes=sizes.append)
        assert [one.type for one in candidates] == expected
        assert bool(sizes) == ("setuid-wrappers" in types)
