"""All outputs at once, of what the real Nix has built."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from tests.derivations import Nix

pytestmark = pytest.mark.nix

PACKAGES = r"""
  lib = flavour: outputs: build "xz-5.${{flavour}}" {{ inherit outputs flavour; }} ''
    for one in $outputs; do
      eval "place=\$$one"; mkdir -p $place; echo "$flavour $one {version}" > $place/told
    done
  '';
  one = lib "1" [ "out" "bin" "doc" ];
  two = lib "2" [ "out" "bin" ];
  single = lib "3" [ "out" ];
  top = build "top-1.0" {{ }} ''
    mkdir $out; echo ${{one}} ${{one.bin}} ${{two}} ${{two.bin}} > $out/told
    cat ${{one}}/told ${{one.bin}}/told ${{two}}/told ${{two.bin}}/told >> $out/told
  '';
"""


class Packages:
    """Four outputs of two variants of one package, below a root, and the same ones fixed."""

    def __init__(self, nix: Nix) -> None:
        self.nix = nix
        attributes = ["top", "one", "one.bin", "two", "two.bin"]
        self.top, self.one, self.one_bin, self.two, self.two_bin = self.build("bad", *attributes)
        made = self.build("good", *attributes, "single")
        self.new_top, self.new_one, self.new_one_bin, self.new_two, self.new_two_bin = made[:5]
        self.single = made[5]

    def build(self, version: str, *attributes: str) -> list[StorePath]:
        return self.nix.build(PACKAGES.format(version=version), *attributes)

    def drv(self, path: StorePath) -> str:
        return self.nix.run("nix-store", "--query", "--deriver", self.nix.full(path)).strip()

    def plan(self, *arguments: str, status: int = 0) -> dict[str, str]:
        done = self.nix.graft("plan", self.nix.full(self.top), *arguments, "--json")
        assert done.returncode == status, done.stderr
        found = json.loads(done.stdout)["replacements"]
        assert isinstance(found, dict)
        return found

    def error(self, *arguments: str) -> dict[str, object]:
        done = self.nix.graft("plan", self.nix.full(self.top), *arguments, "--json")
        assert done.returncode == 2
        found = json.loads(done.stdout)["error"]
        assert isinstance(found, dict)
        return found

    def pairs(self, *paths: tuple[StorePath, StorePath]) -> dict[str, str]:
        return {self.nix.full(old): self.nix.full(new) for old, new in paths}


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    return Packages(Nix.under(tmp_path))


def test_a_derivation_stands_for_all_its_outputs_in_the_closure(packages: Packages) -> None:
    old, new = packages.drv(packages.one), packages.drv(packages.new_one)
    expected = packages.pairs(
        (packages.one, packages.new_one), (packages.one_bin, packages.new_one_bin)
    )
    assert packages.plan(f"--replace={old}={new}") == expected
    full = packages.nix.full
    pair = f"--replace={full(packages.one)}={full(packages.new_one)}"
    assert packages.plan(pair) == packages.plan(pair, "--replace-outputs") == expected
    assert packages.plan(pair, "--only-this-output") == packages.pairs(
        (packages.one, packages.new_one)
    )


def test_a_name_stands_for_all_outputs_of_one_version(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    (nix.directory / "fixed").symlink_to(full(packages.new_one))
    expected = packages.pairs(
        (packages.one, packages.new_one), (packages.one_bin, packages.new_one_bin)
    )
    for name in (packages.one.name, packages.one[:6], packages.one.hash_part):
        assert packages.plan(f"--replace={name}=./fixed") == expected
    for name in (f"{packages.drv(packages.one)}^*", f"{packages.one[:8]}^out,bin"):
        assert packages.plan(f"--replace={name}=./fixed") == expected
    # One output by its name is a pair by itself, and brings the others along.
    bin_pair = f"--replace={packages.one[:6]}^bin={packages.new_one[:6]}^bin"
    assert packages.plan(bin_pair) == expected
    assert packages.plan(bin_pair, "--only-this-output") == packages.pairs(
        (packages.one_bin, packages.new_one_bin)
    )


def test_several_versions_are_a_choice(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    (nix.directory / "fixed").symlink_to(full(packages.new_one))
    error = packages.error("--replace=xz=./fixed")
    assert error["kind"] == "ambiguous-name"
    assert error["choices"] == [packages.one, packages.two]
    assert f"{packages.one.name} ({packages.one[:6]})" in str(error["message"])


def test_an_unknown_half_is_named_with_the_nearest_names(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    (nix.directory / "fixed").symlink_to(full(packages.new_one))
    error = packages.error("--replace=xy=./fixed")
    assert error["kind"] == "unknown-name"
    error = packages.error("--replace=topp=./fixed")
    assert error["nearest"] == ["top"]
    assert "OLD is not known: 'topp'" in str(error["message"])
    assert "NEW is not known" in str(packages.error("--replace=top=./fixd")["message"])


def test_an_output_without_a_partner_is_a_warning(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    pair = f"--replace={full(packages.one)}={full(packages.single)}"
    done = nix.graft("plan", full(packages.top), pair, "--json")
    document = json.loads(done.stdout)
    assert document["replacements"] == packages.pairs((packages.one, packages.single))
    missing = [one["path"] for one in document["warnings"] if one["kind"] == "missing-output"]
    assert missing == [full(packages.one_bin)]


def test_without_the_derivation_the_names_of_its_outputs_tell(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    pair = f"--replace={full(packages.one)}={full(packages.new_one)}"
    expected = packages.plan(pair, "--replace-outputs")
    drv = packages.drv(packages.one)
    for number, path in enumerate([packages.top, packages.new_top]):
        nix.run("nix-store", "--realise", full(path), "--add-root", f"{nix.directory}/{number}")
    nix.collect()
    assert not os.path.exists(drv)
    assert packages.plan(pair, "--replace-outputs") == expected


def test_an_output_that_the_new_lacks_is_an_error_with_the_choices(packages: Packages) -> None:
    full = packages.nix.full
    old, single = packages.drv(packages.one), packages.drv(packages.single)
    error = packages.error(f"--replace={old}={single}")
    assert error["kind"] == "outputs"
    assert error["choices"] == [full(packages.single)]
    told = f"give --replace {full(packages.one_bin)}={full(packages.single)}"
    assert told in str(error["message"])
    # Each of the choices is one.
    chosen = f"--replace={full(packages.one_bin)}={full(packages.single)}"
    assert packages.plan(f"--replace={old}={single}", chosen) == packages.pairs(
        (packages.one, packages.single), (packages.one_bin, packages.single)
    )
    cutoff = f"--cutoff={full(packages.one_bin)}"
    assert packages.plan(f"--replace={old}={single}", cutoff) == packages.pairs(
        (packages.one, packages.single)
    )


def test_other_halves_are_errors(packages: Packages) -> None:
    full = packages.nix.full
    drv, single = packages.drv(packages.one), packages.drv(packages.single)
    assert "one of them is a derivation" in str(
        packages.error(f"--replace={drv}={full(packages.single)}")["message"]
    )
    assert "is in the closure: there is nothing to replace" in str(
        packages.error(f"--replace={single}={drv}")["message"]
    )
    expression = packages.nix.directory / "expression.nix"
    expression.write_text(expression.read_text().replace("good", "unbuilt"))
    unbuilt = packages.nix.run("nix-instantiate", str(expression), "-A", "one").split()[-1]
    unbuilt = unbuilt.partition("!")[0]
    error = packages.error(f"--replace={drv}={unbuilt}")
    assert error["kind"] == "invalid-path"
    assert f"build it with 'nix-store --realise {unbuilt}'" in str(error["message"])


def test_a_file_s_pairs_of_what_is_elsewhere_are_left_out(packages: Packages) -> None:
    full = packages.nix.full
    store = packages.nix.store_dir
    elsewhere = {f"{store}/{'0' * 32}-old-1.0": f"{store}/{'1' * 32}-old-1.1"}
    here = packages.pairs((packages.one, packages.new_one))
    file = packages.nix.directory / "fix.json"
    file.write_text(json.dumps({"version": 1, "replacements": here | elsewhere}))
    assert packages.plan(f"--replacements={file}") == here
    said = packages.nix.graft("plan", full(packages.top), f"--replacements={file}").stderr
    assert f"1 of 2 replacements in '{file}' are left out" in said
    missing = {full(packages.two): f"{store}/{'1' * 32}-xz-5.2"}
    file.write_text(json.dumps({"version": 1, "replacements": here | missing}))
    assert packages.error(f"--replacements={file}")["kind"] == "invalid-path"
    file.write_text(json.dumps({"version": 1, "replacements": elsewhere}))
    error = packages.error(f"--replacements={file}")
    assert error["kind"] == "usage"
    assert f"nothing that '{file}' replaces is in the closures" in str(error["message"])


def test_every_path_of_a_package_name_is_suggested(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    arguments = ("--suggest", "xz", "--patched", full(packages.new_top))
    done = nix.graft("plan", full(packages.top), *arguments)
    assert done.returncode == 0, done.stderr
    expected = packages.pairs(
        (packages.one, packages.new_one),
        (packages.one_bin, packages.new_one_bin),
        (packages.two, packages.new_two),
        (packages.two_bin, packages.new_two_bin),
    )
    lines = done.stdout.splitlines()
    assert lines == [f"--replace {old}={new}" for old, new in sorted(expected.items())]
    # What is printed is what plan takes.
    assert packages.plan(*(word for line in lines for word in line.split())) == expected
    document = json.loads(nix.graft("plan", full(packages.top), *arguments, "--json").stdout)
    assert document == {"version": 1, "replacements": expected, "doubtful": []}


def test_one_output_of_what_is_new_suggests_the_others_too(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    (nix.directory / "result").symlink_to(full(packages.new_one))
    done = nix.graft("plan", full(packages.top), "--suggest", "xz", "--patched", "./result")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"--replace {full(old)}={full(new)}"
        for old, new in sorted(
            [
                (packages.one, packages.new_one),
                (packages.one_bin, packages.new_one_bin),
                (packages.two, packages.new_one),
                (packages.two_bin, packages.new_one_bin),
            ]
        )
    ]


def test_one_new_is_suggested_for_all_variants_and_what_lacks_needs_a_choice(
    packages: Packages,
) -> None:
    nix, full = packages.nix, packages.nix.full
    done = nix.graft(
        *("plan", full(packages.top), "--suggest", "xz", "--patched", full(packages.single))
    )
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"--replace {full(old)}={full(packages.single)}"
        for old in sorted([packages.one, packages.two])
    ]
    for path in (packages.one_bin, packages.two_bin):
        assert f"'{full(path)}' needs a choice: nothing of its output" in done.stderr


def test_a_set_that_is_not_built_is_enough_to_suggest(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    expression = nix.directory / "unbuilt.nix"
    text = (nix.directory / "expression.nix").read_text().replace("good", "unbuilt")
    expression.write_text(text.replace("xz-5.${flavour}", "xz-5.6"))
    (nix.directory / "one.nix").write_text(f"{{ inherit (import {expression}) one; }}")
    patched = str(nix.directory / "one.nix")
    done = nix.graft("plan", full(packages.top), "--suggest", "xz", "--patched", patched)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    assert all("xz-5.6" in line for line in done.stdout.splitlines())


def test_a_name_that_nothing_has_is_the_answer_no(packages: Packages) -> None:
    nix, full = packages.nix, packages.nix.full
    words = ("plan", full(packages.top), "--suggest", "zlib", "--patched", full(packages.new_top))
    done = nix.graft(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing in the closure is called 'zlib'" in done.stderr
    assert nix.graft(*words[:4]).returncode == 2
