"""Shapes of replacements beyond nixpkgs' nine cases: on the real Nix, grafted, and run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import graft
from graft import StorePath
from graft.jobs.outcome import Outcome
from tests.derivations import Nix

pytestmark = pytest.mark.nix

ONE_LIBRARY = """
  old = script "dep-1.0" "echo old";
  new = scriptAs "dep-1.0" "dep-1.1" "echo new";
  app = scriptAs "run" "app" "${old}/bin/dep-1.0";
"""


@pytest.fixture
def nix(tmp_path: Path) -> Nix:
    return Nix.under(tmp_path)


def apply(
    nix: Nix,
    roots: Sequence[StorePath],
    pairs: Sequence[tuple[StorePath, StorePath]],
    *,
    cutoffs: Sequence[StorePath] = (),
    links: Sequence[str] = ("result",),
    allowed: Sequence[str] = (),
) -> Outcome:
    """The whole job; what is registered is held against the plan."""
    with nix.open() as store:
        outcome = graft.apply(
            store,
            roots,
            pairs,
            cutoffs=cutoffs,
            add_roots=[str(nix.directory / link) for link in links],
            allowed=allowed,
        )
    nix.check(outcome.plan)
    return outcome


def assert_kept(nix: Nix, outcome: Outcome) -> None:
    """The collector keeps the whole result for its root, and nothing it does not lead to."""
    nix.collect()
    left = set(outcome.plan.new_references)
    assert all(nix.is_valid(path) for path in left)
    assert not any(nix.is_valid(old) for old in outcome.plan.moved if old not in left)
    nix.check(outcome.plan)


def test_a_wrapper_around_old_calls_old_and_is_not_proven(nix: Nix) -> None:
    root, old, new = nix.build(
        """
  old = scriptAs "run" "dep" "echo old";
  new = scriptAs "run" "dep" ''
    echo wrapped
    ${old}/bin/run'';
  root = script "test" "${old}/bin/run";
  """,
        "root",
        "old",
        "new",
    )
    outcome = apply(nix, [root], [(old, new)])
    assert not outcome.succeeded
    assert outcome.proof is not None
    assert [(found.path, found.reference) for found in outcome.proof.residual] == [(new, old)]
    assert nix.output(outcome.plan.new_roots[root]) == "wrapped\nold"
    assert not (nix.directory / "result").is_symlink()


def test_crossed_pairs_are_kept_as_they_are_and_not_proven(nix: Nix) -> None:
    root, *four = nix.build(
        """
  old1 = scriptAs "run" "dep1" "echo old1";
  old2 = scriptAs "run" "dep2" "echo old2";
  new1 = scriptAs "run" "dep1" ''
    echo new1
    ${old2}/bin/run'';
  new2 = scriptAs "run" "dep2" ''
    echo new2
    ${old1}/bin/run'';
  root = script "test" ''
    ${old1}/bin/run
    ${old2}/bin/run'';
  """,
        *("root", "old1", "old2", "new1", "new2"),
    )
    old1, old2, new1, new2 = four
    outcome = apply(nix, [root], [(old1, new1), (old2, new2)])
    assert not outcome.succeeded
    assert nix.output(outcome.plan.new_roots[root]) == "new1\nold2\nnew2\nold1"
    assert {warning.path for warning in outcome.warnings if warning.kind == "automatic-cutoff"} == {
        new1,
        new2,
    }


def test_glibcs_out_and_bin_with_bash_between_them_are_replaced_whole(nix: Nix) -> None:
    root, *outputs, bash = nix.build(
        """
  glibc = version: shell: build "glibc" { outputs = [ "out" "bin" ]; inherit version shell; } ''
    mkdir -p $out/lib $bin/bin
    echo "echo libc $version # in $out" > $out/lib/libc
    printf '#!/bin/sh\\n. %s/lib/libc\\n%s\\necho ldd %s\\n' $out "$shell" $version > $bin/bin/ldd
    chmod +x $bin/bin/ldd
  '';
  old = glibc "2.36" "";
  bash = script "bash" ". ${old.out}/lib/libc; echo bash";
  new = glibc "2.37" "${bash}/bin/bash\n";
  root = script "test" ''
    ${bash}/bin/bash
    ${old.bin}/bin/ldd'';
  """,
        *("root", "old.out", "old.bin", "new.out", "new.bin", "bash"),
    )
    old_out, old_bin, new_out, new_bin = outputs
    assert nix.output(root) == "libc 2.36\nbash\nlibc 2.36\nldd 2.36"
    outcome = apply(nix, [root], [(old_out, new_out), (old_bin, new_bin)])
    assert outcome.succeeded
    assert [warning.kind for warning in outcome.warnings] == []
    assert {rewrite.path for rewrite in outcome.plan.rewrites} == {root, bash, new_bin}
    expected = "libc 2.37\nbash\nlibc 2.37\nlibc 2.37\nbash\nldd 2.37"
    assert nix.output(outcome.plan.new_roots[root]) == expected
    assert new_out in nix.references(new_out)
    assert_kept(nix, outcome)
    assert nix.output(outcome.plan.new_roots[root]) == expected


def test_replacing_one_output_of_two_is_warned_of(nix: Nix) -> None:
    root, out, extra, new = nix.build(
        """
  old = build "dep" { outputs = [ "out" "extra" ]; } ''
    mkdir $out $extra
    echo out > $out/f
    echo extra > $extra/f'';
  new = build "dep" { } "mkdir $out; echo new > $out/f";
  root = script "test" "cat ${old}/f ${old.extra}/f";
  """,
        *("root", "old.out", "old.extra", "new"),
    )
    outcome = apply(nix, [root], [(out, new)])
    assert ("missing-output", extra) in {
        (warning.kind, warning.path) for warning in outcome.warnings
    }
    assert nix.output(outcome.plan.new_roots[root]) == "new\nextra"


def test_a_chain_leads_every_link_to_its_end(nix: Nix) -> None:
    root, *links = nix.build(
        """
  a = scriptAs "run" "dep" "echo a";
  b = scriptAs "run" "dep" "echo b";
  c = scriptAs "run" "dep" "echo c";
  root = script "test" ''
    ${a}/bin/run
    ${b}/bin/run
    ${c}/bin/run'';
  """,
        *("root", "a", "b", "c"),
    )
    a, b, c = links
    outcome = apply(nix, [root], [(b, c), (a, b)])
    assert outcome.succeeded
    assert nix.output(outcome.plan.new_roots[root]) == "c\nc\nc"
    assert outcome.plan.new_references[outcome.plan.new_roots[root]] == {c}
    assert_kept(nix, outcome)


def test_new_is_rewritten_where_it_refers_to_another_old(nix: Nix) -> None:
    root, *four = nix.build(
        """
  low = scriptAs "run" "low" "echo low";
  lew = scriptAs "run" "lew" "echo lew";
  old = scriptAs "run" "dep" "echo old";
  new = build "dep" { text = "echo new; ${low}/bin/run"; file = "run"; }
    (written + "echo $out > $out/self");
  root = script "test" "${old}/bin/run; ${low}/bin/run";
  """,
        *("root", "low", "lew", "old", "new"),
    )
    low, lew, old, new = four
    outcome = apply(nix, [root], [(old, new), (low, lew)])
    assert outcome.succeeded
    assert nix.output(outcome.plan.new_roots[root]) == "new\nlew\nlew"
    new_new = outcome.plan.moved[new]
    assert nix.references(new_new) == {new_new, lew}
    assert (nix.directory / "store" / new_new / "self").read_text() == f"{nix.full(new_new)}\n"
    assert_kept(nix, outcome)


UNEQUAL = """
  old = scriptAs "run" "dep-1.0" "echo old";
  mid = scriptAs "run" "dep-1.0-p1" "echo mid";
  new = scriptAs "run" "dep-1.0.1" "echo new from $0";
  app = scriptAs "run" "app" "${old}/bin/run";
  root = script "test" ''
    ${app}/bin/run
    ${old}/bin/run'';
