"""Walks over plain mappings, against networkx."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from graft.graph import networkx_graph, reachable, references_first, turned

_NODES = "abcdefghij"
Graph = dict[str, frozenset[str]]


@st.composite
def graphs(draw: st.DrawFn, *, circles: bool) -> Graph:
    """A few nodes; without circles edges only lead on in an order that is no alphabet's."""
    order = draw(st.permutations(_NODES))
    return {
        node: draw(st.frozensets(st.sampled_from(order if circles else later))) - {node}
        if (later := order[place + 1 :])
        else frozenset()
        for place, node in enumerate(order)
    }


@given(graphs(circles=True), st.frozensets(st.sampled_from(_NODES)))
def test_reachable_are_the_starts_and_their_descendants(
    graph: Graph, starts: frozenset[str]
) -> None:
    whole = networkx_graph(graph)
    expected = starts.union(*(nx.descendants(whole, start) for start in starts))
    assert reachable(graph, starts) == expected


@given(graphs(circles=True))
def test_turned_graphs_have_every_edge_the_other_way_round(graph: Graph) -> None:
    edges = {(node, other) for node, others in graph.items() for other in others}
    assert {(o, node) for node, others in turned(graph).items() for o in others} == edges


@given(graphs(circles=False))
def test_the_order_is_the_lexicographical_one_of_referrers_from_its_end(graph: Graph) -> None:
    expected = list(nx.lexicographical_topological_sort(networkx_graph(graph)))[::-1]
    assert references_first(graph) == expected


@given(graphs(circles=True))
def test_what_leads_back_to_itself_is_left_out_with_all_below_it(graph: Graph) -> None:
    whole = networkx_graph(graph)
    circles = [each for each in nx.strongly_connected_components(whole) if len(each) > 1]
    left_out = set().union(*(each | nx.descendants(whole, min(each)) for each in circles))
    assert set(references_first(graph)) == graph.keys() - left_out
