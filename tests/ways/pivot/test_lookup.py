"""The three look-ups, each with its order, its defaults, and what it passes over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.ways.pivot.lookup import Lookup, Step, search

BASE = f"{'0' * 32}-curl-8.5.0"


def pivot(directory: Path, kind: str = "cacert") -> str:
    """Makes a pivot in a directory, and gives its place."""
    place = directory / BASE / kind
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    return str(place)


def found(lookup: Lookup, environment: dict[str, str], kind: str = "cacert") -> list[str]:
    steps = search(BASE, kind, lookup, environment)
    return [step.place for step in steps if step.outcome == "found"]


def test_directories_are_searched_in_their_order(tmp_path: Path) -> None:
    one, two = pivot(tmp_path / "one"), pivot(tmp_path / "two")
    value = f"{tmp_path}/two:{tmp_path}/none::{tmp_path}/one:"
    assert found("env", {"NIXPKGS_PIVOT_DIRS": value}) == [two, one]


def test_every_step_of_a_search_is_told(tmp_path: Path) -> None:
    place = pivot(tmp_path)
    value = f"/nonexistent:{tmp_path}"
    assert list(search(BASE, "cacert", "env", {"NIXPKGS_PIVOT_DIRS": value})) == [
        Step(
            origin="NIXPKGS_PIVOT_DIRS",
            place=f"/nonexistent/{BASE}/cacert",
            outcome="missing",
        ),
        Step(origin="NIXPKGS_PIVOT_DIRS", place=place, outcome="found"),
    ]


@pytest.mark.parametrize(
    "environment", [{}, {"NIXPKGS_PIVOT_DIRS": ""}, {"NIXPKGS_PIVOT_DIRS": "::"}]
)
def test_without_the_variable_there_is_nothing(environment: dict[str, str]) -> None:
    assert list(search(BASE, "cacert", "env", environment)) == [
        Step(origin="NIXPKGS_PIVOT_DIRS", place="", outcome="unset")
    ]


def test_a_directory_without_the_type_does_not_end_the_search(tmp_path: Path) -> None:
    pivot(tmp_path / "one", "tzdata")
    place = pivot(tmp_path / "two")
    assert found("env", {"NIXPKGS_PIVOT_DIRS": f"{tmp_path}/one:{tmp_path}/two"}) == [place]


def test_a_link_that_leads_nowhere_is_no_match(tmp_path: Path) -> None:
    (tmp_path / BASE).mkdir()
    (tmp_path / BASE / "cacert").symlink_to("nowhere")
    assert found("env", {"NIXPKGS_PIVOT_DIRS": str(tmp_path)}) == []


def test_xdg_searches_home_first(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("home/.config", "config", "one", "two")]
    in_home, in_config, in_one, in_two = (pivot(home / "nix" / "pivots") for home in homes)
    environment = {"HOME": str(tmp_path / "home")}
    assert found("xdg", environment) == [in_home]
    environment["XDG_CONFIG_DIRS"] = f"{tmp_path}/one:{tmp_path}/two"
    assert found("xdg", environment) == [in_home, in_one, in_two]
    environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    assert found("xdg", environment) == [in_config, in_one, in_two]
    environment["XDG_CONFIG_HOME"] = ""
    assert found("xdg", environment) == [in_home, in_one, in_two]


@pytest.mark.parametrize("value", [None, ""])
def test_xdg_has_the_specifications_defaults(value: str | None) -> None:
    environment = {} if value is None else {"XDG_CONFIG_HOME": value, "XDG_CONFIG_DIRS": value}
    places = [step.place for step in search(BASE, "cacert", "xdg", {"HOME": "/h", **environment})]
    assert places == [f"/h/.config/nix/pivots/{BASE}/cacert", f"/etc/xdg/nix/pivots/{BASE}/cacert"]
    steps = list(search(BASE, "cacert", "xdg-indirect", environment))
    assert steps[0] == Step(origin="HOME", place="", outcome="unset")
    assert steps[1].place == "/etc/xdg/nix/pivots.conf"


@pytest.mark.parametrize("lookup", ["xdg", "xdg-indirect"])
def test_xdgs_relative_directories_are_ignored(lookup: Lookup) -> None:
    environment = {"XDG_CONFIG_HOME": "a", "XDG_CONFIG_DIRS": "./b:/nonexistent"}
    outcomes = [step.outcome for step in search(BASE, "cacert", lookup, environment)]
    assert outcomes == ["ignored", "ignored", "missing"]


def test_a_list_leads_to_directories_in_its_order(tmp_path: Path) -> None:
    one, two, three = (pivot(tmp_path / name) for name in ("one", "two", "three # no comment"))
    for name, lines in {
        "home": f"{tmp_path}/two\n\nrelative\n{tmp_path}/none\n",
        "dirs": f"{tmp_path}/three # no comment\n{tmp_path}/one",
    }.items():
        (tmp_path / name / "nix").mkdir(parents=True)
        (tmp_path / name / "nix" / "pivots.conf").write_text(lines)
    environment = {
        "XDG_CONFIG_HOME": str(tmp_path / "home"),
        "XDG_CONFIG_DIRS": f"/nonexistent:{tmp_path}/dirs",
        "NIXPKGS_PIVOT_DIRS": "/not/asked",
    }
    assert found("xdg-indirect", environment) == [two, three, one]
    steps = list(search(BASE, "cacert", "xdg-indirect", environment))
    assert [step.outcome for step in steps] == [
        "read",
        "found",
        "ignored",
        "missing",
        "missing",
        "read",
        "found",
        "found",
    ]


def test_a_list_that_cannot_be_read_is_told_and_passed_over(tmp_path: Path) -> None:
    place = pivot(tmp_path)
    (tmp_path / "bad" / "nix" / "pivots.conf").mkdir(parents=True)
    (tmp_path / "good" / "nix").mkdir(parents=True)
    (tmp_path / "good" / "nix" / "pivots.conf").write_bytes(b"/\xff\n" + str(tmp_path).encode())
    environment = {
        "XDG_CONFIG_HOME": str(tmp_path / "bad"),
        "XDG_CONFIG_DIRS": str(tmp_path / "good"),
    }
    steps = list(search(BASE, "cacert", "xdg-indirect", environment))
    assert [step.outcome for step in steps] == ["unreadable", "read", "missing", "found"]
    assert steps[-1].place == place


@given(st.lists(st.sampled_from(["/a", "/b/", "/c d", ""]), max_size=6))
def test_directories_directly_and_in_a_list_are_the_same_search(directories: list[str]) -> None:
    steps = search(BASE, "x", "env", {"NIXPKGS_PIVOT_DIRS": ":".join(directories)})
    places = [step.place for step in steps if step.outcome != "unset"]
    assert places == [f"{directory}/{BASE}/x" for directory in directories if directory]
