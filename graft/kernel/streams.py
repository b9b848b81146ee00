"""Beginnings of streams: packed or archived contents at any offset of some bytes.

A stream is told by its first bytes, and the bytes behind them are weighed: fields of a header that
can have few values, and of deflated data (RFC 1951) the first symbols. So nearly every beginning
that is found can be opened. `find_by_reference` is the specification of
graft/kernel/native/streams.c.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from graft import kernel
from graft.kernel.spelled import HEAD, SPELLED, spelled_head

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

KINDS: Final = (
    *("gzip", "zlib", "xz", "lzma", "zstd", "bzip2", "lz4", "zip", "zip-end"),
    *("squashfs", "erofs", "iso", "cpio", "ar", "lzip", "7z", "rar", "cab"),
    *("snappy", "phar"),
    *SPELLED,  # a stream in a text that spells it
)
"""The kinds of streams, in the order of graft/kernel/native/streams.h."""

LEAST: Final = 32
"""Bytes; a stream that holds less holds no hash part."""

_SYMBOLS: Final = 96
_FIXED_SYMBOLS: Final = 768  # for the fixed code, in which nearly all bits are sound
_KEPT: Final = 4096


class StreamBeginning(NamedTuple):
    """The plausible beginning of a stream.

    Attributes:
        offset: the offset of its first byte; for an end record, the offset of the record.
        kind: one of KINDS.
    """

    offset: int
    kind: str


def find_streams(data: Buffer, *, final: bool = True) -> list[StreamBeginning]:
    """Every plausible beginning of a stream, in the order of the offsets, by the kernel in use.

    Args:
        final: the data ends where its file does; else a beginning that needs more bytes to be
            judged is among the result.
    """
    native = kernel.native
    found = find_by_reference(data, final) if native is None else native.find_streams(data, final)
    return [StreamBeginning(offset, KINDS[kind]) for offset, kind in found]


def find_by_reference(data: Buffer, final: bool = True) -> list[tuple[int, int]]:
    """The offset of each beginning, and the index of its kind: the specification."""
    text = bytes(data)
    found = []
    for match in _FIRST.finditer(text):
        at = match.start()
        for kind, magic, judge in _BEGINNINGS[text[at]]:
            head = text[at : at + len(magic)]
            if not magic.startswith(head) or (len(head) == 1 and (at, KINDS.index(kind)) in found):
                continue
            answer = judge(text, at) if len(text) - at > 1 else None
            if answer is None:  # the bytes end before that is known
                packed = kind in _BROKEN_OFF and len(text) - at >= _TRUNCATED
                answer = packed or not final
            if answer:
                found.append((at, KINDS.index(kind)))
    return found


_TRUNCATED: Final = 16  # bytes; deflated data that breaks off can be unpacked until there
_BROKEN_OFF: Final = ("gzip", "zlib", *SPELLED)


class _MoreError(Exception):
    """The bytes end before their form is known."""


class _Bits:
    """Bits of a deflated stream, the lowest of each byte first."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at, self._bit = data, at, 0

    def take(self, count: int) -> int:
        value = 0
        for place in range(count):
            if self._at == len(self._data):
                raise _MoreError
            value |= (self._data[self._at] >> self._bit & 1) << place
            self._bit = (self._bit + 1) % 8
            self._at += self._bit == 0
        return value

    def bytes(self, count: int) -> bytes:
        """Whole bytes, from the next one on."""
        self._at += self._bit > 0
        self._bit = 0
        if len(self._data) - self._at < count:
            raise _MoreError
        self._at += count
        return self._data[self._at - count : self._at]

    @property
    def end(self) -> int:
        return self._at + (self._bit > 0)


