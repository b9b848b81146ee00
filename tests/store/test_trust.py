"""Paths from elsewhere: believed if somebody trusted signed them, or if contents name them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from graft.errors import BadFormatError, UntrustedPathError
from graft.formats.signature import PublicKey, SecretKey, fingerprint
from graft.formats.store_path import StoreDir, make_fixed_output_path
from graft.store.api import PathInfo
from graft.store.memory import MemoryStore
from graft.store.trust import check_signatures
from tests.store_objects import named_path

STORE = StoreDir("/nix/store")
KEY, OTHER = SecretKey.generate("trusted-1"), SecretKey.generate("other-1")
DIGEST = hashlib.sha256(b"x").digest()
INFO = PathInfo(
    path=named_path("one-1", STORE),
    nar_hash=DIGEST,
    nar_size=100,
    references=frozenset({named_path("two-1", STORE)}),
)


def _signed(info: PathInfo, *keys: SecretKey) -> PathInfo:
    text = fingerprint(info.path, info.nar_hash, info.nar_size, info.references, STORE)
    return replace(info, signatures=tuple(key.sign(text) for key in keys))


def _check(info: PathInfo, *keys: PublicKey) -> None:
    check_signatures(MemoryStore(), [info], keys or (KEY.public_key,))


def test_one_trusted_signature_is_enough() -> None:
    _check(_signed(INFO, KEY))
    _check(_signed(INFO, OTHER, KEY))
    _check(_signed(INFO, KEY), OTHER.public_key, KEY.public_key)


@pytest.mark.parametrize(
    ("info", "match"),
    [
        (INFO, "is not signed"),
        (_signed(INFO, OTHER), "signed by 'other-1' only, which is not trusted"),
        (_signed(INFO, SecretKey.generate("trusted-1")), "'trusted-1' has not made"),
        (replace(_signed(INFO, KEY), nar_size=101), "'trusted-1' has not made"),
        (replace(_signed(INFO, KEY), nar_size=0), "'trusted-1' has not made"),
        (replace(_signed(INFO, KEY), nar_hash=bytes(32)), "'trusted-1' has not made"),
        (replace(_signed(INFO, KEY), references=frozenset()), "'trusted-1' has not made"),
        (replace(_signed(INFO, KEY), path=named_path("x", STORE)), "'trusted-1' has not made"),
        (replace(INFO, content_address=f"fixed:r:sha256:{DIGEST.hex()}"), "is not signed"),
    ],
)
def test_anything_else_is_an_error_that_names_the_path(info: PathInfo, match: str) -> None:
    with pytest.raises(UntrustedPathError, match=match) as raised:
        _check(info)
    assert STORE.path(info.path) in raised.value.message


def test_a_path_of_another_store_directory_was_not_signed() -> None:
    with pytest.raises(UntrustedPathError):
        check_signatures(MemoryStore("/gnu/store"), [_signed(INFO, KEY)], [KEY.public_key])


def test_contents_that_name_the_path_need_no_signature() -> None:
    references = frozenset({named_path("two-1", STORE)})
    path = make_fixed_output_path("one", DIGEST, STORE, recursive=True, references=references)
    address = f"fixed:r:sha256:{DIGEST.hex()}"
    info = replace(INFO, path=path, references=references, content_address=address)
    _check(info)
    with pytest.raises(UntrustedPathError):
        _check(replace(info, references=frozenset()))
    with pytest.raises(BadFormatError):
        _check(replace(info, content_address="x"))
