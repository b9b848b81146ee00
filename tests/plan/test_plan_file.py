"""Replacements files and plan files: what is read, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError, StalePlanError
from graft.formats.replacements_file import parse_replacements
from graft.plan import PlanFile, plan_document
from tests.plan.graphs import plan_of


def test_a_text_file_has_a_pair_a_line() -> None:
    text = "# openssl\n/nix/store/a ./b   # why\n\n  c\td\n"
    assert parse_replacements(text, "f") == (("/nix/store/a", "./b"), ("c", "d"))


def test_a_json_file_has_an_object_of_pairs() -> None:
    text = json.dumps({"version": 1, "replacements": {"a": "b"}, "derived": []})
    assert parse_replacements(text, "f") == (("a", "b"),)


@pytest.mark.parametrize(
    "text",
    [
        "one",
        "one two three",
        "{",
        "{}",
        '{"version": 2, "replacements": {}}',
        '{"version": 1}',
        '{"version": 1, "replacements": ["a", "b"]}',
        '{"version": 1, "replacements": {"a": 1}}',
    ],
)
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(BadFormatError, match="'f'"):
        parse_replacements(text, "f")


@given(st.text())
def test_any_text_is_pairs_or_a_typed_error(text: str) -> None:
    for parse in (parse_replacements, PlanFile.parse):
        with suppress(BadFormatError):
            parse(text, "f")


GRAPH = {"root": "app data", "app": "lib-1.0"}


def test_a_plan_file_says_what_to_plan_again() -> None:
    plan = plan_of(GRAPH, {"lib-1.0": "lib-1.1"}, cutoffs="data")
    file = PlanFile.parse(json.dumps(plan_document(plan)), "f")
    full = plan.store_dir.path
    assert file.graft.roots == tuple(map(full, plan.roots))
    assert dict(file.graft.replacements) == {full(o): full(n) for o, n in plan.replacements.items()}
    assert file.graft.cutoffs == tuple(map(full, plan.cutoffs))
    file.check_current(plan)


def test_a_plan_that_has_changed_is_stale_and_the_difference_is_named() -> None:
    plan = plan_of(GRAPH, {"lib-1.0": "lib-1.1"})
    file = PlanFile.parse(json.dumps(plan_document(plan)), "f")
    now = plan_of({**GRAPH, "data": "lib-1.0"}, {"lib-1.0": "lib-1.1"})
    with pytest.raises(StalePlanError, match="rewrites") as raised:
        file.check_current(now)
    assert str(raised.value.fields["difference"]) in raised.value.message


def test_a_name_in_a_plan_file_is_not_believed() -> None:
    plan = plan_of(GRAPH, {"lib-1.0": "lib-1.1"})
    document = plan_document(plan)
    document["rewrites"][0]["new_path"] = document["rewrites"][0]["path"]
    file = PlanFile.parse(json.dumps(document), "f")
    with pytest.raises(StalePlanError, match="new_path"):
        file.check_current(plan)
