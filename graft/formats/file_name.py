"""Names of files as text: they are bytes, and not always UTF-8."""

from __future__ import annotations

_PERCENT = {0xDC00 + byte: f"%{byte:02X}" for byte in range(0x80, 0x100)}


def printable(name: bytes) -> str:
    """A file's name as text: bytes that are not UTF-8 as `%XX`."""
    return printable_text(name.decode("utf-8", "surrogateescape"))


def printable_text(text: str) -> str:
    """A text in which Python has kept such bytes as lone surrogates (PEP 383)."""
    return text.translate(_PERCENT)
