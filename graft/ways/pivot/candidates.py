"""Candidates: paths without a marker that hold or use data often found in other ways.

Candidates are known by their contents, or by the directories outside of the store that their bytes
name. The variables that reach the programs using them are in graft.ways.pivot.variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from graft.formats.store_path import StorePath
from graft.kernel.tree import read_tree
from graft.store.api import LocalSource
from graft.ways.pivot.following import follow
from graft.ways.pivot.points import pivot_types
from graft.ways.pivot.variables import (
    BUNDLES,
    CACERT,
    CERTIFICATES,
    LOCALES,
    NSS_MODULES,
    OPENGL_DRIVER,
    SETUID_WRAPPERS,
    TZDATA,
    VARIABLES,
    ZONE_FILES,
    compiled_locales,
    library_directories,
    nss_modules,
)
from graft.workers import Workers

MENTIONED: Final = {
    b"/run/opengl-driver": OPENGL_DRIVER,
    b"/run/wrappers": SETUID_WRAPPERS,
    # Guix's names for the same, before 2024 and since.
    b"/run/setuid-programs": SETUID_WRAPPERS,
    b"/run/privileged": SETUID_WRAPPERS,
}
"""Directories outside of the store that programs have in them, and the types they stand for."""

_CACERT_PACKAGES = {"nss-cacert", "ca-certificates", "nss-certs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A path that would be a pivot point of a type if it were marked.

    Attributes:
        sign: the sign of it: a name inside the path, or a directory that its bytes name.
        variables: the variables that reach unmodified programs; empty if no variable does.
    """

    path: StorePath
    type: str
    sign: str
    variables: tuple[str, ...]


def find_candidates(
    store: LocalSource,
    paths: Iterable[StorePath],
    types: Collection[str] = tuple(VARIABLES),
    *,
    on_bytes: Callable[[int], object] | None = None,
) -> list[Candidate]:
    """The candidates among `paths`, sorted; a path that is marked with the type is left out.

    Args:
        types: the wanted types. For OpenGL drivers and wrappers every byte is read.
        on_bytes: told of the NAR bytes read, from any thread.
    """
    paths = sorted(paths)
    wanted = {text: kind for text, kind in MENTIONED.items() if kind in types}
    found: dict[tuple[StorePath, str], Candidate] = {}
    if wanted:
        with Workers(None, on_bytes) as workers:

            def read(path: StorePath) -> tuple[StorePath, set[bytes]]:
                return path, mentioned_texts(store.tree(path), wanted, workers.progress)

            for path, texts in workers.map(read, paths):
                for text in sorted(texts, reverse=True):
                    kind = wanted[text]
                    found[path, kind] = Candidate(
                        path=path, type=kind, sign=text.decode(), variables=VARIABLES[kind]
                    )
    for path in paths:
        for candidate in _held(store, path):
            if candidate.type in types:
                found[path, candidate.type] = candidate
    marked = {path: pivot_types(store, path) for path, _ in found}
    return [
        candidate for (path, kind), candidate in sorted(found.items()) if kind not in marked[path]
    ]


def _held(store: LocalSource, path: StorePath) -> Iterator[Candidate]:
    """The marks of a path in its own files, without the files that it links to."""
    top = store.tree(path)

    def candidate(kind: str, place: str, variables: tuple[str, ...] | None = None) -> Candidate:
        return Candidate(
            path=path,
            type=kind,
            sign=os.path.relpath(place, top),
            variables=VARIABLES[kind] if variables is None else variables,
        )

    names = [f"{CERTIFICATES}/{name}" for name in BUNDLES]
    if path.package_name in _CACERT_PACKAGES:
        names.append(CERTIFICATES)
    if (place := _first_own(store, path, names)) is not None:
        yield candidate(CACERT, place)
    for name in ("share/zoneinfo", "usr/share/zoneinfo"):
        place = follow(store, path, name)
        if place is not None and any(os.path.lexists(f"{place}/{file}") for file in ZONE_FILES):
            yield candidate(TZDATA, place)
    archives = ["lib/locale/locale-archive", "usr/lib/locale/locale-archive"]
    if (place := _first_own(store, path, archives)) is not None:
        yield candidate(LOCALES, place)
    else:
        for name in ("lib/locale", "usr/lib/locale"):
            place = follow(store, path, name)
            if place is not None and compiled_locales(place):
                yield candidate(LOCALES, place, ("LOCPATH",))
    yield from _of_libraries(store, path, candidate)


def _of_libraries(
    store: LocalSource, path: StorePath, candidate: Callable[..., Candidate]
) -> Iterator[Candidate]:
    top = store.tree(path)
    for directory in library_directories(top):
        name = os.path.relpath(directory, top)
        if follow(store, path, name) is None:
            continue
        modules = [m for m in nss_modules(directory) if _first_own(store, path, [f"{name}/{m}"])]
        if modules:
            yield candidate(NSS_MODULES, f"{directory}/{modules[0]}")
        if (libc := _first_own(store, path, [f"{name}/libc.so.6"])) is not None:
            # It looks for modules, whether it has any itself, and for locales.
            if not modules:
                yield candidate(NSS_MODULES, libc)
            yield candidate(LOCALES, libc, _locale_variables(libc))
        drivers = follow(store, path, f"{name}/dri")
        if drivers is not None and os.path.isdir(drivers):
            yield candidate(OPENGL_DRIVER, drivers)


def _locale_variables(libc: str) -> tuple[str, ...]:
    """The variables that this build of glibc asks for: LOCALE_ARCHIVE is a patch of nixpkgs."""
    with open(libc, "rb") as file:
        data = file.read()
    names = ("LOCALE_ARCHIVE", "GUIX_LOCPATH", "LOCPATH")
    return tuple(name for name in names if name.encode() + b"\0" in data)


def _first_own(store: LocalSource, path: StorePath, names: Iterable[str]) -> str | None:
    return next((place for name in names if (place := follow(store, path, name))), None)


def mentioned_texts(
    tree: str, texts: Collection[bytes], on_bytes: Callable[[int], object]
) -> set[bytes]:
    """Which texts stand in a tree's contents, names and targets."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(min(texts), max(texts), strict=False))
    common = bytes(byte for byte, _ in alike)  # the common beginning of all
    carry = max(map(len, texts)) - 1
    found: set[bytes] = set()
    tail = b""

    def sink(chunk: memoryview) -> None:
        nonlocal tail
        data = tail + bytes(chunk)
        if common in data:  # which most bytes read do not hold
            found.update(text for text in texts if text in data)
        tail = data[-carry:]
        on_bytes(len(chunk))

    read_tree(tree, sink=sink)
    return found
