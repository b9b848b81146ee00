"""Any plan over any closure, against the rules computed naively."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from graft.errors import ReplacementCycleError
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.plan.closure import Closure
from graft.store.api import PathInfo
from graft.store.memory import MemoryStore
from tests.examples import examples
from tests.plan.graphs import path
from tests.plan.naive import Circle, Naive


@dataclass(frozen=True)
class Case:
    references: Mapping[StorePath, frozenset[StorePath]]
    replacements: Mapping[StorePath, StorePath]
    cutoffs: frozenset[StorePath]
    roots: tuple[StorePath, ...]

    def closure(self) -> Closure:
        store = MemoryStore(
            infos=[
                PathInfo(path=node, nar_hash=bytes(32), nar_size=1, references=references)
                for node, references in self.references.items()
            ]
        )
        return Closure.of(store, [*self.roots, *self.replacements.values()])

    def plan(self) -> Plan:
        return Plan.of(self.closure(), self.replacements, roots=self.roots, cutoffs=self.cutoffs)

    def naive(self) -> Naive:
        return Naive(self.references, self.replacements, self.cutoffs)

    def shuffled(self, source: random.Random) -> Case:
        pairs = list(self.replacements.items())
        roots = list(self.roots)
        cutoffs = list(self.cutoffs)
        nodes = list(self.references)
        for order in (pairs, roots, cutoffs, nodes):
            source.shuffle(order)
        return Case(
            {node: self.references[node] for node in nodes},
            dict(pairs),
            frozenset(cutoffs),
            tuple(roots),
        )


@st.composite
def cases(draw: st.DrawFn, *, kept: bool = True) -> Case:
    """A closure without circles, in which the last paths refer to the first.

    Most often each path refers to the one before, so that few are out of reach.

    Args:
        kept: whether there may be cutoffs, and derivations.
    """
    count = draw(st.integers(3, 9))
    endings = draw(
        st.lists(st.sampled_from(_ENDINGS[: 8 if kept else 7]), min_size=count, max_size=count)
    )
    nodes = [path(f"{number}/p{ending}") for number, ending in enumerate(endings)]
    wishes = st.lists(st.integers(0, 2 ** (count + 2) - 1), min_size=count, max_size=count)
    references = {
        node: frozenset(
            nodes[bit]
            for bit in range(place + 1)
            if wish >> bit & 1 or (bit == place - 1 and wish >> count != 3)
        )
        for (place, node), wish in zip(enumerate(nodes), draw(wishes), strict=True)
    }
    some = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(some, some), min_size=1, max_size=4))
    roots = [nodes[-1], *(nodes[number] for number in draw(st.lists(some, max_size=2)))]
    return Case(
        references,
        {nodes[old]: nodes[new] for old, new in pairs},
        frozenset(nodes[number] for number in draw(st.lists(some, max_size=int(kept)))),
        tuple(dict.fromkeys(roots)),
    )


_ENDINGS = ["", "", "", "-1.0", "", "", "-1.0", ".drv"]


def circular(case: Case) -> bool:
    try:
        case.naive()
    except Circle:
        return True
    return False


sound_cases = cases().filter(lambda case: not circular(case))
# A busy machine, or many circles among what was drawn, are no defects.
_ANY = [HealthCheck.too_slow, HealthCheck.filter_too_much]
few = examples(0.8, _ANY)
many = examples(2, _ANY)


@few
@given(cases())
def test_a_circle_of_replacements_is_an_error_and_nothing_else_is(case: Case) -> None:
    try:
        case.plan()
    except ReplacementCycleError:
        assert circular(case)
    else:
        assert not circular(case)


@many
@given(sound_cases)
def test_every_path_ends_where_the_rules_say(case: Case) -> None:
    plan, naive = case.plan(), case.naive()
    assert plan.new_roots == {root: naive.rho(root) for root in case.roots}
    assert plan.new_references == naive.new_closure(case.roots)
    tables = {rewrite.path: dict(rewrite.references) for rewrite in plan.rewrites}
    assert tables == {
        naive.names[new]: naive.tables[naive.names[new]]
        for new in plan.new_references
        if new in naive.names and naive.names[new] in naive.tables
    }
    assert {rewrite.new_path for rewrite in plan.rewrites} == set(map(naive.rho, tables))
    for old, new in plan.moved.items():
        assert new in {naive.seen(old), naive.rho(old)}
        assert new in plan.new_references
    assert {alias.path: (alias.replaces, alias.target) for alias in plan.aliases} == {
        name: (naive.names[name], naive.rho(naive.names[name]))
        for name in plan.new_references
        if name in naive.names and naive.names[name] in naive.last
    }


@few
@given(sound_cases)
def test_what_moved_is_left_below_cutoffs_only(case: Case) -> None:
    plan, naive = case.plan(), case.naive()
    waiting = list(plan.new_roots.values())
    above: set[StorePath] = set()
    while waiting:
        here = waiting.pop()
        if here not in above:
            above.add(here)
            if here not in naive.kept:
                waiting.extend(plan.new_references[here])
    assert not above & set(plan.moved)


@few
@given(sound_cases)
def test_a_table_holds_direct_references_that_move_and_never_itself(case: Case) -> None:
    for rewrite in case.plan().rewrites:
        assert rewrite.references
        assert rewrite.path not in rewrite.references
        assert rewrite.references.keys() <= case.references[rewrite.path]
        for old, new in rewrite.references.items():
            assert old != new
            assert len(old) == len(new)


@few
@given(sound_cases)
def test_the_result_is_whole_and_without_circles(case: Case) -> None:
    plan = case.plan()
    for references in plan.new_references.values():
        assert references <= plan.new_references.keys()
    assert plan.new_paths <= plan.new_references.keys()
    assert not plan.new_paths & plan.shared
    assert not plan.new_paths & case.references.keys()
    assert plan.shared <= plan.closure.infos.keys()


@few
@given(sound_cases, st.randoms(use_true_random=False))
def test_the_order_of_arguments_changes_nothing(case: Case, source: random.Random) -> None:
    plan, other = case.plan(), case.shuffled(source).plan()
    assert (other.rewrites, other.aliases, other.warnings) == (
        plan.rewrites,
        plan.aliases,
        plan.warnings,
    )
    assert (other.moved, other.new_references) == (plan.moved, plan.new_references)
    assert other.new_roots == plan.new_roots


@few
@given(sound_cases)
def test_one_path_has_one_variant_whatever_the_roots(case: Case) -> None:
    tables = {rewrite.path: rewrite for rewrite in case.plan().rewrites}
    for root in case.roots:
        alone = Case(case.references, case.replacements, case.cutoffs, (root,)).plan()
        for rewrite in alone.rewrites:
            assert tables[rewrite.path] == rewrite


@few
@given(cases(kept=False).filter(lambda case: not circular(case) and not case.naive().kept))
def test_a_grafted_closure_has_nothing_left_to_graft(case: Case) -> None:
    plan, naive = case.plan(), case.naive()
    store = MemoryStore(
        infos=[
            PathInfo(path=node, nar_hash=bytes(32), nar_size=1, references=references)
            for node, references in plan.new_references.items()
        ]
    )
    roots = list(plan.new_roots.values())
    pairs = {old: new for old, new in plan.moved.items() if old in naive.last}
    again = Plan.of(Closure.of(store, [*roots, *pairs.values()]), pairs, roots=roots)
    assert again.new_roots == {root: root for root in roots}
    assert not again.rewrites


@few
@given(sound_cases)
def test_automatic_cutoffs_are_announced_and_only_they(case: Case) -> None:
    plan, naive = case.plan(), case.naive()
    announced = {warning.path for warning in plan.warnings if warning.kind == "automatic-cutoff"}
    assert {new for new in announced if new is not None and not new.is_derivation} == {
        new
        for new in naive.automatic
        if new in plan.new_references and not new.endswith(".drv") and _reached(naive, case, new)
    }


def _reached(naive: Naive, case: Case, new: StorePath) -> bool:
    """Whether a path is met on the way to the result, and not only below what is kept."""
    found: set[StorePath] = set()
    waiting = list(case.roots)
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        found.add(here)
        if here in naive.last:
            waiting.append(naive.last[here])
        elif here not in naive.kept:
            waiting.extend(naive.references[here])
    return new in found
