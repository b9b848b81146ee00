"""The matcher in use: the native one where it was built, else the reference; bytes only.

GRAFT_KERNEL=native or GRAFT_KERNEL=reference demands one of the two, GRAFT_KERNEL=native:VARIANT a
variant of the native one: portable, avx2 or neon.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from graft.errors import KernelError
from graft.kernel import reference
from graft.kernel.native import load
from graft.kernel.reference import HASH_LENGTH, Hit, checked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from graft.kernel.reference import Table

__all__ = ["HASH_LENGTH", "NAME", "Hit", "Table", "native", "native_table"]


def native_table(module: ModuleType, variant: str) -> type[Table]:
    """The extension's Table, with the reference's constructor, checks and hits.

    Args:
        module: the extension.
        variant: one of its variants.
    """

    class Table(module.Table):  # type: ignore[misc, name-defined]
        __doc__ = reference.Table.__doc__
        __qualname__ = "Table"
        __slots__ = ("_entries",)

        def __new__(cls, entries: Iterable[tuple[bytes, bytes | None]]) -> Self:
            entries = checked(entries)
            table: Self = super().__new__(cls, entries, Hit, variant)
            table._entries = entries
            return table

        def hash_part(self, index: int) -> str:
            """As the reference's."""
            old: bytes = self._entries[index][0]
            return old[:HASH_LENGTH].decode()

    return Table


def _demanded() -> tuple[ModuleType | None, str]:
    """The extension if it is to be used, and its variant; KernelError if that cannot be met."""
    demand = os.environ.get("GRAFT_KERNEL", "")
    kernel, _, variant = demand.partition(":")
    if kernel not in {"", "native", "reference"} or (variant and kernel != "native"):
        raise KernelError(
            f"GRAFT_KERNEL is '{demand}', but there are only 'native', 'native:VARIANT' and "
            "'reference'",
            demanded=demand,
        )
    if kernel == "reference":
        return None, ""
    module = load()
    if module is None:
        if demand:
            raise KernelError(
                "GRAFT_KERNEL demands the native kernel, which was not built: install graft where"
                " there is a C compiler, or unset GRAFT_KERNEL",
                demanded=demand,
            )
        return None, ""
    variants = module.variants()
    if variant and variant not in variants:
        raise KernelError(
            f"GRAFT_KERNEL demands the variant '{variant}', but this machine runs only "
            f"{' and '.join(variants)}: set one of these, or unset GRAFT_KERNEL",
            demanded=demand,
        )
    return module, variant or variants[0]


native, _variant = _demanded()
"""The extension in use, or None."""

NAME = "reference" if native is None else f"native {_variant}"
"""The kernel in use, for `graft --version`."""

if not TYPE_CHECKING:
    Table = reference.Table if native is None else native_table(native, _variant)
