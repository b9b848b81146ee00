from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.kernel import reference
from graft.tree import remove_tree
from graft.tree.walk import walk_tree

HERE = Path(__file__).parent
NATIVE = Path(reference.__file__).parents[1] / "native"

OLD = "0123456789abcdfghijklmnpqrsvwxyz-lib-1.0"
NEW = "zyxwvsrqpnmlkjihgfdcba9876543210-lib-1.1"

pytestmark = pytest.mark.sanitize


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("driver") / "drive_tree"
    sources = [HERE / "drive_tree.c", NATIVE / "tree.c", NATIVE / "match.c"]
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wshadow"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags = ["-D_GNU_SOURCE", "-std=c11", "-g", "-O1", f"-I{NATIVE}"]
    subprocess.run(["gcc", *flags, *warnings, *sanitizers, *sources, "-o", program], check=True)
    return program


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """Every kind of entry and of file, and 40 levels of directories."""
    top = tmp_path / "source"
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
        file = top / name
        file.write_bytes(contents)
        file.chmod(0o555 if number % 2 else 0o644)
        os.utime(file, ns=(0, 1_000_000_000))
    for number in range(200):
        os.link(top / "hit", top / OLD / f"link {number}")
    (top / "symlink").symlink_to(f"/nix/store/{OLD}/bin")
    (top / "dangling").symlink_to("nowhere")
    deep = top.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    os.link(top / "mixed", deep / "twin")
    yield top
    remove_tree(tmp_path / "target")


def fnv(data: bytes, value: int = 0xCBF29CE484222325) -> int:
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


@pytest.mark.parametrize("kind", ["links", "copies"])
@pytest.mark.parametrize("window", [1, 100, 4096, 1 << 20])
def test_walk_is_clean_under_sanitizers_and_equals_its_twin(
    driver: Path, tree: Path, window: int, kind: str
) -> None:
    old, new = OLD.encode(), NEW.encode()
    pieces: list[bytes] = []
    target = tree.parent / "target"
    numbers, _, found = walk_tree(
        os.fsencode(tree),
        os.fsencode(target),
        table=reference.Table([(old, new)]),
        wanted=reference.Table([(new, None)]),
        sink=lambda piece: pieces.append(bytes(piece)),
        report=True,
        links=kind == "links",
        reflinks=True,
        owner=os.geteuid(),
        group=os.getegid(),
        window=max(window, 4096),
    )
    remove_tree(target)
    patched, linked, reflinked, copied = numbers[2:6]
    expected = [
        "0",
        f"{numbers[0]} {fnv(b''.join(pieces)):016x}",
        f"{numbers[11]} {len(found)} {patched} {linked} {reflinked + copied}",
    ]
    lines = run(driver, str(tree), str(target), str(window), kind, OLD, NEW)
    assert [line.strip() for line in lines] == expected


@pytest.mark.parametrize("trouble", ["pipe", "collision", "missing", "exists"])
def test_errors_are_clean_under_sanitizers(driver: Path, tree: Path, trouble: str) -> None:
    source, target = tree, tree.parent / "target"
    if trouble == "pipe":
        os.mkfifo(tree.joinpath(*["d"] * 40, "pipe"))
    elif trouble == "collision":
        (tree / OLD / OLD).touch()
    elif trouble == "missing":
        source = tree / "missing"
    else:
        target.mkdir()
    lines = run(driver, str(source), str(target), "100", "links", OLD, NEW)
    file = {"pipe": "d/" * 40 + "pipe", "collision": f"{NEW}/{NEW}"}.get(trouble, "")
    number = {"pipe": 2, "collision": 3}.get(trouble, 1)
    assert lines[0].split() == [
        str(number),
        *{"missing": ["fstatat"], "exists": ["mkdirat"], "pipe": ["fstatat"]}.get(trouble, []),
        *([file] if file else []),
    ]


def run(driver: Path, *arguments: str) -> list[str]:
    done = subprocess.run([driver, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
