"""Where the paths of a closure end up: each after all that its own end depends on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from graft.errors import ReferenceCycleError
from graft.fixups import Switches
from graft.formats.store_path import StoreDir, StorePath
from graft.graph import networkx_graph, reachable, references_first, turned
from graft.plan.closure import Closure
from graft.plan.naming import alias_name, rewrite_name
from graft.plan.rewrites import Alias, Rewrite


class Ends:
    """Where the paths of a movement graph end up."""

    def __init__(
        self,
        last: Mapping[StorePath, StorePath],
        store_dir: StoreDir,
        converted: Collection[StorePath],
        switches: Switches,
    ) -> None:
        self._switches = switches
        self._last = last
        self._store_dir = store_dir
        self._converted = converted
        self.moved: dict[StorePath, StorePath] = {}
        self.rewrites: list[Rewrite] = []
        self.aliases: dict[StorePath, Alias] = {}

    @classmethod
    def of(
        cls,
        order: Iterable[StorePath],
        graph: Mapping[StorePath, Iterable[StorePath]],
        last: Mapping[StorePath, StorePath],
        closure: Closure,
        converted: Collection[StorePath],
        switches: Switches,
    ) -> Ends:
        """The final paths of the paths in `order`.

        Args:
            order: each path after all that its end depends on.
            graph: the paths that the end of each path depends on.
            last: the replacements, chains resolved.
            closure: the closure of them all.
            converted: paths that get a new name even if nothing they refer to does.
            switches: the switches of the fix-ups that have a part in the bytes.
        """
        ends = cls(last, closure.store_dir, converted, switches)
        for path in order:
            if path in last:
                ends._replace(path)
            else:
                ends._rewrite(path, graph[path], closure.infos[path].nar_size)
        used = {new for rewrite in ends.rewrites for new in rewrite.references.values()}
        for old, alias in list(ends.aliases.items()):
            if alias.path not in used:
                del ends.aliases[old]
                ends.moved[old] = alias.target
        return ends

    def at(self, path: StorePath) -> StorePath:
        """ρ(p) itself, past the alias that referrers may see."""
        if path in self._last:
            return self.at(self._last[path])
        return self.moved.get(path, path)

    def _replace(self, path: StorePath) -> None:
        target = self.at(path)
        if len(target) != len(path):
            name = alias_name(path, target, self._store_dir)
            self.aliases[path] = Alias(path=name, target=target, replaces=path)
            target = name
        self.moved[path] = target

    def _rewrite(self, path: StorePath, references: Iterable[StorePath], nar_size: int) -> None:
        moved = {found: self.moved[found] for found in references if found in self.moved}
        if not moved and path not in self._converted:
            return
        name = rewrite_name(path, moved, self._store_dir, self._switches.named)
        self.moved[path] = name
        self.rewrites.append(
            Rewrite(
                path=path,
                new_path=name,
                references=moved,
                nar_size=nar_size,
                fixups=self._switches.switched,
                replaced=frozenset(moved.keys() & self._last.keys()),
            )
        )


def order_of_leading(
    graph: Mapping[StorePath, Collection[StorePath]],
    moving: Iterable[StorePath],
    store_dir: StoreDir,
) -> list[StorePath]:
    """The paths that lead to moving ones, references first; the others stay, circles and all.

    Raises:
        ReferenceCycleError: some of them lead back to themselves.
    """
    found = reachable(turned(graph), [path for path in moving if path in graph])
    leading = {path: [other for other in graph[path] if other in found] for path in found}
    order = references_first(leading)
    if len(order) == len(leading):
        return order
    import networkx as nx  # noqa: PLC0415 - late: slow to import, and circles are rare

    # Sorted, and begun at the least path, the same circle is named the same way on every run.
    ordered = {path: sorted(leading[path]) for path in sorted(leading)}
    circle = [edge[0] for edge in nx.find_cycle(networkx_graph(ordered))]
    begin = circle.index(min(circle))
    cycle = [store_dir.path(path) for path in circle[begin:] + circle[:begin]]
    raise ReferenceCycleError(
        f"these paths refer to each other in a circle: {', '.join(cycle)}; cut one of them off",
        cycle=cycle,
    )


def references_after(
    closure: Closure,
    ends: Ends,
    aliases: Mapping[StorePath, Alias],
    new_roots: Iterable[StorePath],
) -> dict[StorePath, frozenset[StorePath]]:
    """The new closure: for each path its references there, without itself."""
    rewrites = {rewrite.new_path: rewrite for rewrite in ends.rewrites}
    found: dict[StorePath, frozenset[StorePath]] = {}
    waiting = list(new_roots)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        if (rewrite := rewrites.get(path)) is not None:
            moved = rewrite.references
            found[path] = closure.references(rewrite.path).difference(moved).union(moved.values())
        elif (alias := aliases.get(path)) is not None:
            found[path] = frozenset({alias.target})
        else:
            found[path] = closure.references(path)
        waiting.extend(found[path])
    return found
