"""Real programs that run from a store of a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from tests.store_objects import add_object

_PATIENCE = 30.0  # seconds


def add_program(
    store: LocalStore, name: str = "sleeper-1.0", references: Sequence[StorePath] = ()
) -> StorePath:
    """A store object with a program that sleeps."""
    sleep = shutil.which("sleep")
    assert sleep is not None
    # What it refers to stands behind the program, where nobody runs it.
    contents = Path(sleep).read_bytes() + " ".join(references).encode()
    path = add_object(store, name, {"bin": {"sleep": contents}}, references)
    os.chmod(f"{store.tree(path)}/bin/sleep", 0o555)
    return path


@contextmanager
def running(
    program: str,
    *,
    directory: str = "/",
    opened: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """A program, that sleeps while somebody is inside; gives its number.

    Args:
        opened: a file that it has open.
    """
    descriptors = [] if opened is None else [os.open(opened, os.O_RDONLY)]
    process = subprocess.Popen(
        [program, "600"], cwd=directory, env=dict(environment or {}), pass_fds=descriptors
    )
    try:
        end = time.monotonic() + _PATIENCE
        # The fork is seen before the program: its loader has ended when it sleeps.
        while not _sleeps(process.pid):
            assert time.monotonic() < end
            time.sleep(0.01)
        yield process.pid
    finally:
        process.kill()
        process.wait()
        for descriptor in descriptors:
            os.close(descriptor)


def _sleeps(pid: int) -> bool:
    fields = Path(f"/proc/{pid}/stat").read_bytes()
    name, _, rest = fields.partition(b"(")[2].rpartition(b")")
    return name == b"sleep" and rest.split()[0] == b"S"
