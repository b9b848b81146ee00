"""The matcher in C on structured inputs, against a naive search, with the sanitizers on."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from graft.kernel import native

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "graft" / "kernel" / "native"
CORPUS = HERE / "corpus" / "match"
INPUTS = int(os.environ.get("GRAFT_TEST_FUZZ_INPUTS", "600"))

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"]
SANITIZERS = [
    *("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "-fno-omit-frame-pointer",
]


def compiled(compiler: str, flags: Sequence[str], program: Path) -> Path:
    """The fuzz target with its own main."""
    sources = [NATIVE / "entries.c", NATIVE / "match.c", *sorted(NATIVE.glob("windows_*.c"))]
    options = ["-std=c11", *WARNINGS, *flags, "-DGRAFT_FUZZ_MAIN", f"-I{NATIVE}"]
    command: list[str | Path] = [compiler, *options, HERE / "fuzz_match.c", *sources]
    subprocess.run([*command, "-o", program], check=True)
    return program


def seen(*command: str | Path) -> tuple[set[str], dict[str, int]]:
    """The variants that ran, and the counts of what they found."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    variants = set(re.findall(r"variant: (\S+)", done.stdout))
    counts = re.findall(r"(\S+) (\d+)", done.stdout.splitlines()[-1])
    return variants, {name: int(count) for name, count in counts}


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("gcc", SANITIZERS, tmp_path_factory.mktemp("fuzz") / "fuzz_match")


@pytest.mark.sanitize
def test_every_variant_equals_the_naive_search_and_offends_no_sanitizer(fuzzer: Path) -> None:
    variants, counts = seen(fuzzer, str(INPUTS))
    if native is not None:
        assert variants == set(native.variants())
    assert counts["inputs"] == INPUTS
    # The inputs are worth their time: they hold hits of every kind.
    assert min(counts.values()) > INPUTS / 2, counts


@pytest.mark.sanitize
def test_the_inputs_that_a_fuzzer_kept_still_pass(fuzzer: Path) -> None:
    files = sorted(CORPUS.iterdir())
    _, counts = seen(fuzzer, "--files", *files)
    assert counts["inputs"] == len(files) > 20
    assert counts["hits"] > 0


@pytest.mark.sanitize
@pytest.mark.needs("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
def test_the_neon_variant_equals_the_naive_search(tmp_path: Path) -> None:
    program = compiled("aarch64-linux-gnu-gcc", ["-O2", "-static"], tmp_path / "fuzz_match")
    variants, counts = seen("qemu-aarch64-static", program, str(INPUTS))
    assert variants == {"neon", "portable"}
    assert min(counts.values()) > INPUTS / 2, counts
