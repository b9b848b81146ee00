"""The Table of the kernel in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from graft.kernel import reference
from graft.kernel.reference import HASH_LENGTH, Hit, checked
from graft.kernel.selection import native, variant

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from graft.kernel.reference import Table


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


if not TYPE_CHECKING:
    Table = reference.Table if native is None else native_table(native, variant)
