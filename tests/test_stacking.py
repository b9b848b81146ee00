"""A fix that comes after a fix: a graft of a graft is one graft of both, but for the hashes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.debpkgs import equality, smoke
from tests.debpkgs.built import small
from tests.debpkgs.equality import Status
from tests.debpkgs.store import PrivateStore
from tests.debpkgs_graft import MARKS
from tests.derivations import Nix

pytestmark = [*MARKS, pytest.mark.slow]

Graft = Callable[[str, Mapping[str, str]], dict[str, Any]]


@pytest.fixture
def store() -> Iterator[PrivateStore]:
    for variant in ("openssl", "zlib"):
        built = small(variant=variant)
    with built.checkout() as store:
        yield store


@pytest.fixture
def graft(store: PrivateStore, tmp_path: Path) -> Graft:
    """Grafts a root; the result is kept until the test is over."""
    url = f"--store=local?store={store.store_dir}&state={store.state_dir}"

    def run(root: str, replacements: Mapping[str, str]) -> dict[str, Any]:
        link = tmp_path / str(len(list(tmp_path.iterdir())))
        pairs = [f"--replace={old}={new}" for old, new in replacements.items()]
        command = [sys.executable, "-m", "graft", url, "apply", root, *pairs]
        command += ["--add-root", str(link), "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        document = json.loads(done.stdout)
        document["root"] = document["new_roots"][root]
        assert isinstance(document, dict)
        return document

    return run


def test_openssl_and_then_zlib_is_openssl_and_zlib(
    store: PrivateStore, graft: Graft, tmp_path: Path
) -> None:
    openssl, zlib = (small(variant=variant).replacements for variant in ("openssl", "zlib"))
    root = small().old_root
    twice = graft(graft(root, openssl)["root"], zlib)["root"]
    # openssl's programs use zlib: the OLD of the second graft is what the first has made of it.
    first = graft(root, zlib)
    assert set(openssl) & set(first["paths"])
    again = {first["paths"].get(old, old): new for old, new in openssl.items()}
    # And the new programs use perl, which uses the old zlib: what was replaced must stay replaced.
    alone = graft(first["root"], again)
    assert set(zlib) <= set(store.closure(alone["root"]))
    assert "two-variants" in {warning["kind"] for warning in alone["warnings"]}
    other_way = graft(first["root"], {**again, **zlib})["root"]
    once = graft(root, {**openssl, **zlib})["root"]
    for stacked in (twice, other_way):
        table = equality.compare(store.closure(stacked), store.closure(once))
        assert {row.status for row in table.rows} == {Status.SHARED, Status.EQUAL}, table.render()
    news = {*openssl.values(), *zlib.values()}
    olds = {*openssl, *zlib}
    for closure in (store.closure(twice), store.closure(other_way)):
        assert set(zlib.values()) <= set(closure)
        assert not olds.intersection(closure)
        assert news.intersection(closure) == news.intersection(store.closure(once))
    link = tmp_path / "link"
    link.symlink_to(twice)
    assert [result for result in smoke.run(link) if not result.ok] == []


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
