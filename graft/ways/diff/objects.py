"""Store objects of one name compared, where no derivation tells their origin."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from graft.errors import NarOrderError
from graft.formats.store_path import StorePath
from graft.kernel import Table
from graft.objects.reading import as_tree, read_object
from graft.store.api import PathInfo, Source
from graft.store.objects import StoreObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The relation of two objects.

    Attributes:
        kind: `derived` if one is the other with its references renamed; `changed` if its contents
            differ although its references do not; else `doubtful`.
        why: the reason for `doubtful`, a clause without a full stop.
    """

    kind: Literal["derived", "changed", "doubtful"]
    why: str = ""


def judge_objects(
    store: Source, old: PathInfo, new: PathInfo, paired: Mapping[StorePath, StorePath]
) -> Verdict:
    """Tells whether an object differs only because its references do.

    Args:
        store: where both are.
        paired: paths of the one closure, each with the path of the other that it stands for.

    Raises:
        TreeError, CacheError: the object of OLD cannot be read.
    """
    moved = {
        path: paired[path]
        for path in old.references - {old.path}
        if path in paired and paired[path] != path
    }
    renamed = {moved.get(path, path) for path in old.references - {old.path}}
    if not moved:
        return Verdict(kind="changed")
    if renamed != new.references - {new.path}:
        return Verdict(kind="doubtful", why="they refer to different paths")
    if any(len(one) != len(other) for one, other in [*moved.items(), (old.path, new.path)]):
        why = "names of unequal length are among their references"
        return Verdict(kind="doubtful", why=why)
    pairs = [*sorted(moved.items()), (old.path, new.path)]
    table = Table([(one.encode(), other.encode()) for one, other in pairs])
    if old.nar_size == new.nar_size and _nar_hash(store, old.path, table) == new.nar_hash:
        return Verdict(kind="derived")
    why = "they differ in more than their references, which the build itself may have caused"
    return Verdict(kind="doubtful", why=why)


def _nar_hash(store: Source, path: StorePath, table: Table) -> bytes:
    """The hash of an object's NAR once it were rewritten."""
    item = store.store_object(path)
    try:
        return _hashed(item, table)
    except NarOrderError:
        # Names that change would break the order of the entries: only a tree can be sorted.
        with as_tree(item) as tree:
            return _hashed(tree, table)


def _hashed(item: StoreObject, table: Table) -> bytes:
    digest = hashlib.sha256()
    read_object(item, table=table, sink=digest.update)
    return digest.digest()
