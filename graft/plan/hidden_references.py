"""Hidden references: in the bytes of a path, but not registered, so that Nix does not know of them.

Nix's scanner sees hash parts in ASCII only, and only the hash parts of a build's inputs. It misses
references in UTF-16 or UTF-32, compressed, cut up by a compiler, or put into a path by hand.
Spellings that no rewrite can replace, such as base64, are no references here: no plan would help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graft.errors import InvalidPathError
from graft.formats.store_path import StorePath
from graft.objects.reading import search_object
from graft.objects.search import DeepReport, DeepSearch
from graft.plan.closure import Closure
from graft.store.api import Source
from graft.workers import DEFAULT_RESOURCES, Resources


@dataclass(frozen=True, slots=True)
class DeepClosure:
    """A closure whose bytes were read.

    Attributes:
        closure: by all references.
        reports: the paths with hidden references, or with files that could not be looked into.
    """

    closure: Closure
    reports: Mapping[StorePath, DeepReport]


def deep_closure(
    source: Source,
    paths: Iterable[StorePath],
    also: Iterable[StorePath],
    resources: Resources = DEFAULT_RESOURCES,
) -> DeepClosure:
    """The closure of some paths by all their references, found by reading every byte of it.

    Args:
        source: where the paths are valid.
        paths: as for Closure.of.
        also: valid paths that nothing registered may lead to, but hidden references may: every OLD.
        resources: threads, and the progress of the bytes read.

    Raises:
        InvalidPathError: a path is not valid.
        TreeError, CacheError, CorruptCacheError: an object cannot be read.
    """
    paths = list(paths)
    everything = Closure.of(source, [*paths, *also])
    search = DeepSearch(sorted(everything.infos), store_dir=source.store_dir)
    hidden: dict[StorePath, frozenset[StorePath]] = {}
    reports: dict[StorePath, DeepReport] = {}
    with resources.workers("read", None) as workers:

        def read(path: StorePath) -> tuple[StorePath, DeepReport]:
            def sink(chunk: memoryview) -> None:
                workers.progress(len(chunk))

            found = search_object(source.store_object(path), search, sink=sink)
            return path, found

        waiting = everything.requisites(paths)
        while waiting:
            for path, found in workers.map(read, sorted(waiting)):
                referred = search.referred(found)
                hidden[path] = referred - everything.infos[path].references - {path}
                if found.hidden or found.unread:
                    reports[path] = found
            led_to = {found for path in waiting for found in hidden[path]}
            waiting = everything.requisites(led_to) - hidden.keys()
    return DeepClosure(_with_hidden(everything, paths, hidden), reports)


def recorded_closure(
    everything: Closure,
    paths: Iterable[StorePath],
    hidden: Mapping[StorePath, Iterable[StorePath]],
) -> Closure:
    """The closure of some paths with hidden references that were found before.

    Args:
        everything: a closure that holds all of them.

    Raises:
        InvalidPathError: one of the references begins or ends outside `everything`.
    """
    recorded = {path: frozenset(found) for path, found in hidden.items()}
    for path in [*recorded, *(end for found in recorded.values() for end in found)]:
        if path not in everything:
            full = everything.store_dir.path(path)
            raise InvalidPathError(
                f"path '{full}', which a hidden reference was recorded for, is not in the closure",
                path=full,
            )
    return _with_hidden(everything, paths, recorded)


def _with_hidden(
    everything: Closure,
    paths: Iterable[StorePath],
    hidden: Mapping[StorePath, frozenset[StorePath]],
) -> Closure:
    """The part of a closure that some paths lead to, by hidden references as well."""
    whole = Closure(everything.store_dir, everything.infos, hidden)
    kept = whole.requisites(paths)
    return Closure(
        everything.store_dir,
        {path: everything.infos[path] for path in kept},
        {path: found for path, found in hidden.items() if path in kept},
    )