"""


def test_names_of_unequal_length_run_through_the_alias(nix: Nix) -> None:
    root, app, old, new = nix.build(UNEQUAL, "root", "app", "old", "new")
    outcome = apply(nix, [root], [(old, new)])
    assert outcome.succeeded
    (alias,) = outcome.plan.aliases
    assert (nix.directory / "store" / alias.path).readlink() == Path(nix.full(new))
    assert nix.references(alias.path) == {new}
    assert nix.references(outcome.plan.moved[app]) == {alias.path}
    line = f"new from {nix.full(alias.path)}/bin/run"
    assert nix.output(outcome.plan.new_roots[root]) == f"{line}\n{line}"
    assert_kept(nix, outcome)
    assert nix.output(outcome.plan.new_roots[root]) == f"{line}\n{line}"


def test_a_chain_through_names_of_other_lengths_has_one_alias(nix: Nix) -> None:
    root, old, mid, new = nix.build(UNEQUAL, "root", "old", "mid", "new")
    outcome = apply(nix, [root], [(old, mid), (mid, new)])
    assert outcome.succeeded
    (alias,) = outcome.plan.aliases
    assert (alias.replaces, alias.target) == (old, new)
    assert nix.output(outcome.plan.new_roots[root]).startswith("new from ")
    assert_kept(nix, outcome)


@pytest.mark.parametrize("library", [ONE_LIBRARY, UNEQUAL], ids=["equal", "unequal"])
def test_a_root_that_is_old_becomes_new_itself(nix: Nix, library: str) -> None:
    old, new = nix.build(library, "old", "new")
    outcome = apply(nix, [old], [(old, new)])
    assert outcome.succeeded
    assert outcome.plan.new_roots == {old: new}
    assert outcome.execution.rewritten == frozenset()
    assert (nix.directory / "result").readlink() == Path(nix.full(new))
    assert nix.directory / "result" in nix.indirect_roots()
    assert_kept(nix, outcome)


def test_several_roots_get_a_link_each(nix: Nix) -> None:
    app, other, old, new = nix.build(
        ONE_LIBRARY + 'other = scriptAs "run" "other" "${app}/bin/run; ${old}/bin/dep-1.0";',
        *("app", "other", "old", "new"),
    )
    outcome = apply(nix, [app, other, old], [(old, new)], links=["result"])
    links = [nix.directory / name for name in ("result", "result-2", "result-3")]
    assert [link.readlink() for link in links] == [
        Path(nix.full(outcome.plan.new_roots[root])) for root in (app, other, old)
    ]
    assert_kept(nix, outcome)


def test_what_a_user_cut_off_keeps_old_and_is_acknowledged(nix: Nix) -> None:
    root, app, keep, old, new = nix.build(
        """
  old = scriptAs "run" "dep" "echo old";
  new = scriptAs "run" "dep" "echo new";
  app = scriptAs "run" "app" "${old}/bin/run";
  keep = scriptAs "run" "keep" "${app}/bin/run";
  root = script "test" "${app}/bin/run; ${keep}/bin/run";
  """,
        *("root", "app", "keep", "old", "new"),
    )
    outcome = apply(nix, [root], [(old, new)], cutoffs=[keep])
    assert outcome.succeeded
    assert outcome.proof is not None
    assert {(found.path, found.reference) for found in outcome.proof.residual} == {
        (keep, app),
        (app, old),
    }
    assert all(found.acknowledged for found in outcome.proof.residual)
    assert_kept(nix, outcome)
    assert nix.output(outcome.plan.new_roots[root]) == "new\nold"


HIDDEN = """
  old = script "dep" "echo old";
  new = script "dep" "echo new";
  shared = build "shared" { text = "${old}/bin/dep"; }
    ''mkdir $out; printf %s "$text" | sed 's/./&\\x00/g' > $out/wide'';
  root = script "test" ''
    ${old}/bin/dep
    tr -d '\\000' < ${shared}/wide'';
