"""Sums that a file of any type keeps of its own bytes: found in the original, made anew.

Bytes count as a sum only if they fit the original. They fit by chance in one file of some hundred
thousand. That harms no such file: it holds its right sum before and afterwards.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Final, Literal, Protocol

from graft.kernel.crc32c import POLYNOMIAL, crc32c

LIMIT: Final = 64 << 20
"""Bytes of the largest file that is looked at: the search takes up to half a minute."""

Form = Literal["little", "big", "hex", "HEX"]
"""How a sum is spelled; the bytes of a digest are `big`."""

Own = Literal["outside", "zeroed", "removed"]
"""The bytes that count in the place of the sum itself."""

_ONES: Final = 0xFFFFFFFF
_WORD: Final = 4
_HEADS: Final = range(0, 64, 4)  # where a sum may stand at the beginning
_DIGEST_HEADS: Final = (0, 4, 8, 12, 16, 20, 24, 32)
_STARTS: Final = range(0, 132, 4)  # where the summed-up bytes may begin
_TAILS: Final = (0, 1, 2, 4, 8, 12, 16, 20, 24, 32)  # bytes after one at the end
_TAIL_STARTS: Final = (0, 4, 8, 16)
_LEAST: Final = 16  # bytes that are summed up
_HEADERS: Final = (32, 40, 44, 48, 60, 64, 92, 96, 100, 104, 108, 112, 128, 256, 512, 1024, 4096)
_LINE_ENDS: Final = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Guard:
    """One sum in a file.

    Attributes:
        algorithm: its name.
        at: the offset of the sum, in bytes.
        size: its length in the file, in bytes.
        start: the offset of the first byte that is summed up.
        end: the offset behind the last one.
        form: how it is spelled.
        own: the bytes that count in its own place.
    """

    algorithm: str
    at: int
    size: int
    start: int
    end: int
    form: Form
    own: Own = "outside"

    def of(self, data: bytes | bytearray) -> bytes:
        """The right sum of some bytes, spelled by the guard's form."""
        behind = self.at + self.size
        if self.own == "outside":
            pieces: tuple[bytes | bytearray, ...] = (data[self.start : self.end],)
        else:
            filling = bytes(self.size) if self.own == "zeroed" else b""
            pieces = (data[self.start : self.at], filling, data[behind : self.end])
        return _spelled(_ALGORITHMS[self.algorithm](pieces), self.form)

    def fits(self, data: bytes | bytearray) -> bool:
        """Whether a file's sum is right."""
        return data[self.at : self.at + self.size] == self.of(data)


def find_guards(data: bytes) -> tuple[Guard, ...]:
    """The sums that a file keeps of its own bytes.

    The algorithms are CRC-32, CRC-32C and Adler-32 with their usual variants, xxHash, MD5, SHA-1,
    SHA-2 and BLAKE2, in both byte orders. A sum may stand at the head, over the bytes behind it. It
    may stand at the end or before a few last bytes, as hexadecimal text too. It may be over the
    whole file with its own place zeroed or left out. CRCs are also tried over a header alone.
    """
    if not _LEAST + _WORD <= len(data) <= LIMIT:
        return ()
    headers = [guard for end in _HEADERS if end < len(data) for guard in _sums(data[:end], _CRCS)]
    found = dict.fromkeys((*_sums(data, (*_CRCS, _Adler)), *_digests(data), *headers))
    return tuple(guard for guard in found if guard.fits(data))


def tail_sum(data: bytes) -> Guard | None:
    """The sum of all bytes before it that a file of a known type ends with; None: it has no such
    sum.

    Only the usual sums are tried, which takes a few nanoseconds a byte.
    """
    for algorithm, size in _TAIL_SUMS.items():
        at = len(data) - size
        if at < _LEAST:
            continue
        made = _ALGORITHMS[algorithm]((data[:at],))
        forms: tuple[Form, ...] = ("big", "little") if size <= _DOUBLE else ("big",)
        for form in forms:
            if data[at:] == _spelled(made, form):
                return Guard(algorithm, at, size, 0, at, form)
    return None


class OwnSum(Protocol):
    """A sum that a file keeps of its own bytes, at a place in it."""

    @property
    def at(self) -> int:
        """Its offset."""

    @property
    def size(self) -> int:
        """Its length in bytes."""

    def of(self, data: bytes | bytearray, /) -> bytes:
        """The right sum of some bytes, in the spelling of its place."""