class _Code:
    """A prefix code, by the lengths of its codes; `left` codes are missing."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.used = sum(length > 0 for length in lengths)
        self._symbols: dict[tuple[int, int], int] = {}
        self.left, code = 1, 0
        for bits in range(1, 16):
            code <<= 1
            self.left *= 2
            for symbol, length in enumerate(lengths):
                if length == bits:
                    self._symbols[bits, code] = symbol
                    code += 1
                    self.left -= 1
            if self.left < 0:
                return
        if not self.used:
            self.left = 0

    def symbol(self, bits: _Bits) -> int | None:
        """The next symbol; None: no code is like that."""
        code = 0
        for length in range(1, 16):
            code = code << 1 | bits.take(1)
            if (found := self._symbols.get((length, code))) is not None:
                return found
        return None


_FIXED: Final = (
    _Code([*[8] * 144, *[9] * 112, *[7] * 24, *[8] * 8]),
    _Code([5] * 30),
)
_ORDER: Final = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_LENGTHS: Final = (
    *((3 + each, 0) for each in range(8)),
    *((11 + 2 * each, 1) for each in range(4)),
    *((19 + 4 * each, 2) for each in range(4)),
    *((35 + 8 * each, 3) for each in range(4)),
    *((67 + 16 * each, 4) for each in range(4)),
    *((131 + 32 * each, 5) for each in range(4)),
    (258, 0),
)


def _codes(bits: _Bits) -> tuple[_Code, _Code] | None:
    """The codes of a block that has codes of its own; None: it cannot be one."""
    many, far, few = bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4
    if many > 286 or far > 30:
        return None
    lengths = [0] * 19
    for place in range(few):
        lengths[_ORDER[place]] = bits.take(3)
    code = _Code(lengths)
    if code.left != 0 or not code.used:
        return None
    found: list[int] = []
    while len(found) < many + far:
        symbol = code.symbol(bits)
        if symbol is None or (symbol == 16 and not found):
            return None
        if symbol < 16:
            found.append(symbol)
            continue
        extra, least = ((2, 3), (3, 3), (7, 11))[symbol - 16]
        length = found[-1] if symbol == 16 else 0
        found += [length] * (bits.take(extra) + least)
    if len(found) > many + far or not found[256]:
        return None
    literals, distances = _Code(found[:many]), _Code(found[many:])
    for each in (literals, distances):
        if each.left < 0 or (each.left > 0 and each.used != 1):
            return None
    return literals, distances


class _Inflated:
    """The beginning of a deflated stream, unpacked.

    Attributes:
        sound: whether it can be one that holds `LEAST` bytes or more.
        end: where it ends; None: it was not followed so far.
        made: the part of it that was unpacked.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self.made = bytearray()
        self.end: int | None = None
        bits = _Bits(data, at)
        self._most, self._symbols = _SYMBOLS, 0
        last = 0
        self.sound = False
        while not last:
            last, kind = bits.take(1), bits.take(2)
            if not self._block(bits, kind):
                return
            if self._symbols >= self._most:
                self.sound = True
                return
        self.end = bits.end
        self.sound = len(self.made) >= LEAST

    def _block(self, bits: _Bits, kind: int) -> bool:
        if kind == 0:
            size, inverse = (int.from_bytes(bits.bytes(2), "little") for _ in range(2))
            if size ^ inverse != 0xFFFF:
                return False
            self.made += bits.bytes(size)
            self._symbols += _SYMBOLS // 4
            return True
        if kind == 3:
            return False
        if kind == 1:
            if not self._symbols:
                self._most = _FIXED_SYMBOLS
            return self._pass(bits, *_FIXED)
        codes = _codes(bits)
        return codes is not None and self._pass(bits, *codes)

    def _pass(self, bits: _Bits, literals: _Code, distances: _Code) -> bool:
        while self._symbols < self._most:
            symbol = literals.symbol(bits)
            if symbol is None:
                return False
            self._symbols += 1
            if symbol == 256:
                return True
            if symbol < 256:
                self.made.append(symbol)
                continue
            if symbol - 257 >= len(_LENGTHS):
                return False
            base, extra = _LENGTHS[symbol - 257]
            length = base + bits.take(extra)
            far = distances.symbol(bits)
            if far is None or far >= 30:
                return False
            more = max(far // 2 - 1, 0)
            rest = bits.take(more)
            distance = far + 1 if far < 4 else ((2 + far % 2) << more) + 1 + rest
            if distance > len(self.made):
                return False
            for _ in range(length):
                self.made.append(self.made[-distance])
        return True


# Each judge has all the bytes, and where the stream begins in them. None: there are too few.
_Judge = Callable[[bytes, int], bool | None]


def _header(size: int) -> Callable[[Callable[[bytes, int], bool]], _Judge]:
    """A judge of the first `size` bytes."""

    def decorate(judge: Callable[[bytes, int], bool]) -> _Judge:
        def judged(data: bytes, at: int) -> bool | None:
            return judge(data, at) if len(data) - at >= size else None

        return judged

    return decorate


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _gzip(data: bytes, at: int) -> bool | None:
    if len(data) - at < 10:
        return None
    if data[at + 3] & 0xE0 or data[at + 8] not in (0, 2, 4) or 13 < data[at + 9] < 255:
        return False
    if data[at + 3]:
        return True
    try:
        return _Inflated(data, at + 10).sound
    except _MoreError:
        return None


def _zlib(data: bytes, at: int) -> bool | None:
    try:
        found = _Inflated(data, at + 2)
    except _MoreError:
        return None
    if not found.sound or found.end is None or len(found.made) > _KEPT:
        return found.sound
    if len(data) - found.end < 4:
        return None
    return zlib.adler32(found.made) == int.from_bytes(data[found.end : found.end + 4])


@_header(8)
def _xz(data: bytes, at: int) -> bool:
    return data[at + 4 : at + 7] == b"Z\0\0" and data[at + 7] in (0, 1, 4, 10)


@_header(14)
def _lzma(data: bytes, at: int) -> bool:
    window, size = _number(data, at + 1, 4), _number(data, at + 5, 8)
    lowest = window & -window
    if window < 1 << 16 or window not in (lowest, 3 * lowest):
        return False
    return data[at + 13] == 0 and (size == (1 << 64) - 1 or LEAST <= size < 1 << 38)


def _zstd(data: bytes, at: int) -> bool | None:
    if len(data) - at < 5:
        return None
    flags = data[at + 4]
    if flags & 0x08:
        return False
    single = flags >> 5 & 1
    content = (0, 2, 4, 8)[flags >> 6] if flags >> 6 else single
    block = at + 5 + (not single) + (0, 1, 2, 4)[flags & 3] + content
    if len(data) < block + 3:
        return None
    header = _number(data, block, 3)
    return header >> 1 & 3 != 3 and (header >> 1 & 3 == 1 or header >> 3 <= 1 << 17)


@_header(10)
def _bzip2(data: bytes, at: int) -> bool:
    return data[at + 3 : at + 4] in b"123456789" and data[at + 4 : at + 10] == b"1AY&SY"


@_header(6)
def _lz4(data: bytes, at: int) -> bool:
    flags, size = data[at + 4], data[at + 5]
    return flags >> 6 == 1 and not flags & 2 and not size & 0x8F and size >> 4 >= 4


@_header(30)
def _zip(data: bytes, at: int) -> bool:
    method, name = _number(data, at + 8, 2), _number(data, at + 26, 2)
    if any(byte < ord(" ") for byte in data[at + 30 : at + 30 + min(name, 8)]):
        return False
    return data[at + 4] <= 63 and (method <= 19 or 93 <= method <= 99) and 0 < name <= 4096


@_header(22)
def _zip_end(data: bytes, at: int) -> bool:
    if data[at + 4 : at + 6] != data[at + 6 : at + 8]:
        return False
    if data[at + 8 : at + 10] != data[at + 10 : at + 12]:
        return False
    size = _number(data, at + 12, 4)
    return size == (1 << 32) - 1 or size <= at


@_header(32)
def _squashfs(data: bytes, at: int) -> bool:
    log = _number(data, at + 22, 2)
    return (
        12 <= log <= 20
        and _number(data, at + 12, 4) == 1 << log
        and data[at + 28 : at + 30] == b"\4\0"
    )


@_header(14)
def _erofs(data: bytes, at: int) -> bool:
    return 9 <= data[at + 12] <= 16 and at >= 1024


@_header(7)
def _iso(data: bytes, at: int) -> bool:
    return data[at : at + 7] == b"\1CD001\1" and at >= 32768


@_header(110)
def _cpio(data: bytes, at: int) -> bool:
    return re.fullmatch(rb"07070[12][0-9a-fA-F]{104}", data[at : at + 110]) is not None


@_header(68)
def _ar(data: bytes, at: int) -> bool:
    return data[at : at + 8] == b"!<arch>\n" and data[at + 66 : at + 68] == b"`\n"


@_header(6)
def _lzip(data: bytes, at: int) -> bool:
    return data[at + 4] == 1 and 12 <= data[at + 5] & 31 <= 29


@_header(32)
def _seven_zip(data: bytes, at: int) -> bool:
    if data[at : at + 7] != b"7z\xbc\xaf\x27\x1c\0":
        return False
    return zlib.crc32(data[at + 12 : at + 32]) == _number(data, at + 8, 4)


@_header(14)
def _rar(data: bytes, at: int) -> bool:
    head = data[at : at + 14]
    if not head.startswith(b"Rar!\x1a\7"):
        return False
    # The main header follows: in version 4 its type and its size, in version 5 its size and type.
    if head[6] == 0:
        return head[9] == 0x73 and head[12:] == b"\x0d\0"
    return head[6:8] == b"\1\0" and 3 <= head[12] < 64 and head[13] == 1


@_header(36)
def _cab(data: bytes, at: int) -> bool:
    return (
        data[at : at + 8] == b"MSCF" + bytes(4)
        and data[at + 12 : at + 16] == bytes(4)
        and data[at + 25] == 1
    )


@_header(10)
def _snappy(data: bytes, at: int) -> bool:
    return data[at + 4 : at + 10] == b"sNaPpY"


@_header(31)
def _phar(data: bytes, at: int) -> bool:
    """The end of a PHP archive's stub, and its manifest: a size, a count of files, a version."""
    stub = re.compile(rb"HALT_COMPILER\(\);(?: ?\?>\r?\n)?").match(data, at)
    if stub is None:
        return False
    size, files = (_number(data, stub.end() + field, 4) for field in (0, 4))
    version = data[stub.end() + 8]
    return 10 <= size < 1 << 26 and 0 < files < 1 << 20 and 0x10 <= version <= 0x11


def _spelled(kind: str) -> _Judge:
    """A judge of a stream that is spelled in digits."""

    def judge(data: bytes, at: int) -> bool | None:
        found = spelled_head(kind, data, at)
        for magic, of in _SPELLED_STREAMS:
            if not magic.startswith(found.contents[: len(magic)]):
                continue
            answer = of(found.contents, 0) if len(found.contents) >= len(magic) else None
            if answer is None and found.ends:
                answer = of in (_gzip, _zlib) and len(found.contents) >= _TRUNCATED
            if answer is None and len(found.contents) == HEAD:
                return True  # so long is only a table of codes, or the bytes a stream stores
            if answer is not False:
                return answer
        return False

    return judge


_SPELLED_STREAMS: Final = (
    (b"\x1f\x8b\x08", _gzip),
    *((bytes([0x78, flags]), _zlib) for flags in (0x01, 0x5E, 0x9C, 0xDA)),
    (b"\xfd7zX", _xz),
    (b"\x5d\0\0", _lzma),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"BZh", _bzip2),
    (b"\x04\x22\x4d\x18", _lz4),
    (b"PK\3\4", _zip),
)

