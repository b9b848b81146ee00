"""Files that are named by a digest of old contents, or of an old path."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import Final

from graft.check.changed_contents import ChangedContents
from graft.formats.digests import ALGORITHMS
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.objects.reading import as_tree
from graft.plan import Plan, PlanWarning, Rewrite
from graft.store.api import Source
from graft.store.objects import TreeObject

_HEX: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{32,128}(?![0-9a-f])")

_SIZES: Final = frozenset((40, 56, 64, 96, 128))
"""Hexadecimal digits of a digest that names contents. An MD5 of 32 often names a path or a page."""

_NO_CONTENTS: Final = ".build-id"
"""A directory of files by the build ids of programs, which stay."""

_OF_PATHS: Final = ("md5", "sha1", "sha256")


def named_by_digests(plan: Plan, source: Source, changed: ChangedContents) -> Iterator[PlanWarning]:
    """Warns of files that are named by a digest of changed contents, or of an old path.

    Caches by content (npm, OCI, git, ostree) name a file by its contents. Caches by path
    (thumbnails) name a file by the URI of a path.

    Args:
        source: the store of the originals.

    Raises:
        TreeError, CacheError, CorruptCacheError: an original cannot be read.
    """
    by_path: dict[str, tuple[Rewrite, bytes]] = {}
    for rewrite in plan.rewrites:
        names = changed.names.get(rewrite.new_path)
        if names is None:
            continue
        for file, of in zip(names, changed.files[rewrite.new_path], strict=False):
            digest = next(
                (name for name in ALGORITHMS if of.old[name].hex() in _joined(printable(file))),
                None,
            )
            if digest is not None:
                yield _named(plan, rewrite.path, file, f"the {digest} of its old contents")
            elif _looks_like_a_digest(printable(file)):
                what = "the digits of a digest, as caches by content name a file"
                yield _named(plan, rewrite.path, file, what)
        item = source.store_object(rewrite.path)
        if isinstance(item, TreeObject):
            for file in _names(item.tree):
                for digits in _HEX.findall(printable(os.path.basename(file)).lower()):
                    by_path.setdefault(digits, (rewrite, file))
    if by_path:
        yield from _named_by_paths(plan, source, by_path)


def _named_by_paths(
    plan: Plan, source: Source, by_path: dict[str, tuple[Rewrite, bytes]]
) -> Iterator[PlanWarning]:
    kinds = [
        name
        for name in _OF_PATHS
        if any(
            len(digits) == 2 * hashlib.new(name, usedforsecurity=False).digest_size
            for digits in by_path
        )
    ]
    moved = {path for path, new in plan.replacements.items() if path != new}
    moved |= {rewrite.path for rewrite in plan.rewrites}
    for path in sorted(moved if kinds else ()):
        item = source.store_object(path)
        if not item.exists():
            continue
        with as_tree(item) as at:
            for file in [b"", *_names(at.tree)]:
                full = os.path.join(os.fsencode(plan.store_dir.path(path)), file).rstrip(b"/")
                for text in (full, b"file://" + full):
                    for kind in kinds:
                        digits = hashlib.new(kind, text, usedforsecurity=False).hexdigest()
                        if digits in by_path:
                            rewrite, named = by_path[digits]
                            what = f"the {kind} of '{printable(text)}', which has moved"
                            yield _named(plan, rewrite.path, named, what)


def _joined(file: str) -> str:
    return file.replace("/", "").lower()


def _looks_like_a_digest(file: str) -> bool:
    """Whether the last parts of a path together are the hexadecimal digits of a digest."""
    *parts, name = file.lower().split("/")
    stem = name.split(".", 1)[0]
    if _NO_CONTENTS in parts:
        return False
    while True:
        if not re.fullmatch("[0-9a-f]+", stem):
            return False
        if len(stem) in _SIZES:
            return True
        if not parts or not re.fullmatch("[0-9a-f]{1,3}", parts[-1]):
            return False
        stem = parts.pop() + stem


def _names(tree: str) -> Iterator[bytes]:
    """The files and directories below a tree's top, relative to it."""
    top = os.fsencode(tree)
    for directory, directories, files in os.walk(top):
        for name in [*directories, *files]:
            yield os.path.relpath(os.path.join(directory, name), top)


def _named(plan: Plan, path: StorePath, file: bytes, what: str) -> PlanWarning:
    full = f"{plan.store_dir.path(path)}/{printable(file)}".rstrip("/")
    return PlanWarning(
        kind="foreign-checksum",
        path=path,
        message=f"'{full}' is named by {what}: a program that compares them will find that they "
        "differ",
    )
