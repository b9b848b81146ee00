"""The contents of a directory of pivots: links for a closure's pivot points, and its record."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from graft.errors import BadFormatError, BadStorePathError, PivotError
from graft.formats.store_path import StoreDir, StorePath
from graft.plan.closure import Closure
from graft.store.api import LocalSource
from graft.ways.pivot.candidates import find_candidates
from graft.ways.pivot.points import PivotPoint, find_points
from graft.ways.pivot.targets import find_target, is_type
from graft.ways.pivot.variables import VARIABLES

RECORD: Final = "pivots.json"
"""The file in a directory of pivots that records its origin."""

FORMAT: Final = "graft-pivots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pivots:
    """Links for one closure.

    Attributes:
        root: whose closure it is.
        targets: the target that each type leads to.
        links: the types that each path gets a link for, sorted; in the order of the paths.
    """

    store_dir: StoreDir
    root: StorePath
    targets: Mapping[str, str]
    links: Mapping[StorePath, tuple[str, ...]]

    @classmethod
    def of(
        cls,
        store: LocalSource,
        closure: Closure,
        root: StorePath,
        targets: Mapping[str, str],
        *,
        on_bytes: Callable[[int], object] | None = None,
    ) -> Self:
        """Decides which links there are to be.

        A type gets links for the paths that are marked with it; without such paths, for the
        candidates, so that unmodified programs can be told of it.

        Args:
            closure: everything the root leads to.
            targets: absolute paths, by type.
            on_bytes: told of the NAR bytes read, from any thread.

        Raises:
            PivotError: a marked type has no target, a target is missing, or nothing in the closure
                is of a given type.
            InvalidPathError: a target is in a store path that is not valid.
        """
        for kind, target in targets.items():
            find_target(store, kind, target)
        paths = closure.requisites([root])
        points = find_points(store, paths)
        _check_have_targets(points, targets, closure.store_dir)
        links = {point.path: list(point.types) for point in points}
        unmarked = set(targets).difference(*links.values()) & VARIABLES.keys()
        if unmarked:
            for candidate in find_candidates(store, paths, unmarked, on_bytes=on_bytes):
                links.setdefault(candidate.path, []).append(candidate.type)
        if idle := sorted(set(targets).difference(*links.values())):
            full = closure.store_dir.path(root)
            raise PivotError(
                f"nothing in the closure of '{full}' is of type '{idle[0]}': 'graft pivot list' "
                "shows the types",
                type=idle[0],
                root=full,
            )
        return cls(
            store_dir=closure.store_dir,
            root=root,
            targets=dict(sorted(targets.items())),
            links={path: tuple(sorted(kinds)) for path, kinds in sorted(links.items())},
        )

    def record(self) -> str:
        """The text of the record; a function of the directory's contents and origin."""
        document = {
            "version": 1,
            "format": FORMAT,
            "store_dir": self.store_dir,
            "root": self.store_dir.path(self.root),
            "pivots": self.targets,
            "links": self.links,
        }
        return json.dumps(document, indent=1) + "\n"


def _check_have_targets(
    points: Sequence[PivotPoint], targets: Collection[str], store_dir: StoreDir
) -> None:
    missing = {
        kind: store_dir.path(point.path)
        for point in reversed(points)
        for kind in point.types
        if kind not in targets
    }
    if missing:
        kinds = sorted(missing)
        each = " ".join(f"--pivot {kind}=TARGET" for kind in kinds)
        raise PivotError(
            f"type '{kinds[0]}', which '{missing[kinds[0]]}' is marked with, has no target: give "
            f"{each}",
            types=kinds,
            path=missing[kinds[0]],
        )


def parse_record(text: str, name: str) -> Pivots:
    """Reads a record.

    Args:
        name: how messages call it.

    Raises:
        BadFormatError: it is no record.
    """
    try:
        document: Any = json.loads(text)
        if document["version"] != 1 or document["format"] != FORMAT:
            raise BadFormatError(f"'{name}' is no record of pivots", path=name)
        store_dir = StoreDir(document["store_dir"])
        pivots = Pivots(
            store_dir=store_dir,
            root=store_dir.parse(document["root"]),
            targets={str(kind): str(target) for kind, target in document["pivots"].items()},
            links={
                StorePath(base_name): tuple(map(str, kinds))
                for base_name, kinds in document["links"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadStorePathError):
        raise BadFormatError(f"'{name}' is no record of pivots", path=name) from None
    if not all(map(is_type, [kind for kinds in pivots.links.values() for kind in kinds])):
        raise BadFormatError(f"'{name}' is no record of pivots", path=name)
    return pivots
