"""match.c on structured inputs, with the sanitizers on, against a naive search in C."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parent.parent / "graft" / "native"
INPUTS = int(os.environ.get("GRAFT_TEST_FUZZ_INPUTS", "800"))

FLAGS = [
    *("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fuzz target with its own main, compiled."""
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_match"
    sources = [HERE / "fuzz_match.c", NATIVE / "match.c"]
    subprocess.run(
        ["gcc", *FLAGS, "-DGRAFT_FUZZ_MAIN", "-I", NATIVE, *sources, "-o", program], check=True
    )
    return program


@pytest.mark.sanitize
def test_the_matcher_equals_the_naive_search_and_offends_no_sanitizer(fuzzer: Path) -> None:
    done = subprocess.run([fuzzer, str(INPUTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = {name: int(count) for name, count in re.findall(r"(\S+) (\d+)", done.stdout)}
    assert seen["inputs"] == INPUTS
    # The inputs are worth their time: they hold hits of every kind.
    assert min(seen.values()) > INPUTS / 2, seen
