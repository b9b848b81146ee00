"""The packages of a base set to be replaced to get a patched one, and the ones that only follow.

Where the derivations are present, they are followed from the packages down through their inputs.
Paths without a derivation are held against each other byte for byte, the references of the one
renamed to the references of the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from graft.formats.store_path import StorePath
from graft.graph import reachable, turned
from graft.plan.closure import Closure
from graft.store.api import Source
from graft.ways.diff.derivation_pair import unique_pairs
from graft.ways.diff.difference import Changed, Derived, Difference, Doubtful
from graft.ways.diff.necessity import needed_packages
from graft.ways.diff.objects import judge_objects
from graft.ways.diff.packages import Package, PackageSet
from graft.ways.diff.walk import Pair, Walk

_SHOWN: Final = 3


def compare_packages(
    store: Source, base: PackageSet, patched: PackageSet, *, rebuild: Collection[str] = ()
) -> Difference:
    """Compares two sets.

    Args:
        store: the place of their paths, unless they are not built yet.
        rebuild: names of packages, without versions, that shall be replaced although they only
            follow: a graft cannot give them another soname to ask for.

    Raises:
        BadFormatError: a derivation holds something else.
        UsageError: nothing of a name in `rebuild` differs.
    """
    return _Comparison(store, base, patched).result(rebuild)


class _Comparison:
    def __init__(self, store: Source, base: PackageSet, patched: PackageSet) -> None:
        self._store = store
        self._base = base
        self._patched = patched
        self._closures = (_known_closure(store, base), _known_closure(store, patched))
        self._whole = tuple(
            bool(one.packages) and one.output_paths() <= closure.infos.keys()
            for one, closure in zip((base, patched), self._closures, strict=True)
        )
        self._referrers = turned(self._closures[0].graph)
        self._tops = tuple(_pair_packages(base.packages, patched.packages))
        self._attributes = {package.derivation: package.attribute for package in base.packages}
        self._doubtful: list[Doubtful] = []

    def result(self, rebuild: Collection[str]) -> Difference:
        walk = Walk(self._base.derivations, self._patched.derivations)
        walk.follow(self._top_derivations())
        changed: list[Changed] = []
        build_only: list[Changed] = []
        derived: dict[StorePath, StorePath] = {}
        followed: dict[StorePath, StorePath] = {}
        for pair in walk.pairs():
            followed.update(pair.outputs)
            if not self._is_wanted(pair):
                if pair.changes and not _is_content(pair):
                    build_only.append(self._changed(pair))
            elif not pair.changes:
                derived.update((old, pair.outputs[old]) for old in self._in_base(pair.outputs))
            elif self._is_certain(pair, walk):
                changed.append(self._changed(pair))
        followed = self._judge_the_rest(followed, changed, derived)
        changed += needed_packages(
            self._store, self._closures[0].graph, walk.pairs(), changed, derived, rebuild
        )
        changed = self._without_conflicts(changed)
        replaced = {old for one in changed for old in one.outputs}
        doubted = {path for one in self._doubtful for path in (*one.olds, *one.news)}
        return Difference(
            changed=_in_order(changed),
            build_only=_in_order(build_only),
            derived=self._derived(derived.items(), replaced),
            added=self._alone(1, {*followed.values(), *doubted}),
            removed=self._alone(0, {*followed.keys(), *doubted}),
            doubtful=tuple(sorted(self._doubtful, key=lambda one: (one.olds, one.news))),
            paired=len(self._tops)
            + len(followed)
            + len(self._closures[0].infos.keys() & self._closures[1].infos.keys()),
        )

    def _top_derivations(self) -> dict[StorePath, StorePath]:
        """The start of the walk: the packages, or other paths with a derivation."""
        found = {
            old.derivation: new.derivation
            for old, new in self._tops
            if old.derivation is not None and new.derivation is not None
        }
        return found or dict(unique_pairs(*map(self._derivers, (0, 1))))

    def _derivers(self, side: int) -> set[StorePath]:
        """The derivations of a closure that are at hand."""
        derivations = (self._base, self._patched)[side].derivations
        derivers = {info.deriver for info in self._closures[side].infos.values()}
        return {path for path in derivers if path is not None and derivations.get(path)}

    def _is_wanted(self, pair: Pair) -> bool:
        """Whether anybody would replace it: it is in the set, or in the closure if there is one."""
        if self._attributes.get(pair.old) is not None:
            return True
        if not self._whole[0]:
            return not pair.is_source
        return not self._closures[0].infos.keys().isdisjoint((*pair.outputs, *pair.lacking))

    def _in_base(self, paths: Iterable[StorePath]) -> list[StorePath]:
        """The paths that are in the closure of the base; all if it is not built."""
        known = self._closures[0].infos
        return [path for path in paths if path in known or not self._whole[0]]

    def _is_certain(self, pair: Pair, walk: Walk) -> bool:
        """Whether a pair with a difference of its own can be replaced directly; else it is
        doubtful.
        """
        if lacking := self._in_base(pair.lacking):
            self._doubt(lacking, pair.outputs.values(), "the patched set has no such output")
        if pair.unnamed:
            why = "their paths are known only once they are built"
            self._doubt([pair.old], [pair.new], why)
        rivals = {
            new: users
            for new, users in walk.partners(pair.old).items()
            if self._matters(pair, users)
        }
        if rivals.keys() <= {pair.new}:
            return True
        if pair.new not in rivals:
            return False  # only a build wants it: another one matters
        news = [self._patched.derivations.outputs(new).values() for new in rivals]
        named = sorted({user.derivation_name for users in rivals.values() for user in users})
        self._doubt(
            pair.outputs,
            [path for paths in news for path in paths] or rivals,
            f"the patched set has more than one of them: see {', '.join(named[:_SHOWN])}",
        )
        return False

    def _matters(self, pair: Pair, users: Collection[StorePath]) -> bool:
        """Whether a package that is built with OLD refers to it as well, as far as is known."""
        if not users or not self._whole[0]:
            return True
        graph = self._closures[0].graph
        built = {path for user in users for path in self._base.derivations.outputs(user).values()}
        return any(not graph[path].isdisjoint(pair.outputs) for path in built if path in graph)

    def _doubt(self, olds: Iterable[StorePath], news: Iterable[StorePath], why: str) -> None:
        found = Doubtful(olds=tuple(sorted(set(olds))), news=tuple(sorted(set(news))), why=why)
        if found not in self._doubtful:
            self._doubtful.append(found)

    def _changed(self, pair: Pair) -> Changed:
        attribute = self._attributes.get(pair.old)
        olds = self._in_base(pair.outputs) if attribute is None else pair.outputs
        return Changed(
            attribute=attribute,
            name=pair.old.derivation_name,
            derivations=None if pair.is_source else (pair.old, pair.new),
            outputs={old: pair.outputs[old] for old in olds},
            changes=pair.changes,
            variables=pair.variables,
        )

    def _judge_the_rest(
        self,
        followed: Mapping[StorePath, StorePath],
        changed: list[Changed],
        derived: dict[StorePath, StorePath],
    ) -> dict[StorePath, StorePath]:
        """Pairs the rest of both closures, which no derivation has led to, and adds it to its
        packages.

        Returns:
            All pairs of paths.
        """
        paired = dict(followed)
        if not all(self._whole):
            return paired
        old, new = self._closures
        left = old.infos.keys() - new.infos.keys() - followed.keys()
        right = new.infos.keys() - old.infos.keys() - set(followed.values())
        found = dict(unique_pairs(left, right))
        paired |= found
        for path in sorted(found):
            verdict = judge_objects(self._store, old.infos[path], new.infos[found[path]], paired)
            if verdict.kind == "derived":
                derived[path] = found[path]
            elif verdict.kind == "changed":
                changed.append(
                    Changed(
                        attribute=None,
                        name=path.name,
                        derivations=None,
                        outputs={path: found[path]},
                    )
                )
            else:
                self._doubt([path], [found[path]], verdict.why)
        return paired

    def _without_conflicts(self, changed: Iterable[Changed]) -> list[Changed]:
        """Makes paths with two replacements doubtful."""
        news: dict[StorePath, set[StorePath]] = {}
        for one in changed:
            for old, new in one.outputs.items():
                news.setdefault(old, set()).add(new)
        kept = []
        for one in changed:
            rivals = {new for old in one.outputs for new in news[old]}
            if len(rivals) > len(one.outputs):
                self._doubt(one.outputs, rivals, "the patched set has more than one of them")
            else:
                kept.append(one)
        return kept

    def _derived(
        self, derived: Iterable[tuple[StorePath, StorePath]], replaced: Iterable[StorePath]
    ) -> tuple[Derived, ...]:
        above = reachable(self._referrers, replaced)
        known = self._closures[0].infos
        return tuple(
            Derived(old=old, new=new, reached=old in above if old in known else None)
            for old, new in sorted(derived)
        )

    def _alone(self, side: int, paired: Collection[StorePath]) -> tuple[StorePath, ...]:
        """The paths of one side that belong to nothing of the other."""
        other = self._closures[1 - side].infos
        tops = {pair[side].derivation or id(pair[side]) for pair in self._tops}
        packages = (self._base, self._patched)[side].packages
        found = {
            path
            for package in packages
            if (package.derivation or id(package)) not in tops
            for path in package.outputs.values()
        }
        if all(self._whole):
            found |= self._closures[side].infos.keys() - other.keys()
        return tuple(sorted(found - set(paired)))


def _pair_packages(
    base: Iterable[Package], patched: Iterable[Package]
) -> Iterator[tuple[Package, Package]]:
    """Pairs packages by attribute, then by name."""
    left, right = list(base), list(patched)
    by_attribute = {one.attribute: one for one in right if one.attribute is not None}
    for one in list(left):
        other = by_attribute.get(one.attribute) if one.attribute is not None else None
        if other is not None:
            left.remove(one)
            right.remove(other)
            yield one, other
    ours, theirs = ({one.known_by: one for one in packages} for packages in (left, right))
    for old, new in unique_pairs(ours, theirs):
        yield ours[old], theirs[new]


def _known_closure(store: Source, packages: PackageSet) -> Closure:
    """The closure of those packages that are built."""
    return Closure.of(store, store.path_infos(packages.output_paths()))


def _is_content(pair: Pair) -> bool:
    """Whether a pair is known by its contents alone: it belongs to the packages made of it."""
    return pair.is_source or pair.is_fetched


def _in_order(changed: Iterable[Changed]) -> tuple[Changed, ...]:
    return tuple(sorted(changed, key=lambda one: (one.name, sorted(one.outputs))))
