"""How files are read: into a buffer or mapped, and how much of them at a time.

GRAFT_IO=pread or GRAFT_IO=mmap demands one of the two. A mapped file that somebody cuts short is
noticed as one that is read.
"""

from __future__ import annotations

import os
from typing import Final

from graft import kernel
from graft.errors import KernelError

WINDOW: Final = 131_072
"""Bytes read at a time: they are still in the processor's cache when they are searched and
hashed."""

MAP_WINDOW = 4_194_304
"""Bytes mapped at a time: enough for the kernel to map large pages whole; more gain nothing."""

NEVER: Final = (1 << 64) - 1
PAYS: Final = (524_288, NEVER)
"""The size in bytes from which on mapping a file costs less than copying its contents: for one
thread that walks, and for several. Each of several threads would stop to forget the pages that
another has unmapped."""


def _demanded() -> tuple[int, int]:
    """The sizes from which on files are mapped; KernelError if the demand cannot be met."""
    demand = os.environ.get("GRAFT_IO", "")
    if demand not in {"", "mmap", "pread"}:
        raise KernelError(
            f"GRAFT_IO is '{demand}', but there are only 'mmap' and 'pread'", demanded=demand
        )
    if demand != "mmap":
        return (NEVER, NEVER) if demand else PAYS
    if kernel.native is None:
        raise KernelError(
            "GRAFT_IO demands mmap, which the reference kernel cannot: install graft where there"
            " is a C compiler, or unset GRAFT_IO",
            demanded=demand,
        )
    return 0, 0


MAP_FROM, THREADS_MAP_FROM = _demanded()
"""Files of this many bytes and more are mapped: by the one thread that walks, by several."""