def renewed(guards: Sequence[OwnSum], data: bytes) -> bytes | None:
    """A changed file with its sums made anew; None: no order of them makes all right.

    Args:
        guards: the original's guards.
        data: the file after its change, of equal length.
    """
    new = bytearray(data)
    for _ in range(len(guards) + 1):
        wrong = [
            (guard, made)
            for guard in guards
            if (made := guard.of(new)) != new[guard.at : guard.at + guard.size]
        ]
        if not wrong:
            return bytes(new)
        for guard, made in wrong:
            new[guard.at : guard.at + guard.size] = made
    return None


# ---- sums of 32 bits ----------------------------------------------------------------------------


class _Sum(Protocol):
    """A sum of any range of a file's bytes, of which each is read once."""

    @property
    def names(self) -> Sequence[str]: ...

    def ranged(self, start: int, end: int) -> Sequence[int]:
        """The sums of a range, by the names."""
        ...

    def zeroed(self, at: int) -> Sequence[int]:
        """The sums of the file in which the word at a place is zero."""
        ...


class _Crc:
    """CRCs. They are linear: the registers of two prefixes give the register of a range."""

    def __init__(self, data: bytes, kind: str) -> None:
        self._data, self._advance = data, _REGISTERS[kind]
        self._polynomial = _POLYNOMIALS[kind]
        self.names = tuple(f"{kind}{variant}" for variant in _VARIANTS)
        self._prefixes = {0: 0}

    def _prefix(self, end: int) -> int:
        known = self._prefixes.get(end)
        if known is None:
            begin = max(at for at in self._prefixes if at < end)
            with memoryview(self._data) as view:
                known = self._advance(view[begin:end], self._prefixes[begin])
            self._prefixes[end] = known
        return known

    def _variants(self, register: int, length: int) -> Sequence[int]:
        begun = register ^ _shifted(_ONES, length, self._polynomial)
        return begun ^ _ONES, begun, register

    def ranged(self, start: int, end: int) -> Sequence[int]:
        """The three sums of a range."""
        length = end - start
        before = _shifted(self._prefix(start), length, self._polynomial)
        return self._variants(self._prefix(end) ^ before, length)

    def zeroed(self, at: int) -> Sequence[int]:
        """The three sums of the file in which the word at a place is zero."""
        length, behind = len(self._data), len(self._data) - at - _WORD
        word = self._advance(self._data[at : at + _WORD], 0)
        register = self._prefix(length) ^ _shifted(word, behind, self._polynomial)
        return self._variants(register, length)


class _Adler:
    """Adler-32, begun with one by the rule, or with zero."""

    names = ("adler32", "adler32-begun-with-0")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._prefixes = {0: 0}

    def _prefix(self, end: int) -> tuple[int, int]:
        known = self._prefixes.get(end)
        if known is None:
            begin = max(at for at in self._prefixes if at < end)
            with memoryview(self._data) as view:
                known = zlib.adler32(view[begin:end], self._prefixes[begin])
            self._prefixes[end] = known
        return known & 0xFFFF, known >> 16

    @staticmethod
    def _variants(low: int, high: int, length: int) -> Sequence[int]:
        return [(high + begun * length) % _ADLER << 16 | (low + begun) % _ADLER for begun in (1, 0)]

    def ranged(self, start: int, end: int) -> Sequence[int]:
        """The two sums of a range."""
        (low, high), (before, above) = self._prefix(end), self._prefix(start)
        length = end - start
        return self._variants(low - before, high - above - length * before, length)

    def zeroed(self, at: int) -> Sequence[int]:
        """The two sums of the file in which the word at a place is zero."""
        length = len(self._data)
        low, high = self._prefix(length)
        for place in range(at, at + _WORD):
            low -= self._data[place]
            high -= self._data[place] * (length - place)
        return self._variants(low, high, length)


_CRCS: Final = (partial(_Crc, kind="crc32"), partial(_Crc, kind="crc32c"))


