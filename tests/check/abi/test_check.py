"""Programs held against the libraries they would load, as little ones compiled on the spot."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from graft.check.abi import AbiCheck, check_abi
from graft.check.verification import verify
from graft.errors import AbiError
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.api import Source
from graft.store.writable_cache import WritableCache
from tests.caches import cache_of
from tests.check.abi.programs import Workshop, run
from tests.store_objects import add_object, new_store

pytestmark = [pytest.mark.needs("gcc"), pytest.mark.slow]

_FOO = "int foo(void) { return 1; } int bar(void) { return 2; }"
_NO_BAR = "int foo(void) { return 1; }"
_MAIN = "int foo(void); int bar(void); int main(void) { return foo() + bar() - 3; }"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(new_store(tmp_path), tmp_path / "workshop")


def _check(
    store: Source, root: StorePath, *pairs: tuple[StorePath, StorePath]
) -> tuple[AbiCheck, list[tuple[str, str, str, list[bytes]]]]:
    check = check_abi(make_plan(store, Graft.of([root], pairs)), store)
    rows = [
        (
            one.reason,
            f"{one.program.path.name}/{os.fsdecode(one.program.name)}",
            one.library.path.name if one.library is not None else "",
            [*one.symbols],
        )
        for one in check.breaks
    ]
    return check, rows


def test_a_library_that_offers_the_same_breaks_nothing(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _FOO + "int baz;")
    app = workshop.program("app", _MAIN, [old])
    check, rows = _check(workshop.store, app, (old, new))
    assert rows == []
    assert [(was.path, now.path) for was, now in check.libraries] == [(old, new)]


def test_a_symbol_that_is_gone_is_named(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _NO_BAR)
    app = workshop.program("app", _MAIN, [old])
    check, rows = _check(workshop.store, app, (old, new))
    assert rows == [("symbol-missing", "app/bin/run", "foo-1.1", [b"bar"])]
    with pytest.raises(AbiError) as raised:
        check.refuse_breaks()
    assert raised.value.kind == "abi"
    assert raised.value.fields["program"] == f"{workshop.full(app)}/bin/run"
    assert raised.value.fields["library"] == f"{workshop.full(new)}/lib/libfoo.so.1"
    assert raised.value.fields["symbol"] == "bar"


def test_names_of_unequal_length_are_followed_through_the_alias(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.0.1", _NO_BAR)
    app = workshop.program("app", _MAIN, [old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [("symbol-missing", "app/bin/run", "foo-1.0.1", [b"bar"])]


def test_a_symbol_that_went_into_another_library_is_found_there(workshop: Workshop) -> None:
    bar = workshop.library(
        "bar-1", "int bar(void) { return 2; }", soname="libbar.so.1", file="libbar.so.1"
    )
    old = workshop.library("foo-1.0", _FOO)
    new = workshop.library("foo-1.1", _NO_BAR, against=[bar])
    app = workshop.program("app", _MAIN, [old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == []


def test_a_symbol_that_a_library_below_offers_counts_as_well(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _NO_BAR)
    middle = workshop.library(
        "mid-1", "int mid;", soname="libmid.so.1", file="libmid.so.1", against=[old]
    )
    module = "int bar(void); int mine(void) { return bar(); }"
    app = workshop.library("app", module, soname="m.so", file="m.so", against=[middle])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [("symbol-missing", "app/lib/m.so", "foo-1.1", [b"bar"])]


def test_a_version_that_is_gone_is_named(workshop: Workshop) -> None:
    old = workshop.library("foo-1.0", _FOO, version_script="FOO_1 { foo; bar; };")
    new = workshop.library("foo-1.1", _FOO, version_script="FOO_2 { foo; bar; };")
    app = workshop.program("app", _MAIN, [old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [
        ("symbol-missing", "app/bin/run", "foo-1.1", [b"bar@FOO_1", b"foo@FOO_1"]),
        ("version-missing", "app/bin/run", "foo-1.1", [b"FOO_1"]),
    ]


def test_an_old_version_beside_a_new_one_breaks_nothing(workshop: Workshop) -> None:
    old = workshop.library("foo-1.0", _FOO, version_script="FOO_1 { foo; bar; };")
    source = (
        '__asm__(".symver foo1, foo@FOO_1"); __asm__(".symver foo2, foo@@FOO_2");'
        "int foo1(void) { return 1; } int foo2(void) { return 9; } int bar(void) { return 2; }"
    )
    new = workshop.library(
        "foo-1.1", source, version_script="FOO_1 { foo; bar; }; FOO_2 { foo; } FOO_1;"
    )
    app = workshop.program("app", _MAIN, [old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == []


def test_versions_that_come_anew_serve_who_asked_for_none(workshop: Workshop) -> None:
    old = workshop.library("foo-1.0", _FOO)
    new = workshop.library("foo-1.1", _FOO, version_script="FOO_1 { foo; bar; };")
    app = workshop.program("app", _MAIN, [old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == []


def test_a_library_that_is_gone_is_named(workshop: Workshop) -> None:
    old = workshop.library("foo-1.0", _FOO)
    new = workshop.library("foo-1.1", _FOO, soname="libfoo.so.2", file="libfoo.so.2")
    app = workshop.program("app", _MAIN, [old])
    check, rows = _check(workshop.store, app, (old, new))
    assert rows == [("library-missing", "app/bin/run", "", [])]
    assert "needs 'libfoo.so.1'" in check.warnings[0].message


def test_a_library_that_calls_itself_otherwise_is_a_break(workshop: Workshop) -> None:
    old = workshop.library("foo-1.0", _FOO)
    new = workshop.library("foo-1.1", _FOO, soname="libfoo.so.2")
    app = workshop.program("app", _MAIN, [old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [("other-soname", "app/bin/run", "foo-1.1", [])]


@pytest.mark.parametrize(("size", "breaks"), [(4, 0), (8, 1)])
def test_a_thread_local_variable_must_keep_its_size(
    workshop: Workshop, size: int, breaks: int
) -> None:
    old = workshop.library("foo-1.0", "__thread int mine[4];")
    new = workshop.library("foo-1.1", f"__thread int mine[{size}];")
    app = workshop.program(
        "app", "extern __thread int mine[]; int main(void) { return mine[0]; }", [old]
    )
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [("thread-local-size", "app/bin/run", "foo-1.1", [b"mine"])] * breaks


@pytest.mark.parametrize(("size", "breaks"), [(4, 0), (8, 1)])
def test_a_variable_that_a_program_has_copied_must_keep_its_size(
    workshop: Workshop, size: int, breaks: int
) -> None:
    old = workshop.library("foo-1.0", "int table[4] = {1};")
    new = workshop.library("foo-1.1", f"int table[{size}] = {{1}};")
    app = workshop.program(
        "app",
        "extern int table[4]; int main(void) { return table[1]; }",
        [old],
        flags=["-no-pie", "-fno-pic"],
    )
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [("copy-size", "app/bin/run", "foo-1.1", [b"table"])] * breaks


@pytest.mark.parametrize("known", [True, False])
def test_private_versions_hold_between_outputs_of_one_build_only(
    workshop: Workshop, *, known: bool
) -> None:
    script = "FOO_1 { foo; }; FOO_PRIVATE { bar; };"
    builds = [workshop.derivation("foo-1.0"), workshop.derivation("foo-1.1") if known else None]
    old, new = (
        workshop.library(f"foo-1.{number}", _FOO, version_script=script, deriver=build)
        for number, build in enumerate(builds)
    )
    old_bin = workshop.program("foo-1.0-bin", _MAIN, [old], deriver=builds[0])
    new_bin = workshop.program("foo-1.1-bin", _MAIN, [new], deriver=builds[1])
    root = add_object(
        workshop.store, "env", {"bin": f"{workshop.full(old_bin)}/bin"}, [old_bin, old]
    )
    _, rows = _check(workshop.store, root, (old, new))
    assert rows == [("private-version", "foo-1.0-bin/bin/run", "foo-1.1", [b"bar@FOO_PRIVATE"])]
    _, rows = _check(workshop.store, root, (old, new), (old_bin, new_bin))
    assert rows == []


def test_a_library_for_another_machine_is_a_break(workshop: Workshop) -> None:
    old = workshop.library("foo-1.0", _FOO)
    foreign = bytearray(Path(workshop.store.tree(old), "lib/libfoo.so.1").read_bytes())
    foreign[18:20] = (183).to_bytes(2, "little")  # e_machine: aarch64
    new = add_object(workshop.store, "foo-1.1", {"lib": {"libfoo.so.1": bytes(foreign)}})
    app = workshop.program("app", _MAIN, [old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [("other-machine", "app/bin/run", "foo-1.1", [])]


def _loader(workshop: Workshop, name: str, machine: int = 62, file: str = "ld.so") -> StorePath:
    data = bytearray(workshop.compiled("int x;", flags=["-shared", "-fPIC", "-nostdlib"]))
    data[18:20] = machine.to_bytes(2, "little")
    return add_object(workshop.store, name, {"lib": {file: bytes(data)}})


@pytest.mark.parametrize(
    ("machine", "file", "expected"),
    [
        (62, "ld.so", []),
        (62, "other.so", [("interpreter-missing", "app/bin/run", "", [])]),
        (183, "ld.so", [("other-machine", "app/bin/run", "libc-1.1", [])]),
    ],
)
def test_the_interpreter_of_a_program_must_be_there_and_for_its_machine(
    workshop: Workshop, machine: int, file: str, expected: list[object]
) -> None:
    old = _loader(workshop, "libc-1.0")
    new = _loader(workshop, "libc-1.1", machine, file)
    flag = f"-Wl,--dynamic-linker={workshop.full(old)}/lib/ld.so"
    app = workshop.program("app", "int main(void) {}", [], flags=[flag], references=[old])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == expected


@pytest.mark.parametrize(("name", "breaks"), [("sh", 0), ("bash", 1)])
def test_the_interpreter_of_a_script_must_be_there(
    workshop: Workshop, name: str, breaks: int
) -> None:
    store = workshop.store
    old = add_object(store, "shell-1.0", {"bin": {"sh": b"#!/bin/sh\n"}})
    new = add_object(store, "shell-1.1", {"bin": {name: b"#!/bin/sh\n"}})
    script = f"#!{workshop.full(old)}/bin/sh -e\n".encode()
    app = add_object(store, "app", {"bin": {"run": script}}, [old])
    _, rows = _check(store, app, (old, new))
    assert rows == [("interpreter-missing", "app/bin/run", "", [])] * breaks


def test_a_new_library_must_fit_those_that_are_loaded_already(workshop: Workshop) -> None:
    """As one built with a newer C library: the program's own comes first."""
    below = [
        workshop.library(
            f"bar-1.{number}",
            "int bar(void) { return 2; } int newer(void) { return 3; }",
            soname="libbar.so.1",
            file="libbar.so.1",
            version_script=script,
        )
        for number, script in enumerate(
            ["BAR_1 { global: bar; local: *; };", "BAR_1 { bar; }; BAR_2 { newer; };"]
        )
    ]
    old = workshop.library("foo-1.0", _NO_BAR, against=[below[0]])
    new = workshop.library(
        "foo-1.1", "int newer(void); int foo(void) { return newer(); }", against=[below[1]]
    )
    app = workshop.program("app", _MAIN, [below[0], old])
    check, rows = _check(workshop.store, app, (old, new))
    assert rows == [
        ("symbol-missing", "foo-1.1/lib/libfoo.so.1", "bar-1.0", [b"newer@BAR_2"]),
        ("version-missing", "foo-1.1/lib/libfoo.so.1", "bar-1.0", [b"BAR_2"]),
    ]
    assert f"where '{workshop.full(app)}/bin/run' loads it" in check.warnings[0].message


