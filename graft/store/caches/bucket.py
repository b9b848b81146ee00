"""The files of a binary cache in a bucket: `s3://`, at Amazon or wherever its protocol is spoken.

Source: src/libstore/s3-binary-cache-store.cc of Nix for the URL, the types of contents, and the
answers that count as absent.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import IO, Any, Final
from urllib.parse import unquote

from graft.errors import (
    BadFormatError,
    BadStoreUrlError,
    CacheError,
    StoreError,
    StoreMissingError,
    StorePermissionError,
)
from graft.formats.cache_info import CACHE_INFO_FILE
from graft.formats.compression_levels import SUFFIXES
from graft.store.caches.address import CacheAddress
from graft.store.caches.bucket_client import (
    answer_status,
    bucket_client,
    error_code,
    failures,
    one_line,
)
from graft.store.caches.bucket_files import WHILE_READ, BucketStream, NewObject
from graft.store.caches.content_encoding import decoded
from graft.store.caches.files import LARGEST_TEXT

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})")
_ABSENT: Final = frozenset({"NoSuchKey", "404"})
# The codes for absent files where the caller may not list names; to Nix too they are not there
# then.
_MAYBE_ABSENT: Final = frozenset({"AccessDenied", "403"})
_EMPTY: Final = frozenset({"InvalidRange", "416"})  # of the first byte
_CHANGED: Final = frozenset({"PreconditionFailed", "412"}) | _EMPTY
_FORBIDDEN: Final = frozenset({401, 403, 405})
_BLOCK: Final = 4 << 20  # bytes asked for at once
_PART: Final = 8 << 20  # bytes of a file sent at once, if it is sent in parts
_MOST_PARTS: Final = 9000  # the protocol allows 10,000
_PARTS_AT_ONCE: Final = 2
_LONGEST_WAIT: Final = 20.0  # seconds
_TYPES: Final = {
    ".narinfo": "text/x-nix-narinfo",
    **dict.fromkeys([".nar", *filter(None, SUFFIXES.values())], "application/x-nix-nar"),
}


class CacheBucket:
    """The objects of a bucket whose names begin with a prefix.

    Args:
        address: `s3://BUCKET[/PREFIX]` with `region`, `endpoint`, `scheme` and `profile`.
        connections: kept open, and used at once.
        attempts: how often in a row something may fail until it is an error.
        wait: seconds before a cut transfer is taken up again; twice as long each further time.
        timeout: seconds until a server that says nothing is given up.

    Raises:
        BadStoreUrlError: it is no address of a bucket.
        CacheError: boto3 is not installed.
        StoreError: there is no such profile.
    """

    def __init__(
        self,
        address: CacheAddress,
        *,
        connections: int = 16,
        attempts: int = 5,
        wait: float = 0.25,
        timeout: float = 30.0,
    ) -> None:
        self._bucket = address.place
        prefix = unquote(address.path).strip("/")
        if not _BUCKET.fullmatch(self._bucket) or not prefix.isprintable():
            bare = f"s3://{self._bucket.rpartition('@')[2]}"
            raise BadStoreUrlError(
                f"store '{bare}' is no bucket: say s3://BUCKET or s3://BUCKET/DIR", url=bare
            )
        self._prefix = f"{prefix}/" if prefix else ""
        self._connections = connections
        self._attempts = attempts
        self._wait = wait
        self._client = bucket_client(
            address,
            self.url,
            connect_timeout=timeout,
            read_timeout=timeout,
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )

    @property
    def url(self) -> str:
        """How messages name the cache."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def connections(self) -> int:
        """How many files it is sensible to read or write at once."""
        return self._connections

    def read(self, name: str) -> bytes | None:
        """A small file, whole, if it is there."""
        absent = _ABSENT if name == CACHE_INFO_FILE else _ABSENT | _MAYBE_ABSENT
        answer = self._again(name, partial(self._text, name), absent=absent)
        return None if answer is None else bytes(answer)

    def open(self, name: str) -> BucketStream:
        """A file of any size."""
        return BucketStream(partial(self._piece, name), partial(self._unread, name, WHILE_READ))

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def names(self) -> list[str]:
        """The names of the files directly in the cache."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        try:
            found = [
                key
                for page in pages
                for key in (
                    *(entry["Key"] for entry in page.get("Contents", ())),
                    *(entry["Prefix"] for entry in page.get("CommonPrefixes", ())),
                )
            ]
        except failures() as error:
            raise self._error(error, "", "listed") from error
        names = [key.removeprefix(self._prefix).rstrip("/") for key in found]
        return [name for name in names if name]

    def size(self, name: str) -> int | None:
        """The length of a file in bytes, if it is there."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        except failures() as error:
            if error_code(error) in _ABSENT:
                return None
            raise self._error(error, name, "read") from error
        return int(answer["ContentLength"])

    def check_writable(self) -> None:
        """Does nothing: only a write shows whether the user may write."""

    def free_bytes(self) -> None:
        """Unknown: a bucket has room as long as somebody pays for it."""
        return

    def create(self) -> NewObject:
        """A file to be written, whose name is told when it is whole."""
        return NewObject(self._upload, self.url)

    def sync(self) -> None:
        """Does nothing: a bucket keeps its files."""

    def _upload(self, file: IO[bytes], size: int, name: str) -> None:
        """Puts a file into the bucket.

        Args:
            file: it is read from where it stands.
            size: its size in bytes.

        Raises:
            CacheError, StorePermissionError, StoreMissingError: it cannot be written.
        """
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - loaded only for buckets

        kind = {"ContentType": _TYPES.get(os.path.splitext(name)[1], "text/plain")}
        place = {"Bucket": self._bucket, "Key": self._prefix + name}
        part = max(_PART, -(-size // _MOST_PARTS))
        try:
            if size < 2 * part:
                self._client.put_object(Body=file, **place, **kind)
            else:
                parts = TransferConfig(
                    multipart_threshold=part,
                    multipart_chunksize=part,
                    max_concurrency=_PARTS_AT_ONCE,
                    preferred_transfer_client="classic",
                )
                self._client.upload_fileobj(file, **place, ExtraArgs=kind, Config=parts)
        except failures() as error:
            raise self._error(error, name, "written") from error

    def _piece(self, name: str, position: int, tag: str | None) -> tuple[bytes, int, str]:
        """A piece of a file, as `BucketStream` wants it."""
        found: tuple[bytes, int, str] | None = self._again(
            name,
            partial(self._block, name, position, tag),
            absent=_EMPTY if tag is None else _ABSENT,
        )
        if found is not None:
            return found
        if tag is not None:
            raise self._unread(name, WHILE_READ)
        return b"", 0, ""

    def _text(self, name: str) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        with closing(answer["Body"]) as body:
            if _length(answer) > LARGEST_TEXT:
                raise _AnswerError("it is longer than any such file")
            data = _whole(body)
        try:
            return decoded(data, answer.get("ContentEncoding", ""))
        except BadFormatError as error:
            raise _AnswerError(error.message) from error

    def _block(self, name: str, position: int, tag: str | None) -> tuple[bytes, int, str]:
        answer = self._client.get_object(
            Bucket=self._bucket,
            Key=self._prefix + name,
            Range=f"bytes={position}-{position + _BLOCK - 1}",
            **({"IfMatch": tag} if tag else {}),
        )
        with closing(answer["Body"]) as body:
            length = _length(answer)
            part = _RANGE.fullmatch(answer.get("ContentRange", f"bytes 0-0/{length}"))
            found = answer.get("ETag", "")
            if tag is not None and found != tag:
                raise _AnswerError(WHILE_READ)
            if part is None or int(part[1]) != position or length > _BLOCK:
                raise _AnswerError("the server sent another part than asked for")
            return _whole(body), int(part[2]), found

    def _again(self, name: str, ask: Callable[[], Any], *, absent: frozenset[str]) -> Any:
        """Asks until the answer is whole; a failure before an answer begins was tried again
        already.
        """
        for attempt in range(1, self._attempts + 1):
            try:
                return ask()
            except _CutError as error:
                if attempt == self._attempts:
                    raise self._unread(
                        name, f"the connection was cut {attempt} times ({one_line(error)})"
                    ) from error
                time.sleep(min(self._wait * 2 ** (attempt - 1), _LONGEST_WAIT))
            except _AnswerError as error:
                raise self._unread(name, str(error)) from error
            except failures() as error:
                if error_code(error) in absent:
                    return None
                raise self._error(error, name, "read") from error
        raise AssertionError

    def _unread(self, name: str, what: str) -> CacheError:
        return CacheError(
            f"file '{name}' of the cache '{self.url}' cannot be read: {what}",
            store=self.url,
            file=name,
        )

    def _error(self, error: Exception, name: str, done: str) -> StoreError:
        """The error that something cannot be done with a file."""
        code = error_code(error)
        if code == "NoSuchBucket":
            return StoreMissingError(
                f"there is no bucket '{self._bucket}': make it, or name its region or endpoint",
                store=self.url,
            )
        if code is None:
            why = one_line(error)
        elif code in _CHANGED:
            why = WHILE_READ
        elif code in _ABSENT:
            why = "there is no such file"
        else:
            why = f"the server answered {code}"
        what = f"file '{name}' of the cache '{self.url}'" if name else f"the cache '{self.url}'"
        kind = StorePermissionError if answer_status(error) in _FORBIDDEN else CacheError
        return kind(f"{what} cannot be {done}: {why}", store=self.url, file=name)


class _CutError(Exception):
    """An answer had begun, and did not come to its end."""


class _AnswerError(Exception):
    """A sentence about an unexpected answer."""


def _length(answer: dict[str, Any]) -> int:
    if "ContentLength" not in answer:
        raise _AnswerError("the server does not say how long it is")
    return int(answer["ContentLength"])


def _whole(body: Any) -> bytes:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - loaded only for buckets
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        data: bytes = body.read()
    except (BotoCoreError, HTTPError, OSError) as error:
        raise _CutError(one_line(error)) from error
    return data
