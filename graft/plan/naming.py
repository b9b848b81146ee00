"""New names: pure functions of the plan, never of the bytes.

So a path has one grafted variant for all roots, orders of arguments and processes, and every name
is known before a byte is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from graft.formats.store_path import StoreDir, StorePath, make_store_path

REWRITE_FORMAT = "graft-1"
"""First line of the text a rewritten path is named after; raised when the bytes made by default
change."""

ALIAS_FORMAT = "graft-alias-1"
"""First line of the text an alias is named after."""

_TYPE = "output:graft"  # a type of makeStorePath that Nix never uses itself


def rewrite_name(
    path: StorePath,
    references: Mapping[StorePath, StorePath],
    store_dir: StoreDir,
    switches: Iterable[str] = (),
) -> StorePath:
    """The name of the rewritten `path`, whose references D(p) move as given.

    Args:
        switches: the settings of a registry of fix-ups, which make other bytes.
    """
    # A space sorts before all that names hold: these lines are in the order of the old names.
    lines = sorted(map(" ".join, references.items()))
    lines += [f"fixup {switch}" for switch in switches]
    return _name([REWRITE_FORMAT, path, *lines], path.name, store_dir)


def alias_name(replaces: StorePath, target: StorePath, store_dir: StoreDir) -> StorePath:
    """The name of the alias that stands for `replaces` and leads to `target`."""
    return _name([ALIAS_FORMAT, replaces, target], replaces.name, store_dir)


def _name(lines: list[str], name: str, store_dir: StoreDir) -> StorePath:
    text = "\n".join([*lines, ""])
    return make_store_path(_TYPE, hashlib.sha256(text.encode()).digest(), name, store_dir)
