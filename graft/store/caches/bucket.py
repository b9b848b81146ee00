"""The files of a binary cache in a bucket: `s3://`, at Amazon or wherever its protocol is spoken.

Source: src/libstore/s3-binary-cache-store.cc of Nix for the URL, the types of contents, and what
counts as absent. Credentials are found as every program of Amazon's finds them, in the environment,
in `~/.aws` or on the machine itself; where there are none, requests are not signed.

A file is held here until it is whole, a long one in a temporary file without a name: an object in a
bucket is there as a whole or not at all.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import IO, Any, Final
from urllib.parse import unquote

from graft.errors import (
    BadStoreUrlError,
    CacheError,
    NoSpaceError,
    StoreError,
    StoreMissingError,
    StorePermissionError,
)
from graft.formats.cache_info import CACHE_INFO_FILE
from graft.formats.compression_levels import SUFFIXES
from graft.store.caches.address import CacheAddress
from graft.store.caches.files import LARGEST_TEXT

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


_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ABSENT: Final = frozenset({"NoSuchKey", "404"})
# What is said of absent files to those who may not list names; to Nix too they are not there then.
_MAYBE_ABSENT: Final = frozenset({"AccessDenied", "403"})
_EMPTY: Final = frozenset({"InvalidRange", "416"})  # of the first byte
_CHANGED: Final = frozenset({"PreconditionFailed", "412"}) | _EMPTY
_BLOCK: Final = 4 << 20  # bytes asked for at once
_PART: Final = 8 << 20  # bytes of a file sent at once, if it is sent in parts
_MOST_PARTS: Final = 9000  # the protocol allows 10,000
_PARTS_AT_ONCE: Final = 2
_LONGEST_WAIT: Final = 20.0  # seconds
_HELD: Final = 1 << 20  # bytes of a file that is not whole, in memory
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
        CacheError: s3fs is not installed.
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
        self._system = open_bucket_system(
            address, self.url, connections=connections, attempts=attempts, timeout=timeout
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
        """A small file, whole; None if there is no such file."""
        absent = _ABSENT if name == CACHE_INFO_FILE else _ABSENT | _MAYBE_ABSENT
        answer = self._again(name, partial(self._text, name), absent=absent)
        return None if answer is None else bytes(answer)

    def open(self, name: str) -> BucketStream:
        """A file of any size."""
        return BucketStream(self, name)

    def close(self) -> None:
        """Closes the connections."""
        if self._system._s3 is not None:  # noqa: SLF001 - nothing else closes them at once
            in_its_loop(self._system, self._system._s3.close)  # noqa: SLF001

    def names(self) -> list[str]:
        """The names of the files directly in the cache."""
        place = f"{self._bucket}/{self._prefix}".rstrip("/")
        try:
            found = self._system.ls(place, detail=False, refresh=True)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self.error(error, "", "listed") from error
        return [name.rpartition("/")[2] for name in found]

    def size(self, name: str) -> int | None:
        """The length of a file in bytes; None if there is no such file."""
        try:
            answer = self._system.call_s3("head_object", Bucket=self._bucket, Key=self._key(name))
        except Exception as error:
            if error_code(error) in _ABSENT:
                return None
            raise self.error(error, name, "read") from error
        return int(answer["ContentLength"])

    def check_writable(self) -> None:
        """Does nothing: only who writes learns whether he may."""

    def free_bytes(self) -> None:
        """Unknown: a bucket has room as long as somebody pays for it."""
        return

    def create(self) -> NewObject:
        """A file to be written, whose name is told when it is whole."""
        return NewObject(self)

    def sync(self) -> None:
        """Does nothing: what is in a bucket stays there."""

    def upload(self, data: bytearray, spool: IO[bytes] | None, name: str) -> None:
        """Puts a file into the bucket.

        Args:
            data: the file, unless it is in `spool`.

        Raises:
            CacheError, StorePermissionError, StoreMissingError: it cannot be written.
        """
        kind = _TYPES.get(os.path.splitext(name)[1], "text/plain")
        place = f"{self._bucket}/{self._key(name)}"
        try:
            if spool is None:
                self._system.pipe_file(place, bytes(data), ContentType=kind)
            else:
                file = f"/proc/self/fd/{spool.fileno()}"
                self._system.put_file(
                    file,
                    place,
                    chunksize=max(_PART, -(-os.path.getsize(file) // _MOST_PARTS)),
                    max_concurrency=_PARTS_AT_ONCE,
                    ContentType=kind,
                )
        except Exception as error:
            raise self.error(error, name, "written") from error

    def block(self, name: str, position: int, tag: str | None) -> tuple[bytes, int, str]:
        """A piece of a file, its length in bytes, and a tag of its version.

        Args:
            position: where the piece begins; it is the file's end only of an empty file.
            tag: the version it must be of.

        Raises:
            CacheError: it cannot be read, or is of another version.
        """
        found: tuple[bytes, int, str] | None = self._again(
            name,
            partial(self._block, name, position, tag),
            absent=_EMPTY if tag is None else _ABSENT,
        )
        if found is not None:
            return found
        if tag is not None:
            raise self._unread(name, _WHILE_READ)
        return b"", 0, ""

    async def _text(self, name: str) -> bytes:
        answer = await self._system._call_s3(  # noqa: SLF001 - its loop is where bodies are read
            "get_object", Bucket=self._bucket, Key=self._key(name)
        )
        async with answer["Body"] as body:
            if _length(answer) > LARGEST_TEXT:
                raise _AnswerError("it is longer than any such file")
            return await _whole(body)

    async def _block(self, name: str, position: int, tag: str | None) -> tuple[bytes, int, str]:
        answer = await self._system._call_s3(  # noqa: SLF001
            "get_object",
            Bucket=self._bucket,
            Key=self._key(name),
            Range=f"bytes={position}-{position + _BLOCK - 1}",
            **({"IfMatch": tag} if tag else {}),
        )
        async with answer["Body"] as body:
            length = _length(answer)
            part = re.fullmatch(
                r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})",
                answer.get("ContentRange", f"bytes 0-0/{length}"),
            )
            found = answer.get("ETag", "")
            if tag is not None and found != tag:
                raise _AnswerError(_WHILE_READ)
            if part is None or int(part[1]) != position or length > _BLOCK:
                raise _AnswerError("the server sent another part than asked for")
            return await _whole(body), int(part[2]), found

    def _again(
        self,
        name: str,
        ask: Callable[[], Any],
        *,
        absent: frozenset[str] = frozenset(),
    ) -> Any:
        """Asks until the answer is whole; what fails before one begins was tried again already."""
        for attempt in range(1, self._attempts + 1):
            try:
                return in_its_loop(self._system, ask)
            except _CutError as error:
                if attempt == self._attempts:
                    raise self._unread(
                        name, f"the connection was cut {attempt} times ({one_line(error)})"
                    ) from error
                time.sleep(min(self._wait * 2 ** (attempt - 1), _LONGEST_WAIT))
            except _AnswerError as error:
                raise self._unread(name, str(error)) from error
            except Exception as error:
                if error_code(error) in absent:
                    return None
                raise self.error(error, name, "read") from error
        raise AssertionError

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _unread(self, name: str, what: str) -> CacheError:
        return CacheError(
            f"file '{name}' of the cache '{self.url}' cannot be read: {what}",
            store=self.url,
            file=name,
        )

    def error(self, error: Exception, name: str, done: str) -> StoreError:
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
            why = _WHILE_READ
        elif code in _ABSENT:
            why = "there is no such file"
        else:
            why = f"the server answered {code}"
        what = f"file '{name}' of the cache '{self.url}'" if name else f"the cache '{self.url}'"
        kind = StorePermissionError if isinstance(error, PermissionError) else CacheError
        return kind(f"{what} cannot be {done}: {why}", store=self.url, file=name)

    def spool_error(self, error: OSError) -> StoreError:
        """The error that a file for the cache cannot be spooled on this machine."""
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        reason = (error.strerror or str(error)).lower()
        return (NoSpaceError if full else CacheError)(
            f"a file for the cache '{self.url}' cannot be held in '{tempfile.gettempdir()}': "
            f"{reason}; name another directory with TMPDIR",
            store=self.url,
            path=tempfile.gettempdir(),
        )


class BucketStream:
    """A file that is read, block by block of one version."""

    def __init__(self, bucket: CacheBucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._position = 0
        self._data, self._length, self._tag = bucket.block(name, 0, None)
        self._left = memoryview(self._data)

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: none only at the end."""
        if not self._left and self._position + len(self._data) < self._length:
            self._position += len(self._data)
            self._data, length, _ = self._bucket.block(self._name, self._position, self._tag)
            if length != self._length or not self._data:
                raise CacheError(
                    f"file '{self._name}' of the cache '{self._bucket.url}' cannot be read: "
                    f"{_WHILE_READ}",
                    store=self._bucket.url,
                    file=self._name,
                )
            self._left = memoryview(self._data)
        read = min(len(view), len(self._left))
        view[:read] = self._left[:read]
        self._left = self._left[read:]
        return read

    def close(self) -> None:
        """Forgets what was read."""
        self._left = memoryview(b"")


