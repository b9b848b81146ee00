"""Failed walks as graft's errors."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from graft.errors import (
    ChangedFileError,
    NameCollisionError,
    NoSpaceError,
    StorePermissionError,
    TreeError,
    UnsupportedFileError,
)


class Failure(NamedTuple):
    """The arguments of a WalkError.

    Attributes:
        kind: system, unsupported, collision, changed, memory or stopped.
        code: errno of a system call that failed, else 0.
        call: the system call.
        file: the entry, relative to the top.
        in_target: the entry is the target's.
        begun: something was made at the target.
    """

    kind: str
    code: int
    call: str
    file: bytes = b""
    in_target: bool = True
    begun: bool = False


def translated(failure: Failure, source: bytes, target: bytes) -> BaseException:
    """The typed error for a failed walk, its sentence naming the full path.

    Args:
        failure: the failure that the walk met.
        source: the source's top.
        target: the target's top.
    """
    top = target if failure.in_target else source
    path = shown(os.path.join(top, failure.file) if failure.file else top)
    if failure.kind == "memory":
        return MemoryError()
    if failure.kind == "unsupported":
        return UnsupportedFileError(
            f"{path} is a device, a pipe or a socket, which no store object may hold; remove it",
            path=path,
        )
    if failure.kind == "collision":
        return NameCollisionError(
            f"two entries would both become {path}; replace only one of the two", path=path
        )
    if failure.kind == "changed":
        return ChangedFileError(
            f"{path} changed meanwhile; stop the writer and try again", path=path
        )
    code, call = failure.code, failure.call
    fields: dict[str, object] = {"path": path, "call": call, "errno": code}
    reason = os.strerror(code)
    verb = "write" if failure.in_target else "read"
    if code in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpaceError(
            f"no room to write {path} ({reason}); free some and try again", **fields
        )
    if code in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StorePermissionError(
            f"may not {verb} {path} ({call}: {reason}); run as a user who may", **fields
        )
    if code == errno.ENOENT:
        return TreeError(f"there is no {path} ({call}); check the path", **fields)
    if code == errno.EEXIST:
        return TreeError(f"{path} exists already; remove it first", **fields)
    return TreeError(f"cannot {verb} {path} ({call}: {reason}); see to it and try again", **fields)


def shown(path: bytes) -> str:
    """A path as messages have it; a byte that is not UTF-8 as %XX."""
    return "".join(
        f"%{ord(character) - 0xDC00:02X}" if "\udc80" <= character <= "\udcff" else character
        for character in path.decode("utf-8", "surrogateescape")
    )
