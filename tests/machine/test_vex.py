"""What others are told of grafts: texts that Nix and scanners read."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import UsageError
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.machine.record import Provenance
from graft.machine.status import Standing, standing_of
from graft.machine.vex import nixos_option, package_url, vex_document, vulnerabilities
from graft.store.roots.profile import Profile
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _grafted(it: Graftable, tmp_path: Path, note: str | None) -> Standing:
    apply(
        it.store,
        [it.env],
        {it.old: it.new},
        cutoffs=[it.data],
        profile=str(tmp_path / "p"),
        note=note,
    )
    provenance = Provenance(it.store.location, {"HOME": "/nowhere"})
    return standing_of(it.store, provenance.grafts())[0]


@pytest.mark.nix
def test_nix_reads_the_option_as_the_same_replacements(it: Graftable, tmp_path: Path) -> None:
    text = nixos_option([_grafted(it, tmp_path, None).graft], it.store.store_dir)
    module = tmp_path / "module.nix"
    module.write_text("config: {\n" + text + "}\n")
    option = 'system.build.initialRamdisk = "initrd"'
    expression = f"(import {module} {{ {option}; }}).system.replaceDependencies"
    nix = RealNix(it.store.location, tmp_path)
    done = subprocess.run(
        ["nix-instantiate", "--eval", "--json", "--strict", "-E", expression],
        env=nix.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    full = it.store.store_dir.path
    assert json.loads(done.stdout) == {
        "replacements": [{"oldDependency": full(it.old), "newDependency": full(it.new)}],
        "cutoffPackages": [full(it.data), "initrd"],
    }
    assert "different lengths" not in text


def test_the_option_is_whole_with_cutoffs_and_without(it: Graftable, tmp_path: Path) -> None:
    graft = _grafted(it, tmp_path, None).graft
    full = it.store.store_dir.path
    replacements = [
        "# builtins.storePath needs --impure with flakes: name the packages there instead.",
        "system.replaceDependencies.replacements = [",
        "  {",
        f'    oldDependency = builtins.storePath "{full(it.old)}";',
        f'    newDependency = builtins.storePath "{full(it.new)}";',
        "  }",
        "];",
    ]
    cutoffs = [
        "system.replaceDependencies.cutoffPackages = [",
        f'  (builtins.storePath "{full(it.data)}")',
        "  config.system.build.initialRamdisk",
        "];",
    ]
    without = replace(graft, cutoffs=frozenset())
    assert nixos_option([graft], it.store.store_dir).splitlines() == replacements + cutoffs
    assert nixos_option([without], it.store.store_dir).splitlines() == replacements


def test_names_that_nixos_would_refuse_are_pointed_out(it: Graftable, tmp_path: Path) -> None:
    longer = add_object(it.store, "lib-1.0.1", {"lib": b"new\n", "self": "{self}/lib"})
    apply(it.store, [it.env], {it.old: longer}, profile=str(tmp_path / "p"))
    (graft,) = Provenance(it.store.location, {"HOME": "/nowhere"}).grafts()
    assert "different lengths" in nixos_option([graft], it.store.store_dir)


def test_a_graft_in_force_is_a_fix(it: Graftable, tmp_path: Path) -> None:
    standing = _grafted(it, tmp_path, "for CVE-2026-12345 and GHSA-2qrg-x229-3v8q")
    document = vex_document([standing], it.store.store_dir, author="me", now=86_400)
    assert document["@context"] == "https://openvex.dev/ns/v0.2.0"
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", document["@id"])
    assert document["timestamp"] == "1970-01-02T00:00:00Z"
    assert document["version"] == 1
    names = [one["vulnerability"]["name"] for one in document["statements"]]
    assert names == ["CVE-2026-12345", "GHSA-2qrg-x229-3v8q"]
    for statement in document["statements"]:
        assert statement["status"] == "fixed"
        (product,) = statement["products"]
        assert product["identifiers"]["purl"] == "pkg:nix/env@1"
        assert product["@id"].endswith(standing.graft.roots[it.env])
        assert [one["@id"] for one in product["subcomponents"]] == ["pkg:nix/lib@1.0"]
    again = vex_document([standing], it.store.store_dir, author="me", now=99)
    assert again["@id"] == document["@id"]


def test_a_graft_that_is_undone_is_no_fix(it: Graftable, tmp_path: Path) -> None:
    it.store.switch_profile(str(tmp_path / "p"), it.env)
    _grafted(it, tmp_path, None)
    Profile(str(tmp_path / "p"), it.store.store_dir).switch_back()
    provenance = Provenance(it.store.location, {"HOME": "/nowhere"})
    (standing,) = standing_of(it.store, provenance.grafts())
    document = vex_document([standing], it.store.store_dir, author="me", given=["X-1"], now=0)
    (statement,) = document["statements"]
    assert statement["status"] == "affected"
    assert statement["action_statement"]
    assert statement["products"][0]["@id"].endswith(it.env)


def test_nothing_is_said_of_a_vulnerability_nobody_named(it: Graftable, tmp_path: Path) -> None:
    standing = _grafted(it, tmp_path, "because")
    with pytest.raises(UsageError, match="give --vulnerability"):
        vex_document([standing], it.store.store_dir, author="me", now=0)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("openssl-3.0.20", "pkg:nix/openssl@3.0.20"),
        ("libstdc++-13.2", "pkg:nix/libstdc%2B%2B@13.2"),
        ("source", "pkg:nix/source"),
    ],
)
def test_package_urls_have_name_and_version(name: str, url: str) -> None:
    assert package_url(StorePath(f"{'0' * 32}-{name}")) == url


def test_identifiers_are_found_once() -> None:
    assert vulnerabilities("CVE-2026-1234, CVE-2026-1234; CVE-1") == ["CVE-2026-1234"]
    assert vulnerabilities(None) == []
