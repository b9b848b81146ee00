"""The warnings for the user before a plan is carried out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.graph import reachable, turned
from graft.plan.closure import Closure
from graft.plan.path_names import same_derivation
from graft.plan.rewrites import Alias, PlanWarning


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that warnings are judged by.

    Attributes:
        replacements: as given.
        last: the replacements without a path by itself, chains resolved.
        initrds: the initrds of NixOS systems, each with its system.
        circular: NEWs kept because rewriting them would never end.
        walked: every path the plan had to look at to know where the roots end up.
        new_closure: the paths of the result.
        unsigned: paths that are named after their inputs and not signed; empty where that does not
            matter.
        placeholders: names of new paths that stand for others.
    """

    closure: Closure
    roots: tuple[StorePath, ...]
    replacements: Mapping[StorePath, StorePath]
    last: Mapping[StorePath, StorePath]
    cutoffs: frozenset[StorePath]
    initrds: Mapping[StorePath, StorePath]
    circular: frozenset[StorePath]
    walked: frozenset[StorePath]
    aliases: tuple[Alias, ...]
    new_closure: frozenset[StorePath]
    unsigned: frozenset[StorePath] = frozenset()
    placeholders: frozenset[StorePath] = frozenset()

    def shown(self, path: StorePath) -> str:
        """How a message names a path of the result."""
        if path in self.placeholders:
            return f"the new '{path.name}'"
        return f"'{self.closure.store_dir.path(path)}'"


def plan_warnings(situation: Situation) -> tuple[PlanWarning, ...]:
    """All warnings, in the order of kind and path."""
    before = situation.closure.requisites(situation.roots)
    above = _above_replaced(situation)
    package_names = {path: path.package_name for path in before | situation.new_closure}
    return tuple(
        sorted(
            [
                *_self_replacements(situation),
                *_unused_replacements(situation),
                *_unused_cutoffs(situation, above),
                *_initrd_cutoffs(situation, above),
                *_automatic_cutoffs(situation, above),
                *_name_alikes(situation, before, package_names),
                *_missing_outputs(situation, before, package_names),
                *_two_variants(situation, before, package_names),
                *_aliases(situation),
                *_unsigned(situation),
            ]
        )
    )


def _above_replaced(situation: Situation) -> set[StorePath]:
    """The replaced and the converted paths, and everything above them, cut off or not.

    Empty where nothing is cut off: then the answer is not needed, and the whole graph is turned
    round to know.
    """
    if not situation.cutoffs and not any(path.is_derivation for path in situation.walked):
        return set()
    olds = [old for old in situation.last if old in situation.closure]
    return reachable(turned(situation.closure.graph), [*olds, *situation.unsigned])


def _self_replacements(situation: Situation) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    for old, new in situation.replacements.items():
        if old == new:
            yield PlanWarning(
                kind="self-replacement",
                path=old,
                message=f"'{full(old)}' is to be replaced by itself: dropped",
            )


def _unused_replacements(situation: Situation) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    used = {old for old in situation.last if old in situation.walked}
    waiting = list(used)
    while waiting:  # a chain that is followed makes use of each of its links
        new = situation.replacements[waiting.pop()]
        if new in situation.last and new not in used:
            used.add(new)
            waiting.append(new)
    for old in situation.last:
        if old not in used:
            yield PlanWarning(
                kind="unused-replacement",
                path=old,
                message=f"nothing that is rewritten leads to '{full(old)}': its replacement "
                "applies to nothing",
            )


def _unused_cutoffs(situation: Situation, above: set[StorePath]) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    for path in situation.cutoffs - situation.initrds.keys():
        if path in situation.last:
            reason = "it is replaced, which goes before"
        elif path not in situation.walked or path not in above:
            reason = "it would not be rewritten anyway"
        else:
            continue
        yield PlanWarning(
            kind="unused-cutoff",
            path=path,
            message=f"the cutoff '{full(path)}' applies to nothing: {reason}",
        )


def _initrd_cutoffs(situation: Situation, above: set[StorePath]) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    for path in situation.cutoffs & situation.walked & situation.initrds.keys():
        if path in situation.last:
            continue
        holds = (
            "it still holds OLD"
            if path in above
            else "it may still hold OLD, or a copy of it, in compressed files"
        )
        yield PlanWarning(
            kind="initrd-cutoff",
            path=path,
            message=f"'{full(path)}', the initrd of '{full(situation.initrds[path])}', is kept "
            f"unchanged: {holds}; build it again, or give --no-initrd-cutoff",
        )