def _sums(data: bytes, kinds: Iterable[Callable[[bytes], _Sum]]) -> Iterator[Guard]:
    size = len(data)
    words = dict.fromkeys(at for at in _HEADS if at + _WORD <= size)
    words.update(dict.fromkeys(size - _WORD - after for after in _TAILS if size >= _WORD + after))
    for kind in (make(data) for make in kinds):
        by_value: dict[int, list[tuple[str, int]]] = {}
        for start in _STARTS:
            if size - start >= _LEAST:
                for name, value in zip(kind.names, kind.ranged(start, size), strict=True):
                    by_value.setdefault(value, []).append((name, start))
        for at in words:
            forms = dict(_read(data, at))
            for form, value in forms.items():
                for name, start in by_value.get(value, ()):
                    if start >= at + _WORD:
                        yield Guard(name, at, _WORD, start, size, form)
            candidates: list[tuple[int, int, Own]] = [(0, size, "zeroed")]
            if size - at - _WORD in _TAILS:
                candidates += [
                    (start, at, "outside") for start in _TAIL_STARTS if at - start >= _LEAST
                ]
            for start, end, own in candidates if forms else ():
                values = kind.zeroed(at) if own == "zeroed" else kind.ranged(start, end)
                for name, summed in zip(kind.names, values, strict=True):
                    for form, value in forms.items():
                        if summed == value:
                            yield Guard(name, at, _WORD, start, end, form, own)


def _read(data: bytes, at: int) -> Iterator[tuple[Form, int]]:
    """A word in both byte orders, if it is more than zeros or ones: these fit too easily."""
    word = data[at : at + _WORD]
    if len(set(word)) > 1:
        yield "little", int.from_bytes(word, "little")
        yield "big", int.from_bytes(word, "big")


@lru_cache(maxsize=4096)
def _power(length: int, polynomial: int) -> int:
    """The power of x by the number of bits in some bytes, modulo the reflected polynomial."""
    power, square = 1 << 31, 1 << 23  # 1, and x to the 8th
    while length:
        if length & 1:
            power = _times(square, power, polynomial)
        square = _times(square, square, polynomial)
        length >>= 1
    return power


def _times(one: int, other: int, polynomial: int) -> int:
    product, bit = 0, 1 << 31
    while one:
        if one & bit:
            one ^= bit
            product ^= other
        other = other >> 1 ^ (polynomial if other & 1 else 0)
        bit >>= 1
    return product


def _shifted(register: int, length: int, polynomial: int) -> int:
    """A register after as many zero bytes."""
    return _times(_power(length, polynomial), register, polynomial)


# ---- digests --------------------------------------------------------------------------------


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> _Hash: ...


def _new_hash(algorithm: str) -> _Hash:
    made: _Hash
    if algorithm in _XXHASHES:
        import xxhash  # noqa: PLC0415 - only a changed file needs it

        made = getattr(xxhash, algorithm.replace("-", "_"))()
    else:
        made = hashlib.new(algorithm, usedforsecurity=False)
    return made


def _digests(data: bytes) -> Iterator[Guard]:
    for algorithm, digest_size in _digest_sizes().items():
        for text in (False, True):
            size = 2 * digest_size if text else digest_size
            yield from _at_end(data, algorithm, size, text=text)
        if digest_size >= 2 * _WORD or algorithm in _XXHASHES:
            yield from _at_head(data, algorithm, digest_size)


def _at_end(data: bytes, algorithm: str, size: int, *, text: bool) -> Iterator[Guard]:
    places: dict[int, list[tuple[int, Form]]] = {}
    for after in _LINE_ENDS if text else _TAILS:
        at = len(data) - after - size
        forms = list(_forms(data[at : at + size], text=text)) if at >= _LEAST else []
        for start in _TAIL_STARTS if forms else ():
            places.setdefault(start, []).extend((at, form) for form in forms)
    for start, ends in places.items():
        values = _prefixes(data, algorithm, start, {at for at, _ in ends if at - start >= _LEAST})
        for at, form in ends:
            if at in values and _spelled(values[at], form) == data[at : at + size]:
                yield Guard(algorithm, at, size, start, at, form)
    for at, form in places.get(0, ()):
        guard = Guard(algorithm, at, size, 0, len(data), form, "zeroed")
        if not text and guard.fits(data):
            yield guard


