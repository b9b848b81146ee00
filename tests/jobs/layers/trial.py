"""Samples made at random that refer to OLD, many in a store object: grafted, and judged.

A sample is *right* if each layer comes off it and its text is NEW's; *told* if it is not, and the
proof names its file; else it is *silent*.

    python -m tests.jobs.layers.trial --cases 3000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.jobs.layers.guards import listed
from tests.jobs.layers.layer import Reference
from tests.jobs.layers.recipe import Recipe, recipe
from tests.store_objects import Contents, add_object, close_stores, opened

Mode = Literal["registered", "summed", "hidden"]
"""How the object with the samples is grafted: as usual; with the sums that files beside keep made
anew; or not at all, for it is not registered to refer to OLD."""
MODES: Final[tuple[Mode, ...]] = ("registered", "summed", "registered", "hidden")

BATCH: Final = 50


@dataclass(slots=True)
class Tally:
    """What became of samples.

    Attributes:
        counts: right, told, silent.
        faults: a line for each sample that is silent.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that are grafted together.

    Attributes:
        recipes: of the samples.
        seed: of the names of OLD and NEW.
        mode: how their object is grafted.
    """

    recipes: tuple[Recipe, ...]
    seed: str
    mode: Mode

    def judged(self) -> list[str]:
        """What becomes of each sample: `right`, `told`, or `silent` and why."""
        with tempfile.TemporaryDirectory(prefix="layers-") as directory:
            try:
                location = Location.at_root(
                    directory
                )  # so that a seed makes the same bytes anywhere
                LocalStore.create(location)
                return self._judged(opened(location))
            finally:
                close_stores()

    def _judged(self, store: LocalStore) -> list[str]:
        renamed = random.Random(self.seed).choice(("dep-1.0", "dep-1.1"))
        old = add_object(store, "dep-1.0", {"file": b"old\n"}, salt=f"old {self.seed}")
        new = add_object(store, renamed, {"file": b"new\n"}, salt=f"new {self.seed}")
        full = store.store_dir.path
        one, two = (
            Reference(str(store.store_dir).encode(), str(each).encode()) for each in (old, new)
        )
        files: dict[str, Contents] = {}
        for index, each in enumerate(self.recipes):
            made = each.made(one)
            files[_name(index)] = made
            if each.beside and self.mode == "summed":
                name = f"{_name(index)}.{each.beside}"
                files[name] = listed(each.beside, made, _name(index))
            wrong = _wrong(each, made, one)
            assert wrong is None, f"{each} is not whole as it was made: {wrong}"
        samples = add_object(store, "samples-1", files, [] if self.mode == "hidden" else [old])
        links: dict[str, Contents] = {"samples": full(samples), "old": full(old)}
        root = add_object(store, "root-1", links, [samples, old])
        fixups = ["checksums"] if self.mode == "summed" else []
        outcome = apply(store, [root], {old: new}, jobs=1, allow_missing_files=True, fixups=fixups)
        place = outcome.plan.moved.get(samples, samples)
        named = _named(outcome, place)
        results: list[str] = []
        for index, each in enumerate(self.recipes):
            data = Path(store.tree(place), _name(index)).read_bytes()
            wrong = _wrong(each, data, two)
            told = _name(index).encode() in named
            results.append("right" if wrong is None else "told" if told else f"silent: {wrong}")
            if each.beside and self.mode == "summed":
                list_ = Path(store.tree(place), f"{_name(index)}.{each.beside}").read_bytes()
                fits = list_ == listed(each.beside, data, _name(index))
                if not fits and not _is_warned_of(outcome, f"{_name(index)}.{each.beside}"):
                    results[-1] = f"silent: the {each.beside} beside is wrong"
        return results


def _name(index: int) -> str:
    return f"{index:04}"


def _wrong(sample: Recipe, data: bytes, reference: Reference) -> str | None:
    """Why a grafted sample is not the same wrapping of NEW; None if it is."""
    try:
        text = sample.peeled(data, reference)
    except Exception as error:  # noqa: BLE001 - decoders raise what they like for wrong bytes
        return f"{type(error).__name__}: {error}"
    return None if text == sample.contents(reference) else "its text is not NEW's"


def _named(outcome: Outcome, place: StorePath) -> set[bytes]:
    """The files of an object that keep the proof from saying that OLD is gone."""
    proof = outcome.proof
    assert proof is not None
    named = {each.place.file for each in proof.residual if each.path == place and each.place}
    named |= {each.file for path, each in proof.unread if path == place}
    named |= {file for path, file in proof.unknown if path == place}
    assert (proof.verdict == "gone") == (not named)
    return named


def _is_warned_of(outcome: Outcome, name: str) -> bool:
    """Whether a warning names a file that keeps a sum of another."""
    return any(
        each.kind == "foreign-checksum" and name in each.message for each in outcome.warnings
    )


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
    for first in range(0, total, BATCH):
        mode = MODES[first // BATCH % len(MODES)]
        numbers = range(first, min(first + BATCH, total))
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
