"""The judge itself: small synthetic closures with one flaw each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .equality import Status, Table, compare, package_name, pair_by_name

OLD, MID, GRAFTED, REBUILT = "0" * 32, "1" * 32, "2" * 32, "3" * 32
NEW_LIBRARY = "4" * 32


class Closures:
    """A grafted and a rebuilt path `app-1.0`, both referring to a shared library path."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.library = store / f"{NEW_LIBRARY}-lib-2.0"
        self.library.mkdir()
        self.grafted = store / f"{GRAFTED}-app-1.0"
        self.rebuilt = store / f"{REBUILT}-app-1.0"
        for path in (self.grafted, self.rebuilt):
            (path / "bin" / "empty").mkdir(parents=True)
            (path / "bin" / "run").write_bytes(
                f"#!{self.library}/bin/sh\n".encode() + b"x" * 100_000 + os.fsencode(path)
            )
            (path / "bin" / "run").chmod(0o555)
            (path / "link").symlink_to(path / "bin" / "run")
            (path / f"for-{path.name}").write_bytes(path.name.encode("utf-16-le"))

    def compare(self) -> Table:
        library = str(self.library)
        return compare(
            [str(self.grafted), library],
            [str(self.rebuilt), library],
            {str(self.store / f"{MID}-app-1.0"): str(self.grafted)},
            [str(self.store / f"{OLD}-lib-1.0")],
        )

    def differences(self) -> list[str]:
        (row,) = (row for row in self.compare().rows if row.name == "app-1.0")
        assert row.status is Status.DIFFERENT
        return [str(difference) for difference in row.differences]


@pytest.fixture
def closures(tmp_path: Path) -> Closures:
    store = tmp_path / "store"
    store.mkdir()
    return Closures(store)


def test_paths_that_differ_in_their_hashes_only_are_equal(closures: Closures) -> None:
    table = closures.compare()
    app, library = table.rows
    assert (app.status, library.status) == (Status.EQUAL, Status.SHARED)
    assert (app.files, library.replaced) == (2, True)
    assert app.original == str(closures.store / f"{MID}-app-1.0")
    assert not table.unexpected
    assert "1 shared, 1 equal; 2 files" in table.render()


def test_a_hash_of_the_original_left_behind_is_found(closures: Closures) -> None:
    path = closures.grafted / "bin" / "run"
    path.chmod(0o755)
    data = path.read_bytes()
    path.write_bytes(data.replace(GRAFTED.encode(), MID.encode()))
    path.chmod(0o555)
    offset = data.index(GRAFTED.encode())
    assert closures.differences() == [f"bin/run: content at byte {offset}"]
    assert len(closures.compare().unexpected) == 1


def test_a_hash_renamed_in_half_is_found(closures: Closures) -> None:
    (closures.grafted / "half").write_text("1" * 16 + "2" * 16)
    (closures.rebuilt / "half").write_text("1" * 16 + "3" * 16)
    assert closures.differences() == ["half: content at byte 16"]


def test_an_appended_byte_is_found(closures: Closures) -> None:
    (closures.grafted / "longer").write_text(GRAFTED + "\n")
    (closures.rebuilt / "longer").write_text(REBUILT)
    assert closures.differences() == ["longer: size and content at byte 32"]


def test_an_empty_file_is_not_equal_to_a_full_one(closures: Closures) -> None:
    (closures.grafted / "file").write_text("")
    (closures.rebuilt / "file").write_text("x")
    assert closures.differences() == ["file: size and content at byte 0"]


def test_other_flaws_are_found(closures: Closures) -> None:
    (closures.grafted / "link").unlink()
    (closures.grafted / "link").symlink_to(f"../{MID}-app-1.0/bin/run")
    (closures.grafted / "bin" / "run").chmod(0o444)
    (closures.grafted / "bin" / "empty").rmdir()
    (closures.grafted / "more").mkdir()
    (closures.grafted / "kind").mkdir()
    (closures.rebuilt / "kind").write_text("")
    assert closures.differences() == [
        "bin/empty: only in the rebuild",
        "bin/run: executable bit",
        "kind: type",
        "link: link target",
        "more: only in the graft",
    ]


def test_a_list_sorted_by_store_path_may_be_in_another_order(closures: Closures) -> None:
    library, grafted, rebuilt = closures.library, closures.grafted, closures.rebuilt
    (grafted / "manifest").write_text(f"{library}\n{grafted}\n")
    (rebuilt / "manifest").write_text(f"{rebuilt}\n{library}\n")
    table = closures.compare()
    assert [row.name for row in table.with_status(Status.ORDER)] == ["app-1.0"]
    assert not table.unexpected
    (rebuilt / "manifest").write_text(f"{rebuilt}\n{rebuilt}\n")
    offset = len(f"{closures.store}/")
    assert closures.differences() == [f"manifest: content at byte {offset}"]


def test_names_of_equal_length_are_renamed_with_the_hash(tmp_path: Path) -> None:
    left, right = (tmp_path / f"{h}-app-{v}" for h, v in ((GRAFTED, "1.0"), (REBUILT, "1.1")))
    for path in (left, right):
        path.write_text(f"{path}/bin app")
    (row,) = compare([str(left)], [str(right)]).rows
    assert row.status is Status.EQUAL
    left.write_text(f"{right.name[33:]}")
    right.write_text(f"{left.name[33:]}")
    (row,) = compare([str(left)], [str(right)]).rows
    assert row.status is Status.DIFFERENT


def test_package_names_lose_the_version_and_keep_the_output() -> None:
    for name, expected in (
        ("openssl-3.0.22-1.deb12u2", "openssl"),
        ("openssl-3.0.22-1.deb12u2-bin", "openssl-bin"),
        ("python3.11-3.11.2-6+deb12u9", "python3.11"),
        ("system-small", "system-small"),
    ):
        assert package_name(f"/s/{OLD}-{name}") == expected


def test_ambiguous_names_are_left_unpaired() -> None:
    left = [f"/s/{h}-a-1.0" for h in (OLD, MID)]
    right = [f"/s/{REBUILT}-a-1.0"]
    pairs = pair_by_name(left, right)
    assert {p for p in pairs if None not in p} == set()
    assert len(pairs) == 3
