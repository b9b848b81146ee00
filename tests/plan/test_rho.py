"""Where paths end up: replacement before cutoff before rewrite, and what stays shared."""

from __future__ import annotations

import pytest

from graft.errors import (
    ConflictingReplacementsError,
    PlanError,
    ReferenceCycleError,
    ReplacementCycleError,
)
from tests.plan.graphs import new, path, paths, plan_of, rewritten, table, warned

STACK = {"root": "app other", "app": "lib", "lib": "old", "other": "data"}


def test_everything_above_a_replaced_path_is_rewritten_and_all_else_is_shared() -> None:
    plan = plan_of(STACK, {"old": "new"})
    assert rewritten(plan) == set(paths("root app lib"))
    assert new(plan, "old") == path("new")
    assert plan.shared == set(paths("other data new"))
    assert plan.new_roots == {path("root"): new(plan, "root")}


def test_a_rewritten_path_keeps_its_name_and_gets_another_hash_part() -> None:
    for rewrite in plan_of(STACK, {"old": "new"}).rewrites:
        assert rewrite.new_path.name == rewrite.path.name
        assert rewrite.new_path.hash_part != rewrite.path.hash_part


def test_a_table_holds_the_paths_own_references_and_never_the_whole_plans() -> None:
    references = {"root": "app lib old same", "app": "lib", "lib": "old data"}
    plan = plan_of(references, {"old": "new"})
    assert table(plan, "lib") == {path("old"): path("new")}
    assert table(plan, "app") == {path("lib"): new(plan, "lib")}
    assert table(plan, "root") == {
        path("app"): new(plan, "app"),
        path("lib"): new(plan, "lib"),
        path("old"): path("new"),
    }


def test_a_reference_to_itself_is_no_reason_to_rewrite_and_no_entry_of_the_table() -> None:
    plan = plan_of({"root": "root lib alone", "lib": "lib old", "alone": "alone"}, {"old": "new"})
    assert rewritten(plan) == set(paths("root lib"))
    assert table(plan, "lib") == {path("old"): path("new")}
    assert plan.new_references[path("alone")] == frozenset()


def test_rewrites_come_references_before_referrers() -> None:
    plan = plan_of({"a": "b z", "b": "c", "c": "z", "z": "old"}, {"old": "new"}, roots="a")
    assert [rewrite.path for rewrite in plan.rewrites] == paths("z c b a")


def test_what_new_refers_to_is_replaced_too_and_new_rewritten() -> None:
    plan = plan_of(
        {"root": "old2", "old2": "old1", "new2": "between", "between": "old1"},
        [("old1", "new1"), ("old2", "new2")],
    )
    assert rewritten(plan) == set(paths("root new2 between"))
    assert table(plan, "between") == {path("old1"): path("new1")}
    assert new(plan, "old2") == new(plan, "new2") != path("new2")
    assert table(plan, "root") == {path("old2"): new(plan, "new2")}


def test_what_only_old_refers_to_leaves_the_closure() -> None:
    plan = plan_of({"root": "old", "old": "gone", "gone": "further"}, {"old": "new"})
    assert plan.new_references.keys() == {new(plan, "root"), path("new")}


def test_a_replacement_goes_before_a_cutoff() -> None:
    plan = plan_of({"root": "old"}, {"old": "new"}, cutoffs="old")
    assert table(plan, "root") == {path("old"): path("new")}


def test_a_cutoff_goes_before_a_rewrite_and_nothing_below_it_moves() -> None:
    plan = plan_of(
        {"root": "keep lib", "keep": "lib", "lib": "old"}, {"old": "new"}, cutoffs="keep"
    )
    assert rewritten(plan) == set(paths("root lib"))
    assert new(plan, "keep") == path("keep")
    assert plan.new_references[path("keep")] == frozenset(paths("lib"))
    assert plan.new_references[path("lib")] == frozenset(paths("old"))


