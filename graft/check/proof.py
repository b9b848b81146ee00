"""The result read again: no trace of OLD is left, and every new path equals its registration."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from graft.check.acceptance import Acceptance, Scope
from graft.check.remaining import Remaining, remaining
from graft.errors import CorruptCacheError
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.graph import reachable
from graft.kernel.place import Place
from graft.kernel.tree import TreeReport
from graft.objects.checksums import ChangedFile
from graft.objects.reading import ObjectSearch, Searched, WrittenPaths
from graft.objects.search import DeepSearch, SumPlace, Unread
from graft.plan import Plan
from graft.store.api import PathInfo, Source
from graft.workers import Workers

Verdict = Literal["gone", "not-found", "found"]

FileOfPath = tuple[StorePath, bytes]
"""A store path, and a file relative to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """A place of the result that still leads to a path that was replaced or rewritten.

    Attributes:
        path: the store path it is in.
        place: where in it; None where a registered reference is all that is known.
        reference: the old path.
        acknowledged: the user wanted it, by a cutoff or by `--allow-residual`.
    """

    path: StorePath
    place: Place | None
    reference: StorePath
    acknowledged: bool

    @property
    def is_spelled(self) -> bool:
        """Whether the hash part is spelled otherwise there: then no graft rewrites it."""
        return self.place is not None and self.place.is_spelled


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """A path of the result that is wrong.

    Attributes:
        kind: `not-valid`, `not-on-disk`, `nar-hash`, `references`, `content-address`,
            `not-the-rewrite` or `unresolved-library`.
        path: the store path.
        file: for the last kind, the file, relative to the path.
        library: the library that it no longer finds.
    """

    kind: str
    path: StorePath
    file: bytes = b""
    library: bytes = b""

    def as_json(self, full: Callable[[StorePath], str]) -> dict[str, str]:
        """One of the `problems` of docs/reference/json.md."""
        document = {"kind": self.kind, "path": full(self.path)}
        if self.library:
            document |= {"file": printable(self.file), "library": printable(self.library)}
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The result of reading the new closure again.

    Attributes:
        scope: `closure`: every path of the new closure was read; `rewritten`: the new ones and
            NEW's, and the shared ones were judged by their registered references.
        paths: how many were read.
        files: regular files in them.
        bytes: contents read.
        unsearched: paths of the new closure that were not read, or not to their end.
        unread: files that may hold references which cannot be seen, by the path each is in.
        unknown: changed files of types whose rules are not known, or that fix-ups have noted, by
            the path each is in.
        remaining: the rest of the replaced packages.
        sums: places of old digests of changed files, by the path each is in.
    """

    scope: Scope
    paths: int
    files: int
    bytes: int
    residual: tuple[Residual, ...]
    problems: tuple[Problem, ...]
    unsearched: int = 0
    unread: tuple[tuple[StorePath, Unread], ...] = ()
    unknown: tuple[FileOfPath, ...] = ()
    remaining: tuple[Remaining, ...] = ()
    sums: tuple[tuple[StorePath, SumPlace], ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The word for the traces of OLD.

        `gone`: every byte was read and every container opened, and OLD is nowhere; every changed
        file is of a type whose rules are known. `not-found`: OLD was not in anything that was read.
        `found`: it is there, acknowledged or not.
        """
        if self.residual:
            return "found"
        return "gone" if self.is_complete else "not-found"

    @property
    def is_complete(self) -> bool:
        """Whether everything was read, and every changed file is of a known type."""
        return not (self.unsearched or self.unread or self.unknown)

    @property
    def open_residual(self) -> tuple[Residual, ...]:
        """The places where OLD is left that the user has not acknowledged."""
        return tuple(found for found in self.residual if not found.acknowledged)

    @property
    def holds(self) -> bool:
        """Whether only acknowledged references to OLD are left, and all paths are whole."""
        return not self.problems and not self.open_residual

    def satisfies(self, *, strict: bool) -> bool:
        """Whether the proof holds, and where that is asked for, is complete."""
        return self.holds and (self.is_complete or not strict)


def prove(
    plan: Plan,
    store: Source,
    *,
    scope: Scope = "closure",
    allowed: Sequence[str] = (),
    written: Collection[StorePath] = (),
    jobs: int | None = None,
) -> Proof:
    """Reads the result of a plan again.

    Args:
        store: where the new paths are.
        scope: the paths to be read.
        allowed: shell patterns of `BASENAME/FILE`; residual references in such files are
            acknowledged.
        written: new paths that were written, and hashed as they were, just now: with scope
            `rewritten` they are searched, but not hashed a second time.
        jobs: threads; the number of usable processors if None.

    Raises:
        TreeError, CacheError: an object of the result cannot be read.
    """
    acceptance = Acceptance(scope=scope, allowed=tuple(allowed))
    with Workers(jobs) as workers:
        return prove_result(
            plan, store, acceptance, workers, result_search([plan], store), written=written
        )


def result_search(
    plans: Iterable[Plan], store: Source, sums: Sequence[ChangedFile] = ()
) -> ObjectSearch:
    """The search in the results of some plans, each path of which is read once.

    Args:
        store: where the new paths are.
        sums: the changed files whose old digests are looked for besides.
    """
    replaced = {path for plan in plans for path in replaced_paths(plan)}
    return ObjectSearch(store, DeepSearch(sorted(replaced), store_dir=store.store_dir, sums=sums))


