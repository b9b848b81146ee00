"""A directory of 200,000 entries, copied in the order of its NAR."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from graft.kernel import Table
from graft.kernel.tree import copy_tree, read_tree, remove_tree

pytestmark = pytest.mark.large


def test_a_directory_of_200_000_entries_is_copied_in_order(tmp_path: Path) -> None:
    old, new = b"0" * 32, b"1" * 32
    source = tmp_path / "source"
    source.mkdir()
    for number in range(200_000):
        os.mknod(f"{source}/{number:06}", 0o100444)
    os.symlink(old, f"{source}/link")
    digest, again = hashlib.sha256(), hashlib.sha256()
    report = copy_tree(source, tmp_path / "target", Table([(old, new)]), sink=digest.update)
    try:
        assert report.regular_files == 200_000
        assert report.references == 1
        assert read_tree(tmp_path / "target", sink=again.update).nar_size == report.nar_size
        assert again.digest() == digest.digest()
        assert os.readlink(tmp_path / "target" / "link").encode() == new
    finally:
        remove_tree(tmp_path / "target")
        remove_tree(source)
