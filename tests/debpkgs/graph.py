"""From packages to derivations: packages grouped into outputs, cycles cut, an order to build in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .resolve import Resolution
from .sets import Recipe

Edges = dict[str, list[str]]


@dataclass(frozen=True)
class Node:
    """One derivation: its outputs, in order, and the packages unpacked into each."""

    name: str
    outputs: Mapping[str, tuple[str, ...]]

    @property
    def main_package(self) -> str:
        """The package whose version is the derivation's."""
        return self.outputs["out"][0]


@dataclass
class Graph:
    """The derivations of a set; `order` puts every one after all it depends on."""

    nodes: dict[str, Node]
    edges: Edges
    place: dict[str, tuple[str, str]]
    cut: list[tuple[str, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def inputs(self, name: str) -> list[str]:
        """All a derivation may refer to: the direct dependencies, then the rest, nearest first."""
        below = reachable(self.edges, name)
        direct = self.edges[name]
        rest = [n for n in reversed(self.order) if n in below and n not in direct and n != name]
        return [*direct, *rest]


def build_graph(resolution: Resolution, recipe: Recipe) -> Graph:
    """The derivation graph of a resolved set, without cycles."""
    nodes, place = _group(resolution, recipe)
    edges: Edges = {name: [] for name in nodes}
    for package, needs in resolution.depends.items():
        here = place[package][0]
        for need in needs:
            there = place[need][0]
            if there != here and there not in edges[here]:
                edges[here].append(there)
    if "glibc" in edges:
        edges["glibc"] = []  # everything needs it, so it can need nothing
    starts = [place[name][0] for name in resolution.wanted]
    cut = cut_cycles(edges, [*starts, *nodes])
    _add_tools(edges, [tool for tool in recipe.tools if tool in nodes])
    return Graph(nodes, edges, place, cut, topological(edges))


def _group(
    resolution: Resolution, recipe: Recipe
) -> tuple[dict[str, Node], dict[str, tuple[str, str]]]:
    nodes: dict[str, Node] = {}
    place: dict[str, tuple[str, str]] = {}
    for group, wished in recipe.groups.items():
        present = {
            output: tuple(name for name in names if name in resolution.packages)
            for output, names in wished.items()
        }
        present = {output: names for output, names in present.items() if names}
        if not present:
            continue
        if "out" not in present:  # a derivation needs one: the first there is takes its place
            first = next(iter(present))
            present = {"out" if o == first else o: names for o, names in present.items()}
        nodes[group] = Node(group, present)
        place.update({name: (group, o) for o, names in present.items() for name in names})
    for package in resolution.packages:
        if package not in place:
            if package in nodes:
                raise ValueError(f"a group has the name of package {package}")
            nodes[package] = Node(package, {"out": (package,)})
            place[package] = (package, "out")
    return nodes, place


def cut_cycles(edges: Edges, starts: Iterable[str]) -> list[tuple[str, str]]:
    """Removes from `edges` every edge that leads back to where a depth-first walk came from.

    Walking from the wanted programs down makes the edges that are cut those from a library or
    its data up to a program: what only maintainer scripts want.
    """
    cut: list[tuple[str, str]] = []
    done: set[str] = set()
    for start in starts:
        if start in done:
            continue
        trail = {start}
        stack = [(start, iter(list(edges[start])))]
        while stack:
            node, pending = stack[-1]
            following = next(pending, None)
            if following is None:
                stack.pop()
                trail.discard(node)
                done.add(node)
            elif following in trail:
                edges[node].remove(following)
                cut.append((node, following))
            elif following not in done:
                trail.add(following)
                stack.append((following, iter(list(edges[following]))))
    return cut


def reachable(edges: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Everything a walk along the edges meets, `start` included."""
    seen = {start}
    todo = [start]
    while todo:
        for following in edges[todo.pop()]:
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


def topological(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """The nodes, each after all it has an edge to; the graph has no cycle."""
    order: dict[str, None] = {}
    for start in edges:
        stack = [(start, iter(edges[start]))] if start not in order else []
        while stack:
            node, pending = stack[-1]
            following = next(pending, None)
            if following is None:
                stack.pop()
                order.setdefault(node)
            elif following not in order:
                stack.append((following, iter(edges[following])))
    return list(order)


def _add_tools(edges: Edges, tools: list[str]) -> None:
    below_tools = set().union(*(reachable(edges, tool) for tool in tools))
    for node, needs in edges.items():
        if node not in below_tools:
            needs += [tool for tool in tools if tool not in needs]
    # perl's own wrapper is a bash script, and perl is one of the tools
    if (
        {"bash", "perl"} <= edges.keys()
        and "bash" not in edges["perl"]
        and "perl" not in reachable(edges, "bash")
    ):
        edges["perl"].append("bash")
