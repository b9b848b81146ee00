"""The documentation says what is so: pages from scripts are current, and lists are whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graft
from graft import errors
from graft.cli import run
from graft.cli.demo import prepared, tell
from graft.fixups import registered
from graft.formats.store_path import StoreDir, StorePath
from graft.plan.naming import alias_name, rewrite_name
from graft.ways.compare.prose import PROSE
from tests.fidelity.hazards import HAZARDS, SAMPLES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

_LINK = re.compile(r"\]\(([^)]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def first_cells(page: str) -> list[str]:
    """The words in the first column of a page's tables, where they are code."""
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


@pytest.mark.parametrize(
    "script",
    [
        *("command_line.py", "layers.py", "performance.py", "stores.py"),
        pytest.param("transcripts.py", marks=pytest.mark.needs("gcc", "stdio.h")),
    ],
)
def test_pages_made_by_scripts_are_current(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / script), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in _LINK.findall(text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        other = page.parent / file if file else page
        assert other.is_file(), target
        if anchor:
            headings = _HEADING.findall(other.read_text(encoding="utf-8"))
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def test_every_page_is_in_the_index() -> None:
    index = read("README.md")
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        assert name == "README.md" or f"({name})" in index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_spoken_of_exist(page: Path) -> None:
    # Those of other programs, in the how-to's commands.
    others = {"--check", "--set", "--rollback", "--mount", "--gc", "--verify"}
    others |= {"--no-recursive", "--realise", "--optimise", "--import"}
    others |= {"--list-generations", "--switch-generation", "--delete-generations", "--impure"}
    others |= {"--check-contents", "--arg", "--no-grafts", "--with-graft", "--roll-back"}
    others |= {"--verify-path", "--repair-path", "--dump", "--restore", "--help", "--version"}
    others |= {
        "--generate-binary-cache-key",
        "--option",
        "--recursive",
        "--directory",
        "--nthreads",
        "--debug-dump",
        "--extract",
        "--only-keep-debug",
    }
    known = set(_OPTION.findall(read("reference/command-line.md")))
    assert set(_OPTION.findall(page.read_text(encoding="utf-8"))) - others <= known


def error_kinds(top: type[errors.GraftError]) -> Iterator[tuple[str, str]]:
    yield top.kind, top.__name__
    for below in top.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from error_kinds(below)


def test_every_kind_of_error_is_explained_once() -> None:
    page = read("reference/errors.md")
    kinds = dict(error_kinds(errors.GraftError))
    assert sorted(first_cells(page)) == sorted([*kinds, "system"])
    for kind, name in kinds.items():
        assert f"| `{kind}` | `{name}` |" in page


def test_every_kind_of_warning_is_explained_once() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "graft").rglob("*.py"))
    kinds = set(re.findall(r"PlanWarning\(\s*kind=\"([a-z-]+)\"", source))
    assert "automatic-cutoff" in kinds
    assert sorted(first_cells(read("reference/warnings.md"))) == sorted(kinds)


def test_what_happens_under_each_way_is_told_as_graft_compare_tells_it() -> None:
    page = read("explanation/choosing.md")
    table = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    rows = {cells[0]: cells[1:] for cells in table}
    for number, prose in enumerate(PROSE.values()):
        said = {"needs": prose.who, "undone by": prose.undo, **prose.what_happens}
        for situation, text in said.items():
            assert rows[situation][number] == text


def test_every_fixup_is_explained() -> None:
    page = read("explanation/fix-ups.md")
    table = page[page.index("| fix-up |") :].split("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = [name for row in rows for name in re.findall("`([^`]+)`", row)]
    assert named == [fixup.name for fixup in registered().fixups]


def test_every_hazard_and_sample_is_in_the_table() -> None:
    page = read("explanation/fidelity.md")
    for hazard in HAZARDS:
        assert f"\n| {hazard} | " in page
    for sample in SAMPLES:
        assert f" | {sample.name} | {sample.judge} | " in page


def test_every_public_name_is_explained() -> None:
    page = read("reference/python.md")
    assert [name for name in graft.__all__ if not re.search(rf"\b{name}\b", page)] == []


def test_the_worked_examples_of_names_are_right() -> None:
    page = read("reference/formats.md")
    store_dir = StoreDir("/nix/store")
    old = StorePath(f"{'0' * 32}-openssl-3.0.20")
    new = StorePath(f"{'1' * 32}-openssl-3.0.22")
    user = StorePath(f"{'f' * 32}-curl-8.5.0")
    longer = StorePath(f"{'1' * 32}-openssl-3.0.20-fixed")
    assert f"    {user}\n    {old} {new}\n" in page
    assert rewrite_name(user, {old: new}, store_dir) in page
    assert longer in page
    assert alias_name(old, longer, store_dir) in page


@pytest.fixture(scope="module")
def demo_directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    with prepared(str(tmp_path_factory.mktemp("demo") / "place")) as directory:
        for _ in tell(directory, None):
            pass
    return directory


@pytest.fixture
def in_demo(demo_directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo_directory)
    monkeypatch.setenv("NIX_STORE_DIR", os.path.join(demo_directory, "store"))
    monkeypatch.setenv("NIX_STATE_DIR", os.path.join(demo_directory, "state"))


@pytest.mark.usefixtures("in_demo")
def test_the_python_example_works(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", read("reference/python.md"), re.DOTALL)
    for block in blocks:
        exec(compile(block, "python.md", "exec"), {})
    assert capsys.readouterr().out.strip() == os.readlink("patched")


REPLACE = ["./system", "--replace", "./parse-1.0=./parse-1.1"]


def keys(value: Any) -> set[str]:
    """The names a JSON document is made of; not paths, which are keys in some places."""
    if isinstance(value, dict):
        own = {key for key in value if "/" not in key}
        return own.union(*map(keys, value.values()))
    if isinstance(value, list):
        return set().union(*map(keys, value))
    return set()


@pytest.mark.usefixtures("in_demo")
@pytest.mark.parametrize(
    ("section", "arguments"),
    [
        ("graft plan", ["plan", *REPLACE]),
        ("graft apply", ["apply", *REPLACE]),
        ("graft verify", ["verify", *REPLACE]),
        ("graft why", ["why", "./system", "./parse-1.0"]),
        ("graft plan", ["plan", *REPLACE, "--rebuild-cost"]),
        ("graft plan", ["plan", "./system", "--suggest", "parse", "--patched", "./parse-1.1"]),
        ("graft diff", ["diff", "./system", "./parse-1.1"]),
        ("graft pivot list", ["pivot", "list", "./system"]),
        ("graft pivot resolve", ["pivot", "resolve", "./system", "cacert"]),
        ("graft store init", ["store", "init"]),
        ("graft demo", ["demo"]),
        ("An error", ["why", "./system", "./nothing"]),
    ],
)
def test_documents_have_the_keys_the_page_says(
    section: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "store":
        arguments = [*arguments, str(tmp_path)]
    run([*arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    text = read("reference/json.md").split(f"## {section}\n")[1].split("\n## ")[0]
    assert next(iter(document)) == "version"
    assert keys(document) <= set(re.findall(r'"([a-z_]+)":', text))
