"""Store paths: their form, and how Nix computes their hash parts.

Source: Nix manual, "Store path specification" (protocols/store-path); src/libstore/path.cc and
store-dir-config.cc of Nix.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable
from typing import Final, Self

from graft.errors import BadStorePathError
from graft.formats.hashing import NIX32_ALPHABET, compress_hash, nix32_encode

HASH_PART_LENGTH: Final = 32
"""Characters of a hash part: 160 bits in nix32."""

# No name is a dot or two of them, alone or before a dash.
_BASE_NAME: Final = re.compile(
    rf"[{NIX32_ALPHABET}]{{32}}-(?!\.\.?(?:-|\Z))[0-9A-Za-z+\-._?=]{{1,211}}"
)
_VERSION: Final = re.compile(r"-[^A-Za-z]")


class StorePath(str):
    """A store path without its store directory: the base name `<hash part>-<name>`.

    It is a str so that tens of thousands of them hash, compare and sort at the speed of strings.
    The order is the order of the base names, as Nix sorts sets of paths.
    """

    __slots__ = ()

    def __new__(cls, base_name: str) -> Self:
        """Checks the form.

        Raises:
            BadStorePathError: `base_name` is not 32 characters of nix32, a dash and a name of
                1 to 211 characters of Nix's set.
        """
        if not _BASE_NAME.fullmatch(base_name):
            raise BadStorePathError(
                f"'{base_name}' is not the name of a store path", text=base_name
            )
        return super().__new__(cls, base_name)

    @property
    def hash_part(self) -> str:
        """The 32 characters that stand for the path in other paths' bytes."""
        return self[:HASH_PART_LENGTH]

    @property
    def name(self) -> str:
        """The text after the hash part and its dash."""
        return self[HASH_PART_LENGTH + 1 :]

    @property
    def package_name(self) -> str:
        """The name without version, as `builtins.parseDrvName` splits it: at the first dash that
        no letter follows.
        """
        version = _VERSION.search(self, HASH_PART_LENGTH + 1)
        return self[HASH_PART_LENGTH + 1 : version.start() if version else None]

    @property
    def is_derivation(self) -> bool:
        """Whether this is a `.drv` file, whose name comes from its contents."""
        return self.endswith(".drv")

    @property
    def derivation_name(self) -> str:
        """The name of the derivation that a `.drv` file holds: the path's, without `.drv`."""
        return self.name.removesuffix(".drv")


class StoreDir(str):
    """The logical directory of a store, `/nix/store` if nothing else is said."""

    __slots__ = ()

    def path(self, store_path: StorePath) -> str:
        """The full text of a store path."""
        # Not an f-string: of a subclass of str that takes three times as long.
        return self + "/" + store_path

    def of(self, text: str) -> StorePath:
        """The store path that a text names: a base name, or a full path, also of a file inside.

        Raises:
            BadStorePathError: the text is neither.
        """
        if isinstance(text, StorePath):
            return text
        return self.first_path(text) if "/" in text else StorePath(text)

    def parse(self, text: str) -> StorePath:
        """Reads a full store path, with nothing after its base name.

        Raises:
            BadStorePathError: the text is no path directly in this directory.
        """
        directory, _, base_name = text.rpartition("/")
        if directory != self:
            raise BadStorePathError(f"'{text}' is not in the store directory '{self}'", text=text)
        return StorePath(base_name)

    def contains(self, text: str) -> bool:
        """Whether an absolute path lies inside the store directory."""
        return posixpath.normpath(text).startswith(f"{self}/")

    def first_path(self, text: str) -> StorePath:
        """The store path an absolute path inside the store directory belongs to.

        Raises:
            BadStorePathError: it is not inside, or its first component is no base name.
        """
        normal = posixpath.normpath(text)
        if not self.contains(normal):
            raise BadStorePathError(f"'{text}' is not in the store directory '{self}'", text=text)
        return StorePath(normal[len(self) + 1 :].split("/", 1)[0])


def make_store_path(kind: str, digest: bytes, name: str, store_dir: StoreDir) -> StorePath:
    """Nix's makeStorePath: the path of type `kind` for a SHA-256 `digest`.

    Args:
        kind: the type, `text`, `source`, `output:out`, `output:graft`, with the references where
            the type has them (`source:/nix/store/...:self`).
        digest: 32 bytes.
        name: the text that follows the hash part.
        store_dir: it is part of the text that is hashed.
    """
    fingerprint = f"{kind}:sha256:{digest.hex()}:{store_dir}:{name}"
    folded = compress_hash(hashlib.sha256(fingerprint.encode()).digest(), 20)
    return StorePath(f"{nix32_encode(folded)}-{name}")


def _kind_with_references(
    kind: str, references: Iterable[StorePath], store_dir: StoreDir, *, self_reference: bool
) -> str:
    texts = [store_dir.path(reference) for reference in sorted(references)]
    return ":".join([kind, *texts, *(["self"] if self_reference else [])])


def make_fixed_output_path(
    name: str,
    digest: bytes,
    store_dir: StoreDir,
    *,
    recursive: bool,
    algorithm: str = "sha256",
    references: Iterable[StorePath] = (),
    self_reference: bool = False,
) -> StorePath:
    """The path of content given by its hash: of its NAR (`recursive`) or of one flat file.

    Only SHA-256 of a NAR may have references; they are hashed into the type.

    Raises:
        BadStorePathError: references are given for another kind of content address.
    """
    references = list(references)
    if algorithm == "sha256" and recursive:
        kind = _kind_with_references("source", references, store_dir, self_reference=self_reference)
        return make_store_path(kind, digest, name, store_dir)
    if references or self_reference:
        raise BadStorePathError(
            f"fixed output '{name}' may not refer to other paths: only the SHA-256 of a NAR may",
            name=name,
        )
    method = "r:" if recursive else ""
    inner = f"fixed:out:{method}{algorithm}:{digest.hex()}:"
    return make_store_path("output:out", hashlib.sha256(inner.encode()).digest(), name, store_dir)


def make_text_path(
    name: str, digest: bytes, store_dir: StoreDir, *, references: Iterable[StorePath] = ()
) -> StorePath:
    """The path of a text file, such as a `.drv`, given by the SHA-256 of its contents."""
    kind = _kind_with_references("text", references, store_dir, self_reference=False)
    return make_store_path(kind, digest, name, store_dir)
