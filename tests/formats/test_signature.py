"""Keys and signatures: as Nix makes and takes them, and never shown."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.narinfo import parse_narinfo, print_narinfo
from graft.formats.signature import PublicKey, SecretKey, fingerprint, parse_signature
from graft.formats.store_path import StoreDir
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store

# RFC 8032, section 7.1, test 2: secret, public key, message, signature.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
MESSAGE = "\x72"
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def _text(name: str, data: bytes) -> str:
    return f"{name}:{base64.b64encode(data).decode()}"


SECRET = _text("test-1", SEED + PUBLIC)


def test_the_vector_of_the_standard_is_signed_and_verified() -> None:
    key = SecretKey.parse(SECRET, "file")
    assert key.public_key == PublicKey("test-1", PUBLIC)
    assert key.sign(MESSAGE) == _text("test-1", SIGNATURE)
    assert key.public_key.verifies(MESSAGE, _text("test-1", SIGNATURE))
    assert parse_signature(_text("test-1", SIGNATURE)) == ("test-1", SIGNATURE)
    assert key.expose() == SECRET
    assert SecretKey.parse(f"{SECRET}\n", "file").expose() == SECRET
    assert PublicKey.parse(f"{key.public_key}\n") == key.public_key


# What the cache of the Nix project says of a path, and the key it has signed it with.
REAL_KEY = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
REAL = """\
StorePath: /nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin
URL: nar/05ra3y72i3qjri7xskf9qj8kb29r6naqy1sqpbs3azi3xcigmj56.nar.xz
Compression: xz
FileHash: sha256:05ra3y72i3qjri7xskf9qj8kb29r6naqy1sqpbs3azi3xcigmj56
FileSize: 68852
NarHash: sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0
NarSize: 196040
References: 0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0 \
6w8g7njm4mck5dmjxws0z1xnrxvl81xa-glibc-2.34-115 \
j5jxw3iy7bbz4a57fh9g2xm2gxmyal8h-zlib-1.2.12 \
yxvjs9drzsphm9pcf42a4byzj1kb9m7k-openssl-1.1.1n
Deriver: 5rwxzi7pal3qhpsyfc16gzkh939q1np6-curl-7.82.0.drv
Sig: cache.nixos.org-1:\
TsTTb3WGTZKphvYdBHXwo6weVILmTytUjLB+vcX89fOjjRicCHmKA4RCPMVLkj6TMJ4GMX3HPVWRdD1hkeKZBQ==
"""


def test_what_a_public_cache_has_signed_is_verified() -> None:
    store_dir = StoreDir("/nix/store")
    info = parse_narinfo(REAL, store_dir, "real")
    assert print_narinfo(info, store_dir) == REAL
    text = fingerprint(info.path, info.nar_hash, info.nar_size, info.references, store_dir)
    (signature,) = info.signatures
    key = PublicKey.parse(REAL_KEY)
    assert key.verifies(text, signature)
    assert not key.verifies(text.replace("zlib-1.2.12", "zlib-1.2.13"), signature)


def test_a_key_verifies_its_own_signatures_only() -> None:
    key, other = SecretKey.generate("test-1"), SecretKey.generate("test-1")
    signature = key.sign("text")
    assert key.public_key.verifies("text", signature)
    assert not key.public_key.verifies("texts", signature)
    assert not other.public_key.verifies("text", signature)
    renamed = PublicKey("test-2", key.public_key.data)
    assert not renamed.verifies("text", signature)
    assert renamed.verifies("text", signature.replace("test-1", "test-2"))
    assert not key.public_key.verifies("text", "test-1:YWJj")


@given(st.text(), st.binary(min_size=32, max_size=32))
def test_every_text_is_signed_and_verified(text: str, seed: bytes) -> None:
    key = SecretKey("k", seed)
    signable = text.encode("utf-8", "replace").decode()
    assert key.public_key.verifies(signable, key.sign(signable))
    assert SecretKey.parse(key.expose(), "f").sign(signable) == key.sign(signable)


@given(st.text() | st.builds(_text, st.text(min_size=1), st.binary(max_size=70)))
def test_any_text_is_a_key_or_a_typed_error(text: str) -> None:
    for parse in (PublicKey.parse, lambda text: SecretKey.parse(text, "f"), parse_signature):
        try:
            parse(text)
        except BadFormatError as error:
            message = error.message
        else:
            continue
        assert message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "test-1",
        "test-1:",
        f":{SECRET.partition(':')[2]}",
        SECRET[:-1],
        SECRET.replace("test-1", "test 1"),
        _text("test-1", SEED),
        _text("test-1", SEED + SEED),
        _text("test-1", SEED + PUBLIC + b"x"),
    ],
)
def test_what_is_no_secret_key_is_an_error_that_shows_nothing(text: str) -> None:
    with pytest.raises(BadFormatError, match="'file'") as raised:
        SecretKey.parse(text, "file")
    secret = base64.b64encode(SEED).decode()[:20]
    assert secret not in repr(vars(raised.value))
    assert secret not in repr(raised.value.args)


def test_a_secret_key_shows_its_name_only() -> None:
    key = SecretKey.parse(SECRET, "file")
    assert repr(key) == str(key) == "SecretKey(name='test-1')"
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(key)


@pytest.mark.parametrize("text", ["", "x", "a:YWJj", _text("a", bytes(64)), f"a b:{'A' * 43}="])
def test_what_is_no_public_key_is_an_error(text: str) -> None:
    with pytest.raises(BadFormatError):
        PublicKey.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n"])
def test_a_key_needs_a_name(name: str) -> None:
    with pytest.raises(BadFormatError, match="no name of a key"):
        SecretKey.generate(name)


@pytest.mark.nix
def test_nix_and_graft_take_each_others_keys_and_signatures(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    below = add_object(store, "below-1", {"file": b"below\n"})
    path = add_object(store, "one-1", {"own": b"{self}\n"}, [below])
    full = store.store_dir.path(path)
    info = store.path_infos([path])[path]
    text = fingerprint(path, info.nar_hash, info.nar_size, info.references, store.store_dir)

    secret, public = tmp_path / "secret", tmp_path / "public"
    nix.run("nix-store", "--generate-binary-cache-key", "nix-1", str(secret), str(public))
    theirs = SecretKey.parse(secret.read_text(), "secret")
    assert str(theirs.public_key) == public.read_text().strip()
    assert theirs.expose() == secret.read_text().strip()
    nix.run("nix", "store", "sign", "--key-file", str(secret), full)
    (signature,) = store.path_infos([path])[path].signatures
    assert theirs.sign(text) == signature
    assert theirs.public_key.verifies(text, signature)

    ours = SecretKey.generate("graft-1")
    secret.write_text(ours.expose())
    nix.run("nix", "store", "sign", "--key-file", str(secret), full)
    signatures = store.path_infos([path])[path].signatures
    assert set(signatures) == {signature, ours.sign(text)}
    verify = ["store", "verify", "--no-contents", "--sigs-needed", "1", full]
    stranger = SecretKey.generate("graft-1")
    for key, status in [(ours, 0), (stranger, 2)]:
        trusted = ["--option", "trusted-public-keys", str(key.public_key)]
        nix.run("nix", *verify, *trusted, status=status)
