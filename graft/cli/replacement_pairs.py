"""Pairs to replace that depend on the closure: all outputs of derivations, and files of pairs."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from graft.errors import UsageError
from graft.formats.store_path import StorePath
from graft.plan.closure import Closure
from graft.store.api import Source, path_info
from graft.ways.diff.outputs import deriver_of, paired_outputs

_log = logging.getLogger(__name__)


def with_all_outputs(
    store: Source,
    roots: Iterable[StorePath],
    cutoffs: Iterable[StorePath],
    pairs: Iterable[tuple[StorePath, StorePath]],
    *,
    every: bool,
) -> list[tuple[StorePath, StorePath]]:
    """The pairs, with pairs of derivations as pairs of their outputs.

    Args:
        roots: outputs that they do not lead to are left out.
        cutoffs: outputs that are kept.
        every: pairs of outputs stand for their derivations as well.

    Raises:
        UsageError: one of a pair is a derivation, and the other is not.
        OutputsError, InvalidPathError: as for `paired_outputs`.
    """
    pairs = list(pairs)
    closure = Closure.of(store, roots).infos
    plain = [(old, new) for old, new in pairs if not old.is_derivation]
    settled = {old for old, _ in plain}.union(cutoffs)
    found = list(plain)
    for old, new in pairs:
        if old.is_derivation != new.is_derivation:
            full = store.store_dir.path
            raise UsageError(
                f"--replace '{full(old)}={full(new)}': one of them is a derivation: give both, or "
                "two of their outputs"
            )
        if old.is_derivation or every:
            drvs = deriver_of(store, old), deriver_of(store, new)
            found += paired_outputs(store, *drvs, closure=closure, settled=settled)
    return found


def pairs_of_file(
    store: Source, roots: Iterable[StorePath], pairs: Iterable[tuple[str, str]], file: str
) -> list[tuple[StorePath, StorePath]]:
    """The pairs of a file, which may be made for more roots than these.

    A valid OLD counts even if the roots do not lead to it: something new may lead there.

    Args:
        file: the file's name in messages.

    Raises:
        UsageError: no pair is left.
        InvalidPathError: the NEW of a path of the closures is not valid.
    """
    named = [(store.resolve(old), store.resolve(new)) for old, new in pairs]
    asked = {path for pair in named for path in pair}
    valid = store.path_infos(asked)
    if len(valid) == len(asked):
        return named
    closure = Closure.of(store, roots)
    for old, new in named:
        if old in closure:
            path_info(store, new)
    found = [(old, new) for old, new in named if old in valid and new in valid]
    if not found:
        raise UsageError(
            f"nothing that '{file}' replaces is in the closures of the roots", file=file
        )
    _log.warning(
        "%d of %d replacements in '%s' are left out: no root leads to them, and they are not valid",
        len(named) - len(found),
        len(named),
        file,
    )
    return found
