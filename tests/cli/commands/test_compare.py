"""`graft compare`: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.test_command_line import Line
from tests.graftable import Graftable
from tests.store_objects import new_store

pytestmark = [pytest.mark.slow, pytest.mark.needs("strace", "bwrap")]

WAYS = ["graft", "pivot", "mount", "rebuild"]


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(Graftable.build(new_store(tmp_path)), capsys)


def arguments(line: Line, *more: str) -> list[str]:
    return ["compare", line.full(line.it.env), line.replace, *more]


def test_every_way_is_a_row_and_every_probe_another(line: Line) -> None:
    out, err = line(*arguments(line, "--probe", "bin/run"))
    ways, probes = (block.splitlines() for block in out.split("\n\n"))
    assert [row.split()[0] for row in ways[2:]] == WAYS
    assert probes[0].split() == ["probe", "original", "graft", "mount"]
    assert probes[2].split() == ["bin/run", "OLD", "NEW,", "differs", "NEW,", "differs"]
    assert "graft: pivot is not available: no --pivot TYPE=TARGET" in err
    assert "graft: rebuild is not available: no derivation of" in err


def test_the_document_has_what_the_contract_says(line: Line) -> None:
    document = line.json(*arguments(line, "--probe", "bin/run"))
    assert list(document) == [
        *["version", "root", "replacements", "ways"],
        *["original_probes", "closure", "warnings"],
    ]
    assert document["root"] == line.full(line.it.env)
    assert document["replacements"] == {line.full(line.it.old): line.full(line.it.new)}
    graft, pivot, mount, rebuild = document["ways"]
    assert [way["way"] for way in document["ways"]] == WAYS
    assert [way["available"] for way in document["ways"]] == [True, False, True, False]
    assert graft["paths_changed"] == 2
    assert graft["bytes"]["written"] > 0
    assert graft["coverage"] == {"dependents": 2, "see_new": 2, "missed": []}
    assert graft["old_references_left"] == 0
    assert (pivot["bytes"], pivot["seconds"], pivot["old_references_left"]) == (None, None, None)
    assert mount["bytes"] == {"written": 0, "shared": 0}
    assert rebuild["probes"] == []
    [probe] = graft["probes"]
    assert probe["command"] == "bin/run"
    assert (probe["exit"], probe["opened_old"], probe["opened_new"]) == (0, False, True)
    assert line.full(line.it.new) in probe["opened"]
    [original] = document["original_probes"]
    assert original["opened_old"]
    assert original["output_sha256"] != probe["output_sha256"]


def test_the_closure_says_why_each_path_changes(line: Line) -> None:
    document = line.json(*arguments(line))
    it = line.it
    closure = {member["path"]: member for member in document["closure"]}
    assert {line.full(p): closure[line.full(p)]["role"] for p in (it.env, it.app, it.old)} == {
        line.full(it.env): "rewritten",
        line.full(it.app): "rewritten",
        line.full(it.old): "replaced",
    }
    assert closure[line.full(it.data)]["role"] == "shared"
    assert closure[line.full(it.new)]["role"] == "new"
    env = closure[line.full(it.env)]
    assert env["root"]
    assert env["chain"] == [line.full(path) for path in (it.env, it.app, it.old)]
    assert closure[line.full(it.data)]["chain"] == []
    members = [member["path"] for member in document["closure"]]
    for member in document["closure"]:
        for reference in member["references"]:
            assert members.index(member["path"]) > reference
            if member["role"] != "new":
                assert document["closure"][reference]["depth"] > member["depth"]
    assert closure[line.full(it.new)]["depth"] == closure[line.full(it.old)]["depth"]


def test_only_strict_makes_a_difference_the_answer_no(line: Line) -> None:
    line(*arguments(line, "--probe", "bin/run", "--strict"), status=1)
    line(*arguments(line, "--probe", "bin/run"))
    line(*arguments(line, "--probe", "true", "--strict"))


def test_the_page_is_written_whole(line: Line, tmp_path: Path) -> None:
    page = tmp_path / "ways.html"
    line(*arguments(line, "--html", str(page)))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert line.full(line.it.app) in text
    assert os.listdir(tmp_path).count("ways.html") == 1
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_plan_file_may_be_given(line: Line, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    line("plan", line.full(line.it.env), line.replace, "-o", str(file))
    document = line.json("compare", str(file))
    assert document["root"] == line.full(line.it.env)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--probe", "'open"], "no command line"),
        (["--html", "/nonexistent/page.html"], "in no directory"),
        (["--pivot", "cacert"], "TYPE=TARGET"),
        (["--pivot", "cacert=/nonexistent"], "missing"),
    ],
)
def test_bad_input_is_one_line_with_status_two(line: Line, more: list[str], said: str) -> None:
    before = os.listdir(line.it.store.store_dir)
    _, err = line(*arguments(line, *more), status=2)
    assert said in line.error(err)
    assert os.listdir(line.it.store.store_dir) == before


def test_an_error_is_a_document_as_well(line: Line) -> None:
    out, _ = line(*arguments(line, "--json", "--rebuilt", "nonsense"), status=2)
    assert json.loads(out)["error"]["kind"] == "unknown-name"
