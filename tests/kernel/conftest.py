"""One suite for both twins: whoever asks for `table` is run with the native and the reference's."""

from __future__ import annotations

import os

import pytest

from graft.kernel import native_table, reference
from graft.native import load

type_of_table = type[reference.Table]


def _native() -> type_of_table:
    module = load()
    if module is None:
        if os.environ.get("GRAFT_TEST_REQUIRE_ALL") == "1":
            pytest.fail("the extension is not built")
        pytest.skip("the extension is not built")
    return native_table(module)


@pytest.fixture(scope="session", params=["native", "reference"])
def table(request: pytest.FixtureRequest) -> type_of_table:
    """The class Table of a twin."""
    return _native() if request.param == "native" else reference.Table


@pytest.fixture(scope="session")
def native() -> type_of_table:
    """The native class Table."""
    return _native()
