"""Programs with more rights than their callers, and the paths that they start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.machine.wrappers import wrapped_programs

STORE = "/nix/store"
OLD, OTHER = (StorePath(f"{letter * 32}-lib-1") for letter in "ab")
TEXT = f"{STORE}/{OLD}/bin/x".encode()


def _found(directory: Path) -> list[tuple[StorePath, str]]:
    found = wrapped_programs(STORE, [OLD], [str(directory / "none"), str(directory)])
    return [(path, os.path.relpath(file, directory)) for path, file in found]


def _add(file: Path, text: bytes, mode: int) -> None:
    file.write_bytes(text)
    file.chmod(mode)


def test_programs_of_another_user_or_group_are_wrappers(tmp_path: Path) -> None:
    for name, mode in {"user": 0o4755, "group": 0o2755, "plain": 0o755, "sticky": 0o1755}.items():
        _add(tmp_path / name, TEXT, mode)
    (tmp_path / "directory").mkdir(mode=0o4755)
    _add(tmp_path / "other", f"{STORE}/{OTHER}/bin/x".encode(), 0o4755)
    assert _found(tmp_path) == [(OLD, "group"), (OLD, "user")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give capabilities")
def test_a_program_with_a_capability_is_a_wrapper(tmp_path: Path) -> None:
    for name in ("ping", "plain"):
        _add(tmp_path / name, TEXT, 0o755)
    # cap_net_raw, effective: struct vfs_cap_data of linux/capability.h
    words = (0x02000001, 1 << 13, 0, 0, 0)
    value = b"".join(word.to_bytes(4, "little") for word in words)
    try:
        os.setxattr(tmp_path / "ping", "security.capability", value)
    except OSError as error:
        pytest.skip(f"this file system has no capabilities: {error}")
    assert _found(tmp_path) == [(OLD, "ping")]


def test_an_older_wrapper_names_its_program_in_a_file_beside_it(tmp_path: Path) -> None:
    _add(tmp_path / "sudo", b"", 0o4755)
    _add(tmp_path / "sudo.real", TEXT, 0o4755)
    _add(tmp_path / "su.real", TEXT, 0o4755)
    assert _found(tmp_path) == [(OLD, "sudo")]


def test_a_wrapper_is_read_to_its_first_megabyte(tmp_path: Path) -> None:
    beginning = len(STORE) + 1 + len("a" * 32) + 1
    for name, more in (("inside", 0), ("outside", 1)):
        _add(tmp_path / name, bytes((1 << 20) - beginning + more) + TEXT, 0o4755)
    assert _found(tmp_path) == [(OLD, "inside")]
