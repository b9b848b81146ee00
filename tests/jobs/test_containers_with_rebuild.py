"""What hides in containers, byte code, sums and code: the graft makes what the rebuild makes."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import debpkgs_graft
from tests.debpkgs.built import small
from tests.debpkgs.contained import TOOLS
from tests.debpkgs.equality import Status
from tests.debpkgs.inside import EXPLAINED
from tests.debpkgs_graft import MARKS, Grafted, names

pytestmark = [*MARKS, pytest.mark.slow, pytest.mark.needs(*TOOLS)]

CONTAINERS = ["bundles", "compiled", "documented", "installed"]
# Of 86 paths, beside the four that are equal inside.
COUNTS = {
    "openssl": {Status.SHARED: 67, Status.EQUAL: 14, Status.ORDER: 1},
    "glibc": {Status.SHARED: 1, Status.EQUAL: 80, Status.ORDER: 1},
}
# How many files differ, and why.
DIFFERENCES = {
    "packed": 35,
    "packed, sums": 1,
    "packing": 2,
    "sums": 3,
    "build id, sums": 1,
    "build id, debug strings": 1,
    "order": 1,
}


@pytest.fixture(scope="module", params=["openssl", "glibc"])
def grafted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grafted]:
    built = small(variant=request.param)
    if not built.variant.equal_length:
        pytest.skip("names of unequal length: rebuilt ELF files are laid out anew")
    with debpkgs_graft.grafted_with_containers(built, tmp_path_factory.mktemp("grafted")) as done:
        yield done


def test_every_path_equals_the_rebuilt_one_or_it_is_explained_why_not(grafted: Grafted) -> None:
    assert grafted.table.unexpected == [], grafted.table.render()
    assert names(grafted.table.with_status(Status.INSIDE)) == CONTAINERS
    assert grafted.counts == {**COUNTS[grafted.built.variant.name], Status.INSIDE: 4}
    told = Counter(found.kind for row in grafted.table.rows for found in row.differences)
    assert {kind for kinds in told for kind in kinds.split(", ")} <= EXPLAINED.keys()
    assert told == DIFFERENCES


def test_nothing_of_old_is_left_and_no_file_was_left_alone(grafted: Grafted) -> None:
    assert grafted.document["proof"]["residual"] == []
    outcomes = grafted.document["fixups"]
    assert [outcome for outcome in outcomes if outcome["outcome"] == "left-alone"] == []
    used = {outcome["fixup"] for outcome in outcomes}
    assert used >= {"ar", "bzip2", "checksums", "elf", "gzip", "initrd", "lz4", "pyc", "record"}
    assert used >= {"tar", "xz", "zip", "zstd"}


@pytest.mark.parametrize("compiler", ["gcc", "gcc-O3", "clang", "linked"])
def test_programs_copy_and_compare_the_path_of_new(grafted: Grafted, compiler: str) -> None:
    program = Path(grafted.new_root, "compiled", "bin", compiler)
    done = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True)
    new = min(grafted.built.replacements.values(), key=len)
    assert done.stdout.splitlines() == [f"{new}/lib", Path(new).name, "1"]


def test_nix_finds_every_path_whole(grafted: Grafted) -> None:
    grafted.verify()
