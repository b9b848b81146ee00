"""Walks over reference graphs: plain mappings from each node to all it leads to.

Where tens of thousands of paths are planned, networkx takes several times as long, and loading it
longer than a small plan; it is used for rare tasks that are not simple: circles, and all chains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import networkx as nx

Node = TypeVar("Node", bound=str)


def reachable(graph: Mapping[Node, Iterable[Node]], starts: Iterable[Node]) -> set[Node]:
    """The starts and every node they lead to."""
    found = set(starts)
    waiting = list(found)
    while waiting:
        for node in graph.get(waiting.pop(), ()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found


def turned(graph: Mapping[Node, Iterable[Node]]) -> dict[Node, list[Node]]:
    """The same graph with every edge turned round; nodes without an edge to them are left out."""
    referrers: dict[Node, list[Node]] = {}
    for node, references in graph.items():
        for reference in references:
            if reference in referrers:
                referrers[reference].append(node)
            else:
                referrers[reference] = [node]
    return referrers


def references_first(graph: Mapping[Node, Collection[Node]]) -> list[Node]:
    """Every node after all it leads to; among several such orders it is always the same.

    Args:
        graph: every node that it leads to is one of its keys.

    Returns:
        Fewer nodes than there are if some lead back to themselves: these nodes are left out, and
        all they lead to.
    """
    unplaced = dict(Counter(chain.from_iterable(graph.values())))
    ready = [node for node in graph if node not in unplaced]
    heapify(ready)
    order = []
    while ready:
        node = heappop(ready)
        order.append(node)
        for reference in graph[node]:
            unplaced[reference] -= 1
            if not unplaced[reference]:
                heappush(ready, reference)
    return order[::-1]


def networkx_graph(graph: Mapping[Node, Iterable[Node]]) -> nx.DiGraph[Node]:
    """The same graph as networkx wants it."""
    import networkx as nx  # noqa: PLC0415 - late: slow to import

    made: nx.DiGraph[Node] = nx.DiGraph()
    made.add_nodes_from(graph)
    made.add_edges_from((node, other) for node, others in graph.items() for other in others)
    return made
