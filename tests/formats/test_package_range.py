"""Packages below, or between, versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.package_range import PackageRange
from graft.formats.store_path import StorePath

_WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9+_.]{0,8}", fullmatch=True)
_VERSIONS = st.from_regex(r"[0-9][0-9a-z.+_-]{0,8}", fullmatch=True)


def _contains(text: str, name: str) -> bool | None:
    return PackageRange.parse(text).contains(StorePath(f"{'0' * 32}-{name}"))


@pytest.mark.parametrize(
    ("text", "name", "contained"),
    [
        ("openssl", "openssl-3.0.13", True),
        ("openssl", "openssl", True),
        ("openssl", "openssl-3.0.13.drv", False),
        ("openssl", "openssl-certs-1", False),
        ("openssl<3.0.14", "openssl-3.0.13", True),
        ("openssl<3.0.14", "openssl-3.0.9", True),
        ("openssl<3.0.14", "openssl-3.0.14", False),
        ("openssl<3.0.14", "openssl-3.0.13-bin", True),
        ("openssl<3.0.14", "openssl-3.0.14-dev", False),
        ("openssl<=3.0.14", "openssl-3.0.14-dev", True),
        ("openssl>3.0.14", "openssl-3.0.14-lib", False),
        ("openssl<3.0.14", "openssl", None),
        ("openssl<3.0.14", "openssl-3.0.13.drv", False),
        ("openssl<2.0", "openssl-3.0.14", False),
        ("openssl>=3.0,<3.0.14", "openssl-3.0.13", True),
        ("openssl >= 3.0, < 3.0.14", "openssl-1.1.1w", False),
        ("xz>=5.6.0,<=5.6.1", "xz-5.6.1-bin", True),
        ("xz<5.6", "xz-5.6pre1", True),
        ("python3.11-six<2", "python3.11-six-1.16.0", True),
    ],
)
def test_a_range_holds_the_versions_it_names(
    text: str, name: str, *, contained: bool | None
) -> None:
    assert _contains(text, name) is contained


@pytest.mark.parametrize(
    "text",
    ["", "<3", "openssl<", "openssl<>3", "openssl<3,", "openssl<3,4", "a b", "a/b", "a<3=4<5"],
)
def test_what_names_no_package_is_refused(text: str) -> None:
    with pytest.raises(BadFormatError, match="names no package"):
        PackageRange.parse(text)


def test_a_version_in_the_name_is_that_version() -> None:
    assert PackageRange.parse("openssl-3.0.13") == PackageRange.parse("openssl==3.0.13")
    with pytest.raises(BadFormatError, match=r"say 'openssl<4' or 'openssl-3\.0\.13'"):
        PackageRange.parse("openssl-3.0.13<4")


@pytest.mark.parametrize(
    ("text", "name", "by_revision"),
    [
        ("glibc<=2.39", "glibc-2.39-52", True),
        ("glibc<=2.39", "glibc-2.39-52-bin", True),
        ("glibc=2.39", "glibc-2.39", False),
        ("glibc<2.40", "glibc-2.39-52", False),
        ("openssl-3.0.20", "openssl-3.0.20-1.deb12u2", True),
    ],
)
def test_a_bound_without_a_revision_covers_the_revisions(
    text: str, name: str, *, by_revision: bool
) -> None:
    path = StorePath(f"{'0' * 32}-{name}")
    assert PackageRange.parse(text).contains(path)
    assert PackageRange.parse(text).by_revision(path) is by_revision


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("glibc<2.39", "glibc-2.39-52"),
        ("glibc<=2.39-51", "glibc-2.39-52"),
        ("glibc=2.39", "glibc-2.39.1"),
        ("glibc=2.39-1", "glibc-2.39"),
    ],
)
def test_no_other_version_is_covered(text: str, name: str) -> None:
    assert _contains(text, name) is False


@given(
    _WORDS, st.lists(st.tuples(st.sampled_from(["<", "<=", "=", ">", ">="]), _VERSIONS), max_size=3)
)
def test_a_range_is_read_as_it_is_printed(name: str, bounds: list[tuple[str, str]]) -> None:
    made = PackageRange(name=name, bounds=tuple(bounds))
    assert PackageRange.parse(str(made)) == made


@given(_WORDS, _VERSIONS, _VERSIONS)
def test_a_version_is_below_or_not_below(name: str, version: str, bound: str) -> None:
    path = f"{name}-{version}"
    below, not_below = (_contains(f"{name}{sign}{bound}", path) for sign in ("<", ">="))
    assert (below or not_below) is True
    # A revision may be before its version, as 2.39-pre1 is, and is covered by it as well.
    assert not (below and not_below) or "-" in version


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        made = PackageRange.parse(text)
    except BadFormatError:
        return
    assert PackageRange.parse(str(made)) == made
