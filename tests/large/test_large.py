"""openssl deep in the large set's closure, 435 paths and 2.8 GiB: the graft equals the rebuild."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import debpkgs_graft
from tests.debpkgs import smoke
from tests.debpkgs.built import large
from tests.debpkgs.equality import Status
from tests.debpkgs_graft import MARKS, Grafted, manifest, names

pytestmark = [pytest.mark.large, *MARKS]

# Of 435 paths. Openssl's two are among the shared ones: NEW refers to nothing that moves.
COUNTS = {Status.SHARED: 381, Status.EQUAL: 53, Status.ORDER: 1}
REWRITTEN = 47

# These have openssl among their inputs, through Kerberos: by way of glibc's headers, or of CUPS.
# Nothing they were built with led it into their bytes.
ONLY_BUILT_WITH_OPENSSL = [
    "emacs",
    "gcc12",
    "libc6-dev",
    "libgccjit0",
    "openjdk-17-jdk-headless",
    "openjdk-17-jre-headless",
    "rustc",
]


@pytest.fixture(scope="module")
def grafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafted]:
    built = large()
    if not built.variant.equal_length:
        pytest.skip("names of unequal length: rebuilt ELF files are laid out anew")
    with debpkgs_graft.grafted(built, tmp_path_factory.mktemp("grafted")) as done:
        yield done


def test_every_path_equals_the_rebuilt_one(grafted: Grafted) -> None:
    assert grafted.table.unexpected == [], grafted.table.render()
    assert grafted.counts == Counter(COUNTS)
    assert set(grafted.built.replacements.values()) <= set(grafted.new_closure)


def test_the_only_difference_is_a_list_sorted_by_store_path(grafted: Grafted) -> None:
    assert grafted.differences() == {"large-path": ["manifest: order"]}
    rebuilt = manifest(grafted.rebuilt_root)
    assert rebuilt == sorted(rebuilt)


def test_what_leads_to_openssl_is_rewritten_and_nothing_else(grafted: Grafted) -> None:
    assert grafted.rewritten.keys() == grafted.referring
    assert len(grafted.rewritten) == grafted.document["rewritten_paths"] == REWRITTEN


def test_seven_paths_were_only_built_with_openssl_and_equal_their_rebuild(
    grafted: Grafted,
) -> None:
    assert names(grafted.left_alone.values()) == ONLY_BUILT_WITH_OPENSSL
    assert grafted.left_alone.keys() == grafted.built_with - grafted.referring
    assert {row.status for row in grafted.left_alone.values()} == {Status.EQUAL}


def test_sizes_and_references_are_registered_as_those_of_the_rebuild(grafted: Grafted) -> None:
    assert grafted.registered_as_rebuilt() == grafted.registered(grafted.rebuilt_root)


def test_every_program_runs_on_the_new_openssl_and_on_nothing_old(grafted: Grafted) -> None:
    results = smoke.run(grafted.link)
    assert [result for result in results if not result.ok] == []
    told = {result.name: result.line for result in results}
    assert told.keys() >= {"emacs-nox", "firefox-esr", "gimp-2.10", "nginx", "node", "soffice"}
    assert grafted.mapped_by_python() <= set(grafted.new_closure)
    assert grafted.built.variant.new_text in told["python"]


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("postgresql", "lib/postgresql/15/bin/postgres"),
        ("php8.2-cli", "bin/php8.2"),
        ("llvm-14", "bin/llvm-objdump-14"),
        ("openjdk-17-jre-headless", "lib/jvm/java-17-openjdk-amd64/bin/java"),
    ],
)
def test_programs_that_the_root_has_no_link_to_run_too(
    grafted: Grafted, name: str, program: str
) -> None:
    (path,) = (row.grafted for row in grafted.table.rows if names([row]) == [name])
    subprocess.run([f"{path}/{program}", "--version"], env={}, stdout=subprocess.PIPE, check=True)


def test_openssl_is_gone_from_every_byte(grafted: Grafted) -> None:
    proof = grafted.document["proof"]
    assert (proof["scope"], proof["paths"]) == ("closure", len(grafted.new_closure))
    assert proof["residual"] == proof["problems"] == []


def test_nix_finds_every_path_whole(grafted: Grafted) -> None:
    grafted.verify()