def test_links_between_objects_are_followed_as_they_will_lead(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _NO_BAR)
    farm = add_object(workshop.store, "farm", {"lib": f"{workshop.full(old)}/lib"}, [old])
    app = workshop.program("app", _MAIN, [farm])
    _, rows = _check(workshop.store, app, (old, new))
    assert rows == [("symbol-missing", "app/bin/run", "foo-1.1", [b"bar"])]


def test_what_is_cut_off_is_not_checked(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _NO_BAR)
    app = workshop.program("app", _MAIN, [old])
    plan = make_plan(workshop.store, Graft.of([app], [(old, new)], cutoffs=[app]))
    assert check_abi(plan, workshop.store).breaks == ()


def test_a_broken_file_is_told_of(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _NO_BAR)
    broken = Path(workshop.store.tree(old), "lib/libfoo.so.1").read_bytes()[:700]
    full = workshop.full(old).encode()
    app = add_object(workshop.store, "app", {"bin": broken, "lib": full}, [old])
    check, rows = _check(workshop.store, app, (old, new))
    assert rows == []
    (warning,) = check.warnings
    assert (warning.kind, warning.path) == ("abi-not-checked", app)
    assert warning.message.endswith("not in the file")


def test_nars_in_a_cache_are_read_as_trees_are(workshop: Workshop, tmp_path: Path) -> None:
    old = workshop.library("foo-1.0", _FOO, version_script="FOO_1 { foo; bar; };")
    new = workshop.library("foo-1.1", _FOO, version_script="FOO_2 { foo; bar; };")
    farm = add_object(workshop.store, "farm", {"lib": f"{workshop.full(old)}/lib"}, [old])
    app = workshop.program("app", _MAIN, [farm])
    script = f"#!{workshop.full(old)}/lib/libfoo.so.1\n".encode()
    root = add_object(workshop.store, "root", {"bin": {"s": script}}, [app, old])
    with cache_of(workshop.store, tmp_path / "cache") as cache:
        found, rows = _check(cache, root, (old, new))
    assert len(rows) == 2
    assert found.breaks == _check(workshop.store, root, (old, new))[0].breaks


