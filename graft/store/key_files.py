"""Files of secret keys: readable by their owner only, and never shown."""

from __future__ import annotations

import os
from typing import Final

from graft.errors import BadFormatError, StoreError
from graft.formats.signature import SecretKey

_LONGEST: Final = 4096  # bytes; a key is some hundred


def read_secret_key(file: str) -> SecretKey:
    """Reads a secret key as `nix-store --generate-binary-cache-key` writes it.

    Raises:
        StoreError: the file cannot be read.
        BadFormatError: it holds no secret key; nothing of it is in the message.
    """
    try:
        with open(file, "rb") as stream:
            data = stream.read(_LONGEST)
    except OSError as error:
        raise _error(file, "read", error) from error
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise BadFormatError(f"'{file}' is no secret key, NAME:BASE64", file=file) from None
    return SecretKey.parse(text, file)


def write_secret_key(file: str, key: SecretKey) -> None:
    """Writes a secret key into a new file of mode 0600.

    Raises:
        StoreError: there is a file of that name, or it cannot be written; nothing is left of it.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _error(file, "made", error) from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            os.fchmod(descriptor, 0o600)  # whatever the umask leaves of it
            stream.write(key.expose())
    except OSError as error:
        os.unlink(file)
        raise _error(file, "written", error) from error


def _error(file: str, what: str, error: OSError) -> StoreError:
    reason = (error.strerror or str(error)).lower()
    return StoreError(f"key file '{file}' cannot be {what}: {reason}", file=file)
