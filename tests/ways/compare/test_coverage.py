"""Who sees NEW, held against what following every reference says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.store_path import StoreDir, StorePath
from graft.machine.wrappers import wrapped_programs
from graft.plan import Plan
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.ways.compare.coverage import Dependents, statically_linked
from graft.ways.compare.pivoted import Pivoted
from tests.graftable import Graftable
from tests.plan.graphs import path, plan_of, store_of
from tests.store_objects import add_object, named_path, new_store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def chain(store: LocalStore, references: dict[str, str]) -> dict[str, StorePath]:
    """An object for each name, with the names it refers to; old and new beside them."""
    full = store.store_dir.path
    made = {name: add_object(store, f"{name}-1", name.encode()) for name in ("old", "new")}
    for name, below in references.items():
        found = [made[one] for one in below.split()]
        made[name] = add_object(
            store, f"{name}-1", "\n".join(map(full, found)).encode() or name.encode(), found
        )
    return made


def planned(store: LocalStore, made: dict[str, StorePath], *cutoffs: str) -> Plan:
    return make_plan(
        store,
        Graft.of(
            [made["root"]], [(made["old"], made["new"])], cutoffs=[made[name] for name in cutoffs]
        ),
    )


def pivoted(
    store: LocalStore,
    plan: Plan,
    *,
    marked: frozenset[StorePath] = frozenset(),
    unmarked: frozenset[StorePath] = frozenset(),
    asking: frozenset[StorePath] = frozenset(),
) -> Pivoted:
    return Pivoted(
        store=store,
        plan=plan,
        targets={"data": "/data"},
        types={},
        marked=marked,
        unmarked=unmarked,
        variables=("DATA",) if unmarked else (),
        asking=asking,
        setting={},
        secure={},
    )


def test_what_a_cutoff_keeps_does_not_see_new(store: LocalStore) -> None:
    made = chain(store, {"kept": "old", "below": "kept", "other": "old", "root": "below other"})
    plan = planned(store, made, "below")
    missed = Dependents(plan, store).missed_by_graft(None)
    assert missed == {
        made["below"]: "cut off",
        made["kept"]: "only paths that are kept unchanged lead to it",
    }


GRAPHS = st.lists(st.sets(st.integers(0, 6), max_size=3), min_size=7, max_size=7)
CHOSEN = st.sets(st.integers(0, 6))


@given(GRAPHS, CHOSEN, CHOSEN, st.booleans())
def test_pivots_reach_whoever_has_no_way_past_them(
    below: list[set[int]], marked: set[int], asking: set[int], reachable_old: bool
) -> None:
    """Nobody sees OLD from a marked path; from another whoever refers to OLD and does not ask."""
    references = {
        number: {f"n{one}" for one in found if one < number} | ({"old"} if 0 in found else set())
        for number, found in enumerate(below)
    }
    graph = {f"n{number}": " ".join(sorted(found)) for number, found in references.items()}
    graph["root"] = " ".join(f"n{number}" for number in range(7)) + " old"
    plan = plan_of(graph, {"old": "new"})
    memory = store_of({**graph, "new": ""})
    reach = pivoted(
        memory,  # type: ignore[arg-type]
        plan,
        marked=frozenset(path(f"n{number}") for number in marked),
        unmarked=frozenset({path("old")} if reachable_old else ()),
        asking=frozenset(path(f"n{number}") for number in asking),
    )

    def asks(name: str) -> bool:
        if name in {f"n{number}" for number in asking}:
            return True
        return any(asks(one) for one in graph.get(name, "").split())

    def sees_old(name: str) -> bool:
        if name in {f"n{number}" for number in marked} or name not in graph:
            return False
        found = graph[name].split()
        if "old" in found and not (reachable_old and asks(name)):
            return True
        return any(map(sees_old, found))

    missed = Dependents(plan, memory).missed_by_pivot(reach)  # type: ignore[arg-type]
    assert missed.keys() == {path(name) for name in graph if sees_old(name)}


def test_what_was_built_with_a_static_library_may_hold_it(store: LocalStore) -> None:
    library, program, shared = (named_path(f"{n}.drv", store.store_dir) for n in "abc")
    add_object(store, "a.drv", b"a")
    add_object(store, "b.drv", store.store_dir.path(library).encode(), [library])
    add_object(store, "c.drv", store.store_dir.path(library).encode(), [library])
    old = add_object(store, "old-1", {"lib": {"libold.so": b"x"}}, deriver=library)
    static = add_object(
        store, "old-1-static", {"lib": {"libold.a": b"!<arch>\nmember"}}, deriver=library
    )
    itself = add_object(store, "linked-1", b"holds a copy", deriver=program)
    dynamic = add_object(
        store, "dynamic-1", store.store_dir.path(old).encode(), [old], deriver=shared
    )
    members = [old, static, itself, dynamic]
    root = add_object(
        store, "root-1", "\n".join(map(store.store_dir.path, members)).encode(), members
    )
    new = add_object(store, "new-1", b"new")
    plan = make_plan(store, Graft.of([root], [(old, new)]))
    assert statically_linked(store, plan.closure, {old}) == {itself}
    dependents = Dependents(plan, store)
    assert dependents.all == {itself, dynamic, root}
    assert set(dependents.static()) == {itself}
    assert set(dependents.missed_by_graft(None)) == {itself}


def test_an_empty_archive_is_no_static_library(store: LocalStore) -> None:
    library, program = (named_path(f"{n}.drv", store.store_dir) for n in "ab")
    add_object(store, "a.drv", b"a")
    add_object(store, "b.drv", store.store_dir.path(library).encode(), [library])
    old = add_object(store, "old-1", {"lib": {"libdl.a": b"!<arch>\n"}}, deriver=library)
    itself = add_object(store, "linked-1", b"holds nothing", deriver=program)
    members = [old, itself]
    root = add_object(
        store, "root-1", "\n".join(map(store.store_dir.path, members)).encode(), members
    )
    new = add_object(store, "new-1", b"new")
    plan = make_plan(store, Graft.of([root], [(old, new)]))
    assert statically_linked(store, plan.closure, {old}) == set()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_wrapper_with_more_rights_is_found_by_what_it_runs(
    store: LocalStore, tmp_path: Path, compiled: bool
) -> None:
    it = Graftable.build(store)
    program = f"{store.store_dir.path(it.app)}/bin/run".encode()
    wrappers = tmp_path / "wrappers"
    wrappers.mkdir()
    wrapper, plain = wrappers / "run", wrappers / "plain"
    wrapper.write_bytes(b"\x7fELF" + (program if compiled else b"") + b"\0")
    plain.write_bytes(program)
    if not compiled:
        (wrappers / "run.real").write_bytes(program)
    os.chmod(wrapper, 0o4755)
    os.chmod(plain, 0o755)
    found = wrapped_programs(StoreDir(store.store_dir), [it.app, it.old], [str(wrappers), "/none"])
    assert list(found) == [(it.app, str(wrapper))]


def test_a_dependent_in_secure_execution_is_missed_by_pivots(store: LocalStore) -> None:
    made = chain(store, {"root": "old"})
    plan = planned(store, made)
    reach = Pivoted(
        store=store,
        plan=plan,
        targets={"data": "/data"},
        types={},
        marked=frozenset({made["root"]}),
        unmarked=frozenset(),
        variables=(),
        asking=frozenset(),
        setting={},
        secure={made["root"]: "/run/wrappers/bin/root"},
    )
    assert Dependents(plan, store).missed_by_pivot(reach) == {
        made["root"]: "secure execution: '/run/wrappers/bin/root' runs it, the environment is "
        "ignored"
    }


def test_what_sets_the_variable_to_old_itself_is_missed_by_pivots(store: LocalStore) -> None:
    full = store.store_dir.path
    bundle = {"etc": {"ssl": {"certs": {"ca-bundle.crt": b"certificates"}}}}
    old, new = (add_object(store, f"nss-cacert-{number}", bundle) for number in (1, 2))
    names = f"getenv SSL_CERT_FILE {full(old)}"
    reader = add_object(store, "reader-1", {"run": names.encode()}, [old])
    scripts = {
        "profile-1": f"export SSL_CERT_FILE={full(old)}/etc/ssl/certs/ca-bundle.crt",
        "wrapper-1": f"export SSL_CERT_FILE='{full(old)}/etc/ssl/certs/ca-bundle.crt'",
        "careful-1": f"export SSL_CERT_FILE=${{SSL_CERT_FILE-'{full(old)}'}}",
    }
    made = {name: add_object(store, name, text.encode(), [old]) for name, text in scripts.items()}
    root = add_object(store, "root-1", {"reader": full(reader)}, [reader, *made.values()])
    plan = make_plan(store, Graft.of([root], [(old, new)]))
    reach = Pivoted.of(store, plan, {"cacert": full(new)})
    missed = Dependents(plan, store).missed_by_pivot(reach)
    assert missed == {
        made["profile-1"]: "sets SSL_CERT_FILE to OLD itself",
        made["wrapper-1"]: "sets SSL_CERT_FILE to OLD itself",
        root: f"through '{min(made['profile-1'], made['wrapper-1']).name}', which does not see NEW",
    }
