"""The reference graph: what leads to what, and how."""

from __future__ import annotations

import pytest

from graft.errors import InvalidPathError
from graft.plan.closure import Closure
from graft.store.api import PathInfo
from tests.plan.graphs import path, paths, store_of

WEB = {
    "root": "root b a",
    "a": "d x",
    "b": "c",
    "c": "d low",
    "d": "low",
    "x": "d",
    "low": "low",
    "apart": "low",
}


def web(roots: str = "root apart") -> Closure:
    return Closure.of(store_of(WEB), paths(roots))


def test_a_closure_is_the_paths_and_all_they_lead_to() -> None:
    assert web("c").infos.keys() == set(paths("c d low"))
    assert len(web("c x")) == 4
    assert path("c") in web("c")
    assert path("b") not in web("c")


def test_a_closure_of_nothing_is_empty() -> None:
    assert len(web("")) == 0


def test_a_closure_knows_what_is_registered() -> None:
    closure = Closure.of(store_of({"a": "b"}, sizes={"a": 17}, derivers={"a": "a.drv"}), paths("a"))
    info = closure.infos[path("a")]
    assert (info.nar_size, info.deriver) == (17, path("a.drv"))
    assert path("a.drv") not in closure


def test_references_leave_out_the_path_itself() -> None:
    assert web().references(path("root")) == set(paths("a b"))
    assert web().references(path("low")) == frozenset()


def test_hidden_references_are_edges_and_stay_apart_from_the_registered_ones() -> None:
    plain = web()
    hidden = {path("apart"): frozenset(paths("x apart")), path("low"): frozenset[str]()}
    closure = Closure(plain.store_dir, plain.infos, hidden)  # type: ignore[arg-type]
    assert closure.references(path("apart")) == set(paths("low x"))
    assert closure.infos[path("apart")].references == set(paths("low"))
    assert closure.hidden.keys() == {path("apart")}
    assert list(closure.chains(path("apart"), path("d"), every=False)) == [paths("apart x d")]


def test_requisites_are_the_roots_and_all_they_lead_to() -> None:
    assert web().requisites(paths("c")) == set(paths("c d low"))
    assert web().requisites(paths("c x")) == set(paths("c d low x"))
    assert web().requisites([]) == set()


def test_a_path_that_is_not_valid_is_an_error_that_names_path_and_store() -> None:
    with pytest.raises(InvalidPathError) as caught:
        Closure.of(store_of({"a": ""}), paths("a gone"))
    assert caught.value.fields == {"path": f"/nix/store/{path('gone')}", "store": "memory"}
    assert f"'/nix/store/{path('gone')}' is not valid" in caught.value.message


def test_a_reference_that_is_not_valid_is_an_error_as_well() -> None:
    store = store_of({"a": "b"})
    store.add(
        PathInfo(path=path("b"), nar_hash=bytes(32), nar_size=0, references=frozenset(paths("z y")))
    )
    with pytest.raises(InvalidPathError) as caught:
        Closure.of(store, paths("a"))
    assert caught.value.fields["path"] == f"/nix/store/{min(paths('z y'))}"


def test_a_shortest_chain_goes_from_root_to_path() -> None:
    assert list(web().chains(path("root"), path("d"), every=False)) == [paths("root a d")]
    assert list(web().chains(path("b"), path("c"), every=False)) == [paths("b c")]


def test_of_several_shortest_chains_it_is_the_first_by_name() -> None:
    chains = [paths("root a d low"), paths("root b c low")]
    assert list(web().chains(path("root"), path("low"), every=False)) == [min(chains)]
    middle = sorted(paths("m n o p q"))
    references = {"top": "m n o p q"} | dict.fromkeys("mnopq", "end")
    for names in (references, dict(reversed(references.items()))):
        closure = Closure.of(store_of(names), paths("top"))
        (chain,) = closure.chains(path("top"), path("end"), every=False)
        assert chain == [path("top"), middle[0], path("end")]


def test_all_chains_are_each_found_once() -> None:
    assert sorted(web().chains(path("root"), path("low"), every=True)) == sorted(
        [
            paths("root a d low"),
            paths("root a x d low"),
            paths("root b c low"),
            paths("root b c d low"),
        ]
    )


@pytest.mark.parametrize("every", [False, True])
def test_a_path_leads_to_itself(*, every: bool) -> None:
    assert list(web().chains(path("a"), path("a"), every=every)) == [[path("a")]]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("target", ["b", "apart", "nowhere"])
def test_no_chain_leads_to_what_is_not_below(target: str, *, every: bool) -> None:
    assert list(web().chains(path("c"), path(target), every=every)) == []


def test_chains_through_hidden_references_that_make_a_circle_end() -> None:
    plain = web()
    closure = Closure(plain.store_dir, plain.infos, {path("low"): frozenset({path("c")})})
    assert sorted(closure.chains(path("c"), path("low"), every=True)) == sorted(
        [paths("c low"), paths("c d low")]
    )
    assert list(closure.chains(path("c"), path("b"), every=False)) == []
