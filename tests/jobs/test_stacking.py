"""A fix of a fix: a graft of a graft is the graft of the last, but for the hashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.debpkgs import equality
from tests.derivations import Nix

pytestmark = [pytest.mark.nix, pytest.mark.slow]


def test_the_same_library_fixed_twice_is_the_last_fix(tmp_path: Path) -> None:
    nix = Nix.under(tmp_path)
    text = """
      lib = script "lib" "echo {version}";
      tool = script "tool" "${{lib}}/bin/lib";
      top = script "top" "${{tool}}/bin/tool; echo ${{tool}}";
    """
    lib, top = nix.build(text.format(version=0), "lib", "top")
    [first] = nix.build(text.format(version=1), "lib")
    [second] = nix.build(text.format(version=2), "lib")

    def apply(root: str, old: str, new: str) -> str:
        done = nix.graft("apply", root, "--replace", f"{old}={new}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    old, one, two = map(nix.full, (lib, first, second))
    twice = apply(apply(nix.full(top), old, one), one, two)
    once = apply(nix.full(top), old, two)
    stacked, plain = (
        nix.run("nix-store", "--query", "--requisites", root).split() for root in (twice, once)
    )
    table = equality.compare(stacked, plain)
    assert sorted(row.status.value for row in table.rows) == ["equal", "equal", "shared"]
    assert two in stacked
