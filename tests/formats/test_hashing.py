"""nix32, SRI and compress_hash against Nix's own spellings."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.hashing import (
    compress_hash,
    nix32_decode,
    nix32_encode,
    nix32_length,
    parse_hash,
)
from tests.sri import sri_encode


@given(st.binary(max_size=70))
def test_nix32_decodes_what_it_encodes(data: bytes) -> None:
    text = nix32_encode(data)
    assert len(text) == nix32_length(len(data))
    assert nix32_decode(text) == data


@given(st.text("0123456789abcdfghijklmnpqrsvwxyzetou", max_size=40))
def test_nix32_decode_accepts_only_what_encode_gives(text: str) -> None:
    try:
        data = nix32_decode(text)
    except BadFormatError:
        return
    assert nix32_encode(data) == text


@given(st.binary(max_size=64), st.integers(1, 32))
def test_compress_hash_folds_every_byte_in(data: bytes, size: int) -> None:
    folded = compress_hash(data, size)
    assert len(folded) == size
    for position in range(size):
        expected = 0
        for byte in data[position::size]:
            expected ^= byte
        assert folded[position] == expected


@given(st.sampled_from(["md5", "sha1", "sha256", "sha512"]), st.binary())
def test_every_spelling_of_a_digest_is_read(algorithm: str, data: bytes) -> None:
    digest = hashlib.new(algorithm, data).digest()
    for text in (
        f"{algorithm}:{digest.hex()}",
        f"{algorithm}:{nix32_encode(digest)}",
        sri_encode(digest, algorithm),
        sri_encode(digest, algorithm).replace("-", ":", 1),
    ):
        assert parse_hash(text) == (algorithm, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha3:00",
        "sha256:zz",
        "sha256-AAAA",
        "sha256:" + "g" * 64,
        "sha256:" + "ab" * 31 + "  ",
        "md5-é",
    ],
)
def test_a_broken_digest_is_an_error(text: str) -> None:
    with pytest.raises(BadFormatError):
        parse_hash(text)


@pytest.mark.nix
@pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256))])
def test_nix_hash_spells_a_digest_the_same_way(data: bytes) -> None:
    digest = hashlib.sha256(data).digest()
    result = subprocess.run(
        ["nix-hash", "--type", "sha256", "--to-base32", digest.hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == nix32_encode(digest)
