"""Whole trees: copied, and then fixed up."""

from __future__ import annotations

import gzip
import hashlib
import os
import py_compile
from pathlib import Path

import pytest

from graft.errors import TreeError
from graft.fixups import Limits, Registry, registered
from graft.kernel.place import Place
from graft.kernel.tree import copy_tree, read_tree, remove_tree
from graft.objects.file_fixups import FixedFile
from graft.objects.reading import search_object
from graft.objects.search import DeepSearch
from graft.objects.tree_fixups import Fixes
from graft.store.objects import TreeObject
from tests.fixups.samples import NEW, OLD, TABLE, grafted, tar, text, zipped

OWNER = os.geteuid(), os.getegid()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package with man pages, a jar that is signed, compiled Python, and hard links."""
    top = tmp_path / "source"
    man = top / "share" / "man" / OLD.decode()
    man.mkdir(parents=True)
    (man / "a.1.gz").write_bytes(gzip.compress(text(), mtime=0))
    (man / "plain.1.gz").write_bytes(gzip.compress(b"nothing", mtime=0))
    os.link(man / "a.1.gz", man / "b.1.gz")
    (top / "signed.jar").write_bytes(zipped([("META-INF/K.SF", b""), ("a", text())]))
    # The reference stands in the member as it is.
    (top / "stored.tar").write_bytes(tar([(f"nix/store/{OLD.decode()}/a", b"x")]))
    (top / "module.py").write_bytes(b"where = '" + OLD + b"'\n")
    (top / "bin").mkdir()
    (top / "bin" / "program").write_bytes(OLD)
    (top / "bin" / "program").chmod(0o755)
    py_compile.compile(
        str(top / "module.py"),
        str(top / "module.pyc"),
        dfile="module.py",
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )
    for path in top.rglob("*"):
        if path.is_file():
            path.chmod(0o555 if path.stat().st_mode & 0o100 else 0o444)
            os.utime(path, ns=(0, 1_000_000_000))
    return top


def fixed(tree: Path, registry: Registry | None = None) -> tuple[Path, list[FixedFile]]:
    registry = registered() if registry is None else registry
    staged = tree.with_name("staged")
    report = copy_tree(tree, staged, TABLE, marks=registry.marks)
    fixes = Fixes(os.fsencode(tree), TABLE, report.marked, registry)
    fixes.place(os.fsencode(staged), owner=OWNER)
    return staged, fixes.files


def hidden(tree: Path) -> tuple[Place, ...]:
    return search_object(TreeObject(str(tree)), DeepSearch([], [OLD[:32].decode()])).hidden


def test_what_is_hidden_is_rewritten_in_a_copy(tree: Path) -> None:
    staged, files = fixed(tree)
    man = f"share/man/{NEW.decode()}"
    assert [(os.fsdecode(f.file), f.outcomes[-1].outcome, f.replaced) for f in files] == [
        ("module.pyc", "rewritten", True),
        (f"{man}/a.1.gz", "rewritten", True),
        (f"{man}/b.1.gz", "rewritten", True),
        ("signed.jar", "left-alone", False),
        ("stored.tar", "rewritten", True),
    ]
    assert gzip.decompress((staged / man / "a.1.gz").read_bytes()) == grafted(text())
    assert (staged / man / "a.1.gz").stat().st_ino == (staged / man / "b.1.gz").stat().st_ino
    assert (staged / "signed.jar").read_bytes() == (tree / "signed.jar").read_bytes()
    assert (staged / "stored.tar").read_bytes() == tar([(f"nix/store/{NEW.decode()}/a", b"x")])
    plain = f"share/man/{OLD.decode()}/plain.1.gz"
    assert (staged / man / "plain.1.gz").stat().st_ino == (tree / plain).stat().st_ino


def test_what_is_made_has_the_metadata_of_a_store(tree: Path) -> None:
    staged, _ = fixed(tree)
    for path in [staged, *staged.rglob("*")]:
        status = path.lstat()
        assert status.st_mtime_ns == 1_000_000_000
        executable = path.is_dir() or path.name == "program"
        assert status.st_mode & 0o7777 == (0o555 if executable else 0o444)
        assert (status.st_uid, status.st_gid) == OWNER


def test_the_originals_are_as_they_were(tree: Path) -> None:
    digest, again = hashlib.sha256(), hashlib.sha256()
    read_tree(tree, sink=digest.update)
    fixed(tree)
    read_tree(tree, sink=again.update)
    assert again.digest() == digest.digest()


def test_a_visible_reference_in_what_is_left_alone_is_put_back(tree: Path) -> None:
    staged, files = fixed(tree, registered(("no-tar",)))
    [outcome] = [f for f in files if f.file == b"stored.tar"]
    assert outcome.replaced
    assert outcome.outcomes[-1].outcome == "left-alone"
    assert (staged / "stored.tar").read_bytes() == (tree / "stored.tar").read_bytes()
    remove_tree(staged)
    staged, files = fixed(tree, registered(limits=Limits(size=1000)))
    assert (staged / "stored.tar").read_bytes() == (tree / "stored.tar").read_bytes()
    assert [f.outcomes[-1].reason for f in files if f.file == b"stored.tar"] == [
        "it is larger than 1000 bytes"
    ]


def test_what_is_left_is_found(tree: Path) -> None:
    before = hidden(tree)
    assert len({found.file for found in before}) == 3
    staged, _ = fixed(tree)
    [left] = [found for found in hidden(staged) if not found.is_spelled]  # NEW is OLD reversed
    assert (left.file, left.container) == (b"signed.jar", ("zip:a",))


def test_a_tree_may_be_one_file(tmp_path: Path) -> None:
    source = tmp_path / "hash-a.tar.gz"
    source.write_bytes(gzip.compress(tar([("a", text())])))
    staged, [file] = fixed(source)
    assert file.file == b""
    assert gzip.decompress(staged.read_bytes()) == tar([("a", grafted(text()))])
    assert len(hidden(source)) == 1


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(TreeError, match="missing"):
        fixed(missing)
    with pytest.raises(TreeError, match="missing"):
        hidden(missing)
