"""Directories of pivots: whole or not at all, and nothing that is not graft's is touched."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import PivotError
from graft.kernel.tree import remove_tree
from graft.ways.pivot import directory as directory_module
from graft.ways.pivot.directory import read_record, write_directory
from graft.ways.pivot.lookup import search
from tests.ordinary_user import as_ordinary_user
from tests.store_objects import new_store
from tests.ways.pivot.closures import Pivotable


@pytest.fixture
def it(tmp_path: Path) -> Pivotable:
    return Pivotable.build(new_store(tmp_path))


def contents(top: Path) -> dict[str, str]:
    """The links below a directory, and where they lead."""
    return {
        str(place.relative_to(top)): os.readlink(place)
        for place in top.rglob("*")
        if place.is_symlink()
    }


def test_the_links_are_where_programs_look(it: Pivotable, tmp_path: Path) -> None:
    made = tmp_path / "pivots"
    write_directory(str(made), it.pivots())
    assert contents(made) == {
        f"{it.curl}/cacert": it.targets["cacert"],
        f"{it.curl}/tzdata": it.targets["tzdata"],
        f"{it.clock}/tzdata": it.targets["tzdata"],
    }
    environment = {"NIXPKGS_PIVOT_DIRS": str(made)}
    step = next(iter(search(it.curl, "tzdata", "env", environment)))
    assert (step.place, step.outcome) == (f"{made}/{it.curl}/tzdata", "found")
    assert read_record(str(made)) == it.pivots()
    assert sorted(os.listdir(tmp_path)) == ["pivots", "state", "store"]


def test_an_earlier_one_is_replaced_as_a_whole(it: Pivotable, tmp_path: Path) -> None:
    made = tmp_path / "pivots"
    write_directory(str(made), it.pivots())
    other = replace(it.pivots(), links={it.clock: ("tzdata",)})
    write_directory(str(made), other)
    assert contents(made) == {f"{it.clock}/tzdata": it.targets["tzdata"]}
    assert read_record(str(made)) == other
    assert sorted(os.listdir(tmp_path)) == ["pivots", "state", "store"]


def test_whoever_looks_meanwhile_sees_one_or_the_other(it: Pivotable, tmp_path: Path) -> None:
    made = tmp_path / "pivots"
    both = [it.pivots(), it.pivots(it.targets | {"cacert": it.full(it.cacert)})]
    write_directory(str(made), both[0])
    place = made / it.curl / "cacert"
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            # A look may be on its way in the earlier one when that goes.
            with suppress(FileNotFoundError):
                seen.add(os.readlink(place))
            if not os.path.isdir(made):
                seen.add("nothing")

    looking = threading.Thread(target=look)
    looking.start()
    for turn in range(60):
        write_directory(str(made), both[turn % 2])
    stop.set()
    looking.join()
    assert seen == {it.full(it.new_cacert), it.full(it.cacert)}


def test_an_empty_directory_is_filled(it: Pivotable, tmp_path: Path) -> None:
    (tmp_path / "pivots").mkdir()
    write_directory(str(tmp_path / "pivots"), it.pivots())
    assert read_record(str(tmp_path / "pivots")) == it.pivots()


@pytest.mark.parametrize(
    "kind", ["file", "directory", "link", "foreign record", "more", "deeper", "filled", "flat"]
)
def test_something_else_is_refused_and_left_alone(it: Pivotable, tmp_path: Path, kind: str) -> None:
    made = tmp_path / "pivots"
    if kind == "file":
        made.write_text("mine")
    elif kind == "link":
        write_directory(str(tmp_path / "other"), it.pivots())
        made.symlink_to("other")
    elif kind in {"more", "deeper"}:
        write_directory(str(made), it.pivots())
        (made / "mine" if kind == "more" else made / it.curl / "mine").write_text("mine")
    elif kind in {"filled", "flat"}:
        write_directory(str(made), it.pivots())
        place = made / it.curl / "cacert" if kind == "filled" else made / it.clock
        remove_tree(place)
        if kind == "filled":
            place.mkdir()
        (place / "mine" if kind == "filled" else place).write_text("mine")
    else:
        made.mkdir()
        (made / ("pivots.json" if kind == "foreign record" else "mine")).write_text("{}")
    before = sorted(made.rglob("*"))
    with pytest.raises(PivotError, match="exists and is no directory that"):
        write_directory(str(made), it.pivots())
    assert sorted(made.rglob("*")) == before
    assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")] == []


def test_what_an_interrupted_run_has_left_is_in_nobodys_way(it: Pivotable, tmp_path: Path) -> None:
    left = tmp_path / f".pivots.{os.getpid()}.tmp"
    (left / "x").mkdir(parents=True)
    write_directory(str(tmp_path / "pivots"), it.pivots())
    assert not left.exists()


def test_a_directory_that_cannot_be_made_is_an_error(it: Pivotable, tmp_path: Path) -> None:
    with pytest.raises(PivotError, match=r"cannot make the directory '.*': No such file"):
        write_directory(str(tmp_path / "none" / "pivots"), it.pivots())


def test_where_directories_cannot_be_swapped_nothing_is_changed(
    it: Pivotable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "pivots"
    write_directory(str(made), it.pivots())
    # A flag that no file system knows, as some do not know this one.
    monkeypatch.setattr(directory_module, "_RENAME_EXCHANGE", 1 << 20)
    other = replace(it.pivots(), links={it.clock: ("tzdata",)})
    with pytest.raises(PivotError, match="replace the earlier one at once"):
        write_directory(str(made), other)
    assert read_record(str(made)) == it.pivots()
    assert sorted(os.listdir(tmp_path)) == ["pivots", "state", "store"]


def test_names_that_could_not_be_used_are_refused(it: Pivotable, tmp_path: Path) -> None:
    with pytest.raises(PivotError, match="colon"):
        write_directory(f"{tmp_path}/a:b", it.pivots())
    with pytest.raises(PivotError, match="is in the store"):
        write_directory(f"{it.store.store_dir}/pivots", it.pivots())


@as_ordinary_user
def test_a_directory_may_not_be_written(tmp_path: Path) -> None:
    it = Pivotable.build(new_store(tmp_path))
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(PivotError, match="Permission denied"):
        write_directory(str(tmp_path / "closed" / "pivots"), it.pivots())
