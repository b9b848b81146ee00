"""The old and the new root of a package set, built once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .cache import cache_dir, content_key, locked
from .index import index_files, index_stamp, load_index
from .roots import plan_root
from .store import PrivateStore
from .variants import Variant, choose


@dataclass(frozen=True)
class Built:
    """Two roots in one store, and which path of the old one became which of the new one."""

    directory: Path
    store: PrivateStore
    old_root: str
    new_root: str
    replacements: Mapping[str, str]
    variant: Variant

    @contextlib.contextmanager
    def checkout(self) -> Iterator[PrivateStore]:
        """The store for this process alone, holding nothing but what was built, then and after."""
        with locked(self.directory):
            self.store.reset()
            try:
                yield self.store
            finally:
                self.store.reset()


def small(store_dir_parent: Path | None = None, variant: str = "openssl") -> Built:
    """The small set, some 80 paths and 220 MiB; from the cache if it was built before."""
    return build_pair("small", variant, store_dir_parent)


def large(store_dir_parent: Path | None = None, variant: str = "openssl") -> Built:
    """The large set, some 430 paths and 2.8 GiB; from the cache if it was built before."""
    return build_pair("large", variant, store_dir_parent)


def build_pair(set_name: str, variant: str, store_dir_parent: Path | None = None) -> Built:
    """A set with and without its fix; variants of one set share the old root and the store.

    `store_dir_parent` is where stores are kept, instead of the cache directory.
    """
    cache = cache_dir()
    parent = Path(os.path.realpath(store_dir_parent or cache))
    # Reading apt's index takes seconds, which a test run should not spend on what it knows.
    request = content_key(set_name, variant, str(parent), index_stamp(), _own_sources())
    memory = cache / "known" / request
    if memory.exists():
        known = _load(Path(memory.read_text()))
        if known is not None:
            return known
    index = load_index(index_files())
    pair = choose(variant, index)
    old, new = (
        plan_root(index, set_name, choice, cache / "debs") for choice in (pair.old, pair.new)
    )
    directory = parent / content_key(old.content)
    name = content_key(old.content, new.content)
    record = directory / f"{variant}-{name}.json"
    with locked(directory):
        built = _load(record)
        if built is None:
            store = PrivateStore.under(directory)
            old_root = old.build(store, directory / "nix" / "old")
            store.add_root("old", old_root)
            new_root = new.build(store, directory / "nix" / name)
            store.add_root(name, new_root)
            replacements = pair_outputs(
                store.closure(old_root), store.closure(new_root), pair.variant.name
            )
            built = Built(directory, store, old_root, new_root, replacements, pair.variant)
            _save(built, record)
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(str(record))
    return built


def pair_outputs(old: Sequence[str], new: Sequence[str], derivation: str) -> dict[str, str]:
    """The outputs of one derivation in two closures, paired by output name."""
    left, right = (_outputs(closure, derivation) for closure in (old, new))
    return {path: right[output] for output, path in left.items() if output in right}


def _outputs(closure: Sequence[str], derivation: str) -> dict[str, str]:
    """The paths of a derivation in a closure by output name, "" for `out`."""
    pattern = re.compile(rf"{re.escape(derivation)}-[0-9].*?(?:-([a-z]+))?")
    found: dict[str, str] = {}
    for path in closure:
        match = pattern.fullmatch(os.path.basename(path)[33:])
        if match:
            found[match.group(1) or ""] = path
    return found


def _save(built: Built, record: Path) -> None:
    values = {
        "old_root": built.old_root,
        "new_root": built.new_root,
        "replacements": dict(built.replacements),
        "variant": asdict(built.variant),
    }
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=1) + "\n")
    partial.rename(record)


def _load(record: Path) -> Built | None:
    """What was built and recorded; None if it was not, or somebody removed the store."""
    if not record.exists():
        return None
    values = json.loads(record.read_text())
    try:
        built = Built(
            directory=record.parent,
            store=PrivateStore.under(record.parent),
            old_root=values["old_root"],
            new_root=values["new_root"],
            replacements=values["replacements"],
            variant=Variant(**values["variant"]),
        )
    except (KeyError, TypeError):  # recorded by an earlier version of this module
        return None
    there = os.path.lexists(built.old_root) and os.path.lexists(built.new_root)
    return built if there else None


def _own_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
