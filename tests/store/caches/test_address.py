"""URLs of binary caches, and which cache goes before which."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.errors import BadStoreUrlError
from graft.formats.cache_info import CacheInfo, print_cache_info
from graft.store.binary_cache import BinaryCache
from graft.store.caches.address import CacheAddress
from graft.store.location import Location
from graft.store.opening import open_local_store, open_target
from tests.caches import STORE


def test_a_url_is_taken_apart() -> None:
    address = CacheAddress.parse("s3://bucket/a/b/?region=eu-west-1&endpoint=h%3A9&priority=-3")
    assert (address.scheme, address.place, address.path) == ("s3", "bucket", "/a/b")
    assert address.parameters == {"region": "eu-west-1", "endpoint": "h:9"}
    assert address.priority == -3
    assert CacheAddress.parse("file:///a%20b/").directory == "/a b"
    assert CacheAddress.parse("file:///").directory == "/"


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("https://me:secret@host/x?region=y", "'region': https takes priority"),
        ("https://me:secret@host/x?priority=1.5", "'priority' is no number"),
        ("https://me:secret@host/x#y", "no binary cache"),
        ("s3://me:secret@bucket?secret=secret", "'secret'"),
        ("ftp://me:secret@host?x=secret", "no binary cache"),
        ("https://me:secret@[x", "no binary cache"),
        ("s3:///x", "no binary cache"),
        ("file://host/x", "no binary cache"),
    ],
)
def test_another_url_is_an_error_without_password(url: str, match: str) -> None:
    with pytest.raises(BadStoreUrlError, match=match) as raised:
        CacheAddress.parse(url)
    assert "me:" not in str(vars(raised.value))


@pytest.mark.parametrize("url", ["https://me:secret@host/x?y=z", "ssh://me:secret@host"])
def test_no_other_error_about_a_url_shows_its_password(url: str) -> None:
    for opened in (
        lambda: open_local_store(url, {}),
        lambda: open_target(url, {}, STORE),
        lambda: Location.parse(url, {}),
    ):
        with pytest.raises(BadStoreUrlError) as raised:
            opened()
        assert "me:" not in str(vars(raised.value))


@pytest.mark.parametrize(
    ("said", "query", "priority"), [(None, "", 0), (40, "", 40), (40, "?priority=10", 10)]
)
def test_the_url_says_the_priority_or_else_the_cache(
    said: int | None, query: str, priority: int, tmp_path: Path
) -> None:
    info = CacheInfo(store_dir=STORE, priority=said)
    (tmp_path / "nix-cache-info").write_text(print_cache_info(info))
    with BinaryCache.open(f"file://{tmp_path}{query}") as cache:
        assert cache.priority == priority
