"""The ways on a little closure, for real: each probe is run and watched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from graft.errors import PlanError, UsageError
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.ways.compare.comparison import compare
from graft.ways.compare.document import comparison_document
from graft.ways.compare.way import Comparison, Way
from graft.ways.namespace import why_unavailable
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store

RUN = "bin/run"

pytestmark = [pytest.mark.slow, pytest.mark.needs("strace")]


def compared(
    it: Graftable, *probes: str, pivots: Mapping[str, str] | None = None
) -> tuple[Comparison, dict[str, Way]]:
    plan = make_plan(it.store, Graft.of([it.app], [(it.old, it.new)]))
    comparison = compare(it.store, plan, probes=probes, pivots=pivots, log_dir="/nonexistent")
    return comparison, {way.name: way for way in comparison.ways}


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


needs_namespaces = pytest.mark.needs("bwrap")


@needs_namespaces
def test_graft_and_mount_read_new_where_the_original_reads_old(it: Graftable) -> None:
    assert why_unavailable() is None
    comparison, ways = compared(it, RUN)
    [original] = comparison.original
    assert (original.opened_old, original.opened_new) == (True, False)
    assert original.observation.output.startswith(b"old\n")
    for name in ("graft", "mount"):
        [probe] = ways[name].probes
        assert (probe.opened_old, probe.opened_new) == (False, True)
        assert probe.observation.output.startswith(b"new\n")
        assert probe.difference is not None
        assert "-old" in probe.difference.splitlines()
        assert "+new" in probe.difference.splitlines()
    assert comparison.differs


@needs_namespaces
def test_a_probe_that_names_the_root_gets_that_of_each_way(it: Graftable) -> None:
    _, ways = compared(it, f"sh -c '{it.store.store_dir.path(it.app)}/{RUN}'")
    for name in ("graft", "mount"):
        [probe] = ways[name].probes
        assert probe.observation.output.startswith(b"new\n")
        assert (probe.opened_old, probe.opened_new) == (False, True)


def test_every_opened_path_of_the_closure_is_named(it: Graftable) -> None:
    comparison, ways = compared(it, RUN)
    [original] = comparison.original
    assert original.observation.opened == {it.app, it.old}
    new_app = comparison.plan.new_roots[it.app]
    [probe] = ways["graft"].probes
    assert probe.observation.opened == {new_app, it.new}


def test_what_prints_its_own_path_does_not_differ(it: Graftable) -> None:
    command = f"cat {it.store.store_dir.path(it.app)}/share/own"
    _, ways = compared(it, "cat share/own", command)
    for probe in ways["graft"].probes:
        assert probe.observation.exit == (0 if probe.observation.command == command else 1)
        assert probe.difference is None


def test_the_graft_is_measured_and_counted(it: Graftable) -> None:
    comparison, ways = compared(it)
    graft = ways["graft"]
    assert graft.paths_changed == len(comparison.plan.new_paths) == 1
    new_app = it.tree(comparison.plan.new_roots[it.app])
    unchanged = os.path.getsize(f"{new_app}/share/unchanged")
    changed = sum(os.path.getsize(f"{new_app}/{name}") for name in ("bin/run", "share/own"))
    assert (graft.bytes_written, graft.bytes_shared) == (changed, unchanged)
    assert graft.seconds is not None
    assert graft.seconds > 0
    assert graft.old_references_left == 0
    assert ways["mount"].bytes_written == 0


def test_a_graft_that_was_there_is_counted_the_same_and_said(it: Graftable) -> None:
    _, first = compared(it)
    comparison, again = compared(it)
    assert again["graft"].bytes_written == first["graft"].bytes_written
    assert again["graft"].bytes_shared == first["graft"].bytes_shared
    assert "graft-exists" in [warning.kind for warning in comparison.warnings]


def test_nothing_of_the_comparison_has_a_root(it: Graftable) -> None:
    before = it.store.roots()
    compared(it, RUN)
    assert it.store.roots() == before


def test_everybody_sees_new_but_by_pivots(it: Graftable) -> None:
    comparison, ways = compared(it)
    for name in ("graft", "mount", "rebuild"):
        coverage = ways[name].coverage
        assert coverage is not None
        assert coverage.dependents == {it.app}
        assert coverage.missed == ()
    pivot = ways["pivot"].coverage
    assert pivot is not None
    assert [missed.path for missed in pivot.missed] == [it.app]
    assert ways["pivot"].reason is not None
    assert comparison.pivots == {}


def test_without_derivations_the_rebuild_says_so(it: Graftable) -> None:
    _, ways = compared(it)
    assert ways["rebuild"].reason == (
        f"no derivation of '{it.store.store_dir.path(it.app)}' is in the store"
    )


def test_a_marked_program_finds_the_pivot_and_nobody_else_does(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    full = store.store_dir.path
    old = add_object(store, "data-1", {"data": b"old\n"})
    new = add_object(store, "data-2", {"data": b"new\n"})
    look = (
        '#!/bin/sh\nown={self}\nfound="${NIXPKGS_PIVOT_DIRS%%:*}/${own##*/}/data"\n'
        f'[ -e "$found" ] || found={full(old)}\ncat "$found/data"\n'
    )
    marked = add_object(
        store,
        "marked-1",
        {"bin": {"look": look.encode()}, "nix-support": {"pivots": {"data": b""}}},
        [old],
    )
    plain = add_object(
        store, "plain-1", {"bin": {"read": f"#!/bin/sh\ncat {full(old)}/data\n".encode()}}, [old]
    )
    env = add_object(
        store,
        "env-1",
        {"bin": {"look": f"{full(marked)}/bin/look", "read": f"{full(plain)}/bin/read"}},
        [marked, plain],
    )
    plan = make_plan(store, Graft.of([env], [(old, new)]))
    comparison = compare(
        store, plan, pivots={"data": full(new)}, probes=["bin/look", "bin/read"], log_dir="/none"
    )
    way = next(way for way in comparison.ways if way.name == "pivot")
    looking, reading = way.probes
    assert (looking.opened_old, looking.opened_new) == (False, True)
    assert (reading.opened_old, reading.opened_new) == (True, False)
    assert reading.difference is None
    assert way.coverage is not None
    missed = {one.path: one.why for one in way.coverage.missed}
    assert missed == {
        plain: "no marker for data",
        env: "through 'plain-1', which does not see NEW",
    }
    assert comparison.pivots == {marked: ("data",)}


def test_a_target_that_brings_more_than_was_asked_for_is_warned_of(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    modules = {"libnss_dns.so.2": b"module", "libc.so.6": b"C library"}
    old = add_object(store, "glibc-1", {"lib": modules})
    new = add_object(store, "glibc-2", {"lib": modules})
    app = add_object(store, "app-1", {"uses": store.store_dir.path(old).encode()}, [old])
    plan = make_plan(store, Graft.of([app], [(old, new)]))
    pivots = {"nss-modules": store.store_dir.path(new)}
    comparison = compare(store, plan, pivots=pivots, log_dir="/nonexistent")
    [warning] = [one for one in comparison.warnings if one.kind == "pivot-environment"]
    assert "has a libc.so.6" in warning.message


def test_a_probe_that_is_not_there_is_as_a_shell_has_it(it: Graftable) -> None:
    comparison, ways = compared(it, "bin/nothing", "share/unchanged")
    assert [probe.observation.exit for probe in comparison.original] == [127, 126]
    assert all(probe.difference is None for probe in ways["graft"].probes)


def test_a_probe_that_a_signal_ends_has_the_status_of_a_shell(it: Graftable) -> None:
    comparison, _ = compared(it, "sh -c 'kill -TERM $$'")
    [probe] = comparison.original
    assert probe.observation.exit == 128 + 15


@pytest.mark.parametrize("probe", ["", "  ", "'open"])
def test_a_probe_that_is_no_command_line_is_refused(it: Graftable, probe: str) -> None:
    with pytest.raises(UsageError, match="probe"):
        compared(it, probe)


def test_a_root_that_does_not_lead_to_old_is_refused(it: Graftable) -> None:
    plan = make_plan(it.store, Graft.of([it.data], [(it.old, it.new)]))
    with pytest.raises(PlanError, match="does not lead to anything"):
        compare(it.store, plan, log_dir="/nonexistent")


def test_without_strace_the_memory_maps_are_looked_at(
    it: Graftable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = Path(shutil.which("sleep") or "").read_bytes()
    held = add_object(it.store, "sleep-1", {"sleep": sleep})
    which = shutil.which
    monkeypatch.setattr(
        "graft.ways.compare.probes.shutil.which",
        lambda name: None if name == "strace" else which(name),
    )
    maps = Path("/proc/self/maps").read_text()
    loader = next(line.split()[-1] for line in maps.splitlines() if "/ld-linux" in line)
    comparison, _ = compared(it, f"{loader} {it.store.store_dir.path(held)}/sleep 0.3")
    [probe] = comparison.original
    assert not probe.observation.traced
    assert probe.observation.opened == {held}


@pytest.mark.parametrize("missing", [True, False])
def test_who_was_not_watched_has_not_opened_nothing(
    it: Graftable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, missing: bool
) -> None:
    """Without strace, and with one that may not trace, as in some containers."""
    which = shutil.which
    forbidden = tmp_path / "strace"
    forbidden.write_text("#!/bin/sh\necho not permitted >&2; exit 1\n")
    forbidden.chmod(0o755)
    monkeypatch.setattr(
        "graft.ways.compare.probes.shutil.which",
        lambda name: (None if missing else str(forbidden)) if name == "strace" else which(name),
    )
    monkeypatch.setattr("graft.ways.compare.probes.STRACE", (str(forbidden),))
    comparison, ways = compared(it, RUN)
    for probe in (*comparison.original, *ways["graft"].probes):
        assert (probe.opened_old, probe.opened_new) == (None, None)
    assert ways["graft"].probes[0].observation.output.startswith(b"new\n")
    (warning,) = (one for one in comparison.warnings if one.kind == "not-observed")
    assert "install the package 'strace'" in warning.message
    document = comparison_document(comparison)
    assert document["ways"][0]["probes"][0]["opened_old"] is None


@needs_namespaces
def test_programs_of_a_store_with_another_root_are_run_where_it_is_at_its_place(
    tmp_path: Path,
) -> None:
    location = Location.at_root(str(tmp_path))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        it = Graftable.build(store)
        comparison, ways = compared(it, RUN)
    assert comparison.original[0].observation.output.startswith(b"old\n")
    for name in ("graft", "mount"):
        assert ways[name].probes[0].observation.output.startswith(b"new\n")
