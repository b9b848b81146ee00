"""Progress of long stages: a bar on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from graft.cli.settings import Settings
from graft.cli.terminal import escaped

if TYPE_CHECKING:
    from tqdm import tqdm

_BAR_AFTER_SECONDS = 0.7
_BAR_EVERY_SECONDS = 0.2
_LINE_EVERY_SECONDS = 30.0
_NAMES: Final = {
    "check": "checking",
    "checksums": "looking for checksums",
    "copies": "looking for copies",
    "graft": "writing",
    "name": "naming",
    "plan": "planning",
    "prove": "proving",
    "read": "reading",
    "rewrite": "rewriting",
    "scan": "scanning",
    "search": "searching",
    "verify": "verifying",
    "work": "working",
}
"""The stages' names in words."""


class Bars:
    """Tells on stderr how far a stage is, unless it is to be quiet.

    On a terminal there is a bar within a second, which is gone at the end. Elsewhere there is a
    line every 30 seconds.
    """

    def __init__(self, settings: Settings) -> None:
        self._wanted = not settings.quiet
        self._terminal = sys.stderr.isatty()
        self._open: list[_Stage] = []

    @contextmanager
    def __call__(self, stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
        """Shows a stage of `total` bytes; the function it gives takes the bytes done."""
        if not self._wanted:
            yield lambda _size: None
            return
        told = _Stage(_NAMES.get(stage, stage), total, self._open)
        self._open.append(told)
        ended = threading.Event()
        show = told.show_bar if self._terminal else told.print_lines
        thread = threading.Thread(target=show, args=(ended,), name="graft-progress", daemon=True)
        thread.start()
        try:
            yield told.add
        finally:
            ended.set()
            thread.join()
            self._open.remove(told)


class _Stage:
    """A stage at work, and the thread that tells of it.

    Args:
        open_stages: the stages at work; only the last of them is told of.
    """

    def __init__(self, name: str, total: int | None, open_stages: Sequence[_Stage]) -> None:
        self._open = open_stages
        self._name = name
        self._total = total
        self._begin = time.monotonic()
        self._done = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """Takes bytes that are done, from any thread."""
        with self._lock:
            self._done += size

    @property
    def _form(self) -> str | None:
        """The form of a bar whose end is not known; None for tqdm's own."""
        if self._total:
            return None
        return "{desc}: {n_fmt}B, {elapsed}" if self._done else "{desc}: {elapsed}"

    def show_bar(self, ended: threading.Event) -> None:
        """Draws the bar until the stage has ended."""
        if ended.wait(_BAR_AFTER_SECONDS):
            return
        from tqdm import tqdm

        options: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        with tqdm(
            desc=escaped(self._name),
            total=self._total or None,
            leave=False,
            position=0,  # the one that is told of, in the place of the outer one
            file=sys.stderr,
            # The mean of the whole stage: files differ, and an estimate must not jump.
            smoothing=0,
            mininterval=0,
            miniters=0,
            dynamic_ncols=True,
            bar_format=self._form,
            **options,
        ) as bar:
            bar.start_t -= _BAR_AFTER_SECONDS
            while True:
                if self._open[-1] is self:
                    self._draw(bar)
                else:
                    bar.clear()
                if ended.wait(_BAR_EVERY_SECONDS):
                    return

    def _draw(self, bar: tqdm[Any]) -> None:
        done = self._done
        if bar.total is not None and done > bar.total:
            bar.total = done
        bar.bar_format = self._form
        bar.n = done
        bar.refresh()

    def print_lines(self, ended: threading.Event) -> None:
        """Prints a line now and then until the stage has ended."""
        from graft.quantities import binary_size, human_seconds

        while not ended.wait(_LINE_EVERY_SECONDS):
            done, seconds = self._done, time.monotonic() - self._begin
            text = binary_size(done)
            if self._total:
                text += f"/{binary_size(self._total)}, {min(1.0, done / self._total):.0%}"
                if 0 < done < self._total:
                    left = seconds * (self._total - done) / done
                    text += f", about {human_seconds(left)} left"
            print(f"graft: {self._name}: {text}", file=sys.stderr, flush=True)
