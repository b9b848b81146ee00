"""Mounts with other options, for tests that root runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def mounted_again(directory: str, options: str) -> Iterator[None]:
    """A directory under a mount of itself that has these options."""
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        subprocess.run(["mount", "-o", f"remount,bind,{options}", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", directory], check=True)
