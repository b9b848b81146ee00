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


def test_a_version_in_the_name_is_refused_with_what_to_say() -> None:
    with pytest.raises(BadFormatError, match="say 'openssl'"):
        PackageRange.parse("openssl-3.0.13")


@given(_WORDS, st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">="]), _VERSIONS), max_size=3))
def test_a_range_is_read_as_it_is_printed(name: str, bounds: list[tuple[str, str]]) -> None:
    made = PackageRange(name=name, bounds=tuple(bounds))
    assert PackageRange.parse(str(made)) == made


@given(_WORDS, _VERSIONS, _VERSIONS)
def test_a_version_is_below_or_not_below(name: str, version: str, bound: str) -> None:
    path = f"{name}-{version}"
    below, not_below = (_contains(f"{name}{sign}{bound}", path) for sign in ("<", ">="))
    assert below is not None
    assert below is not not_below


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        made = PackageRange.parse(text)
    except BadFormatError:
        return
    assert PackageRange.parse(str(made)) == made
