"""A base set of real programs and a patched one beside it: only what differs is built, the rest is
grafted, and equals the full rebuild.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.debpkgs import equality
from tests.debpkgs.built import Built, small
from tests.debpkgs.cache import cache_dir
from tests.debpkgs.index import Index, index_files, load_index
from tests.debpkgs.replacement import Edit
from tests.debpkgs.roots import plan_root
from tests.debpkgs.store import PrivateStore
from tests.debpkgs.variants import Choice, choose
from tests.debpkgs_graft import MARKS

pytestmark = [*MARKS, pytest.mark.slow]


@dataclass(frozen=True)
class Sets:
    """The small set in a checked-out store, and its patched sets."""

    built: Built
    store: PrivateStore
    directory: Path
    index: Index

    def graft(self, *arguments: str) -> dict[str, Any]:
        """What a command prints as JSON."""
        url = f"--store=local?store={self.store.store_dir}&state={self.store.state_dir}"
        command = [sys.executable, "-m", "graft", url, *arguments, "--json"]
        done = subprocess.run(command, env=self.store.env, check=True, stdout=subprocess.PIPE)
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def expression(self, name: str, choice: Choice) -> Path:
        """The set with other archives, as an expression."""
        plan = plan_root(self.index, "small", choice, cache_dir() / "debs")
        return plan.write(self.directory / name)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    built = small()
    index = load_index(index_files())
    with built.checkout() as store:
        yield Sets(built, store, tmp_path_factory.mktemp("sets"), index)


def choices(index: Index) -> dict[str, tuple[Choice, list[str]]]:
    """Patched sets, and the packages that differ in them."""
    openssl, zlib = choose("openssl", index), choose("zlib", index)
    soname = Edit("zlib1g", b"libz.so.1\0", b"libz.so.2\0")
    return {
        "openssl": (openssl.new, ["openssl"]),
        "openssl and zlib": (
            Choice(openssl.new.pins, zlib.new.edits),
            ["openssl", "zlib1g"],
        ),
        "soname": (Choice(openssl.old.pins, (soname,)), ["zlib1g"]),
    }


@pytest.mark.parametrize("name", ["openssl", "openssl and zlib", "soname"])
def test_only_what_differs_is_built_and_the_rest_is_grafted(sets: Sets, name: str) -> None:
    choice, expected = choices(sets.index)[name]
    base = sets.expression("base", choose("openssl", sets.index).old)
    patched = sets.expression(name.replace(" ", "-"), choice)
    file = sets.directory / f"{name}.json"
    difference = sets.graft("diff", str(base), str(patched), "-A", "root", "-o", str(file))
    assert json.loads(file.read_text()) == difference
    itself = [one for one in difference["packages"] if not one["needed"]]
    assert [one["name"].partition("-")[0] for one in itself] == expected
    assert difference["added"] == difference["removed"] == difference["doubtful"] == []

    store = sets.store
    news = [one["new_derivation"] for one in itself]
    store.run("nix-store", "--realise", *news)
    rewritten = sets.graft(
        *("apply", sets.built.old_root, "--replacements", str(file), "--allow-abi-breaks"),
        *("--add-root", str(sets.directory / f"{name}-grafted")),
    )
    new_root = rewritten["new_roots"][sets.built.old_root]
    rebuilt = store.build(patched, "root")
    table = equality.compare(
        store.closure(new_root),
        store.closure(rebuilt),
        rewritten["paths"],
        difference["replacements"],
    )
    assert table.unexpected == [], table.render()
    assert set(difference["replacements"].values()) <= set(store.closure(new_root))
