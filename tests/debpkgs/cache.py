"""Where built stores are kept, what names them, and the lock that guards them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from .expression import BUILDER, builder_files

_held: dict[str, int] = {}


def cache_dir() -> Path:
    """The directory of everything that is kept between runs."""
    chosen = os.environ.get("GRAFT_TEST_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graft-tests"


def content_key(*parts: str) -> str:
    """A name for what comes of these texts and the builder's sources, short for paths' sake."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    for relative in builder_files():
        digest.update(f"{relative}\n".encode())
        digest.update(hashlib.sha256((BUILDER / relative).read_bytes()).digest())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a directory against other processes; the same process may enter again."""
    directory.mkdir(parents=True, exist_ok=True)
    name = os.path.realpath(directory)
    if _held.get(name):
        _held[name] += 1
        try:
            yield
        finally:
            _held[name] -= 1
        return
    with open(directory / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _held[name] = 1
        try:
            yield
        finally:
            del _held[name]
