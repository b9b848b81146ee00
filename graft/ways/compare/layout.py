"""Where a comparison's paths stand in its drawing: a layered graph, from left to right.

A path that leads to a replaced one stands as many columns left of it as the longest chain between
them has steps; every other one right of all its referrers. So the root is at the left, OLD and NEW
at the right end of the changed paths, and each reference leads to the right. The method is the one
of Sugiyama, Tagawa and Toda ("Methods for visual understanding of hierarchical system structures",
1981): layers, lanes for references that pass layers, and sweeps that put each cell at the mean
position of its neighbours.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["root", "replaced", "new", "rewritten", "shared", "cutoff"]

_LARGE_CLOSURE: Final = 200
"""From so many paths on all shared ones of a column are one box."""

_SHARED_AT_MOST: Final = 10
_REWRITTEN_AT_MOST: Final = (40, 16, 8, 4, 1)
_BOXES_AT_MOST: Final = 300
"""More would be no picture: of the limits above the first that does not lead there is taken."""

_SWEEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Node:
    """A path to be drawn.

    Attributes:
        role: its fate under the plan.
        references: numbers of paths.
        alone: whether it is to be seen by itself however many others there are.
    """

    role: Role
    references: Sequence[int]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes in columns, and the lines between them.

    Attributes:
        boxes: the paths of each: one, or all of a role that its column has too many of.
        columns: from left to right, from top to bottom: the numbers of boxes, and `~n` for the
            lane in which references to box n pass the column.
        edges: pairs of boxes, a referrer and the box it refers to, without the pairs that others
            imply.
    """

    boxes: tuple[tuple[int, ...], ...]
    columns: tuple[tuple[int, ...], ...]
    edges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, nodes: Sequence[Node], replacements: Mapping[int, int]) -> Layout:
        """Lays out a closure, the same way on every run.

        Args:
            nodes: the paths.
            replacements: OLD to NEW.
        """
        references = _without_circles([node.references for node in nodes])
        column_of = _columns(nodes, references, replacements)
        boxes = _boxes(nodes, column_of)
        box_of = {path: number for number, box in enumerate(boxes) for path in box}
        box_columns = [column_of[box[0]] for box in boxes]
        edges = _reduced(
            box_columns,
            {
                (box_of[path], box_of[other])
                for path, others in enumerate(references)
                for other in others
            },
        )
        return cls(tuple(boxes), _ordered(box_columns, edges), tuple(edges))


def _without_circles(references: Sequence[Iterable[int]]) -> list[list[int]]:
    """The references without the ones that lead back to where they come from.

    Nix registers no circle but a path's reference to itself; but any graph that is given must be
    drawn.
    """
    kept: list[list[int]] = [[] for _ in references]
    unseen = set(range(len(references)))
    for start in range(len(references)):
        if start not in unseen:
            continue
        unseen.discard(start)
        open_paths = {start}
        stack = [(start, iter(dict.fromkeys(references[start])))]
        while stack:
            path, others = stack[-1]
            for other in others:
                if other in open_paths:
                    continue
                kept[path].append(other)
                if other in unseen:
                    unseen.discard(other)
                    open_paths.add(other)
                    stack.append((other, iter(dict.fromkeys(references[other]))))
                    break
            else:
                open_paths.discard(path)
                stack.pop()
    return kept


def _referrers_first(references: Sequence[Iterable[int]]) -> list[int]:
    waiting = Counter(other for others in references for other in others)
    order = [path for path in range(len(references)) if not waiting[path]]
    for path in order:
        for other in references[path]:
            waiting[other] -= 1
            if not waiting[other]:
                order.append(other)
    return order


def _columns(
    nodes: Sequence[Node], references: Sequence[Sequence[int]], replacements: Mapping[int, int]
) -> list[int]:
    """The column of each path: every reference leads at least one to the right."""
    order = _referrers_first(references)
    steps: dict[int, int] = {}
    for path in reversed(order):
        below = [steps[other] + 1 for other in references[path] if other in steps]
        if below or nodes[path].role == "replaced":
            steps[path] = max(below, default=0)
    most = max(steps.values(), default=0)
    columns = [most - steps[path] if path in steps else 0 for path in range(len(nodes))]
    for old, new in replacements.items():
        if new not in steps:
            columns[new] = max(columns[new], columns[old])
    for path in order:
        for other in references[path]:
            if other not in steps:
                columns[other] = max(columns[other], columns[path] + 1)
    return columns


