"""Replacements that lead back to what they replace: automatic cutoffs, and only where needed."""

from __future__ import annotations

from tests.plan.graphs import new, path, paths, plan_of, rewritten, table, warned


def test_a_wrapper_around_old_is_kept_exactly_as_it_is_with_old_below_it() -> None:
    plan = plan_of({"root": "lib", "lib": "old", "new": "old data"}, {"old": "new"})
    assert warned(plan, "automatic-cutoff") == {path("new")}
    assert table(plan, "lib") == {path("old"): path("new")}
    assert plan.new_references == {
        new(plan, "root"): {new(plan, "lib")},
        new(plan, "lib"): {path("new")},
        path("new"): set(paths("old data")),
        path("old"): set(),
        path("data"): set(),
    }


def test_a_wrapper_around_what_is_above_old_is_kept_as_well() -> None:
    plan = plan_of({"lib": "old", "new": "lib"}, {"old": "new"}, roots="lib")
    assert warned(plan, "automatic-cutoff") == {path("new")}
    assert plan.new_references[path("new")] == set(paths("lib"))
    assert plan.new_references[path("lib")] == set(paths("old"))


def test_a_wrapper_that_is_a_root_itself_is_kept() -> None:
    plan = plan_of({"root": "old", "new": "old"}, {"old": "new"}, roots="new root")
    assert plan.new_roots[path("new")] == path("new")
    assert rewritten(plan) == {path("root")}


def test_a_wrapper_at_the_end_of_a_chain_is_kept() -> None:
    plan = plan_of({"root": "old", "new": "old"}, [("old", "mid"), ("mid", "new")])
    assert warned(plan, "automatic-cutoff") == {path("new")}
    assert table(plan, "root") == {path("old"): path("new")}


def test_a_wrapper_around_the_middle_of_a_chain_is_kept() -> None:
    plan = plan_of({"root": "old", "new": "mid"}, [("old", "mid"), ("mid", "new")])
    assert warned(plan, "automatic-cutoff") == {path("new")}
    assert plan.new_references[path("new")] == {path("mid")}


def test_crossed_pairs_are_both_kept() -> None:
    pairs = {"old1": "new1", "old2": "new2"}
    plan = plan_of({"root": "old1 old2", "new1": "old2", "new2": "old1"}, pairs)
    assert warned(plan, "automatic-cutoff") == set(paths("new1 new2"))
    assert rewritten(plan) == {path("root")}
    assert table(plan, "root") == {
        path("old1"): path("new1"),
        path("old2"): path("new2"),
    }
    assert plan.new_references[path("new1")] == {path("old2")}


def test_crossed_pairs_are_kept_whichever_of_them_the_roots_reach() -> None:
    pairs = {"old1": "new1", "old2": "new2"}
    references = {"one": "old1", "two": "old2", "new1": "old2", "new2": "old1"}
    for label, kept in (("one", "new1"), ("two", "new2")):
        plan = plan_of(references, pairs, roots=label)
        assert warned(plan, "automatic-cutoff") == {path(kept)}
        assert plan.new_references[path(kept)]
        assert rewritten(plan) == {path(label)}


def test_a_new_outside_the_circle_is_rewritten_like_any_path() -> None:
    plan = plan_of(
        {"root": "old1 old2", "new1": "old1", "new2": "old1"}, {"old1": "new1", "old2": "new2"}
    )
    assert warned(plan, "automatic-cutoff") == {path("new1")}
    assert table(plan, "new2") == {path("old1"): path("new1")}


def test_one_old_between_two_others_is_no_circle() -> None:
    plan = plan_of({"root": "old2", "new2": "old1"}, {"old1": "new1", "old2": "new2"})
    assert warned(plan, "automatic-cutoff") == set()


def test_glibcs_out_and_bin_with_bash_between_them_need_no_cutoff() -> None:
    plan = plan_of(
        {
            "root": "bash one/glibc-2.36-bin",
            "bash": "one/glibc-2.36",
            "one/glibc-2.36": "one/glibc-2.36",
            "one/glibc-2.36-bin": "one/glibc-2.36",
            "two/glibc-2.36": "two/glibc-2.36",
            "two/glibc-2.36-bin": "two/glibc-2.36 bash",
        },
        {"one/glibc-2.36": "two/glibc-2.36", "one/glibc-2.36-bin": "two/glibc-2.36-bin"},
    )
    assert warned(plan, "automatic-cutoff") == set()
    assert rewritten(plan) == set(paths("root bash two/glibc-2.36-bin"))
    assert table(plan, "two/glibc-2.36-bin") == {path("bash"): new(plan, "bash")}
    assert not set(plan.new_references) & set(plan.moved)


def test_a_cutoff_of_the_users_that_opens_the_circle_leaves_none_to_be_made() -> None:
    references = {"root": "old lib", "lib": "old", "new": "lib"}
    plan = plan_of(references, {"old": "new"}, cutoffs="lib")
    assert warned(plan, "automatic-cutoff") == set()
    assert plan.new_references[path("new")] == {path("lib")}
    assert plan.new_references[path("lib")] == {path("old")}


def test_a_derivation_that_would_be_rewritten_is_an_automatic_cutoff() -> None:
    plan = plan_of({"root": "x.drv", "x.drv": "y.drv", "y.drv": "old"}, {"old": "new"})
    assert rewritten(plan) == set()
    assert path("x.drv") in warned(plan, "automatic-cutoff")


def test_a_derivation_without_old_is_none() -> None:
    plan = plan_of({"root": "old x.drv", "x.drv": "data"}, {"old": "new"})
    assert warned(plan, "automatic-cutoff") == set()


def test_a_derivation_opens_a_circle() -> None:
    plan = plan_of({"root": "old", "new": "x.drv", "x.drv": "old"}, {"old": "new"})
    assert warned(plan, "automatic-cutoff") == {path("x.drv")}


def test_a_long_chain_of_paths_needs_no_recursion() -> None:
    links = {f"p{number}": f"p{number + 1}" for number in range(1200)}
    plan = plan_of(links | {"p1200": "old"}, {"old": "new"}, roots="p0")
    assert len(plan.rewrites) == 1201


def test_a_long_circle_needs_no_recursion() -> None:
    links = {f"p{number}": f"p{number + 1}" for number in range(1200)}
    plan = plan_of(links | {"p1200": "old", "new": "p0"}, {"old": "new"}, roots="p0")
    assert warned(plan, "automatic-cutoff") == {path("new")}
