"""A hazard: how a sample of it is made, and how the format's own tool reads it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fixups import samples

OLD = samples.OLD
NEW, TABLE = samples.NEW, samples.TABLE
WHERE = b"/nix/store/" + OLD
OLD_PATH, NEW_PATH = f"/nix/store/{OLD.decode()}", f"/nix/store/{NEW.decode()}"

OLD_TREE = "old"
"""Where a sample's library is, beside the sample, if it has one."""


class StaleError(Exception):
    """The reference is NEW's, but something that the tool goes by is of the old contents."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample of a hazard.

    Attributes:
        hazard: which one, as in HAZARDS.
        name: what it is.
        judge: what reads it, for the reader of the table.
        make: fills an empty directory.
        read: what the tool shows of it, with the references in it. It fails if the tool rejects
            the sample, with StaleError if it only finds something stale.
        needs: programs.
        switches: of fix-ups, for graft.
        unsorted: whether sed leaves the archive's names out of order, which only a newer Nix
            refuses.
    """

    hazard: str
    name: str
    judge: str
    make: Callable[[Path], None]
    read: Callable[[Path], bytes]
    needs: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    unsorted: bool = False


def run(
    *command: object,
    data: bytes = b"",
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """What a program prints; CalledProcessError if it fails."""
    given = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", **(environment or {})}
    words = [os.fsencode(part) if isinstance(part, Path) else part for part in command]
    return subprocess.run(
        words,  # type: ignore[arg-type]
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        cwd=directory,
        env=given,
        timeout=300,
    ).stdout


def text(lines: int = 60) -> bytes:
    """A reference among lines that a compressor can do something with, twice."""
    some = b"".join(b"line %d of some text\n" % (n * n % 97) for n in range(lines))
    return some + b"see " + WHERE + b"/lib\n" + some + b"and " + WHERE + b"/bin\n"


def noise(size: int, start: int = 1) -> bytes:
    """Bytes that no compressor makes smaller."""
    made, state = bytearray(), start
    while len(made) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        made += (state >> 33).to_bytes(4, "little")[:3]
    return bytes(made[:size])


def written(name: str, data: bytes) -> Callable[[Path], None]:
    """Makes a sample that is one file of these bytes."""

    def make(top: Path) -> None:
        (top / name).write_bytes(data)

    return make