class NewObject:
    """A file that is written, and is not in the cache until it has a name there."""

    def __init__(self, bucket: CacheBucket) -> None:
        self._bucket = bucket
        self._data = bytearray()
        self._spool: IO[bytes] | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Writes all the bytes."""
        self._data += data
        if len(self._data) > _HELD:
            self._spill()

    def _spill(self) -> None:
        rest = memoryview(self._data)
        try:
            if self._spool is None:
                self._spool = tempfile.TemporaryFile(prefix="graft-", buffering=0)  # noqa: SIM115
            while rest:
                rest = rest[self._spool.write(rest) :]
        except OSError as error:
            raise self._bucket.spool_error(error) from error
        self._data = bytearray()

    def close(self) -> None:
        """Writes no more."""
        if self._spool is not None:
            self._spill()

    def publish(self, name: str) -> None:
        """Puts the file into the cache under a name, in the place of what has it."""
        self.close()
        self._bucket.upload(self._data, self._spool, name)
        self.discard()

    def discard(self) -> None:
        """Removes the file."""
        self._data = bytearray()
        if self._spool is not None:
            self._spool.close()


_WHILE_READ: Final = "it was changed or removed while it was read"


class _CutError(Exception):
    """An answer had begun, and did not come to its end."""


class _AnswerError(Exception):
    """A sentence about an answer that is not what was asked for."""


def _length(answer: dict[str, Any]) -> int:
    if "ContentLength" not in answer:
        raise _AnswerError("the server does not say how long it is")
    return int(answer["ContentLength"])


async def _whole(body: Any) -> bytes:
    try:
        data: bytes = await body.read()
    except Exception as error:
        raise _CutError(one_line(error)) from error
    return data
