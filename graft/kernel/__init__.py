"""The matcher in use: the native one where it was built, else the reference; bytes only.

GRAFT_KERNEL=native or GRAFT_KERNEL=reference demands one of the two, GRAFT_KERNEL=native:VARIANT a
variant of the native one: portable, avx2 or neon.
"""

from __future__ import annotations

from graft.kernel.selection import NAME, native

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from graft.kernel.reference import HASH_LENGTH, Hit, Table
    from graft.kernel.table import native_table

__all__ = ["HASH_LENGTH", "NAME", "Hit", "Table", "native", "native_table"]

# Imported when they are first used: `graft --version` needs the kernel's name alone.
_HOMES = {
    "HASH_LENGTH": "graft.kernel.reference",
    "Hit": "graft.kernel.reference",
    "Table": "graft.kernel.table",
    "native_table": "graft.kernel.table",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module  # noqa: PLC0415 - late, with all its imports

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