def _succeeds(program: str) -> bool:
    return run(program).returncode == 0


@pytest.mark.slow
def test_a_grown_variable_that_a_program_has_copied_is_cut_and_the_loader_says_so(
    workshop: Workshop,
) -> None:
    old = workshop.library("foo-1.0", "int table[2] = {1, 2}; int last(void) { return table[1]; }")
    new = workshop.library(
        "foo-1.1", "int table[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}; int last(void) { return table[8]; }"
    )
    source = (
        "extern int table[2]; int last(void);"
        "int main(void) { return table[0] + last() == 3 ? 0 : 3; }"
    )
    app = workshop.program("app", source, [old], flags=["-no-pie", "-fno-pic"])
    assert _succeeds(f"{workshop.full(app)}/bin/run")
    with pytest.raises(AbiError, match="has a copy of 'table'"):
        apply(workshop.store, [app], {old: new})
    outcome = apply(workshop.store, [app], {old: new}, allow_abi_breaks=True)
    result = run(f"{workshop.full(outcome.plan.new_roots[app])}/bin/run")
    assert result.returncode == 3  # the library reads what was never copied
    assert "Symbol `table' has different size in shared object" in result.stderr


@pytest.mark.slow
def test_a_thread_local_variable_that_shrinks_is_refused_and_read_beyond_its_end(
    workshop: Workshop,
) -> None:
    old = workshop.library("foo-1.0", "__thread int mine[2] = {1, 2};")
    new = workshop.library("foo-1.1", "__thread int mine[1] = {1};  __thread int other = 7;")
    source = "extern __thread int mine[2]; int main(void) { return mine[1] == 2 ? 0 : 3; }"
    app = workshop.program("app", source, [old])
    assert _succeeds(f"{workshop.full(app)}/bin/run")
    with pytest.raises(AbiError, match="the size of a thread-local variable is another: 'mine'"):
        apply(workshop.store, [app], {old: new})
    outcome = apply(workshop.store, [app], {old: new}, allow_abi_breaks=True)
    assert run(f"{workshop.full(outcome.plan.new_roots[app])}/bin/run").returncode == 3