def test_a_new_that_is_cut_off_is_kept_with_its_old_references() -> None:
    plan = plan_of(
        {"root": "old2", "new2": "old1"},
        [("old1", "new1"), ("old2", "new2")],
        cutoffs="new2",
    )
    assert new(plan, "old2") == path("new2")
    assert plan.new_references[path("new2")] == frozenset(paths("old1"))


def test_a_chain_of_replacements_leads_to_its_end_for_every_link() -> None:
    chain = [("a1", "b1"), ("b1", "c1"), ("c1", "d1")]
    plan = plan_of({"root": "a1 b1 c1", "b1": "below"}, chain)
    assert table(plan, "root") == {old: path("d1") for old in paths("a1 b1 c1")}
    assert path("below") not in plan.new_references


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ([("a1", "b1"), ("b1", "a1")], "a1 b1 a1"),
        ([("a1", "b1"), ("b1", "c1"), ("c1", "d1"), ("d1", "b1")], "b1 c1 d1 b1"),
    ],
)
def test_a_circle_of_replacements_is_an_error_that_names_it(
    pairs: list[tuple[str, str]], named: str
) -> None:
    with pytest.raises(ReplacementCycleError) as caught:
        plan_of({"root": "a1 b1"}, pairs)
    assert caught.value.fields["cycle"] == [f"/nix/store/{link}" for link in paths(named)]
    for link in paths(named):
        assert f"/nix/store/{link}" in caught.value.message


def test_a_path_replaced_by_itself_is_dropped_with_a_warning() -> None:
    plan = plan_of({"root": "old"}, {"old": "old"})
    assert (plan.rewrites, plan.moved) == ((), {})
    assert plan.new_roots == {path("root"): path("root")}
    assert warned(plan, "self-replacement") == {path("old")}


def test_a_path_replaced_by_itself_ends_a_chain_and_makes_no_circle() -> None:
    plan = plan_of({"root": "a1"}, [("a1", "b1"), ("b1", "b1")])
    assert new(plan, "a1") == path("b1")


def test_two_different_news_for_one_old_are_an_error_that_names_all_three() -> None:
    with pytest.raises(ConflictingReplacementsError) as caught:
        plan_of({"root": "old"}, [("old", "new"), ("old", "nee")])
    for label in paths("old new nee"):
        assert f"/nix/store/{label}" in caught.value.message
    assert caught.value.fields["path"] == f"/nix/store/{path('old')}"


def test_the_same_replacement_may_be_said_twice() -> None:
    plan = plan_of({"root": "old"}, [("old", "new"), ("old", "new")])
    assert plan.moved == plan_of({"root": "old"}, {"old": "new"}).moved


def test_a_derivation_is_never_rewritten() -> None:
    plan = plan_of({"root": "x.drv old", "x.drv": "old"}, {"old": "new"})
    assert rewritten(plan) == {path("root")}
    assert table(plan, "root") == {path("old"): path("new")}
    assert plan.new_references[path("x.drv")] == frozenset(paths("old"))


def test_a_derivation_can_be_replaced() -> None:
    plan = plan_of({"root": "x.drv"}, {"x.drv": "y.drv"})
    assert table(plan, "root") == {path("x.drv"): path("y.drv")}


def test_a_root_that_is_replaced_ends_at_its_new() -> None:
    plan = plan_of({"old": "below"}, {"old": "new"}, roots="old")
    assert plan.new_roots == {path("old"): path("new")}
    assert (plan.rewrites, plan.new_references) == ((), {path("new"): frozenset()})


def test_a_root_that_is_replaced_ends_at_the_rewritten_new() -> None:
    plan = plan_of({"old2": "", "new2": "old1"}, {"old1": "new1", "old2": "new2"}, roots="old2")
    assert plan.new_roots == {path("old2"): new(plan, "new2")}
    assert rewritten(plan) == {path("new2")}


def test_a_root_that_does_not_lead_to_old_ends_where_it_is() -> None:
    plan = plan_of({"root": "old", "calm": "data"}, {"old": "new"}, roots="root calm")
    assert plan.new_roots[path("calm")] == path("calm")
    assert rewritten(plan) == {path("root")}


