"""The public names of graft: seen by dir and help, and called with texts."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

import graft
from graft.errors import BadStorePathError, InvalidPathError, UnknownNameError
from graft.plan.making import make_plan
from graft.plan.request import Graft
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def test_dir_and_help_show_every_public_name() -> None:
    assert set(graft.__all__) <= set(dir(graft))
    shown = pydoc.plain(pydoc.render_doc(graft))
    for name in graft.__all__:
        assert name in shown
    assert "Replaces dependencies deep in the closures" in shown


def test_dir_loads_nothing() -> None:
    program = "import graft, sys; dir(graft); print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"False\n"


def test_texts_do_where_store_paths_do(it: Graftable, tmp_path: Path) -> None:
    full = it.store.store_dir.path
    (tmp_path / "env").symlink_to(full(it.env))
    by_path = graft.apply(it.store, [it.env], {it.old: it.new}).plan
    for root in (full(it.env), str(it.env), str(tmp_path / "env")):
        plan = graft.apply(it.store, [root], {full(it.old): full(it.new)}).plan
        assert (plan.new_roots, plan.moved) == (by_path.new_roots, by_path.moved)
    closure = graft.Closure.of(it.store, [full(it.env), str(it.new)])
    assert closure.infos == graft.Closure.of(it.store, [it.env, it.new]).infos
    plan = graft.Plan.of(closure, {full(it.old): full(it.new)}, roots=[full(it.env)])
    assert plan.new_roots == by_path.new_roots
    cut = graft.Plan.of(
        closure, [(full(it.old), full(it.new))], roots=[full(it.env)], cutoffs=[full(it.app)]
    )
    assert cut.cutoffs == {it.app}
    it.store.add_root(str(tmp_path / "link"), full(it.env))
    assert it.store.roots()[str(tmp_path / "link")] == it.env
    it.store.switch_profile(str(tmp_path / "profile"), full(it.env))
    it.store.protect([full(it.env)])
    assert it.store.path_infos([full(it.env)]).keys() == {it.env}
    for call in (
        lambda: graft.apply(it.store, ["nothing"], {it.old: it.new}),
        lambda: graft.Closure.of(it.store, ["nothing"]),
        lambda: it.store.add_root(str(tmp_path / "bad"), "nothing"),
    ):
        with pytest.raises(BadStorePathError):
            call()


def test_why_scan_affected_and_compare_answer(it: Graftable, tmp_path: Path) -> None:
    full = it.store.store_dir.path
    assert graft.why(it.store, full(it.env), it.old) == [(it.env, it.app, it.old)]
    assert graft.why(it.store, it.data, it.old) == []
    with pytest.raises(InvalidPathError):
        graft.why(it.store, it.env, "0" * 32 + "-none")
    both = add_object(it.store, "both-1", {"a": full(it.old), "b": full(it.app)}, [it.old, it.app])
    chains = graft.why(it.store, both, it.old, every=True)
    assert set(chains) == {(both, it.old), (both, it.app, it.old)}
    found = graft.scan(it.store, [full(it.app)], wanted=[full(it.old)])
    files = {place.file for place in found[it.app].places}
    assert files == {b"bin/run", b"lib"}
    assert {place.hash_part for place in graft.scan(it.store, [it.app])[it.app].places} == {
        it.old.hash_part,
        it.app.hash_part,
    }
    it.store.add_root(str(tmp_path / "result"), it.env)
    answer = graft.affected(it.store, "lib<1.1")
    assert answer.is_hit()
    assert [hit.chain for hit in answer.in_force] == [(it.env, it.app, it.old)]
    with pytest.raises(UnknownNameError):
        graft.affected(it.store, "lbi")
    plan = make_plan(it.store, Graft.of([it.env], [(it.old, it.new)]))
    assert {way.name for way in graft.compare(it.store, plan).ways} >= {"graft", "mount"}


def test_a_closure_is_a_graph_of_networkx(it: Graftable) -> None:
    full = it.store.store_dir.path
    closure = graft.Closure.of(it.store, [it.env])
    made = closure.to_networkx()
    assert set(made) == set(map(full, closure.infos))
    assert made.nodes[full(it.old)] == {
        "name": "lib-1.0",
        "package": "lib",
        "nar_size": closure.infos[it.old].nar_size,
    }
    assert nx.shortest_path(made, full(it.env), full(it.old)) == [
        full(it.env),
        full(it.app),
        full(it.old),
    ]
    assert nx.is_directed_acyclic_graph(made)
    hidden = graft.Closure(
        closure.store_dir, closure.infos, {it.data: frozenset([it.old])}
    ).to_networkx()
    assert hidden.edges[full(it.data), full(it.old)] == {"hidden": True}
    assert hidden.edges[full(it.env), full(it.app)] == {"hidden": False}
