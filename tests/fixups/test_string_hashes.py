"""Programs that hold what a compiler or a generator has made of a path that changes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from graft.fixups import registered
from tests.fixups.samples import OLD, TABLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc"),
]

PATH = f"/nix/store/{OLD.decode()}"


def _noted(tmp_path: Path, source: str, compiler: str = "gcc", *options: str) -> list[str]:
    """What is noted of a program that changes, but for its build id."""
    name = "program.cc" if compiler == "g++" else "program.c"
    (tmp_path / name).write_text(source)
    command = [compiler, *options, "-Wl,--build-id=none", name, "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    data = (tmp_path / "program").read_bytes()
    new, outcomes = registered().rewrite(data, b"program", TABLE)
    assert OLD not in new
    return [outcome.reason or "" for outcome in outcomes if outcome.outcome == "noted"]


_FNV = """
#include <cstdio>
#include <string_view>
constexpr unsigned hash(std::string_view text) {
    unsigned value = 2166136261u;
    for (char c : text) value = (value ^ (unsigned char)c) * 16777619u;
    return value;
}
int main(int count, char **words) {
    switch (hash(words[1])) {
    case hash("%s"): std::puts("dep"); break;
    default: std::puts("unknown");
    }
    std::puts("%s");
}
"""


def test_a_hash_that_the_compiler_made_of_a_path_is_noted(tmp_path: Path) -> None:
    (noted,) = _noted(tmp_path, _FNV % (PATH, PATH), "g++", "-std=c++17", "-O2")
    assert "may be a hash" in noted
    assert "of the old text" in noted


def test_a_program_that_hashes_other_texts_is_not_noted(tmp_path: Path) -> None:
    assert _noted(tmp_path, _FNV % ("another text", PATH), "g++", "-std=c++17", "-O2") == []


_TABLE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static const char *const texts[] = {%s};
static int order(const void *a, const void *b) { return strcmp(a, *(const char *const *)b); }
int main(int count, char **words) {
    size_t size = sizeof *texts;
    puts(bsearch(words[1], texts, sizeof texts / size, size, order) ? "found" : "");
}
"""


def _texts(*texts: str) -> str:
    return ", ".join(f'"{text}"' for text in texts)


@pytest.mark.parametrize("options", [("-O2",), ("-O2", "-no-pie")])
def test_a_table_in_order_of_its_texts_is_noted(tmp_path: Path, options: tuple[str, ...]) -> None:
    texts = [PATH, *(f"/nix/store/{letter}" for letter in "abcdfg")]
    (noted,) = _noted(tmp_path, _TABLE % _texts(*texts), "gcc", *options)
    assert "in the order of the texts" in noted


def test_a_table_in_no_order_is_not_noted(tmp_path: Path) -> None:
    texts = ["/z", "/a", PATH, "/y", "/b", "/x", "/c"]
    assert _noted(tmp_path, _TABLE % _texts(*texts), "gcc", "-O2") == []


_GPERF = """
#include <stdio.h>
#include <string.h>
static unsigned char numbers[256] = {%s};
static const char *words[] = {%s};
int main(int count, char **given) {
    unsigned sum = 0;
    for (char *c = given[1]; *c; c++) sum += numbers[(unsigned char)*c];
    puts(sum < %d && !strcmp(given[1], words[sum]) ? "found" : "");
}
"""


@pytest.mark.parametrize("size", [6, 60])
def test_a_table_by_numbers_of_characters_is_noted_if_it_is_of_their_size(
    tmp_path: Path, size: int
) -> None:
    # As gperf writes it: characters that are in no word have the number of places for theirs.
    words = ["", "", f"{PATH}/b", "", f"{PATH}/c", f"{PATH}/d"]
    used = set("".join(words))
    numbers = ", ".join(str(0 if chr(each) in used else size) for each in range(256))
    source = _GPERF % (numbers, _texts(*words), size)
    noted = _noted(tmp_path, source, "gcc", "-O1")
    assert bool(noted) == (size == len(words))
    assert all("by numbers of its characters, as gperf makes them" in each for each in noted)
