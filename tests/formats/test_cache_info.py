"""nix-cache-info: read strictly, written as Nix writes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.cache_info import CacheInfo, parse_cache_info, print_cache_info
from graft.formats.store_path import StoreDir
from tests.real_nix import RealNix
from tests.store_objects import new_store

TEXT = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n"

_infos = st.builds(
    CacheInfo,
    store_dir=st.sampled_from(["/nix/store", "/gnu/store", "/tmp/a b"]).map(StoreDir),
    want_mass_query=st.none() | st.booleans(),
    priority=st.none() | st.integers(-(10**8), 10**8),
)


def test_all_that_may_be_said_is_read_and_written() -> None:
    info = CacheInfo(store_dir=StoreDir("/nix/store"), want_mass_query=True, priority=40)
    assert parse_cache_info(TEXT, "x") == info
    assert print_cache_info(info) == TEXT
    assert parse_cache_info("StoreDir:/nix/store \n\nUnknown: 1", "x").priority is None


@given(_infos)
def test_every_cache_info_is_read_back(info: CacheInfo) -> None:
    assert parse_cache_info(print_cache_info(info), "x") == info


_lines = st.sampled_from([*TEXT.splitlines(), "", "X", "a: b", "StoreDir: x"]) | st.text()


@given(st.lists(_lines, max_size=5).map("\n".join))
def test_any_text_is_a_cache_info_or_one_sentence(text: str) -> None:
    try:
        info = parse_cache_info(text, "x")
    except BadFormatError as error:
        message = error.message
    else:
        assert parse_cache_info(print_cache_info(info), "x") == info
        return
    assert message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Priority: 40\n",
        "StoreDir: nix/store\n",
        "StoreDir: /\n",
        "StoreDir: /nix/store/\n",
        "StoreDir: /nix/../store\n",
        "StoreDir: /nix//store\n",
        "StoreDir: /nix/\x1b[2J\n",
        "<!doctype html>\n",
        TEXT + "Priority: 40\n",
        TEXT.replace("40", "high"),
        TEXT.replace("40", "9" * 5000),
        TEXT.replace(" 1", " yes"),
    ],
)
def test_another_form_is_an_error_that_names_the_cache(text: str) -> None:
    with pytest.raises(BadFormatError, match="nix-cache-info of 'x'"):
        parse_cache_info(text, "x")


@pytest.mark.nix
def test_what_nix_writes_is_written_the_same(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    command = ["nix", "store", "ping", "--store", f"file://{tmp_path}/cache"]
    subprocess.run(command, env=nix.environment, check=True)
    text = (tmp_path / "cache" / "nix-cache-info").read_text()
    assert print_cache_info(CacheInfo(store_dir=store.store_dir)) == text
