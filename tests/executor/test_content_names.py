"""Grafts whose new paths are named after their contents, in small stores and caches."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from graft.check.proof import Problem
from graft.check.verification import verify
from graft.errors import ContentAddressError, PlanError
from graft.executor import Work, execute
from graft.executor.content_names import Namer, NamingTask, content_names, realise
from graft.formats.content_address import ContentAddress
from graft.formats.hash_modulo import SelfReferences
from graft.formats.hashing import NIX32_ALPHABET, compress_hash, nix32_encode
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome
from graft.kernel.tree import read_tree
from graft.objects.search import DeepSearch
from graft.plan import ContentName, Plan, Rewrite
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.api import path_info
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.writable_cache import WritableCache
from graft.workers import TaskPool
from tests.caches import cache_of, read_nar
from tests.graftable import Graftable
from tests.nix_answers import self_references
from tests.real_nix import RealNix
from tests.store_objects import Contents, add_object, named_path, new_store, opened

RULES: tuple[SelfReferences, ...] = get_args(SelfReferences)
rules = pytest.mark.parametrize("rule", RULES)


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    location = Location.at_root(str(tmp_path / "local"))
    LocalStore.create(location)
    return Graftable.build(opened(location))


def _plan(it: Graftable, rule: SelfReferences = "positions") -> Plan:
    return make_plan(
        it.store, Graft.of([it.env], [(it.old, it.new)], addressing="content", self_references=rule)
    )


def _graft(it: Graftable, rule: SelfReferences = "positions") -> Outcome:
    return apply(
        it.store,
        [it.env],
        {it.old: it.new},
        addressing="content",
        self_references=rule,
    )


def _nar(store: LocalStore, path: StorePath) -> bytes:
    nar = bytearray()
    read_tree(store.tree(path), sink=nar.extend)
    return bytes(nar)


def _name(nar: bytes, path: StorePath, references: Iterable[StorePath], rule: str) -> str:
    """A path's name by the words of Nix's manual; nothing of graft's but its base 32 is used."""
    hash_part = path.hash_part.encode()
    content = nar.replace(hash_part, bytes(32))
    place = nar.find(hash_part)
    while place >= 0 and rule == "positions":
        content += f"|{place}".encode()
        place = nar.find(hash_part, place + 1)
    kind = "source"
    kind += "".join(f":/nix/store/{other}" for other in sorted(references) if other != path)
    kind += ":self" if path in set(references) else ""
    inner = hashlib.sha256(content).hexdigest()
    text = f"{kind}:sha256:{inner}:/nix/store:{path.name}"
    return nix32_encode(compress_hash(hashlib.sha256(text.encode()).digest(), 20))


@rules
def test_every_new_path_has_the_name_another_store_computes(
    it: Graftable, rule: SelfReferences
) -> None:
    outcome = _graft(it, rule)
    assert outcome.succeeded
    assert not outcome.plan.placeholders
    infos = it.store.path_infos(outcome.plan.new_references)
    assert len(infos) == 4
    for path, info in infos.items():
        nar = _nar(it.store, path)
        assert path.hash_part == _name(nar, path, info.references, rule)
        assert hashlib.sha256(nar).digest() == info.nar_hash
        assert info.content_address is not None
        address = ContentAddress.parse(info.content_address)
        assert address.is_of(path, info.references, it.store.store_dir)
        assert (info.ultimate, info.signatures) == (False, ())


def test_the_rules_differ_only_where_there_are_self_references(it: Graftable) -> None:
    positions, zeroed = (realise(_plan(it, rule), it.store) for rule in RULES)
    same = {old for old, new in positions.moved.items() if zeroed.moved[old] == new}
    assert same == {it.data}  # all others hold themselves, or refer to what does


def test_the_names_are_those_there_were_before(it: Graftable) -> None:
    """Names may only change together with the bytes, for stores keep them for years."""
    plan = realise(_plan(it), it.store)
    assert {path.name: path.hash_part for path in plan.new_references} == {
        "app-1": "8l57l4dj0386b7cjcgdk54ry8r2l9dp0",
        "data-1": "a81l0j9slv7csc0cw66vhp4vv05azlyh",
        "env-1": "w5fp6dhsbhccmq31iwipg2z24ihjqmll",
        "lib-1.1": "pqri7rpq0wy2q9rlcj5irdc292lq5snk",
    }


def test_the_result_is_what_input_addressing_makes_but_for_the_names(it: Graftable) -> None:
    content = _graft(it).plan
    given = apply(it.store, [it.env], {it.old: it.new}).plan
    named = {**given.moved, it.new: it.new, it.data: it.data}
    for original, path in content.moved.items():
        if original == it.old:
            continue
        expected = _nar(it.store, named[original])
        for other, new in content.moved.items():
            before = named.get(other)
            if before is not None:
                expected = expected.replace(before.encode(), new.encode())
        assert _nar(it.store, path) == expected


