"""What the page says of each sample is what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fidelity.hazard import Sample
from tests.fidelity.hazards import HAZARDS, OUTSIDE, SAMPLES
from tests.fidelity.table import row
from tests.fidelity.verdict import verdicts

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "fidelity.md"


def test_every_hazard_has_a_sample_or_a_reason() -> None:
    assert {sample.hazard for sample in SAMPLES} == set(HAZARDS) - set(OUTSIDE)
    assert len({(sample.hazard, sample.name) for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.slow
@pytest.mark.nix
@pytest.mark.parametrize(
    ("sample", "first"),
    [
        pytest.param(
            sample,
            index == 0 or SAMPLES[index - 1].hazard != sample.hazard,
            marks=pytest.mark.needs(*sample.needs),
            id=f"{sample.hazard[:20]}, {sample.name}",
        )
        for index, sample in enumerate(SAMPLES)
    ],
)
def test_a_sample_comes_out_as_the_page_says(sample: Sample, first: bool, tmp_path: Path) -> None:
    found = verdicts(sample, tmp_path)
    assert found["graft"].word not in {"missed", "broken"}
    assert f"\n{row(sample, found, first=first)}\n" in PAGE.read_text(encoding="utf-8")
