"""The search for words in C against a naive one, with the sanitizers on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kernel.native.test_match_sanitized import HERE, NATIVE, SANITIZERS, WARNINGS


@pytest.mark.sanitize
def test_the_search_equals_the_naive_one_and_offends_no_sanitizer(tmp_path: Path) -> None:
    program = tmp_path / "check_anchors"
    sources = [HERE / "check_anchors.c", NATIVE / "anchors.c"]
    options = ["-std=c11", *WARNINGS, *SANITIZERS, f"-I{NATIVE}"]
    subprocess.run(["gcc", *options, *sources, "-o", program], check=True)
    done = subprocess.run([program, "2000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 2000