def _boxes(nodes: Sequence[Node], column_of: Sequence[int]) -> list[tuple[int, ...]]:
    """The paths of each box, in the order of their first paths."""
    alike: defaultdict[tuple[int, Role], list[int]] = defaultdict(list)
    boxes: list[tuple[int, ...]] = []
    for path, node in enumerate(nodes):
        if node.role in ("shared", "rewritten") and not node.alone:
            alike[column_of[path], node.role].append(path)
        else:
            boxes.append((path,))
    shared_limit = 1 if len(nodes) >= _LARGE_CLOSURE else _SHARED_AT_MOST
    rewritten = [len(paths) for (_, role), paths in alike.items() if role == "rewritten"]
    rewritten_limit = next(
        (
            limit
            for limit in _REWRITTEN_AT_MOST
            if sum(1 if many > limit else many for many in rewritten) <= _BOXES_AT_MOST
        ),
        1,
    )
    for (_, role), paths in alike.items():
        if len(paths) > (shared_limit if role == "shared" else rewritten_limit):
            boxes.append(tuple(paths))
        else:
            boxes.extend((path,) for path in paths)
    return sorted(boxes)


def _reduced(columns: Sequence[int], edges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The fewest edges by which the same boxes lead to the same others."""
    targets: defaultdict[int, list[int]] = defaultdict(list)
    for box, target in edges:
        targets[box].append(target)
    reached = [0] * len(columns)  # sets of boxes, as bits
    kept = []
    for box in sorted(targets, key=lambda box: -columns[box]):
        for target in sorted(targets[box], key=lambda target: (columns[target], target)):
            if not reached[box] >> target & 1:
                kept.append((box, target))
                reached[box] |= reached[target] | 1 << target
    return sorted(kept)


def _ordered(
    box_columns: Sequence[int], edges: Iterable[tuple[int, int]]
) -> tuple[tuple[int, ...], ...]:
    """The columns' cells in an order in which few lines cross."""
    columns: list[dict[int, None]] = [{} for _ in range(max(box_columns, default=-1) + 1)]
    for box, column in enumerate(box_columns):
        columns[column][box] = None
    # By the column of its left end: all references to a box share one lane.
    segments: list[dict[tuple[int, int], None]] = [{} for _ in columns]
    for box, target in edges:
        left = box
        for column in range(box_columns[box] + 1, box_columns[target]):
            columns[column][~target] = None
            segments[column - 1][left, ~target] = None
            left = ~target
        segments[box_columns[target] - 1][left, target] = None
    order = [list(cells) for cells in columns]
    best = [list(cells) for cells in order]
    fewest = _crossings(order, segments)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for number in range(1, len(order)) if forward else range(len(order) - 2, -1, -1):
            neighbours: defaultdict[int, list[int]] = defaultdict(list)
            beside = number - 1 if forward else number + 1
            place = {cell: index for index, cell in enumerate(order[beside])}
            for left, right in segments[min(number, beside)]:
                if forward:
                    neighbours[right].append(place[left])
                else:
                    neighbours[left].append(place[right])
            wished = {
                cell: _mean(neighbours[cell], default=index)
                for index, cell in enumerate(order[number])
            }
            order[number].sort(key=wished.__getitem__)
        crossings = _crossings(order, segments)
        if crossings < fewest:
            fewest, best = crossings, [list(cells) for cells in order]
    return tuple(map(tuple, best))


def _mean(places: Sequence[int], *, default: int) -> float:
    return sum(places) / len(places) if places else float(default)


def _crossings(
    order: Sequence[Sequence[int]], segments: Sequence[Iterable[tuple[int, int]]]
) -> int:
    """How many pairs of segments cross."""
    crossings = 0
    for number in range(len(order) - 1):
        left_place = {cell: index for index, cell in enumerate(order[number])}
        right_place = {cell: index for index, cell in enumerate(order[number + 1])}
        seen: list[int] = []
        for _, right in sorted(
            (left_place[left], right_place[right]) for left, right in segments[number]
        ):
            crossings += len(seen) - bisect_right(seen, right)
            insort(seen, right)
    return crossings
