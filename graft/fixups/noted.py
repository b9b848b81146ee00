"""File types that are rewritten as they stand, and of which something is then to be known.

Equal length is enough for the programs that read them; but their names, or records of them in other
files, say something of the old contents.
"""

from __future__ import annotations

from graft.fixups.api import Fixup, Inside


class Noted(Fixup):
    """One such type.

    Args:
        text: the note on a file that changed.
        begins: the beginnings that its bytes may have; empty: any.
    """

    opens = False

    def __init__(
        self,
        name: str,
        text: str,
        *,
        suffixes: tuple[bytes, ...] = (),
        names: tuple[bytes, ...] = (),
        begins: tuple[bytes, ...] = (b"",),
    ) -> None:
        self.name, self._text, self._begins = name, text, begins
        self.suffixes, self.names = suffixes, names

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By its name, and the first bytes."""
        return super().recognises(head, name) and head.startswith(self._begins)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file as plain rewriting makes it."""
        del name
        new = inside.plain(data)
        if new is not data:
            inside.note(self._text)
        return new


_ABI_HASH = "the hash of its interface, and those it has of others, are of the old contents"

NOTED = (
    Noted(
        "fontconfig",
        "its name is a hash of the old directory: fontconfig will make another",
        suffixes=tuple(b".cache-%d" % version for version in range(1, 20)),
    ),
    Noted(
        "emacs-native",
        "its name has hashes of the old path and contents: Emacs may take the .elc file instead",
        suffixes=(b".eln",),
        begins=(b"\x7fELF",),
    ),
    Noted("ghc", _ABI_HASH, suffixes=(b".hi", b".dyn_hi", b".p_hi"), names=(b"package.cache",)),
    Noted("rust-metadata", _ABI_HASH, suffixes=(b".rmeta",), begins=(b"rust", b"\x7fELF")),
    Noted(
        "npm-lock",
        "the sums in it are of packages as they were fetched",
        names=(b"package-lock.json", b".package-lock.json", b"npm-shrinkwrap.json", b"yarn.lock"),
    ),
)
"""In their order in the registry."""
