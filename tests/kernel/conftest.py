"""One suite for both twins: whoever asks for `table` is run with the native and the reference's."""

from __future__ import annotations

import os

import pytest

from graft.kernel import native_table, reference
from graft.kernel.native import load

type_of_table = type[reference.Table]


def _native(variant: str) -> type_of_table:
    module = load()
    if module is None:
        if os.environ.get("GRAFT_TEST_REQUIRE_ALL") == "1":
            pytest.fail("the extension is not built")
        pytest.skip("the extension is not built")
    return native_table(module, variant)


def _variants() -> list[str]:
    module = load()
    return ["portable"] if module is None else module.variants()


@pytest.fixture(scope="session", params=[*_variants(), "reference"])
def table(request: pytest.FixtureRequest) -> type_of_table:
    """The class Table of a variant of the native kernel, or of the reference."""
    return reference.Table if request.param == "reference" else _native(request.param)


@pytest.fixture(scope="session", params=_variants())
def native(request: pytest.FixtureRequest) -> type_of_table:
    """The native class Table of a variant."""
    return _native(request.param)
