"""Streams at any offset of a file: each plausible beginning is tried, and opened if it is one.

The streams inside are found in a file of any type: a program with an archive behind it, an object
of git, a picture, a document, a resource in a library.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from graft.errors import BadFormatError
from graft.fixups.allowance import Allowance
from graft.fixups.api import LeftAloneError, Limits
from graft.fixups.damage import damage
from graft.formats.phar import packed_files
from graft.formats.snappy import framed_blocks, framed_end
from graft.kernel.density import is_dense
from graft.kernel.spelled import SPELLED, read_spelled
from graft.kernel.streams import LEAST, StreamBeginning, find_streams

_CHUNK: Final = 1 << 16
_XZ_MEMORY: Final = 256 << 20  # bytes that one xz stream may ask for
_PIECE: Final = 256
_SURE: Final = 4096  # bytes; a beginning without a checked header that yields less was no stream

_WEAK: Final = frozenset({"zlib", "lzma"})
"""Kinds whose first bytes stand by accident now and then."""

_OPEN: Final = frozenset({"zip-end", "cpio", "ar", "iso"})
"""Kinds whose members are in the file without encoding: a search of the file has seen them."""

PNG: Final = b"\x89PNG\r\n\x1a\n"
"""How a PNG file begins, whose picture is in streams cut into chunks."""

_SPELLED_PNG: Final = b"iVBORw0KGgo"

_HEADER: Final = 30  # bytes of a zip archive's local header
_STORED, _DEFLATED, _BZIP2, _ZSTD, _XZ = 0, 8, 12, 93, 95
_ENCRYPTED: Final = 1
_CUT: Final = "it is cut"


class EmbeddedStream(NamedTuple):
    """A stream in a file.

    Attributes:
        kind: one of graft.kernel.streams.KINDS.
        step: its step in the container of its contents, with its offset.
        start: the offset of its first byte.
        end: behind its last byte, as far as it was followed.
        contents: its contents; empty where it cannot be opened.
        reason: why not all of it could be opened, if so.
    """

    kind: str
    step: str
    start: int
    end: int
    contents: bytes
    reason: str | None = None


def embedded_streams(data: bytes, allowance: Allowance) -> Iterator[EmbeddedStream]:
    """The streams in a file, in their order; a stream within another is left out.

    Args:
        data: the whole file.
        allowance: how far it may be expanded.
    """
    behind = 0
    closed = _pictures(data)
    spelled = _spelled_pictures(data)
    beginnings = [*find_streams(data), *(StreamBeginning(at, "base64") for at, _ in spelled)]
    for start, kind in sorted(beginnings):
        if start < behind or kind in _OPEN or any(start in each for each in closed):
            continue
        if kind == "phar":
            for packed in _phar(data, start, allowance):
                closed.append(range(packed.start, packed.end))
                yield packed
            continue
        stream = _opened(kind, data, start, allowance)
        if stream is not None:
            behind = max(stream.end, start + 1)
            yield stream


def _phar(data: bytes, start: int, allowance: Allowance) -> Iterator[EmbeddedStream]:
    """The packed files of a PHP archive."""
    try:
        for file in packed_files(data, start):
            step = f"phar@{start}:{file.name.decode('utf-8', 'backslashreplace')}"
            new = _METHODS.get(_DEFLATED if file.method == "deflate" else _BZIP2)
            assert new is not None
            expansion = _Expansion(new(), data, file.start)
            contents, reason = b"", f"'{file.name!r}' in it is packed in an unknown way"
            if file.method is not None:
                size = file.end - file.start
                contents, reason = allowance.expanded(expansion.read, size), expansion.damage or ""
            yield EmbeddedStream("phar", step, file.start, file.end, contents, reason or None)
    except (ValueError, LeftAloneError) as error:
        reason = f"{_CLOSED['phar']} begins at {start}, and cannot be opened: {error}"
        yield EmbeddedStream("phar", f"phar@{start}", start, start + 1, b"", reason)


def _snappy(data: bytes, start: int, allowance: Allowance) -> EmbeddedStream | None:
    """The snappy stream that begins at an offset, if there is one."""
    end, step = framed_end(data, start), f"snappy@{start}"
    if end == start:
        return None
    blocks = framed_blocks(data, start, end)
    try:
        contents = allowance.expanded(lambda _: next(blocks, b""), end - start)
    except (BadFormatError, LeftAloneError) as error:
        reason = f"the snappy stream at {start}: {error}"
        return EmbeddedStream("snappy", step, start, start + 1, b"", reason)
    return EmbeddedStream("snappy", step, start, end, contents)


def _opened(kind: str, data: bytes, start: int, allowance: Allowance) -> EmbeddedStream | None:
    """The stream that begins at an offset of the data, if there is one."""
    at = start
    step = f"{kind}@{start}"
    if kind in SPELLED:
        text = read_spelled(kind, data, at)
        return EmbeddedStream(kind, step, start, text.end, text.contents)
    if kind == "snappy":
        return _snappy(data, start, allowance)
    new: _New | None = _DECOMPRESSORS.get(kind)
    if kind == "zip":
        member = _Member(data, at)
        step, at = f"{step}:{member.name}", member.contents
        if member.method == _STORED and not member.encrypted:
            return None
        new = None if member.encrypted else _METHODS.get(member.method)
    if new is None:
        what = _CLOSED.get(kind, "a member of a zip archive")
        reason = f"{what} begins at {start}, and cannot be opened"
        return EmbeddedStream(kind, step, start, start + 1, b"", reason)
    expansion = _Expansion(new(), data, at)
    try:
        contents = allowance.expanded(expansion.read, len(data) - at)
    except LeftAloneError as error:
        reason = f"the {kind} stream at {start}: {error}"
        return EmbeddedStream(kind, step, start, start + 1, b"", reason)
    if expansion.damage is None:
        end = expansion.end
        if kind in _JOINED:
            try:
                more, end = _joined(kind, data, end, allowance)
            except LeftAloneError as error:
                reason = f"the {kind} stream at {start}: {error}"
                return EmbeddedStream(kind, step, start, end, contents, reason)
            contents += more
        return EmbeddedStream(kind, step, start, end, contents)
    if len(contents) < (_SURE if kind in _WEAK else LEAST):
        return None
    if kind in _WEAK and not _is_packed(data, start, new):
        return None
    reason = f"the {kind} stream at {start} is damaged behind {len(contents)} bytes"
    return EmbeddedStream(kind, step, start, start + 1, contents, reason)


def _is_packed(data: bytes, start: int, new: _New) -> bool:
    """Whether the bytes that a damaged stream was made of are as dense as packed ones are.

    Machine code may begin like a stream, and go on as one for thousands of bytes.
    """
    decompressor, at = new(), start
    stream = decompressor.stream
    try:
        while at < len(data) and not stream.eof:  # type: ignore[attr-defined]
            stream.decompress(data[at : at + _PIECE])  # type: ignore[attr-defined]
            at += _PIECE
    except decompressor.errors as error:
        damage(error)
    return at - start < 2 * _PIECE or is_dense(data[start:at], mostly=True)


def _joined(kind: str, data: bytes, at: int, allowance: Allowance) -> tuple[bytes, int]:
    """The contents of the streams of one kind that follow each other, and where the last ends.

    They are one text: a member of gzip, a frame of zstd may end within a hash part.
    """
    magic, padding = _JOINED[kind]
    pieces: list[bytes] = []
    while True:
        start = at
        while padding and data.startswith(bytes(padding), start):
            start += padding
        while kind == "zstd" and _SKIPPED.match(data, start):
            start += 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        if not data.startswith(magic, start):
            return b"".join(pieces), at
        expansion = _Expansion(_DECOMPRESSORS[kind](), data, start)
        contents = allowance.expanded(expansion.read, len(data) - start)
        if expansion.damage is not None:
            return b"".join(pieces), at
        pieces.append(contents)
        at = expansion.end


def raw_deflated(data: bytes, allowance: Allowance) -> bytes | None:
    """The contents of a file that is deflated data without a header, whole or cut; None: it is not.

    Args:
        data: the whole file.
        allowance: how far it may be expanded.
    """
    expansion = _Expansion(_inflater(-15)(), data, 0)
    try:
        contents = allowance.expanded(expansion.read, len(data))
    except LeftAloneError:
        return None
    if expansion.damage not in (None, _CUT) or expansion.end < len(data) or len(contents) < LEAST:
        return None
    return contents


def checked_streams(data: bytes) -> Iterator[tuple[range, str]]:
    """The parts of a file that are streams or archives, whose bytes have sums or lengths.

    Args:
        data: the whole file.

    Yields:
        The range of the part and its kind. A part whose end is not known ends with the file.
    """
    allowance = Allowance(Limits())
    archive: int | None = None  # where the first member of a zip archive begins
    for start, kind in find_streams(data):
        if kind == "zip" and archive is None:
            archive = start
        elif kind == "zip-end" and archive is not None:
            yield range(archive, len(data)), "zip archive"
            archive = None
        elif kind in {"cpio", "zip"}:
            continue
        elif kind in _CLOSED:
            yield range(start, len(data)), kind
        elif kind not in _OPEN:
            stream = _opened(kind, data, start, allowance)
            if stream is not None and stream.contents:
                yield range(start, max(stream.end, start + 1)), f"{kind} stream"


def _pictures(data: bytes) -> list[range]:
    """Where the picture of a PNG file is: packed, cut into chunks, and no text.

    Source: section 5 of the PNG specification.
    """
    if not data.startswith(PNG):
        return []
    found, at = [], len(PNG)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] in {b"IDAT", b"fdAT"}:
            found.append(range(at, at + size + 12))
        at += size + 12
    return found


def _spelled_pictures(data: bytes) -> list[tuple[int, int]]:
    """Where a text spells PNG files in base64: begin and end of each."""
    found: list[tuple[int, int]] = []
    at = data.find(_SPELLED_PNG)
    while at >= 0:
        end = read_spelled("base64", data, at).end
        found.append((at, end))
        at = data.find(_SPELLED_PNG, end)
    return found


class _Member:
    """A local header of a zip archive.

    Source: section 4.3.7 of APPNOTE.TXT, PKWARE's specification of the format.
    """

    def __init__(self, data: bytes, start: int) -> None:
        def number(at: int) -> int:
            return int.from_bytes(data[start + at : start + at + 2], "little")

        self.encrypted = bool(number(6) & _ENCRYPTED)
        self.method = number(8)
        name = start + _HEADER
        self.name = data[name : name + number(26)].decode("utf-8", "backslashreplace")
        self.contents = name + number(26) + number(28)


class _Decompressor:
    """A stream of one of the libraries, asked for no more than so many bytes at a time.

    Args:
        stream: has `decompress(data, max_length)`, `eof` and `unused_data`.
        errors: the exceptions it raises for damaged data.
        keeps_input: whether it keeps the bytes it was given and has not used, as all but zlib's do.
    """

    def __init__(
        self, stream: object, errors: tuple[type[Exception], ...], *, keeps_input: bool = True
    ) -> None:
        self.stream, self.errors, self.keeps_input = stream, errors, keeps_input


_New = Callable[[], _Decompressor]


class _Expansion:
    """One stream while it is expanded.

    Attributes:
        damage: why it ended before its end, if it did.
    """

    def __init__(self, decompressor: _Decompressor, data: bytes, start: int) -> None:
        self._stream: object = decompressor.stream
        self._errors, self._keeps = decompressor.errors, decompressor.keeps_input
        self._data, self._at = data, start
        self._rest = b""  # given, and not used yet
        self.damage: str | None = None

    def read(self, most: int) -> bytes:
        """The next bytes, not more than so many; empty at the end, or where it is damaged."""
        stream = self._stream
        while self.damage is None and not stream.eof:  # type: ignore[attr-defined]
            given = self._rest
            if not given and (not self._keeps or stream.needs_input):  # type: ignore[attr-defined]
                given = self._data[self._at : self._at + _CHUNK]
                self._at += len(given)
                if not given:
                    self.damage = _CUT
                    break
            try:
                piece: bytes = stream.decompress(given, most)  # type: ignore[attr-defined]
            except self._errors as error:
                self.damage = damage(error)
                break
            if not self._keeps:
                self._rest = stream.unconsumed_tail  # type: ignore[attr-defined]
            if piece:
                return piece
        return b""

    @property
    def end(self) -> int:
        """Behind the stream's last byte."""
        unused: bytes | None = self._stream.unused_data  # type: ignore[attr-defined]
        return self._at - len(unused or b"") - len(self._rest)


