from __future__ import annotations

import errno
import os
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.kernel import reference
from graft.kernel.anchors import ReferenceAnchors
from graft.kernel.tree import remove_tree
from graft.kernel.tree.marks import Marks
from graft.kernel.tree.suspicion import Suspicion
from graft.kernel.tree.walk import walk_tree

HERE = Path(__file__).parent
_WITH_PYTHON = {
    "glue.c",
    "table.c",
    "anchor_type.c",
    "relative.c",
    "crc32c.c",
    "mount.c",
    "sieve.c",
}
NATIVE = Path(reference.__file__).parent / "native"

OLD = "0123456789abcdfghijklmnpqrsvwxyz-lib-1.0"
NEW = "zyxwvsrqpnmlkjihgfdcba9876543210-lib-1.1"

WRAPPED = [
    *["malloc", "calloc", "realloc", "strdup", "openat64", "close", "fstat64", "fstatat64"],
    *["statfs64", "mmap64", "pthread_create", "pread64", "write", "copy_file_range"],
    *["flistxattr", "readlinkat"],
    *["symlinkat", "linkat", "mkdirat", "fchmod", "futimens", "utimensat", "syscall"],
]

MARKS = Marks(magics=((0, b"0"),), suffixes=(b"d",))

SYSTEM, UNSUPPORTED, COLLISION, CHANGED, MEMORY = range(1, 6)

pytestmark = pytest.mark.sanitize


def compiled(directory: Path, sanitizers: str) -> Path:
    """The driver, with all of the extension that knows no Python."""
    with (NATIVE.parents[2] / "pyproject.toml").open("rb") as stream:
        (extension,) = tomllib.load(stream)["tool"]["setuptools"]["ext-modules"]
    parts = [Path(source).name for source in extension["sources"]]
    sources: list[str | Path] = [NATIVE / part for part in parts if part not in _WITH_PYTHON]
    command: list[str | Path] = [
        *["gcc", "-D_GNU_SOURCE", "-std=c11", "-g", "-O1", "-pthread", f"-I{NATIVE}"],
        *["-Wall", "-Wextra", "-Werror", "-Wshadow"],
        *[f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"],
        *[f"-Wl,--wrap={name}" for name in WRAPPED],
        *[HERE / "drive_tree.c", *sources, "-o", directory / "drive_tree"],
    ]
    subprocess.run(command, check=True)
    return directory / "drive_tree"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("driver"), "address,undefined")


@pytest.fixture(scope="module")
def threads_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("threads"), "thread")


def run(driver: Path, *arguments: str | Path | int) -> list[list[str]]:
    """The words of each line the driver prints."""
    command: list[str | Path] = [driver, *map(str, arguments), OLD, NEW]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def make(file: Path, contents: bytes, mode: int = 0o444) -> None:
    file.write_bytes(contents)
    file.chmod(mode)
    os.utime(file, ns=(0, 1_000_000_000))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory, in memory where possible: every call that fails is a walk of its own."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="graft-tree-", dir=memory) as directory:
        yield Path(directory)
        for left in Path(directory).glob("target*"):
            remove_tree(left)


@pytest.fixture
def tree(scratch: Path) -> Path:
    """Every kind of entry and of file, many hard links, 40 levels of directories."""
    top = scratch / "source"
    (top / OLD / "below").mkdir(parents=True)
    utf_16 = OLD.encode("utf-16-le")
    files = {
        "empty": b"",
        "hit": OLD.encode(),
        "edges": b"".join(b"\1" * n + OLD.encode() + utf_16 for n in range(0, 300, 7)),
        "plain": os.urandom(50_000),
        "mixed": b"\1" * 30_000 + OLD.encode() + b"\2" * 10_000,
        "run": b"0123456789abcdfghijklmnpqrsvwxyz" * 500,
        f"{OLD}/{NEW}": b"x" * 4096,
        f"{OLD}/below/\udcff\n": b"y",
    }
    for number, (name, contents) in enumerate(files.items()):
        make(top / name, contents, 0o555 if number % 2 else 0o644)
    for number in range(100):
        make(top / OLD / f"{number}", b"%d" % number + OLD.encode())
        os.link(top / OLD / f"{number}", top / f"{number}")
        os.link(top / "hit", top / OLD / "below" / f"{number}")
    (top / "symlink").symlink_to(f"/nix/store/{OLD}/bin")
    (top / "dangling").symlink_to("nowhere")
    deep = top.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    os.link(top / "mixed", deep / "twin")
    return top


@pytest.fixture
def small_tree(scratch: Path) -> Path:
    """One file for each way there is to make one, and more levels than are held open."""
    top = scratch / "small"
    deep = top.joinpath(*["d"] * 17)
    deep.mkdir(parents=True)
    make(top / "canonical", b"c")
    make(top / "copied", b"x" * 300, 0o644)
    make(top / "patched", b"x" * 300 + OLD.encode())
    os.link(top / "patched", deep / "twin")
    (top / OLD).symlink_to(OLD)
    return top