@pytest.mark.slow
def test_a_variable_that_is_no_longer_thread_local_is_refused_and_stops_the_program(
    workshop: Workshop,
) -> None:
    old = workshop.library("foo-1.0", "__thread int mine = 0;")
    new = workshop.library("foo-1.1", "int mine = 0;")
    source = "extern __thread int mine; int main(void) { return mine; }"
    app = workshop.program("app", source, [old])
    assert _succeeds(f"{workshop.full(app)}/bin/run")
    with pytest.raises(AbiError, match="'mine'"):
        apply(workshop.store, [app], {old: new})
    outcome = apply(workshop.store, [app], {old: new}, allow_abi_breaks=True)
    assert run(f"{workshop.full(outcome.plan.new_roots[app])}/bin/run").returncode != 0


@pytest.mark.slow
def test_a_break_is_refused_before_anything_is_written(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _NO_BAR)
    app = workshop.program("app", _MAIN, [old])
    assert _succeeds(f"{workshop.full(app)}/bin/run")
    before = workshop.store.valid_paths()
    with pytest.raises(AbiError, match=r"lacks 'bar'.*--allow-abi-breaks"):
        apply(workshop.store, [app], {old: new})
    assert workshop.store.valid_paths() == before


@pytest.mark.slow
def test_a_break_that_is_allowed_is_one(workshop: Workshop) -> None:
    old, new = workshop.library("foo-1.0", _FOO), workshop.library("foo-1.1", _NO_BAR)
    app = workshop.program("app", _MAIN, [old])
    outcome = apply(workshop.store, [app], {old: new}, allow_abi_breaks=True)
    assert outcome.succeeded
    assert {warning.kind for warning in outcome.warnings} == {"abi", "no-root"}
    result = run(f"{workshop.full(outcome.plan.new_roots[app])}/bin/run")
    assert result.returncode != 0
    assert "undefined symbol: bar" in result.stderr


