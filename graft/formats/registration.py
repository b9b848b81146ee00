"""The text of `nix-store --dump-db`, which `nix-store --load-db` reads.

Source: Store::makeValidityRegistration and decodeValidPathInfo in src/libstore/store-api.cc of Nix.
It is a references graph (`derivations.references_graph`) with two more lines after each path:
the SHA-256 of its NAR and the NAR's size. Nix writes the hash in base 16 without its algorithm and
reads every spelling; nixpkgs' closureInfo writes `sha256:` and nix32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from graft.errors import BadFormatError
from graft.formats.derivations.references_graph import (
    RegistrationLines,
    deriver_and_reference_lines,
)
from graft.formats.hashing import parse_hash
from graft.formats.store_path import StoreDir, StorePath

_DIGEST_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the text says of a path.

    Attributes:
        nar_hash: SHA-256 of the path's NAR, 32 bytes.
        nar_size: length of the NAR in bytes.
        deriver: the `.drv` it was built from.
        references: in the order of the text.
    """

    path: StorePath
    nar_hash: bytes
    nar_size: int
    deriver: StorePath | None = None
    references: tuple[StorePath, ...] = ()


def parse_registrations(text: str, store_dir: StoreDir) -> list[Registration]:
    """Reads what `--dump-db` has written; a path that is there twice is there twice in the result.

    Raises:
        BadFormatError: the text is not of the format, or a path not in the store directory.
    """
    lines = RegistrationLines(text, store_dir)
    registrations = []
    while lines:
        path = lines.path()
        nar_hash = _digest(lines)
        nar_size = lines.number("the size of a nar")
        deriver, references = lines.deriver_and_references()
        registrations.append(
            Registration(
                path=path,
                nar_hash=nar_hash,
                nar_size=nar_size,
                deriver=deriver,
                references=references,
            )
        )
    return registrations


def _digest(lines: RegistrationLines) -> bytes:
    expected = "a sha256 hash"
    line = lines.next(expected)
    try:
        algorithm, digest = parse_hash(line if line[6:7] in {":", "-"} else f"sha256:{line}")
    except BadFormatError:
        raise lines.error(expected) from None
    if algorithm != "sha256" or len(digest) != _DIGEST_SIZE:
        raise lines.error(expected)
    return digest


def print_registrations(registrations: Iterable[Registration], store_dir: StoreDir) -> str:
    """Writes what `--load-db` reads, byte for byte as `--dump-db` would."""
    return "".join(
        f"{line}\n"
        for found in registrations
        for line in (
            store_dir.path(found.path),
            found.nar_hash.hex(),
            str(found.nar_size),
            *deriver_and_reference_lines(found.deriver, found.references, store_dir),
        )
    )