"""


def test_a_hidden_reference_in_a_shared_path_is_found_and_nothing_is_rooted(nix: Nix) -> None:
    root, shared, old, new = nix.build(HIDDEN, "root", "shared", "old", "new")
    assert nix.references(shared) == set()
    arguments = ["apply", nix.full(root), f"--replace={nix.full(old)}={nix.full(new)}"]
    run = nix.graft(*arguments, "--add-root", "result", "--json")
    assert run.returncode == 1
    (found,) = json.loads(run.stdout)["proof"]["residual"]
    assert found == {
        "path": nix.full(shared),
        "file": "wide",
        "offset": 2 * len(f"{nix.store_dir}/"),
        "in": "contents",
        "encoding": "utf-16",
        "container": [],
        "reference": nix.full(old),
        "acknowledged": False,
    }
    assert not (nix.directory / "result").is_symlink()
    assert nix.directory / "result" not in nix.indirect_roots()
    text = nix.graft(*arguments, "--add-root", "result")
    assert (text.returncode, text.stdout) == (1, "")
    assert f"{shared}/wide" in text.stderr


def test_a_hidden_reference_may_be_accepted(nix: Nix) -> None:
    root, shared, old, new = nix.build(HIDDEN, "root", "shared", "old", "new")
    outcome = apply(nix, [root], [(old, new)], allowed=[f"{shared}/wide"])
    assert outcome.succeeded
    assert outcome.proof is not None
    assert [found.acknowledged for found in outcome.proof.residual] == [True]
    run = nix.graft(
        "apply",
        nix.full(root),
        f"--replace={nix.full(old)}={nix.full(new)}",
        "--allow-residual=*-shared/w*",
        "--add-root=again",
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{nix.full(outcome.plan.new_roots[root])}\n"
    assert_kept(nix, outcome)


def test_a_hidden_reference_in_a_rewritten_path_is_rewritten_and_keeps_its_width(nix: Nix) -> None:
    both, old, new = nix.build(
        """
  old = script "dep" "echo old";
  new = script "dep" "echo new";
  both = build "both" { text = "${old}/bin/dep"; file = "test"; } (written + ''
    printf %s "$text" | sed 's/./&\\x00/g' > $out/wide'');
  """,
        *("both", "old", "new"),
    )
    outcome = apply(nix, [both], [(old, new)])
    assert outcome.succeeded
    wide = nix.directory / "store" / outcome.plan.new_roots[both] / "wide"
    assert wide.read_bytes() == f"{nix.full(new)}/bin/dep".encode("utf-16-le")
    assert_kept(nix, outcome)


def test_grafting_twice_writes_nothing_the_second_time(nix: Nix) -> None:
    app, old, new = nix.build(ONE_LIBRARY, "app", "old", "new")
    first = apply(nix, [app], [(old, new)])
    second = apply(nix, [app], [(old, new)])
    assert second.plan.new_roots == first.plan.new_roots
    assert second.execution.rewritten == frozenset()
    assert second.execution.resumed == first.execution.rewritten


def test_a_graft_can_be_grafted_again(nix: Nix) -> None:
    app, old, new, newest = nix.build(
        ONE_LIBRARY + 'newest = scriptAs "dep-1.0" "dep-1.2" "echo newest";',
        *("app", "old", "new", "newest"),
    )
    first = apply(nix, [app], [(old, new)])
    grafted = first.plan.new_roots[app]
    again = apply(nix, [grafted], [(new, newest)])
    with nix.open() as store:  # the first graft is kept as the way back
        assert [link for link, path in store.roots().items() if path == grafted]
        for kept in Path(store.location.state_dir, "gcroots/graft-originals").iterdir():
            kept.unlink()
    assert again.succeeded
    assert nix.output(again.plan.new_roots[grafted], "run") == "newest"
    assert_kept(nix, again)
