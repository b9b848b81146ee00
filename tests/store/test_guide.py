"""The guide "add a store" of CONTRIBUTING.md, followed step by step with a toy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.cli import run
from graft.errors import BadStorePathError, BadStoreUrlError
from graft.formats.store_path import StorePath
from graft.store.api import Source
from graft.store.kinds import KINDS, spoken_forms
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.objects import TreeObject
from graft.store.opening import open_local_store, open_store, open_target
from tests.store.conformance import Candidate, Claim, claims_of
from tests.store.test_conformance import Ground
from tests.store.toy import TOY, ToyStore


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """The kind stands in the list, as the guide says."""
    KINDS.append(TOY)
    yield
    KINDS.remove(TOY)


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    """A toy with the two paths that the claims are about."""
    place, toy = tmp_path / "ground", tmp_path / "toy"
    place.mkdir()
    toy.mkdir()
    ground = Ground.at(Location.of_directories(f"{place}/store", f"{place}/state"), place)
    store_dir = ground.location.store_dir
    with LocalStore(location=ground.location) as store:
        for path in ground.infos:
            tree = Path(store.tree(path))
            if tree.is_dir():
                shutil.copytree(tree, toy / path, symlinks=True)
            else:
                shutil.copy(tree, toy / path)
    paths = [
        {
            "path": path,
            "hash": info.nar_hash.hex(),
            "size": info.nar_size,
            "references": sorted(info.references),
        }
        for path, info in ground.infos.items()
    ]
    (toy / "list").write_text(json.dumps({"store_dir": store_dir, "paths": paths}))
    return Candidate(
        open=lambda: open_store(f"toy:{toy}", {}),
        promises=Source,
        low=ground.candidate.low,
        high=ground.candidate.high,
        archives=ground.candidate.archives,
    )


@pytest.mark.parametrize("held", claims_of(Source), ids=lambda held: held.__name__)
def test_the_toy_keeps_what_it_promises(held: Claim, candidate: Candidate, tmp_path: Path) -> None:
    held(candidate, tmp_path)


@pytest.mark.parametrize(
    ("member", "lie", "claim"),
    [
        ("path_infos", lambda it, paths: {path: it._infos[path] for path in paths}, "leaves_out"),
        ("path_infos", lambda it, _: dict(it._infos), "leaves_out"),
        ("valid_paths", lambda _: set(), "valid_paths_are_all"),
        ("resolve", lambda _, argument: StorePath(argument), "is_resolved"),
        ("protect", lambda it, paths: [it._infos[path] for path in paths], "protection"),
        ("store_object", lambda it, _: TreeObject(it._directory), "have_the_bytes"),
        ("is_trusted", False, "not_trusted"),
        ("priority", 0, "not_trusted"),
    ],
)
def test_a_toy_that_lies_is_found_out(
    member: str,
    lie: object,
    claim: str,
    candidate: Candidate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ToyStore, member, lie)
    (held,) = [held for held in claims_of(Source) if claim in held.__name__]
    with pytest.raises((AssertionError, KeyError, BadStorePathError)):
        held(candidate, tmp_path)


def test_the_list_is_all_that_names_the_toy(
    candidate: Candidate, capsys: pytest.CaptureFixture[str]
) -> None:
    with candidate.opened() as store:
        assert isinstance(store, ToyStore)
        assert run(["--store", store.url, "-v", "why", candidate.high, candidate.low]) == 0
        assert candidate.low in capsys.readouterr().out
    assert spoken_forms(KINDS).endswith("s3://BUCKET[/PREFIX] or toy:DIR")
    with pytest.raises(BadStoreUrlError, match="'toy:/x' is a toy, and this needs a store on this"):
        open_local_store("toy:/x", {})
    with pytest.raises(BadStoreUrlError, match="the toy 'toy:/x' can only be read"):
        open_target("toy:/x", {}, store_dir=store.store_dir)
