"""Content addresses: their text, and which paths have their names from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.content_address import ContentAddress
from graft.formats.store_path import StoreDir, StorePath, make_fixed_output_path, make_text_path
from tests.real_nix import RealNix
from tests.store_objects import new_store

STORE = StoreDir("/nix/store")
DIGEST = bytes(range(32))
OTHER = StorePath("0123456789abcdfghijklmnpqrsvwxyz-other")

_addresses = st.builds(
    ContentAddress,
    prefix=st.sampled_from(["fixed:", "fixed:r:"]),
    algorithm=st.just("sha1"),
    digest=st.binary(min_size=20, max_size=20),
) | st.builds(
    ContentAddress,
    prefix=st.sampled_from(["text:", "fixed:", "fixed:r:"]),
    algorithm=st.just("sha256"),
    digest=st.binary(min_size=32, max_size=32),
)


@given(_addresses)
def test_every_address_is_read_back(address: ContentAddress) -> None:
    assert ContentAddress.parse(str(address)) == address


@given(st.text() | st.builds("{}{}".format, st.sampled_from(["text:", "fixed:r:"]), st.text()))
def test_any_text_is_an_address_or_a_typed_error(text: str) -> None:
    try:
        address = ContentAddress.parse(text)
    except BadFormatError:
        return
    assert ContentAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "fixed", "fixed:sha256", "r:sha256:x", "fixed:sha256-x", "a:b"]
)
def test_another_form_is_an_error(text: str) -> None:
    with pytest.raises(BadFormatError):
        ContentAddress.parse(text)


def test_a_path_has_its_name_from_address_and_references() -> None:
    own = ContentAddress(prefix="fixed:r:", algorithm="sha256", digest=DIGEST)
    path = make_fixed_output_path(
        "x", DIGEST, STORE, recursive=True, references=[OTHER], self_reference=True
    )
    assert own.is_of(path, {OTHER, path}, STORE)
    assert not own.is_of(path, {path}, STORE)
    assert not own.is_of(path, {OTHER}, STORE)
    assert not own.is_of(OTHER, (), STORE)
    flat = ContentAddress(prefix="fixed:", algorithm="sha256", digest=DIGEST)
    path = make_fixed_output_path("x", DIGEST, STORE, recursive=False)
    assert flat.is_of(path, (), STORE)
    assert not flat.is_of(path, {OTHER}, STORE)
    text = ContentAddress(prefix="text:", algorithm="sha256", digest=DIGEST)
    path = make_text_path("x", DIGEST, STORE, references=[OTHER])
    assert text.is_of(path, {OTHER}, STORE)
    assert not text.is_of(path, {OTHER, path}, STORE)


@pytest.mark.nix
def test_what_nix_adds_has_its_name_from_its_address(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    file = tmp_path / "file"
    file.write_text("contents\n")
    flat = nix.run("nix-store", "--add-fixed", "sha1", str(file)).strip()
    nar = nix.run("nix-store", "--add-fixed", "--recursive", "sha256", str(file)).strip()
    for full in (flat, nar):
        path = store.store_dir.parse(full)
        address = store.path_infos([path])[path].content_address
        assert address is not None
        assert ContentAddress.parse(address).is_of(path, (), store.store_dir)
        assert str(ContentAddress.parse(address)) == address
