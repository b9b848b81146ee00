"""Store URLs and path arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.errors import BadStorePathError, BadStoreUrlError
from graft.store.location import Location

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
PATH = f"{HASH}-hello-1.0"


def test_auto_is_the_machines_store() -> None:
    location = Location.parse("auto", {})
    assert (location.store_dir, location.real_store_dir) == ("/nix/store", "/nix/store")
    assert location.state_dir == "/nix/var/nix"


def test_each_variable_replaces_its_own_part_of_auto() -> None:
    location = Location.parse("auto", {"NIX_STORE_DIR": "/s"})
    assert (location.store_dir, location.state_dir) == ("/s", "/nix/var/nix")
    location = Location.parse("auto", {"NIX_STATE_DIR": "/t"})
    assert (location.store_dir, location.state_dir) == ("/nix/store", "/t")


@pytest.mark.parametrize("url", ["/srv/x", "/srv/x/", "local?root=/srv/x"])
def test_a_root_keeps_the_logical_store_directory(url: str) -> None:
    location = Location.parse(url, {"NIX_STORE_DIR": "/ignored", "NIX_STATE_DIR": "/ignored"})
    assert location.store_dir == "/nix/store"
    assert location.real_store_dir == "/srv/x/nix/store"
    assert location.database_dir == "/srv/x/nix/var/nix/db"


def test_store_and_state_are_both_parameters() -> None:
    location = Location.parse("local?store=/gnu/store&state=/var/guix", {})
    assert (location.store_dir, location.real_store_dir) == ("/gnu/store", "/gnu/store")
    assert location.state_dir == "/var/guix"


@pytest.mark.parametrize(
    "url",
    [
        "auto",
        "local?root=/srv/x",
        "local?store=/s&state=/t",
        "local?store=/a%2Bb%26c%25&state=/t%20u",
    ],
)
def test_the_url_of_a_location_names_it(url: str) -> None:
    location = Location.parse(url, {})
    assert location.url == url
    assert Location.parse(location.url, {}) == location


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is no store on this machine"),
        ("daemon", "is no store on this machine"),
        ("relative/dir", "is no store on this machine"),
        ("local?root=relative", "'root' must be an absolute directory"),
        ("local?store=/s&state=t", "'state' must be an absolute directory"),
        ("local?rot=/x", "an unknown parameter 'rot'"),
        ("local?root=", "'root' must be an absolute directory"),
        ("local?rot=", "an unknown parameter 'rot'"),
        ("local?root=/x&store=/y", "'root' already says where"),
        ("https://cache.example.org", "is not local"),
        ("file:///cache", "is not local"),
        ("s3://bucket", "is not local"),
    ],
)
def test_another_url_is_an_error(url: str, said: str) -> None:
    with pytest.raises(BadStoreUrlError, match=said):
        Location.parse(url, {})


def test_the_last_one_of_a_parameter_counts() -> None:
    assert Location.parse("local?root=/x&root=/y", {}) == Location.at_root("/y")


@pytest.mark.parametrize(
    ("url", "missing"),
    [
        ("local?store=/x", "state"),
        ("local?state=/x", "store"),
    ],
)
def test_half_a_location_is_an_error(url: str, missing: str) -> None:
    with pytest.raises(BadStoreUrlError, match=f"lacks the parameter '{missing}'"):
        Location.parse(url, {"NIX_STORE_DIR": "/ignored", "NIX_STATE_DIR": "/ignored"})


@pytest.fixture
def location(tmp_path: Path) -> Location:
    location = Location.at_root(str(tmp_path / "root"))
    (Path(location.real_store_dir) / PATH / "bin").mkdir(parents=True)
    return location


def test_a_path_argument_may_be_full_or_a_base_name(location: Location) -> None:
    for argument in (PATH, f"/nix/store/{PATH}", f"/nix/store/{PATH}/bin/hello"):
        assert location.resolve(argument) == PATH


def test_a_path_argument_may_be_where_the_path_really_is(location: Location) -> None:
    assert location.resolve(f"{location.real_store_dir}/{PATH}/bin") == PATH


def test_links_are_followed_to_the_first_path_in_the_store(
    location: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result").symlink_to(f"/nix/store/{PATH}")
    (tmp_path / "result-2").symlink_to("result")
    directory = tmp_path / "profiles"
    directory.mkdir()
    (directory / "system").symlink_to("../result-2")
    (tmp_path / "outside").symlink_to(directory)
    monkeypatch.chdir(tmp_path)
    for argument in (
        "result",
        "./result-2",
        "profiles/system",
        str(tmp_path / "outside" / "system"),
        "outside/system/bin/hello",
    ):
        assert location.resolve(argument) == PATH


def test_a_link_inside_the_store_is_not_followed(location: Location, tmp_path: Path) -> None:
    alias = f"{HASH[::-1]}-alias-1"
    Path(location.real_store_dir, alias).symlink_to(f"/nix/store/{PATH}")
    (tmp_path / "result").symlink_to(f"/nix/store/{alias}")
    assert location.resolve(str(tmp_path / "result")) == alias


@pytest.mark.parametrize("links", [40, 41])
def test_as_many_links_are_followed_as_the_kernel_follows(
    links: int, tmp_path: Path, location: Location
) -> None:
    (tmp_path / "0").symlink_to(location.real_store_dir + f"/{PATH}")
    for number in range(1, links):
        (tmp_path / f"{number}").symlink_to(f"{number - 1}")
    last = tmp_path / f"{links - 1}"
    if links <= 40:
        assert last.exists()
        assert location.resolve(str(last)) == PATH
    else:
        with pytest.raises(OSError, match="symbolic links"):
            last.stat()
        with pytest.raises(BadStorePathError, match="does not lead into the store"):
            location.resolve(str(last))


def test_an_argument_that_leads_nowhere_is_an_error(location: Location, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("missing")
    for name in ("loop", "file", "dangling"):
        with pytest.raises(BadStorePathError, match="does not lead into the store"):
            location.resolve(str(tmp_path / name))
    with pytest.raises(BadStorePathError, match=r"neither a path of the store .* nor a link"):
        location.resolve(str(tmp_path / "missing"))
    with pytest.raises(BadStorePathError):
        location.resolve("hello")
    with pytest.raises(BadStorePathError):
        location.resolve("/nix/store")
    with pytest.raises(BadStorePathError):
        location.resolve("")
