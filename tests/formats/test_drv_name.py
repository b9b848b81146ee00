"""Names and versions, as Nix's own builtins split and compare them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.drv_name import compare_versions, split_drv_name
from graft.store.local import LocalStore
from tests.real_nix import RealNix
from tests.store_objects import new_store

_VERSIONS = [
    *("", "0", "00", "1", "01", "1.0", "1-0", "1..0", ".1", "1.", "-", "...", "1a", "1a1", "a1"),
    *("2.3a", "2.3c", "2.3.1", "2.3", "2.3pre1", "2.3pre3", "2.3pre12", "2.3-pre", "pre", "prea"),
    *("3.0.13", "3.0.14", "3.0.14-dev", "3.0.9", "1.1.1w", "1.1.1", "1_0", "1+", "é", "z", "Z"),
    *("2147483647", "2147483648", "99999999999", "100000000000", "0000000000000000001", "20230101"),
    *("unstable-2024-01-02", "2024-01-02", "1.0~rc1", "1.0-rc1", "1.0rc1", "1.0?", "1.0=2"),
]
_NAMES = [
    *("openssl-3.0.13", "openssl", "openssl-3.0.13-dev", "a-b-1", "a-", "a--1", "-1", "a-1-b-2"),
    *("python3.11-six-1.16.0", "x-_1", "nixos-system-host-24.05", "gtk+-3.24", "a-é-1", "1-1", "-"),
]
_TEXTS = st.text(st.sampled_from("0123456789.-apre+_~Z"), max_size=12) | st.sampled_from(_VERSIONS)


@given(_TEXTS, _TEXTS)
def test_what_is_older_one_way_is_newer_the_other_way(left: str, right: str) -> None:
    assert compare_versions(left, right) == -compare_versions(right, left)
    assert compare_versions(left, left) == 0


@given(_TEXTS, st.sampled_from([".", "-", "..", "-."]))
def test_separators_at_an_end_change_nothing(version: str, separator: str) -> None:
    assert compare_versions(version, version + separator) == 0
    assert compare_versions(separator + version, version) == 0


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), st.data())
def test_versions_of_numbers_compare_as_their_lists(
    numbers: list[int], data: st.DataObject
) -> None:
    others = data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5))
    expected = (numbers > others) - (numbers < others)
    assert compare_versions(".".join(map(str, numbers)), ".".join(map(str, others))) == expected


@given(st.text(max_size=30))
def test_a_name_is_split_at_one_dash_or_not_at_all(text: str) -> None:
    name, version = split_drv_name(text)
    assert text == (f"{name}-{version}" if version else name)
    if version:
        assert not (version[0].isascii() and version[0].isalpha())


def test_versions_of_any_length_can_be_compared() -> None:
    assert compare_versions("9" * 10_000, "1") == -1
    assert compare_versions("0" * 10_000, "1") == -1


@pytest.mark.nix
@pytest.mark.slow
def test_nix_compares_and_splits_the_same(tmp_path: Path) -> None:
    store: LocalStore = new_store(tmp_path)
    pairs = [(left, right) for left in _VERSIONS for right in _VERSIONS]
    expression = (
        "{ text }: let given = builtins.fromJSON text; in {"
        "orders = map (p: builtins.compareVersions (builtins.elemAt p 0) (builtins.elemAt p 1))"
        " given.pairs; names = map builtins.parseDrvName given.names; }"
    )
    printed = RealNix(store.location, tmp_path).run(
        *("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression),
        *("--argstr", "text", json.dumps({"pairs": pairs, "names": _NAMES})),
    )
    told = json.loads(printed)
    assert [compare_versions(*pair) for pair in pairs] == told["orders"]
    assert [
        dict(zip(("name", "version"), split_drv_name(name), strict=True)) for name in _NAMES
    ] == told["names"]
    ordered = ["2.3pre1", "2.3pre3", "2.3pre12", "2.3", "2.3a", "2.3c", "2.3.1"]
    assert all(compare_versions(*pair) == -1 for pair in pairwise(ordered))
