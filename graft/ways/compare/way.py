"""The parts of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.plan import Plan, PlanWarning
from graft.ways.compare.probes import Observation


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Missed:
    """A dependent of OLD that does not see NEW.

    Attributes:
        why: a few lower-case words.
    """

    path: StorePath
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The paths that see NEW.

    Attributes:
        dependents: every path of the closure that depends on an OLD.
        missed: the dependents that do not see NEW, in their order.
    """

    dependents: frozenset[StorePath]
    missed: tuple[Missed, ...]

    @property
    def see_new(self) -> int:
        """How many see NEW."""
        return len(self.dependents) - len(self.missed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe command under a way.

    Attributes:
        opened_old: whether it opened a file of an OLD; None if that could not be observed.
        opened_new: whether it opened a file of a NEW; None if that could not be observed.
        difference: how it went differently than on the original, in lines; None if it did not.
    """

    observation: Observation
    opened_old: bool | None
    opened_new: bool | None
    difference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """The properties that are not measured.

    Attributes:
        who: the people that must cooperate.
        undo: how it is undone.
        what_happens: the consequences in each situation.
    """

    who: str
    undo: str
    what_happens: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to replace a dependency, on one closure.

    Attributes:
        name: `graft`, `pivot`, `mount` or `rebuild`.
        reason: why it is not available here; None if it is.
        paths_changed: store paths that are made.
        bytes_written: contents that are written, in bytes.
        bytes_shared: contents of new paths that are links to files of other paths.
        seconds: wall time until it is in force, as measured; for a rebuild the time that its builds
            took when they were logged.
        coverage: None where the way does not apply at all.
        old_references_left: places that still lead to OLD; None where that is no question.
        derivations: how many derivations a rebuild builds again.
        levels: how many of them at least follow one another.
        probes: in the order they were given.
    """

    name: str
    reason: str | None = None
    paths_changed: int | None = None
    bytes_written: int | None = None
    bytes_shared: int | None = None
    seconds: float | None = None
    coverage: Coverage | None = None
    old_references_left: int | None = None
    derivations: int | None = None
    levels: int | None = None
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All the ways on one closure.

    Attributes:
        plan: the graft's plan.
        olds: the OLDs that the root leads to, and that are replaced by something else.
        pivots: the types that each path of the closure can be pivoted by.
        original: the probes on the unchanged root.
        warnings: the plan's warnings, and the comparison's.
    """

    plan: Plan
    root: StorePath
    olds: frozenset[StorePath]
    pivots: Mapping[StorePath, tuple[str, ...]]
    original: tuple[Probe, ...]
    ways: tuple[Way, ...]
    warnings: tuple[PlanWarning, ...]

    @property
    def differs(self) -> bool:
        """Whether a probe went differently under a way than on the original."""
        return any(probe.difference is not None for way in self.ways for probe in way.probes)