def _inflater(bits: int) -> _New:
    return lambda: _Decompressor(zlib.decompressobj(bits), (zlib.error,), keeps_input=False)


def _unxz(form: int) -> _New:
    return lambda: _Decompressor(
        lzma.LZMADecompressor(form, memlimit=_XZ_MEMORY), (lzma.LZMAError,)
    )


def _bunzip2() -> _Decompressor:
    # For damaged data bz2 raises OSError, and reads no file that could raise another.
    return _Decompressor(bz2.BZ2Decompressor(), (OSError, ValueError))


def _unzstd() -> _Decompressor:
    from graft.formats.zstd import zstd_module  # noqa: PLC0415 - late: slow to import

    zstd = zstd_module()
    return _Decompressor(zstd.ZstdDecompressor(), (zstd.ZstdError,))


def _unlz4() -> _Decompressor:
    import lz4.frame  # noqa: PLC0415 - late: slow to import

    return _Decompressor(lz4.frame.LZ4FrameDecompressor(), (RuntimeError,))


_DECOMPRESSORS: Final[dict[str, _New]] = {
    "gzip": _inflater(31),
    "zlib": _inflater(15),
    "xz": _unxz(lzma.FORMAT_XZ),
    "lzma": _unxz(lzma.FORMAT_ALONE),
    "bzip2": _bunzip2,
    "zstd": _unzstd,
    "lz4": _unlz4,
}
_METHODS: Final[dict[int, _New]] = {
    _DEFLATED: _inflater(-15),
    _BZIP2: _bunzip2,
    _ZSTD: _unzstd,
    _XZ: _unxz(lzma.FORMAT_XZ),
}
_JOINED: Final[dict[str, tuple[bytes, int]]] = {
    "gzip": (b"\x1f\x8b\x08", 0),
    "xz": (b"\xfd7zXZ\0", 4),
    "bzip2": (b"BZh", 0),
    "zstd": (b"\x28\xb5\x2f\xfd", 0),
    "lz4": (b"\x04\x22\x4d\x18", 0),
}
"""Kinds of which several may be one file: their magics, and bytes in whose multiples is padded."""

_SKIPPED: Final = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a frame that decompressors skip

_CLOSED: Final = {
    "squashfs": "a squashfs image",
    "erofs": "an erofs image",
    "lzip": "a lzip stream",
    "7z": "a 7z archive",
    "rar": "a rar archive",
    "cab": "a cab archive",
    "phar": "a PHP archive",
}
