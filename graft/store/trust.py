"""Whom paths from elsewhere are taken from: those who have signed them, or nobody at all.

A path that has its name from its contents needs no signature: whoever asked for it by that name
gets those contents, or an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from graft.errors import UntrustedPathError
from graft.formats.content_address import ContentAddress
from graft.formats.narinfo import NarInfo
from graft.formats.signature import PublicKey, SecretKey, fingerprint, parse_signature
from graft.formats.store_path import StoreDir
from graft.store.api import PathInfo, Store


def signed(info: PathInfo, keys: Iterable[SecretKey], store_dir: StoreDir) -> PathInfo:
    """What is registered of a path, with a signature of each key beside those it has."""
    text = fingerprint(info.path, info.nar_hash, info.nar_size, info.references, store_dir)
    made = {key.sign(text) for key in keys}
    return replace(info, signatures=tuple(sorted({*info.signatures, *made}))) if made else info


def signed_narinfo(info: NarInfo, keys: Iterable[SecretKey], store_dir: StoreDir) -> NarInfo:
    """What a cache says of a path, with a signature of each key beside those it has."""
    text = fingerprint(info.path, info.nar_hash, info.nar_size, info.references, store_dir)
    return replace(info, signatures=info.signatures | {key.sign(text) for key in keys})


def check_signatures(
    store: Store, infos: Iterable[PathInfo], trusted_public_keys: Collection[PublicKey]
) -> None:
    """Makes sure that somebody trusted has signed what a store says of paths.

    What the paths' bytes really are must be checked beside it.

    Raises:
        UntrustedPathError: a path has no such signature, and no name from its contents; or a
            signature that a trusted key should have made is another's.
        BadFormatError: a signature or a content address is none.
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
        return False  # Nix signs none whose size is not known
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
        "give the public key of whoever is trusted with it, or do without signatures explicitly",
        path=full,
        store=store.url,
        trusted_keys=tried,
    )
