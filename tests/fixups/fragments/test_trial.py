"""No program made at random, once it is grafted, says anything that nobody was told of."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from tests.fixups.fragments.trial import Result, trials

FEW = 200
CASES = int(os.environ.get("GRAFT_TEST_CASES", FEW))
"""How many functions with store paths are tried: 20,000 in `make test-thorough`."""
SEED = int(os.environ.get("GRAFT_TEST_SEED", "0")) or (
    30_000 if CASES == FEW else random.randrange(1 << 30)
)
"""The same programs in each run of `make test`, others in each thorough run."""
OTHERS = ("clang", "g++", "clang++")

pytestmark = pytest.mark.slow


def _found(result: Result) -> str:
    return "\n\n".join([f"{dict(result.counts)}", *result.faults[:5]])


@pytest.mark.needs("gcc")
def test_what_grafted_programs_say_is_right_or_told() -> None:
    compilers = ["gcc", *filter(shutil.which, OTHERS)]
    print(f"GRAFT_TEST_SEED={SEED}")
    result = trials(SEED, CASES, compilers)
    assert not result.faults, _found(result)
    assert result.counts["right"] > CASES // 4


@pytest.mark.needs("aarch64-linux-gnu-gcc")
@pytest.mark.needs("qemu-aarch64-static")
def test_what_grafted_programs_of_64_bit_arm_say_is_right_or_told() -> None:
    result = trials(SEED, CASES // 20, ["aarch64-linux-gnu-gcc"])
    assert not result.faults, _found(result)
    assert result.counts["right"]


@pytest.mark.needs("rustc")
def test_what_grafted_programs_of_rust_say_is_right_or_told() -> None:
    result = trials(SEED, CASES // 20, ["rustc"])
    assert not result.faults, _found(result)
    assert result.counts["right"]
