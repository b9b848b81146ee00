"""Files of secret keys: Nix's, and closed to everybody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.errors import BadFormatError, StoreError
from graft.formats.signature import SecretKey
from graft.store.trust import read_secret_key, write_secret_key
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_a_key_is_written_for_its_owner_only(mask: int, tmp_path: Path) -> None:
    key, file = SecretKey.generate("k-1"), tmp_path / "key"
    before = os.umask(mask)
    try:
        write_secret_key(str(file), key)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_secret_key(str(file)).expose() == key.expose()


def test_a_key_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("mine")
    with pytest.raises(StoreError, match="cannot be made: File exists"):
        write_secret_key(str(file), SecretKey.generate("k-1"))
    assert file.read_text() == "mine"


def test_what_cannot_be_read_is_an_error_that_shows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(StoreError, match="No such file"):
        read_secret_key(str(file))
    with pytest.raises(StoreError, match="Is a directory"):
        read_secret_key(str(tmp_path))
    for data in (b"secret", b"\xff", b"secret" * 10_000):
        file.write_bytes(data)
        with pytest.raises(BadFormatError, match="no secret key") as raised:
            read_secret_key(str(file))
        assert "secret:" not in repr(vars(raised.value))
        assert "secretsecret" not in repr(vars(raised.value))


@pytest.mark.nix
def test_nix_signs_with_a_key_written_here(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    path = add_object(store, "one-1", {"file": b"x"})
    key, file = SecretKey.generate("k-1"), tmp_path / "key"
    write_secret_key(str(file), key)
    nix.run("nix", "store", "sign", "--key-file", str(file), store.store_dir.path(path))
    (signature,) = store.path_infos([path])[path].signatures
    assert signature.startswith("k-1:")
