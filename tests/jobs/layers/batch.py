"""Samples in one store object: grafted together, and judged one by one."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.jobs.outcome import Outcome
from graft.objects.reading import as_tree
from graft.store.api import Source
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.caches import cache_of, new_cache
from tests.jobs.layers.guards import listed
from tests.jobs.layers.layer import Reference
from tests.jobs.layers.recipe import Recipe
from tests.store_objects import Contents, add_object, close_stores, opened

Mode = Literal["registered", "summed", "cached", "hidden"]
"""How the object with the samples is grafted: as usual; with the sums that files beside keep made
anew; from one cache into another; or not at all, for it is not registered to refer to OLD."""

MODES: Final[tuple[Mode, ...]] = ("registered", "summed", "cached", "hidden")


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
                # The store directory is the same anywhere: so a seed makes the same bytes.
                location = Location.at_root(directory)
                LocalStore.create(location)
                return self._judged(opened(location), Path(directory))
            finally:
                close_stores()

    def _judged(self, store: LocalStore, directory: Path) -> list[str]:
        renamed = random.Random(self.seed).choice(("dep-1.0", "dep-1.1"))
        old = add_object(store, "dep-1.0", {"file": b"old\n"}, salt=f"old {self.seed}")
        new = add_object(store, renamed, {"file": b"new\n"}, salt=f"new {self.seed}")
        one, two = (Reference(b"/nix/store", str(each).encode()) for each in (old, new))
        references = [] if self.mode == "hidden" else [old]
        samples = add_object(store, "samples-1", self._files(one), references)
        full = store.store_dir.path
        links: dict[str, Contents] = {"samples": full(samples), "old": full(old)}
        root = add_object(store, "root-1", links, [samples, old])
        with self._grafted(store, directory, root, {old: new}) as (outcome, result):
            place = outcome.plan.moved.get(samples, samples)
            told = _told(outcome, place)
            with as_tree(result.store_object(place)) as item:
                top = Path(item.tree)
                return [
                    self._result(each, _name(index), top, two, told)
                    for index, each in enumerate(self.recipes)
                ]

    def _files(self, reference: Reference) -> dict[str, Contents]:
        files: dict[str, Contents] = {}
        for index, each in enumerate(self.recipes):
            name, made = _name(index), each.made(reference)
            wrong = _wrong(each, made, reference)
            assert wrong is None, f"{each} is not whole as it was made: {wrong}"
            files[name] = made
            if self._keeps_sum(each):
                files[f"{name}.{each.beside}"] = listed(each.beside, made, name)
        return files

    def _keeps_sum(self, sample: Recipe) -> bool:
        return bool(sample.beside) and self.mode == "summed"

    @contextmanager
    def _grafted(
        self,
        store: LocalStore,
        directory: Path,
        root: StorePath,
        replacements: dict[StorePath, StorePath],
    ) -> Iterator[tuple[Outcome, Source]]:
        """The outcome, and where the result is."""
        if self.mode == "cached":
            source, target = cache_of(store, directory / "source"), new_cache(directory / "target")
            outcome = apply(
                source,
                [root],
                replacements,
                to=target,
                jobs=1,
                allow_missing_files=True,
                trusted_public_keys=None,
            )
            yield outcome, target
            return
        fixups = ["checksums"] if self.mode == "summed" else []
        yield (
            apply(store, [root], replacements, jobs=1, allow_missing_files=True, fixups=fixups),
            store,
        )

    def _result(
        self, sample: Recipe, name: str, top: Path, reference: Reference, told: set[str]
    ) -> str:
        data = (top / name).read_bytes()
        beside = f"{name}.{sample.beside}"
        if self._keeps_sum(sample) and beside not in told:
            right = listed(sample.beside, data, name)
            if (top / beside).read_bytes() != right:
                return f"silent: the {sample.beside} beside is wrong"
        wrong = _wrong(sample, data, reference)
        if wrong is None:
            return "right"
        return "told" if name in told else f"silent: {wrong}"


def _name(index: int) -> str:
    return f"{index:04}"


def _wrong(sample: Recipe, data: bytes, reference: Reference) -> str | None:
    """Why a grafted sample is not the same wrapping of NEW; None if it is."""
    try:
        text = sample.peeled(data, reference)
    except Exception as error:  # noqa: BLE001 - decoders raise what they like for wrong bytes
        return f"{type(error).__name__}: {error}"
    return None if text == sample.contents(reference) else "its text is not NEW's"


def _told(outcome: Outcome, place: StorePath) -> set[str]:
    """The files of an object that keep the proof from saying that OLD is gone, or whose sum of
    another file a warning tells of.
    """
    proof = outcome.proof
    assert proof is not None
    named = {each.place.file for each in proof.residual if each.path == place and each.place}
    named |= {each.file for path, each in proof.unread if path == place}
    named |= {file for path, file in proof.unknown if path == place}
    assert (proof.verdict == "gone") == (not named)
    sums = [each.message for each in outcome.warnings if each.kind == "foreign-checksum"]
    return {file.decode() for file in named} | {
        message.partition("'")[2].partition("'")[0].rpartition("/")[2] for message in sums
    }
