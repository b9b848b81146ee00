"""Each kind of warning: with its cause, and silent without it."""

from __future__ import annotations

import pytest

from tests.plan.graphs import kinds, path, paths, plan_of, warned

# --- unused-replacement


def test_a_plain_plan_warns_of_nothing() -> None:
    plan = plan_of({"root": "app data", "app": "dep-1.0"}, {"dep-1.0": "dep-1.1"})
    assert kinds(plan) == []


def test_a_replacement_of_what_no_root_leads_to_is_unused() -> None:
    plan = plan_of({"root": "old", "aside": "far"}, {"old": "new", "far": "fur"})
    assert kinds(plan) == [("unused-replacement", path("far"))]


def test_a_replacement_of_what_only_a_cutoff_leads_to_is_unused() -> None:
    plan = plan_of({"root": "keep", "keep": "old"}, {"old": "new"}, cutoffs="keep")
    assert warned(plan, "unused-replacement") == {path("old")}


def test_a_replacement_of_what_only_another_old_leads_to_is_unused() -> None:
    plan = plan_of({"root": "old", "old": "low"}, {"old": "new", "low": "lew"})
    assert warned(plan, "unused-replacement") == {path("low")}


def test_a_replacement_of_what_only_a_new_leads_to_is_used() -> None:
    plan = plan_of({"root": "old", "new": "low"}, {"old": "new", "low": "lew"})
    assert warned(plan, "unused-replacement") == set()


def test_a_replacement_of_a_root_is_used() -> None:
    assert kinds(plan_of({"old": ""}, {"old": "new"}, roots="old")) == []


def test_a_link_of_a_chain_that_is_followed_is_used() -> None:
    plan = plan_of({"root": "old"}, [("old", "mid"), ("mid", "new")])
    assert warned(plan, "unused-replacement") == set()


def test_the_first_link_of_a_chain_is_unused_if_only_the_second_is_met() -> None:
    plan = plan_of({"root": "mid"}, [("old", "mid"), ("mid", "new")])
    assert warned(plan, "unused-replacement") == {path("old")}


# --- unused-cutoff


def test_a_cutoff_that_no_root_leads_to_is_unused() -> None:
    plan = plan_of({"root": "old", "aside": "old"}, {"old": "new"}, cutoffs="aside")
    assert kinds(plan) == [("unused-cutoff", path("aside"))]


def test_a_cutoff_that_does_not_lead_to_old_is_unused() -> None:
    plan = plan_of({"root": "old data"}, {"old": "new"}, cutoffs="data")
    assert kinds(plan) == [("unused-cutoff", path("data"))]


def test_a_cutoff_that_is_replaced_is_unused_and_the_warning_says_why() -> None:
    plan = plan_of({"root": "old"}, {"old": "new"}, cutoffs="old")
    assert kinds(plan) == [("unused-cutoff", path("old"))]
    assert "replaced" in plan.warnings[0].message


@pytest.mark.parametrize("cutoffs", ["keep", "root", "keep root"])
def test_a_cutoff_that_would_be_rewritten_is_used(cutoffs: str) -> None:
    plan = plan_of({"root": "keep old", "keep": "old"}, {"old": "new"}, cutoffs=cutoffs)
    assert (path("root") in warned(plan, "unused-cutoff")) is False
    assert warned(plan, "unused-cutoff") == ({path("keep")} if cutoffs == "keep root" else set())


# --- name-alike


def test_another_version_of_olds_package_that_is_not_replaced_is_named() -> None:
    plan = plan_of(
        {"root": "app xz-5.6.1", "app": "other/xz-5.6.1 xz-5.4.7-bin xzgv-0.9"},
        {"xz-5.6.1": "xz-5.4.6"},
    )
    assert warned(plan, "name-alike") == set(paths("other/xz-5.6.1 xz-5.4.7-bin"))


def test_a_path_that_is_replaced_as_well_is_no_name_alike() -> None:
    pairs = [("xz-5.6.1", "xz-5.4.6"), ("other/xz-5.6.1", "xz-5.4.6")]
    assert kinds(plan_of({"root": "xz-5.6.1 other/xz-5.6.1"}, pairs)) == []


def test_a_new_of_the_same_package_is_no_name_alike() -> None:
    plan = plan_of({"root": "xz-5.6.1 xz-5.4.6"}, {"xz-5.6.1": "xz-5.4.6"})
    assert warned(plan, "name-alike") == set()


def test_a_name_alike_is_named_though_old_itself_is_nowhere() -> None:
    plan = plan_of({"root": "two/xz-5.6.1"}, {"one/xz-5.6.1": "xz-5.4.6"})
    assert warned(plan, "name-alike") == {path("two/xz-5.6.1")}
    assert warned(plan, "unused-replacement") == {path("one/xz-5.6.1")}


def test_a_name_alike_that_new_brings_along_is_named() -> None:
    plan = plan_of({"root": "app-1.0", "app-1.1": "app-0.9"}, {"app-1.0": "app-1.1"})
    assert warned(plan, "name-alike") == {path("app-0.9")}


