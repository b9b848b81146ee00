"""A machine in trouble ends the job: what is registered is right, or nothing is."""

from __future__ import annotations

import gzip
import json
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.fixups.samples import zipped
from tests.graftable import Graftable
from tests.store_objects import add_object, opened

EXPANDED = 96 << 20  # bytes of what is compressed in a little file


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    location = Location.at_root(str(tmp_path / "here"))
    LocalStore.create(location)
    return Graftable.build(opened(location))


def tool(it: Graftable, **more: bytes) -> StorePath:
    """A path whose files several fix-ups rewrite."""
    full = it.store.store_dir.path(it.old)
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (path TEXT)")
    database.execute("INSERT INTO t VALUES (?)", (f"{full}/lib " * 40_000,))
    database.commit()
    contents = {
        "script": full.encode(),
        "a.1.gz": gzip.compress(full.encode() * 9, 9, mtime=0),
        "b.zip": zipped([("a", full.encode()), ("b", b"nothing")]),
        "c.db": database.serialize(),
        **more,
    }
    database.close()
    return add_object(it.store, "tool-1", contents, [it.old])


def grafted(it: Graftable, root: StorePath, limit: int, value: int, *more: str) -> Any:
    """The status of an apply under a limit, and its document."""
    full, location = it.store.store_dir.path, it.store.location

    def limited() -> None:
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))

    done = subprocess.run(
        [
            *(sys.executable, "-m", "graft", "--store", location.url, "--json"),
            *("apply", full(root), "--replace", f"{full(it.old)}={full(it.new)}", "--jobs", "1"),
            *more,
        ],
        preexec_fn=limited,
        capture_output=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr.decode()


def valid(it: Graftable) -> set[StorePath]:
    store = LocalStore(location=it.store.location)
    try:
        return store.valid_paths()
    finally:
        store.close()


def test_without_memory_nothing_is_registered(it: Graftable) -> None:
    full = it.store.store_dir.path(it.old).encode()
    packed = gzip.compress(bytes(EXPANDED) + full, 6, mtime=0)
    root = tool(it, **{"d.gz": packed})
    status, out, err = grafted(it, it.app, resource.RLIMIT_AS, 256 << 20)
    assert status == 0, err  # it is enough for what is not compressed
    before = valid(it)
    status, out, err = grafted(it, root, resource.RLIMIT_AS, 256 << 20)
    assert status == 2, err
    error = json.loads(out)["error"]
    assert error["kind"] == "system"
    assert "no memory" in error["message"]
    assert "Traceback" not in err
    assert valid(it) == before
    status, out, err = grafted(it, root, resource.RLIMIT_AS, resource.RLIM_INFINITY)
    assert status == 0, err
    assert {fixup["outcome"] for fixup in json.loads(out)["fixups"]} == {"rewritten"}


@pytest.mark.parametrize(
    ("limit", "values"),
    [
        (resource.RLIMIT_NOFILE, range(5, 40, 3)),
        (resource.RLIMIT_FSIZE, [1 << size for size in range(10, 24, 2)]),
    ],
    ids=["descriptors", "room"],
)
def test_under_any_limit_the_result_is_right_or_there_is_none(
    it: Graftable, limit: int, values: list[int]
) -> None:
    root = tool(it)
    before = valid(it)
    ended = set()
    for value in values:
        status, out, err = grafted(it, root, limit, value)
        ended.add(status)
        if status == 2:
            assert valid(it) == before, (value, err)
            continue
        assert status == 0, (value, err)
        document = json.loads(out)
        assert {fixup["outcome"] for fixup in document["fixups"]} == {"rewritten"}
        assert len(document["fixups"]) == 3
        break
    assert ended == {0, 2}
