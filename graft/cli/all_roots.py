"""The roots of `--all-roots`: everything in force that leads to OLD, found and told."""

from __future__ import annotations

import os
from dataclasses import replace

from graft.cli.arguments import PlanArguments, requested_pairs
from graft.cli.output import print_note
from graft.cli.settings import Settings
from graft.errors import UsageError
from graft.formats.file_name import printable_text
from graft.machine.current_roots import Everywhere, find_everywhere
from graft.machine.roots import current_roots
from graft.quantities import counted
from graft.store.api import Source
from graft.store.daemon import DaemonStore
from graft.store.local import LocalStore


def ask_for_all_roots(
    store: Source, daemon: DaemonStore | None, asked: PlanArguments, settings: Settings
) -> tuple[PlanArguments, Everywhere]:
    """The request, with all roots that lead to OLD, and their places.

    Args:
        daemon: the daemon that writes into the store, if this user may not.

    Raises:
        UsageError: no root leads to OLD, or the store has no roots.
    """
    if asked.roots:
        raise UsageError("--all-roots finds the roots by itself: leave ROOTs out")
    if not isinstance(store, LocalStore):
        raise UsageError(f"--all-roots takes a store on this machine, and '{store.url}' is not one")
    current = current_roots(store, os.environ)
    asked = replace(asked, all_roots=False, all_versions=True)
    pairs = requested_pairs(store, {root.paths[0] for root in current}, asked)
    olds = [old for old, _ in pairs]
    if not olds:
        raise UsageError("--all-roots takes --replace OLD=NEW, or --replacements")
    found = find_everywhere(store, daemon or store, olds, current)
    if not found.roots and found.left:
        told = "; ".join(f"'{printable_text(place)}': {why}" for place, why in found.left.items())
        raise UsageError(f"all that leads to OLD in force must be changed otherwise: {told}")
    if not found.roots:
        raise UsageError(
            "nothing that is in force leads to OLD: 'graft affected' shows old generations and "
            "processes that do"
        )
    print_note(
        f"{counted(len(found.roots), 'root')} in force to be grafted, "
        f"{counted(len(found.places), 'place')} to be turned to the grafted roots",
        settings,
    )
    for place, why in sorted(found.left.items()):
        print_note(f"'{printable_text(place)}' stays unchanged: {why}", settings)
    full = store.store_dir.path
    roots = tuple(full(root) for root in found.roots)
    return replace(asked, roots=roots), found
