"""The files of a binary cache behind a server: `http://` and `https://`.

A request that fails for a moment is tried again, later each time. A file whose transfer is cut goes
on where it was cut (RFC 9110, "Range Requests"), while it is still the same file. Proxies come from
the environment; certificates come from the system, from SSL_CERT_FILE or from NIX_SSL_CERT_FILE.
"""

from __future__ import annotations

import os
import re
import time
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from graft.errors import BadFormatError, BadStoreUrlError, CacheError, UnlistedCacheError
from graft.store.caches.content_encoding import decoded
from graft.store.caches.files import LARGEST_TEXT
from graft.store.caches.netrc_file import NetrcFile

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_ABSENT: Final = frozenset({403, 404, 410})  # S3 says 403 where names may not be listed
_UNAUTHORIZED: Final = 401
_PASSING: Final = (429, 500, 502, 503, 504)
_REDIRECTED: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "graft"}
_LONGEST_WAIT: Final = 30.0  # seconds
_SHORT_ANSWER: Final = 65_536  # bytes worth reading to keep a connection
_PROGRESS: Final = 1 << 20  # bytes after which a cut connection is the first one again
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19}|\*)")


class CacheServer:
    """Files below an address.

    Args:
        url: with a name and a password in it if the server wants them; they are never shown.
        connections: kept open, and used at once.
        attempts: how often in a row something may fail until it is an error.
        wait: seconds before the second attempt; twice as long before each further one.
        timeout: seconds until a server that says nothing is given up.

    Raises:
        BadStoreUrlError: the address has no host, or has a query.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 16,
        attempts: int = 5,
        wait: float = 0.25,
        timeout: float = 30.0,
    ) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._url = f"{parts.scheme}://{host}{parts.path}".rstrip("/")
        if not parts.hostname or parts.query or parts.fragment:
            raise BadStoreUrlError(
                f"store '{self._url}' is no address of a binary cache: a host, and a path if there "
                "is one",
                url=self._url,
            )
        self._connections = connections
        self._attempts = attempts
        self._wait = wait
        self._secret: dict[str, str] = {}
        self._netrc = NetrcFile(os.environ)
        self._pool = self._pool_for(parts.scheme, parts.hostname, timeout)
        if parts.username is not None:
            from urllib3 import make_headers  # noqa: PLC0415 - loaded only for caches

            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._secret = dict(make_headers(basic_auth=secret))

    def _pool_for(self, scheme: str, host: str, timeout: float) -> PoolManager:
        import urllib3  # noqa: PLC0415

        class Retry(urllib3.Retry):
            """Waits no longer than this program does by itself, even if the server asks for it."""

            def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
                asked = super().get_retry_after(response)
                return None if asked is None else min(asked, _LONGEST_WAIT)

        options: dict[str, Any] = {
            "maxsize": self._connections,
            "timeout": urllib3.Timeout(connect=timeout, read=timeout),
            "retries": Retry(
                total=None,
                connect=self._attempts - 1,
                read=self._attempts - 1,
                status=self._attempts - 1,
                other=0,
                redirect=0,
                status_forcelist=_PASSING,
                backoff_factor=self._wait,
                backoff_max=_LONGEST_WAIT,
                raise_on_status=False,
            ),
        }
        if authority := os.environ.get("NIX_SSL_CERT_FILE"):
            options["ca_certs"] = authority
        proxy = urllib.request.getproxies().get(scheme)
        if proxy and not urllib.request.proxy_bypass(host):
            return urllib3.ProxyManager(proxy, **options)
        return urllib3.PoolManager(**options)

    @property
    def url(self) -> str:
        """How messages name the cache; without name and password."""
        return self._url

    @property
    def connections(self) -> int:
        """How many files it is sensible to read at once."""
        return self._connections

    def read(self, name: str) -> bytes | None:
        """A small file, whole, if it is there; without the encoding that the server has sent it in.

        Raises:
            CacheError: it cannot be read, or has an encoding that cannot be undone.
        """
        stream = self._open(name, encoded=True)
        if stream is None:
            return None
        data = bytearray()
        buffer = memoryview(bytearray(65_536))
        try:
            while read := stream.readinto(buffer):
                data += buffer[:read]
                if len(data) > LARGEST_TEXT:
                    raise self.error(name, "it is longer than any such file")
        finally:
            stream.close()
        try:
            return decoded(bytes(data), stream.encoding)
        except BadFormatError as error:
            raise self.error(name, error.message) from error

    def open(self, name: str) -> ServerStream:
        """A file of any size."""
        stream = self._open(name)
        if stream is None:
            raise self.error(name, "there is no such file")
        return stream

    def names(self) -> list[str]:
        """Raises UnlistedCacheError: a server has no list of its files."""
        raise UnlistedCacheError(
            f"the cache '{self.url}' cannot list its paths: name them", store=self.url
        )

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def _open(self, name: str, *, encoded: bool = False) -> ServerStream | None:
        response = self.request(name, {}, encoded=encoded)
        if response.status in _ABSENT:
            _dismiss(response)
            return None
        if response.status != 200:
            _dismiss(response)
            answer = f"the server answered {response.status} {response.reason}"
            if response.status == _UNAUTHORIZED:
                answer += (
                    ": give a name and a password in the URL, or in the file of Nix's setting "
                    "'netrc-file'"
                )
            raise self.error(name, answer)
        return ServerStream(self, name, response, self._attempts, self._wait, encoded=encoded)

    def request(
        self, name: str, headers: Mapping[str, str], *, encoded: bool = False
    ) -> BaseHTTPResponse:
        """The beginning of a server's answer, also of an error.

        Args:
            encoded: whether the answer may have an encoding; it is not undone.

        Raises:
            CacheError: the server gave no answer.
        """
        url = f"{self._url}/{name}"
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._request(name, url, headers)
            if response.status not in _REDIRECTED or "Location" not in response.headers:
                break
            _dismiss(response)
            url = self._redirected(name, url, response.headers["Location"])
        else:
            raise self.error(name, "the server redirects it without end")
        if not encoded and response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise self.error(name, "it is sent in an encoding that was not requested")
        return response

    def _request(self, name: str, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        # The password of the URL is for this server and for no other; a netrc names the hosts.
        own = self._secret if _origin(url) == _origin(self._url) else {}
        secret = own or self._netrc.headers(url)
        try:
            return self._pool.request(
                "GET",
                url,
                headers={**_HEADERS, **secret, **headers},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            raise self.error(name, _reason(error)) from error

    def _redirected(self, name: str, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            scheme, host = _origin(target)
        except ValueError:
            scheme = host = ""
        if scheme not in {"http", "https"} or not host or not target.isprintable():
            raise self.error(name, "the server redirects it to a bad address")
        return target

    def error(self, name: str, what: str) -> CacheError:
        """The error that something is wrong with a file."""
        return CacheError(
            f"file '{name}' of the cache '{self._url}' cannot be read: {what}",
            store=self._url,
            file=name,
        )


class ServerStream:
    """A file that is transferred, over one connection after the other if need be.

    Attributes:
        encoding: the encoding of its bytes; empty, or `identity`, for plain bytes.
    """

    def __init__(
        self,
        server: CacheServer,
        name: str,
        response: BaseHTTPResponse,
        attempts: int,
        wait: float,
        *,
        encoded: bool = False,
    ) -> None:
        self._server = server
        self._encoded = encoded
        self.encoding = response.headers.get("Content-Encoding", "")
        self._name = name
        self._response = response
        self._attempts = attempts
        self._wait = wait
        self._position = 0  # bytes that were read
        self._failures = 0  # in a row
        self._failed_at = 0
        self._tag = response.headers.get("ETag", "")
        self._length = response.headers.get("Content-Length")

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: 0 only at the end."""
        data = self._read(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Closes the connection unless the file is at its end."""
        self._response.close()

    def _read(self, most: int) -> bytes:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        while True:
            try:
                return self._response.read(most)
            except HTTPError as error:
                self._response.close()
                self._go_on(error)

    def _go_on(self, error: Exception) -> None:
        """Has the server send the bytes after the last one that came."""
        if self._position - self._failed_at >= _PROGRESS:
            self._failures = 0
        self._failures += 1
        self._failed_at = self._position
        if self._failures >= self._attempts:
            raise self._server.error(
                self._name,
                f"the connection was cut {self._failures} times, the last time at byte "
                f"{self._position} ({_reason(error)})",
            ) from error
        time.sleep(min(self._wait * 2 ** (self._failures - 1), _LONGEST_WAIT))
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        if self._position and self._tag.startswith('"'):  # a weak one says nothing of bytes
            headers["If-Range"] = self._tag
        self._response = response = self._server.request(self._name, headers, encoded=self._encoded)
        if response.headers.get("ETag", self._tag) != self._tag:
            raise self._changed()
        if response.status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self._position:
                raise self._server.error(self._name, "the server sent another part than asked for")
            if self._length is not None and found[2] not in {"*", self._length}:
                raise self._changed()
        elif response.status == 200:
            if response.headers.get("Content-Length") != self._length:
                raise self._changed()
            self._skip()
        else:
            raise self._changed()

    def _skip(self) -> None:
        """Reads the known bytes again: the server cannot begin in the middle."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        left = self._position
        try:
            while left:
                data = self._response.read(min(left, 65_536))
                if not data:
                    raise self._changed()
                left -= len(data)
        except HTTPError as error:
            self._response.close()
            self._go_on(error)

    def _changed(self) -> CacheError:
        self._response.close()
        return self._server.error(self._name, "it was changed or removed while it was read")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _dismiss(response: BaseHTTPResponse) -> None:
    """Has done with an answer whose text is of no interest, and may have no end."""
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) <= _SHORT_ANSWER:
        response.drain_conn()
    else:
        response.close()


def _reason(error: Exception) -> str:
    """The innermost cause in plain words: urllib3 adds addresses of objects, and of pools."""
    while isinstance(inner := getattr(error, "reason", None), Exception):
        error = inner
    causes = [error, *error.args]
    system = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    texts = [cause for cause in causes if isinstance(cause, str)]
    text = (system or texts or [str(error)])[0]
    return re.sub(r"<[^>]*>:? ?|^[A-Za-z]*\([^)]*\): ", "", text).strip(" .").lower()
