"""Two derivations of one package: do they differ of themselves, or in what they are built with?

Two derivations may be equal but for their inputs. Then each text of the one becomes the text of the
other when the inputs' paths are exchanged everywhere, each for one other. The texts are laid side
by side, so that no input has to be guessed: paths at the same places are the same input. A source,
and a file fetched by its hash, belongs to the derivation itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from graft.formats.derivations.derivation import Derivation
from graft.formats.store_path import StorePath
from graft.ways.diff.packages import Derivations
from graft.ways.diff.texts import Mention, Mentions

Change = Literal[
    "version",
    "name",
    "outputs",
    "system",
    "builder",
    "arguments",
    "environment",
    "source",
    "inputs",
]
"""The respect in which a package differs of itself. `version` is a name of the same package name;
`inputs` are inputs that one has in the place of others, or in addition to them."""

_ORDER: tuple[Change, ...] = (
    "version",
    "name",
    "source",
    "outputs",
    "system",
    "builder",
    "arguments",
    "environment",
    "inputs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivationPair:
    """The relation of two derivations of one package.

    Attributes:
        changes: the respects in which they differ of themselves; empty if only their inputs differ.
        variables: the environment's variables that differ.
        derivations: the input derivations that stand for each other, the same ones as well.
        sources: the sources that stand for each other and are not the same.
    """

    changes: tuple[Change, ...]
    variables: tuple[str, ...]
    derivations: Mapping[StorePath, StorePath]
    sources: Mapping[StorePath, StorePath]


def pair_derivations(
    base: tuple[StorePath, Derivations],
    patched: tuple[StorePath, Derivations],
    paired: Mapping[StorePath, StorePath],
) -> DerivationPair:
    """Lays two derivations side by side.

    Args:
        base, patched: a `.drv`, and where derivations are read.
        paired: derivations that stand for each other under any names.

    Raises:
        BadFormatError: a derivation is not there.
    """
    return _Pairing(base, patched, paired).result()


class _Pairing:
    def __init__(
        self,
        base: tuple[StorePath, Derivations],
        patched: tuple[StorePath, Derivations],
        paired: Mapping[StorePath, StorePath],
    ) -> None:
        self._paths = (base[0], patched[0])
        self._read = (base[1], patched[1])
        self._drvs = (base[1][base[0]], patched[1][patched[0]])
        self._mentions = (Mentions(self._drvs[0], base[1]), Mentions(self._drvs[1], patched[1]))
        self._given = paired
        self._forward: dict[StorePath, StorePath] = {}
        self._backward: dict[StorePath, StorePath] = {}
        self._changes: set[Change] = set()
        self._variables: list[str] = []

    def result(self) -> DerivationPair:
        old, new = self._drvs
        self._compare_names()
        if old.platform != new.platform:
            self._changes.add("system")
        olds, news = ([(o.name, o.algorithm, o.hash) for o in drv.outputs] for drv in self._drvs)
        if olds != news:
            same_names = [o[0] for o in olds] == [o[0] for o in news]
            self._changes.add("source" if same_names else "outputs")
        self._compare_text(old.builder, new.builder, "builder")
        for one, other in zip_longest(old.arguments, new.arguments):
            self._compare_text(one, other, "arguments")
        values = [_variables(drv) for drv in self._drvs]
        for name in sorted(values[0].keys() | values[1].keys()):
            if not self._compare_text(values[0].get(name), values[1].get(name), "environment"):
                self._variables.append(name)
        self._pair_the_rest()
        return DerivationPair(
            changes=tuple(change for change in _ORDER if change in self._changes),
            variables=tuple(self._variables),
            derivations={
                left: right for left, right in self._forward.items() if left.is_derivation
            },
            sources={
                left: right
                for left, right in self._forward.items()
                if not left.is_derivation and left != right
            },
        )

    def _compare_names(self) -> None:
        old, new = (path.derivation_name for path in self._paths)
        if old != new:
            same = self._paths[0].package_name == self._paths[1].package_name
            self._changes.add("version" if same else "name")

    def _compare_text(self, old: str | None, new: str | None, change: Change) -> bool:
        """Whether two texts are the same but for inputs."""
        if old is None or new is None:
            self._changes.add(change)
            return False
        ours, theirs = self._mentions[0].pieces(old), self._mentions[1].pieces(new)
        if ours[::2] != theirs[::2]:
            self._changes.add(change)
            return False
        # Not all(): every mention is to be seen.
        same = [self._same(*found) for found in zip(ours[1::2], theirs[1::2], strict=True)]
        if not all(same):
            self._changes.add(change)
        return all(same)

    def _same(self, left: str | Mention, right: str | Mention) -> bool:
        """Takes the mentions at one place of both texts for the same input, if they may be."""
        assert isinstance(left, Mention)
        assert isinstance(right, Mention)
        if (left.kind, left.output) != (right.kind, right.output):
            return False
        if left.path is None or right.path is None:
            return left.path == right.path
        return self._may_stand_for(left.path, right.path) and self._pair(left.path, right.path)

    def _may_stand_for(self, left: StorePath, right: StorePath) -> bool:
        if left == right or self._given.get(left) == right:
            return True
        return left.is_derivation == right.is_derivation and (
            left.package_name == right.package_name
        )

    def _pair(self, left: StorePath, right: StorePath) -> bool:
        """Whether the two stand for each other, and for nothing else."""
        if self._forward.get(left, right) != right or self._backward.get(right, left) != left:
            return False
        if left not in self._forward:
            self._forward[left] = right
            self._backward[right] = left
            if left != right and self._is_content(left, right):
                self._changes.add("source")
        return True

    def _is_content(self, left: StorePath, right: StorePath) -> bool:
        """Whether two inputs are known by their contents, and these differ."""
        if not left.is_derivation:
            return True
        olds, news = self._read[0][left].outputs, self._read[1][right].outputs
        if not any(output.is_fixed for output in (*olds, *news)):
            return False
        return [output.path for output in olds] != [output.path for output in news]

    def _pair_the_rest(self) -> None:
        """Pairs inputs that no text speaks of, or only such as differ."""
        left, right = (
            {*drv.input_sources, *(path for path, _ in drv.input_derivations)} for drv in self._drvs
        )
        left -= self._forward.keys()
        right -= self._backward.keys()
        for old, new in list(unique_pairs(left, right)):
            if old in left and new in right and self._pair(old, new):
                left.discard(old)
                right.discard(new)
        if left or right:
            self._changes.add("inputs")


def _variables(derivation: Derivation) -> dict[str, str]:
    """The environment; each structured attribute by itself."""
    variables = dict(derivation.environment)
    try:
        attributes = json.loads(variables["__json"])
    except (KeyError, ValueError, RecursionError):
        return variables
    if not isinstance(attributes, dict):
        return variables
    del variables["__json"]
    return variables | {name: json.dumps(value) for name, value in attributes.items()}


def unique_pairs(
    left: Iterable[StorePath], right: Iterable[StorePath]
) -> Iterator[tuple[StorePath, StorePath]]:
    """Pairs equal paths, then by name, then by package name; a path with a rival is left out."""
    ours, theirs = set(left), set(right)
    for path in sorted(ours & theirs):
        yield path, path
    ours, theirs = ours - theirs, theirs - ours
    for by_version in (True, False):
        one, other = _by_name(ours, full=by_version), _by_name(theirs, full=by_version)
        for name in sorted(one.keys() & other.keys()):
            if len(one[name]) == len(other[name]) == 1:
                yield one[name][0], other[name][0]
                ours.discard(one[name][0])
                theirs.discard(other[name][0])


def _by_name(paths: Iterable[StorePath], *, full: bool) -> dict[tuple[str, bool], list[StorePath]]:
    found: dict[tuple[str, bool], list[StorePath]] = {}
    for path in paths:
        name = path.name if full else path.package_name
        found.setdefault((name, path.is_derivation), []).append(path)
    return found
