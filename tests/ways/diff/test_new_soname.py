"""A fix with another soname: alone its graft is refused; with what asks for that name it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.debpkgs import equality
from tests.derivations import Nix

pytestmark = [pytest.mark.nix, pytest.mark.needs("gcc")]

PACKAGES = r"""
  lib = build "foo-1.0" {{ }} ''
    mkdir -p $out/lib; cd $out/lib
    echo "int foo(void) {{ return {major}; }}" > $TMPDIR/foo.c
    gcc -shared -fPIC -Wl,-soname,libfoo.so.{major} -o libfoo.so.{major} $TMPDIR/foo.c
    ln -s libfoo.so.{major} libfoo.so
  '';
  tool = build "tool-1.0" {{ inherit lib; }} ''
    mkdir -p $out/bin
    printf '#include <stdio.h>\nint foo(void); int main(void) {{ printf("%%d", foo()); }}' > tool.c
    gcc -o $out/bin/tool tool.c -L$lib/lib -lfoo -Wl,-rpath,$lib/lib
  '';
  middle = script "middle" "${{tool}}/bin/tool";
  top = script "top" "${{middle}}/bin/middle";
"""


def test_what_asks_for_the_old_soname_is_built_with_the_fix(tmp_path: Path) -> None:
    nix = Nix.under(tmp_path)
    base, patched = (nix.directory / f"{name}.nix" for name in ("base", "patched"))
    roots = []
    for file, major in ((base, 1), (patched, 2)):
        roots.append(nix.full(nix.build(PACKAGES.format(major=major), "top")[0]))
        (nix.directory / "expression.nix").rename(file)
    old, rebuilt = roots
    fix = nix.directory / "fix.json"
    diff = ("diff", old, rebuilt, "-o", str(fix))
    done = nix.graft(*diff)
    assert done.stdout.startswith("# foo-1.0 (")
    assert "1 package to replace, 3 paths derived" in done.stderr
    refused = nix.graft("apply", old, "--replacements", str(fix), "--json")
    assert refused.returncode == 2
    error = json.loads(refused.stdout)["error"]
    assert error["kind"] == "abi"
    [one] = error["breaks"]
    assert one["reason"] == "library-missing"
    assert "-tool-1.0/bin/tool" in one["program"]

    done = nix.graft(*diff, "--rebuild", "tool", "--json")
    found = json.loads(done.stdout)
    assert {one["name"]: one["needed"] for one in found["packages"]} == {
        "foo-1.0": False,
        "tool-1.0": True,
    }
    assert (
        "2 packages to replace (1 of them derived, but to be built), 2 paths derived" in done.stderr
    )
    applied = nix.graft("apply", old, "--replacements", str(fix), "--json")
    assert applied.returncode == 0, applied.stderr
    outcome = json.loads(applied.stdout)
    new_root = outcome["new_roots"][old]
    assert nix.run(f"{new_root}/bin/top") == "2"
    query = ("nix-store", "--query", "--requisites")
    grafted, built = (nix.run(*query, root).split() for root in (new_root, rebuilt))
    table = equality.compare(grafted, built, outcome["paths"], found["replacements"])
    assert sorted(row.status.value for row in table.rows) == ["equal", "equal", "shared", "shared"]

    wrong = nix.graft(*diff, "--rebuild", "tools")
    assert wrong.returncode == 2
    assert "--rebuild tools: nothing of that name differs" in wrong.stderr
