"""A closure of real programs grafted from one binary cache into another, and taken by real Nix."""

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

from tests.debpkgs import smoke
from tests.debpkgs.built import Built, small
from tests.debpkgs.store import NixError, PrivateStore
from tests.debpkgs_graft import MARKS
from tests.nix_answers import path_infos
from tests.serving import serving

pytestmark = [*MARKS]

_MOST_MEMORY = 200 << 20  # bytes, whatever is grafted

# The command, and behind all it says its memory at the peak in KiB: that which getrusage(2) tells
# of a child is at least its parent's.
_RUN = """
import sys
from graft.cli import run
status = run(sys.argv[1:])
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=sys.stderr)
sys.exit(status)
"""


@dataclass(frozen=True)
class Caches:
    """Where the closure was before, and where it went."""

    built: Built
    store: PrivateStore
    source: Path
    target: Path
    public_key: str
    document: Mapping[str, Any]
    memory: int
    """The most that the command has had in memory, in bytes."""

    @property
    def new_root(self) -> str:
        root = self.document["new_roots"][self.built.old_root]
        assert isinstance(root, str)
        return root

    @property
    def made(self) -> list[str]:
        """What only the graft has made."""
        news = set(self.built.replacements.values())
        return sorted(set(self.document["paths"].values()) - news)


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caches]:
    built = small()
    directory = tmp_path_factory.mktemp("caches")
    source, target = directory / "source", directory / "target"
    secret, public = directory / "secret", directory / "public"
    with built.checkout() as store:
        store.run("nix-store", "--generate-binary-cache-key", "tests-1", str(secret), str(public))
        news = built.replacements.values()
        url = f"file://{source}?compression=zstd&secret-key={secret}"
        store.run("nix", "copy", "--to", url, built.old_root, *news)
        command = [sys.executable, "-c", _RUN, f"--store=file://{source}", "apply", "--json"]
        command += [f"--to=file://{target}", f"--sign-key={secret}", built.old_root]
        command += [f"--trusted-public-keys={public.read_text()}"]
        command += [f"--replace={old}={new}" for old, new in built.replacements.items()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        yield Caches(
            built=built,
            store=store,
            source=source,
            target=target,
            public_key=public.read_text(),
            document=json.loads(done.stdout),
            memory=int(done.stderr.split()[-1]) * 1024,
        )


def _forget(caches: Caches) -> None:
    """Lets the store be without what the graft has made."""
    valid = [path for path in caches.made if os.path.lexists(path)]
    if valid:
        caches.store.run("nix-store", "--delete", *valid)


def _check(caches: Caches) -> None:
    """Makes sure that the new root is in the store, whole, and that its programs run."""
    caches.store.run("nix-store", "--verify", "--check-contents")
    results = smoke.run(caches.new_root)
    assert [result for result in results if not result.ok] == []
    if caches.built.variant.how == "apt":
        new = caches.built.variant.new_version.split("-")[0]
        lines = {result.name: result.line for result in results}
        assert all(new in lines[name] for name in ("openssl", "curl", "python")), lines


def test_the_result_is_proven_in_the_cache_itself(caches: Caches) -> None:
    proof = caches.document["proof"]
    assert (proof["residual"], proof["problems"]) == ([], [])
    assert proof["paths"] == len(list(caches.target.glob("*.narinfo")))
    assert caches.document["rewritten_paths"] == len(caches.made)
    assert caches.memory < _MOST_MEMORY


def test_nix_copies_the_result_out_of_the_cache(caches: Caches) -> None:
    _forget(caches)
    key = f"--option trusted-public-keys {caches.public_key}".split()
    caches.store.run("nix", "copy", *key, "--from", f"file://{caches.target}", caches.new_root)
    caches.store.run("nix", "store", "verify", "--sigs-needed", "1", *key, *caches.made)
    _check(caches)


def test_nix_substitutes_the_result_from_a_server(caches: Caches) -> None:
    _forget(caches)
    with serving(caches.target) as server:
        options = f"--option substituters {server.url} --option trusted-public-keys".split()
        with pytest.raises(NixError):
            caches.store.run("nix-store", "-r", *options, "", caches.new_root)
        assert not os.path.lexists(caches.new_root)
        caches.store.run("nix-store", "-r", *options, caches.public_key, caches.new_root)
    _check(caches)


def test_nix_reads_the_same_of_the_cache_as_of_the_store(caches: Caches) -> None:
    url = f"file://{caches.target}"
    infos = path_infos(
        caches.store.run("nix", "path-info", "--json", "-r", "--store", url, caches.new_root)
    )
    caches.store.run("nix", "copy", "--no-check-sigs", "--from", url, caches.new_root)
    there = {info["path"]: info for info in infos}
    here = path_infos(caches.store.run("nix", "path-info", "--json", "-r", caches.new_root))
    assert {info["path"] for info in here} == there.keys()
    for info in here:
        found = there[info["path"]]
        assert (info["narHash"], info["narSize"]) == (found["narHash"], found["narSize"])
        assert sorted(info["references"]) == sorted(found["references"])
    caches.store.run("nix", "store", "verify", "--store", url, "--no-trust", "-r", caches.new_root)


def test_the_store_grafted_in_place_has_the_same_paths(caches: Caches, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "graft", "apply", caches.built.old_root, "--json"]
    command += [f"--store=local?store={caches.store.store_dir}&state={caches.store.state_dir}"]
    command += [f"--replace={old}={new}" for old, new in caches.built.replacements.items()]
    local = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert json.loads(local.stdout)["paths"] == caches.document["paths"]
    again = tmp_path / "again"
    subprocess.run([*command, f"--to=file://{again}"], stdout=subprocess.PIPE, check=True)
    for path in caches.made:
        name = f"{os.path.basename(path)[:32]}.narinfo"
        ours = (caches.target / name).read_text().splitlines()
        theirs = (again / name).read_text().splitlines()
        assert [line for line in ours if not line.startswith("Sig: ")] == theirs
