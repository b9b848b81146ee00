"""Ed25519 keys and signatures as Nix has them, and the signed text of a store path.

Source: src/libutil/signature/local-keys.cc and ValidPathInfo::fingerprint in
src/libstore/path-info.cc of Nix. Keys and signatures are texts `NAME:BASE64`: 64 bytes of a secret
key (the seed of RFC 8032, then the public key), 32 of a public key, 64 of a signature. A signature
is looked up by its key's name, which is a name only and proves nothing.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NoReturn, Self

from graft.errors import BadFormatError
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StoreDir, StorePath

_SEED_SIZE: Final = 32
_PUBLIC_SIZE: Final = 32
_MOST_SHOWN: Final = 30  # characters
_NAME: Final = re.compile(r"[!-9;-~]+")  # printable, without space and colon


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The key that verifies signatures.

    Attributes:
        name: by which signatures name it, such as `cache.example.org-1`.
        data: 32 bytes.
    """

    name: str
    data: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a public key, `NAME:BASE64`.

        Raises:
            BadFormatError: it is no public key.
        """
        try:
            name, data = _named_bytes(text.strip())
        except ValueError:
            # Any such text may be a secret key.
            shown = text.partition(":")[0] if ":" in text else text[:_MOST_SHOWN]
            raise BadFormatError(f"{shown!r} is no public key, NAME:BASE64", text=shown) from None
        if len(data) != _PUBLIC_SIZE:
            raise BadFormatError(
                f"public key '{name}' has {len(data)} bytes instead of {_PUBLIC_SIZE}", name=name
            )
        return cls(name, data)

    def __str__(self) -> str:
        """As Nix writes it."""
        return _print(self.name, self.data)

    def verifies(self, text: str, signature: str) -> bool:
        """Whether a signature of the key's name was made for a text, by this key.

        Raises:
            BadFormatError: `signature` is no signature.
        """
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to load
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )

        name, data = parse_signature(signature)
        if name != self.name:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.data).verify(data, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class SecretKey:
    """The key that signs. Its bytes are in no message, no `repr` and no pickle.

    Attributes:
        name: the name, which is the public key's too.
    """

    name: str
    _seed: bytes = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key does not leave its process")

    @classmethod
    def generate(cls, name: str) -> Self:
        """Makes a key.

        Raises:
            BadFormatError: the name is empty, or has spaces, colons or control characters.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )

        if not _NAME.fullmatch(name):
            raise BadFormatError(f"{name!r} is no name of a key: no spaces, no colons", name=name)
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Reads a secret key, `NAME:BASE64`, with or without a newline.

        Args:
            name: the text's name in errors; they show nothing of the text itself.

        Raises:
            BadFormatError: it is no secret key, or its halves do not belong together.
        """
        try:
            key_name, data = _named_bytes(text.strip())
        except ValueError:
            raise BadFormatError(f"'{name}' is no secret key, NAME:BASE64", name=name) from None
        if len(data) != _SEED_SIZE + _PUBLIC_SIZE:
            what = "a public key, not a secret one" if len(data) == _PUBLIC_SIZE else "no key"
            raise BadFormatError(f"'{name}' holds {what}", name=name)
        key = cls(key_name, data[:_SEED_SIZE])
        if not hmac.compare_digest(key.public_key.data, data[_SEED_SIZE:]):
            # To sign with the one half for the other would give the secret away.
            raise BadFormatError(
                f"'{name}' is no secret key: its two halves do not belong together", name=name
            )
        return key

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies its signatures."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )

        key = Ed25519PrivateKey.from_private_bytes(self._seed)
        return PublicKey(self.name, key.public_key().public_bytes_raw())

    def expose(self) -> str:
        """The secret as Nix writes it into a file: for that and nothing else."""
        return _print(self.name, self._seed + self.public_key.data)

    def sign(self, text: str) -> str:
        """The signature of a text."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )

        key = Ed25519PrivateKey.from_private_bytes(self._seed)
        return _print(self.name, key.sign(text.encode()))


def parse_signature(text: str) -> tuple[str, bytes]:
    """Reads a signature: the name of its key, and its bytes, at least one.

    Raises:
        BadFormatError: it is not `NAME:BASE64`.
    """
    try:
        return _named_bytes(text)
    except ValueError:
        raise BadFormatError(f"{text!r} is no signature, NAME:BASE64", text=text) from None


def fingerprint(
    path: StorePath,
    nar_hash: bytes,
    nar_size: int,
    references: Iterable[StorePath],
    store_dir: StoreDir,
) -> str:
    """The signed text of a store path: its place, its contents, and its references.

    Args:
        nar_hash: SHA-256 of its NAR, 32 bytes.
        nar_size: length of its NAR in bytes, not 0.
        references: the path itself included if it refers to itself.
    """
    full = [store_dir.path(reference) for reference in sorted(references)]
    nar = f"sha256:{nix32_encode(nar_hash)};{nar_size}"
    return f"1;{store_dir.path(path)};{nar};{','.join(full)}"


def _named_bytes(text: str) -> tuple[str, bytes]:
    name, _, spelled = text.partition(":")
    data = base64.b64decode(spelled, validate=True)
    if not _NAME.fullmatch(name) or not data or base64.b64encode(data).decode() != spelled:
        raise ValueError
    return name, data


def _print(name: str, data: bytes) -> str:
    return f"{name}:{base64.b64encode(data).decode()}"
