"""Uncompressed erofs images: of NixOS's /etc where that is an overlay (`system.etc.overlay`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graft.errors import BadFormatError
from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.formats.erofs import MAGIC, MAGIC_AT, ErofsImage, ImageText, Where

_CHECKSUM = slice(MAGIC_AT + 4, MAGIC_AT + 8)


def rewritten(
    data: bytes,
    plain: Callable[[bytes, Where], bytes],
    files: Callable[[Sequence[tuple[bytes, bytes]]], Sequence[bytes]],
) -> bytes:
    """An image with its texts changed, and the superblock's checksum right.

    Args:
        plain: is shown each text once that is no file, and then all the rest with NULs in the
            texts' places; gives back as many bytes, and must give back the rest unchanged.
        files: is shown all files, path and contents, and gives back as many bytes of each.

    Returns:
        `data` itself if nothing changes.

    Raises:
        BadFormatError: the image is not understood, or a change is not all in text, or would not be
            found any more; the error says why.
    """
    image = ErofsImage.parse(data)
    new, rest = bytearray(data), bytearray(data)
    inside = [text for text in image.texts if text.path]
    contents = files([(text.path, text.read(data)) for text in inside])
    new_texts = dict(zip(inside, contents, strict=True))
    changed: dict[ImageText, bytes] = {}
    for text in image.texts:
        old_text = text.read(data)
        new_text = new_texts[text] if text.path else plain(old_text, text.where)
        if new_text != old_text:
            if len(new_text) != len(old_text):
                raise BadFormatError("a text in the erofs image would change its length")
            changed[text] = new_text
            text.write(new, new_text)
        text.write(rest, bytes(len(old_text)))
    if plain(bytes(rest), "contents") != rest:
        raise BadFormatError(
            "something is to be changed that is no name, target, attribute or file"
        )
    if not changed:
        return data
    if image.digests:
        raise BadFormatError("it holds fs-verity digests of files that may change as well")
    for start, end in image.structure:
        if new[start:end] != data[start:end]:
            raise BadFormatError("parts of the erofs image overlap")
    result = bytes(new)
    if any(text.read(result) != changed.get(text, text.read(data)) for text in image.texts):
        raise BadFormatError("files in the erofs image share bytes that would change")
    if ErofsImage.parse(result) != image:
        raise BadFormatError("the change is in the descriptions of its files")
    if image.checksummed is None:
        return result
    if _checksum(data, image.checksummed) != data[_CHECKSUM]:
        raise BadFormatError("the checksum of the erofs superblock was wrong before")
    new[_CHECKSUM] = _checksum(result, image.checksummed)
    return bytes(new)


def _checksum(data: bytes, end: int) -> bytes:
    """CRC-32C without the last inversion, of the superblock's block, its checksum taken as 0."""
    crc = 0xFFFFFFFF
    covered = data[MAGIC_AT : MAGIC_AT + 4] + bytes(4) + data[MAGIC_AT + 8 : end]
    for byte in covered:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(4, "little")


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


_REDIRECT = b"overlay.redirect"
_NIXOS_NAME = b"etc-metadata.erofs"


class Erofs(Fixup):
    """Names, targets, attributes and files of equal length, and the superblock's checksum."""

    name = "erofs"
    magics = ((MAGIC_AT, MAGIC),)

    def vital(self, data: bytes, name: bytes) -> bool:
        """Whether it is an /etc: a system would start with OLD's units."""
        return name.endswith(_NIXOS_NAME) or _REDIRECT in data

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The image, its texts changed."""
        del name
        try:
            return rewritten(data, inside.plain, inside.members)
        except BadFormatError as error:
            raise LeftAloneError(str(error)) from None
