"""Derivations as `nix show-derivation` and `nix derivation show` print them, in all their versions.

Source: src/nix/show-derivation.cc of Nix 2.8; "Derivation JSON format" of Nix's manual for the
later versions:

- 1: one object, each full path of a `.drv` with its derivation; outputs have `path`. An output with
  a content address has `hashAlgo`, with `r:` before it where the hash is of a NAR, and `hash` in
  base 16. Later the names of the inputs' outputs are in an object (`outputs`, `dynamicOutputs`).
- 2: `method` (`flat`, `nar`, `text`, `git`) and `hashAlgo` are apart; at last the text that
  derivations with structured attributes have in `__json` is the object `structuredAttrs`.
- 3: paths are base names; each derivation has a `version`.
- 4: `{"version":4,"derivations":{...}}`; inputs are in `inputs`, `srcs` and `drvs`; a
  known hash is one text that begins with its algorithm, or an object of its parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import Derivation, DerivationOutput
from graft.formats.derivations.output_path import fixed_output_path, output_path_name
from graft.formats.hashing import parse_hash
from graft.formats.store_path import StoreDir, StorePath

_METHODS: Final = {"flat": "", "nar": "r:", "text": "text:", "git": "git:"}


def parse_derivations_json(
    text: str, store_dir: StoreDir, name: str
) -> dict[StorePath, Derivation]:
    """Reads the derivations of a JSON document, their parts sorted as `.drv` files have them.

    Args:
        store_dir: every path in it is there.
        name: the document's name in errors.

    Raises:
        BadFormatError: it has another form, or holds derivations that depend on derivations made by
            other builds; such derivations are of no use here.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFormatError(f"'{name}' is not json: {str(error).lower()}", name=name) from error
    reader = _Reader(store_dir, name)
    shown = reader.object(document, "the document")
    if "derivations" in shown:
        shown = reader.object(shown["derivations"], "'derivations'")
    found = {}
    for key, value in shown.items():
        path = reader.path(key, "the key of a derivation")
        found[path] = reader.derivation(path, reader.object(value, f"'{path}'"))
    return found


class _Reader:
    """Reads the parts of one document, and names it in errors."""

    def __init__(self, store_dir: StoreDir, name: str) -> None:
        self._store_dir = store_dir
        self._name = name

    def _error(self, what: str) -> BadFormatError:
        return BadFormatError(f"derivations in '{self._name}': {what}", name=self._name)

    def object(self, value: Any, what: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{what} is no object")
        return value

    def _text(self, value: Any, what: str) -> str:
        if not isinstance(value, str):
            raise self._error(f"{what} is no text")
        return value

    def _texts(self, value: Any, what: str) -> list[str]:
        if not isinstance(value, list):
            raise self._error(f"{what} is no list")
        return [self._text(one, f"an entry of {what}") for one in value]

    def path(self, value: Any, what: str) -> StorePath:
        """A store path, of which later versions give the base name only."""
        text = self._text(value, what)
        try:
            return self._store_dir.parse(text) if "/" in text else StorePath(text)
        except BadFormatError as error:
            raise self._error(f"{what}: {error.message}") from error

    def derivation(self, path: StorePath, value: Mapping[str, Any]) -> Derivation:
        def part(name: str, kind: str = "") -> Any:
            if name not in value:
                raise self._error(f"'{path}' has no '{name}'{kind}")
            return value[name]

        if "inputs" in value:
            inputs = self.object(value["inputs"], f"'inputs' of '{path}'")
            sources, drvs = inputs.get("srcs", []), inputs.get("drvs", {})
        else:
            sources, drvs = part("inputSrcs"), part("inputDrvs")
        environment = self.object(part("env"), f"'env' of '{path}'")
        if "__json" not in environment and value.get("structuredAttrs") is not None:
            dumped = json.dumps(
                value["structuredAttrs"],
                ensure_ascii=False,
                separators=(",", ":"),
                sort_keys=True,
            )
            environment = {**environment, "__json": dumped}
        outputs = self.object(part("outputs"), f"'outputs' of '{path}'")
        return Derivation(
            outputs=tuple(self._output(name, outputs[name], path) for name in sorted(outputs)),
            input_derivations=tuple(
                sorted(self._inputs(self.object(drvs, f"the inputs of '{path}'"), path))
            ),
            input_sources=tuple(
                sorted(
                    self.path(source, f"a source of '{path}'")
                    for source in self._texts(sources, f"the sources of '{path}'")
                )
            ),
            platform=self._text(part("system"), f"'system' of '{path}'"),
            builder=self._text(part("builder"), f"'builder' of '{path}'"),
            arguments=tuple(self._texts(part("args"), f"'args' of '{path}'")),
            environment=tuple(
                (name, self._text(environment[name], f"'{name}' in 'env' of '{path}'"))
                for name in sorted(environment)
            ),
        )

    def _inputs(
        self, value: Mapping[str, Any], path: StorePath
    ) -> Iterable[tuple[StorePath, tuple[str, ...]]]:
        for key, needed in value.items():
            what = f"input '{key}' of '{path}'"
            if isinstance(needed, dict) and needed.get("dynamicOutputs"):
                raise self._error(f"{what} is a derivation that another makes")
            names = needed.get("outputs", []) if isinstance(needed, dict) else needed
            yield self.path(key, what), tuple(sorted(self._texts(names, what)))

    def _output(self, name: str, value: Any, path: StorePath) -> DerivationOutput:
        what = f"output '{name}' of '{path}'"
        parts = self.object(value, what)
        algorithm = self._text(parts.get("hashAlgo") or "", what)
        spelled = parts.get("hash") or ""
        if isinstance(spelled, dict) or ":" in spelled or "-" in spelled:
            algorithm, spelled = self._hash(spelled, what)
        if "method" in parts:
            method = _METHODS.get(self._text(parts["method"], what))
            if method is None:
                raise self._error(f"{what}: 'method' is not among {', '.join(_METHODS)}")
            algorithm = method + algorithm
        where = parts.get("path")
        output = DerivationOutput(
            name=name,
            path=None if where is None else self.path(where, what),
            algorithm=algorithm,
            hash="impure" if parts.get("impure") else self._text(spelled, what),
        )
        if output.path is None and output.is_fixed:  # left out by later versions
            named = output_path_name(path.derivation_name, name)
            return replace(output, path=fixed_output_path(output, named, self._store_dir))
        return output

    def _hash(self, value: Any, what: str) -> tuple[str, str]:
        """The algorithm and the hash in base 16, of one text or of an object of the parts."""
        if isinstance(value, dict):
            parts = [self._text(value.get(key), what) for key in ("algorithm", "format", "hash")]
            algorithm, spelling, spelled = parts
            value = f"{algorithm}{'-' if spelling == 'base64' else ':'}{spelled}"
        try:
            algorithm, digest = parse_hash(value)
        except BadFormatError as error:
            raise self._error(f"{what}: {error.message}") from error
        return algorithm, digest.hex()
