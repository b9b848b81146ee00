"""The nine cases of nixpkgs' nixos/tests/replace-dependencies, on the real Nix, and run.

Content-addressed dependencies have floating addresses here as there, by the experimental feature
ca-derivations: Nix 2.8 builds such derivations in a private store.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import graft
from graft.jobs.outcome import Outcome
from tests.derivations import Nix

pytestmark = pytest.mark.nix

EXPRESSION = """
  oldDependency = script "dependency" ''echo "got old dependency"'';
  newDependency = script "dependency" ''echo "got new dependency"'';
  oldDependencyCa = ca "dependency" ''echo "got old dependency"'';
  newDependencyCa = ca "dependency" ''echo "got new dependency"'';
  basic = script "test" "${oldDependency}/bin/dependency";
  basicCa = script "test" "${oldDependencyCa}/bin/dependency";
  transitive = script "test" "${basic}/bin/test";
  weirdDependency = script "dependency" ''
    echo "got weird dependency"
    ${basic}/bin/test'';
  oldDependency1 = script "dependency1" ''echo "got old dependency 1"'';
  newDependency1 = script "dependency1" ''echo "got new dependency 1"'';
  oldDependency2 = script "dependency2" ''
    ${oldDependency1}/bin/dependency1
    echo "got old dependency 2"'';
  newDependency2 = script "dependency2" ''
    ${oldDependency1}/bin/dependency1
    echo "got new dependency 2"'';
  deep = script "test" "${oldDependency2}/bin/dependency2";
