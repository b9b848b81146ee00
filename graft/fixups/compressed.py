"""The common part of compressed files: streams behind each other, and one file inside."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.damage import damage

_CHUNK = 1 << 16
_STEP = 1 << 18
_CPIO = b"0707"  # how an archive of an initrd begins


class Stream(NamedTuple):
    """One stream of a compressed file.

    Attributes:
        start: the start of its bytes in the file.
        end: behind them.
        contents: the bytes it expands to.
    """

    start: int
    end: int
    contents: bytes


class Decompressor(Protocol):
    """The common interface of the libraries' decompressors."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was seen."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing more without more data."""
        ...

    @property
    def unused_data(self) -> bytes | None:
        """The bytes after the stream."""
        ...

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        """At most `max_length` bytes of the expanded data."""
        ...


class Compressor(Protocol):
    """The common interface of the libraries' compressors."""

    def compress(self, data: bytes, /) -> bytes:
        """Takes data; returns the compressed bytes that are finished."""
        ...

    def flush(self) -> bytes:
        """The rest."""
        ...


def compresses_to(compressor: Compressor, contents: bytes, compressed: bytes) -> bool:
    """Whether contents become exactly these bytes; most others differ at the beginning."""
    done = 0
    for start in range(0, len(contents), _STEP):
        piece = compressor.compress(contents[start : start + _STEP])
        if not compressed.startswith(piece, done):
            return False
        done += len(piece)
    return compressed[done:] == compressor.flush()


class Compressed(Fixup):
    """A file that is one or more compressed streams, which together hold one file.

    Streams whose contents do not change keep their bytes. Bytes that follow the last stream stay,
    if they are zeros; else they are a file of its own, as in an initrd.
    """

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file, its contents changed."""
        streams: list[Stream] = []
        at = 0
        while at < len(data) and (not streams or self.recognises(data[at : at + 64], b"")):
            stream = self.stream(data, at, inside)
            streams.append(stream)
            at = stream.end
        old = b"".join(stream.contents for stream in streams)
        new = inside.contents(self.inner_name(name), old)
        rest = self._rest(data[at:], inside)
        if new is old and rest is None:
            return data
        pieces = [data[:at]] if new is old else self._again(data, streams, old, new)
        made = b"".join(pieces)
        if rest is None:
            rest = data[at:].lstrip(b"\0")
        if not rest:
            return made + data[at:]
        begun = len(data) - len(data[at:].lstrip(b"\0"))
        if begun == at and not rest.startswith(_CPIO):
            return made + rest  # nobody has aligned it
        return made + bytes(zeros_before(begun, at, len(made))) + rest

    def inner_name(self, name: bytes) -> bytes:
        """The name of the contents of a file, from its own name."""
        for suffix in self.suffixes:
            if name.endswith(suffix):
                base = name[: -len(suffix)]
                return base + b".tar" if suffix.startswith(b".t") else base
        return name + b".contents" if name else b""

    def _rest(self, rest: bytes, inside: Inside) -> bytes | None:
        """The new bytes after the streams, if they change."""
        begun = rest.lstrip(b"\0")
        if not begun:
            return None
        new = inside.contents(b"", begun)
        return None if new is begun else new

    def _again(self, data: bytes, streams: list[Stream], old: bytes, new: bytes) -> list[bytes]:
        if len(new) != len(old):
            first = streams[0]
            whole = Stream(first.start, streams[-1].end, old)
            # Only the one stream of a file tells how it was made.
            return [self.compressed(new, whole if len(streams) == 1 else first, data)]
        pieces, at = [], 0
        for stream in streams:
            contents = new[at : at + len(stream.contents)]
            at += len(contents)
            same = contents == stream.contents
            pieces.append(
                data[stream.start : stream.end] if same else self.compressed(contents, stream, data)
            )
        return pieces

    def stream(self, data: bytes, start: int, inside: Inside) -> Stream:
        """The stream that begins at an offset.

        Raises:
            LeftAloneError: it is damaged or cut, or larger than the limits allow.
        """
        raise NotImplementedError

    def compressed(self, contents: bytes, like: Stream, data: bytes) -> bytes:
        """A stream of other contents, made as one of the file was.

        Raises:
            LeftAloneError: that cannot be done.
        """
        raise NotImplementedError


def zeros_before(begin: int, after: int, new_after: int) -> int:
    """How many zeros go before a piece that is to keep its alignment, as initrds need.

    Args:
        begin: where the piece was.
        after: the end of the bytes that were before its zeros.
        new_after: the end of the bytes that are before it now.
    """
    if new_after == after:
        return begin - after
    alignment = next((size for size in (512, 4) if begin % size == 0), 1)
    return -new_after % alignment


def expanded_stream(
    stream: Decompressor,
    data: bytes,
    start: int,
    inside: Inside,
    errors: tuple[type[Exception], ...],
) -> Stream:
    """A stream by one of the libraries' decompressors, which all work in the same way.

    Args:
        errors: the exceptions that the library raises for damaged data. It reads no file: an
            OSError tells of the data alone.
    """
    at = start  # the rest was not given to it yet; at once, it would be copied again and again

    def read(most: int) -> bytes:
        nonlocal at
        while not stream.eof:
            given = data[at : at + _CHUNK] if stream.needs_input else b""
            at += len(given)
            try:
                piece = stream.decompress(given, most)
            except errors as error:
                raise LeftAloneError(f"it is damaged: {damage(error).lower()}") from None
            if piece:
                return piece
            if not given and stream.needs_input and not stream.eof:
                raise LeftAloneError("it is cut")
        return b""

    contents = inside.expanded(read, len(data) - start)
    return Stream(start, at - len(stream.unused_data or b""), contents)
