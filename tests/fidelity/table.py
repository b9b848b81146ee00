"""The table of what becomes of each sample in each way, in Markdown."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.fidelity.hazard import Sample
from tests.fidelity.hazards import HAZARDS, OUTSIDE, SAMPLES
from tests.fidelity.verdict import Verdict, missing, verdicts

HEAD = (
    "| hazard | sample | judged by | sed | plain | graft | what graft says |\n"
    "|---|---|---|---|---|---|---|\n"
)

UNSORTED = "right, or **broken**"


def table() -> str:
    """All rows; every sample is made and judged, which takes a minute."""
    wanting = sorted({tool for sample in SAMPLES for tool in missing(sample)})
    if wanting:
        raise SystemExit(f"install {', '.join(wanting)}: without these there are no samples")
    return HEAD + "".join(f"{row}\n" for row in _rows())


def _rows() -> Iterator[str]:
    for hazard in HAZARDS:
        if hazard in OUTSIDE:
            yield f"| {hazard} | | | | | | {OUTSIDE[hazard]} |"
        for number, sample in enumerate(s for s in SAMPLES if s.hazard == hazard):
            with tempfile.TemporaryDirectory(prefix="graft-") as directory:
                yield row(sample, verdicts(sample, Path(directory)), first=number == 0)


def row(sample: Sample, found: Mapping[str, Verdict], *, first: bool) -> str:
    """One sample's.

    Args:
        first: whether it is its hazard's first.
    """
    words = [_shown(found[way].word) for way in ("sed", "plain", "graft")]
    if sample.unsorted and found["sed"].word in {"right", "broken"}:
        words[0] = UNSORTED
    hazard = sample.hazard if first else ""
    told = "; ".join(found["graft"].told)
    return f"| {' | '.join((hazard, sample.name, sample.judge, *words, told))} |"


def _shown(word: str) -> str:
    return f"**{word}**" if word in {"missed", "broken"} else word
