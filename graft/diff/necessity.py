"""What differs only because of its inputs, and must be built nevertheless."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from graft.closure import Closure
from graft.diff.values import Changed
from graft.diff.walk import Pair
from graft.errors import UsageError
from graft.formats.store_path import StorePath
from graft.graph import reachable
from graft.store.api import Source


def needed_packages(
    store: Source,
    graph: Mapping[StorePath, Collection[StorePath]],
    pairs: Iterable[Pair],
    changed: Collection[Changed],
    derived: dict[StorePath, StorePath],
    rebuild: Iterable[str],
) -> list[Changed]:
    """What only follows, but has to be built: it was asked for, or something new refers to it.

    Else the result would hold it twice: as it was built again, and as a graft makes it. What is not
    built yet will refer to what its OLD refers to.

    Args:
        store: where what is built already can be asked for its references.
        graph: the references of the base, as far as they are known.
        pairs: of derivations.
        changed: what differs of itself.
        derived: what follows, each OLD with its NEW; what is needed is taken out of it.
        rebuild: package names asked for.

    Raises:
        UsageError: nothing of such a name differs.
    """
    replaced = {old: new for one in changed for old, new in one.outputs.items()}
    asked = _named(rebuild, derived, replaced)
    replaced |= {old: derived[old] for old in asked}
    news = store.path_infos(replaced.values())
    built = Closure.of(store, news).infos
    unbuilt = [old for old, new in replaced.items() if new not in news]
    below = reachable(graph, unbuilt)
    found = [
        (old, new)
        for old, new in sorted(derived.items())
        if old in asked or new in built or old in below
    ]
    for old, _ in found:
        del derived[old]
    made_by = {path: (pair.old, pair.new) for pair in pairs for path in pair.outputs.values()}
    return [
        Changed(
            attribute=None,
            name=old.name,
            derivations=made_by.get(new),
            outputs={old: new},
            needed=True,
        )
        for old, new in found
    ]


def _named(
    names: Iterable[str], derived: Iterable[StorePath], replaced: Iterable[StorePath]
) -> set[StorePath]:
    """The paths of some package names among those that follow."""
    found: dict[str, set[StorePath]] = {}
    for path in derived:
        found.setdefault(path.package_name, set()).add(path)
    known = {path.package_name for path in replaced}
    wanted = set(names)
    for name in sorted(wanted - found.keys() - known):
        raise UsageError(
            f"--rebuild {name}: nothing of that name differs: give the name of what is derived, "
            "without a version",
            name=name,
        )
    return {path for name in wanted for path in found.get(name, ())}
