"""Clients of the servers of buckets, made by boto3, and their errors.

Credentials are found as every program of Amazon's finds them, in the environment, in `~/.aws` or on
the machine itself. Without credentials, requests are not signed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from graft.errors import BadStoreUrlError, CacheError, StoreError
from graft.store.caches.address import CacheAddress

_ENDPOINT: Final = re.compile(r"(?:https?://)?[A-Za-z0-9.:\[\]_-]+/?")
_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")


def bucket_client(address: CacheAddress, url: str, **settings: object) -> Any:
    """A client of the bucket's server, which connects when it is first used.

    Args:
        address: with `region`, `endpoint`, `scheme` and `profile`.
        url: how messages name the cache.
        settings: the client's settings.

    Raises:
        BadStoreUrlError: `endpoint` or `scheme` is malformed.
        CacheError: boto3 is not installed.
        StoreError: there is no such profile.
    """
    try:
        from boto3.session import Session  # noqa: PLC0415 - loaded only for buckets
    except ImportError as error:
        raise CacheError(
            f"the cache '{url}' cannot be used without boto3: pip install 'nix-graft[s3]'",
            store=url,
        ) from error
    from botocore import UNSIGNED  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
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
    try:
        session = Session(profile_name=given.get("profile"))
        unsigned = {} if session.get_credentials() else {"signature_version": UNSIGNED}
        return session.client(
            "s3",
            region_name=given.get("region"),
            endpoint_url=endpoint,
            use_ssl=scheme == "https",
            config=Config(
                **settings,
                **unsigned,
                # The files read have hashes of their own; not every server knows Amazon's hashes.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise StoreError(
            f"the cache '{url}' cannot be used: {one_line(error)}", store=url
        ) from error


def failures() -> tuple[type[Exception], ...]:
    """The exceptions that boto3 raises when a request fails."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415 - loaded only for buckets
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    return (Boto3Error, BotoCoreError, ClientError)


def _answer(error: Exception) -> dict[str, Any]:
    """The server's answer; empty if the error does not come from a server."""
    answer = getattr(error, "response", None)
    return answer if isinstance(answer, dict) else {}


def answer_status(error: Exception) -> int | None:
    """The HTTP status of the server's answer, if the error comes from a server."""
    status: int | None = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def error_code(error: Exception) -> str | None:
    """The server's word for the error, if the error comes from a server."""
    if not (answer := _answer(error)):
        return None
    # Never its sentence, which may repeat anything that was sent.
    code = str(answer.get("Error", {}).get("Code", ""))
    return code if _CODE.fullmatch(code) else "an error"


def one_line(error: BaseException) -> str:
    """The text of an error, fit for a message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter for letter in text[:300] if letter.isprintable())
