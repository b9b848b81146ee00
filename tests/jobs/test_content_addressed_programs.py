"""A closure of real programs grafted into content-addressed paths, held against the real Nix."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.debpkgs import smoke
from tests.debpkgs.built import Built, small
from tests.debpkgs.store import NixError, PrivateStore
from tests.debpkgs_graft import MARKS, apply_arguments
from tests.nix_answers import content_addressed, path_infos

pytestmark = [*MARKS]

# What a careful receiver has in its nix.conf: only signed paths, and nobody's signature.
_CAREFUL = ("--option", "require-sigs", "true", "--option", "trusted-public-keys", "")


@dataclass(frozen=True)
class Grafted:
    """The small set with its fix, in paths named after their contents."""

    built: Built
    store: PrivateStore
    link: Path
    document: Mapping[str, Any]

    @property
    def new_root(self) -> str:
        root = self.document["new_roots"][self.built.old_root]
        assert isinstance(root, str)
        return root


def _graft(built: Built, store: PrivateStore, *options: str) -> subprocess.Popen[str]:
    arguments = apply_arguments(built, store, "--json", *options)
    command = [sys.executable, "-m", "graft", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _document(process: subprocess.Popen[str]) -> Mapping[str, Any]:
    out, _ = process.communicate()
    assert process.returncode == 0
    document: Mapping[str, Any] = json.loads(out)
    return document


def _temporary(store: PrivateStore) -> list[str]:
    return [name for name in os.listdir(store.store_dir) if name[32:].startswith("-graft")]


@pytest.fixture(scope="module")
def grafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafted]:
    """Killed once in the middle, and begun again."""
    built = small()
    link = tmp_path_factory.mktemp("content") / "patched"
    with built.checkout() as store:
        options = (*content_addressed(), "--add-root", str(link))
        first = _graft(built, store, *options)
        while first.poll() is None and not _temporary(store):
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert first.returncode == -signal.SIGKILL
        assert not link.exists()
        yield Grafted(built, store, link, _document(_graft(built, store, *options)))


def test_what_was_killed_in_the_middle_is_finished_by_the_same_command(grafted: Grafted) -> None:
    proof = grafted.document["proof"]
    assert (proof["residual"], proof["problems"]) == ([], [])
    assert grafted.document["rewritten_paths"] + grafted.document["resumed_paths"] == 81
    assert _temporary(grafted.store) == []
    assert os.path.realpath(grafted.link) == grafted.new_root


def test_the_programs_run(grafted: Grafted) -> None:
    results = smoke.run(grafted.new_root)
    assert [result for result in results if not result.ok] == []


def test_nix_believes_every_path_without_a_signature(grafted: Grafted) -> None:
    grafted.store.run("nix-store", "--verify", "--check-contents")
    everything = path_infos(grafted.store.run("nix", "path-info", "--json", "-r", grafted.new_root))
    assert len(everything) == 81
    for info in everything:
        assert info["ca"].startswith("fixed:r:sha256:")
        assert not info.get("ultimate")
        assert not info.get("signatures")
    grafted.store.run("nix", "store", "verify", "-r", "--sigs-needed", "1", grafted.new_root)


def test_another_store_takes_it_unsigned_and_not_the_input_addressed_one(
    grafted: Grafted, tmp_path: Path
) -> None:
    other = f"local?root={tmp_path / 'other'}"
    copy = ("nix", "copy", *_CAREFUL, "--to", other)
    with pytest.raises(NixError, match=r"lacks a (valid signature|signature by a trusted key)"):
        grafted.store.run(*copy, grafted.built.old_root)
    grafted.store.run(*copy, grafted.new_root)
    grafted.store.run("nix", "store", "verify", "--store", other, "-r", grafted.new_root)


def test_nix_gives_the_input_addressed_graft_the_same_names(grafted: Grafted) -> None:
    """All of them: a path's name depends on those of all it refers to, and each one is asked."""
    given = _document(_graft(grafted.built, grafted.store, "--prove=none"))
    paths = {old: given["paths"].get(old, old) for old in grafted.document["paths"]}
    made = grafted.store.run(
        "nix", "store", "make-content-addressed", "--json", *sorted(set(paths.values()))
    )
    rewrites = json.loads(made)["rewrites"]
    assert grafted.document["paths"] == {old: rewrites[path] for old, path in paths.items()}


def test_a_cache_gets_the_same_paths_and_gives_them_to_who_wants_signatures(
    grafted: Grafted, tmp_path: Path
) -> None:
    cache, other = f"file://{tmp_path / 'cache'}", f"local?root={tmp_path / 'other'}"
    document = _document(
        _graft(grafted.built, grafted.store, *content_addressed(), f"--to={cache}")
    )
    assert document["paths"] == grafted.document["paths"]
    grafted.store.run("nix", "copy", *_CAREFUL, "--from", cache, "--to", other, grafted.new_root)
    grafted.store.run("nix", "store", "verify", "--store", other, "-r", grafted.new_root)
