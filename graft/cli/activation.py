"""The work of `--activate` in a graft or a rollback: the profile it needs, and its output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from graft.cli.output import print_note, print_table
from graft.cli.settings import Settings
from graft.errors import ActivationError
from graft.formats.store_path import StorePath
from graft.jobs.outcome import Outcome
from graft.machine.activation import (
    LASTING,
    Action,
    Remainder,
    activate,
    check_system,
    find_remainders,
)
from graft.machine.current_roots import Everywhere
from graft.store.api import Source
from graft.store.local import LocalStore

SYSTEM_PROFILE = "profiles/system"
"""The profile of a NixOS machine, in the state directory: boot loaders list its generations."""


def system_to_activate(
    store: Source,
    roots: Sequence[StorePath],
    action: Action,
    profile: str | None,
    everywhere: Everywhere | None,
) -> tuple[StorePath, str | None]:
    """The root to activate, and the profile that gets it, once all is found in order for that.

    Args:
        everywhere: the roots and places of `--all-roots`, if that was given, the system's profile
            with it.

    Raises:
        ActivationError: this is no single NixOS system of this machine's own store.
    """
    if not isinstance(store, LocalStore) or store.location.real_store_dir != store.store_dir:
        raise ActivationError("--activate takes a root in the store of this machine")
    own = os.path.join(store.location.state_dir, SYSTEM_PROFILE)
    if everywhere is not None:
        if action not in LASTING:
            raise ActivationError(
                f"--all-roots makes generations, which '{action}' is not to make: name the system "
                "itself"
            )
        system = next((place.root for place in everywhere.places if place.link == own), None)
        if system is None:
            raise ActivationError(f"'{own}' is not among the grafted roots: leave --activate out")
    elif len(roots) != 1:
        raise ActivationError("--activate takes one root: graft others by themselves")
    else:
        system = roots[0]
        if profile is None and action in LASTING:
            profile = own
    check_system(store.tree(system))
    return system, profile


def activate_outcome(
    store: Source, outcome: Outcome, system: StorePath, action: Action, settings: Settings
) -> dict[str, Any]:
    """Activates the grafted system, and lists everything that goes on with OLD, for the JSON
    document.

    Raises:
        ActivationError: it failed.
    """
    assert isinstance(store, LocalStore)
    new_root = outcome.plan.new_roots[system]
    if any(one.kind == "switched-meanwhile" and one.path == system for one in outcome.warnings):
        raise ActivationError(
            f"'{store.store_dir.path(new_root)}' is not activated, since the system has been "
            "switched to something else meanwhile: run again"
        )
    activate(store.store_dir.path(new_root), action, os.environ)
    remainders = (
        []
        if action == "dry-activate"
        else list(find_remainders(store, new_root, list(outcome.plan.replacements)))
    )
    _print(remainders, settings)
    return {
        "action": action,
        "remainders": [
            {"kind": one.kind, "what": one.what, "advice": one.advice, "pids": list(one.pids)}
            for one in remainders
        ],
    }


def activate_generation(target: str, action: Action) -> None:
    """Activates the present generation of a profile.

    Raises:
        ActivationError: the generation is no NixOS system, or its activation failed. The profile
            stays unchanged.
    """
    check_system(target)
    activate(target, action, os.environ)


def _print(remainders: list[Remainder], settings: Settings) -> None:
    if settings.quiet or not remainders:
        return
    print_note("this goes on as it was before:", settings)
    print_table(
        ["", "what", "remedy", "processes"],
        [[one.kind, one.what, one.advice, " ".join(map(str, one.pids))] for one in remainders],
        to_stderr=True,
    )