_ZLIB_HEADS: Final = tuple(
    bytes([method, flags])
    for method in range(0x08, 0x79, 0x10)
    for flags in range(256)
    if (method << 8 | flags) % 31 == 0 and not flags & 0x20
)

_HEADS: Final = {  # the first digits of each of _SPELLED_STREAMS
    "base64": (
        *(b"H4", b"eA", b"eF", b"eJ", b"eN", b"/T", b"_T", b"XQ", b"KL", b"Ql", b"BC", b"UE"),
    ),
    "hex": (b"1F", b"1f", b"78", b"FD", b"fd", b"5D", b"5d", b"28", b"42", b"04", b"50"),
    "decimal": (b"31", b"12", b"25", b"93", b"40", b"66", b"80"),
}

_ALL: Final[Sequence[tuple[str, bytes, _Judge]]] = (
    *(("zlib", head, _zlib) for head in _ZLIB_HEADS),
    ("iso", b"\1CD0", _iso),
    ("lz4", b"\x04\x22\x4d\x18", _lz4),
    ("gzip", b"\x1f\x8b\x08", _gzip),
    ("ar", b"!<ar", _ar),
    ("zstd", b"\x28\xb5\x2f\xfd", _zstd),
    ("cpio", b"0707", _cpio),
    ("7z", b"7z\xbc\xaf", _seven_zip),
    ("bzip2", b"BZh", _bzip2),
    ("lzip", b"LZIP", _lzip),
    ("cab", b"MSCF", _cab),
    ("snappy", b"\xff\6\0\0", _snappy),
    ("phar", b"HALT", _phar),
    ("zip", b"PK\3\4", _zip),
    ("zip-end", b"PK\5\6", _zip_end),
    ("rar", b"Rar!", _rar),
    ("lzma", b"\x5d\0\0", _lzma),
    ("squashfs", b"hsqs", _squashfs),
    ("erofs", b"\xe2\xe1\xf5\xe0", _erofs),
    ("xz", b"\xfd7zX", _xz),
    *((kind, head, _spelled(kind)) for kind, heads in _HEADS.items() for head in heads),
)
_BEGINNINGS: Final[Mapping[int, Sequence[tuple[str, bytes, _Judge]]]] = {
    byte: sorted(
        (each for each in _ALL if each[1][0] == byte), key=lambda each: KINDS.index(each[0])
    )
    for byte in {each[1][0] for each in _ALL}
}
_FIRST: Final = re.compile(b"[" + re.escape(bytes(sorted(_BEGINNINGS))) + b"]", re.DOTALL)
