"""Ways of doing one thing, run in turn several times: medians, ratios, targets met or missed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import truediv


@dataclass(frozen=True)
class Way:
    """One way of doing something.

    Attributes:
        run: does it; if it returns a float that is the figure, else the seconds it took are.
        before: what must be done first and is not timed.
        after: what is done afterwards, untimed: checks, and making room.
        most_runs: for ways so slow that the others' number of runs would take hours.
    """

    name: str
    run: Callable[[], object]
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None
    most_runs: int = 1_000_000


@dataclass(frozen=True)
class Figure:
    """What was measured of one way, once a run."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Table:
    """Figures of one unit, told as ratios to the one named `baseline`."""

    title: str
    unit: str
    figures: tuple[Figure, ...]
    baseline: str

    def __getitem__(self, name: str) -> Figure:
        return next(figure for figure in self.figures if figure.name == name)

    def __contains__(self, name: object) -> bool:
        return any(figure.name == name for figure in self.figures)

    def median(self, name: str) -> float:
        return self[name].median

    def per_run(self, combine: Callable[..., float], *names: str) -> float:
        """The median, over the runs that have all of them, of something made of several figures."""
        runs = zip(*(self[name].values for name in names), strict=False)
        return statistics.median(combine(*values) for values in runs)

    def ratio(self, name: str, to: str | None = None) -> float:
        """How many times the baseline, or another, in the same run."""
        return self.per_run(truediv, name, to or self.baseline)


@dataclass(frozen=True)
class Target:
    """A limit that was set, and the figure that meets or misses it."""

    claim: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


@dataclass(frozen=True)
class Curve:
    """How the cost of something grows: (x, median seconds) for each of a few names."""

    title: str
    x_label: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass
class Report:
    """All that one suite has to say."""

    suite: str
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def in_turn(ways: Sequence[Way], runs: int, say: Callable[[str], object]) -> list[Figure]:
    """Runs every way once, then every way again: a machine whose speed drifts hits all alike."""
    values: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(runs):
        for way in ways:
            if number >= way.most_runs:
                continue
            way.before()
            begin = time.perf_counter()
            own = way.run()
            seconds = time.perf_counter() - begin
            values[way.name].append(own if isinstance(own, float) else seconds)
            way.after()
            say(f"run {number + 1} of {min(runs, way.most_runs)}: {way.name}")
    return [Figure(name, tuple(found)) for name, found in values.items()]
