"""The limits of a plan, told before: hidden references that stay unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.objects.library_copies import CopyFinder
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import as_tree
from graft.objects.search import DeepReport, Unread
from graft.plan import Plan, PlanWarning, Rewrite
from graft.quantities import counted
from graft.store.api import Source
from graft.workers import DEFAULT_RESOURCES, Resources


def static_copies(
    plan: Plan,
    source: Source,
    resources: Resources = DEFAULT_RESOURCES,
    finder: CopyFinder | None = None,
) -> tuple[PlanWarning, ...]:
    """Reads a closure for copies of the libraries of each OLD: linked statically, or vendored.

    Args:
        source: where the originals are.
        resources: threads, and the progress of the bytes read.
        finder: the finder of the copies of each OLD; None: all files are read.

    Returns:
        A warning for each path and the OLD of which it has copies.

    Raises:
        TreeError, CacheError, CorruptCacheError: an object cannot be read.
    """
    olds = replaced_libraries(plan, source)
    searched = plan.closure.requisites(plan.roots).difference(plan.replacements.values(), olds)
    paths = [path for path in searched if not path.is_derivation]
    with resources.progress("copies", None) as on_bytes:
        finder = CopyFinder(source, olds) if finder is None else finder
        found = finder.in_paths(paths, jobs=resources.jobs, on_bytes=on_bytes)
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


def replaced_libraries(plan: Plan, source: Source) -> list[StorePath]:
    """The paths whose copies are looked for: each OLD of a plan that a source has."""
    return sorted(source.path_infos(plan.replacements))


def forecast(
    plan: Plan, source: Source, reports: Mapping[StorePath, DeepReport]
) -> tuple[PlanWarning, ...]:
    """Tries the fix-ups on the hidden references of a plan.

    Args:
        source: where the originals are.
        reports: the hidden references of the paths that have any.

    Returns:
        Warnings: one for each path in which some would be left alone or cannot be seen.

    Raises:
        TreeError, CacheError, CorruptCacheError: an object cannot be read.
    """
    return tuple(_forecast(plan, source, reports))


def _forecast(
    plan: Plan, source: Source, reports: Mapping[StorePath, DeepReport]
) -> Iterator[PlanWarning]:
    rewrites = {rewrite.path: rewrite for rewrite in plan.rewrites}
    moving = {path.hash_part for path in plan.moved}
    for path in sorted(reports.keys() & (rewrites.keys() | plan.shared)):
        report, rewrite = reports[path], rewrites.get(path)
        full = plan.store_dir.path(path)
        if report.unread:
            yield not_looked_into(full, path, report.unread[0], len(report.unread))
        if rewrite is None:
            continue
        moved = {place.file for place in report.hidden if place.hash_part in moving}
        left = list(_left_alone(plan, source, rewrite, sorted(moved)))
        if left:
            file, reason = left[0]
            more = f" (and {counted(len(left) - 1, 'more place')})" if len(left) > 1 else ""
            yield PlanWarning(
                kind="not-rewritten",
                path=path,
                message=f"'{full}/{file}'{more} will still hold OLD: {reason}",
            )


def _left_alone(
    plan: Plan, source: Source, rewrite: Rewrite, files: Iterable[bytes]
) -> Iterator[tuple[str, str]]:
    """Where something of a path stays, and why."""
    if not files:
        return
    rewriting = Rewriting.of(rewrite, plan.store_dir)
    with as_tree(source.store_object(rewrite.path)) as at:
        for fixed in rewriting.fixes(at.tree, files).files:
            for outcome in fixed.outcomes:
                if outcome.outcome == "left-alone" and outcome.reason is not None:
                    yield " > ".join([printable(fixed.file), *outcome.container]), outcome.reason


def not_looked_into(full: str, path: StorePath, first: Unread, count: int) -> PlanWarning:
    """The warning of a path with files that cannot be looked into.

    Args:
        full: the path in full.
        first: one of them.
        count: how many there are.
    """
    file = " > ".join([f"{full}/{printable(first.file)}".rstrip("/"), *first.container])
    more = f" (and {counted(count - 1, 'more file')})" if count > 1 else ""
    return PlanWarning(
        kind="not-looked-into",
        path=path,
        message=f"'{file}'{more} may hold hidden references: {first.reason}",
    )
