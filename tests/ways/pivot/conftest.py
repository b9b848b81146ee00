"""A place for programs that run as another user than who starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_directory(tmp_path: Path) -> Iterator[Path]:
    """A directory that everybody may look into, and where set-user-ID bits count."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a program that runs as another user")
    if os.statvfs(tmp_path).f_flag & os.ST_NOSUID:
        pytest.skip("set-user-ID programs are none here")
    modes = {parent: parent.stat().st_mode for parent in tmp_path.parents if parent != Path("/")}
    tmp_path.chmod(0o755)
    for parent, mode in modes.items():
        parent.chmod(mode | 0o011)
    yield tmp_path
    for parent, mode in modes.items():
        parent.chmod(mode)
