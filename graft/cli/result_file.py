"""Files that commands write where the user says, as a shell's `>` would."""

from __future__ import annotations

import os
import stat

_NEW_FILE_MODE = 0o666


def write_file(file: str, text: str) -> None:
    """Writes a regular file whole or not at all; a link, a device or a pipe is written through.

    The new file gets a random name first, so directories may be shared.

    Raises:
        OSError: it cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")
    try:
        status = os.lstat(file)
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        _write_through(file, data)
        return
    try:
        _replace(file, data, _mode() if status is None else stat.S_IMODE(status.st_mode))
    except PermissionError:
        if status is None:
            raise
        _write_through(file, data)  # the directory may not be written, but the file


def _replace(file: str, data: bytes, mode: int) -> None:
    import tempfile

    directory, name = os.path.split(file)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name[:200]}.", dir=directory or ".")
    except OSError as error:
        error.filename = file
        raise
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            os.fchmod(stream.fileno(), mode)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def _write_through(file: str, data: bytes) -> None:
    # The kernel refuses links of other users in shared directories (fs.protected_symlinks).
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _NEW_FILE_MODE)
    with open(descriptor, "wb") as stream:
        stream.write(data)


def _mode() -> int:
    """The mode of a new file: the user's mask is known only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return _NEW_FILE_MODE & ~mask