def _at_head(data: bytes, algorithm: str, size: int) -> Iterator[Guard]:
    end = len(data)
    for at in _DIGEST_HEADS:
        if end - at - size < _LEAST:
            return
        for form in _forms(data[at : at + size], text=False):
            tried: list[Guard] = [
                Guard(algorithm, at, size, start, end, form)
                for start in dict.fromkeys((at + size, -(-(at + size) // 16) * 16))
            ]
            tried.append(Guard(algorithm, at, size, 0, end, form, "zeroed"))
            if at:
                tried.append(Guard(algorithm, at, size, 0, end, form, "removed"))
            for guard in tried:
                if guard.fits(data):
                    yield guard


def _forms(text_or_bytes: bytes, *, text: bool) -> Iterator[Form]:
    """How it may spell a digest; nothing, if it does not look like one."""
    if text:
        for form in ("hex", "HEX"):
            digits = b"0123456789abcdef" if form == "hex" else b"0123456789ABCDEF"
            if not text_or_bytes.strip(digits):
                yield form
        return
    size = len(text_or_bytes)
    # Three of 8 random bytes are equal to others in one case of ten million.
    if len(set(text_or_bytes)) * 8 < 5 * min(size, 32) or b"\0\0\0" in text_or_bytes:
        return
    yield "big"
    if size <= 2 * _WORD:
        yield "little"


def _prefixes(data: bytes, algorithm: str, start: int, ends: Iterable[int]) -> dict[int, bytes]:
    """The digests from one place to several."""
    values: dict[int, bytes] = {}
    state, at = _new_hash(algorithm), start
    with memoryview(data) as view:
        for end in sorted(ends):
            state.update(view[at:end])
            values[end] = state.copy().digest()
            at = end
    return values


def _spelled(digest: bytes, form: Form) -> bytes:
    if form == "little":
        return digest[::-1]
    if form == "big":
        return digest
    text = digest.hex()
    return (text if form == "hex" else text.upper()).encode()


# ---- by their names -------------------------------------------------------------------------

_ADLER: Final = 65521
_VARIANTS: Final = ("", "-not-inverted", "-begun-with-0")
_POLYNOMIALS: Final = {"crc32": 0xEDB88320, "crc32c": POLYNOMIAL}
_XXHASHES: Final = ("xxh32", "xxh64", "xxh3-64", "xxh3-128")
_HASHES: Final = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s")

Pieces = Sequence[bytes | bytearray | memoryview]


def _crc32_register(data: bytes | bytearray | memoryview, register: int) -> int:
    return zlib.crc32(data, register ^ _ONES) ^ _ONES


_REGISTERS: Final = {"crc32": _crc32_register, "crc32c": crc32c}


@cache
def _digest_sizes() -> dict[str, int]:
    return {name: len(_new_hash(name).digest()) for name in (*_XXHASHES, *_HASHES)}


def _crc(kind: str, begin: int, last: int) -> Callable[[Pieces], bytes]:
    def summed(pieces: Pieces) -> bytes:
        register = begin
        for piece in pieces:
            register = _REGISTERS[kind](piece, register)
        return (register ^ last).to_bytes(_WORD)

    return summed


def _adler(begin: int) -> Callable[[Pieces], bytes]:
    def summed(pieces: Pieces) -> bytes:
        value = begin
        for piece in pieces:
            value = zlib.adler32(piece, value)
        return value.to_bytes(_WORD)

    return summed


def _hashed(algorithm: str) -> Callable[[Pieces], bytes]:
    def digest(pieces: Pieces) -> bytes:
        state = _new_hash(algorithm)
        for piece in pieces:
            state.update(memoryview(piece))
        return state.digest()

    return digest


_ALGORITHMS: Final[dict[str, Callable[[Pieces], bytes]]] = {
    **{
        f"{kind}{variant}": _crc(kind, begin, last)
        for kind in _REGISTERS
        for variant, begin, last in zip(_VARIANTS, (_ONES, _ONES, 0), (_ONES, 0, 0), strict=True)
    },
    "adler32": _adler(1),
    "adler32-begun-with-0": _adler(0),
    **{name: _hashed(name) for name in (*_XXHASHES, *_HASHES)},
}
_DOUBLE: Final = 8
_TAIL_SUMS: Final = {
    **dict.fromkeys(("crc32", "crc32c", "adler32", "xxh32"), 4),
    "xxh64": 8,
    "md5": 16,
    "sha1": 20,
    "sha224": 28,
    "sha256": 32,
    "sha384": 48,
    "sha512": 64,
}
"""The sums that are looked for at the ends of files of known types, and their sizes in bytes."""