def _automatic_cutoffs(situation: Situation, above: set[StorePath]) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    for path in situation.circular & situation.walked:
        yield PlanWarning(
            kind="automatic-cutoff",
            path=path,
            message=f"'{full(path)}' leads back to its OLD: it is kept unchanged, "
            "and its references are not replaced there",
        )
    for path in situation.walked & above:
        if path.is_derivation and path not in situation.last and path not in situation.cutoffs:
            yield PlanWarning(
                kind="automatic-cutoff",
                path=path,
                message=f"'{full(path)}' is a derivation, whose name comes from its contents: it "
                "is kept unchanged",
            )


def _name_alikes(
    situation: Situation, before: set[StorePath], package_names: Mapping[StorePath, str]
) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    news = set(situation.replacements.values())
    olds: dict[str, list[StorePath]] = defaultdict(list)
    for old in situation.last:
        olds[old.package_name].append(old)
    for path in before | situation.new_closure & situation.closure.infos.keys():
        for old in olds.get(package_names[path], ()):
            if path not in situation.last and path not in news and not path.is_derivation:
                yield PlanWarning(
                    kind="name-alike",
                    path=path,
                    message=f"'{full(path)}' has the package name of '{full(old)}' and is not "
                    "replaced: replace it as well unless it is known to be sound",
                )


def _missing_outputs(
    situation: Situation, before: set[StorePath], package_names: Mapping[StorePath, str]
) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    infos = situation.closure.infos
    names = {old.package_name for old in situation.last}
    outputs: dict[StorePath, tuple[StorePath, ...]] = {}
    derivers = {infos[old].deriver for old in situation.last if old in infos} - {None}
    alike = {
        path: infos[path]
        for path in before
        if package_names[path] in names or infos[path].deriver in derivers
    }
    for group in same_derivation(alike):
        outputs |= dict.fromkeys(group, group)
    news = set(situation.replacements.values())
    for old in situation.last:
        for path in outputs.get(old, ()):
            if path not in situation.last and path not in news:
                yield PlanWarning(
                    kind="missing-output",
                    path=path,
                    message=f"'{full(path)}' is another output of the derivation of '{full(old)}', "
                    "and is not replaced: the two may not fit together",
                )


def _two_variants(
    situation: Situation, before: set[StorePath], package_names: Mapping[StorePath, str]
) -> Iterator[PlanWarning]:
    aliases = {alias.path for alias in situation.aliases}
    after = [path for path in situation.new_closure - aliases if not path.is_derivation]
    counts_before = Counter(map(package_names.__getitem__, before))
    counts_after = Counter(map(package_names.__getitem__, after))
    variants: dict[str, list[StorePath]] = {
        name: [] for name, count in counts_after.items() if count > 1 and counts_before[name] == 1
    }
    for path in after:
        if package_names[path] in variants:
            variants[package_names[path]].append(path)
    for name, paths in variants.items():
        paths.sort()
        known = [path for path in paths if path not in situation.placeholders]
        yield PlanWarning(
            kind="two-variants",
            path=known[0] if known else None,
            message=f"after the graft there are {len(paths)} of '{name}' where there was one: "
            + ", ".join(map(situation.shown, paths)),
        )


def _aliases(situation: Situation) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    for alias in situation.aliases:
        yield PlanWarning(
            kind="alias",
            path=alias.replaces,
            message=f"the names of '{full(alias.replaces)}' and {situation.shown(alias.target)} "
            f"differ in length: {situation.shown(alias.path)}, a symlink, stands between them; "
            "rules by path (AppArmor) and scanners that read version strings will still see the "
            "old name",
        )


def _unsigned(situation: Situation) -> Iterator[PlanWarning]:
    full = situation.closure.store_dir.path
    for path in situation.new_closure & situation.unsigned:
        yield PlanWarning(
            kind="unsigned",
            path=path,
            message=f"'{full(path)}' is kept unchanged, named after its inputs and not "
            "signed: another store will not take it, nor its referrers; sign it, or do not "
            "cut it off",
        )
