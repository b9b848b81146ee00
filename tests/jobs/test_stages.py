"""The stages of one job: what each refuses, and what it tells."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graft.check.abi import AbiCheck
from graft.check.proof import Proof
from graft.errors import CacheError, GraftError, NoSpaceError, StoreError, UsageError
from graft.executor import Done, Execution
from graft.formats.signature import SecretKey
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import outcome_document
from graft.jobs.pipeline import _failure
from graft.jobs.request import Transfer
from graft.jobs.stages import _not_looked_into
from graft.jobs.stores import StoreOpening, Stores, as_target, daemon_note
from graft.machine.record import Provenance
from graft.objects.search import Unread
from graft.plan import Plan, PlanWarning
from graft.plan.closure import Closure
from graft.store.binary_cache import BinaryCache
from graft.store.daemon import DaemonStore
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.union import UnitedStore
from tests.caches import cache_of, new_cache
from tests.graftable import Graftable
from tests.store_objects import new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _plan(it: Graftable) -> Plan:
    closure = Closure.of(it.store, [it.env, it.new])
    return Plan.of(closure, [(it.old, it.new)], roots=[it.env])


def test_a_target_has_the_store_directory_of_the_source(it: Graftable, tmp_path: Path) -> None:
    with (
        new_cache(tmp_path / "cache") as cache,
        pytest.raises(StoreError, match="different store directories"),
    ):
        apply(it.store, [it.env], {it.old: it.new}, to=cache)


def test_a_plan_that_is_not_approved_is_not_carried_out(it: Graftable) -> None:
    seen: list[Plan] = []

    def refuse(plan: Plan) -> None:
        seen.append(plan)
        raise GraftError("not today")

    before = it.store.valid_paths()
    with pytest.raises(GraftError, match="not today"):
        apply(it.store, [it.env], {it.old: it.new}, approve=refuse)
    assert len(seen) == 1
    assert it.store.valid_paths() == before


def test_originals_are_protected_in_the_source_and_in_the_target(
    it: Graftable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected: list[tuple[str, set[StorePath]]] = []
    monkeypatch.setattr(
        LocalStore, "protect", lambda self, paths: protected.append((self.url, set(paths)))
    )
    with cache_of(it.store, tmp_path / "cache") as cache:
        outcome = apply(cache, [it.env], {it.old: it.new}, to=it.store)
    assert outcome.succeeded
    assert protected[0] == (it.store.url, {it.env, it.old, it.new})


@pytest.mark.parametrize("lacking", [0, 1])
@pytest.mark.parametrize("links", [True, False])
def test_room_is_needed_for_each_object_and_for_the_bytes_that_are_not_links(
    links: bool, lacking: int, it: Graftable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrites = _plan(it).rewrites
    needed = 4096 * len(rewrites) + (0 if links else sum(each.nar_size for each in rewrites))
    monkeypatch.setattr(LocalStore, "free_bytes", lambda _self: needed - lacking)
    if lacking:
        with pytest.raises(NoSpaceError, match=f"has {needed - 1} bytes left .* needs {needed}:"):
            apply(it.store, [it.env], {it.old: it.new}, links=links)
    else:
        assert apply(it.store, [it.env], {it.old: it.new}, links=links).succeeded
        # What is there already needs no room.
        monkeypatch.setattr(LocalStore, "free_bytes", lambda _self: 0)
        assert apply(it.store, [it.env], {it.old: it.new}, links=links).succeeded


def test_room_is_needed_for_what_comes_from_elsewhere(
    it: Graftable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cache_of(it.store, tmp_path / "cache") as source:
        target = _empty_like(it.store, tmp_path / "target")
        plan = _plan(it)
        missing = plan.new_references.keys()
        shared = sum(plan.closure.infos[path].nar_size for path in plan.shared)
        needed = 4096 * len(missing) + shared + sum(each.nar_size for each in plan.rewrites)
        monkeypatch.setattr(LocalStore, "free_bytes", lambda _self: needed - 1)
        with pytest.raises(NoSpaceError, match=f"needs {needed}:"):
            apply(source, [it.env], {it.old: it.new}, to=target, links=False)
        target.close()


def _empty_like(store: LocalStore, directory: Path) -> LocalStore:
    """An empty store with the logical store directory of another one."""
    location = Location(
        store_dir=store.store_dir,
        real_store_dir=str(directory / "store"),
        state_dir=str(directory / "state"),
    )
    LocalStore.create(location)
    return LocalStore(location=location)


def test_a_root_that_nothing_keeps_is_told(it: Graftable, tmp_path: Path) -> None:
    def kinds(**options: Any) -> list[str]:
        outcome = apply(it.store, [it.env], {it.old: it.new}, **options)
        return [warning.kind for warning in outcome.warnings]

    assert kinds() == ["no-root"]
    assert kinds(add_roots=[str(tmp_path / "link")]) == []
    assert kinds(scope=None) == ["no-root"]


def test_only_the_roots_that_became_others_are_written_down(it: Graftable, tmp_path: Path) -> None:
    links = [str(tmp_path / name) for name in ("changed", "same")]
    outcome = apply(it.store, [it.env, it.data], {it.old: it.new}, add_roots=links)
    assert outcome.plan.new_roots[it.data] == it.data
    (graft,) = Provenance(it.store.location, {"HOME": "/nowhere"}).grafts()
    assert graft.roots.keys() == {it.env}
    assert [place.link for place in graft.places] == [links[0]]
    assert all(Path(link).is_symlink() for link in links)


def test_a_graft_that_moves_nothing_is_not_written_down(it: Graftable) -> None:
    outcome = apply(it.store, [it.data], {it.old: it.new})
    assert (outcome.graft, outcome.untouched) == (None, True)
    assert Provenance(it.store.location, {"HOME": "/nowhere"}).grafts() == []


def test_paths_of_a_cache_must_be_signed_where_signatures_are_wanted(
    it: Graftable, tmp_path: Path
) -> None:
    key = SecretKey.generate("k-1").public_key
    with cache_of(it.store, tmp_path / "cache") as cache:
        target = _empty_like(it.store, tmp_path / "target")
        with pytest.raises(GraftError, match="is not signed"):
            apply(cache, [it.env], {it.old: it.new}, to=target, trusted_public_keys=[key])
        assert apply(cache, [it.env], {it.old: it.new}, to=target).succeeded
        target.close()
    # A store on this machine is trusted.
    assert apply(it.store, [it.env], {it.old: it.new}, trusted_public_keys=[key]).succeeded


def _unread(*files: bytes) -> list[Unread]:
    return [Unread(file=file, container=(), fixup="x", reason="why") for file in files]


def test_files_that_the_proof_could_not_read_are_told_once_for_each_path(it: Graftable) -> None:
    warnings = (
        PlanWarning(kind="not-looked-into", path=it.env, message=""),
        PlanWarning(kind="another", path=it.app, message=""),
    )
    plan = replace(_plan(it), warnings=warnings)
    new_app, new_env = plan.moved[it.app], plan.moved[it.env]
    unread = [
        *((it.data, one) for one in _unread(b"c")),
        *((new_app, one) for one in _unread(b"a", b"b")),
        *((new_env, one) for one in _unread(b"d")),
    ]
    proof = Proof(
        scope="closure",
        paths=3,
        files=4,
        bytes=0,
        residual=(),
        problems=(),
        unread=tuple(unread),
    )
    told = list(_not_looked_into(plan, proof))
    assert [(one.kind, one.path) for one in told] == [
        ("not-looked-into", it.data),
        ("not-looked-into", new_app),
    ]
    assert "(and 1 more file)" in told[1].message
    assert told[1].message.startswith(f"'{it.store.store_dir.path(new_app)}/a'")


def test_of_several_paths_that_failed_the_lowest_is_named(it: Graftable) -> None:
    plan = _plan(it)
    new_app, new_env = plan.moved[it.app], plan.moved[it.env]
    errors = {path: CacheError(path) for path in (new_app, new_env)}
    done = Done(failed=dict(errors))
    found = _failure(plan, done, Execution.of(plan, done))
    assert found is not None
    assert found.error is errors[new_app]
    assert found.original == it.store.store_dir.path(it.app)
    nothing = Done(failed={StorePath(f"{'0' * 32}-other"): CacheError("x")})
    assert _failure(plan, nothing, Execution.of(plan, nothing)) is None


def test_the_store_of_a_job_is_its_own_or_else_that_of_the_command(
    it: Graftable, tmp_path: Path
) -> None:
    cache_of(it.store, tmp_path / "cache").close()
    url = f"file://{tmp_path}/cache"

    def opened(transfer: Transfer) -> StoreOpening:
        return StoreOpening(transfer, it.store.url, {"NIX_CONF_DIR": str(tmp_path)}, stack)

    with ExitStack() as stack:
        own = opened(Transfer(store=url))
        assert isinstance(own.store, BinaryCache)
        given = opened(Transfer())
        assert isinstance(given.store, LocalStore)
        assert given.source is given.store
        both = opened(Transfer(sources=(url,), target=str(url)))
        assert isinstance(both.source, UnitedStore)
        both.open_target()
        assert both.daemon is None
        assert both.stores().target.url == url
        assert both.stores().trusted_public_keys is not None
        unchecked = opened(Transfer(check_sigs=False))
        assert unchecked.stores().trusted_public_keys is None
        assert unchecked.stores().target is unchecked.store


def test_each_kind_of_target_offers_its_own(it: Graftable, tmp_path: Path) -> None:
    with (
        new_cache(tmp_path / "cache") as cache,
        DaemonStore(it.store.location, {}) as daemon,
    ):
        local, remote, through = (
            Stores(source=it.store, target=target) for target in (it.store, cache, daemon)
        )
        assert (local.daemon, remote.daemon, through.daemon) == (None, None, daemon)
        assert (local.machine, remote.machine, through.machine) == (it.store, None, daemon)
        assert (local.rooted, remote.rooted, through.rooted) == (it.store, None, daemon)
        assert (local.links, remote.links, through.links) == (True, False, False)
        assert f"the store '{it.store.store_dir}'" in daemon_note(daemon)


def test_breaks_are_refused_unless_they_are_put_up_with(
    it: Graftable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: AbiCheck) -> None:
        raise GraftError("a break")

    monkeypatch.setattr(AbiCheck, "refuse_breaks", refuse)
    with pytest.raises(GraftError, match="a break"):
        apply(it.store, [it.env], {it.old: it.new})
    assert apply(it.store, [it.env], {it.old: it.new}, allow_abi_breaks=True).succeeded


def test_the_document_of_a_result_has_its_version_and_microseconds(it: Graftable) -> None:
    outcome = replace(apply(it.store, [it.env], {it.old: it.new}), seconds=1.23456789)
    document = outcome_document(outcome)
    assert (document["version"], document["seconds"]) == (1, 1.234568)
    assert document["proof"]["verdict"] == "gone"
    assert outcome_document(replace(outcome, proof=None))["proof"] is None


def test_a_store_that_can_only_be_read_is_no_target(it: Graftable, tmp_path: Path) -> None:
    cache_of(it.store, tmp_path / "cache").close()
    assert as_target(it.store) is it.store
    with (
        BinaryCache.open(f"file://{tmp_path}/cache") as cache,
        pytest.raises(UsageError, match="nothing can be written into the store 'file://"),
    ):
        as_target(cache)
