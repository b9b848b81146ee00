"""The plan as JSON."""

from __future__ import annotations

import json

from graft.plan import plan_document
from tests.golden import Golden
from tests.plan.graphs import new, path, plan_of


def full(label: str) -> str:
    return f"/nix/store/{path(label)}"


def test_the_document_is_the_contracts() -> None:
    plan = plan_of(
        {"root": "root lib keep", "lib": "dep-1.0 old", "keep": "old", "low": ""},
        [("dep-1.0", "dep-1.0.1"), ("old", "new"), ("same", "same")],
        roots="root low",
        cutoffs="keep",
        sizes={"root": 7, "lib": 5, "keep": 100},
    )
    (alias,) = plan.aliases
    lib, root = (f"/nix/store/{new(plan, label)}" for label in ("lib", "root"))
    document = plan_document(plan)
    warnings = document.pop("warnings")
    assert document.pop("bytes_at_most") == 12
    assert document == {
        "version": 1,
        "store_dir": "/nix/store",
        "addressing": "input",
        "roots": [full("root"), full("low")],
        "replacements": {
            full("dep-1.0"): full("dep-1.0.1"),
            full("old"): full("new"),
            full("same"): full("same"),
        },
        "cutoffs": [full("keep")],
        "fixups": [],
        "hidden": {},
        "rewrites": [
            {
                "path": full("lib"),
                "new_path": lib,
                "references": {
                    full("dep-1.0"): f"/nix/store/{alias.path}",
                    full("old"): full("new"),
                },
                "nar_size": 5,
            },
            {
                "path": full("root"),
                "new_path": root,
                "references": {full("lib"): lib},
                "nar_size": 7,
            },
        ],
        "aliases": [
            {
                "path": f"/nix/store/{alias.path}",
                "target": full("dep-1.0.1"),
                "replaces": full("dep-1.0"),
            }
        ],
        "new_roots": {full("root"): root, full("low"): full("low")},
        "closure_paths": 8,
        "shared_paths": 5,
    }
    assert {warning["kind"] for warning in warnings} == {"alias", "self-replacement"}
    for warning in warnings:
        assert warning.keys() == {"kind", "path", "message"}
        assert warning["path"] in {full("dep-1.0"), full("same")}


def test_hidden_references_are_written_down() -> None:
    plan = plan_of({"root": "old b a"}, {"old": "new"}, hidden={"b": "old a", "a": "old"})
    hidden = plan_document(plan)["hidden"]
    assert hidden == {
        full("a"): [full("old")],
        full("b"): sorted([full("a"), full("old")]),
    }
    assert list(hidden) == sorted(hidden)


def test_the_version_comes_first() -> None:
    assert next(iter(plan_document(plan_of({"root": "old"}, {"old": "new"})))) == "version"


def test_the_document_is_json_and_says_the_same_after_reading() -> None:
    document = plan_document(plan_of({"root": "old x.drv", "x.drv": "old"}, {"old": "newer"}))
    assert json.loads(json.dumps(document)) == document


def test_all_paths_are_in_the_stores_own_directory() -> None:
    plan = plan_of({"root": "old"}, {"old": "newer"}, store_dir="/gnu/store")
    text = json.dumps(plan_document(plan))
    assert "/nix/store" not in text
    assert plan_document(plan)["store_dir"] == "/gnu/store"
    assert f"/gnu/store/{path('old')}" in text


def test_the_order_of_arguments_changes_nothing_but_the_order_of_roots() -> None:
    references = {"root": "left right", "left": "old", "right": "low"}
    pairs = [("old", "new"), ("low", "lew")]
    one = plan_document(plan_of(references, pairs, roots="root left", cutoffs="left old"))
    two = plan_document(plan_of(references, pairs[::-1], roots="left root", cutoffs="old left"))
    assert sorted(one.pop("roots")) == sorted(two.pop("roots"))
    assert one == two
    assert [json.dumps(one[key]) for key in ("replacements", "rewrites", "warnings")] == [
        json.dumps(two[key]) for key in ("replacements", "rewrites", "warnings")
    ]


def test_the_document_of_a_plan_with_everything_in_it_stays_as_it_is(golden: Golden) -> None:
    """Names of new paths among it: what they are may only change with the format's number."""
    plan = plan_of(
        {
            "root": "root lib keep wrapper data",
            "lib": "dep-1.0 old-1.0",
            "keep": "old-1.0",
            "wrapper": "first-1.0",
            "around/first-1.1": "wrapper",
            "data": "",
        },
        [("dep-1.0", "dep-1.0.1"), ("old-1.0", "old-1.1"), ("first-1.0", "around/first-1.1")],
        cutoffs="keep",
        sizes={"root": 7, "lib": 5, "keep": 100},
        hidden={"data": "old-1.0"},
    )
    golden.check("plan.json", json.dumps(plan_document(plan), indent=2) + "\n")
