"""The handler of SIGBUS in C, while another thread changes its range."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kernel.native.test_match_sanitized import HERE, NATIVE, WARNINGS


@pytest.mark.sanitize
def test_a_fault_does_not_touch_a_range_that_changes_meanwhile(tmp_path: Path) -> None:
    program, empty = tmp_path / "check_mapping", tmp_path / "empty"
    options = ["-std=c11", "-O1", "-g", "-D_GNU_SOURCE", *WARNINGS, f"-I{NATIVE}", "-pthread"]
    subprocess.run(["gcc", *options, HERE / "check_mapping.c", "-o", program], check=True)
    empty.touch()
    done = subprocess.run([program, empty], check=False)
    assert done.returncode == 0
