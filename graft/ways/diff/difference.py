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
        attribute: what the sets call it, if they do.
        name: of the package and its version, in the base.
        derivations: OLD's and NEW's, if they are known.
        outputs: each OLD with its NEW.
        changes: in what it differs; nothing where only the bytes say so.
        variables: of the environment that do.
        needed: it differs because of its inputs only, but must be built: what is new refers to it,
            or will, or that was asked for.
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
        why: nobody knows; lower case, no full stop.
    """

    olds: tuple[StorePath, ...]
    news: tuple[StorePath, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The result of a comparison.

    Attributes:
        changed: what must be replaced.
        build_only: what differs of itself, but is only built with: replacing it changes nothing.
        derived: what follows.
        added, removed: paths of one side that belong to nothing of the other.
        doubtful: what could not be told.
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