@pytest.mark.parametrize(
    ("old", "alike", "expected"),
    [
        ("lib-3.0", "lib-3.0.1-dev", True),
        ("lib-3.0", "lib-dev-3.0", False),  # the package lib-dev, as builtins.parseDrvName has it
        ("lib", "lib-1", True),
        ("lib-3.0", "libx-3.0", False),
        ("lib-3.0", "lib-3.0.drv", False),
    ],
)
def test_versions_are_stripped_as_parse_drv_name_does(
    old: str, alike: str, *, expected: bool
) -> None:
    plan = plan_of({"root": f"{old} {alike}"}, {old: "x" * len(old)})
    assert (path(alike) in warned(plan, "name-alike")) is expected


# --- missing-output


def test_an_output_of_olds_derivation_that_is_not_replaced_is_named() -> None:
    derivers = {"old": "old.drv", "old-bin": "old.drv", "app": "app.drv"}
    plan = plan_of({"root": "app old old-bin"}, {"old": "new"}, derivers=derivers)
    assert warned(plan, "missing-output") == {path("old-bin")}


def test_an_output_that_is_replaced_as_well_is_not_missing() -> None:
    derivers = {"old": "old.drv", "old-bin": "old.drv"}
    pairs = {"old": "new", "old-bin": "new-bin"}
    plan = plan_of({"root": "old old-bin"}, pairs, derivers=derivers)
    assert warned(plan, "missing-output") == set()


def test_a_new_that_is_an_output_of_the_same_derivation_is_not_missing() -> None:
    derivers = {"old": "old.drv", "bin": "old.drv"}
    plan = plan_of({"root": "old bin"}, {"old": "bin"}, derivers=derivers)
    assert warned(plan, "missing-output") == set()


def test_an_output_outside_the_closure_is_not_missing() -> None:
    derivers = {"old": "old.drv", "old-bin": "old.drv"}
    plan = plan_of({"root": "old", "old-bin": ""}, {"old": "new"}, derivers=derivers)
    assert warned(plan, "missing-output") == set()


def test_paths_without_a_deriver_are_outputs_of_nothing() -> None:
    plan = plan_of({"root": "old data"}, {"old": "new"})
    assert warned(plan, "missing-output") == set()


# --- two-variants


def test_two_of_one_package_after_the_graft_where_there_was_one_are_named() -> None:
    plan = plan_of(
        {"root": "keep dep-1.0", "keep": "dep-1.0"}, {"dep-1.0": "dep-1.1"}, cutoffs="keep"
    )
    (warning,) = [warning for warning in plan.warnings if warning.kind == "two-variants"]
    assert warning.path in paths("dep-1.0 dep-1.1")
    for label in paths("dep-1.0 dep-1.1"):
        assert f"/nix/store/{label}" in warning.message


def test_an_original_beside_its_rewritten_copy_is_two_variants() -> None:
    plan = plan_of(
        {"root": "keep lib", "keep": "lib", "lib": "old"}, {"old": "new"}, cutoffs="keep"
    )
    (warned_path,) = warned(plan, "two-variants")
    assert warned_path in {path("lib"), plan.moved[path("lib")]}


def test_two_of_one_package_that_were_there_before_are_not_named_again() -> None:
    plan = plan_of({"root": "one/lib two/lib old"}, {"old": "new"})
    assert warned(plan, "two-variants") == set()


def test_an_alias_is_no_variant_of_its_target() -> None:
    plan = plan_of({"root": "dep-1.0"}, {"dep-1.0": "dep-1.0.1"})
    assert kinds(plan) == [("alias", path("dep-1.0"))]


# --- all of them


def test_warnings_come_in_the_order_of_kind_and_path() -> None:
    plan = plan_of(
        {"root": "old b1 a1 keep", "keep": "old", "b1": "b1", "wrap": "a1"},
        {"old": "new", "b1": "b1", "a1": "wrap", "zz": "yy", "cc": "dd"},
        cutoffs="keep b1",
    )
    assert kinds(plan) == sorted(kinds(plan), key=lambda pair: (pair[0], pair[1] or ""))
    assert {kind for kind, _ in kinds(plan)} == {
        "alias",
        "automatic-cutoff",
        "self-replacement",
        "unused-cutoff",
        "unused-replacement",
    }


def test_messages_are_one_lower_case_sentence_with_the_full_path() -> None:
    plan = plan_of(
        {"root": "keep xz-5.6.1 x.drv", "keep": "xz-5.6.1", "x.drv": "xz-5.6.1"},
        [("xz-5.6.1", "xz-5.4.10"), ("self", "self"), ("far", "fur")],
        cutoffs="keep far",
    )
    assert len({warning.kind for warning in plan.warnings}) >= 6
    for warning in plan.warnings:
        assert warning.path is not None
        assert f"/nix/store/{warning.path}" in warning.message
        assert not warning.message.endswith(".")
        assert "\n" not in warning.message
