"""From the packages of two sets down through all they are built with, both at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graft.formats.derivations.derivation import Derivation
from graft.formats.store_path import StorePath
from graft.ways.diff.derivation_pair import Change, pair_derivations
from graft.ways.diff.packages import Derivations


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two derivations, or two sources, that stand for each other and are not the same.

    Attributes:
        old, new: `.drv` files, or sources.
        changes, variables: the respects in which they differ of themselves, see DerivationPair.
        outputs: the paths of the one, each with the other's path of the same output name.
        lacking: paths of OLD for which NEW has no counterpart.
        unnamed: names of NEW's outputs whose paths are known only once they are built.
        is_fetched: both are known by their contents, though a derivation makes them.
    """

    old: StorePath
    new: StorePath
    changes: tuple[Change, ...]
    variables: tuple[str, ...]
    outputs: Mapping[StorePath, StorePath]
    lacking: tuple[StorePath, ...] = ()
    unnamed: tuple[str, ...] = ()
    is_fetched: bool = False

    @property
    def is_source(self) -> bool:
        """Whether these are files that nothing builds."""
        return not self.old.is_derivation


class Walk:
    """Finds all pairs below some that are given."""

    def __init__(self, base: Derivations, patched: Derivations) -> None:
        self._base = base
        self._patched = patched
        self._pairs: dict[tuple[StorePath, StorePath], Pair] = {}
        self._users: dict[StorePath, dict[StorePath, set[StorePath]]] = defaultdict(dict)

    def follow(self, tops: Mapping[StorePath, StorePath]) -> None:
        """Finds the pairs below derivations that stand for each other under any names.

        Raises:
            BadFormatError: a derivation is not there, or holds something else.
        """
        waiting = list(tops.items())
        for old, new in waiting:
            self._users[old].setdefault(new, set())
        seen = set()
        while waiting:
            old, new = waiting.pop()
            if (old, new) in seen or self._is_same(old, new):
                continue
            seen.add((old, new))
            found = pair_derivations((old, self._base), (new, self._patched), tops)
            olds, news = self._base.outputs(old), self._patched.outputs(new)
            names = {output.name for output in self._patched[new].outputs}
            self._pairs[old, new] = Pair(
                old=old,
                new=new,
                changes=found.changes,
                variables=found.variables,
                outputs={olds[name]: news[name] for name in olds if name in news},
                lacking=tuple(path for name, path in olds.items() if name not in names),
                unnamed=tuple(sorted(names - news.keys())),
                is_fetched=_is_fetched(self._base[old]) and _is_fetched(self._patched[new]),
            )
            for left, right in found.derivations.items():
                self._users[left].setdefault(right, set()).add(old)
                waiting.append((left, right))
            for left, right in found.sources.items():
                self._users[left].setdefault(right, set()).add(old)
                self._pairs[left, right] = Pair(
                    old=left,
                    new=right,
                    changes=("source",),
                    variables=(),
                    outputs={left: right},
                )

    def _is_same(self, old: StorePath, new: StorePath) -> bool:
        """Whether two derivations make the same paths, however they do."""
        if old == new:
            return True
        outputs = self._base.outputs(old)
        return (
            outputs == self._patched.outputs(new)
            and len(outputs) == len(self._base[old].outputs)
            and len(outputs) == len(self._patched[new].outputs)
        )

    def pairs(self) -> Iterator[Pair]:
        """The pairs found."""
        yield from self._pairs.values()

    def partners(self, old: StorePath) -> Mapping[StorePath, set[StorePath]]:
        """The counterparts of a derivation or a source, itself included: each with its places.

        That is nowhere for the ones that were given.
        """
        return self._users[old]


def _is_fetched(derivation: Derivation) -> bool:
    return all(output.is_fixed for output in derivation.outputs)
