"""Mounts with other options, for tests that root runs, and whether this process may mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CAP_SYS_ADMIN = 21


def _may_mount() -> bool:
    try:
        lines = Path("/proc/self/status").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False  # and no /proc for the C extension to find its mount namespace in
    [capabilities] = [line.split()[1] for line in lines if line.startswith("CapEff:")]
    return bool(int(capabilities, 16) >> _CAP_SYS_ADMIN & 1)


# Most containers take it from root.
needs_mounts = pytest.mark.skipif(not _may_mount(), reason="only CAP_SYS_ADMIN lets root mount")


@contextmanager
def mounted_again(directory: str, options: str) -> Iterator[None]:
    """A directory under a mount of itself that has these options."""
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        subprocess.run(["mount", "-o", f"remount,bind,{options}", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", directory], check=True)