def test_nothing_is_made_twice(it: Graftable) -> None:
    first = _graft(it)
    again = _graft(it)
    assert again.plan.new_roots == first.plan.new_roots
    assert again.execution.rewritten == frozenset()
    assert again.execution.resumed == first.execution.rewritten
    assert verify(first.plan, it.store).holds


def test_what_is_content_addressed_stays_as_it_is(it: Graftable) -> None:
    root = _graft(it).plan.new_roots[it.env]
    plan = make_plan(it.store, Graft.of([root], [], addressing="content"))
    assert plan.rewrites == ()
    assert plan.new_roots == {root: root}


def test_what_is_found_in_the_bytes_is_part_of_the_name(it: Graftable) -> None:
    store = it.store
    hidden = add_object(store, "hidden-1", {"file": store.store_dir.path(it.old).encode()})
    links = {"app": store.store_dir.path(it.app), "hidden": store.store_dir.path(hidden)}
    root = add_object(store, "root-1", links, [it.app, hidden])
    outcome = apply(store, [root], {it.old: it.new}, addressing="content")
    assert [found.path.name for found in outcome.proof.residual] == ["hidden-1"]  # type: ignore[union-attr]
    path = outcome.plan.moved[hidden]
    info = path_info(store, path)
    assert info.references == {it.old}
    assert path.hash_part == _name(_nar(store, path), path, [it.old], "positions")
    # Where less is looked for what is registered is still what the name says.
    plan = outcome.plan
    work = Work.of([plan], store, store)
    made = work.info(path, info.nar_hash, info.nar_size, frozenset())
    assert made.references == info.references


def test_an_address_that_got_lost_is_a_problem(it: Graftable) -> None:
    """As `nix-store --import` loses it."""
    plan = _graft(it).plan
    path = plan.moved[it.app]
    info = path_info(it.store, path)
    it.store.close()
    with sqlite3.connect(f"{it.store.location.database_dir}/db.sqlite") as database:
        database.execute(
            "update ValidPaths set ca = null where path = ?", [it.store.store_dir.path(path)]
        )
    database.close()
    with LocalStore(location=it.store.location) as store:
        problems = verify(plan, store).problems
    assert info.content_address is not None
    assert problems == (Problem(kind="content-address", path=path),)


def test_other_processes_find_the_same_names(it: Graftable, tmp_path: Path) -> None:
    source = cache_of(it.store, tmp_path / "source")
    plan = _plan(it)
    namer = Namer(source=source, search=DeepSearch(sorted(plan.closure.infos)))
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        names = content_names([plan, plan], namer, TaskPool(submit=processes.submit, slots=2))
    assert plan.realised(names) == realise(plan, it.store)


def test_a_path_is_read_once_for_all_plans_and_after_what_it_refers_to(it: Graftable) -> None:
    plans = [
        _plan(it),
        make_plan(it.store, Graft.of([it.app], [(it.old, it.new)], addressing="content")),
    ]
    asked: list[str] = []
    done: set[StorePath] = set()
    namer = Namer(source=it.store, search=DeepSearch([]))

    def submit(work: Callable[[NamingTask], ContentName], task: NamingTask) -> Future[ContentName]:
        assert isinstance(task.item, Rewrite)
        assert set(task.item.references.values()) <= done
        asked.append(task.item.path.name)
        future: Future[ContentName] = Future()
        future.set_result(work(task))
        done.add(future.result().path)
        return future

    names = content_names(plans, namer, TaskPool(submit=submit, slots=1))
    assert sorted(asked) == ["app-1", "data-1", "env-1", "lib-1.1"]
    assert names.keys() == plans[0].placeholders | plans[1].placeholders


@pytest.mark.nix
def test_nix_names_an_odd_closure_alike(it: Graftable, tmp_path: Path) -> None:
    """Self-references side by side, over pieces of what is read at once, in names and targets."""
    store = it.store
    own = named_path("odd-1", store.store_dir)
    text = store.store_dir.path(own).encode()
    add_object(
        store,
        "odd-1",
        {
            "beside": text + text + own.hash_part.encode() * 2 + own.hash_part[:31].encode(),
            "large": (bytes(65_531) + text) * 5 + store.store_dir.path(it.app).encode(),
            "link": "{self}/large",
            f"z{own}": b"",
            "run": b"#!{self}/run\n",
        },
        [it.app],
    )
    bare = named_path("bare-1", store.store_dir)  # so not registered as referring to itself
    assert bare == add_object(store, "bare-1", bare.hash_part.encode())
    assert path_info(store, bare).references == frozenset()
    links = {"odd": store.store_dir.path(own), "bare": store.store_dir.path(bare)}
    user = add_object(store, "user-1", links, [own, bare, it.env])
    rule = self_references()
    graft = Graft.of([user], [], addressing="content", self_references=rule)
    plan = realise(make_plan(store, graft), store)
    nix = RealNix(store.location, tmp_path)
    full = store.store_dir.path
    given = [full(path) for path in sorted(plan.moved)]
    answer = nix.run("nix", "store", "make-content-addressed", "--json", *given)
    rewrites = json.loads(answer)["rewrites"]
    assert {full(old): full(new) for old, new in plan.moved.items()} == rewrites
    outcome = apply(store, [user], [], addressing="content", self_references=rule)
    assert outcome.succeeded
    assert outcome.execution.resumed == outcome.plan.new_paths


