"""Deflated data (RFC 1951), compressed again as it was: in gzip files and members of zip archives.

Which bytes a compressor makes is its own affair, but names promise bytes: so only a zlib that
compresses a sample as zlib always has since 1.2.5 is used. One that does not (zlib-ng, hardware)
rewrites nothing, and says so.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import cache

from graft.fixups.api import Inside, LeftAloneError, UnknownLibraryError
from graft.fixups.compressed import compresses_to
from graft.fixups.damage import damage
from graft.fixups.sample import sample_text

_RAW = -15  # no header, a window of 32 KiB
_CHUNK = 1 << 16

# Most files were made by gzip (which is as zlib with memory level 9) at its highest level or its
# default, or by zlib's default.
_PARAMETERS = (
    (9, 9),
    (6, 8),
    (6, 9),
    (9, 8),
    *((level, memory) for level in (1, 2, 3, 4, 5, 7, 8) for memory in (8, 9)),
)

# By level and memory level: the beginning of the SHA-256 of the deflated sample.
_DIGESTS = {
    (1, 8): "4bcb0f4c1ae62b85",
    (1, 9): "38a37f387e2cd050",
    (2, 8): "cf0353b11ce6ac81",
    (2, 9): "b68c9e5d16139bf6",
    (3, 8): "e2b174e300fd9796",
    (3, 9): "76d8d7bfed0b5028",
    (4, 8): "df75f8a6e82fb0de",
    (4, 9): "0abee094fe112cca",
    (5, 8): "3ccb1012e449a07b",
    (5, 9): "9353a46013e46197",
    (6, 8): "5f535f6df14e9e09",
    (6, 9): "5d5dffd2c615e5ca",
    (7, 8): "dd3feec3ad5ee5a9",
    (7, 9): "c11a548d500310f9",
    (8, 8): "dd3feec3ad5ee5a9",
    (8, 9): "c11a548d500310f9",
    (9, 8): "dd3feec3ad5ee5a9",
    (9, 9): "c11a548d500310f9",
}


def inflated(data: bytes, start: int, inside: Inside) -> tuple[bytes, int]:
    """The expanded contents of a deflated stream, and its end.

    Raises:
        LeftAloneError: it is damaged or cut, or larger than the limits allow.
    """
    stream = zlib.decompressobj(_RAW)
    at = start  # the rest was not given to it yet; at once, it would be copied each time

    def read(most: int) -> bytes:
        nonlocal at
        while not stream.eof:
            given = stream.unconsumed_tail
            if not given:
                given = data[at : at + _CHUNK]
                at += len(given)
            try:
                piece = stream.decompress(given, most)
            except zlib.error as error:
                raise LeftAloneError(f"its deflated data is damaged: {damage(error)}") from None
            if piece:
                return piece
            if not given and not stream.eof:
                raise LeftAloneError("its deflated data is cut")
        return b""

    contents = inside.expanded(read, len(data) - start)
    return contents, at - len(stream.unused_data)


def deflated_again(new: bytes, old: bytes, old_deflated: bytes, *, level: int = 6) -> bytes:
    """New contents, deflated as the old ones were.

    Args:
        old_deflated: the old stream, which tells the parameters: they make it of `old`.
        level: the level to use, with memory level 8, if no parameters make it.

    Raises:
        UnknownLibraryError: this zlib is another than graft knows.
    """
    for parameters in _PARAMETERS:
        if _makes(parameters, old, old_deflated):
            break
    else:
        parameters = (level, 8)
        # Another zlib might have made it with some: so all of them must be known.
        for others in _PARAMETERS:
            _check_zlib(others)
    return deflated(new, parameters)


def deflated(contents: bytes, parameters: tuple[int, int]) -> bytes:
    """Contents, deflated at a level and a memory level.

    Raises:
        UnknownLibraryError: this zlib is another than graft knows.
    """
    _check_zlib(parameters)
    stream = zlib.compressobj(parameters[0], zlib.DEFLATED, _RAW, parameters[1])
    return stream.compress(contents) + stream.flush()


def _check_zlib(parameters: tuple[int, int]) -> None:
    if not _is_known(parameters):
        raise UnknownLibraryError(f"zlib {zlib.ZLIB_RUNTIME_VERSION}")


def _makes(parameters: tuple[int, int], contents: bytes, deflated: bytes) -> bool:
    level, memory = parameters
    stream = zlib.compressobj(level, zlib.DEFLATED, _RAW, memory)
    return compresses_to(stream, contents, deflated)


@cache
def _is_known(parameters: tuple[int, int]) -> bool:
    stream = zlib.compressobj(parameters[0], zlib.DEFLATED, _RAW, parameters[1])
    made = stream.compress(sample_text()) + stream.flush()
    return hashlib.sha256(made).hexdigest()[:16] == _DIGESTS[parameters]
