"""zlib and glibc, deep in real programs' closure: the graft and the rebuild make the same bytes."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import debpkgs_graft
from tests.debpkgs import smoke
from tests.debpkgs.built import small
from tests.debpkgs.equality import Status
from tests.debpkgs_graft import MARKS, Grafted, manifest, names

pytestmark = [*MARKS]

# Of the small set's 81 paths: how they compare, and how many the graft rewrites.
COUNTS = {
    "zlib1g": {Status.SHARED: 16, Status.EQUAL: 64, Status.ORDER: 1},
    "glibc": {Status.SHARED: 1, Status.EQUAL: 79, Status.ORDER: 1},
}
REWRITTEN = {"zlib1g": 15, "glibc": 78}

LEADING_TO_ZLIB = [
    *("curl", "curl-bin", "curl-gnutls", "git", "librtmp1", "libssh2-1", "openssl-bin", "perl"),
    *("python3", "python3.11", "rsync", "small-path", "sqlite-bin", "system-small", "wget"),
]
NOT_LEADING_TO_GLIBC = ["liberror-perl", "tzdata"]


@pytest.fixture(scope="module", params=["zlib", "glibc"])
def grafted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grafted]:
    built = small(variant=request.param)
    with debpkgs_graft.grafted(built, tmp_path_factory.mktemp("grafted")) as done:
        yield done


def test_every_path_equals_the_rebuilt_one(grafted: Grafted) -> None:
    library = grafted.built.variant.name
    assert grafted.table.unexpected == [], grafted.table.render()
    assert grafted.counts == Counter(COUNTS[library])
    # The library itself is the very same path in both: NEW refers to nothing that moves.
    assert set(grafted.built.replacements.values()) <= set(grafted.new_closure)


def test_the_only_difference_is_a_list_sorted_by_store_path(grafted: Grafted) -> None:
    assert grafted.differences() == {"small-path": ["manifest: order"]}
    rebuilt = manifest(grafted.rebuilt_root)
    assert rebuilt == sorted(rebuilt)
    # The graft keeps the order of the original, in which the hashes were others.
    kept, original = (
        [os.path.basename(path)[33:] for path in manifest(root)]
        for root in (grafted.new_root, grafted.built.old_root)
    )
    assert kept == original


def test_what_leads_to_the_library_is_rewritten_and_nothing_else(grafted: Grafted) -> None:
    assert grafted.rewritten.keys() == grafted.referring
    assert len(grafted.rewritten) == grafted.document["rewritten_paths"]
    assert len(grafted.rewritten) == REWRITTEN[grafted.built.variant.name]
    if grafted.built.variant.name == "zlib1g":
        assert names(grafted.rewritten.values()) == LEADING_TO_ZLIB


def test_what_was_only_built_with_the_library_stays_and_equals_its_rebuild(
    grafted: Grafted,
) -> None:
    assert grafted.left_alone.keys() == grafted.built_with - grafted.referring
    assert {row.status for row in grafted.left_alone.values()} == {Status.EQUAL}
    if grafted.built.variant.name == "glibc":
        assert names(grafted.left_alone.values()) == NOT_LEADING_TO_GLIBC


def test_sizes_and_references_are_registered_as_those_of_the_rebuild(grafted: Grafted) -> None:
    assert grafted.registered_as_rebuilt() == grafted.registered(grafted.rebuilt_root)


def test_every_program_runs_on_the_new_library_and_on_nothing_old(grafted: Grafted) -> None:
    results = smoke.run(grafted.link)
    assert [result for result in results if not result.ok] == []
    mapped = grafted.mapped_by_python()
    assert mapped <= set(grafted.new_closure)
    (new,) = grafted.built.replacements.values()
    assert new in mapped
    if grafted.built.variant.name == "zlib1g":
        (told,) = (result.line for result in results if result.name == "python")
    else:
        # By its own loader: the machine's, which it names, may be another glibc's.
        libraries = f"{new}/lib/x86_64-linux-gnu"
        command = [f"{libraries}/ld-linux-x86-64.so.2", f"{libraries}/libc.so.6"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        told = told.partition("\n")[0]
    assert grafted.built.variant.new_text in told


def test_nix_finds_every_path_whole(grafted: Grafted) -> None:
    grafted.verify()
