"""Names of unequal length: a symlink of OLD's name stands between OLD's referrers and NEW."""

from __future__ import annotations

import pytest

from graft.plan import Alias
from tests.plan.graphs import new, path, paths, plan_of, table, warned

LONG = {"lib-1.0": "lib-1.0.1"}


def test_names_of_equal_length_need_no_alias() -> None:
    assert plan_of({"root": "lib-1.0"}, {"lib-1.0": "lib-1.1"}).aliases == ()


@pytest.mark.parametrize("target", ["lib-1.0.1", "lib-2"])
def test_an_alias_has_olds_name_and_leads_to_new(target: str) -> None:
    plan = plan_of({"root": "lib-1.0"}, {"lib-1.0": target})
    (alias,) = plan.aliases
    assert alias == Alias(path=alias.path, target=path(target), replaces=path("lib-1.0"))
    assert alias.path.name == "lib-1.0"
    assert alias.path not in paths(f"lib-1.0 {target}")
    assert table(plan, "root") == {path("lib-1.0"): alias.path}


def test_an_alias_stands_for_old_in_references_and_its_own_is_its_target() -> None:
    plan = plan_of({"root": "lib-1.0 data", "lib-1.0.1": "low"}, LONG)
    (alias,) = plan.aliases
    assert plan.new_references[new(plan, "root")] == {alias.path, path("data")}
    assert plan.new_references[alias.path] == {path("lib-1.0.1")}
    assert plan.new_references[path("lib-1.0.1")] == {path("low")}
    assert plan.new_paths == {new(plan, "root"), alias.path}
    assert plan.shared == set(paths("data lib-1.0.1 low"))


def test_an_alias_leads_to_the_rewritten_new() -> None:
    plan = plan_of({"root": "lib-1.0", "lib-1.0.1": "low"}, LONG | {"low": "lew"})
    (alias,) = plan.aliases
    assert alias.target == new(plan, "lib-1.0.1") != path("lib-1.0.1")


def test_what_refers_to_new_itself_does_not_go_through_the_alias() -> None:
    plan = plan_of({"root": "lib-1.0 lib-1.0.1"}, LONG)
    assert table(plan, "root") == {path("lib-1.0"): plan.aliases[0].path}
    assert path("lib-1.0.1") in plan.new_references[new(plan, "root")]


def test_a_chain_compares_the_first_old_with_the_last_new() -> None:
    back = plan_of({"root": "old"}, [("old", "middle"), ("middle", "new")])
    assert back.aliases == ()
    assert table(back, "root") == {path("old"): path("new")}
    away = plan_of({"root": "old"}, [("old", "mid"), ("mid", "newer")])
    (alias,) = away.aliases
    assert (alias.replaces, alias.target) == (path("old"), path("newer"))


def test_each_old_of_a_chain_has_its_own_alias_if_it_is_used() -> None:
    plan = plan_of({"root": "old middle"}, [("old", "middle"), ("middle", "newer")])
    assert {alias.replaces: alias.target for alias in plan.aliases} == {
        path("old"): path("newer"),
        path("middle"): path("newer"),
    }
    assert len(plan.new_references) == 4


def test_a_root_that_is_old_ends_at_new_itself_and_needs_no_alias() -> None:
    plan = plan_of({"lib-1.0": ""}, LONG, roots="lib-1.0")
    assert plan.new_roots == {path("lib-1.0"): path("lib-1.0.1")}
    assert plan.aliases == ()
    assert plan.moved == {path("lib-1.0"): path("lib-1.0.1")}
    assert plan.new_references.keys() == {path("lib-1.0.1")}
    assert warned(plan, "alias") == set()


def test_a_root_that_is_old_ends_at_the_rewritten_new() -> None:
    plan = plan_of({"lib-1.0": "", "lib-1.0.1": "low"}, LONG | {"low": "lew"}, roots="lib-1.0")
    assert plan.new_roots == {path("lib-1.0"): new(plan, "lib-1.0.1")}


def test_a_root_that_is_old_ends_at_new_itself_though_others_use_the_alias() -> None:
    plan = plan_of({"root": "lib-1.0"}, LONG, roots="root lib-1.0")
    assert plan.new_roots[path("lib-1.0")] == path("lib-1.0.1")
    assert [alias.replaces for alias in plan.aliases] == [path("lib-1.0")]


def test_an_alias_that_only_a_cutoff_would_use_is_not_made() -> None:
    plan = plan_of({"root": "keep low", "keep": "lib-1.0"}, LONG | {"low": "lew"}, cutoffs="keep")
    assert plan.aliases == ()
    assert not plan.new_paths - {new(plan, "root")}


def test_a_new_that_is_kept_is_the_aliass_target_unchanged() -> None:
    plan = plan_of({"root": "lib-1.0", "lib-1.0.1": "lib-1.0"}, LONG)
    (alias,) = plan.aliases
    assert alias.target == path("lib-1.0.1")
    assert plan.new_references[path("lib-1.0.1")] == {path("lib-1.0")}


def test_an_alias_is_announced_with_who_will_still_see_olds_name() -> None:
    plan = plan_of({"root": "lib-1.0"}, LONG)
    (warning,) = [warning for warning in plan.warnings if warning.kind == "alias"]
    assert warning.path == path("lib-1.0")
    assert "AppArmor" in warning.message
    assert "scanners" in warning.message
    assert f"/nix/store/{plan.aliases[0].path}" in warning.message