def test_a_plan_without_names_is_not_carried_out(it: Graftable) -> None:
    with pytest.raises(PlanError, match="realise"):
        execute(_plan(it), source=it.store, target=it.store)


def test_a_cache_gives_the_same_names_and_takes_the_same_paths(
    it: Graftable, tmp_path: Path
) -> None:
    source = cache_of(it.store, tmp_path / "source")
    target = WritableCache.create(f"file://{tmp_path / 'target'}", it.store.store_dir)
    before = it.store.valid_paths()
    outcome = apply(
        source,
        [it.env],
        {it.old: it.new},
        to=target,
        addressing="content",
        self_references="positions",
    )
    assert outcome.succeeded
    assert it.store.valid_paths() == before
    local = _graft(it)
    assert outcome.plan.moved == local.plan.moved
    there = target.path_infos(outcome.plan.new_references)
    for path, info in it.store.path_infos(outcome.plan.new_references).items():
        assert read_nar(target, path) == _nar(it.store, path)
        assert there[path].content_address == info.content_address
        assert (there[path].nar_hash, there[path].references) == (info.nar_hash, info.references)
    assert verify(outcome.plan, source, target=target).holds


def test_names_of_unequal_length_have_aliases_named_after_what_they_lead_to(
    it: Graftable,
) -> None:
    newer = add_object(it.store, "lib-1.10", {"lib": b"newer\n", "self": "{self}/lib"})
    outcome = apply(it.store, [it.env], {it.old: newer}, addressing="content")
    assert outcome.succeeded
    (alias,) = outcome.plan.aliases
    info = path_info(it.store, alias.path)
    assert os.readlink(it.tree(alias.path)) == it.store.store_dir.path(alias.target)
    nar = _nar(it.store, alias.path)
    assert alias.path.hash_part == _name(nar, alias.path, [alias.target], "positions")
    assert info.references == {alias.target}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32-be"])
def test_a_self_reference_in_a_wide_encoding_is_refused_by_name(
    tmp_path: Path, encoding: str
) -> None:
    store = new_store(tmp_path)
    own = named_path("wide-1", store.store_dir)
    contents: Contents = {"deep": {"wide.txt": own.encode(encoding)}, "ascii": b"{self}"}
    assert add_object(store, "wide-1", contents) == own
    with pytest.raises(ContentAddressError, match="cut it off") as caught:
        apply(store, [own], {}, addressing="content")
    assert caught.value.fields["file"] == "deep/wide.txt"
    assert store.valid_paths() == {own}


def test_a_file_may_have_its_paths_own_name_where_it_keeps_its_place(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    own = named_path("names-1", store.store_dir)
    add_object(store, "names-1", {f"a-{own}": b"{self}"})
    outcome = apply(store, [own], {}, addressing="content")
    assert outcome.succeeded
    assert os.listdir(store.tree(outcome.plan.new_roots[own])) == [
        f"a-{outcome.plan.new_roots[own]}"
    ]


def test_a_file_whose_place_depends_on_its_paths_own_name_is_refused(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    own = named_path("order-1", store.store_dir)
    others = {f"{first}{second}": b"" for first in NIX32_ALPHABET for second in NIX32_ALPHABET}
    add_object(store, "order-1", {str(own): b"{self}", **others})
    with pytest.raises(ContentAddressError, match="place in the order") as caught:
        apply(store, [own], {}, addressing="content")
    assert caught.value.fields["file"] == own
    assert store.valid_paths() == {own}


def test_two_paths_of_one_content_become_one(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path
    one = add_object(store, "one-1", b"same\n")
    root = add_object(store, "root-1", {"one": full(one)}, [one])
    outcome = apply(store, [root, one], {}, addressing="content")
    assert outcome.succeeded
    assert len(outcome.plan.new_references) == 2


def test_an_original_that_changes_meanwhile_is_noticed(it: Graftable) -> None:
    plan = realise(_plan(it), it.store)
    file = Path(it.tree(it.app), "share", "own")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes().replace(b"/bin", b"/nib"))
    file.chmod(0o444)
    os.utime(file, (1, 1))
    before = it.store.valid_paths()
    with pytest.raises(ContentAddressError, match="run the same command again"):
        execute(plan, source=it.store, target=it.store)
    assert it.store.valid_paths() == before
