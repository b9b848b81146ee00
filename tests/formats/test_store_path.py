"""Store paths, with the worked examples of the Nix Pills as golden cases."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadStorePathError
from graft.formats.hashing import NIX32_ALPHABET, nix32_decode
from graft.formats.store_path import (
    StoreDir,
    StorePath,
    make_fixed_output_path,
    make_store_path,
    make_text_path,
)

NIX_STORE = StoreDir("/nix/store")
HASH = "0123456789abcdfghijklmnpqrsvwxyz"


def test_a_source_path_is_that_of_the_pills() -> None:
    # Nix Pills, chapter 18: `echo mycontent > myfile`, its NAR hash as printed there.
    digest = bytes.fromhex("2bfef67de873c54551d884fdab3055d84d573e654efa79db3c0d7b98883f9ee3")
    path = make_fixed_output_path("myfile", digest, NIX_STORE, recursive=True)
    assert path == "xv2iccirbrvklck36f1g7vldn5v58vck-myfile"
    assert make_store_path("source", digest, "myfile", NIX_STORE) == path


def test_an_output_path_is_that_of_the_pills() -> None:
    # The hash modulo of the derivation `foo`, with its output masked.
    digest = bytes.fromhex("1bdc41b9649a0d59f270a92d69ce6b5af0bc82b46cb9d9441ebc6620665f40b5")
    path = make_store_path("output:out", digest, "foo", NIX_STORE)
    assert path == "hs0yi5n5nw6micqhy8l1igkbhqdkzqa1-foo"


def test_a_fixed_output_path_is_that_of_the_pills() -> None:
    digest = bytes.fromhex("f3f3c4763037e059b4d834eaf68595bbc02ba19f6d2a500dce06d124e2cd99bb")
    path = make_fixed_output_path("bar", digest, NIX_STORE, recursive=False)
    assert path == "a00d5f71k0vp5a6klkls0mvr1f7sx6ch-bar"


names = st.text("abcXYZ019+-._?=", min_size=1, max_size=211).filter(
    lambda name: name.split("-", 1)[0] not in {".", ".."}
)
hash_parts = st.text(NIX32_ALPHABET, min_size=32, max_size=32)


@given(hash_parts, names)
def test_a_base_name_is_its_hash_part_and_its_name(hash_part: str, name: str) -> None:
    path = StorePath(f"{hash_part}-{name}")
    assert (path.hash_part, path.name) == (hash_part, name)
    full = NIX_STORE.path(path)
    assert NIX_STORE.parse(full) == path
    assert NIX_STORE.first_path(f"{full}/bin/../lib/x") == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        HASH,
        f"{HASH}-",
        f"{HASH[:-1]}-x",
        f"e{HASH[1:]}-x",
        f"{HASH}-a/b",
        f"{HASH}-ä",
        f"{HASH}-{'x' * 212}",
        f"{HASH}-x\n",
        f"{HASH}-..",
        f"{HASH}-.-x",
    ],
)
def test_what_is_no_base_name_is_refused(text: str) -> None:
    with pytest.raises(BadStorePathError):
        StorePath(text)


@pytest.mark.parametrize("text", ["/nix/store", "/nix/store/..", "/usr/x", "/nix/store/.links/x"])
def test_what_is_not_inside_a_store_path_is_refused(text: str) -> None:
    with pytest.raises(BadStorePathError):
        NIX_STORE.first_path(text)


@given(st.binary(min_size=32, max_size=32), names)
def test_a_made_path_has_twenty_bytes_of_hash(digest: bytes, name: str) -> None:
    path = make_store_path("output:graft", digest, name, NIX_STORE)
    assert len(nix32_decode(path.hash_part)) == 20
    assert path != make_store_path("output:out", digest, name, NIX_STORE)
    assert path != make_store_path("output:graft", digest, name, StoreDir("/gnu/store"))


@pytest.mark.parametrize(
    ("name", "package_name"),
    [
        ("openssl-3.0.20", "openssl"),
        ("openssl-3.0.20-bin", "openssl"),
        ("xz-5.6.1-bin", "xz"),
        ("python3.11-requests-2.31", "python3.11-requests"),
        ("bash-interactive-5.2p15", "bash-interactive"),
        ("source", "source"),
        ("foo-", "foo-"),
        ("foo--1", "foo"),
        ("gtk+-2.24.33", "gtk+"),
    ],
)
def test_the_package_name_is_that_of_parse_drv_name(name: str, package_name: str) -> None:
    assert StorePath(f"{HASH}-{name}").package_name == package_name


@pytest.mark.nix
@pytest.mark.parametrize("name", ["openssl-3.0.20-bin", "foo-", "foo--1", "a-b-1c-d", "gtk+-2"])
def test_nix_splits_package_names_the_same_way(name: str) -> None:
    result = subprocess.run(
        ["nix-instantiate", "--eval", "-E", f'(builtins.parseDrvName "{name}").name'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == f'"{StorePath(f"{HASH}-{name}").package_name}"'


_THREE_PATHS = """
[ (builtins.toFile "t" "hello\\n")
  (builtins.path { path = FILE; name = "r"; })
  (builtins.path { path = FILE; name = "f"; recursive = false; }) ]
"""


@pytest.mark.nix
def test_nix_gives_text_and_files_the_same_paths(tmp_path: Path) -> None:
    file = tmp_path / "hello.txt"
    file.write_bytes(b"hello\n")
    command = ["nix-instantiate", "--eval", "--strict", "--json"]
    command += ["--store", str(tmp_path / "store")]
    command += ["-E", _THREE_PATHS.replace("FILE", str(file))]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    text, recursive, flat = json.loads(output)
    contents = hashlib.sha256(b"hello\n").digest()
    dump = subprocess.run(["nix-store", "--dump", str(file)], capture_output=True, check=True)
    nar = hashlib.sha256(dump.stdout).digest()
    assert NIX_STORE.parse(text) == make_text_path("t", contents, NIX_STORE)
    assert NIX_STORE.parse(recursive) == make_fixed_output_path("r", nar, NIX_STORE, recursive=True)
    assert NIX_STORE.parse(flat) == make_fixed_output_path(
        "f", contents, NIX_STORE, recursive=False
    )
