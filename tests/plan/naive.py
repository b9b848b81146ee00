"""Where paths end up, computed as slowly and plainly as the rules are written.

Nothing here is graft's but the naming of the one name of a path; no graph library, no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from graft.formats.store_path import StorePath
from graft.plan.naming import alias_name, rewrite_name
from graft.store.memory import MemoryStore

References = Mapping[StorePath, frozenset[StorePath]]


class Circle(Exception):  # noqa: N818 - an answer, no trouble
    """The replacements lead in a circle."""


@dataclass
class Naive:
    """ρ for every path of a store.

    Attributes:
        tables: D of each path that was found to be rewritten.
        names: the original behind each new name, for what is rewritten and for aliases.
    """

    references: References
    replacements: Mapping[StorePath, StorePath]
    cutoffs: frozenset[StorePath]
    tables: dict[StorePath, dict[StorePath, StorePath]] = field(default_factory=dict)
    names: dict[StorePath, StorePath] = field(default_factory=dict)
    _ends: dict[StorePath, StorePath] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store_dir = MemoryStore().store_dir
        self.last = {old: self._last(old) for old in self.replacements if not self._itself(old)}
        self.automatic = {
            new for old, new in self.last.items() if old in self.leads_to(new, through_kept=False)
        }
        self.kept = {
            path
            for path in self.references
            if path not in self.last
            and (path in self.cutoffs or path in self.automatic or path.endswith(".drv"))
        }

    def _itself(self, old: StorePath) -> bool:
        return self.replacements[old] == old

    def _last(self, old: StorePath) -> StorePath:
        path = old
        for _ in range(len(self.replacements) + 1):
            if path not in self.replacements or self._itself(path):
                return path
            path = self.replacements[path]
        raise Circle

    def leads_to(self, path: StorePath, *, through_kept: bool) -> set[StorePath]:
        """What a path's end depends on, itself included."""
        found: set[StorePath] = set()
        waiting = [path]
        while waiting:
            here = waiting.pop()
            if here in found:
                continue
            found.add(here)
            if here in self.last:
                waiting.append(self.last[here])
            elif through_kept or not (here in self.cutoffs or here.endswith(".drv")):
                waiting.extend(self.references[here])
        return found

    def rho(self, path: StorePath) -> StorePath:
        """Where a path ends up."""
        if path not in self._ends:
            self._ends[path] = self._rho(path)
        return self._ends[path]

    def _rho(self, path: StorePath) -> StorePath:
        if path in self.last:
            return self.rho(self.last[path])
        if path in self.kept:
            return path
        moved = {
            found: self.seen(found)
            for found in self.references[path]
            if found != path and self.seen(found) != found
        }
        if not moved:
            return path
        self.tables[path] = moved
        name = rewrite_name(path, moved, self.store_dir)
        self.names[name] = path
        return name

    def seen(self, path: StorePath) -> StorePath:
        """Where a path ends up for those that refer to it."""
        end = self.rho(path)
        if path not in self.last or len(end.name) == len(path.name):
            return end
        alias = alias_name(path, end, self.store_dir)
        self.names[alias] = path
        return alias

    def new_closure(self, roots: Iterable[StorePath]) -> dict[StorePath, set[StorePath]]:
        """Every path of the result with its references there, but for itself."""
        found: dict[StorePath, set[StorePath]] = {}
        waiting = [self.rho(root) for root in roots]
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            if path not in self.names:
                found[path] = set(self.references[path]) - {path}
            elif self.names[path] in self.last:
                found[path] = {self.rho(self.names[path])}
            else:
                original = self.names[path]
                found[path] = {self.seen(old) for old in self.references[original] - {original}}
            waiting.extend(found[path])
        return found
