"""Plans in content addressing: what is converted, and that no name is told before it is known."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from graft.errors import BadFormatError, ReferenceCycleError, StalePlanError
from graft.formats.store_path import StorePath
from graft.plan import ContentName, Plan, PlanFile, plan_document
from tests.golden import Golden
from tests.plan.graphs import kinds, new, path, paths, plan_of, rewritten, table, warned
from tests.plan.test_plan_properties import Case, few, sound_cases

GRAPH = {"root": "app data", "app": "lib-1.0 libc", "lib-1.0": "libc", "lib-1.1": "libc"}
PAIRS = {"lib-1.0": "lib-1.1"}


def named(real: StorePath) -> ContentName:
    return ContentName(path=real, digest=bytes(32), rule="positions", holds_itself=False)


def real_names(plan: Plan) -> dict[StorePath, ContentName]:
    return {
        name: named(path(f"real-of-{name.hash_part}/{name.name}")) for name in plan.placeholders
    }


def content(case: Case) -> Plan:
    return Plan.of(
        case.closure(),
        case.replacements,
        roots=case.roots,
        cutoffs=case.cutoffs,
        addressing="content",
    )


def test_what_nobody_signed_is_converted_with_all_above_it() -> None:
    plan = plan_of(GRAPH, PAIRS, signed="data libc app", addressing="content")
    assert rewritten(plan) == {*paths("root app lib-1.1")}
    assert table(plan, "lib-1.1") == {}
    assert table(plan, "app") == {path("lib-1.0"): new(plan, "lib-1.1")}
    plan = plan_of(GRAPH, PAIRS, signed="data app root lib-1.1", addressing="content")
    assert rewritten(plan) == {*paths("root app lib-1.1 libc")}


def test_what_is_signed_or_named_after_its_contents_stays() -> None:
    plan = plan_of(
        GRAPH, PAIRS, signed="data libc", addressed="lib-1.1 root app", addressing="content"
    )
    assert rewritten(plan) == {*paths("root app")}
    assert new(plan, "lib-1.0") == path("lib-1.1")


def test_nothing_need_be_replaced() -> None:
    plan = plan_of(GRAPH, {}, addressing="content")
    assert rewritten(plan) == {*paths("root app data lib-1.0 libc")}
    assert plan.new_roots.keys() == {path("root")}
    assert not plan.shared


def test_placeholders_are_the_names_of_input_addressing() -> None:
    everything = "root app data lib-1.0 lib-1.1 libc"
    plan = plan_of(GRAPH, PAIRS, signed=everything, addressing="content")
    other = plan_of(GRAPH, PAIRS, signed=everything)
    assert (plan.rewrites, plan.moved) == (other.rewrites, other.moved)
    assert plan.placeholders == other.new_paths
    assert not other.placeholders


def test_what_is_kept_without_a_signature_is_named() -> None:
    plan = plan_of(
        {"root": "keep x.drv", "keep": "below", "x.drv": ""},
        {},
        cutoffs="keep",
        addressing="content",
    )
    assert rewritten(plan) == {path("root")}
    assert warned(plan, "unsigned") == {*paths("keep below x.drv")}
    assert warned(plan, "unused-cutoff") == set()
    assert warned(plan, "automatic-cutoff") == {path("x.drv")}
    signed = plan_of({"root": "keep"}, {}, cutoffs="keep", signed="keep", addressing="content")
    assert kinds(signed) == [("unused-cutoff", path("keep"))]


def test_a_new_that_leads_back_to_its_old_is_kept_and_named() -> None:
    plan = plan_of({"root": "tool", "wrap": "tool"}, {"tool": "wrap"}, addressing="content")
    assert rewritten(plan) == {path("root")}
    assert warned(plan, "unsigned") == {*paths("wrap tool")}


def test_input_addressing_does_not_ask_for_signatures() -> None:
    assert kinds(plan_of(GRAPH, PAIRS, cutoffs="app")) == kinds(
        plan_of(GRAPH, PAIRS, cutoffs="app", signed="root app data lib-1.1 libc")
    )


def test_a_hidden_circle_can_not_be_named_after_its_contents() -> None:
    references = {"root": "one", "one": "two"}
    assert not plan_of(references, {}, hidden={"two": "one"}).rewrites
    with pytest.raises(ReferenceCycleError):
        plan_of(references, {}, hidden={"two": "one"}, addressing="content")
    whole = plan_of(references, {}, hidden={"two": "one"}, signed="one two", addressing="content")
    assert rewritten(whole) == {path("root")}


def test_the_document_holds_null_for_what_is_not_known(golden: Golden) -> None:
    plan = plan_of(
        {"root": "lib keep", "lib": "dep-1.0 old-1.0", "keep": "old-1.0", "low": ""},
        [("dep-1.0", "dep-1.0.1"), ("old-1.0", "old-1.1")],
        roots="root low",
        cutoffs="keep",
        signed="old-1.1 low",
        addressing="content",
    )
    text = json.dumps(plan_document(plan), indent=2) + "\n"
    assert not [name for name in plan.placeholders if name.hash_part in text]
    golden.check("content.json", text)


def test_a_plan_file_carries_the_addressing() -> None:
    plan = plan_of(GRAPH, PAIRS, addressing="content")
    file = PlanFile.parse(json.dumps(plan_document(plan)), "f")
    assert (file.graft.addressing, file.graft.self_references) == ("content", "positions")
    file.check_current(plan)
    with pytest.raises(StalePlanError, match="addressing"):
        file.check_current(plan_of(GRAPH, PAIRS))
    with pytest.raises(StalePlanError, match="rewrites"):
        file.check_current(plan_of(GRAPH, PAIRS, signed="data", addressing="content"))


@pytest.mark.parametrize(
    "change", [{"addressing": "neither"}, {"self_references": None}, {"self_references": ["x"]}]
)
def test_a_plan_file_of_unknown_addressing_is_refused(change: dict[str, object]) -> None:
    document = plan_document(plan_of(GRAPH, PAIRS, addressing="content")) | change
    with pytest.raises(BadFormatError, match="'f'"):
        PlanFile.parse(json.dumps(document), "f")


@few
@given(sound_cases)
def test_a_realised_plan_holds_no_placeholder_and_keeps_its_shape(case: Case) -> None:
    plan = content(case)
    names = real_names(plan)
    real = plan.realised(names)

    def after(name: StorePath) -> StorePath:
        return names[name].path if name in names else name

    assert plan.placeholders == plan.new_paths
    assert not real.placeholders
    text = repr((real.rewrites, real.aliases, real.moved, real.new_roots, real.new_references))
    assert not [name for name in names if name in text]
    assert real.new_paths == {name.path for name in names.values()}
    assert real.shared == plan.shared
    for name, references in plan.new_references.items():
        assert real.new_references[after(name)] == set(map(after, references))


@few
@given(sound_cases)
def test_nothing_unsigned_is_left_but_what_is_named(case: Case) -> None:
    plan = content(case)
    unsigned = {w.path for w in plan.warnings if w.kind == "unsigned"}
    assert unsigned == plan.shared  # in these closures nothing is signed
    naive = case.naive()
    kept_closure = set()
    for kept in naive.kept & plan.new_references.keys():
        kept_closure |= plan.closure.requisites([kept])
    assert plan.shared <= kept_closure


def test_two_placeholders_may_stand_for_one_path() -> None:
    plan = plan_of({"root": "one/lib two/lib"}, {}, addressing="content")
    names = real_names(plan)
    one, two = (new(plan, label) for label in ("one/lib", "two/lib"))
    real = plan.realised(names | {two: names[one]})
    assert real.new_references[names[plan.new_roots[path("root")]].path] == {names[one].path}
    assert set(table(real, "root").values()) == {names[one].path}


def test_what_turns_out_to_be_the_old_path_does_not_move() -> None:
    plan = plan_of({"root": "old"}, {"old": "new/old"}, addressed="old", addressing="content")
    names = real_names(plan) | {new(plan, "old"): named(path("old"))}
    real = plan.realised(names)
    assert path("old") not in real.moved
    assert table(real, "root") == {}
