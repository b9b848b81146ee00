"""Packages laid over each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from graft.errors import PackageCollisionError
from graft.ways.namespace import View
from graft.ways.namespace.union import Union, UnionLink, make_tree
from tests.store_objects import Contents, write_contents


def _union(top: Path, packages: Mapping[str, tuple[float, Contents]]) -> Path:
    """The tree of packages, each `(priority, contents)`, in the order of priorities."""
    union = Union(View({}))
    for name, (priority, contents) in sorted(packages.items(), key=lambda item: item[1][0]):
        write_contents(top / name, contents, "")
        union.add(UnionLink(str(top / name), priority), "usr")
    made = top / "made"
    made.mkdir()
    make_tree(union.top, str(made))
    return made / "usr"


def test_a_directory_of_one_package_is_one_link(tmp_path: Path) -> None:
    made = _union(
        tmp_path,
        {
            "a": (5, {"share": {"a": {"x": b"1"}}, "bin": {"a": b"a"}}),
            "b": (5, {"share": {"b": {"x": b"2"}}}),
        },
    )
    assert os.readlink(made / "bin") == str(tmp_path / "a" / "bin")
    assert not (made / "share").is_symlink()
    assert {entry.name: os.readlink(entry) for entry in (made / "share").iterdir()} == {
        "a": str(tmp_path / "a" / "share" / "a"),
        "b": str(tmp_path / "b" / "share" / "b"),
    }


def test_the_lower_number_is_taken_and_the_rest_still_merged(tmp_path: Path) -> None:
    made = _union(
        tmp_path,
        {
            "a": (6, {"bin": {"x": b"six", "only": b"here"}, "lib": b"a file", "d": {"i": b"6"}}),
            "b": (5, {"bin": {"x": b"five"}, "lib": {"y": b"a directory"}, "d": b"a file"}),
            "c": (7, {"bin": {"x": {"inner": b"seven"}}, "lib": {"z": b""}, "d": {"j": b"7"}}),
        },
    )
    assert (made / "bin" / "x").read_bytes() == b"five"
    assert (made / "bin" / "only").read_bytes() == b"here"
    assert sorted(os.listdir(made / "lib")) == ["y", "z"]
    assert (made / "d").read_bytes() == b"a file"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"1", b"2"),
        (b"#!/bin/sh", {"inner": b""}),
        ({"inner": b""}, b""),
        (b"", "/nowhere"),
    ],
)
def test_different_files_of_one_priority_collide(
    tmp_path: Path, one: Contents, other: Contents
) -> None:
    with pytest.raises(PackageCollisionError) as caught:
        _union(tmp_path, {"a": (5, {"bin": {"x": one}}), "b": (5, {"bin": {"x": other}})})
    assert caught.value.fields == {
        "place": "/usr/bin/x",
        "paths": [str(tmp_path / "a" / "bin" / "x"), str(tmp_path / "b" / "bin" / "x")],
    }
    for said in (str(tmp_path / "a/bin/x"), str(tmp_path / "b/bin/x"), "'/usr/bin/x'", "PRIORITY"):
        assert said in caught.value.message


def test_a_file_collides_with_a_directory_of_several(tmp_path: Path) -> None:
    packages: dict[str, tuple[float, Contents]] = {
        "a": (5, {"share": {"x": b""}}),
        "b": (5, {"share": {"y": b""}}),
        "c": (5, {"share": b"a file"}),
    }
    with pytest.raises(PackageCollisionError, match="'/usr/share'"):
        _union(tmp_path, packages)


def test_directories_that_lead_back_to_themselves_come_to_an_end(tmp_path: Path) -> None:
    made = _union(
        tmp_path,
        {
            "a": (5, {"bin": {"a": b"", "X11": ".", "up": ".."}}),
            "b": (5, {"bin": {"b": b"", "X11": ".", "up": ".."}}),
        },
    )
    assert (made / "bin" / "a").exists()
    assert (made / "bin" / "b").exists()
    assert (made / "bin" / "X11" / "a").exists()


def test_equal_files_and_one_file_twice_do_not_collide(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("same")
    contents: Contents = {
        "licence": b"MIT",
        "link": str(tmp_path / "same"),
        "nix-support": {"propagated-build-inputs": b"left out"},
    }
    made = _union(tmp_path, {"a": (5, contents), "b": (5, contents)})
    assert sorted(os.listdir(made)) == ["licence", "link"]
    (tmp_path / "again").mkdir()
    with pytest.raises(PackageCollisionError):  # the same bytes, but only one can be run
        _union(
            tmp_path / "again",
            {"a": (5, {"x": b"#!/bin/sh"}), "b": (5, {"x": str(_plain(tmp_path))})},
        )


def _plain(directory: Path) -> Path:
    file = directory / "plain"
    file.write_bytes(b"#!/bin/sh")
    return file


def test_an_index_that_programs_do_without_is_left_out_and_never_hides_files(
    tmp_path: Path,
) -> None:
    made = _union(
        tmp_path,
        {
            name: (priority, {"modules": {"giomodule.cache": name.encode(), f"{name}.so": b""}})
            for priority, name in enumerate(("a", "b", "c"))
        },
    )
    assert sorted(os.listdir(made / "modules")) == ["a.so", "b.so", "c.so"]
    (tmp_path / "one").mkdir()
    one = _union(tmp_path / "one", {"a": (5, {"giomodule.cache": b"a"})})
    assert (one / "giomodule.cache").read_bytes() == b"a"


def test_an_index_that_programs_need_is_the_first_ones_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packages: dict[str, tuple[float, Contents]] = {
        name: (5, {"mime": {"mime.cache": name.encode(), name: b""}}) for name in ("a", "b")
    }
    made = _union(tmp_path, packages)
    assert (made / "mime/mime.cache").read_bytes() == b"a"
    assert "'/usr/mime/mime.cache' is an index" in caplog.text