def test_a_library_that_is_no_longer_found_is_a_problem_of_the_result(workshop: Workshop) -> None:
    old = workshop.library("foo-1.0", _FOO)
    new = workshop.library("foo-1.1", _FOO, soname="libfoo.so.2", file="libfoo.so.2")
    app = workshop.program("app", _MAIN, [old])
    outcome = apply(workshop.store, [app], {old: new}, allow_abi_breaks=True)
    assert not outcome.succeeded
    assert _kinds(outcome.proof.problems if outcome.proof else ()) == [
        ("unresolved-library", b"bin/run", b"libfoo.so.1")
    ]
    assert _kinds(verify(outcome.plan, workshop.store).problems) == [
        ("unresolved-library", b"bin/run", b"libfoo.so.1")
    ]


def test_a_library_that_is_no_longer_found_is_a_problem_of_a_cache_too(
    workshop: Workshop, tmp_path: Path
) -> None:
    old = workshop.library("foo-1.0", _FOO)
    new = workshop.library("foo-1.1", _FOO, soname="libfoo.so.2", file="libfoo.so.2")
    app = workshop.program("app", _MAIN, [old])
    to = WritableCache.create(f"file://{tmp_path}/to", workshop.store.store_dir)
    with cache_of(workshop.store, tmp_path / "cache") as cache, to:
        outcome = apply(cache, [app], {old: new}, to=to, allow_abi_breaks=True)
        assert outcome.proof is not None
        found = outcome.proof.problems
        assert [problem.path for problem in found] == [outcome.plan.moved[app]]
        assert found == verify(outcome.plan, cache, target=to).problems
    assert _kinds(found) == [("unresolved-library", b"bin/run", b"libfoo.so.1")]


def _kinds(problems: Iterable[object]) -> list[tuple[object, ...]]:
    return [
        tuple(getattr(problem, name) for name in ("kind", "file", "library"))
        for problem in problems
    ]
