"""Where the outputs of a derivation will be, computed as Nix does before anything is built.

Source: hashDerivationModulo, staticOutputHashes and downstreamPlaceholder in
src/libstore/derivations.cc of Nix, and makeOutputPath in its store-dir-config.cc; Guix computes the
same. An output's path is named after a hash of the derivation's text in which

- the output paths themselves are empty, in the list of outputs and in the environment;
- each input derivation is represented by its own such hash, in base 16, its output paths left in;
- and that of a derivation whose output is known by its hash says only that hash and its path:
  how something was fetched changes nothing above it.

Outputs that are named after their contents once they are built, and all outputs above them, have
no path before; where others refer to them stands a placeholder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import (
    Derivation,
    DerivationOutput,
    derivation_text,
    print_derivation,
)
from graft.formats.hashing import nix32_encode
from graft.formats.store_path import (
    StoreDir,
    StorePath,
    make_fixed_output_path,
    make_store_path,
    make_text_path,
)

ReadDerivation = Callable[[StorePath], Derivation]
"""What gives the derivation that a `.drv` file holds; it may raise what it likes."""


def derivation_path(derivation: Derivation, name: str, store_dir: StoreDir) -> StorePath:
    """The path of the `.drv` file itself, which comes from its contents.

    Args:
        name: of the derivation, without `.drv`.
    """
    digest = hashlib.sha256(print_derivation(derivation, store_dir)).digest()
    inputs = {path for path, _ in derivation.input_derivations} | {*derivation.input_sources}
    return make_text_path(f"{name}.drv", digest, store_dir, references=inputs)


def output_path_name(name: str, output: str) -> str:
    """The name of an output's path, `NAME` or `NAME-OUTPUT`."""
    return name if output == "out" else f"{name}-{output}"


def fixed_output_path(output: DerivationOutput, name: str, store_dir: StoreDir) -> StorePath:
    """The path of an output whose contents are known beforehand.

    Args:
        name: of the path.

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
    """What stands for the path of an input derivation's output as long as nobody knows it."""
    name = output_path_name(path.derivation_name, output)
    text = f"nix-upstream-output:{path.hash_part}:{name}"
    return f"/{nix32_encode(hashlib.sha256(text.encode()).digest())}"


class DerivationHashes:
    """Computes output paths; what has been computed of the inputs is kept for the next.

    Args:
        store_dir: where all of them are.
        read: how input derivations are read.
    """

    def __init__(self, store_dir: StoreDir, read: ReadDerivation) -> None:
        self._store_dir = store_dir
        self._read = read
        self._known: dict[StorePath, str | None] = {}

    def output_paths(self, derivation: Derivation, name: str) -> dict[str, StorePath | None]:
        """The path of each output, None where nobody can know it yet.

        Args:
            name: of the derivation, without `.drv`.

        Raises:
            BadFormatError: a hash is not of its algorithm's form.
        """
        self._learn(path for path, _ in derivation.input_derivations)
        modulo = self._modulo(derivation, masked=True)
        return {
            output.name: self._output_path(output, output_path_name(name, output.name), modulo)
            for output in derivation.outputs
        }

    def _output_path(
        self, output: DerivationOutput, name: str, modulo: str | None
    ) -> StorePath | None:
        if output.is_fixed:
            return fixed_output_path(output, name, self._store_dir)
        if output.algorithm or modulo is None:
            return None
        digest = bytes.fromhex(modulo)
        return make_store_path(f"output:{output.name}", digest, name, self._store_dir)

    def _learn(self, paths: Iterable[StorePath]) -> None:
        """Hashes derivations and all their inputs; without recursion: graphs are deep."""
        waiting = [(path, False) for path in paths]
        while waiting:
            path, inputs_known = waiting.pop()
            if path in self._known:
                continue
            derivation = self._read(path)
            if _fixed_output(derivation) is not None or inputs_known:
                self._known[path] = self._modulo(derivation, masked=False)
                continue
            waiting.append((path, True))
            waiting += [(found, False) for found, _ in derivation.input_derivations]

    def _modulo(self, derivation: Derivation, *, masked: bool) -> str | None:
        """The hash in base 16, of which the inputs' are known; None above unknown paths.

        Args:
            masked: the output paths count as empty.
        """
        if (fixed := _fixed_output(derivation)) is not None:
            path = "" if fixed.path is None else self._store_dir.path(fixed.path)
            return _hex(f"fixed:out:{fixed.algorithm}:{fixed.hash}:{path}".encode())
        if any(output.algorithm for output in derivation.outputs):
            return None
        inputs: dict[str, set[str]] = {}
        for path, names in derivation.input_derivations:
            modulo = self._known[path]
            if modulo is None:
                return None
            inputs.setdefault(modulo, set()).update(names)
        if masked:
            derivation = _without_output_paths(derivation)
        in_order = [(modulo, sorted(names)) for modulo, names in sorted(inputs.items())]
        return _hex(derivation_text(derivation, in_order, self._store_dir))


def _fixed_output(derivation: Derivation) -> DerivationOutput | None:
    """The one output of a derivation whose contents are known beforehand."""
    if len(derivation.outputs) == 1 and derivation.outputs[0].is_fixed:
        return derivation.outputs[0]
    return None


def _without_output_paths(derivation: Derivation) -> Derivation:
    names = {output.name for output in derivation.outputs}
    return replace(
        derivation,
        outputs=tuple(replace(output, path=None) for output in derivation.outputs),
        environment=tuple(
            (name, "" if name in names else value) for name, value in derivation.environment
        ),
    )


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
