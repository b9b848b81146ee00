"""The kinds of stores, found by their URLs."""

from __future__ import annotations

import pytest

from graft.errors import BadStoreUrlError
from graft.store.kinds import CACHE, KINDS, LOCAL, kind_of, spoken_forms, without_secrets
from tests.caches import STORE


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("/nix", "/"),
        ("auto", "auto"),
        ("local?root=/x", "local"),
        ("file:///x", "file"),
        ("https://h", "https"),
        ("s3://b", "s3"),
        ("graph:x", "graph"),
    ],
)
def test_a_kind_is_found_by_its_scheme(url: str, scheme: str) -> None:
    assert scheme in kind_of(url).schemes


@pytest.mark.parametrize("url", ["", "locals", "ftp://me:secret@host/x?y", "x/auto", " auto"])
def test_another_url_is_no_store(url: str) -> None:
    with pytest.raises(BadStoreUrlError, match="is no store: say auto, ") as raised:
        kind_of(url)
    assert "secret" not in raised.value.message


def test_what_can_only_be_read_is_not_created() -> None:
    with pytest.raises(BadStoreUrlError, match="'https://h/x' can only be read"):
        kind_of("https://me:secret@h/x?y").create("https://me:secret@h/x?y", {}, STORE)


def test_forms_are_spoken_as_a_list() -> None:
    one, two, *_ = [kind for kind in KINDS if len(kind.forms) == 1]
    (first,), (second,) = one.forms, two.forms
    assert spoken_forms([one]) == first
    assert spoken_forms([one, two]) == f"{first} or {second}"
    assert spoken_forms([one, two, one]) == f"{first}, {second} or {first}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host:1/x?key=secret#secret", "https://host:1/x"),
        ("s3://bucket?a=b", "s3://bucket"),
        ("http://me:secret@[x", "http:"),
        ("auto", "auto"),
    ],
)
def test_messages_show_no_password(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_a_local_store_is_no_cache() -> None:
    assert LOCAL.noun != CACHE
