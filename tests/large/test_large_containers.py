"""What hides in files, on top of the large set: openssl, zlib and glibc against their rebuilds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests import debpkgs_graft
from tests.debpkgs.built import large
from tests.debpkgs.contained import TOOLS
from tests.debpkgs.equality import Status
from tests.debpkgs_graft import MARKS, Grafted, names
from tests.jobs.test_containers_with_rebuild import CONTAINERS, DIFFERENCES

pytestmark = [pytest.mark.large, *MARKS, pytest.mark.needs(*TOOLS)]

# Of 440 paths, beside the four that are equal inside.
COUNTS = {
    "openssl": {Status.SHARED: 381, Status.EQUAL: 54, Status.ORDER: 1},
    "zlib1g": {Status.SHARED: 16, Status.EQUAL: 419, Status.ORDER: 1},
    "glibc": {Status.SHARED: 1, Status.EQUAL: 434, Status.ORDER: 1},
}


@pytest.fixture(scope="module", params=["openssl", "zlib", "glibc"])
def grafted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grafted]:
    built = large(variant=request.param)
    if not built.variant.equal_length:
        pytest.skip("names of unequal length: rebuilt ELF files are laid out anew")
    with debpkgs_graft.grafted_with_containers(built, tmp_path_factory.mktemp("grafted")) as done:
        yield done


def test_every_path_equals_the_rebuilt_one_or_it_is_explained_why_not(grafted: Grafted) -> None:
    assert grafted.table.unexpected == [], grafted.table.render()
    assert names(grafted.table.with_status(Status.INSIDE)) == CONTAINERS
    assert grafted.counts == {**COUNTS[grafted.built.variant.name], Status.INSIDE: 4}
    told = Counter(found.kind for row in grafted.table.rows for found in row.differences)
    assert told == DIFFERENCES


def test_nothing_of_old_is_left(grafted: Grafted) -> None:
    assert grafted.document["proof"]["residual"] == []