def test_a_root_may_lie_in_another_roots_closure_and_be_given_twice() -> None:
    plan = plan_of({"root": "lib", "lib": "old"}, {"old": "new"}, roots="root lib root")
    assert plan.roots == tuple(paths("root lib"))
    assert plan.new_roots == {path("root"): new(plan, "root"), path("lib"): new(plan, "lib")}


def test_a_root_that_is_cut_off_ends_where_it_is() -> None:
    plan = plan_of({"root": "old"}, {"old": "new"}, cutoffs="root")
    assert plan.new_roots == {path("root"): path("root")}
    assert plan.new_references.keys() == set(paths("root old"))


def test_the_new_closure_holds_every_path_of_the_result_with_its_references_there() -> None:
    plan = plan_of(
        {"root": "app keep", "app": "app lib data", "lib": "old", "keep": "old", "new": "fresh"},
        {"old": "new"},
        cutoffs="keep",
    )
    assert plan.new_references == {
        new(plan, "root"): {new(plan, "app"), path("keep")},
        new(plan, "app"): {new(plan, "lib"), path("data")},
        new(plan, "lib"): {path("new")},
        path("new"): {path("fresh")},
        path("fresh"): set(),
        path("data"): set(),
        path("keep"): {path("old")},
        path("old"): set(),
    }
    assert plan.new_paths == {new(plan, label) for label in ("root", "app", "lib")}


def test_hidden_references_are_edges_like_any_other() -> None:
    plan = plan_of({"root": "lib old", "lib": ""}, {"old": "new"}, hidden={"lib": "old"})
    assert table(plan, "lib") == {path("old"): path("new")}
    assert plan.new_references[new(plan, "lib")] == {path("new")}


def test_hidden_references_in_a_circle_are_an_error_that_names_it() -> None:
    with pytest.raises(ReferenceCycleError) as caught:
        plan_of({"root": "a1", "a1": "b1", "b1": "old"}, {"old": "new"}, hidden={"b1": "a1"})
    assert caught.value.fields["cycle"] == [f"/nix/store/{link}" for link in paths("a1 b1")]


def test_hidden_references_in_a_circle_that_does_not_lead_to_old_are_shared() -> None:
    references = {"root": "a1 old", "a1": "b1", "b1": ""}
    plan = plan_of(references, {"old": "new"}, hidden={"b1": "a1"})
    assert rewritten(plan) == {path("root")}
    assert plan.new_references[path("b1")] == {path("a1")}


def test_a_cutoff_opens_a_circle_of_hidden_references() -> None:
    references = {"root": "a1", "a1": "b1", "b1": "old"}
    plan = plan_of(references, {"old": "new"}, hidden={"b1": "a1"}, cutoffs="b1")
    assert plan.rewrites == ()


@pytest.mark.parametrize(
    ("roots", "replacements"),
    [("elsewhere", {}), ("root", {"old": "elsewhere"})],
)
def test_a_root_or_a_new_outside_the_closure_is_an_error(
    roots: str, replacements: dict[str, str]
) -> None:
    closure = plan_of({"root": "old"}, {"old": "new"}).closure
    with pytest.raises(PlanError) as caught:
        type(plan_of({"root": ""}, {})).of(
            closure,
            {path(old): path(target) for old, target in replacements.items()},
            roots=paths(roots),
        )
    assert caught.value.fields["path"] == f"/nix/store/{path('elsewhere')}"


def test_bytes_at_most_are_those_of_what_is_rewritten() -> None:
    sizes = {"root": 100, "lib": 20, "old": 3, "data": 4000}
    plan = plan_of({"root": "lib data", "lib": "old"}, {"old": "new"}, sizes=sizes)
    assert plan.bytes_at_most == 120
    assert [rewrite.nar_size for rewrite in plan.rewrites] == [20, 100]
