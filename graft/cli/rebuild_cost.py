"""The cost of a rebuild in the place of a graft: `graft plan --rebuild-cost`."""

from __future__ import annotations

import os
from typing import Any

from graft.cli.output import print_note, print_table
from graft.cli.settings import Settings
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.quantities import counted
from graft.store.local import LocalStore
from graft.ways.rebuild import Rebuild, log_dir_of, rebuild_of

_MOST_SHOWN = 10


class RebuildCost:
    """The derivations that would have to be built again, and the paths that a graft leaves alone.

    Args:
        plan: the graft's plan.
        store: where the derivations are.
    """

    def __init__(self, plan: Plan, store: LocalStore) -> None:
        self._store_dir = plan.store_dir
        olds = [old for old in plan.replacements if old in plan.closure]
        log_dir = log_dir_of(store.location.state_dir, os.environ)
        found = rebuild_of(store, plan.closure, plan.roots, olds, log_dir)
        self._rebuild = found if isinstance(found, Rebuild) else None
        self._reason = None if isinstance(found, Rebuild) else found
        self._left_alone: list[StorePath] = []
        if self._rebuild is not None:
            before = plan.closure.requisites(plan.roots)
            apart = self._rebuild.only_built_with(plan.closure, plan.moved)
            self._left_alone = sorted(apart & before)

    def document(self) -> dict[str, Any]:
        """As JSON; `docs/reference/json.md` has its keys."""
        full, rebuild = self._store_dir.path, self._rebuild
        if rebuild is None:
            return {"available": False, "reason": self._reason}
        order = sorted(rebuild.level_of, key=lambda path: (rebuild.level_of[path], path))
        return {
            "available": True,
            "reason": None,
            "derivations": [
                {
                    "path": full(path),
                    "level": rebuild.level_of[path],
                    "seconds": rebuild.seconds_of.get(path),
                }
                for path in order
            ],
            "levels": rebuild.levels,
            "seconds": rebuild.seconds,
            "chain_seconds": rebuild.chain_seconds,
            "left_alone": [full(path) for path in self._left_alone],
        }

    def show(self, settings: Settings) -> None:
        """Prints a table of the levels on stderr, and a summary."""
        rebuild = self._rebuild
        if rebuild is None:
            print_note(f"the cost of a rebuild is unknown: {self._reason}", settings)
            return
        if settings.quiet:
            return
        rows = []
        for level in range(1, rebuild.levels + 1):
            paths = sorted(path for path, found in rebuild.level_of.items() if found == level)
            names = [path.derivation_name for path in paths]
            more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
            times = [rebuild.seconds_of[path] for path in paths if path in rebuild.seconds_of]
            rows.append(
                [
                    str(level),
                    str(len(paths)),
                    f"{sum(times):.1f}" if times else "-",
                    ", ".join(sorted(names)[:_MOST_SHOWN]) + more,
                ]
            )
        columns = ["level", "builds", "seconds", "derivations"]
        print_table(columns, rows, right=columns[:3], to_stderr=True)
        told = ""
        if rebuild.seconds is not None and rebuild.chain_seconds is not None:
            told = (
                f"; {len(rebuild.seconds_of):,} of them took {rebuild.seconds:.1f} s together, and "
                f"{rebuild.chain_seconds:.1f} s one after the other at least, as their logs tell"
            )
        print_note(
            f"a rebuild would build {counted(len(rebuild.level_of), 'derivation')}, in "
            f"{counted(rebuild.levels, 'level')}{told}",
            settings,
        )
        if self._left_alone:
            names = sorted(path.name for path in self._left_alone)
            more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
            shown = ", ".join(names[:_MOST_SHOWN])
            print_note(
                f"the graft leaves {counted(len(names), 'path')} alone that a rebuild would build "
                f"with NEW, for nothing in them leads to OLD: {shown}{more}",
                settings,
            )
