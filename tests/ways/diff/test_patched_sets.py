"""A base set of real programs and a patched one beside it: only what differs is built, the rest is
grafted, and equals the full rebuild. And what is grafted twice equals one graft of both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.debpkgs import equality, smoke
from tests.debpkgs.built import Built, small
from tests.debpkgs.cache import cache_dir
from tests.debpkgs.equality import Status
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

    def graft(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """What a command prints as JSON."""
        url = f"--store=local?store={self.store.store_dir}&state={self.store.state_dir}"
        command = [sys.executable, "-m", "graft", url, *arguments, "--json"]
        done = subprocess.run(command, env=self.store.env, check=False, stdout=subprocess.PIPE)
        assert done.returncode == status
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def expression(self, name: str, choice: Choice) -> Path:
        """The set with other archives, as an expression."""
        plan = plan_root(self.index, "small", choice, cache_dir() / "debs")
        return plan.write(self.directory / name)

    def regraft(self, root: str, replacements: Mapping[str, str]) -> dict[str, Any]:
        """Grafts a root; the result, also under `root`, is kept until the test is over."""
        pairs = [f"--replace={old}={new}" for old, new in replacements.items()]
        link = self.directory / f"kept-{len(os.listdir(self.directory))}"
        document = self.graft("apply", root, *pairs, f"--add-root={link}")
        return document | {"root": document["new_roots"][root]}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    small(variant="zlib")
    built = small()
    index = load_index(index_files())
    with built.checkout() as store:
        yield Sets(built, store, tmp_path_factory.mktemp("sets"), index)


def choices(index: Index) -> dict[str, tuple[Choice, list[str]]]:
    """Patched sets, and the packages that differ in them."""
    openssl, zlib = choose("openssl", index), choose("zlib", index)
    soname = Edit("libssh2-1", b"libssh2.so.1\0", b"libssh2.so.2\0")
    return {
        "openssl": (openssl.new, ["openssl"]),
        "openssl and zlib": (
            Choice(openssl.new.pins, (*openssl.new.edits, *zlib.new.edits)),
            ["openssl", "zlib1g"],
        ),
        "soname": (Choice(openssl.old.pins, (soname,)), ["libssh2"]),
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
    apply = ["apply", sets.built.old_root, "--replacements", str(file)]
    if name == "soname":
        # Debian's programs are not linked again, so they ask both for the name of before.
        error = sets.graft(*apply, status=2)["error"]
        assert {one["reason"] for one in error["breaks"]} == {"other-soname"}
        apply.append("--allow-abi-breaks")
    rewritten = sets.graft(*apply, "--add-root", str(sets.directory / f"{name}-grafted"))
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


def test_openssl_and_then_zlib_is_openssl_and_zlib(sets: Sets, tmp_path: Path) -> None:
    store, root = sets.store, sets.built.old_root
    openssl, zlib = (small(variant=variant).replacements for variant in ("openssl", "zlib"))
    twice = sets.regraft(sets.regraft(root, openssl)["root"], zlib)["root"]
    # openssl's programs use zlib: the OLD of the second graft is what the first has made of it.
    first = sets.regraft(root, zlib)
    assert set(openssl) & set(first["paths"])
    again = {first["paths"].get(old, old): new for old, new in openssl.items()}
    # And the new programs use perl, which uses the old zlib: what was replaced must stay replaced.
    alone = sets.graft("plan", first["root"], *(f"--replace={o}={n}" for o, n in again.items()))
    assert "two-variants" in {warning["kind"] for warning in alone["warnings"]}
    other_way = sets.regraft(first["root"], {**again, **zlib})["root"]
    once = sets.regraft(root, {**openssl, **zlib})["root"]
    news, olds = {*openssl.values(), *zlib.values()}, {*openssl, *zlib}
    for stacked in (twice, other_way):
        closure = store.closure(stacked)
        table = equality.compare(closure, store.closure(once))
        assert {row.status for row in table.rows} == {Status.SHARED, Status.EQUAL}, table.render()
        assert set(zlib.values()) <= set(closure)
        assert not olds.intersection(closure)
        assert news.intersection(closure) == news.intersection(store.closure(once))
    link = tmp_path / "link"
    link.symlink_to(twice)
    assert [result for result in smoke.run(link) if not result.ok] == []
