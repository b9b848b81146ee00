"""Packages that differ only because of their inputs, and must be built nevertheless."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from graft.errors import UsageError
from graft.formats.store_path import StorePath
from graft.graph import reachable
from graft.plan.closure import Closure
from graft.store.api import Source
from graft.ways.diff.difference import Changed
from graft.ways.diff.walk import Pair


def needed_packages(
    store: Source,
    graph: Mapping[StorePath, Collection[StorePath]],
    pairs: Iterable[Pair],
    changed: Collection[Changed],
    derived: dict[StorePath, StorePath],
    rebuild: Iterable[str],
) -> list[Changed]:
    """The followers that must be built: the user named them, or a new package refers to them.

    Else the result would hold the follower twice: once built again, and once made by a graft. A NEW
    that is not built yet will refer to the paths that its OLD refers to.

    Args:
        store: knows the references of the paths that are built already.
        graph: the known references of the base.
        pairs: the pairs of derivations.
        changed: the packages that differ of themselves.
        derived: the followers, each OLD with its NEW; the needed ones are taken out of it.
        rebuild: package names asked for.

    Raises:
        UsageError: nothing of such a name differs.
    """
    replaced = {old: new for one in changed for old, new in one.outputs.items()}
    made_by = {path: (pair.old, pair.new) for pair in pairs for path in pair.outputs.values()}
    more = _named(rebuild, derived, replaced)
    found: dict[StorePath, StorePath] = {}
    while True:
        found |= {old: derived.pop(old) for old in more}
        makers = {made_by[new] for new in found.values() if new in made_by}
        wanted = _referred_to(store, graph, replaced | found)
        # Their builds make other outputs as well, and these belong together.
        more = {
            old
            for old, new in derived.items()
            if old in wanted or new in wanted or made_by.get(new) in makers
        }
        if not more:
            break
    packages: dict[tuple[StorePath, StorePath], dict[StorePath, StorePath]] = {}
    for old, new in found.items():
        packages.setdefault(made_by.get(new, (old, new)), {})[old] = new
    return [
        Changed(
            attribute=None,
            name=pair[0].derivation_name,
            derivations=pair if pair[0].is_derivation else None,
            outputs=outputs,
            needed=True,
        )
        for pair, outputs in packages.items()
    ]


def _referred_to(
    store: Source,
    graph: Mapping[StorePath, Collection[StorePath]],
    replaced: Mapping[StorePath, StorePath],
) -> set[StorePath]:
    """The closures of all NEWs; for a NEW that is not built yet, the references of its OLD."""
    news = store.path_infos(replaced.values())
    unbuilt = [old for old, new in replaced.items() if new not in news]
    return {*Closure.of(store, news).infos, *reachable(graph, unbuilt)}


def _named(
    names: Iterable[str], derived: Iterable[StorePath], replaced: Iterable[StorePath]
) -> set[StorePath]:
    """The paths of some package names among the paths that follow."""
    found: dict[str, set[StorePath]] = {}
    for path in derived:
        found.setdefault(path.package_name, set()).add(path)
    known = {path.package_name for path in replaced}
    wanted = set(names)
    for name in sorted(wanted - found.keys() - known):
        raise UsageError(
            f"--rebuild {name}: nothing of that name differs: give the name of a derived package, "
            "without a version",
            name=name,
        )
    return {path for name in wanted for path in found.get(name, ())}
