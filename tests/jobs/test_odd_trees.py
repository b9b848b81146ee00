"""Trees nobody would make on purpose, grafted in a store that the real Nix then verifies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.check.verification import verify
from graft.jobs.apply import apply
from graft.kernel.tree import remove_tree
from graft.store.local import LocalStore
from tests.real_nix import RealNix
from tests.store_objects import Contents, add_object, new_store

ODD_NAMES = [
    "with\nnewline",
    "-rf",
    "trailing space ",
    "\\backslash",
    "quote'\"`$(x)",
    "\x01\x7f",
    os.fsdecode(b"\xff\xfe not utf-8"),
    "é" * 127 + "x",  # 255 bytes
    "x" * 255,
    ".lock",
    "~nix~case~hack~1",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = new_store(tmp_path)
    yield store
    # pytest's own way of removing its directories would run out of stack.
    remove_tree(store.location.real_store_dir)


def _nested(depth: int, contents: Contents) -> Contents:
    for _ in range(depth):
        contents = {"d": contents}
    return contents


@pytest.fixture
def deep_recursion() -> Iterator[None]:
    """For the test's own functions: graft descends without the stack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(limit)


def _depth_for_nix(directory: Path) -> int:
    """The directories that Nix follows one below the other: newer ones refuse over 64."""
    tree = directory / "depth"
    tree.joinpath(*["d"] * 70).mkdir(parents=True)
    dump = subprocess.run(["nix-store", "--dump", tree], capture_output=True, check=False)
    if dump.returncode == 0:
        return 1000
    assert b"exceeds maximum NAR directory depth of 64" in dump.stderr
    return 60


@pytest.mark.nix
@pytest.mark.usefixtures("deep_recursion")
def test_odd_names_deep_directories_and_objects_of_all_types_are_grafted(
    store: LocalStore, tmp_path: Path
) -> None:
    full = store.store_dir.path
    old = add_object(store, "lib-1.0", b"old")
    new = add_object(store, "lib-1.1", b"new")
    hit = full(old).encode()
    names = add_object(store, "names-1", dict.fromkeys(ODD_NAMES, hit), [old])
    depth = _depth_for_nix(tmp_path)
    deep = add_object(store, "deep-1", _nested(depth, {"file": hit, "link": full(old)}), [old])
    named = add_object(
        store,
        "named-1",
        {
            # One name that sorts elsewhere once it is rewritten, among others that do not.
            f"{old}": b"",
            "0": b"",
            "z": {f"a{old}b": {"empty": {}}, "dangling": f"nowhere/{old}"},
        },
        [old],
    )
    file = add_object(store, "file-1", b"#!/bin/sh\n" + hit, [old])
    link = add_object(store, "link-1", full(old), [old])
    edges = b"".join(b"x" * (131_072 - 20) + hit for _ in range(40))
    windows = add_object(store, "windows-1", {"edges": edges}, [old])
    members = [names, deep, named, file, link, windows]
    links = {path.name: full(path) for path in members}
    root = add_object(store, "root-1", links, members)
    outcome = apply(store, [root], {old: new})
    assert outcome.succeeded
    assert len(outcome.plan.rewrites) == 7
    assert verify(outcome.plan, store).holds
    nix = RealNix(store.location, tmp_path)
    nix.check()
    for path in members:
        moved = store.tree(outcome.plan.moved[path])
        nar = subprocess.run(["nix-store", "--dump", moved], capture_output=True, check=True).stdout
        assert old.hash_part.encode() not in nar
        assert new.hash_part.encode() in nar
    assert set(os.listdir(store.tree(outcome.plan.moved[names]))) == set(ODD_NAMES)
    assert os.listdir(store.tree(outcome.plan.moved[named])).count(str(new)) == 1
    rewritten = Path(store.tree(outcome.plan.moved[windows]), "edges").read_bytes()
    assert rewritten == edges.replace(hit, full(new).encode())
