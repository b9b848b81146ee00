"""Samples made, grafted in every way, and judged."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity.hazard import NEW, OLD, Sample, StaleError
from tests.fidelity.ways import WAYS


@dataclass(frozen=True)
class Verdict:
    """What became of a sample in one way.

    Attributes:
        word: `right`: the tool shows NEW. `missed`: OLD is still in it, or something stale, and
            nobody says so. `reported`: the same, but it is said. `broken`: the tool rejects it.
        told: what was said.
    """

    word: str
    told: tuple[str, ...]


def missing(sample: Sample) -> list[str]:
    """The programs that it needs and that are not here."""
    return [tool for tool in (*sample.needs, "nix-store") if shutil.which(tool) is None]


def verdicts(sample: Sample, directory: Path) -> dict[str, Verdict]:
    """What becomes of a sample in each way.

    Args:
        directory: an empty one.
    """
    source = directory / "source"
    source.mkdir()
    sample.make(source)
    _settle(source)
    shown = sample.read(source)
    assert OLD in shown, f"{sample.name}: the tool does not show the reference: {shown[:200]!r}"
    assert NEW not in shown
    return {name: _verdict(sample, name, source, directory / name) for name in WAYS}


def _verdict(sample: Sample, way: str, source: Path, target: Path) -> Verdict:
    try:
        told = WAYS[way](source, target, sample)
        _settle(target)
        state = _state(sample, target)
    except Exception:  # noqa: BLE001 - whatever a tool or a reader finds wrong with it
        return Verdict("broken", ())
    if state == "missed" and told:
        state = "reported"
    if state == "broken" and told:
        state = "broken, and reported"
    return Verdict(state, tuple(told) if state != "right" else ())


def _state(sample: Sample, target: Path) -> str:
    try:
        shown = sample.read(target)
    except StaleError:
        return "missed"
    except Exception:  # noqa: BLE001 - as above
        return "broken"
    if OLD in shown:
        return "missed"
    return "right" if NEW in shown else "broken"


def _settle(tree: Path) -> None:
    """The times of a store."""
    for directory, _, files in os.walk(os.fsencode(tree)):
        for name in (b"", *files):
            os.utime(os.path.join(directory, name), (1, 1), follow_symlinks=False)
