"""Names from contents for the placeholders of a plan in content addressing.

A name is known once the bytes are, and the bytes hold the names of the path's references. So paths
are named from the bottom up, by reading the bytes they would have. Nothing is written. Each path is
a task of its own, for any thread, process or machine that can open the source.

Source: makeFixedOutputPath and make-content-addressed.cc in src/libstore of Nix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace

from graft.formats.hash_modulo import HashModulo, SelfReferences
from graft.formats.store_path import StorePath, make_fixed_output_path
from graft.graph import references_first, turned
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import Sink
from graft.objects.rewrite import alias_archive
from graft.objects.rewritten_nar import read_rewritten
from graft.objects.search import DeepSearch
from graft.plan import Alias, ContentName, Plan, Rewrite
from graft.store.api import Source
from graft.store.objects import StoreObject
from graft.workers import AHEAD, Resources, TaskPool, untold


def realise(plan: Plan, source: Source, *, jobs: int | None = None) -> Plan:
    """The plan with the names of its new paths, in either addressing.

    Args:
        source: where the originals are read.
        jobs: threads; the number of usable processors if None.

    Raises:
        TreeError, CacheError, CorruptCacheError: an original cannot be read.
    """
    [realised] = realised_plans([plan], source, Resources(jobs=jobs))
    return realised


def realised_plans(plans: Sequence[Plan], source: Source, resources: Resources) -> list[Plan]:
    """Plans with the names of their new paths: in content addressing it reads all of them.

    Paths that several plans share are read once.

    Raises:
        GraftError: an original cannot be read.
    """
    unnamed = [plan for plan in plans if plan.placeholders]
    if not unnamed:
        return list(plans)
    wanted = {path for plan in unnamed for path in plan.closure.infos}
    with resources.task_pool("name", sum(plan.bytes_at_most for plan in unnamed)) as tasks:
        namer = Namer(
            source=source,
            search=DeepSearch(sorted(wanted), store_dir=source.store_dir),
            progress=tasks.progress,
        )
        names = content_names(unnamed, namer, tasks)
    return [plan.realised(names) if plan.placeholders else plan for plan in plans]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingTask:
    """One path to be named.

    Attributes:
        item: the rewrite that becomes the path, with real names for all paths but itself.
        references: the references of the new path, with real names, without itself.
        self_reference: whether it is registered as referring to itself.
        rule: for self-references.
    """

    item: Rewrite | Alias
    references: frozenset[StorePath]
    self_reference: bool
    rule: SelfReferences


@dataclass(frozen=True, kw_only=True)
class Namer:
    """The data that all tasks share, and their work; may be pickled for other processes.

    Attributes:
        source: where originals are read.
        search: the search in the new bytes; its finds become references.
        progress: called with the number of NAR bytes read since the last call; may raise to stop.
            It stays behind when the rest is pickled.
    """

    source: Source
    search: DeepSearch
    progress: Callable[[int], object] = untold

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "progress": untold}

    def __call__(self, task: NamingTask) -> ContentName:
        """Does a task.

        Raises:
            GraftError: the original cannot be read.
        """
        item = task.item
        if isinstance(item, Alias):
            digest = hashlib.sha256(alias_archive(item.target, self.source.store_dir)).digest()
            return self._named(task, item.path.name, digest)
        modulo, found = self._hashed(self.source.store_object(item.path), item, task.rule)
        return self._named(
            task,
            item.path.name,
            modulo.digest(),
            found=found,
            holds_itself=modulo.count > 0,
        )

    def close(self) -> None:
        """Closes the source; for processes that have unpickled it."""
        self.source.close()

    def _hashed(
        self, original: StoreObject, item: Rewrite, rule: SelfReferences
    ) -> tuple[HashModulo, frozenset[StorePath]]:
        modulo: HashModulo

        def begin() -> Sink:
            nonlocal modulo
            modulo = HashModulo(item.new_path.hash_part, rule)
            return sink

        def sink(chunk: memoryview) -> None:
            modulo.update(chunk)
            self.progress(len(chunk))

        rewriting = Rewriting.of(item, self.source.store_dir)
        reading = read_rewritten(original, rewriting, begin, search=self.search)
        return modulo, reading.found

    def _named(
        self,
        task: NamingTask,
        name: str,
        digest: bytes,
        *,
        found: frozenset[StorePath] = frozenset(),
        holds_itself: bool = False,
    ) -> ContentName:
        path = make_fixed_output_path(
            name,
            digest,
            self.source.store_dir,
            recursive=True,
            references=task.references | found,
            self_reference=task.self_reference,
        )
        return ContentName(
            path=path, digest=digest, rule=task.rule, holds_itself=holds_itself, found=found
        )


def content_names(
    plans: Iterable[Plan], namer: Namer, tasks: TaskPool
) -> dict[StorePath, ContentName]:
    """The names for every placeholder of plans with one source; shared paths are read once.

    Args:
        tasks: the workers that call the namer.

    Raises:
        GraftError: an original cannot be read.
    """
    items: dict[StorePath, tuple[Plan, Rewrite | Alias]] = {}
    needs: dict[StorePath, frozenset[StorePath]] = {}
    for plan in plans:
        for placeholder, item, below in _items(plan):
            items[placeholder] = plan, item
            needs[placeholder] = plan.placeholders.intersection(below)
    waits = {placeholder: set(below) for placeholder, below in needs.items()}
    above = turned(needs)
    names: dict[StorePath, ContentName] = {}
    ready = [placeholder for placeholder in references_first(needs) if not waits[placeholder]]
    ready.reverse()
    running: dict[Future[ContentName], StorePath] = {}
    while ready or running:
        while ready and len(running) < tasks.slots * AHEAD:
            placeholder = ready.pop()
            task = _task(*items[placeholder], names)
            running[tasks.submit(namer, task)] = placeholder
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            placeholder = running.pop(future)
            names[placeholder] = future.result()
            for referrer in above.get(placeholder, ()):
                waits[referrer].discard(placeholder)
                if not waits[referrer]:
                    ready.append(referrer)
    return names


def _items(plan: Plan) -> Iterator[tuple[StorePath, Rewrite | Alias, Iterable[StorePath]]]:
    for rewrite in plan.rewrites:
        yield rewrite.new_path, rewrite, rewrite.references.values()
    for alias in plan.aliases:
        yield alias.path, alias, [alias.target]


def _task(plan: Plan, item: Rewrite | Alias, names: dict[StorePath, ContentName]) -> NamingTask:
    def real(path: StorePath) -> StorePath:
        return names[path].path if path in names else path

    if isinstance(item, Alias):
        target = real(item.target)
        return NamingTask(
            item=replace(item, target=target),
            references=frozenset([target]),
            self_reference=False,
            rule=plan.self_references,
        )
    return NamingTask(
        item=replace(item, references={old: real(new) for old, new in item.references.items()}),
        references=frozenset(map(real, plan.new_references[item.new_path])),
        self_reference=item.path in plan.closure.infos[item.path].references,
        rule=plan.self_references,
    )
