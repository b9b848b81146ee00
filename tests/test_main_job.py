"""The main job on a real Nix store of real programs: openssl replaced deep in their closure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graft.cli import run
from tests.debpkgs import equality, smoke
from tests.debpkgs.built import Built, small
from tests.debpkgs.store import PrivateStore, missing_tools

pytestmark = pytest.mark.nix


@dataclass(frozen=True)
class Grafted:
    """The small set in a store of its own, grafted from the old openssl to the new one."""

    built: Built
    store: PrivateStore
    link: Path
    document: dict[str, Any]

    @property
    def new_root(self) -> str:
        root = self.document["new_roots"][self.built.old_root]
        assert isinstance(root, str)
        return root

    @property
    def new_closure(self) -> list[str]:
        return self.store.closure(self.new_root)


def _apply(built: Built, store: PrivateStore, *options: str) -> list[str]:
    url = f"--store=local?store={store.store_dir}&state={store.state_dir}"
    pairs = [f"--replace={old}={new}" for old, new in built.replacements.items()]
    return [url, "apply", built.old_root, *pairs, *options]


@pytest.fixture(scope="module")
def grafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafted]:
    if missing := missing_tools():
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("GRAFT_TEST_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    built = small()
    directory = tmp_path_factory.mktemp("grafted")
    link, file = directory / "patched", directory / "outcome.json"
    with built.checkout() as store:
        with file.open("w") as stream:
            command = ["graft", *_apply(built, store, "--json", "--add-root", str(link))]
            script = shutil.which("graft")
            assert script is not None
            subprocess.run([script, *command[1:]], stdout=stream, check=True)
        yield Grafted(built, store, link, json.loads(file.read_text()))


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
    table = equality.compare(
        grafted.new_closure,
        grafted.store.closure(grafted.built.new_root),
        grafted.document["paths"],
        grafted.built.replacements,
    )
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
    infos = json.loads(store.run("nix", "path-info", "--json", "-r", new_root))
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
    assert run(_apply(grafted.built, grafted.store, "--json")) == 0
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
