"""Who is hit, held against plain walks over the whole graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from graft import Closure
from graft.errors import InvalidPathError, UndecidedError, UnknownNameError
from graft.machine.affected import Affected, affected
from graft.machine.processes import Process, Use
from graft.machine.roots import MachineRoots, Root, RootKind
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.api import PathInfo
from graft.store.local import LocalStore
from graft.store.local_store.database import Database
from graft.store.location import Location
from tests.examples import examples
from tests.graftable import Graftable
from tests.plan.graphs import path, paths
from tests.running import add_program, running
from tests.store_objects import add_object, new_store


def register(store: LocalStore, references: Mapping[str, str]) -> None:
    """Has labels refer to labels, as in `tests.plan.graphs`; without any files."""
    labels = sorted({*references, *(one for text in references.values() for one in text.split())})
    infos = [
        PathInfo(
            path=path(label),
            nar_hash=bytes(32),
            nar_size=1 + at,
            references=frozenset(paths(references.get(label, ""))),
        )
        for at, label in enumerate(labels)
    ]
    location = store.location
    with closing(Database(location.database_dir, location.store_dir, writable=True)) as database:
        database.register(infos)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    location = Location.at_root(str(tmp_path / "machine"))
    LocalStore.create(location)
    with LocalStore(location=location) as made:
        yield made


def link(label: str, kind: RootKind = "link", *, current: bool = True) -> Root:
    return Root(kind=kind, place=f"/{kind}/{label}", paths=(path(label),), current=current)


def process(pid: int, uses: Mapping[str, Iterable[Use]]) -> Root:
    held = {path(label): frozenset(ways) for label, ways in uses.items()}
    known = Process(pid=pid, program="p", user="u", unit=None, uses=held)
    return Root(kind="process", place=f"/proc/{pid}", paths=tuple(sorted(held)), process=known)


WEB = {"web-1": "app-1 ssl-1.0", "app-1": "curl-1 ssl-1.1", "curl-1": "ssl-1.0", "ssl-1.0": "c-1"}


@pytest.fixture
def web(store: LocalStore) -> LocalStore:
    register(store, {**WEB, "apart-1": "c-1", "ssl-1.0.drv": "", "old-1": "app-1"})
    return store


def ask(store: LocalStore, roots: Iterable[Root], *words: str) -> Affected:
    """Who is hit by paths or packages."""
    return affected(store, *words, machine=MachineRoots(roots=tuple(roots)))


def test_a_root_is_hit_by_a_shortest_chain_and_tells_all_it_reaches(web: LocalStore) -> None:
    answer = ask(web, [link("web-1"), link("app-1"), link("apart-1"), link("ssl-1.0")], "ssl")
    assert {hit.root.place: hit.chain for hit in answer.hits} == {
        "/link/web-1": tuple(paths("web-1 ssl-1.0")),
        "/link/app-1": tuple(paths("app-1 ssl-1.1")),
        "/link/ssl-1.0": (path("ssl-1.0"),),
    }
    both = frozenset(paths("ssl-1.0 ssl-1.1"))
    assert [hit.reaches for hit in answer.hits if hit.root.place != "/link/ssl-1.0"] == [both] * 2
    assert answer.asked == both


def test_versions_that_are_not_asked_for_hit_nobody(web: LocalStore) -> None:
    answer = ask(web, [link("web-1"), link("app-1")], "ssl<1.1")
    assert answer.asked == {path("ssl-1.0")}
    assert {hit.chain for hit in answer.hits} == {
        tuple(paths("web-1 ssl-1.0")),
        tuple(paths("app-1 curl-1 ssl-1.0")),
    }
    assert ask(web, [link("web-1")], "ssl<1.0").hits == ()


def test_a_name_or_path_that_is_not_there_is_no_answer(web: LocalStore) -> None:
    with pytest.raises(UnknownNameError, match="no valid path of the store has the name 'none'"):
        ask(web, [link("web-1")], "none")
    with pytest.raises(InvalidPathError, match="no process holds it"):
        ask(web, [link("web-1")], path("gone-1"))
    answer = ask(web, [link("web-1")], "ssl<1.0")
    assert (answer.hits, answer.asked) == ((), frozenset())
    assert not answer.is_hit()
    assert (answer.current_cost.paths, answer.current_cost.bytes) == (0, 0)


def test_a_path_without_a_version_is_told_of_and_never_a_no(store: LocalStore) -> None:
    register(store, {"a-1": "ssl ssl-2", "b-1": "ssl-2"})
    answer = ask(store, [link("a-1")], "ssl<2")
    assert answer.hits == ()
    assert answer.selection.unversioned == {path("ssl")}
    with pytest.raises(UndecidedError, match="ssl is in force"):
        answer.is_hit()
    assert not ask(store, [link("b-1"), link("a-1", current=False)], "ssl<2").is_hit()
    assert ask(store, [link("a-1")], "ssl").selection.unversioned == frozenset()


def test_only_a_root_in_force_is_a_hit(web: LocalStore) -> None:
    old = link("web-1", "generation", current=False)
    kept = link("web-1", "original", current=False)
    answer = ask(web, [old, kept], "ssl")
    assert [hit.root for hit in answer.generations] == [old]
    assert [hit.root for hit in answer.originals] == [kept]
    assert not answer.is_hit()
    assert answer.is_hit(generations=True)
    assert not ask(web, [kept], "ssl").is_hit(generations=True)
    for root in (
        link("web-1"),
        link("web-1", "booted-system", current=False),
        process(1, {"web-1": ["exe"]}),
    ):
        assert ask(web, [old, root], "ssl").is_hit()


def test_what_matters_most_comes_first(web: LocalStore) -> None:
    def generation(number: int, *, current: bool = False) -> Root:
        return Root(
            kind="generation",
            place=f"/p-{number}-link",
            paths=(path("web-1"),),
            current=current,
            profile="/p",
            number=number,
        )

    ordered = [
        process(3, {"ssl-1.0": ["maps"]}),
        process(1, {"web-1": ["exe"]}),
        process(2, {"ssl-1.0": ["environ"]}),
        link("web-1", "current-system"),
        link("web-1", "booted-system", current=False),
        generation(9, current=True),
        link("web-1"),
        generation(10),
        generation(8),
        link("web-1", "original", current=False),
    ]
    answer = ask(web, ordered[::-1], "ssl")
    assert [hit.root for hit in answer.hits] == ordered
    assert [hit.runs_it for hit in answer.hits] == [True] + [False] * 9


def test_among_equals_profiles_go_by_name_and_links_before_other_roots(web: LocalStore) -> None:
    def generation(profile: str, number: int) -> Root:
        return replace(link("web-1", "generation"), profile=profile, number=number)

    ordered = [
        generation("/a", 1),
        generation("/b", 9),
        generation("/b", 2),
        link("web-1"),
        Root(kind="temporary", place="/a", paths=(path("web-1"),)),
        replace(link("app-1", "container"), current=False),
    ]
    assert [hit.root for hit in ask(web, ordered[::-1], "ssl").hits] == ordered


def test_a_process_is_told_by_what_it_runs(web: LocalStore) -> None:
    held: dict[str, list[Use]] = {"web-1": ["cwd"], "curl-1": ["exe"], "apart-1": ["maps"]}
    (hit,) = ask(web, [process(1, held)], "ssl<1.1").hits
    assert hit.chain == tuple(paths("curl-1 ssl-1.0"))
    assert hit.uses == {"exe"}
    assert not hit.runs_it


def test_a_process_that_runs_what_was_deleted_is_hit(web: LocalStore) -> None:
    (hit,) = ask(web, [process(1, {"ssl-0.9": ["maps"]}), link("web-1")], "ssl<1.0").hits
    assert (hit.chain, hit.runs_it) == ((path("ssl-0.9"),), True)
    (hit,) = ask(web, [process(1, {"ssl-0.9": ["maps"]}), link("web-1")], path("ssl-0.9")).hits
    assert hit.runs_it


def test_the_cost_is_what_leads_there_from_roots_in_force(web: LocalStore) -> None:
    answer = ask(
        web,
        [link("app-1"), link("old-1", current=False), process(1, {"web-1": ["exe"]})],
        "ssl<1.1",
    )
    assert (answer.current_cost.roots, answer.current_cost.paths) == (1, 2)
    assert (answer.whole_cost.roots, answer.whole_cost.paths) == (2, 3)
    sizes = web.nar_sizes(paths("app-1 curl-1"))
    assert len(sizes) == 2
    assert answer.current_cost.bytes == sum(sizes.values())
    assert not answer.planned


@dataclass(frozen=True)
class Case:
    """A graph of its own in a store that all examples share: making one takes longer than all."""

    references: dict[str, str]
    roots: list[str]
    asked: list[str]


_EXAMPLES = count()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    example = next(_EXAMPLES)
    labels = [f"e{example}-p{number}-1" for number in range(10)]
    references = {
        label: " ".join(sorted(draw(st.sets(st.sampled_from(labels[: at + 1]), max_size=3))))
        for at, label in enumerate(labels)
    }
    some = st.lists(st.sampled_from(labels), min_size=1, max_size=4, unique=True)
    return Case(references, draw(some), draw(some))


_SHARED = examples(0.6, [HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@_SHARED
@given(case=cases())
def test_every_answer_is_that_of_a_walk_from_each_root(store: LocalStore, case: Case) -> None:
    register(store, case.references)
    answer = ask(store, map(link, case.roots), *map(path, case.asked))
    hits = {hit.root.place: hit for hit in answer.hits}
    closure = Closure.of(store, paths(" ".join(case.references)))
    for root in case.roots:
        reached = closure.requisites([path(root)]) & set(map(path, case.asked))
        hit = hits.pop(f"/link/{root}", None)
        assert (hit is not None) == bool(reached)
        if hit is not None:
            assert hit.reaches == reached
            chains = [
                chain for one in reached for chain in closure.chains(path(root), one, every=False)
            ]
            shortest = min(map(len, chains))
            assert list(hit.chain) == min(chain for chain in chains if len(chain) == shortest)
    assert hits == {}


@_SHARED
@given(case=cases())
def test_the_count_of_dependents_is_what_a_plan_would_rewrite(
    store: LocalStore, case: Case
) -> None:
    pairs = [(path(label), path(f"new-{label}")) for label in case.asked]
    register(store, {**case.references, **{f"new-{label}": "" for label in case.asked}})
    machine = MachineRoots(roots=tuple(map(link, case.roots)))
    counted = affected(store, *(old for old, _ in pairs), machine=machine)
    planned = affected(store, machine=machine, replacements=pairs)
    assert planned.hits == counted.hits
    assert planned.planned == bool(planned.hits)
    assert planned.current_cost == counted.current_cost
    if counted.hits:
        plan = make_plan(store, Graft.of({hit.root.paths[0] for hit in counted.hits}, pairs))
        assert counted.current_cost.paths == len(plan.rewrites)


def test_a_running_program_is_hit_by_what_its_path_refers_to(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    it = Graftable.build(store)
    program = add_program(store, "sleeper-1.0", [it.app])
    store.add_root(str(tmp_path / "unaffected"), add_object(store, "other-1", b""))
    with running(f"{store.store_dir.path(program)}/bin/sleep") as pid:
        answer = affected(store, "lib<1.1")
        (hit,) = answer.hits
        assert hit.root.place == f"/proc/{pid}"
        assert hit.chain == (program, it.app, it.old)
        assert hit.uses == {"exe", "maps"}
        assert not hit.runs_it
        (hit,) = affected(store, program).hits
        assert hit.runs_it
