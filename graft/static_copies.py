"""Copies of what a plan replaces, in paths that do not refer to it: a graft does not reach them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from graft.copies import find_copies
from graft.formats.file_name import printable
from graft.plan import Plan, PlanWarning
from graft.quantities import counted
from graft.store.api import Source


def static_copies(
    plan: Plan,
    source: Source,
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> tuple[PlanWarning, ...]:
    """Reads a closure for copies of the libraries of each OLD: linked statically, or vendored.

    Args:
        source: where the originals are.
        jobs: threads; the number of usable processors if None.
        on_bytes: called from any thread with the number of bytes read since the last call.

    Returns:
        A warning for each path and the OLD of which it has copies.

    Raises:
        TreeError, CacheError, CorruptCacheError: an object cannot be read.
    """
    olds = sorted(source.path_infos(plan.replacements))
    searched = plan.closure.requisites(plan.roots).difference(plan.replacements.values(), olds)
    found = find_copies(
        source,
        [path for path in searched if not path.is_derivation],
        olds,
        jobs=jobs,
        on_bytes=on_bytes,
    )
    full = plan.store_dir.path
    warnings = []
    ordered = sorted(found, key=lambda each: (each.path, each.old, each.copy.file))
    for (path, old), copies in groupby(ordered, lambda each: (each.path, each.old)):
        first, *others = copies
        file = f"{full(path)}/{printable(first.copy.file)}".rstrip("/")
        more = f" (and {counted(len(others), 'more file')})" if others else ""
        warnings.append(
            PlanWarning(
                kind="static-copy",
                path=path,
                message=f"'{file}'{more} seems to hold a copy of '{full(old)}' "
                f'("{first.copy.text}"), which no graft replaces: build it again',
            )
        )
    return tuple(warnings)
