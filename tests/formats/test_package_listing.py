"""Lists of packages: what nix-env prints, and all else a typed error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.derivations.package_listing import parse_package_listing
from graft.formats.store_path import StoreDir, StorePath

STORE = StoreDir("/nix/store")
ONE = StorePath(f"{'0' * 32}-one-1.0.drv")
TWO = StorePath(f"{'1' * 32}-two-2.0.drv")
FULL = STORE.path(ONE)
OUTPUTS = f"{STORE}/{'2' * 32}-one-1.0;bin={STORE}/{'3' * 32}-one-1.0-bin"


@pytest.mark.parametrize(
    "line",
    [
        f"one  one-1.0  {FULL}  {OUTPUTS}",
        f"one  {FULL}  {OUTPUTS}",
        f"one  one-1.0  {FULL}",
        f"one  one-1.0  x86_64-linux  {FULL}  {OUTPUTS}  A tool",
    ],
)
def test_attribute_and_derivation_are_found_among_the_columns(line: str) -> None:
    text = f"{line}\n\ntwo.x  {STORE.path(TWO)}\n"
    assert parse_package_listing(text, STORE, "list") == [("one", ONE), ("two.x", TWO)]


def test_a_path_alone_has_no_attribute() -> None:
    assert parse_package_listing(f"{FULL}\n", STORE, "list") == [(None, ONE)]


@pytest.mark.parametrize("line", ["one  one-1.0", "one one.drv", f"one /gnu/store/{ONE}", OUTPUTS])
def test_a_line_without_a_derivation_is_an_error(line: str) -> None:
    with pytest.raises(BadFormatError, match="'list', line 2: no path of a derivation"):
        parse_package_listing(f"x {FULL}\n{line}\n", STORE, "list")


def test_an_attribute_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(BadFormatError, match="line 3: 'x' is in line 1 as well"):
        parse_package_listing(f"x {FULL}\ny {FULL}\nx {FULL}\n", STORE, "list")


@given(st.text(alphabet=f"one 0-./\n{FULL}"))
def test_all_else_is_a_list_or_a_typed_error(text: str) -> None:
    try:
        found = parse_package_listing(text, STORE, "list")
    except BadFormatError as error:
        message = error.message
    else:
        assert len(found) == len([line for line in text.splitlines() if line.strip()])
        return
    assert "line " in message
