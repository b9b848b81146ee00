"""pivot.h and pivot.sh: what package authors use finds what graft says it finds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import graft.ways.pivot
from graft.ways.pivot.lookup import search
from tests.examples import examples

pytestmark = [pytest.mark.slow, pytest.mark.needs("gcc", "dash", "bash")]

SOURCES = Path(graft.ways.pivot.__file__).parent
OUT = f"/nix/store/{'0' * 32}-curl-8.5.0"
BASE = os.path.basename(OUT)
_NOBODY = 65534

_PROGRAM = """\
#include "pivot.h"

int main(int count, char **arguments)
{
    char *found = count == 3 ? pivot_find(arguments[1], arguments[2]) : NULL;

    if (!found)
        return 1;
    puts(found);
    free(found);
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("program")
    (directory / "find.c").write_text(_PROGRAM)
    return compiled(directory, "gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L")


def compiled(directory: Path, compiler: str, *options: str) -> Path:
    made = directory / "find"
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-pedantic"]
    subprocess.run(
        [compiler, *options, *warnings, "-O2", f"-I{SOURCES}", "-o", made, directory / "find.c"],
        check=True,
    )
    return made


@pytest.mark.needs("g++")
def test_the_header_is_cxx_as_well(tmp_path: Path) -> None:
    (tmp_path / "find.c").write_text(_PROGRAM)
    found = compiled(tmp_path, "g++", "-std=c++11", "-x", "c++")
    assert answer([str(found)], None, tmp_path) == (1, b"")


def answer(
    command: list[str], value: bytes | None, cwd: Path, out: str = OUT, kind: str = "cacert"
) -> tuple[int, bytes]:
    """Status and output of something that looks for a pivot."""
    environment = {b"PATH": b"/nonexistent"}
    if value is not None:
        environment[b"NIXPKGS_PIVOT_DIRS"] = value
    done = subprocess.run(
        [*command, out, kind], env=environment, cwd=cwd, capture_output=True, check=False
    )
    assert done.stderr == b""
    return done.returncode, done.stdout


def shell(name: str, *options: str) -> list[str]:
    found = shutil.which(name)
    assert found is not None
    find = f'. {SOURCES}/pivot.sh; rest=kept; dir=kept; pivot_find "$@" || exit 1'
    script = f"{find}; [ $rest$dir = keptkept ]"
    return [found, *options, "-euc", script, name]


def python_answer(value: bytes | None, cwd: Path, kind: str = "cacert") -> tuple[int, bytes]:
    environment = {} if value is None else {"NIXPKGS_PIVOT_DIRS": os.fsdecode(value)}
    before = os.getcwd()
    os.chdir(cwd)
    try:
        for step in search(BASE, kind, "env", environment):
            if step.outcome == "found":
                return 0, os.fsencode(step.place) + b"\n"
    finally:
        os.chdir(before)
    return 1, b""


# Directories with what shells split, expand or take for options, and bytes that are not UTF-8.
_NAMES = [b"a", b"b c", b"*", b"-n", b"$(x)", b"\xff", b"e\\n", b"f'\""]
_KINDS = ["file", "directory", "link", "dangling", "other type", "no package"]


def lay_out(top: Path, layout: dict[bytes, str]) -> None:
    for name, kind in layout.items():
        directory = Path(os.fsdecode(os.path.join(os.fsencode(top), name)))
        directory.mkdir()
        if kind == "no package":
            continue
        (directory / BASE).mkdir()
        place = directory / BASE / ("tzdata" if kind == "other type" else "cacert")
        if kind == "directory":
            place.mkdir()
        elif kind in {"link", "dangling"}:
            place.symlink_to("/" if kind == "link" else "nowhere")
        else:
            place.touch()


@given(
    layout=st.dictionaries(st.sampled_from(_NAMES), st.sampled_from(_KINDS)),
    entries=st.none()
    | st.lists(
        st.tuples(st.sampled_from([*_NAMES, b"missing", b""]), st.sampled_from([b"", b"/"]))
        | st.sampled_from([b"", b"relative/nothing", b"a", b"."]),
        max_size=6,
    ),
)
@examples(1)
@example(layout={b"a": "file"}, entries=[b"", (b"a", b"/"), b""])
@example(layout={b"*": "dangling", b"a": "file"}, entries=[(b"*", b""), (b"a", b"")])
@example(layout={b"a": "file"}, entries=[b"a"])
def test_c_shells_and_python_find_the_same(
    program: Path, layout: dict[bytes, str], entries: list[bytes | tuple[bytes, bytes]] | None
) -> None:
    with TemporaryDirectory() as scratch:
        top = Path(scratch)
        lay_out(top, layout)
        value = None
        if entries is not None:
            value = b":".join(
                entry if isinstance(entry, bytes) else os.fsencode(top) + b"/" + b"".join(entry)
                for entry in entries
            )
        expected = python_answer(value, top)
        assert answer([str(program)], value, top) == expected
        assert answer(shell("dash"), value, top) == expected
        assert answer(shell("bash"), value, top) == expected


@pytest.mark.parametrize("value", [b":", b"::/nonexistent:", b""])
def test_an_empty_entry_is_no_directory(program: Path, tmp_path: Path, value: bytes) -> None:
    # With a slash after it, it would be the root.
    for command in ([str(program)], shell("dash"), shell("bash")):
        assert answer(command, value, tmp_path, "/nix/store/etc", "passwd") == (1, b"")
    found = list(search("etc", "passwd", "env", {"NIXPKGS_PIVOT_DIRS": os.fsdecode(value)}))
    assert "found" not in {step.outcome for step in found}


def test_names_longer_than_the_system_takes_are_passed_over(program: Path, tmp_path: Path) -> None:
    lay_out(tmp_path, {b"a": "file"})
    value = b"/" + b"x/" * 5000 + b":" + os.fsencode(tmp_path) + b"/a"
    expected = (0, os.fsencode(tmp_path) + f"/a/{BASE}/cacert\n".encode())
    for command in ([str(program)], shell("dash"), shell("bash")):
        assert answer(command, value, tmp_path) == expected
    assert python_answer(value, tmp_path) == expected


@pytest.mark.parametrize("language", ["c", "sh"])
def test_the_examples_for_authors_work(tmp_path: Path, language: str) -> None:
    page = SOURCES.parents[2] / "docs" / "how-to" / "pivot-for-authors.md"
    (example,) = re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
    if language == "c":
        (tmp_path / "find.c").write_text(example)
        command = [str(compiled(tmp_path, "gcc", f'-DOUT="{OUT}"'))]
    else:
        shutil.copy(SOURCES / "pivot.sh", tmp_path)
        command = ["/bin/sh", "-euc", f"out={OUT}\n{example}"]
    lay_out(tmp_path, {b"a": "file"})
    for value, expected in {
        f"/nonexistent:{tmp_path}/a": f"{tmp_path}/a/{BASE}/cacert\n",
        "": "/etc/ssl/certs/ca-certificates.crt\n",
    }.items():
        environment = {"NIXPKGS_PIVOT_DIRS": value}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == expected


def given_to_nobody(program: str, directory: Path) -> str:
    """A copy that runs as nobody, whoever starts it."""
    copy = shutil.copy(program, directory)
    os.chown(copy, _NOBODY, _NOBODY)
    os.chmod(copy, 0o4755)
    return str(copy)


def test_in_secure_execution_the_variable_is_ignored(program: Path, open_directory: Path) -> None:
    lay_out(open_directory, {b"a": "file"})
    value = os.fsencode(open_directory) + b"/a"
    expected = (0, value + f"/{BASE}/cacert\n".encode())
    copy = given_to_nobody(str(program), open_directory)
    assert answer([copy], value, open_directory) == (1, b"")
    os.chmod(copy, 0o755)
    assert answer([copy], value, open_directory) == expected


@pytest.mark.parametrize("name", ["dash", "bash"])
def test_in_a_privileged_shell_the_variable_is_ignored(name: str, open_directory: Path) -> None:
    lay_out(open_directory, {b"a": "file"})
    value = os.fsencode(open_directory) + b"/a"
    # Not everybody may read a checkout.
    shutil.copy(SOURCES / "pivot.sh", open_directory)
    command = [word.replace(str(SOURCES), str(open_directory)) for word in shell(name, "-p")]
    command[0] = given_to_nobody(command[0], open_directory)
    assert answer(command, value, open_directory) == (1, b"")
    # Without -p it gives up what it has more than its caller, whose environment it may then heed.
    del command[1]
    assert answer(command, value, open_directory)[0] == 0
    script = [command[0], "-c", "echo $(/usr/bin/id -u)"]
    assert subprocess.run(script, capture_output=True, check=True).stdout == b"0\n"
