"""`--content-addressed` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graft.cli import run
from tests.graftable import Graftable
from tests.store_objects import new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _arguments(it: Graftable, *arguments: str) -> list[str]:
    location = it.store.location
    full = it.store.store_dir.path
    url = f"--store=local?store={location.store_dir}&state={location.state_dir}"
    return [url, *arguments, full(it.env), f"--replace={full(it.old)}={full(it.new)}"]


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_a_plan_tells_no_name_that_is_not_known(
    it: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_arguments(it, "plan", "-v")) == 0
    out = capsys.readouterr().out
    names = {line.split(" -> ")[1] for line in out.splitlines() if " -> " in line}
    assert run(_arguments(it, "plan", "-v", "--content-addressed")) == 0
    out = capsys.readouterr().out
    assert not [name for name in names if name in out]
    assert f"{it.store.store_dir.path(it.env)} -> …-env-1" in out
    assert run(_arguments(it, "plan", "--content-addressed", "--json")) == 0
    document = _json(capsys)
    assert list(document["new_roots"].values()) == [None]
    assert len(document["rewrites"]) == 4


def test_a_plan_file_is_applied_with_its_addressing_and_verified(
    it: Graftable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "plan.json")
    options = ("--content-addressed", "--self-references=zeroed")
    assert run(_arguments(it, "plan", *options, "-o", file)) == 0
    store = _arguments(it)[0]
    capsys.readouterr()
    assert run([store, "apply", "--json", file]) == 0
    by_file = _json(capsys)
    assert by_file["rewritten_paths"] == 4
    assert run(_arguments(it, "apply", "--json", *options)) == 0
    again = _json(capsys)
    assert (again["new_roots"], again["resumed_paths"]) == (by_file["new_roots"], 4)
    other = ("--content-addressed", "--self-references=positions")
    assert run(_arguments(it, "apply", "--json", *other)) == 0
    assert _json(capsys)["new_roots"] != by_file["new_roots"]
    assert run([store, "verify", "--json", file]) == 0
    assert _json(capsys)["problems"] == []
    assert run([store, "apply", file, "--content-addressed"]) == 2


def test_a_closure_is_converted_without_a_replacement(
    it: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    store, command, root, _ = _arguments(it, "apply")
    assert run([store, command, root, "--json"]) == 2
    assert "nothing to replace" in _json(capsys)["error"]["message"]
    assert run([store, command, root, "--json", "--content-addressed"]) == 0
    document = _json(capsys)
    assert len(document["paths"]) == 4
    assert document["proof"]["problems"] == []


def test_the_rule_says_nothing_in_input_addressing(
    it: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_arguments(it, "plan", "--json", "--self-references=positions")) == 2
    assert _json(capsys)["error"]["kind"] == "usage"


def test_a_comparison_can_be_made_in_content_addressing(
    it: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_arguments(it, "compare", "--json", "--content-addressed")) == 0
    ways = {way["way"]: way for way in _json(capsys)["ways"]}
    assert ways["graft"]["available"]
    assert ways["graft"]["paths_changed"] == 4
    assert ways["graft"]["old_references_left"] == 0
