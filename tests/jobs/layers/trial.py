"""Samples made at random that refer to OLD, many in a store object: grafted, and judged.

A sample is *right* if each layer comes off it and its text is NEW's; *told* if it is not, and the
proof names its file; else it is *silent*.

    python -m tests.jobs.layers.trial --cases 3000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.jobs.layers.batch import MODES, Batch, Mode
from tests.jobs.layers.recipe import Recipe, recipe

SIZE: Final = 50
"""Samples in one store object."""


@dataclass(slots=True)
class Tally:
    """What became of samples.

    Attributes:
        counts: right, told, silent.
        faults: a line for each sample that is silent.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def smallest(fault: Recipe, mode: Mode) -> Recipe:
    """A silent sample with as few layers as are needed for that."""
    index = 0
    while index < len(fault.layers):
        less = fault.without(index)
        try:
            (result,) = Batch((less,), fault.seed, mode).judged()
        except UnicodeError:  # a spelling of texts alone
            result = "none"
        fault, index = (less, 0) if result.startswith("silent") else (fault, index + 1)
    return fault


def trials(
    seed: int, total: int, *, most_faults: int = 10, watch: Callable[[Tally], object] = id
) -> Tally:
    """What becomes of so many samples.

    Args:
        seed: of all of them.
        most_faults: no more are looked at.
        watch: is given all that is known after each batch.
    """
    tally = Tally()
    for first in range(0, total, SIZE):
        mode = MODES[first // SIZE % len(MODES)]
        numbers = range(first, min(first + SIZE, total))
        recipes = tuple(recipe(f"{seed}/{number}") for number in numbers)
        for each, result in zip(recipes, Batch(recipes, f"{seed}", mode).judged(), strict=True):
            word = result.partition(":")[0]
            tally.counts[word] += 1
            if word == "silent" and len(tally.faults) < most_faults:
                tally.faults.append(f"{mode} {smallest(each, mode)}: {result}")
        watch(tally)
    return tally


def main() -> int:
    """Says what became of the samples, and shows those that are silent."""
    parser = argparse.ArgumentParser(description="Grafts samples made at random.")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--faults", type=int, default=50)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    shown = 0

    def watch(tally: Tally) -> None:
        nonlocal shown
        if len(tally.faults) > shown:
            print(*tally.faults[shown:], sep="\n", flush=True)
        shown = len(tally.faults)

    tally = trials(arguments.seed, arguments.cases, most_faults=arguments.faults, watch=watch)
    print(dict(tally.counts))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
