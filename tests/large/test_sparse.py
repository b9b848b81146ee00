"""A sparse file of 100 GiB, read in flat memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.large

WANTED = "0123456789abcdfghijklmnpqrsvwxyz"
SIZE = 100 << 30


def test_a_reference_at_the_end_of_100_gib_is_found_in_flat_memory(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as stream:
        stream.truncate(SIZE)
        stream.seek(SIZE - 100)
        stream.write(WANTED.encode())
    command = [sys.executable, "-m", "graft", "scan", "--json", str(file), "--for", WANTED]
    result = subprocess.run(command, capture_output=True, check=True)
    (found,) = json.loads(result.stdout)["references"]
    assert found["offset"] == SIZE - 100
    assert os.stat(file).st_blocks * 512 < 1 << 20
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # KiB, of any child until now
    assert peak < 256 << 10
