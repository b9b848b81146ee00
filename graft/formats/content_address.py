"""Content addresses: the hashes of contents from which a store path was computed.

Source: src/libstore/content-address.cc of Nix, and the Nix manual, "Content-addressing store
objects". The text is `text:ALGORITHM:HASH`, `fixed:ALGORITHM:HASH` for the bytes of one file, or
`fixed:r:ALGORITHM:HASH` for a NAR; Nix prints the hash in nix32, and reads base 16 and base 64 too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from graft.errors import BadFormatError, BadStorePathError
from graft.formats.hashing import nix32_encode, parse_hash
from graft.formats.store_path import (
    StoreDir,
    StorePath,
    make_fixed_output_path,
    make_text_path,
)

_PREFIXES: Final = ("text:", "fixed:r:", "fixed:")  # the longer of two comes first


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentAddress:
    """The hash of the contents, and the method.

    Attributes:
        prefix: `text:`, `fixed:` or `fixed:r:`.
        algorithm: `md5`, `sha1`, `sha256` or `sha512`; a text has `sha256`.
        digest: in bytes.
    """

    prefix: str
    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a content address.

        Raises:
            BadFormatError: it has another form.
        """
        for prefix in _PREFIXES:
            if text.startswith(prefix) and ":" in text[len(prefix) :]:
                algorithm, digest = parse_hash(text[len(prefix) :])
                if prefix == "text:" and algorithm != "sha256":
                    break
                return cls(prefix=prefix, algorithm=algorithm, digest=digest)
        raise BadFormatError(f"{text!r} is no content address", text=text)

    def __str__(self) -> str:
        """As Nix prints it."""
        return f"{self.prefix}{self.algorithm}:{nix32_encode(self.digest)}"

    def is_of(self, path: StorePath, references: Iterable[StorePath], store_dir: StoreDir) -> bool:
        """Whether a path has its name from the address and from its references, itself too."""
        others = set(references)
        self_reference = path in others
        others.discard(path)
        try:
            if self.prefix == "text:":
                made = make_text_path(path.name, self.digest, store_dir, references=others)
                return made == path and not self_reference
            return path == make_fixed_output_path(
                path.name,
                self.digest,
                store_dir,
                recursive=self.prefix == "fixed:r:",
                algorithm=self.algorithm,
                references=others,
                self_reference=self_reference,
            )
        except BadStorePathError:
            return False  # contents so addressed may have no references
