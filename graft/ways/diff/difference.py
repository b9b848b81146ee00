"""The result of a comparison of two sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.ways.diff.derivation_pair import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A package that differs of itself.

    Attributes:
        attribute: its name in the sets, if it has one.
        name: the name of the package and its version, in the base.
        derivations: OLD's and NEW's, if they are known.
        outputs: each OLD with its NEW.
        changes: the respects in which it differs; empty where only the bytes say so.
        variables: the variables of the environment that differ.
        needed: it differs because of its inputs only, but must be built: a new path refers to it,
            or will, or the user asked for it.
    """

    attribute: str | None
    name: str
    derivations: tuple[StorePath, StorePath] | None
    outputs: Mapping[StorePath, StorePath]
    changes: tuple[Change, ...] = ()
    variables: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A path that differs only because its build inputs do.

    Attributes:
        reached: whether it refers to something that is replaced, so that a graft changes it as
            well; None where the references are not known.
    """

    old: StorePath
    new: StorePath
    reached: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """A case that a person has to decide.

    Attributes:
        olds, news: paths that may belong together.
        why: the reason for the doubt; lower case, no full stop.
    """

    olds: tuple[StorePath, ...]
    news: tuple[StorePath, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The result of a comparison.

    Attributes:
        changed: the packages that must be replaced.
        build_only: packages that differ of themselves, but are only built with: replacing them
            changes nothing.
        derived: the packages that follow.
        added, removed: paths of one side that belong to nothing of the other.
        doubtful: the cases that could not be decided.
        paired: how many packages or paths could be paired, the same ones included.
    """

    changed: tuple[Changed, ...]
    build_only: tuple[Changed, ...]
    derived: tuple[Derived, ...]
    added: tuple[StorePath, ...]
    removed: tuple[StorePath, ...]
    doubtful: tuple[Doubtful, ...]
    paired: int

    @property
    def replacements(self) -> dict[StorePath, StorePath]:
        """Each OLD with its NEW."""
        return {old: new for changed in self.changed for old, new in changed.outputs.items()}