"""


@dataclass(frozen=True)
class Case:
    name: str
    root: str
    pairs: tuple[tuple[str, str], ...]
    before: str
    after: str
    cutoffs: tuple[str, ...] = ()

    @property
    def attributes(self) -> list[str]:
        named = [self.root, *self.cutoffs, *(name for pair in self.pairs for name in pair)]
        return list(dict.fromkeys(named))


ONE = ("oldDependency1", "newDependency1")
TWO = ("oldDependency2", "newDependency2")
OLD, NEW = "got old dependency", "got new dependency"
CASES = [
    Case("basic", "basic", (("oldDependency", "newDependency"),), OLD, NEW),
    Case("old-ca", "basicCa", (("oldDependencyCa", "newDependency"),), OLD, NEW),
    Case("new-ca", "basic", (("oldDependency", "newDependencyCa"),), OLD, NEW),
    Case("transitive", "transitive", (("oldDependency", "newDependency"),), OLD, NEW),
    Case(
        "precedence",
        "basic",
        (("oldDependency", "newDependency"),),
        OLD,
        NEW,
        cutoffs=("oldDependency",),
    ),
    Case("self", "basic", (("oldDependency", "oldDependency"),), OLD, OLD),
    Case("deep-order1", "deep", (ONE, TWO), f"{OLD} 1\n{OLD} 2", f"{NEW} 1\n{NEW} 2"),
    Case("deep-order2", "deep", (TWO, ONE), f"{OLD} 1\n{OLD} 2", f"{NEW} 1\n{NEW} 2"),
]
every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@pytest.fixture
def nix(tmp_path: Path) -> Nix:
    return Nix.under(tmp_path)


def _apply(nix: Nix, case: Case, links: Sequence[str] = ()) -> Outcome:
    built = dict(zip(case.attributes, nix.build(EXPRESSION, *case.attributes), strict=True))
    assert nix.output(built[case.root]) == case.before
    with nix.open() as store:
        return graft.apply(
            store,
            [built[case.root]],
            [(built[old], built[new]) for old, new in case.pairs],
            cutoffs=[built[name] for name in case.cutoffs],
            add_roots=links,
        )


@every_case
def test_the_grafted_script_prints_what_nixpkgs_expects(nix: Nix, case: Case) -> None:
    outcome = _apply(nix, case, [str(nix.directory / "result")])
    ((root, new_root),) = outcome.plan.new_roots.items()
    if case.name == "self":  # nixpkgs gives the root itself; graft says that nothing is replaced
        assert (outcome.untouched, new_root) == (True, root)
        return
    assert outcome.succeeded
    assert nix.output(new_root) == case.after
    assert nix.output(root) == case.before
    nix.check(outcome.plan)
    nix.collect()
    assert all(nix.is_valid(path) for path in outcome.plan.new_references)
    assert not any(nix.is_valid(old) for old in outcome.plan.moved)
    assert nix.output(new_root) == case.after
    nix.check(outcome.plan)
    (nix.directory / "result").unlink()
    nix.collect()
    assert not nix.is_valid(new_root)


@every_case
def test_the_command_line_grafts_the_same(nix: Nix, case: Case) -> None:
    built = dict(zip(case.attributes, nix.build(EXPRESSION, *case.attributes), strict=True))
    options = [
        *(f"--replace={nix.full(built[old])}={nix.full(built[new])}" for old, new in case.pairs),
        *(f"--cutoff={nix.full(built[name])}" for name in case.cutoffs),
    ]
    run = nix.graft("apply", nix.full(built[case.root]), *options, "--add-root", "result")
    if case.name == "self":
        assert run.returncode == 1
        assert "nothing was replaced" in run.stderr
        return
    assert run.returncode == 0, run.stderr
    link = nix.directory / "result"
    assert run.stdout == f"{link.readlink()}\n"
    assert nix.output(nix.store_dir.parse(run.stdout.strip())) == case.after
    nix.collect()
    with nix.open() as store:
        assert graft.StorePath(link.readlink().name) in store.path_infos(
            [graft.StorePath(link.readlink().name)]
        )
    nix.run("nix-store", "--verify", "--check-contents")
    nix.run("nix", "store", "verify", "-r", str(link))
    assert nix.run(f"{link}/bin/test").rstrip("\n") == case.after


WEIRD = Case(
    "weird",
    "basic",
    (("oldDependency", "weirdDependency"),),
    OLD,
    "got weird dependency\ngot old dependency",
)


def test_a_weird_new_around_its_old_runs_but_is_not_proven_and_gets_no_root(nix: Nix) -> None:
    # The automatic cutoff leaves OLD alive below NEW, which is all that can be had, and is said.
    outcome = _apply(nix, WEIRD, [str(nix.directory / "result")])
    assert not outcome.succeeded
    assert outcome.problems == ()
    ((basic, new_root),) = outcome.plan.new_roots.items()
    ((old, weird),) = outcome.plan.replacements.items()
    assert outcome.proof is not None
    places = {(found.path, found.reference) for found in outcome.proof.residual}
    assert places == {(weird, basic), (basic, old)}
    assert not any(found.acknowledged for found in outcome.proof.residual)
    assert [warning.path for warning in outcome.warnings if warning.kind == "automatic-cutoff"] == [
        weird
    ]
    assert nix.output(new_root) == WEIRD.after
    nix.check(outcome.plan)
    assert not (nix.directory / "result").is_symlink()
    nix.collect()
    assert not nix.is_valid(new_root)


def test_the_command_line_says_of_a_weird_new_what_is_left(nix: Nix) -> None:
    basic, old, weird = nix.build(EXPRESSION, "basic", "oldDependency", "weirdDependency")
    pair = f"--replace={nix.full(old)}={nix.full(weird)}"
    run = nix.graft("apply", nix.full(basic), pair, "--add-root", "result", "--json")
    assert run.returncode == 1
    document = json.loads(run.stdout)
    new_root = nix.store_dir.parse(document["new_roots"][nix.full(basic)])
    assert {found["path"] for found in document["proof"]["residual"]} == {
        nix.full(basic),
        nix.full(weird),
    }
    assert nix.output(new_root) == WEIRD.after
    assert not (nix.directory / "result").is_symlink()


def test_a_weird_new_may_be_accepted(nix: Nix) -> None:
    basic, old, weird = nix.build(EXPRESSION, "basic", "oldDependency", "weirdDependency")
    pair = f"--replace={nix.full(old)}={nix.full(weird)}"
    allowed = [f"--allow-residual={weird}/*", f"--allow-residual={basic}/*"]
    run = nix.graft("apply", nix.full(basic), pair, *allowed, "--add-root", "result")
    assert run.returncode == 0, run.stderr
    nix.collect()
    assert nix.run(f"{nix.directory}/result/bin/test").rstrip("\n") == WEIRD.after
    assert nix.is_valid(old)


def test_content_addressed_dependencies_are_content_addressed(nix: Nix) -> None:
    old, new = nix.build(EXPRESSION, "oldDependencyCa", "newDependencyCa")
    for path in (old, new):
        assert nix.info(path)["ca"].startswith("fixed:r:sha256:")
