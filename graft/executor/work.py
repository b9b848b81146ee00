"""The paths to be made in a target, for one plan or for several, and the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from graft.errors import GraftError, PlanError
from graft.formats.store_path import StorePath
from graft.graph import references_first
from graft.kernel.tree import FileCounts, TreeReport
from graft.objects.file_fixups import ChangedName, FixedFile
from graft.objects.search import DeepSearch, Unread
from graft.plan import Alias, ContentName, Plan, Rewrite
from graft.store.api import PathInfo, Source, Target

Item = Rewrite | Alias | PathInfo
"""The origin of a path: a rewrite or an alias; or its registration, for a copy of itself."""


def nar_size(item: Item) -> int:
    """The bytes of the NAR that something is made from; 0 for an alias."""
    return 0 if isinstance(item, Alias) else item.nar_size


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that some plans want in a target.

    Attributes:
        items: each path that is made or fetched, unless it is there.
        references: the references of each path, without itself.
        content_names: the origins of the names that were made from contents.
        originals: the registration of every path of the plans' closures.
        foreign: the originals that are not valid in the target.
        search: the search in new bytes, for all paths of the closures and all replaced paths.
        protected: paths that a garbage collector of the target may not delete meanwhile.
    """

    items: Mapping[StorePath, Item]
    references: Mapping[StorePath, frozenset[StorePath]]
    content_names: Mapping[StorePath, ContentName]
    originals: Mapping[StorePath, PathInfo]
    foreign: frozenset[StorePath]
    search: DeepSearch
    protected: Sequence[StorePath]

    @classmethod
    def of(cls, plans: Iterable[Plan], source: Source, target: Target) -> Self:
        """The work of plans with one source and one target; shared paths are made once.

        Raises:
            PlanError: a plan's names are not known yet: see `graft.executor.content_names`.
        """
        items: dict[StorePath, Item] = {}
        references: dict[StorePath, frozenset[StorePath]] = {}
        content_names: dict[StorePath, ContentName] = {}
        originals: dict[StorePath, PathInfo] = {}
        shared: set[StorePath] = set()
        replaced: set[StorePath] = set()
        protected: dict[StorePath, None] = {}
        for plan in plans:
            if plan.placeholders:
                raise PlanError("the plan's new names are not known yet: realise it first")
            content_names.update(plan.content_names)
            items.update((rewrite.new_path, rewrite) for rewrite in plan.rewrites)
            items.update((alias.path, alias) for alias in plan.aliases)
            references.update(plan.new_references)
            originals.update(plan.closure.infos)
            shared |= plan.shared
            replaced |= plan.replacements.keys()
            protected |= dict.fromkeys(plan.roots)
            protected |= dict.fromkeys(plan.replacements.values())
        protected |= dict.fromkeys(sorted(references))
        foreign: frozenset[StorePath] = frozenset()
        if source is not target:
            foreign = frozenset(originals.keys() - target.path_infos(originals))
            items.update((path, originals[path]) for path in shared & foreign)
        return cls(
            items=items,
            references={path: references[path] for path in items},
            content_names=content_names,
            originals=originals,
            foreign=foreign,
            search=DeepSearch(sorted(replaced.union(originals)), store_dir=source.store_dir),
            protected=list(protected),
        )

    def waiting(self, done: Iterable[StorePath]) -> list[StorePath]:
        """The paths that are to be made, references before referrers."""
        paths = self.items.keys() - set(done)
        return references_first({path: self.references[path] & paths for path in paths})

    @property
    def nar_bytes(self) -> int:
        """The bytes of the NARs that all paths are made from, valid ones too."""
        return sum(map(nar_size, self.items.values()))

    def nar_size(self, path: StorePath) -> int:
        """The bytes of the NAR that a path is made from; 0 for an alias."""
        return nar_size(self.items[path])

    def info(
        self, path: StorePath, nar_hash: bytes, nar_size: int, found: frozenset[StorePath]
    ) -> PathInfo:
        """The registration of a path that was made, and not fetched.

        Args:
            found: the old paths that are still found in its bytes.
        """
        content_name = self.content_names.get(path)
        item = self.items[path]
        # A name from contents says the same for every set of sought references.
        found = found & self.originals.keys() if content_name is None else content_name.found
        references = self.references[path] | found
        if isinstance(item, Rewrite) and item.path in self.originals[item.path].references:
            references |= {path}
        return PathInfo(
            path=path,
            nar_hash=nar_hash,
            nar_size=nar_size,
            references=references,
            # A name that comes from contents can be checked without trust in a signature.
            ultimate=content_name is None,
            content_address=None if content_name is None else str(content_name.address),
        )


