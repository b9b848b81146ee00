"""The guide for a fix-up is followed to the letter: its code is installed, and grafts a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.fixups import registered
from graft.kernel import Table

ROOT = Path(__file__).parents[2]
OLD, NEW = b"w" * 32 + b"-lib-1.0", b"x" * 32 + b"-lib-1.1"
TABLE = Table([(OLD, NEW)])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The guide's fix-up as a package of its own, found by its entry point."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "catalogue_of_the_guide.py").write_text(code)
    metadata = tmp_path / "catalogue_of_the_guide-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: catalogue-of-the-guide\nVersion: 1\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[graft.fixups]\ncatalogue = catalogue_of_the_guide:Catalogue\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registered.cache_clear()
    yield
    registered.cache_clear()
    sys.modules.pop("catalogue_of_the_guide", None)


def catalogue(body: bytes) -> bytes:
    return b"CATALOG1" + body + (sum(body) % 2**32).to_bytes(4)


@pytest.mark.usefixtures("installed")
def test_the_fixup_of_the_guide_rewrites_its_type() -> None:
    new, [outcome] = registered().rewrite(catalogue(OLD), b"list.cat", TABLE)
    assert new == catalogue(NEW)
    assert (outcome.fixup, outcome.outcome) == ("catalogue", "rewritten")


@pytest.mark.usefixtures("installed")
def test_the_fixup_of_the_guide_leaves_a_damaged_file_alone() -> None:
    whole = catalogue(OLD)
    damaged = whole[:-1] + bytes([whole[-1] ^ 1])
    new, [outcome] = registered().rewrite(damaged, b"list.cat", TABLE)
    assert new == damaged
    assert outcome.reason == "its checksum does not fit its contents"


def test_without_the_guide_the_checksum_would_be_wrong() -> None:
    registered.cache_clear()
    new, outcomes = registered().rewrite(catalogue(OLD), b"list.cat", TABLE)
    assert (new, outcomes) == (catalogue(OLD).replace(OLD, NEW), [])
