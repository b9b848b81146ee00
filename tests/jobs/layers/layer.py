"""A layer of a sample: bytes around other bytes, which an independent decoder takes off again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "bytes"]
"""The contents of a layer: UTF-8 without NUL, or anything."""


class WrongError(Exception):
    """A sample differs from the same wrapping of NEW; the text says how."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A store path that samples refer to.

    Attributes:
        store: the store directory.
        base: the path's base name.
    """

    store: bytes
    base: bytes

    @property
    def path(self) -> bytes:
        """The full path."""
        return self.store + b"/" + self.base

    @property
    def hash_part(self) -> bytes:
        """The first 32 characters of the base name."""
        return self.base[:32]


Wrap = Callable[[bytes, Reference], bytes]
"""The layer around some bytes, or off them: for a reference, which the layer may hold as well."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of a wrapping, with all its parameters.

    Attributes:
        name: shows them.
        wrap: puts it around.
        peel: takes it off, and raises `WrongError` or an error of its decoder if it is not whole.
        gives: what comes out of `wrap`.
        begins: whether its first bytes are its magic.
        hides: how it hides a hash part that stands in what it is around, if it does.
    """

    name: str
    wrap: Wrap
    peel: Wrap
    gives: Kind = "bytes"
    hides: Literal["", "packed", "spelled"] = ""
    begins: bool = True


Make = Callable[[random.Random], Layer]
"""A layer with random parameters."""


def require(condition: object, reason: str) -> None:
    """Makes sure of something about a sample.

    Raises:
        WrongError: it is not so.
    """
    if not condition:
        raise WrongError(reason)
