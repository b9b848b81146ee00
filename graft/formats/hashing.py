"""Nix's spellings of a digest: base-32, SRI, and the folded digests of store paths.

Source: Nix manual, "Store path specification" and "Nix32"; src/libutil/hash.cc of Nix.
"""

from __future__ import annotations

import base64
import binascii

from graft.errors import BadFormatError

NIX32_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
"""The 32 characters of nix32: digits and letters without e, o, t, u."""

_DIGEST_SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
_PAIRS = [first + second for first in NIX32_ALPHABET for second in NIX32_ALPHABET]
_VALUES = {character: value for value, character in enumerate(NIX32_ALPHABET)}


def nix32_length(size: int) -> int:
    """The characters nix32 needs for `size` bytes."""
    return (size * 8 + 4) // 5


def nix32_encode(data: bytes) -> str:
    """Spells bytes in Nix's base-32, the last bits first.

    Nix reads the bytes as one little-endian number and prints its digits from the highest down. So
    the text looks reversed in comparison with RFC 4648.
    """
    number = int.from_bytes(data, "little")
    length = nix32_length(len(data))
    # Two digits at a time: this is done once for every path of a plan.
    first = NIX32_ALPHABET[number >> 5 * (length - 1)] if length % 2 else ""
    return first + "".join(
        [_PAIRS[number >> shift & 1023] for shift in range(10 * (length // 2 - 1), -1, -10)]
    )


def nix32_decode(text: str) -> bytes:
    """The bytes that `text` spells in nix32.

    Raises:
        BadFormatError: a character is not of the alphabet, or the unused high bits are not zero.
    """
    number = 0
    for character in text:
        if character not in _VALUES:
            raise BadFormatError(f"'{text}' is not nix32: it holds '{character}'", text=text)
        number = number << 5 | _VALUES[character]
    size = len(text) * 5 // 8
    if nix32_length(size) != len(text) or number >> (8 * size):
        raise BadFormatError(f"'{text}' is not nix32: no whole bytes have this spelling", text=text)
    return number.to_bytes(size, "little")


def compress_hash(digest: bytes, size: int) -> bytes:
    """Folds a digest to `size` bytes by XOR, as Nix does for the 20 bytes of a hash part."""
    folded = 0
    for start in range(0, len(digest), size):
        folded ^= int.from_bytes(digest[start : start + size], "little")
    return folded.to_bytes(size, "little")


def parse_hash(text: str) -> tuple[str, bytes]:
    """Reads a digest in any of Nix's spellings, `algorithm:<base16|nix32|base64>` or SRI.

    Returns:
        The algorithm's name and the digest.

    Raises:
        BadFormatError: the algorithm is unknown or the digest has not its length.
    """
    separator = ":" if ":" in text else "-"
    algorithm, found, spelled = text.partition(separator)
    size = _DIGEST_SIZES.get(algorithm)
    if not found or size is None:
        raise BadFormatError(f"'{text}' is no hash: it does not begin with an algorithm", text=text)
    try:
        if separator == ":" and len(spelled) == size * 2:
            return algorithm, binascii.unhexlify(spelled)
        if separator == ":" and len(spelled) == nix32_length(size):
            return algorithm, nix32_decode(spelled)
        digest = base64.b64decode(spelled, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadFormatError(f"'{text}' is no hash: {error}", text=text) from error
    if len(digest) != size:
        raise BadFormatError(f"'{text}' is no {algorithm} hash: it has the wrong length", text=text)
    return algorithm, digest
