"""The small set of real programs, for the files that compare the ways on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.debpkgs.built import small
from tests.ways.compare.real_closure import SmallSet


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallSet]:
    """For one file's tests alone; then the store is as it was."""
    built = small()
    with built.checkout() as store:
        yield SmallSet(built, store, tmp_path_factory.mktemp("made"))
