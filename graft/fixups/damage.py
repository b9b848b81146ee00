"""The exceptions of parsers on damaged files, told from the machine's own trouble."""

from __future__ import annotations

import lzma
import struct
import zlib
from typing import Final

from graft.errors import BadFormatError

DAMAGE: Final = (
    ValueError,  # no number, text or encoding where one should be; UnicodeDecodeError is one
    struct.error,  # a table ends before its entries do
    LookupError,  # an index or a key that leads nowhere: IndexError and KeyError
    OverflowError,  # a size that no offset can be
    ZeroDivisionError,  # an entry of no size
    EOFError,  # the file ends within a stream
    RecursionError,  # structures in each other without end
    zlib.error,
    lzma.LZMAError,
    BadFormatError,  # of graft's own readers
)
"""The exceptions that say something of a stranger's file. Any other ends the job.

OSError and MemoryError are not among them: they tell of the machine. Libraries that raise OSError
or RuntimeError for damaged data (bz2, gzip, lz4) are called by code that knows that.
"""

# The texts of libraries when there is no memory, and not by MemoryError: zlib's Z_MEM_ERROR,
# libzstd's ZSTD_error_memory_allocation, liblz4's LZ4F_ERROR_allocation_failed.
_NO_MEMORY: Final = ("Error -4 ", "Allocation error", "allocation_failed")


def damage(error: Exception) -> str:
    """The words of a library about a damaged file.

    Raises:
        MemoryError: the library says that there is no memory, which is no property of the file.
    """
    text = str(error)
    if any(words in text for words in _NO_MEMORY):
        raise MemoryError(text) from error
    return text
