"""A difference as JSON, which is a replacements file as well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graft.formats.replacements_file import DOCUMENT_VERSION
from graft.formats.store_path import StoreDir, StorePath
from graft.ways.diff.difference import Changed, Difference


def difference_document(difference: Difference, store_dir: StoreDir) -> dict[str, Any]:
    """The JSON document of a difference; `docs/reference/json.md` has its keys."""
    full = store_dir.path

    def paths(found: Iterable[StorePath]) -> list[str]:
        return [full(path) for path in found]

    def package(one: Changed) -> dict[str, Any]:
        derivations = one.derivations or (None, None)
        old, new = (None if path is None else full(path) for path in derivations)
        return {
            "attribute": one.attribute,
            "name": one.name,
            "old_derivation": old,
            "new_derivation": new,
            "outputs": {full(old): full(new) for old, new in sorted(one.outputs.items())},
            "changes": list(one.changes),
            "variables": list(one.variables),
            "needed": one.needed,
        }

    return {
        "version": DOCUMENT_VERSION,
        "replacements": {full(o): full(n) for o, n in sorted(difference.replacements.items())},
        "packages": [package(one) for one in difference.changed],
        "build_only": [package(one) for one in difference.build_only],
        "derived": [
            {"old": full(one.old), "new": full(one.new), "reached": one.reached}
            for one in difference.derived
        ],
        "added": paths(difference.added),
        "removed": paths(difference.removed),
        "doubtful": [
            {"old": paths(one.olds), "new": paths(one.news), "why": one.why}
            for one in difference.doubtful
        ],
    }
