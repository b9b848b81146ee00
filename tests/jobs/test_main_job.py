"""The main job on a real Nix store of real programs: openssl replaced deep in their closure."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.cli import run
from tests import debpkgs_graft
from tests.debpkgs import equality, smoke
from tests.debpkgs.built import small
from tests.debpkgs_graft import MARKS, Grafted, apply_arguments
from tests.nix_answers import path_infos

pytestmark = [*MARKS]


@pytest.fixture(scope="module")
def grafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafted]:
    with debpkgs_graft.grafted(small(), tmp_path_factory.mktemp("grafted")) as done:
        yield done


def _of_openssl(results: list[smoke.Result]) -> dict[str, str]:
    return {
        result.name: result.line
        for result in results
        if result.name in {"openssl", "curl", "python"}
    }


def test_every_program_of_the_new_root_runs_with_the_new_openssl(grafted: Grafted) -> None:
    results = smoke.run(grafted.link)
    assert [result for result in results if not result.ok] == []
    versions = _of_openssl(results)
    assert len(versions) == 3
    if grafted.built.variant.how == "apt":
        new = grafted.built.variant.new_version.split("-")[0]
        assert all(new in line for line in versions.values()), versions


def test_the_old_root_runs_as_before(grafted: Grafted) -> None:
    results = smoke.run(grafted.built.old_root)
    assert [result for result in results if not result.ok] == []
    if grafted.built.variant.how == "apt":
        old = grafted.built.variant.old_version.split("-")[0]
        assert all(old in line for line in _of_openssl(results).values())


def test_openssl_is_gone_from_every_byte(grafted: Grafted) -> None:
    proof = grafted.document["proof"]
    assert proof["scope"] == "closure"
    assert proof["residual"] == []
    assert proof["problems"] == []
    old = os.path.basename(next(iter(grafted.built.replacements)))[:32]
    found = subprocess.run(
        ["grep", "-rlF", old, *grafted.new_closure], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (1, "")


def test_the_graft_equals_the_rebuild_but_for_openssl_itself(grafted: Grafted) -> None:
    table = grafted.table
    assert table.unexpected == [], table.render()
    # openssl itself is the very same path in both: NEW refers to nothing that moves.
    assert table.with_status(equality.Status.DIFFERENT) == []
    listed = table.with_status(equality.Status.ORDER)
    assert [[str(found) for found in row.differences] for row in listed] == [["manifest: order"]]
    assert len(table.with_status(equality.Status.EQUAL)) == grafted.document["rewritten_paths"] - 1


def test_the_real_nix_agrees_with_what_was_registered(grafted: Grafted, tmp_path: Path) -> None:
    store, new_root = grafted.store, grafted.new_root
    store.run("nix-store", "--verify", "--check-contents")
    store.run("nix", "store", "verify", "-r", new_root)
    infos = path_infos(store.run("nix", "path-info", "--json", "-r", new_root))
    assert {info["path"] for info in infos} == set(grafted.new_closure)
    for info in infos:
        references = store.run("nix-store", "--query", "--references", info["path"]).split()
        assert sorted(references) == sorted(info["references"])
        scanned = _references_in(info["path"], grafted.new_closure)
        assert set(references) == scanned, info["path"]
    cache = tmp_path / "cache"
    store.run("nix", "copy", "--to", f"file://{cache}?compression=none", new_root)
    assert len(list(cache.glob("*.narinfo"))) == len(infos)


def _references_in(path: str, candidates: list[str]) -> set[str]:
    """What Nix's own scanner would find: the hash parts of the candidates in a path's NAR."""
    nar = subprocess.run(["nix-store", "--dump", path], capture_output=True, check=True).stdout
    return {found for found in candidates if os.path.basename(found)[:32].encode() in nar}


def test_the_same_command_again_resumes_everything(
    grafted: Grafted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(apply_arguments(grafted.built, grafted.store, "--json")) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["rewritten_paths"] == 0
    assert again["resumed_paths"] == grafted.document["rewritten_paths"]
    assert again["new_roots"] == grafted.document["new_roots"]


def test_the_collector_keeps_the_result_while_it_is_rooted_and_no_longer(
    grafted: Grafted,
) -> None:
    closure, made = grafted.new_closure, set(grafted.document["paths"].values())
    made -= set(grafted.built.replacements.values())
    grafted.store.run("nix-store", "--gc")
    assert all(os.path.lexists(path) for path in closure)
    grafted.link.unlink()
    grafted.store.run("nix-store", "--gc")
    assert not any(os.path.lexists(path) for path in made)
    assert all(os.path.lexists(path) for path in set(closure) - made)
    grafted.store.run("nix-store", "--verify", "--check-contents")
