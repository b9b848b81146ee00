"""The replacements themselves: contradictions, chains and circles among them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from graft.errors import ConflictingReplacementsError, ReplacementCycleError
from graft.formats.store_path import StoreDir, StorePath
from graft.graph import networkx_graph


def unite_replacements(
    pairs: Mapping[StorePath, StorePath] | Iterable[tuple[StorePath, StorePath]],
    store_dir: StoreDir,
) -> dict[StorePath, StorePath]:
    """One NEW for each OLD.

    Raises:
        ConflictingReplacementsError: an OLD has two.
    """
    united: dict[StorePath, StorePath] = {}
    for old, new in pairs.items() if isinstance(pairs, Mapping) else pairs:
        if united.setdefault(old, new) != new:
            first, second = store_dir.path(united[old]), store_dir.path(new)
            raise ConflictingReplacementsError(
                f"'{store_dir.path(old)}' is to be replaced by both '{first}' and "
                f"'{second}': keep one",
                path=store_dir.path(old),
                replacements=[first, second],
            )
    return united


def resolve_chains(
    replacements: Mapping[StorePath, StorePath], store_dir: StoreDir
) -> dict[StorePath, StorePath]:
    """The last NEW for each OLD: for A→B and B→C it is C for both.

    Args:
        replacements: pairs without one from a path to itself.

    Raises:
        ReplacementCycleError: they lead back to where they began.
    """
    last: dict[StorePath, StorePath] = {}
    for old in replacements:
        chain = [old]
        while (new := replacements.get(chain[-1])) is not None:
            if new in chain:
                cycle = [store_dir.path(path) for path in [*chain[chain.index(new) :], new]]
                raise ReplacementCycleError(
                    f"the replacements lead in a circle: {' -> '.join(cycle)}; leave one of them "
                    "out",
                    cycle=cycle,
                )
            chain.append(new)
        last[old] = chain[-1]
    return last


def movement_graph(
    roots: Iterable[StorePath],
    last: Mapping[StorePath, StorePath],
    references: Callable[[StorePath], Collection[StorePath]],
    stays: Callable[[StorePath], bool],
) -> dict[StorePath, Collection[StorePath]]:
    """Where each path's end depends on which other path's end, as far as the roots lead.

    A replaced path depends on its NEW alone; a path that stays on nothing; every other one on its
    references.
    """
    graph: dict[StorePath, Collection[StorePath]] = {}
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path in graph:
            continue
        needed: Collection[StorePath]
        if path in last:
            needed = (last[path],)
        elif stays(path):
            needed = ()
        else:
            needed = references(path)
        graph[path] = needed
        waiting.extend(needed)
    return graph


def circular_replacements(
    graph: Mapping[StorePath, Collection[StorePath]], last: Mapping[StorePath, StorePath]
) -> set[StorePath]:
    """The NEWs that must be kept unchanged, because rewriting them would never end.

    They are in strongly connected components of more than one path: each NEW to which a replacement
    inside the component leads, such as a wrapper around its OLD. Every circle passes through such a
    replacement. So the graph without the edges that leave these NEWs has no circle.
    """
    import networkx as nx  # noqa: PLC0415 - late: slow to import, and circles are rare

    return {
        last[old]
        for component in nx.strongly_connected_components(networkx_graph(graph))
        if len(component) > 1
        for old in component
        if last.get(old) in component
    }
