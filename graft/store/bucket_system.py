"""The connection to a bucket, with credentials where all programs of Amazon's look for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from graft.errors import BadStoreUrlError, CacheError, StoreError
from graft.store.cache_address import CacheAddress

_ENDPOINT: Final = re.compile(r"(?:https?://)?[A-Za-z0-9.:\[\]_-]+/?")
_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")


def open_bucket_system(
    address: CacheAddress, url: str, *, connections: int, attempts: int, timeout: float
) -> Any:
    """Makes a file system of s3fs, which connects when it is first used.

    Args:
        address: with `region`, `endpoint`, `scheme` and `profile`.
        url: how messages name the cache.
        connections: kept open, and used at once.
        attempts: how often in a row a request may fail until it is an error.
        timeout: seconds until a server that says nothing is given up.

    Raises:
        BadStoreUrlError: `endpoint` or `scheme` is none.
        CacheError: s3fs is not installed.
        StoreError: there is no such profile.
    """
    try:
        from fsspec.asyn import get_loop, sync  # noqa: PLC0415 - loaded only for buckets
        from s3fs import S3FileSystem  # noqa: PLC0415
    except ImportError as error:
        raise CacheError(
            f"the cache '{url}' cannot be used without s3fs: pip install 'nix-graft[s3]'",
            store=url,
        ) from error
    from aiobotocore.session import AioSession  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    given = address.parameters
    scheme, endpoint = given.get("scheme", "https"), given.get("endpoint")
    if scheme not in {"http", "https"}:
        raise BadStoreUrlError(f"store '{url}': 'scheme' is neither http nor https", url=url)
    if endpoint is not None:
        if not _ENDPOINT.fullmatch(endpoint):
            raise BadStoreUrlError(
                f"store '{url}': 'endpoint' is no host, with a port if need be", url=url
            )
        endpoint = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
    session = AioSession(profile=given.get("profile"))
    try:
        loader = _loader(session.get_config_variable("data_path"))
        session.register_component("data_loader", loader)
        known = sync(get_loop(), session.get_credentials)
    except BotoCoreError as error:
        raise StoreError(
            f"the cache '{url}' cannot be used: {one_line(error)}", store=url
        ) from error
    system = S3FileSystem(
        anon=known is None,
        session=session,
        endpoint_url=endpoint,
        use_ssl=scheme == "https",
        client_kwargs={"region_name": given["region"]} if "region" in given else {},
        config_kwargs={
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "max_pool_connections": connections,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            # What is read has hashes of its own; not every server knows those of Amazon's.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    system.retries = 1  # those of the session are enough, and know more reasons
    return system


def in_its_loop(system: Any, ask: Callable[[], Any]) -> Any:
    """What a coroutine returns that has to run where the connections of the system are."""
    from fsspec.asyn import sync  # noqa: PLC0415

    return sync(system.loop, ask)


@lru_cache
def _loader(path: str | None) -> Any:
    """Descriptions of Amazon's services: some MB of JSON, read once for all buckets."""
    from botocore.loaders import create_loader  # noqa: PLC0415

    return create_loader(path)


def error_code(error: BaseException) -> str | None:
    """The word a server has for what is wrong; None if it was not a server that said no."""
    # s3fs raises what Python has for it, from what the server answered.
    answer = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(answer, dict):
        return None
    # Never its sentence, which may repeat anything that was sent.
    code = str(answer.get("Error", {}).get("Code", ""))
    return code if _CODE.fullmatch(code) else "an error"


def one_line(error: BaseException) -> str:
    """What an error says, fit for a message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter for letter in text[:300] if letter.isprintable())