def expected(tree: Path, target: Path, *, links: bool, streams: bool = True) -> list[str]:
    """The line of a walk without errors, as the pure twin has it.

    Args:
        streams: whether beginnings of streams are suspected; in windows of some bytes the C code
            suspects more of them, for it judges by the bytes it has.
    """
    old, new = OLD.encode(), NEW.encode()
    value = 0xCBF29CE484222325

    def sink(piece: memoryview) -> None:
        nonlocal value
        for byte in piece:
            value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1

    suspicions = (
        Suspicion(ReferenceAnchors(new[:32], 3)),
        Suspicion(ReferenceAnchors(new[:32]), (b"0",)),
        Suspicion(None, (b"0",), density=True),
        *([Suspicion(None)] if streams else []),
    )
    numbers, _, found, marked, suspects = walk_tree(
        os.fsencode(tree),
        os.fsencode(target),
        table=reference.Table([(old, new)]),
        wanted=reference.Table([(new, None)]),
        sink=sink,
        marks=MARKS,
        suspicions=suspicions,
        report=True,
        links=links,
        reflinks=False,
        owner=os.geteuid(),
        group=os.getegid(),
        window=4096,
    )
    remove_tree(target)
    patched, linked, _, copied = numbers[2:6]
    counts = [numbers[11], len(found), patched, linked, copied, len(marked), len(suspects)]
    return ["0", "0", f"{numbers[0]}", f"{value:016x}", *map(str, counts)]


@pytest.mark.parametrize("kind", ["links", "copies"])
@pytest.mark.parametrize("window", [1, 100, 4096, 1 << 20])
def test_walk_is_clean_under_sanitizers_and_equals_its_twin(
    driver: Path, tree: Path, window: int, kind: str
) -> None:
    target = tree.parent / "target"
    line = expected(tree, target, links=kind == "links", streams=window >= 4096)
    assert run(driver, tree, target, window, kind, "read", 1, 0) == [line]


@pytest.mark.parametrize("kind", ["links", "copies"])
def test_mapped_files_are_clean_under_sanitizers(driver: Path, tree: Path, kind: str) -> None:
    target = tree.parent / "target"
    line = expected(tree, target, links=kind == "links")
    assert run(driver, tree, target, 4096, kind, "map", 1, 0) == [line]


@pytest.mark.parametrize("kind", ["links", "copies"])
@pytest.mark.parametrize("how", ["read", "map"])
@pytest.mark.parametrize("sanitized", ["driver", "threads_driver"])
def test_threads_are_clean_under_sanitizers_and_see_what_one_sees(
    request: pytest.FixtureRequest, sanitized: str, tree: Path, how: str, kind: str
) -> None:
    driver: Path = request.getfixturevalue(sanitized)
    line = expected(tree, tree.parent / "target", links=kind == "links")
    for number in range(5):
        target = tree.parent / f"target{number}"
        (got,) = run(driver, tree, target, 4096, kind, how, 4, 0)
        assert got[:3] + got[4:] == line[:3] + line[4:]  # but the hash, for there is no NAR


@pytest.mark.parametrize(
    ("trouble", "number", "words"),
    [
        ("pipe", UNSUPPORTED, ["fstatat", "d/" * 40 + "pipe"]),
        ("collision", COLLISION, [f"{NEW}/{NEW}"]),
        ("missing", SYSTEM, ["fstatat"]),
        ("exists", SYSTEM, ["mkdirat"]),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_errors_are_clean_under_sanitizers(
    driver: Path, tree: Path, threads: int, trouble: str, number: int, words: list[str]
) -> None:
    source, target = tree, tree.parent / "target"
    if trouble == "pipe":
        os.mkfifo(tree.joinpath(*["d"] * 40, "pipe"))
    elif trouble == "collision":
        (tree / OLD / OLD).touch()
    elif trouble == "missing":
        source = tree / "missing"
    else:
        target.mkdir()
    [line] = run(driver, source, target, 100, "links", "read", threads, 0)
    assert line[0] == str(number)
    assert line[11:] == words


FAULTS = [errno.EIO, errno.ENOSPC, errno.EINTR, errno.EXDEV]
ONE_THREAD = [
    (fault, window, how, 1, writing)
    for fault in FAULTS
    for window, how in [(100, "read"), (4096, "read"), (4096, "map")]
    for writing in [True, False]
]


@pytest.mark.parametrize(
    ("fault", "window", "how", "threads", "writing"),
    [*ONE_THREAD, (errno.EIO, 4096, "map", 3, True)],
)
def test_whichever_call_fails_the_walk_reports_it_or_does_without(
    driver: Path, small_tree: Path, fault: int, window: int, how: str, threads: int, writing: bool
) -> None:
    target = small_tree.parent / "target" if writing else "-"
    for number in range(64 if threads > 1 else 0):  # or no thread would be started
        (small_tree / f"{number}").symlink_to("nowhere")
    [line] = run(driver, small_tree, target, window, "links", how, threads, 0)
    lines = run(driver, small_tree, target, window, "links", how, threads, fault)
    assert len(lines) > 100
    assert lines[-1] == line
    outcomes = {done[0] for done in lines}
    assert outcomes == {"0", str(SYSTEM), str(MEMORY)}
    for done in lines:
        if done[0] == "0":
            assert done[2:6] == line[2:6]
        elif done[0] == str(SYSTEM):
            assert done[1] == str(fault)
            assert done[11] in {"getdents64", *(name.removesuffix("64") for name in WRAPPED)}
