"""What is hidden in the result of a graft is found by the proof, and told before by a deep plan."""

from __future__ import annotations

import base64
import gzip
import subprocess
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from graft.check.verification import verify
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome, outcome_document
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.caches import cache_of, new_cache
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store_objects import add_object, opened

PROGRAM = """
#include <string.h>
int main(int count, char **words) { (void)count; strcpy(words[0], "PATH"); return 0; }
"""


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    location = Location.at_root(str(tmp_path / "here"))
    LocalStore.create(location)
    return Graftable.build(opened(location))


def hiding(it: Graftable, contents: Mapping[str, bytes]) -> StorePath:
    """A root that refers to app, and to a path without references that hides something."""
    hidden = add_object(it.store, "hidden-1", dict(contents))
    full = it.store.store_dir.path
    return add_object(it.store, "both-1", {"a": full(it.app), "b": full(hidden)}, [it.app, hidden])


def left(outcome: Outcome) -> list[tuple[str, bytes, tuple[str, ...], str]]:
    assert outcome.proof is not None
    return [
        (found.path.name, found.place.file, found.place.container, found.place.encoding)
        for found in outcome.proof.residual
        if found.place is not None
    ]


def old_page(it: Graftable) -> bytes:
    return b"see " + it.store.store_dir.path(it.old).encode() + b"\n"


def test_what_a_shared_path_hides_in_a_container_is_found_and_cured_by_a_deep_plan(
    it: Graftable,
) -> None:
    root = hiding(it, {"a.gz": gzip.compress(old_page(it), mtime=0)})
    outcome = apply(it.store, [root], {it.old: it.new})
    assert not outcome.succeeded
    assert left(outcome) == [("hidden-1", b"a.gz", ("gzip",), "ascii")]
    assert len(outcome.hidden_residual) == 1
    assert outcome.proof is not None
    [told] = outcome_document(outcome)["proof"]["residual"]
    assert (told["container"], told["offset"]) == (
        ["gzip"],
        old_page(it).index(str(it.old).encode()),
    )
    cured = apply(it.store, [root], {it.old: it.new}, deep=True)
    assert cured.succeeded
    assert verify(cured.plan, it.store).holds


def test_what_is_spelled_otherwise_is_found_and_no_plan_is_said_to_cure_it(it: Graftable) -> None:
    root = hiding(it, {"text": base64.b64encode(old_page(it))})
    for deep in (False, True):
        outcome = apply(it.store, [root], {it.old: it.new}, deep=deep)
        assert left(outcome) == [("hidden-1", b"text", (), "base64")]
        assert not outcome.succeeded
        assert not outcome.hidden_residual
        assert len(outcome.spelled_residual) == 1
        assert not outcome.plan.closure.hidden
    assert apply(it.store, [root], {it.old: it.new}, allowed=["*-hidden-1/text"]).succeeded


@pytest.mark.slow
@pytest.mark.needs("gcc")
def test_a_fragment_in_a_shared_path_is_found_and_cured_by_a_deep_plan(
    it: Graftable, tmp_path: Path
) -> None:
    source, program = tmp_path / "cut.c", tmp_path / "cut"
    source.write_text(PROGRAM.replace("PATH", it.store.store_dir.path(it.old)))
    subprocess.run(["gcc", "-O2", "-mgeneral-regs-only", "-w", "-o", program, source], check=True)
    root = hiding(it, {"cut": program.read_bytes()})
    outcome = apply(it.store, [root], {it.old: it.new})
    assert {(name, encoding) for name, _, _, encoding in left(outcome)} == {
        ("hidden-1", "fragment")
    }
    assert apply(it.store, [root], {it.old: it.new}, deep=True, allow_abi_breaks=True).succeeded


def test_what_passes_from_cache_to_cache_is_looked_into(it: Graftable, tmp_path: Path) -> None:
    root = hiding(it, {"a.gz": gzip.compress(old_page(it)), "b.br": b"?"})
    originals, target = cache_of(it.store, tmp_path / "originals"), new_cache(tmp_path / "target")
    outcome = apply(originals, [root], {it.old: it.new}, to=target)
    assert left(outcome) == [("hidden-1", b"a.gz", ("gzip",), "ascii")]
    clean = add_object(it.store, "clean-1", {"b.br": b"?", "c.gz": gzip.compress(b"nothing")})
    full = it.store.store_dir.path
    other = add_object(it.store, "other-1", {"a": full(it.app), "b": full(clean)}, [it.app, clean])
    originals = cache_of(it.store, tmp_path / "more")
    outcome = apply(originals, [other], {it.old: it.new}, to=new_cache(tmp_path / "empty"))
    assert outcome.succeeded
    [warning] = [each for each in outcome.warnings if each.kind == "not-looked-into"]
    assert warning.path == clean
    assert "b.br" in warning.message


def test_a_deep_plan_tells_what_it_will_not_reach(it: Graftable) -> None:
    signed = BytesIO()
    with zipfile.ZipFile(signed, "w", zipfile.ZIP_DEFLATED) as jar:
        jar.writestr("META-INF/A.SF", b"")
        jar.writestr("a", old_page(it) * 9)
    root = hiding(it, {"a.jar": signed.getvalue(), "b.br": b"?", "c.gz": b"\x1f\x8b\x08"})
    plan = make_plan(it.store, Graft.of([root], [(it.old, it.new)], deep=True))
    told = {warning.kind: warning.message for warning in plan.warnings}
    assert told["not-rewritten"].endswith("a.jar' will still hold OLD: it is a signed jar")
    assert "(and 1 more file)" in told["not-looked-into"]
    outcome = apply(it.store, [root], {it.old: it.new}, deep=True)
    assert not outcome.succeeded
    assert {container for _, _, container, _ in left(outcome)} == {("zip:a",)}
    assert [each.kind for each in outcome.warnings].count("not-looked-into") == 1


@pytest.mark.nix
def test_real_nix_made_and_graft_found_it(it: Graftable, tmp_path: Path) -> None:
    root = hiding(it, {"a.gz": gzip.compress(old_page(it)), "text": base64.b64encode(old_page(it))})
    RealNix(it.store.location, tmp_path).check()
    outcome = apply(it.store, [root], {it.old: it.new}, deep=True)
    assert left(outcome) == [("hidden-1", b"text", (), "base64")]
    RealNix(it.store.location, tmp_path).check()
