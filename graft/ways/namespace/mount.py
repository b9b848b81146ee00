"""NEW over OLD: which mounts show a graft before it is made."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from graft.errors import MountError
from graft.formats.store_path import StorePath
from graft.graph import references_first
from graft.plan import Plan, PlanWarning
from graft.plan.closure import Closure
from graft.plan.replacements import circular_replacements, movement_graph, resolve_chains
from graft.store.location import Location
from graft.ways.namespace.machine import machine_options
from graft.ways.namespace.view import View

# The plan's warnings that also hold for a mount, which makes no new paths.
_WARNINGS = frozenset({"missing-output", "name-alike", "self-replacement", "unused-replacement"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A store in which NEW lies over OLD.

    Attributes:
        location: the store's location; its real directory appears where its paths say it is.
        over: the last NEW for each OLD.
        warnings: the plan's warnings that hold here too.
    """

    location: Location
    over: Mapping[StorePath, StorePath]
    warnings: tuple[PlanWarning, ...] = ()

    @classmethod
    def of(cls, plan: Plan, location: Location) -> Self:
        """The mounts that show the result of a plan.

        Raises:
            MountError: NEW cannot lie over OLD: one of them is not on disk, they are of two types,
                OLD is a symlink, or NEW needs OLD itself.
        """
        store_dir = plan.store_dir
        pairs = {old: new for old, new in plan.replacements.items() if old != new}
        over = resolve_chains(pairs, store_dir)
        _check_circles(over, plan.closure)
        mount = cls(
            location=location,
            over=over,
            warnings=tuple(
                _said_of_mounts(warning, plan)
                for warning in plan.warnings
                if warning.kind in _WARNINGS
            ),
        )
        plain = View({store_dir: location.real_store_dir})
        for old, new in over.items():
            _check_types(store_dir.path(old), store_dir.path(new), plain)
        return mount

    @property
    def view(self) -> View:
        """The meaning of the store's paths in the namespace."""
        store_dir, plain = self.location.store_dir, self._plain
        return View(
            plain.places
            | {
                store_dir.path(old): plain.outside(store_dir.path(new))
                for old, new in self.over.items()
            }
        )

    @property
    def _plain(self) -> View:
        return View({self.location.store_dir: self.location.real_store_dir})

    def options(self) -> list[str]:
        """The options of bubblewrap for all of the machine, with the store and the mounts."""
        return [*machine_options([self.location.store_dir]), *self.store_options()]

    def store_options(self) -> list[str]:
        """The options of bubblewrap for the store and the mounts alone."""
        options = []
        store_dir, real = self.location.store_dir, self.location.real_store_dir
        if real != store_dir:
            options += ["--bind", real, store_dir]
        for old, new in sorted(self.over.items()):
            # Every source is looked up on the machine: no mount can stand in another one's way.
            source = self._plain.outside(store_dir.path(new))
            options += ["--ro-bind", source, store_dir.path(old)]
        return options


def _said_of_mounts(warning: PlanWarning, plan: Plan) -> PlanWarning:
    if warning.kind != "unused-replacement" or warning.path is None:
        return warning
    full = plan.store_dir.path(warning.path)
    message = f"no root leads to '{full}': NEW lies over it, but their programs will not see it"
    return replace(warning, message=message)


def _check_circles(over: Mapping[StorePath, StorePath], closure: Closure) -> None:
    """Raises MountError if a NEW leads to its own OLD, and would find itself there."""
    full = closure.store_dir.path
    graph = movement_graph(over, over, closure.references, lambda path: path.is_derivation)
    if len(references_first(graph)) == len(graph):
        return
    circular = circular_replacements(graph, over)
    circles = [(old, new) for old, new in sorted(over.items()) if new in circular]
    # Through another pair's OLD and NEW, a NEW may lead to its own OLD by no chain of references.
    chains = {old: chain for old, new in circles for chain in closure.chains(new, old, every=False)}
    old, new = next((pair for pair in circles if pair[0] in chains), circles[0])
    how = f" ({' -> '.join(path.name for path in chains[old])})" if old in chains else ""
    raise MountError(
        f"'{full(new)}' needs '{full(old)}' itself{how}, and under a mount would find only itself "
        "in its place: use 'graft apply', which keeps both",
        old=full(old),
        new=full(new),
    )


def _check_types(old: str, new: str, view: View) -> None:
    """Raises MountError if a mount of one full path over another cannot be made."""
    kinds = {}
    for path in (old, new):
        try:
            status = os.lstat(view.places[os.path.dirname(path)] + "/" + os.path.basename(path))
            if path == new and stat.S_ISLNK(status.st_mode):
                status = os.stat(view.outside(path))
        except OSError as error:
            raise MountError(
                f"'{path}' cannot be mounted: {error.strerror or ''}; repair it first "
                f"('nix-store --repair-path {path}')",
                path=path,
            ) from error
        kinds[path] = stat.S_IFMT(status.st_mode)
    if kinds[old] == stat.S_IFLNK:
        raise MountError(
            f"'{old}' is a symlink, over which nothing can be mounted: replace its target, "
            "or use 'graft apply'",
            old=old,
        )
    if kinds[old] != kinds[new]:
        one, other = (
            "a directory" if kinds[path] == stat.S_IFDIR else "a file" for path in (old, new)
        )
        raise MountError(
            f"'{old}' is {one} and '{new}' is {other}: only one of the same type can be mounted "
            "over it; use 'graft apply'",
            old=old,
            new=new,
        )
