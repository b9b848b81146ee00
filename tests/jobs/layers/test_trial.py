"""No sample made at random, once it is grafted, is wrong without a word."""

from __future__ import annotations

import os
import random

import pytest

from tests.jobs.layers.recipe import recipe
from tests.jobs.layers.trial import Tally, trials

FEW = 1000
CASES = int(os.environ.get("GRAFT_TEST_SAMPLES", FEW))
"""How many samples are tried: 100,000 in `make test-thorough`."""
SEED = int(os.environ.get("GRAFT_TEST_SEED", "0")) or (
    1 if CASES == FEW else random.randrange(1 << 30)
)
"""The same samples in each run of `make test`, others in each thorough run."""
PARTS = 4
"""Tests among which the samples are dealt out."""


def _found(tally: Tally) -> str:
    return "\n".join([f"{dict(tally.counts)}", *tally.faults])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_samples_in_layers_are_right_or_told(part: int) -> None:
    print(f"GRAFT_TEST_SEED={SEED}")
    tally = trials(SEED + part, CASES // PARTS)
    assert not tally.faults, _found(tally)
    assert tally.counts["right"] > CASES // PARTS // 20


def test_a_seed_always_makes_the_same_sample() -> None:
    for number in range(20):
        assert str(recipe(f"7/{number}")) == str(recipe(f"7/{number}"))