def prove_result(
    plan: Plan,
    store: Source,
    acceptance: Acceptance,
    workers: Workers,
    search: ObjectSearch,
    *,
    written: Collection[StorePath] = (),
) -> Proof:
    """Reads the result of a plan again, as `prove` does.

    Args:
        acceptance: with a scope.
        workers: the threads that read.
        search: the `result_search` of this plan and others.
    """
    scope = acceptance.scope
    assert scope is not None
    old = {path.hash_part: path for path in sorted(replaced_paths(plan))}
    infos = store.path_infos(plan.new_references)
    on_disk = {path for path in infos if store.store_object(path).exists()}
    problems = [Problem(kind="not-valid", path=path) for path in plan.new_references.keys() - infos]
    problems += [Problem(kind="not-on-disk", path=path) for path in infos.keys() - on_disk]
    acknowledged = _Acknowledged(plan, acceptance.allowed)
    residual: list[Residual] = []
    reports: list[TreeReport] = []
    unread: list[tuple[StorePath, Unread]] = []
    unknown: list[FileOfPath] = []
    sums: list[tuple[StorePath, SumPlace]] = []
    rewritten = {rewrite.new_path for rewrite in plan.rewrites}
    new = WrittenPaths([*plan.moved.values(), *plan.replacements.values(), *rewritten], search)
    read = on_disk if scope == "closure" else on_disk & _written_or_replacing(plan)
    hashed = plan.new_paths if scope == "closure" else plan.new_paths.difference(written)

    def read_one(path: StorePath) -> tuple[StorePath, Searched | None, Sequence[bytes]]:
        try:
            found = search.search(
                path,
                with_digest=path in hashed,
                on_bytes=workers.progress,
                written=new if path in rewritten else None,
            )
            return path, found, search.unknown_files(path, new) if path in rewritten else ()
        except CorruptCacheError:
            return path, None, ()

    # The largest first: no thread is left alone with one at the end.
    order = sorted(read, key=lambda path: infos[path].nar_size, reverse=True)
    for path, found, changed in workers.map(read_one, order):
        unknown += [(path, file) for file in changed]
        if found is None or found.digest not in {None, infos[path].nar_hash}:
            problems.append(Problem(kind="nar-hash", path=path))
        if found is not None:
            reports.append(found.report)
            unread += [(path, each) for each in found.unread]
            sums += [(path, each) for each in found.sums]
            residual += _residuals(path, found.places, old, acknowledged)
    for path in infos.keys() - read:
        residual += _registered(infos[path], old, acknowledged)
    return Proof(
        scope=scope,
        paths=len(reports),
        files=sum(report.regular_files for report in reports),
        bytes=sum(report.bytes_read for report in reports),
        residual=tuple(sorted(residual, key=_order)),
        problems=tuple(sorted(problems)),
        unsearched=len(plan.new_references) - len(reports),
        unread=tuple(sorted(unread, key=lambda each: (each[0], each[1].file, each[1].container))),
        unknown=tuple(sorted(unknown)),
        remaining=remaining(plan),
        sums=tuple(sorted(sums, key=lambda each: (each[0], each[1].file, each[1].offset))),
    )


def replaced_paths(plan: Plan) -> set[StorePath]:
    """The paths that may be left in no byte of a plan's result."""
    # An OLD that no registered reference leads to may still stand in some bytes.
    return {path for path, new in plan.replacements.items() if path != new} | plan.moved.keys()


def _written_or_replacing(plan: Plan) -> set[StorePath]:
    return {*plan.new_paths, *(plan.moved.get(new, new) for new in plan.replacements.values())}


class _Acknowledged:
    """Which residual references the user wants, or has accepted."""

    def __init__(self, plan: Plan, allowed: Sequence[str]) -> None:
        without_cutoffs = {
            path: references - plan.cutoffs for path, references in plan.new_references.items()
        }
        roots = set(plan.new_roots.values()) - plan.cutoffs
        self._reached_without_cutoff = reachable(without_cutoffs, roots)
        self._allowed = allowed

    def __call__(self, path: StorePath, file: bytes) -> bool:
        name = f"{path}/{os.fsdecode(file)}" if file else str(path)
        return path not in self._reached_without_cutoff or any(
            fnmatch.fnmatchcase(name, pattern) for pattern in self._allowed
        )


def _residuals(
    path: StorePath,
    places: Iterable[Place],
    old: Mapping[str, StorePath],
    acknowledged: _Acknowledged,
) -> Iterator[Residual]:
    for place in places:
        if (reference := old.get(place.hash_part)) is not None:
            yield Residual(
                path=path,
                place=place,
                reference=reference,
                acknowledged=acknowledged(path, place.file),
            )


def _registered(
    info: PathInfo, old: Mapping[str, StorePath], acknowledged: _Acknowledged
) -> Iterable[Residual]:
    for reference in info.references.intersection(old.values()):
        yield Residual(
            path=info.path,
            place=None,
            reference=reference,
            acknowledged=acknowledged(info.path, b""),
        )


def _order(residual: Residual) -> tuple[StorePath, bytes, tuple[str, ...], int, StorePath]:
    place = residual.place
    where = (place.file, place.container, place.offset) if place else (b"", (), 0)
    return residual.path, *where, residual.reference
