"""The three ways to graft a tree that are compared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from graft.fixups import registered
from graft.fixups.fragments import FragmentFinder
from graft.formats.store_path import StorePath
from graft.kernel.tree import copy_tree
from graft.objects.checksums import ChangedFile, digests_of, search_tree
from graft.objects.file_windows import regular_files
from graft.objects.library_copies import Likeness, StringTable
from graft.objects.reading import search_object
from graft.objects.search import DeepSearch
from graft.objects.tree_fixups import Fixes
from graft.store.objects import TreeObject
from tests.fidelity.hazard import NEW, OLD, OLD_TREE, TABLE, Sample


def with_sed(source: Path, target: Path, sample: Sample) -> list[str]:
    """As nixpkgs' `replaceDirectDependencies` does it; it tells nothing."""
    del sample
    pipeline = 'nix-store --dump "$1" | sed "s|$3|$4|g" | nix-store --restore "$2"'
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipeline, "sed", source, target, OLD, NEW],
        check=True,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    return []


def plainly(source: Path, target: Path, sample: Sample) -> list[str]:
    """Every hash part as it stands; that tells nothing either."""
    del sample
    copy_tree(source, target, TABLE)
    return []


def with_graft(source: Path, target: Path, sample: Sample) -> list[str]:
    """As `graft apply` does it; what it tells, of fix-ups and of what `scan --deep` finds."""
    registry = registered(sample.switches)
    report = copy_tree(source, target, TABLE, marks=registry.marks)
    fragments = FragmentFinder([(OLD, NEW)])
    fixes = Fixes(os.fsencode(source), TABLE, report.marked, registry, fragments=fragments)
    fixes.place(os.fsencode(target), owner=(os.geteuid(), os.getegid()))
    told = [
        f"{outcome.fixup}: {outcome.reason}"
        for file in fixes.files
        for outcome in file.outcomes
        if outcome.outcome != "rewritten"
    ]
    return list(dict.fromkeys([*told, *_found(source, target)]))


def _found(source: Path, target: Path) -> Iterator[str]:
    """What is looked for in a new closure besides."""
    search = DeepSearch([StorePath(OLD.decode())])
    for found in search_object(TreeObject(str(target)), search).hidden:
        if not found.container:
            yield f"a reference is spelled as {found.encoding}"
    changed = []
    for file in regular_files(str(source)):
        old, new = source / os.fsdecode(file), target / os.fsdecode(file)
        if new.is_file() and old.read_bytes() != new.read_bytes():
            changed.append(ChangedFile(name=os.fsdecode(file), old=digests_of(os.fsencode(old))))
    for place in search_tree(str(target), changed):
        yield f"the {place.algorithm} of '{place.of}' as it was"
    library = source.with_name(OLD_TREE)
    if library.exists():
        for _, copy in StringTable([Likeness(StorePath(OLD.decode()), str(library))]).in_tree(
            str(target), [0]
        ):
            yield f"a copy of the library: '{copy.text}'"


Way = Callable[[Path, Path, Sample], list[str]]
WAYS: dict[str, Way] = {"sed": with_sed, "plain": plainly, "graft": with_graft}
