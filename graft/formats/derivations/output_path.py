"""The paths of a derivation's outputs, as far as the derivation alone tells them.

Source: staticOutputHashes and downstreamPlaceholder in src/libstore/derivations.cc of Nix, and
makeOutputPath in its store-dir-config.cc; Guix computes the same. An output of which the contents
are known beforehand has its path from their hash. Outputs that are named after their contents once
they are built have no path before; where others refer to them stands a placeholder.
"""

from __future__ import annotations

import hashlib

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import DerivationOutput
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import (
    StoreDir,
    StorePath,
    make_fixed_output_path,
    make_text_path,
)


def output_path_name(name: str, output: str) -> str:
    """The name of an output's path, `NAME` or `NAME-OUTPUT`."""
    return name if output == "out" else f"{name}-{output}"


def fixed_output_path(output: DerivationOutput, name: str, store_dir: StoreDir) -> StorePath:
    """The path of an output whose contents are known beforehand.

    Args:
        name: the path's name.

    Raises:
        BadFormatError: the hash is not in base 16.
    """
    method, _, algorithm = output.algorithm.rpartition(":")
    try:
        digest = bytes.fromhex(output.hash)
    except ValueError:
        raise BadFormatError(
            f"'{output.hash}', the hash of output '{output.name}' of '{name}', is not in base 16",
            name=name,
        ) from None
    if method == "text":
        return make_text_path(name, digest, store_dir)
    return make_fixed_output_path(
        name, digest, store_dir, recursive=method == "r", algorithm=algorithm
    )


def upstream_placeholder(path: StorePath, output: str) -> str:
    """The placeholder for the path of an input derivation's output while it is unknown."""
    name = output_path_name(path.derivation_name, output)
    text = f"nix-upstream-output:{path.hash_part}:{name}"
    return f"/{nix32_encode(hashlib.sha256(text.encode()).digest())}"
