"""Files that are named by a digest of old contents, or of an old path."""

from __future__ import annotations

import base64
import hashlib
import os
import posixpath
from collections.abc import Iterator
from typing import Final

from graft.check.changed_contents import ChangedContents
from graft.check.digits import digits_in, entries, joined, looks_like_a_digest
from graft.formats.digests import ALGORITHMS, Digests
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.objects.reading import as_tree
from graft.plan import Plan, PlanWarning, Rewrite
from graft.store.api import Source

_DIGITS: Final = 8
"""Digits of a digest that are no chance in the name of the very file."""

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
                (name for name in ALGORITHMS if of.old[name].hex() in joined(printable(file))),
                None,
            )
            digest = digest or _begins_name(of.old, printable(file))
            if digest is not None:
                yield _named(plan, rewrite.path, file, f"the {digest} of its old contents")
            elif looks_like_a_digest(printable(file)):
                what = "the digits of a digest, as caches by content name a file"
                yield _named(plan, rewrite.path, file, what)
        for file in changed.numbered[rewrite.new_path]:
            by_path |= dict.fromkeys(digits_in(file), (rewrite, file))
    if by_path:
        yield from _named_by_paths(plan, source, by_path)


def _begins_name(old: Digests, file: str) -> str | None:
    """The algorithm by whose first digits a file is named, as builds for the web name theirs."""
    name = posixpath.basename(file)
    for algorithm in ALGORITHMS:
        digest = old[algorithm]
        spelled = base64.urlsafe_b64encode(digest).decode()
        if digest.hex()[:_DIGITS] in name.lower() or spelled[:_DIGITS] in name:
            return algorithm
    return None


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
            for file in [b"", *entries(os.fsencode(at.tree))]:
                full = os.path.join(os.fsencode(plan.store_dir.path(path)), file).rstrip(b"/")
                for text in (full, b"file://" + full):
                    for kind in kinds:
                        digits = hashlib.new(kind, text, usedforsecurity=False).hexdigest()
                        if digits in by_path:
                            rewrite, named = by_path[digits]
                            what = f"the {kind} of '{printable(text)}', which has moved"
                            yield _named(plan, rewrite.path, named, what)


def _named(plan: Plan, path: StorePath, file: bytes, what: str) -> PlanWarning:
    full = f"{plan.store_dir.path(path)}/{printable(file)}".rstrip("/")
    return PlanWarning(
        kind="foreign-checksum",
        path=path,
        message=f"'{full}' is named by {what}: a program that compares them will find that they "
        "differ",
    )
