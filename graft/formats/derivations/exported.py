"""`.attrs.json`, which a builder with structured attributes gets: the closures exported to it.

Source: StructuredAttrs in src/libstore/parsed-derivations.cc of Nix, and pathInfoToJSON in its
store-api.cc. The attribute `exportReferencesGraph` says the names, each with some paths; under each
name then stands a list of all paths of their closure: `path`, `narHash` (as `sha256:` in nix32,
later as `sha256-` in base 64), `narSize`, `references` with itself, and `ca` if it has one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from graft.errors import BadFormatError
from graft.formats.hashing import parse_hash
from graft.formats.store_path import StoreDir, StorePath


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPath:
    """A path and its description for a builder.

    Attributes:
        nar_hash: SHA-256 of its NAR.
        nar_size: in bytes.
        content_address: if its name comes from its contents.
    """

    path: StorePath
    nar_hash: bytes
    nar_size: int
    references: frozenset[StorePath]
    content_address: str | None = None


def parse_exported(text: str, store_dir: StoreDir, name: str) -> list[ExportedPath]:
    """Reads all closures that `.attrs.json` holds; a path of several closures is there as often.

    Args:
        name: the file's name in errors.

    Raises:
        BadFormatError: it holds no closures, or they have another form.
    """
    try:
        attributes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFormatError(f"'{name}' is not json: {str(error).lower()}", name=name) from error
    wanted = attributes.get("exportReferencesGraph") if isinstance(attributes, dict) else None
    if not isinstance(wanted, dict):
        raise BadFormatError(
            f"'{name}' holds no closures: give the derivation the attribute exportReferencesGraph",
            name=name,
        )
    found = []
    for key in wanted:
        graph = attributes.get(key)
        if not isinstance(graph, list):
            raise BadFormatError(f"'{name}': '{key}' is no list of paths", name=name)
        for number, value in enumerate(graph):
            try:
                found.append(_path(value, store_dir))
            except (BadFormatError, KeyError, TypeError, ValueError) as error:
                raise BadFormatError(
                    f"'{name}': entry {number} of '{key}' is no path with its hash, size and "
                    f"references: {str(error).lower()}",
                    name=name,
                ) from error
    return found


def _path(value: Any, store_dir: StoreDir) -> ExportedPath:
    algorithm, digest = parse_hash(value["narHash"])
    if algorithm != "sha256":
        raise BadFormatError(f"its hash is of {algorithm}")
    size = value["narSize"]
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BadFormatError("its size is no number")
    address = value.get("ca")
    if address is not None and not isinstance(address, str):
        raise BadFormatError("its content address is no text")
    return ExportedPath(
        path=_store_path(value["path"], store_dir),
        nar_hash=digest,
        nar_size=size,
        references=frozenset(_store_path(one, store_dir) for one in value["references"]),
        content_address=address,
    )


def _store_path(text: str, store_dir: StoreDir) -> StorePath:
    return store_dir.parse(text) if "/" in text else StorePath(text)
