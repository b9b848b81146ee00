"""Plans that read the closure tell of copies that no graft replaces."""

from __future__ import annotations

from pathlib import Path

from graft.plan.making import make_plan
from graft.plan.request import Graft
from tests.objects.test_library_copies import LIBRARY
from tests.store_objects import add_object, new_store


def test_a_deep_plan_tells_of_copies_once_for_each_path(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path
    old = add_object(store, "lib-1.0", {"lib.so": LIBRARY + b"\0"})
    new = add_object(store, "lib-1.1", {"lib.so": LIBRARY + b"\1"})
    static = add_object(store, "static-1", {"program": LIBRARY, "second": LIBRARY})
    root = add_object(store, "root-1", {"a": full(old), "b": full(static)}, [old, static])
    plan = make_plan(store, Graft.of([root], [(old, new)], deep=True))
    [warning] = [found for found in plan.warnings if found.kind == "static-copy"]
    assert warning.path == static
    assert warning.message == (
        f"'{full(static)}/program' (and 1 more file) seems to hold a copy of '{full(old)}' "
        '("version 1.0 of the library"), which no graft replaces: build it again'
    )
    shallow = make_plan(store, Graft.of([root], [(old, new)]))
    assert not [found for found in shallow.warnings if found.kind == "static-copy"]
