"""Progress of long stages: a bar on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
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
    line every 30 seconds. The innermost of the open stages is told of. One thread tells of all, for
    each thread takes address space.
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
        told = _Stage(_NAMES.get(stage, stage), total)
        self._open.append(told)
        try:
            with nullcontext() if len(self._open) > 1 else self._teller():
                yield told.add
        finally:
            self._open.remove(told)

    @contextmanager
    def _teller(self) -> Iterator[None]:
        """While the block runs, a thread tells of the innermost stage."""
        ended = threading.Event()
        tell = self._show_bars if self._terminal else self._print_lines
        thread = threading.Thread(target=tell, args=(ended,), name="graft-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _show_bars(self, ended: threading.Event) -> None:
        bar, shown = None, None
        while not ended.wait(_BAR_EVERY_SECONDS):
            stage = self._open[-1]
            if bar is not None and shown is not stage:
                bar.close()
                bar = None
            if stage.seconds >= _BAR_AFTER_SECONDS:
                if bar is None:
                    bar, shown = stage.new_bar(), stage
                stage.draw(bar)
        if bar is not None:
            bar.close()

    def _print_lines(self, ended: threading.Event) -> None:
        while not ended.wait(_LINE_EVERY_SECONDS):
            print(self._open[-1].line(), file=sys.stderr, flush=True)


class _Stage:
    """A stage at work."""

    def __init__(self, name: str, total: int | None) -> None:
        self._name = escaped(name)
        self._total = total
        self._begin = time.monotonic()
        self._done = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """Takes bytes that are done, from any thread."""
        with self._lock:
            self._done += size

    @property
    def seconds(self) -> float:
        """The time since it began."""
        return time.monotonic() - self._begin

    def new_bar(self) -> tqdm[Any]:
        """A bar of it."""
        from tqdm import tqdm

        options: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        bar = tqdm(
            desc=self._name,
            total=self._total or None,
            leave=False,
            position=0,  # in the place of the outer one
            file=sys.stderr,
            # The mean of the whole stage: files differ, and an estimate must not jump.
            smoothing=0,
            mininterval=0,
            miniters=0,
            dynamic_ncols=True,
            bar_format=self._form,
            **options,
        )
        bar.start_t -= self.seconds
        return bar

    def draw(self, bar: tqdm[Any]) -> None:
        """Draws the bar anew."""
        done = self._done
        if bar.total is not None and done > bar.total:
            bar.total = done
        bar.bar_format = self._form
        bar.n = done
        bar.refresh()

    @property
    def _form(self) -> str | None:
        """The form of a bar whose end is not known; None for tqdm's own."""
        if self._total:
            return None
        return "{desc}: {n_fmt}B, {elapsed}" if self._done else "{desc}: {elapsed}"

    def line(self) -> str:
        """A line about it."""
        from graft.quantities import binary_size, human_seconds

        done, seconds = self._done, self.seconds
        if not done and not self._total:
            return f"graft: {self._name}: {human_seconds(seconds)}"
        text = binary_size(done)
        if self._total:
            text += f"/{binary_size(self._total)}, {min(1.0, done / self._total):.0%}"
            if 0 < done < self._total:
                left = seconds * (self._total - done) / done
                text += f", about {human_seconds(left)} left"
        return f"graft: {self._name}: {text}"
