"""Closures written down in a test: labels instead of store paths.

A label is the name of its store path, and decides its hash part. Where two paths are to have one
name the label says so after a slash: `one/zlib-1.3` and `two/zlib-1.3`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from graft.formats.store_path import StorePath
from graft.plan import Addressing, Plan
from graft.plan.closure import Closure
from graft.store.api import PathInfo
from graft.store.memory import MemoryStore

_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


def path(label: str) -> StorePath:
    """The store path a label stands for."""
    digest = hashlib.sha256(label.encode()).digest()
    return StorePath(
        "".join(_ALPHABET[byte % 32] for byte in digest) + "-" + label.rpartition("/")[2]
    )


def paths(labels: str) -> list[StorePath]:
    """The store paths of labels with spaces between them."""
    return [path(label) for label in labels.split()]


def store_of(
    references: Mapping[str, str],
    *,
    derivers: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    store_dir: str = "/nix/store",
    signed: str = "",
    addressed: str = "",
) -> MemoryStore:
    """A store in memory: for each label the labels it refers to; the last ones need no line."""
    labels = {*references, *(label for text in references.values() for label in text.split())}
    derivers, sizes = derivers or {}, sizes or {}
    return MemoryStore(
        store_dir,
        [
            PathInfo(
                path=path(label),
                nar_hash=bytes(32),
                nar_size=sizes.get(label, 0),
                references=frozenset(paths(references.get(label, ""))),
                deriver=path(derivers[label]) if label in derivers else None,
                signatures=("key:c2ln",) if label in signed.split() else (),
                content_address="fixed:r:sha256:..." if label in addressed.split() else None,
            )
            for label in labels
        ],
    )


def plan_of(
    references: Mapping[str, str],
    replacements: Pairs,
    *,
    roots: str = "root",
    cutoffs: str = "",
    derivers: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    store_dir: str = "/nix/store",
    hidden: Mapping[str, str] | None = None,
    signed: str = "",
    addressed: str = "",
    addressing: Addressing = "input",
) -> Plan:
    """The plan for a store in memory, made as `graft plan` makes it.

    Args:
        references: for each label the labels it refers to; every NEW is there without saying so.
        hidden: references that are found in bytes, and not registered.
        signed: paths with a signature.
        addressed: paths that are named after their contents.
    """
    pairs = list(replacements.items() if isinstance(replacements, Mapping) else replacements)
    nodes = {new: "" for _, new in pairs} | dict(references)
    store = store_of(
        nodes,
        derivers=derivers,
        sizes=sizes,
        store_dir=store_dir,
        signed=signed,
        addressed=addressed,
    )
    closure = Closure.of(store, [*paths(roots), *(path(new) for _, new in pairs)])
    if hidden is not None:
        found = {path(label): frozenset(paths(text)) for label, text in hidden.items()}
        closure = Closure(closure.store_dir, closure.infos, found)
    return Plan.of(
        closure,
        [(path(old), path(new)) for old, new in pairs],
        roots=paths(roots),
        cutoffs=paths(cutoffs),
        addressing=addressing,
    )


def table(plan: Plan, label: str) -> dict[StorePath, StorePath]:
    """D of a path that is rewritten."""
    (rewrite,) = [rewrite for rewrite in plan.rewrites if rewrite.path == path(label)]
    return dict(rewrite.references)


def rewritten(plan: Plan) -> set[StorePath]:
    """The paths that are rewritten."""
    return {rewrite.path for rewrite in plan.rewrites}


def new(plan: Plan, label: str) -> StorePath:
    """Where a path ends up, as those that refer to it see it."""
    return plan.moved.get(path(label), path(label))


def kinds(plan: Plan) -> list[tuple[str, StorePath | None]]:
    """Kind and path of every warning."""
    return [(warning.kind, warning.path) for warning in plan.warnings]


def warned(plan: Plan, kind: str) -> set[StorePath | None]:
    """The paths warned of with this kind."""
    return {warning.path for warning in plan.warnings if warning.kind == kind}
