"""What would be built again, held against what the real Nix says and does."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.plan.closure import Closure
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.ways.rebuild import Rebuild, rebuild_of
from tests.derivations import Nix

pytestmark = pytest.mark.nix

PACKAGES = """
  lib = script "lib" "echo {version}";
  left = script "left" "${{lib}}/bin/lib";
  right = script "right" "${{lib}}/bin/lib";
  apart = script "apart" "echo apart";
  top = script "top" "${{left}}/bin/left; ${{right}}/bin/right; ${{apart}}/bin/apart";
"""


@pytest.fixture
def nix(tmp_path: Path) -> Nix:
    return Nix.under(tmp_path)


def rebuild(nix: Nix, root: StorePath, old: StorePath, new: StorePath) -> Rebuild | str:
    with nix.open() as store:
        plan = make_plan(store, Graft.of([root], [(old, new)]))
        return rebuild_of(store, plan.closure, [root], [old], nix.env["NIX_LOG_DIR"])


def test_it_is_what_nix_would_build(nix: Nix) -> None:
    old, top = nix.build(PACKAGES.format(version=1), "lib", "top")
    [new] = nix.build(PACKAGES.format(version=2), "lib")
    found = rebuild(nix, top, old, new)
    expression = nix.directory / "expression.nix"
    dry = nix.run("nix-instantiate", str(expression), "-A", "top").split()[-1]
    wanted = set(re.findall(r"-([a-z]+)\.drv", nix_would_build(nix, dry)))
    assert isinstance(found, Rebuild)
    assert {path.name.removesuffix(".drv") for path in found.derivations} == wanted
    assert wanted == {"left", "right", "top"}
    assert found.levels == 2


def nix_would_build(nix: Nix, derivation: str) -> str:
    command = ["nix-store", "--realise", "--dry-run", derivation]
    done = subprocess.run(command, env=nix.env, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_logs_tell_how_long_the_builds_took(nix: Nix) -> None:
    slow = PACKAGES.replace(
        "left = script",
        'left = build "left" {{}} "sleep 1; mkdir -p $out/bin; '
        'echo ${{lib}} > $out/bin/left"; unused = script',
    )
    old, top = nix.build(slow.format(version=1), "lib", "top")
    [new] = nix.build(slow.format(version=2), "lib")
    found = rebuild(nix, top, old, new)
    assert isinstance(found, Rebuild)
    assert found.seconds_of.keys() == found.derivations
    assert found.chain_seconds is not None
    assert found.seconds is not None
    assert 1 <= found.chain_seconds <= found.seconds < 60


def test_without_the_derivation_of_the_root_nobody_knows(nix: Nix) -> None:
    old, top = nix.build(PACKAGES.format(version=1), "lib", "top")
    [new] = nix.build(PACKAGES.format(version=2), "lib")
    deriver = nix.run("nix-store", "--query", "--deriver", nix.full(top)).strip()
    nix.run("nix-store", "--delete", deriver)
    found = rebuild(nix, top, old, new)
    assert found == f"no derivation of '{nix.full(top)}' is in the store"


def test_what_was_built_without_old_is_not_built_again(nix: Nix) -> None:
    old, new, apart = nix.build(
        PACKAGES.format(version=1) + 'next = script "lib" "echo 2";', "lib", "next", "apart"
    )
    with nix.open() as store:
        closure = Closure.of(store, [apart, old, new])
        found = rebuild_of(store, closure, [apart], [old], nix.env["NIX_LOG_DIR"])
    deriver = nix.run("nix-store", "--query", "--deriver", nix.full(apart)).strip()
    assert found == f"no derivation of OLD is among the inputs of '{deriver}'"


def test_the_plan_tells_the_cost_level_by_level_and_what_it_leaves_alone(nix: Nix) -> None:
    packages = (
        PACKAGES
        + """
      static = build "static" {{ inherit lib; }} "mkdir $out; tail -1 $lib/bin/lib > $out/copy";
      all = script "all" "${{top}}/bin/top; cat ${{static}}/copy";
    """
    )
    old, static, root = nix.build(packages.format(version=1), "lib", "static", "all")
    [new] = nix.build(packages.format(version=2), "lib")
    full = nix.full
    words = ("plan", full(root), f"--replace={full(old)}={full(new)}", "--rebuild-cost")
    document = json.loads(nix.graft(*words, "--json").stdout)["rebuild"]
    level_of = {
        nix.store_dir.parse(one["path"]).derivation_name: one["level"]
        for one in document["derivations"]
    }
    assert level_of == {"left": 1, "right": 1, "static": 1, "top": 2, "all": 3}
    assert document["levels"] == 3
    assert document["left_alone"] == [full(static)]
    assert 0 < document["chain_seconds"] <= document["seconds"]
    shown = nix.graft(*words).stderr
    assert "a rebuild would build 5 derivations, in 3 levels" in shown
    assert "leaves 1 path alone" in shown
    # Without the derivation nobody knows, and the plan is shown all the same.
    nix.run("nix-store", "--delete", nix.run("nix-store", "-q", "--deriver", full(root)).strip())
    done = nix.graft(*words)
    assert done.returncode == 0
    assert "the cost of a rebuild is unknown: no derivation of" in done.stderr
    document = json.loads(nix.graft(*words, "--json").stdout)["rebuild"]
    assert document["available"] is False
