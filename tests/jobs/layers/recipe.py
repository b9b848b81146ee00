"""A sample's recipe: a text that refers to a store path, and the layers around it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.jobs.layers.archives import ARCHIVES
from tests.jobs.layers.compressions import COMPRESSIONS
from tests.jobs.layers.guards import BESIDE, guard
from tests.jobs.layers.layer import Kind, Layer, Make, Reference
from tests.jobs.layers.spellings import OF_BYTES, OF_LZ4, OF_PACKED, OF_SPELLED, OF_TEXT
from tests.jobs.layers.surroundings import noise, surroundings

_PARTS = (b"{path}/bin/tool", b"{path}", b"dir = {path}/share\n", b"{hash}", b'"{path}/a b"')


_WITH_SUMS = ("tar", "cpio-crc", "zip", "guard")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a sample is made.

    Attributes:
        seed: of all choices.
        text: in the middle, with `{path}` and `{hash}` for a reference.
        layers: the innermost first.
        beside: the digest of it that a file beside it keeps; empty: no file does.
    """

    seed: str
    text: bytes
    layers: tuple[Layer, ...]
    beside: str = ""

    def __str__(self) -> str:
        layers = " > ".join(layer.name for layer in self.layers)
        beside = f", {self.beside} beside" if self.beside else ""
        return f"{self.seed}: text of {len(self.text)} bytes > {layers}{beside}"

    def contents(self, reference: Reference) -> bytes:
        """The text in the middle."""
        text = self.text.replace(b"{path}", reference.path)
        return text.replace(b"{hash}", reference.hash_part)

    def made(self, reference: Reference) -> bytes:
        """The sample."""
        data = self.contents(reference)
        for layer in self.layers:
            data = layer.wrap(data, reference)
        return data

    def peeled(self, data: bytes, reference: Reference) -> bytes:
        """The text in the middle of a sample, if every layer is whole.

        Raises:
            WrongError: one is not; or another exception of its decoder.
        """
        for layer in reversed(self.layers):
            data = layer.peel(data, reference)
        return data

    def without(self, index: int) -> Recipe:
        """The same with a layer less."""
        return replace(self, layers=self.layers[:index] + self.layers[index + 1 :])


def recipe(seed: str) -> Recipe:
    """The recipe of a seed."""
    choice = random.Random(seed)
    count = choice.choice((1, 1, 1, 2, 3))
    parts = [choice.choice(_PARTS) for _ in range(count)]
    sizes = [choice.choice((0, 1, 7, 40, choice.randrange(3000))) for _ in range(count + 1)]
    kind: Kind = choice.choice(("text", "text", "bytes"))
    around = [noise(choice, size, kind).lower() for size in sizes]
    text = around[0] + b"".join(
        b" " + part + b"\n" + fill for part, fill in zip(parts, around[1:], strict=True)
    )
    if kind == "bytes":
        text += b"\0\xff"
    layers: list[Layer] = []
    for _ in range(choice.choice((1, 2, 2, 2, 3, 3))):
        layers.append(_next(choice, kind, layers))
        kind = layers[-1].gives
        if choice.random() < 0.2:
            layers.append(surroundings(choice, kind))
            kind = layers[-1].gives
        if kind == "bytes" and choice.random() < 0.1:
            layers.append(guard(choice, text=layers[-1].name.startswith(("around", "ar("))))
    beside = choice.choice(BESIDE) if choice.random() < 0.1 else ""
    return Recipe(seed, text, tuple(layers), beside)


def _next(choice: random.Random, kind: Kind, layers: list[Layer]) -> Layer:
    """A layer that may be put around others, as far as their rules say that it is seen."""
    families = [COMPRESSIONS, ARCHIVES, _spellings(kind, layers)]
    return choice.choice(choice.choice([each for each in families if each]))(choice)


def _spellings(kind: Kind, layers: list[Layer]) -> tuple[Make, ...]:
    if not layers:
        return OF_TEXT if kind == "text" else OF_BYTES
    last = layers[-1]
    hides = [layer.hides for layer in layers]
    wide = layers[0].name.startswith("utf-")
    if hides.count("spelled") + wide > 1 or ("spelled" in hides and "packed" in hides):
        return ()
    if last.name.startswith(("utf-16", "base64(one line)")):
        return OF_SPELLED  # the others are not read in two layers
    if any(layer.hides == "spelled" or layer.name.startswith("utf-") for layer in layers):
        return ()
    if any(layer.hides == "packed" for layer in layers):
        # A stream in a spelling is found if it is the first of what is spelled.
        if last.hides != "packed" or not last.begins:
            return ()
        return OF_LZ4 if last.name.startswith("lz4") else OF_PACKED
    if any(layer.name.startswith(_WITH_SUMS) for layer in layers):
        return OF_PACKED  # the others leave a hash part as it is, before a sum in another spelling
    return OF_BYTES
