"""The text of a derivation, written from its parts: held against the text that was read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from graft.formats.derivations.derivation import Derivation
from graft.formats.store_path import StoreDir

_TO_ESCAPE: Final = re.compile(r'["\\\n\r\t]')
_SPELLINGS: Final = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def print_derivation(derivation: Derivation, store_dir: StoreDir) -> bytes:
    """A `.drv` file, byte for byte as Nix writes it if its parts are sorted."""
    full = store_dir.path
    outputs = [
        _strings(
            output.name,
            "" if output.path is None else full(output.path),
            output.algorithm,
            output.hash,
        )
        for output in derivation.outputs
    ]
    inputs = [
        f"{_string(full(path))},[{_strings(*names)}]"
        for path, names in derivation.input_derivations
    ]
    parts = [
        _tuples(outputs),
        _tuples(inputs),
        f"[{_strings(*map(full, derivation.input_sources))}]",
        _string(derivation.platform),
        _string(derivation.builder),
        f"[{_strings(*derivation.arguments)}]",
        _tuples(_strings(name, value) for name, value in derivation.environment),
    ]
    return f"Derive({','.join(parts)})".encode("utf-8", "surrogateescape")


def _tuples(terms: Iterable[str]) -> str:
    return f"[{','.join([f'({term})' for term in terms])}]"


def _strings(*texts: str) -> str:
    return ",".join([_string(text) for text in texts])


def _string(text: str) -> str:
    return f'"{_TO_ESCAPE.sub(lambda found: _SPELLINGS[found[0]], text)}"'
