"""Trust in paths from elsewhere: signatures, and names from contents.

A path that has its name from its contents needs no signature: a request for that name gets those
contents, or an error.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from graft.errors import BadFormatError, StoreError, UntrustedPathError
from graft.formats.content_address import ContentAddress
from graft.formats.narinfo import NarInfo
from graft.formats.signature import PublicKey, SecretKey, fingerprint, parse_signature
from graft.formats.store_path import StoreDir
from graft.store.api import PathInfo, Store

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
            os.fchmod(descriptor, 0o600)  # under any umask
            stream.write(key.expose())
    except OSError as error:
        os.unlink(file)
        raise _error(file, "written", error) from error


def _error(file: str, what: str, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(f"key file '{file}' cannot be {what}: {reason}", file=file)


def signed(info: PathInfo, keys: Iterable[SecretKey], store_dir: StoreDir) -> PathInfo:
    """The registration of a path, with a signature of each key added."""
    made = _signatures(info, keys, store_dir)
    return replace(info, signatures=tuple(sorted({*info.signatures, *made}))) if made else info


def signed_narinfo(info: NarInfo, keys: Iterable[SecretKey], store_dir: StoreDir) -> NarInfo:
    """The narinfo of a path, with a signature of each key added."""
    return replace(info, signatures=info.signatures | _signatures(info, keys, store_dir))


def _signatures(
    info: PathInfo | NarInfo, keys: Iterable[SecretKey], store_dir: StoreDir
) -> set[str]:
    text = fingerprint(info.path, info.nar_hash, info.nar_size, info.references, store_dir)
    return {key.sign(text) for key in keys}


def check_signatures(
    store: Store, infos: Iterable[PathInfo], trusted_public_keys: Collection[PublicKey]
) -> None:
    """Makes sure that a trusted key has signed a store's registrations of paths.

    The paths' bytes must be checked as well.

    Raises:
        UntrustedPathError: a path has no such signature, and no name from its contents; or a
            signature that a trusted key should have made is another's.
        BadFormatError: a signature or a content address is malformed.
    """
    for info in infos:
        if not _is_content_addressed(store, info) and not _is_signed(
            store, info, trusted_public_keys
        ):
            raise _untrusted(store, info, trusted_public_keys)


def _is_content_addressed(store: Store, info: PathInfo) -> bool:
    return info.content_address is not None and ContentAddress.parse(info.content_address).is_of(
        info.path, info.references, store.store_dir
    )


def _is_signed(store: Store, info: PathInfo, keys: Collection[PublicKey]) -> bool:
    if info.nar_size == 0:
        return False  # Nix signs no path whose size is not known
    text = fingerprint(info.path, info.nar_hash, info.nar_size, info.references, store.store_dir)
    return any(key.verifies(text, found) for found in info.signatures for key in keys)


def _untrusted(store: Store, info: PathInfo, keys: Collection[PublicKey]) -> UntrustedPathError:
    names = sorted({parse_signature(signature)[0] for signature in info.signatures})
    tried = sorted({key.name for key in keys})
    full = store.store_dir.path(info.path)
    if not names:
        what = "is not signed"
    elif forged := sorted({key.name for key in keys} & set(names)):
        what = f"has a signature that the trusted key '{forged[0]}' has not made"
    else:
        what = f"is signed by '{names[0]}' only, which is not trusted"
    return UntrustedPathError(
        f"path '{full}' of the store '{store.url}' {what} (trusted: {', '.join(tried) or 'none'}): "
        "give the public key of a trusted signer, or do without signatures explicitly",
        path=full,
        store=store.url,
        trusted_keys=tried,
    )
