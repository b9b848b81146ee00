"""floor.c from Python: reading bytes, and the matcher on the same bytes, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.kernel import NAME

from .bench import Bench, quietly
from .compiled import compile_floor
from .corpora import pairs


@dataclass(frozen=True)
class Pass:
    """One pass over the bytes: only reading them if `hashes` is None, else looking for so many."""

    hashes: int | None
    seconds: float
    bytes: int
    hits: int

    @property
    def rate(self) -> float:
        """In GB/s."""
        return self.bytes / self.seconds / 1e9


class Floor:
    """The compiled program, with the hashes it looks for."""

    def __init__(self, bench: Bench, most: int) -> None:
        self._program = compile_floor(bench.disk)
        self._hashes = bench.disk / "hashes"
        self._hashes.write_text("".join(f"{old}\n" for old, _ in pairs(most)), encoding="ascii")

    def memory(self, counts: Sequence[int], file: Path, rounds: int = 1) -> list[Pass]:
        """Passes over a file's bytes in anonymous memory; each round begins with only reading."""
        return self._passes("memory", rounds, counts, str(file))

    def files(self, counts: Sequence[int], file: Path, window: int, rounds: int = 1) -> list[Pass]:
        """Passes over a file that read it, `window` bytes a call."""
        return self._passes("files", rounds, counts, str(window), str(file))

    def _passes(self, mode: str, rounds: int, counts: Sequence[int], *rest: str) -> list[Pass]:
        listed = ",".join(map(str, counts))
        variant = NAME.removeprefix("native ")
        command = [str(self._program), mode, variant, str(rounds), str(self._hashes), listed, *rest]
        lines = quietly(command).decode().splitlines()
        return [_pass(*line.split()) for line in lines]


def _pass(what: str, seconds: str, length: str, hits: str) -> Pass:
    hashes = None if what == "read" else int(what)
    return Pass(hashes, float(seconds), int(length), int(hits))
