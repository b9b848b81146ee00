r"""Derivations, the `.drv` files: the outputs to be built, their inputs, and their paths.

Source: parseDerivation and Derivation::unparse in src/libstore/derivations.cc of Nix; Guix writes
the same. It is one term of strings, lists and tuples in the notation of ATerms:

    Derive([(OUTPUT,PATH,ALGORITHM,HASH)...],[(DRV,[OUTPUT...])...],[SOURCE...],
           PLATFORM,BUILDER,[ARGUMENT...],[(NAME,VALUE)...])

without any space between them. Strings may hold any bytes; `"` and `\` are written behind a `\`,
and newline, carriage return and tab as `\n`, `\r`, `\t`. Every other spelling is refused: no two
texts are read as the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from graft.errors import BadFormatError, BadStorePathError
from graft.formats.store_path import StoreDir, StorePath

_Item = TypeVar("_Item")

# A loop without choices: strings may be megabytes.
_STRING: Final = re.compile(r'"([^"\\\n\r\t]*(?:\\["\\nrt][^"\\\n\r\t]*)*)"')
_ESCAPED: Final = re.compile(r'\\(["\\nrt])')
_MEANINGS: Final = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_OUTPUT_NAME: Final = re.compile(r"[0-9A-Za-z+\-._?=]+")
_ALGORITHM: Final = re.compile(r"(?:(?:r|text|git):)?(?:md5|sha1|sha256|sha512|blake3)")
_IMPURE: Final = "impure"
_HASH: Final = re.compile(r"(?:[0-9a-z]{2})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivationOutput:
    """One of the paths a derivation makes.

    Attributes:
        name: `out`, `bin`, ...
        path: None if it is known only once the derivation was built.
        algorithm: the hash algorithm of a content-addressed output, such as `r:sha256`; else empty.
        hash: the hash, in base 16, of an output whose contents are known beforehand; `impure` in
            its place if each build makes other contents; else empty.
    """

    name: str
    path: StorePath | None
    algorithm: str = ""
    hash: str = ""

    @property
    def is_fixed(self) -> bool:
        """Whether its contents are known beforehand."""
        return self.hash not in ("", _IMPURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """The contents of a `.drv` file. Bytes that are not UTF-8 are surrogates, as in names of files.

    Attributes:
        outputs: the outputs it makes.
        input_derivations: the derivations it needs, each with the names of its outputs needed.
        input_sources: the other paths it needs.
        platform: the system it is built on, such as `x86_64-linux`.
        builder: the program that builds it.
        arguments: the builder's arguments.
        environment: the builder's environment.
    """

    outputs: tuple[DerivationOutput, ...]
    input_derivations: tuple[tuple[StorePath, tuple[str, ...]], ...] = ()
    input_sources: tuple[StorePath, ...] = ()
    platform: str
    builder: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def parse_derivation(data: bytes, store_dir: StoreDir, name: str) -> Derivation:
    """Reads a `.drv` file.

    Args:
        store_dir: every path in it is there.
        name: the file's name in errors.

    Raises:
        BadFormatError: it has another form, or says one thing twice.
    """
    term = _Term(data.decode("utf-8", "surrogateescape"), store_dir, name)
    term.expect("Derive(")
    outputs = term.list(term.output, key=lambda output: output.name)
    term.expect(",")
    input_derivations = term.list(term.input_derivation, key=lambda pair: pair[0])
    term.expect(",")
    input_sources = term.list(term.path, key=lambda path: path)
    term.expect(",")
    platform = term.string()
    term.expect(",")
    builder = term.string()
    term.expect(",")
    arguments = term.list(term.string)
    term.expect(",")
    environment = term.list(term.pair, key=lambda pair: pair[0])
    term.expect(")")
    term.end()
    return Derivation(
        outputs=outputs,
        input_derivations=input_derivations,
        input_sources=input_sources,
        platform=platform,
        builder=builder,
        arguments=arguments,
        environment=environment,
    )


class _Term:
    """A term, read from its beginning to its end."""

    def __init__(self, text: str, store_dir: StoreDir, name: str) -> None:
        self._text = text
        self._at = 0
        self._store_dir = store_dir
        self._name = name

    def _error(self, what: str) -> BadFormatError:
        return BadFormatError(
            f"derivation '{self._name}', character {self._at}: {what}",
            name=self._name,
            offset=self._at,
        )

    def expect(self, text: str) -> None:
        if not self._follows(text):
            raise self._error(f"'{text}' should stand here")

    def _follows(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def end(self) -> None:
        if self._at != len(self._text):
            raise self._error("something follows the derivation")

    def string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise self._error("a string should stand here")
        self._at = found.end()
        text = found[1]
        return _ESCAPED.sub(lambda found: _MEANINGS[found[1]], text) if "\\" in text else text

    def list(
        self, item: Callable[[], _Item], key: Callable[[_Item], str] | None = None
    ) -> tuple[_Item, ...]:
        """A list of items, no two of which have the same key."""
        self.expect("[")
        items: list[_Item] = []
        keys = set()
        if self._follows("]"):
            return ()
        while True:
            begin = self._at
            items.append(item())
            if key is not None:
                keys.add(key(items[-1]))
                if len(keys) < len(items):
                    self._at = begin
                    raise self._error("this is there twice")
            if self._follows("]"):
                return tuple(items)
            self.expect(",")

    def path(self) -> StorePath:
        begin = self._at
        try:
            return self._store_dir.parse(self.string())
        except BadStorePathError:
            self._at = begin
            raise self._error(f"a path in '{self._store_dir}' should stand here") from None

    def _output_name(self) -> str:
        begin = self._at
        name = self.string()
        if not _OUTPUT_NAME.fullmatch(name):
            self._at = begin
            raise self._error("a name of an output should stand here")
        return name

    def pair(self) -> tuple[str, str]:
        self.expect("(")
        name = self.string()
        self.expect(",")
        value = self.string()
        self.expect(")")
        return name, value

    def input_derivation(self) -> tuple[StorePath, tuple[str, ...]]:
        self.expect("(")
        path = self.path()
        if not path.is_derivation:
            raise self._error("a path of a derivation should stand before this")
        self.expect(",")
        names = self.list(self._output_name, key=lambda name: name)
        self.expect(")")
        return path, names

    def output(self) -> DerivationOutput:
        self.expect("(")
        name = self._output_name()
        self.expect(",")
        path = None if self._follows('""') else self.path()
        self.expect(",")
        algorithm = self.string()
        self.expect(",")
        spelled = self.string()
        if algorithm and not _ALGORITHM.fullmatch(algorithm):
            raise self._error("no algorithm of a hash stands before this")
        if spelled and not (algorithm and _HASH.fullmatch(spelled)):
            raise self._error("no hash stands before this")
        self.expect(")")
        return DerivationOutput(name=name, path=path, algorithm=algorithm, hash=spelled)
