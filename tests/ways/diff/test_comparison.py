"""Two sets of packages that the real Nix instantiates or builds, held against each other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.ways.diff import Difference, PackageSet, compare_packages
from graft.ways.diff.arguments import read_package_set
from graft.ways.diff.instantiation import Nix as Instantiating
from tests.derivations import Nix
from tests.sri import sri_encode

pytestmark = pytest.mark.nix

BASE = """
  src = builtins.toFile "lib-source" "contents";
  compiler = script "compiler-1.0" "echo compiler";
  given = { outputs = [ "out" "bin" ]; inherit src compiler; flags = ""; };
  libOf = more: build "lib-1.0" (given // more) ''
    mkdir -p $out/lib $bin/bin
    echo "${compiler}" | cut -c1-1 > $out/lib/made
    echo "$flags" > $out/lib/flags; cat $src > $out/lib/contents
    echo "#!/bin/sh
    cat $out/lib/contents" > $bin/bin/lib; chmod +x $bin/bin/lib
  '';
  lib = libOf { };
  tool = script "tool-1.0" "cat ${lib}/lib/contents";
  staticTool = build "static-tool-1.0" { inherit lib; } "mkdir $out; cp $lib/lib/contents $out";
  top = script "top-1.0" "${tool}/bin/tool-1.0; ${staticTool}; ${lib.bin}/bin/lib";
"""


@pytest.fixture
def nix(tmp_path: Path) -> Nix:
    nix = Nix.under(tmp_path)
    nix.build(BASE, "compiler")  # so that there is a store
    return nix


def patched(*edits: tuple[str, str]) -> str:
    text = BASE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


def read(nix: Nix, store: LocalStore, argument: str) -> PackageSet:
    instantiating = Instantiating(environment=nix.env)
    return read_package_set(store, argument, nix=instantiating)


def differ(
    nix: Nix, text: str, attribute: str = "top", base: str = BASE, rebuild: Sequence[str] = ()
) -> Difference:
    """Builds an attribute of the base and of another text, and compares the two closures."""
    [old] = nix.build(base, attribute)
    [new] = nix.build(text, attribute)
    with nix.open() as store:
        sets = [read(nix, store, nix.full(path)) for path in (old, new)]
        return compare_packages(store, *sets, rebuild=rebuild)


def names(found: Mapping[StorePath, StorePath]) -> list[str]:
    assert all(old.name == new.name or "2.0" in new.name for old, new in found.items())
    return sorted(old.name for old in found)


def changes(found: Difference) -> dict[str, tuple[str, ...]]:
    return {one.name: one.changes for one in found.changed}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (('"contents"', '"fixed"'), ("source",)),
        (('"lib-1.0" (', '"lib-2.0" ('), ("version", "environment")),
        (("{ };", '{ flags = "-O3"; };'), ("environment",)),
        (("$out/lib/made", "$out/lib/by"), ("arguments",)),
        (("{ };", '{ builder = "/usr/bin/../../bin/sh"; };'), ("builder", "environment")),
        (("{ };", "{ more = lib2; }; lib2 = src;"), ("environment",)),
        (
            ("compiler; flags", "compiler; other = tidy; flags"),
            ("environment", "inputs"),
        ),
    ],
)
def test_what_differs_of_itself_is_replaced_and_nothing_else(
    nix: Nix, edit: tuple[str, str], expected: tuple[str, ...]
) -> None:
    tidy = '  tidy = script "tidy" "true";\n'
    found = differ(nix, tidy + patched(edit), base=tidy + BASE)
    assert changes(found) == {"lib-1.0": expected}
    assert names(found.replacements) == ["lib-1.0", "lib-1.0-bin"]
    reached = {one.old.name: one.reached for one in found.derived}
    assert reached == {"static-tool-1.0": False, "tool-1.0": True, "top-1.0": True}
    assert (found.added, found.removed, found.doubtful) == ((), (), ())


def test_what_is_only_built_with_is_not_replaced(nix: Nix) -> None:
    found = differ(nix, patched(("echo compiler", "echo better")))
    assert found.replacements == {}
    assert [(one.name, one.changes) for one in found.build_only] == [
        ("compiler-1.0", ("environment",))
    ]
    assert {one.reached for one in found.derived} == {False}
    assert len(found.derived) == 5


def test_what_is_fetched_elsewhere_is_no_difference(nix: Nix) -> None:
    contents = sri_encode(hashlib.sha256(b"contents").digest())
    fetched = f"""src = build "source" {{{{ url = "{{}}"; outputHash = "{contents}"; }}}}
      "printf contents > $out; echo $url >&2";"""
    one, two = (
        patched(('src = builtins.toFile "lib-source" "contents";', fetched.format(url)))
        for url in ("https://one.example", "https://two.example")
    )
    found = differ(nix, two, base=one)
    assert (found.replacements, found.derived, found.build_only) == ({}, (), ())
    assert found.paired > 0


def test_two_fixes_are_two_packages(nix: Nix) -> None:
    found = differ(
        nix, patched(('"contents"', '"fixed"'), ('"tool-1.0" "cat', '"tool-2.0" "cat -u'))
    )
    assert changes(found) == {"lib-1.0": ("source",), "tool-1.0": ("version", "environment")}


def test_something_else_in_its_place_is_the_user_s_own_difference(nix: Nix) -> None:
    text = patched(("cat ${lib}", "cat ${other}")) + '  other = libOf { name = "other-1.0"; };\n'
    found = differ(nix, text, "tool")
    assert changes(found) == {"tool-1.0": ("environment", "inputs")}
    assert [path.name for path in found.added] == ["other-1.0"]
    assert [path.name for path in found.removed] == ["lib-1.0"]


def test_one_of_which_the_new_has_two_is_doubtful(nix: Nix) -> None:
    text = patched(("${lib}/lib/contents", '${libOf { flags = "x"; }}/lib/contents'))
    found = differ(nix, text)
    assert found.replacements == {}
    [doubt] = found.doubtful
    assert sorted(path.name for path in doubt.olds) == ["lib-1.0", "lib-1.0-bin"]
    assert "the patched set has more than one of them: see" in doubt.why
    assert "top-1.0" in doubt.why
    assert {one.old.name for one in found.derived} == {"tool-1.0", "top-1.0"}


def test_an_output_that_the_new_lacks_is_doubtful(nix: Nix) -> None:
    text = patched(
        ('[ "out" "bin" ]', '[ "out" ]'),
        ("  lib = libOf", "  lib = one // { bin = one; };\n  one = libOf"),
        ("$out/lib $bin/bin", "$out/lib $out/bin"),
        ("> $bin/bin/lib; chmod +x $bin/bin/lib", "> $out/bin/lib; chmod +x $out/bin/lib"),
    )
    found = differ(nix, text)
    assert "lib-1.0" in names(found.replacements)
    assert [[path.name for path in one.olds] for one in found.doubtful] == [["lib-1.0-bin"]]
    assert found.doubtful[0].why == "the patched set has no such output"


def test_what_a_new_package_refers_to_is_taken_as_it_was_built(nix: Nix) -> None:
    # The new tool is there with the derived `middle`, and the graft must not make another.
    middle = '  middle = script "middle-1.0" "cat ${lib}/lib/contents";\n'
    uses = ('cat ${lib}/lib/contents";\n  static', '${middle}/bin/middle-1.0";\n  static')
    base = middle + patched(uses)
    text = middle + patched(uses, ('"contents"', '"fixed"'), ('"tool-1.0" "', '"tool-1.0" "exec '))
    found = differ(nix, text, base=base)
    assert {one.name: one.needed for one in found.changed} == {
        "lib-1.0": False,
        "middle-1.0": True,
        "tool-1.0": False,
    }
    assert "middle-1.0" not in {one.old.name for one in found.derived}


def test_what_must_be_built_is_taken_with_all_its_outputs_in_the_base(nix: Nix) -> None:
    more = """
      wide = build "wide-1.0" { outputs = [ "out" "bin" "doc" ]; inherit lib; } ''
        for one in $out $bin $doc; do mkdir $one; echo $lib > $one/told; done
      '';
      user = script "user-1.0" "cat ${wide}/told";
      all = script "all-1.0" "${user}/bin/user-1.0; cat ${wide.bin}/told";
    """
    found = differ(
        nix, more + patched(('"contents"', '"fixed"')), "all", more + BASE, rebuild=["user"]
    )
    assert {one.name: names(one.outputs) for one in found.changed if one.needed} == {
        "user-1.0": ["user-1.0"],
        "wide-1.0": ["wide-1.0", "wide-1.0-bin"],  # nothing in the base refers to the third
    }
    assert {one.old.name for one in found.derived} == {"all-1.0"}


def without_derivations(nix: Nix, base: str, text: str, attribute: str) -> Difference:
    [old] = nix.build(base, attribute)
    [new] = nix.build(text, attribute)
    drvs = nix.run("nix-store", "--query", "--deriver", nix.full(old), nix.full(new)).split()
    kept = [root for path in (old, new) for root in (path,)]
    for number, path in enumerate(kept):
        nix.run("nix-store", "--realise", nix.full(path), "--add-root", f"{nix.directory}/{number}")
    nix.collect()
    assert not any(os.path.exists(drv) for drv in drvs)
    with nix.open() as store:
        sets = [read(nix, store, nix.full(path)) for path in (old, new)]
        return compare_packages(store, *sets)


def test_without_derivations_the_bytes_tell(nix: Nix) -> None:
    text = patched(('"contents"', '"fixed"'))
    found = without_derivations(nix, BASE, text, "top")
    # The static tool refers to nothing: only a derivation would tell what it is made of.
    assert names(found.replacements) == ["lib-1.0", "static-tool-1.0"]
    assert {one.old.name for one in found.derived} == {"tool-1.0", "top-1.0", "lib-1.0-bin"}
    assert found.doubtful == ()


def test_without_derivations_what_differs_twice_is_doubtful(nix: Nix) -> None:
    text = patched(('"contents"', '"fixed"'), ('"tool-1.0" "cat', '"tool-1.0" "cat -u'))
    found = without_derivations(nix, BASE, text, "tool")
    assert names(found.replacements) == ["lib-1.0"]
    assert [one.olds[0].name for one in found.doubtful] == ["tool-1.0"]
    assert "in more than their references" in found.doubtful[0].why


SetOf = Callable[[Nix, str, str], str]


def _as_expression(nix: Nix, text: str, name: str) -> str:
    nix.build(text)
    file = nix.directory / f"{name}.nix"
    (nix.directory / "expression.nix").rename(file)
    return str(file)


def _as_listing(nix: Nix, text: str, name: str) -> str:
    expression = _as_expression(nix, text, name)
    nix.run("nix-instantiate", expression)
    printed = nix.run("nix-env", "-f", expression, "-qaP", "--drv-path", "--out-path")
    file = nix.directory / f"{name}.list"
    file.write_text(printed)
    return str(file)


def _as_json(nix: Nix, text: str, name: str) -> str:
    expression = _as_expression(nix, text, name)
    drvs = nix.run("nix-instantiate", expression, "-A", "top").split()
    file = nix.directory / f"{name}.json"
    file.write_text(nix.run("nix", "show-derivation", "-r", *drvs))
    return str(file)


def _as_links(nix: Nix, text: str, name: str) -> str:
    expression = _as_expression(nix, text, name)
    directory = nix.directory / name
    directory.mkdir()
    for attribute in ("lib", "tool"):
        link = directory / f"{attribute}.drv"
        nix.run("nix-instantiate", expression, "-A", attribute, "--add-root", str(link))
    return str(directory)


def _as_files(nix: Nix, text: str, name: str) -> str:
    expression = _as_expression(nix, text, name)
    drvs = nix.run("nix-instantiate", expression, "-A", "top").split()
    found = nix.run("nix-store", "--query", "--requisites", *drvs).split()
    directory = nix.directory / name
    directory.mkdir()
    for path in found:
        if path.endswith(".drv"):
            (directory / os.path.basename(path)).write_bytes(Path(path).read_bytes())
    return str(directory)


def _as_derivation(nix: Nix, text: str, name: str) -> str:
    expression = _as_expression(nix, text, name)
    return nix.run("nix-instantiate", expression, "-A", "top").split()[-1]


@pytest.mark.parametrize(
    "form", [_as_expression, _as_listing, _as_json, _as_links, _as_files, _as_derivation]
)
def test_a_set_that_is_not_built_may_have_any_form(nix: Nix, form: SetOf) -> None:
    base = form(nix, BASE, "base")
    new = form(nix, patched(('"contents"', '"fixed"')), "patched")
    with nix.open() as store:
        sets = [read(nix, store, argument) for argument in (base, new)]
        found = compare_packages(store, *sets)
    assert names(found.replacements) == ["lib-1.0", "lib-1.0-bin"]
    [changed] = found.changed
    assert changed.changes == ("source",)
    assert changed.attribute == (
        "lib" if form in (_as_expression, _as_listing, _as_links) else None
    )
    assert "tool-1.0" in {one.old.name for one in found.derived}
    assert {one.reached for one in found.derived} == {None}
    assert found.doubtful == ()


def test_what_only_a_build_has_twice_is_certain(nix: Nix) -> None:
    # The static tool is still built with the old library, and refers to none.
    text = patched(
        ('"contents"', '"fixed"'),
        ("inherit lib; }", "lib = before; }"),
        (
            "  tool =",
            '  before = libOf { src = builtins.toFile "lib-source" "contents"; };\n  tool =',
        ),
    )
    found = differ(nix, text)
    assert names(found.replacements) == ["lib-1.0", "lib-1.0-bin"]
    assert found.doubtful == ()
    assert {one.old.name for one in found.derived} == {"tool-1.0", "top-1.0"}


def test_attributes_that_contradict_what_uses_them_are_doubtful(nix: Nix) -> None:
    other = 'libOf { flags = "other"; }'
    text = patched(('"contents"', '"fixed"'), ("cat ${lib}/lib", "cat ${" + other + "}/lib"))
    files = [_as_expression(nix, BASE, "base"), _as_expression(nix, text, "patched")]
    with nix.open() as store:
        found = compare_packages(store, *(read(nix, store, file) for file in files))
    assert "lib-1.0" not in names(found.replacements)
    assert {path.name for doubt in found.doubtful for path in doubt.olds} == {
        "lib-1.0",
        "lib-1.0-bin",
    }
