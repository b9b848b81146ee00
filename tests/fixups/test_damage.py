"""A damaged file and a machine in trouble are told apart."""

from __future__ import annotations

import errno
import zlib

import pytest

from graft.fixups import LeftAloneError, Limits, Registry
from graft.fixups.api import Fixup, Inside
from graft.fixups.damage import DAMAGE, damage
from tests.fixups.samples import OLD, TABLE


class Failing(Fixup):
    name = "failing"
    magics = ((0, b"FAIL"),)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        del data, name, inside
        raise self._error


def failing(error: BaseException) -> Registry:
    return Registry((Failing(error),), frozenset({"failing"}), Limits())


TROUBLE = [MemoryError(), *(OSError(n, "") for n in (errno.EIO, errno.EMFILE, errno.ENOSPC))]


@pytest.mark.parametrize("error", TROUBLE, ids=repr)
def test_trouble_of_the_machine_is_no_property_of_a_file(error: BaseException) -> None:
    with pytest.raises(type(error)):
        failing(error).rewrite(b"FAIL" + OLD, b"a", TABLE)
    with pytest.raises(type(error)):
        failing(error).references(b"FAIL" + OLD, b"a", TABLE)


@pytest.mark.parametrize("error", [TypeError("x"), AttributeError("x"), AssertionError("x")])
def test_a_defect_of_a_fixup_is_no_property_of_a_file(error: Exception) -> None:
    with pytest.raises(type(error)):
        failing(error).rewrite(b"FAIL" + OLD, b"a", TABLE)


@pytest.mark.parametrize("kind", list(DAMAGE), ids=lambda kind: kind.__name__)
def test_damage_leaves_a_file_alone(kind: type[Exception]) -> None:
    data = b"FAIL" + OLD
    new, [outcome] = failing(kind("so it is")).rewrite(data, b"a", TABLE)
    assert new is data
    assert outcome.outcome == "left-alone"
    assert outcome.reason == f"it cannot be read: {kind.__name__}: {kind('so it is')}"
    places, [outcome] = failing(kind("so it is")).references(data, b"a", TABLE)
    assert (len(places), outcome.outcome) == (1, "left-alone")


def test_no_error_of_the_machine_counts_as_damage() -> None:
    assert not issubclass(MemoryError, DAMAGE)
    assert not issubclass(OSError, DAMAGE)
    assert not issubclass(LeftAloneError, DAMAGE)


@pytest.mark.parametrize(
    "error",
    [
        zlib.error("Error -4 while decompressing data"),
        RuntimeError("LZ4F_decompress failed with code: ERROR_allocation_failed"),
        ValueError("Unable to decompress Zstandard data: Allocation error : not enough memory"),
    ],
    ids=str,
)
def test_a_library_that_has_no_memory_does_not_call_the_file_damaged(error: Exception) -> None:
    with pytest.raises(MemoryError):
        damage(error)
    assert damage(zlib.error("Error -3 while decompressing data")).startswith("Error -3")
