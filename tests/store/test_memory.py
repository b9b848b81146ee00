"""Stores in memory, made of the texts Nix writes of a store: planned over like the store itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graft.errors import BadFormatError
from graft.formats.derivations.references_graph import GraphNode
from graft.formats.store_path import StorePath
from graft.plan import Plan, plan_document
from graft.plan.closure import Closure
from graft.store.api import PathInfo, Store
from graft.store.local import LocalStore
from graft.store.memory import MemoryStore
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.registrations import print_graph, print_registrations
from tests.store_objects import add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _plan(it: Graftable, store: Store) -> dict[str, Any]:
    closure = Closure.of(store, [it.env, it.old, it.new])
    return plan_document(Plan.of(closure, [(it.old, it.new)], roots=[it.env]))


def _dump(store: LocalStore) -> str:
    infos = store.path_infos(store.valid_paths()).values()
    return print_registrations(infos, store.store_dir)


def test_the_plan_over_what_a_store_has_registered_is_that_over_the_store(it: Graftable) -> None:
    infos = it.store.path_infos(it.store.valid_paths())
    memory = MemoryStore(it.store.store_dir, infos.values())
    assert memory.store_dir == it.store.store_dir
    assert memory.valid_paths() == it.store.valid_paths()
    assert memory.path_infos(infos) == infos
    assert _plan(it, memory) == _plan(it, it.store)


@pytest.mark.nix
def test_the_dump_is_the_one_of_nix(it: Graftable, tmp_path: Path) -> None:
    add_object(it.store, "made-1", b"", deriver=StorePath(f"{it.old.hash_part}-gone.drv"))
    assert RealNix(it.store.location, tmp_path).run("nix-store", "--dump-db") == _dump(it.store)


@pytest.mark.nix
def test_the_plan_over_an_exported_graph_is_that_over_its_store(
    it: Graftable, tmp_path: Path
) -> None:
    root = add_object(it.store, "both-1", {}, [it.env, it.new])
    nix = RealNix(it.store.location, tmp_path)
    expression = tmp_path / "graph.nix"
    expression.write_text(
        "derivation {\n"
        '  name = "graph"; system = builtins.currentSystem; builder = "/bin/sh";\n'
        '  args = [ "-c" "while read -r line; do echo \\"$line\\"; done < graph > $out" ];\n'
        f'  exportReferencesGraph = [ "graph" (builtins.storePath "{it.tree(root)}") ];\n'
        "}\n"
    )
    built = nix.run("nix-build", "--no-out-link", str(expression)).strip()
    text = Path(built).read_text()
    memory = MemoryStore.of_references_graph(text, it.store.store_dir)
    closure = Closure.of(it.store, [root])
    assert memory.valid_paths() == closure.infos.keys()
    assert {path: info.references for path, info in closure.infos.items()} == {
        path: info.references for path, info in memory.path_infos(closure.infos).items()
    }
    ours, theirs = _plan(it, memory), _plan(it, it.store)
    for document in (ours, theirs):
        del document["bytes_at_most"]  # no sizes are exported
        for rewrite in document["rewrites"]:
            del rewrite["nar_size"]
    assert ours == theirs
    # And the text itself: paths and references in Nix's order, no derivers.
    nodes = [
        GraphNode(path=path, references=tuple(sorted(closure.infos[path].references)))
        for path in sorted(closure.infos)
    ]
    assert print_graph(nodes, it.store.store_dir) == text


def test_texts_that_share_paths_may_stand_behind_each_other(it: Graftable) -> None:
    text = print_graph([GraphNode(path=it.data), GraphNode(path=it.old)], it.store.store_dir)
    memory = MemoryStore.of_references_graph(text + text, it.store.store_dir)
    assert memory.valid_paths() == {it.data, it.old}
    infos = memory.path_infos([it.data, it.env])
    assert infos == {it.data: PathInfo(path=it.data, nar_hash=bytes(32), nar_size=0)}


def test_two_words_on_one_path_are_an_error(it: Graftable) -> None:
    path = GraphNode(path=it.data)
    other = GraphNode(path=it.data, references=(it.old,))
    text = print_graph([path, other], it.store.store_dir)
    with pytest.raises(BadFormatError, match="twice"):
        MemoryStore.of_references_graph(text, it.store.store_dir)
