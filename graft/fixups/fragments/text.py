"""A store path's text for the search in code: its hash part, its name, and their replacements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HASH_LENGTH: Final = 32


@dataclass(frozen=True)
class PathText:
    """The text of an old store path, and its replacement.

    Args:
        base: the old base name or hash part.
        new: the new one, of equal length; None if the old one is only looked for.
    """

    base: bytes
    new: bytes | None

    @property
    def renamed(self) -> bool:
        """Whether the new path has another name."""
        return self.new is not None and self.new[HASH_LENGTH:] != self.base[HASH_LENGTH:]

    @property
    def hash_part(self) -> bytes:
        """The old 32 characters."""
        return self.base[:HASH_LENGTH]

    @property
    def last(self) -> int:
        """The last character that changes."""
        return max(filter(self.changes, range(len(self.base))), default=0)

    def changes(self, at: int) -> bool:
        """Whether a character of the base name is another in the new one."""
        return self.new is not None and self.new[at] != self.base[at]

    def replaced_size(self, data: object, offset: int) -> int:
        """The bytes that are replaced with a whole hash part.

        Args:
            data: the file.
            offset: the offset of the hash part in it.
        """
        assert hasattr(data, "__getitem__")
        named = data[offset : offset + len(self.base)] == self.base
        return len(self.base) if named else HASH_LENGTH
