"""The reference graph: which store paths lead to which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from graft.errors import InvalidPathError
from graft.formats.store_path import StoreDir, StorePath
from graft.graph import networkx_graph, reachable
from graft.store.api import PathInfo, Store, path_info

if TYPE_CHECKING:
    from networkx import DiGraph


class Closure:
    """Some paths and all paths they lead to, with their registrations.

    Attributes:
        store_dir: the logical store directory.
        infos: the registration of each path.
        hidden: the references of each path that are in its bytes, but not registered.
        graph: the references of each path, registered or hidden, without itself.
    """

    def __init__(
        self,
        store_dir: StoreDir,
        infos: Mapping[StorePath, PathInfo],
        hidden: Mapping[StorePath, frozenset[StorePath]] | None = None,
    ) -> None:
        self.store_dir = store_dir
        self.infos = dict(infos)
        self.hidden = {path: found for path, found in (hidden or {}).items() if found}
        self.graph: Mapping[StorePath, frozenset[StorePath]] = {
            path: self._without_itself(path, info.references) for path, info in self.infos.items()
        }

    @classmethod
    def of(cls, store: Store, paths: Iterable[str]) -> Closure:
        """Walks the registered references of a store.

        Args:
            store: where the paths are valid.
            paths: everything a plan may ask about: roots, OLD and NEW; store paths, or their texts.

        Raises:
            BadStorePathError: a text names no store path.
            InvalidPathError: one of the paths, or of their references, is not valid.
        """
        infos: dict[StorePath, PathInfo] = {}
        level = set(map(store.store_dir.of, paths))
        while level:
            found = store.path_infos(level)
            if missing := level - found.keys():
                full = store.store_dir.path(min(missing))
                raise InvalidPathError(
                    f"path '{full}' is not valid in the store '{store.url}': build or copy it "
                    "there first",
                    path=full,
                    store=store.url,
                )
            infos.update(found)
            level = {
                reference
                for info in found.values()
                for reference in info.references
                if reference not in infos
            }
        return cls(store.store_dir, infos)

    def __contains__(self, path: StorePath) -> bool:
        return path in self.infos

    def __len__(self) -> int:
        return len(self.infos)

    def references(self, path: StorePath) -> frozenset[StorePath]:
        """The references of a path, registered or hidden, without itself."""
        return self.graph[path]

    def _without_itself(
        self, path: StorePath, registered: frozenset[StorePath]
    ) -> frozenset[StorePath]:
        found = registered | self.hidden[path] if path in self.hidden else registered
        return found - {path} if path in found else found

    def to_networkx(self) -> DiGraph[str]:
        """The graph of the references, without paths to themselves, as networkx has it.

        Returns:
            A node for each full path, with `name`, `package` and `nar_size` in bytes; an edge for
            each reference, with `hidden`: whether it is not registered.
        """
        import networkx as nx  # noqa: PLC0415 - late: slow to import

        graph: DiGraph[str] = nx.DiGraph()
        full = self.store_dir.path
        for path, info in self.infos.items():
            size = info.nar_size
            graph.add_node(full(path), name=path.name, package=path.package_name, nar_size=size)
        for path, references in self.graph.items():
            registered = self.infos[path].references
            for reference in references:
                graph.add_edge(full(path), full(reference), hidden=reference not in registered)
        return graph

    def requisites(self, roots: Iterable[StorePath]) -> set[StorePath]:
        """The roots and all they lead to."""
        return reachable(self.graph, roots)

    def chains(self, root: StorePath, path: StorePath, *, every: bool) -> Iterator[list[StorePath]]:
        """The chains of references from a root to a path, both included.

        Args:
            every: all chains without repetition, in no order; else only one of the shortest, the
                first in the order of the paths' names.

        Yields:
            Nothing if the path is not in the root's closure.
        """
        import networkx as nx  # noqa: PLC0415 - late: slow to import

        graph = networkx_graph(self.graph)
        if every and root != path and path in graph:
            yield from nx.all_simple_paths(graph, root, path)
            return
        before = {root: root}
        for referrer, found in nx.bfs_edges(graph, root, sort_neighbors=sorted):
            before[found] = referrer
            if found == path:
                break
        if path in before:
            chain = [path]
            while chain[-1] != root:
                chain.append(before[chain[-1]])
            yield chain[::-1]


def why(store: Store, root: str, path: str, *, every: bool = False) -> list[tuple[StorePath, ...]]:
    """Finds the chains of references from a root to a path, both included.

    Args:
        root, path: valid store paths, or their texts.
        every: all chains, in no order; else one of the shortest.

    Returns:
        Nothing if the root does not lead to the path.

    Raises:
        BadStorePathError: a text names no store path.
        InvalidPathError: one of the two is not valid.
    """
    closure = Closure.of(store, [root])
    start, end = store.store_dir.of(root), path_info(store, store.store_dir.of(path)).path
    return [tuple(chain) for chain in closure.chains(start, end, every=every)]
