"""Paths from elsewhere: believed if somebody trusted signed them, or if contents name them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import BadFormatError, StoreError, UntrustedPathError
from graft.formats.signature import PublicKey, SecretKey, fingerprint
from graft.formats.store_path import StoreDir, make_fixed_output_path
from graft.store.api import PathInfo
from graft.store.memory import MemoryStore
from graft.store.trust import check_signatures, read_secret_key, signed, write_secret_key
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


def test_a_path_whose_size_is_not_known_is_not_signed() -> None:
    with pytest.raises(UntrustedPathError, match="has not made"):
        _check(_signed(replace(INFO, nar_size=0), KEY))
    _check(_signed(replace(INFO, nar_size=1), KEY))


def test_the_trusted_keys_are_named_or_the_lack_of_any() -> None:
    with pytest.raises(UntrustedPathError, match=r"\(trusted: other-1, trusted-1\): give"):
        _check(INFO, KEY.public_key, OTHER.public_key)
    with pytest.raises(UntrustedPathError, match=r"\(trusted: none\): give"):
        check_signatures(MemoryStore(), [_signed(INFO, KEY)], [])


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


def test_signatures_are_added_to_those_a_path_has() -> None:
    once = signed(INFO, [KEY], STORE)
    assert once == _signed(INFO, KEY)
    twice = signed(once, [OTHER], STORE)
    assert twice.signatures == tuple(sorted({*once.signatures, *_signed(INFO, OTHER).signatures}))
    assert signed(twice, [KEY], STORE) == twice
    assert signed(twice, [], STORE) == twice
    assert signed(INFO, [], STORE).signatures == ()


def test_a_key_file_is_for_its_owner_alone_and_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "key"
    mask = os.umask(0)
    try:
        write_secret_key(str(file), KEY)
    finally:
        os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_secret_key(str(file)).public_key == KEY.public_key
    with pytest.raises(StoreError, match="cannot be made: File exists"):
        write_secret_key(str(file), OTHER)
    assert read_secret_key(str(file)).public_key == KEY.public_key
