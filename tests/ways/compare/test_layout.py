"""The layout of a closure's drawing: columns, boxes and what joins them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graft.ways.compare.layout import Layout, Node, Role
from tests.ways.compare.documents import large_document, small_document

ROLES: list[Role] = ["root", "replaced", "new", "rewritten", "shared", "cutoff"]


@st.composite
def closures(draw: st.DrawFn) -> list[Node]:
    number = draw(st.integers(1, 30))
    return [
        Node(
            draw(st.sampled_from(ROLES)),
            draw(st.lists(st.integers(path + 1, number - 1))) if path + 1 < number else [],
        )
        for path in range(number)
    ]


def reached(edges: dict[int, set[int]], start: int) -> set[int]:
    found: set[int] = set()
    waiting = [start]
    while waiting:
        for other in edges.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


@given(closures())
def test_every_reference_leads_to_the_right_and_no_box_is_lost(nodes: list[Node]) -> None:
    layout = Layout.of(nodes, {})
    column_of = {
        cell: number for number, cells in enumerate(layout.columns) for cell in cells if cell >= 0
    }
    box_of = {path: number for number, box in enumerate(layout.boxes) for path in box}
    assert sorted(path for box in layout.boxes for path in box) == list(range(len(nodes)))
    assert sorted(column_of) == list(range(len(layout.boxes)))
    for path, node in enumerate(nodes):
        for other in node.references:
            assert column_of[box_of[path]] < column_of[box_of[other]]


@given(closures())
def test_the_lines_that_are_kept_lead_to_the_same_boxes(nodes: list[Node]) -> None:
    layout = Layout.of(nodes, {})
    box_of = {path: number for number, box in enumerate(layout.boxes) for path in box}
    whole: dict[int, set[int]] = {}
    for path, node in enumerate(nodes):
        whole.setdefault(box_of[path], set()).update(box_of[other] for other in node.references)
    kept: dict[int, set[int]] = {}
    for box, other in layout.edges:
        kept.setdefault(box, set()).add(other)
    for box in range(len(layout.boxes)):
        assert reached(kept, box) == reached(whole, box)


def test_a_circle_is_drawn_without_what_closes_it() -> None:
    layout = Layout.of([Node("root", [1]), Node("shared", [2]), Node("shared", [1])], {})
    assert layout.edges == ((0, 1), (1, 2))


def test_new_stands_no_further_left_than_old() -> None:
    nodes = [Node("rewritten", [1]), Node("rewritten", [2]), Node("replaced", []), Node("new", [])]
    assert Layout.of(nodes, {2: 3}).columns == ((0,), (1,), (2, 3))


def test_a_small_closure_shows_most_paths_and_a_large_one_groups_the_shared() -> None:
    layouts = []
    for document in (small_document(), large_document()):
        closure = document["closure"]
        nodes = [Node(path["role"], path["references"]) for path in closure]
        layouts.append(Layout.of(nodes, {}))
    small, large = layouts
    assert len(small.boxes) > 60
    assert len(large.boxes) < 600
    assert sum(len(box) > 1 for box in large.boxes) > 10