@dataclass(slots=True, kw_only=True)
class Done:
    """The result of some work.

    Attributes:
        made: the paths made and registered, with the changes to their files if these are known.
        fixed: the files of those paths that fix-ups had something to do with.
        changed: the changed files of the rewritten paths that were made.
        seen: for a path whose NAR was copied, the paths that the work's `search` has found in it:
            all copied NARs were searched as they passed.
        unread: files of such a path that could not be looked into.
        lost: paths that are registered, but whose objects are gone.
        failed: the reason why a path could not be made; paths above it were left out, and are here
            too.
    """

    made: dict[StorePath, TreeReport | None] = field(default_factory=dict)
    fixed: dict[StorePath, tuple[FixedFile, ...]] = field(default_factory=dict)
    changed: dict[StorePath, tuple[ChangedName, ...]] = field(default_factory=dict)
    seen: dict[StorePath, frozenset[StorePath]] = field(default_factory=dict)
    unread: dict[StorePath, tuple[Unread, ...]] = field(default_factory=dict)
    lost: set[StorePath] = field(default_factory=set)
    failed: dict[StorePath, GraftError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The result of carrying out a plan.

    Attributes:
        rewritten: new paths made and registered now, aliases included.
        resumed: new paths that were valid and on disk before.
        fetched: shared paths that were not valid in the target, copied from the source.
        lost: new paths that are registered, but whose objects are gone.
        references_rewritten: hits in contents, targets and names.
        files: regular files of the rewritten paths, by how they were made.
        bytes_written: contents of patched and copied files.
        bytes_shared: contents of linked and reflinked files.
        fixed: the files of rewritten paths that fix-ups had something to do with.
    """

    rewritten: frozenset[StorePath]
    resumed: frozenset[StorePath]
    fetched: frozenset[StorePath]
    lost: frozenset[StorePath]
    references_rewritten: int
    files: FileCounts
    bytes_written: int
    bytes_shared: int
    fixed: Mapping[StorePath, tuple[FixedFile, ...]]

    @classmethod
    def nothing(cls) -> Self:
        """The result of no work."""
        return cls(
            rewritten=frozenset(),
            resumed=frozenset(),
            fetched=frozenset(),
            lost=frozenset(),
            references_rewritten=0,
            files=FileCounts(),
            bytes_written=0,
            bytes_shared=0,
            fixed={},
        )

    @classmethod
    def of(cls, plan: Plan, done: Done) -> Self:
        """The result of work for one of its plans."""
        made = plan.new_references.keys() & done.made.keys()
        reports = [report for path in made if (report := done.made[path]) is not None]
        rewritten = plan.new_paths & made
        return cls(
            rewritten=rewritten,
            resumed=plan.new_paths - made - done.lost - done.failed.keys(),
            fetched=frozenset(made - rewritten),
            lost=frozenset(done.lost & plan.new_references.keys()),
            references_rewritten=sum(report.references for report in reports),
            files=FileCounts(
                patched=sum(report.files.patched for report in reports),
                linked=sum(report.files.linked for report in reports),
                reflinked=sum(report.files.reflinked for report in reports),
                copied=sum(report.files.copied for report in reports),
            ),
            bytes_written=sum(report.bytes_written for report in reports),
            bytes_shared=sum(report.bytes_shared for report in reports),
            fixed={path: files for path in sorted(made) if (files := done.fixed.get(path))},
        )
