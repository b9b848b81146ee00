"""narinfo: a binary cache's description of one store path.

Source: src/libstore/nar-info.cc of Nix. A text of lines `KEY: VALUE`, each ended by a newline. Nix
prints the keys in the order of the attributes of `NarInfo`, hashes in nix32, references and
signatures sorted; it reads them in any order, and ignores keys it does not know. Beyond that this
reader takes nothing it would not print: a cache is a stranger. A text of Guix, which repeats keys
for each compression, is another format.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from graft.errors import BadFormatError
from graft.formats.content_address import ContentAddress
from graft.formats.hashing import nix32_encode, parse_hash
from graft.formats.signature import parse_signature
from graft.formats.store_path import StoreDir, StorePath

_Value = TypeVar("_Value")

_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_LARGEST_NUMBER: Final = 2**64 - 1  # of the integers Nix reads sizes into
_COMPRESSION: Final = re.compile(r"[a-z0-9-]{1,32}")
_IF_NOT_SAID: Final = "bzip2"
# Below the cache's own address, and no way out of it. Some servers put a query behind it.
_URL: Final = re.compile(r"[0-9A-Za-z+\-._~=%,@]+(?:/[0-9A-Za-z+\-._~=%,@]+)*(?:\?[!-~]*)?")
_UNKNOWN_DERIVER: Final = "unknown-deriver"
_REPEATED: Final = frozenset({"Sig"})
_LONGEST_QUOTE: Final = 300  # characters of a value, which may have no end, in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class NarInfo:
    """The fields of a path's narinfo.

    Attributes:
        url: the NAR file's URL, relative to the cache's.
        compression: Nix's name of it, `none` for an uncompressed file; it need not be one that can
            be read here.
        file_hash: SHA-256 of the NAR file, 32 bytes.
        file_size: length of the NAR file in bytes.
        nar_hash: SHA-256 of the NAR, 32 bytes.
        nar_size: length of the NAR in bytes, not 0.
        references: the paths found in its bytes, itself included if it refers to itself.
        deriver: the `.drv` it was built from.
        signatures: `name:base64` texts.
        content_address: if the path's name comes from its contents.
    """

    path: StorePath
    url: str
    compression: str
    file_hash: bytes | None = None
    file_size: int | None = None
    nar_hash: bytes
    nar_size: int
    references: frozenset[StorePath] = frozenset()
    deriver: StorePath | None = None
    signatures: frozenset[str] = frozenset()
    content_address: ContentAddress | None = None


def parse_narinfo(text: str, store_dir: StoreDir, name: str) -> NarInfo:
    """Reads a narinfo.

    Args:
        store_dir: the cache's store directory; the path must be in it.
        name: the text's name in errors.

    Raises:
        BadFormatError: it has another form, says a thing twice, or names a file outside the cache.
    """
    fields = _Fields(text, name)
    path = fields.required("StorePath", store_dir.parse)
    return NarInfo(
        path=path,
        url=fields.required("URL", _url),
        compression=fields.optional("Compression", _compression) or _IF_NOT_SAID,
        file_hash=fields.optional("FileHash", _sha256),
        file_size=fields.optional("FileSize", _number) or None,
        nar_hash=fields.required("NarHash", _sha256),
        nar_size=fields.required("NarSize", _number_above_0),
        references=fields.optional("References", _references) or frozenset(),
        deriver=fields.optional("Deriver", _deriver),
        signatures=frozenset(fields.every("Sig", _signature)),
        content_address=fields.optional("CA", _content_address),
    )


def print_narinfo(info: NarInfo, store_dir: StoreDir) -> str:
    """Writes a narinfo, byte for byte as Nix would."""
    lines = [
        ("StorePath", store_dir.path(info.path)),
        ("URL", info.url),
        ("Compression", info.compression),
    ]
    if info.file_hash is not None:
        lines.append(("FileHash", f"sha256:{nix32_encode(info.file_hash)}"))
    if info.file_size is not None:
        lines.append(("FileSize", str(info.file_size)))
    lines.append(("NarHash", f"sha256:{nix32_encode(info.nar_hash)}"))
    lines.append(("NarSize", str(info.nar_size)))
    lines.append(("References", " ".join(sorted(info.references))))
    if info.deriver is not None:
        lines.append(("Deriver", info.deriver))
    lines += [("Sig", signature) for signature in sorted(info.signatures)]
    if info.content_address is not None:
        lines.append(("CA", str(info.content_address)))
    return "".join([f"{key}: {value}\n" for key, value in lines])


class _Fields:
    """The values of a narinfo by their keys, each with the number of its line."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._found: dict[str, list[tuple[int, str]]] = {}
        lines = text.split("\n")
        if lines.pop() != "":
            raise self._error(len(lines) + 1, "it has no newline: the text is cut")
        for number, line in enumerate(lines, 1):
            key, colon, value = line.partition(": ")
            if not colon or not key or not line.isprintable():
                raise self._error(number, "it is not 'KEY: VALUE' in printable characters")
            values = self._found.setdefault(key, [])
            if values and key not in _REPEATED:
                raise self._error(number, f"it is a second '{key}'")
            values.append((number, value))

    def _error(self, number: int, what: str) -> BadFormatError:
        return BadFormatError(
            f"narinfo '{self._name}', line {number}: {what}", name=self._name, line=number
        )

    def every(self, key: str, parse: Callable[[str], _Value]) -> list[_Value]:
        values = []
        for number, text in self._found.get(key, []):
            try:
                values.append(parse(text))
            except BadFormatError as error:
                what = textwrap.shorten(error.message, _LONGEST_QUOTE)
                raise self._error(number, f"'{key}' is wrong: {what}") from error
        return values

    def optional(self, key: str, parse: Callable[[str], _Value]) -> _Value | None:
        return next(iter(self.every(key, parse)), None)

    def required(self, key: str, parse: Callable[[str], _Value]) -> _Value:
        values = self.every(key, parse)
        if not values:
            raise BadFormatError(f"narinfo '{self._name}' has no '{key}'", name=self._name)
        return values[0]


def _url(text: str) -> str:
    components = text.partition("?")[0].split("/")
    if not _URL.fullmatch(text) or any(component in {".", ".."} for component in components):
        raise BadFormatError(f"'{text}' is no file inside of the cache")
    return text


def _compression(text: str) -> str:
    # An empty value has the same meaning as the line's absence.
    if text and not _COMPRESSION.fullmatch(text):
        raise BadFormatError(f"'{text}' is no name of a compression")
    return text


def _sha256(text: str) -> bytes:
    algorithm, digest = parse_hash(text)
    if algorithm != "sha256":
        raise BadFormatError(f"'{text}' is no sha256 hash")
    return digest


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > _LARGEST_NUMBER:
        raise BadFormatError(f"'{text}' is no number of bytes")
    return int(text)


def _number_above_0(text: str) -> int:
    number = _number(text)
    if number == 0:
        raise BadFormatError("no nar has 0 bytes")
    return number


def _references(text: str) -> frozenset[StorePath]:
    references: set[StorePath] = set()
    for word in text.split(" ") if text else []:
        reference = StorePath(word)
        if reference in references:
            raise BadFormatError(f"'{reference}' is there twice")
        references.add(reference)
    return frozenset(references)


def _deriver(text: str) -> StorePath | None:
    return None if text == _UNKNOWN_DERIVER else StorePath(text)


def _signature(text: str) -> str:
    parse_signature(text)
    return text


def _content_address(text: str) -> ContentAddress | None:
    return ContentAddress.parse(text) if text else None
