"""CRC-32C (Castagnoli) as a bare register: the sum of iSCSI, ext4, Julia and others.

Source: RFC 3720, appendix B.4.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from graft import kernel

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

POLYNOMIAL: Final = 0x82F63B78
"""The reflected one."""


def reference_crc32c(data: Buffer, register: int) -> int:
    """The specification of `crc32c`, in plain Python."""
    table = _table()
    for byte in memoryview(data).cast("B"):
        register = register >> 8 ^ table[(register ^ byte) & 255]
    return register


def crc32c(data: Buffer, register: int) -> int:
    """The register after some bytes; the usual sum begins with all bits set and is inverted.

    Args:
        register: the register before these bytes, 32 bits.
    """
    if kernel.native is None:
        return reference_crc32c(data, register)
    made: int = kernel.native.crc32c(data, register)
    return made


@cache
def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (POLYNOMIAL if register & 1 else 0)
        table.append(register)
    return tuple(table)
