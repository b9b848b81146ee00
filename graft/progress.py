"""How far work is, told to whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Shows how far a stage of the job is."""

    def __call__(
        self, stage: str, total: int | None
    ) -> AbstractContextManager[Callable[[int], object]]:
        """Begins a stage of `total` bytes; what is entered is told of the bytes done."""


def no_progress(stage: str, total: int | None) -> AbstractContextManager[Callable[[int], object]]:
    """Progress for callers who do not look."""
    del stage, total
    return nullcontext(lambda _size: None)
