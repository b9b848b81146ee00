"""Work done into a store on this machine: trees under locks, registered in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from graft.errors import GraftError
from graft.executor.content_check import check_content
from graft.executor.delivery import Delivery
from graft.executor.work import Done, Work
from graft.formats.store_path import StorePath
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import object_hash
from graft.objects.rewrite import (
    NewTree,
    RewrittenObject,
    corrupt_original,
    make_alias,
    write_tree,
)
from graft.plan import Alias
from graft.store.api import LocalTarget, Making, PathInfo, Source
from graft.store.objects import TreeObject
from graft.store.trust import signed
from graft.workers import Workers

# Paths locked, made and registered together. Each holds a descriptor for its lock; the limit of
# open files is 1024 on many machines.
_BATCH = 128


def make_into_store(
    work: Work,
    source: Source,
    target: LocalTarget,
    workers: Workers,
    delivery: Delivery,
    *,
    keep_going: bool,
) -> Done:
    """Makes and registers the paths not valid in the target, references before referrers.

    Args:
        workers: the threads that do it.
        delivery: how it is written.
        keep_going: do without the paths that fail, and without the paths above them.

    Raises:
        GraftError: as `graft.executor.carry_out`; of the paths that cannot be made only if not
            `keep_going`.
    """
    maker = _StoreMaker(work, source, target, workers, delivery)
    broken = _broken(work, target, workers) if delivery.repair else frozenset[StorePath]()
    valid = target.path_infos(work.items)
    whole = valid.keys() - broken
    done = Done(lost={path for path in whole if not target.store_object(path).exists()})
    for batch in _batches(work.waiting(whole)):
        with target.making(batch, repair=broken) as making:
            done.lost.update(making.lost)
            made: dict[StorePath, RewrittenObject | GraftError] = {}

            def make(
                path: StorePath, making: Making = making
            ) -> tuple[StorePath, RewrittenObject | GraftError]:
                try:
                    return path, maker.make(path, making)
                except GraftError as error:
                    if keep_going:
                        return path, error
                    raise

            # The largest first: no thread is left alone with one at the end.
            made.update(workers.map(make, sorted(making.missing, key=work.nar_size, reverse=True)))
            for path in (path for path in batch if path in made):
                found = made[path]
                below = [done.failed[of] for of in work.references[path] if of in done.failed]
                if isinstance(found, GraftError) or below:
                    done.failed[path] = found if isinstance(found, GraftError) else below[0]
                    continue
                info = signed(maker.info(path, found), delivery.sign_keys, target.store_dir)
                making.finish(info)
                done.made[path] = found.tree
                done.fixed[path] = found.fixed
                if found.changed is not None:
                    done.changed[path] = found.changed
    return done


def _broken(work: Work, target: LocalTarget, workers: Workers) -> frozenset[StorePath]:
    """The new paths that are valid but whose trees are gone or have other bytes."""
    made = [path for path, item in work.items.items() if not isinstance(item, PathInfo)]

    def judge(info: PathInfo) -> tuple[StorePath, bool]:
        item = target.store_object(info.path)
        whole = item.exists() and object_hash(item, workers.progress) == info.nar_hash
        return info.path, whole

    infos = target.path_infos(made).values()
    return frozenset(path for path, whole in workers.map(judge, infos) if not whole)


class _StoreMaker:
    """Makes one path after another in a store."""

    def __init__(
        self,
        work: Work,
        source: Source,
        target: LocalTarget,
        workers: Workers,
        delivery: Delivery,
    ) -> None:
        self._work = work
        self._source = source
        self._owner = target.owner
        self._store_dir = target.store_dir
        self._workers = workers
        self._delivery = delivery

    def make(self, path: StorePath, making: Making) -> RewrittenObject:
        """Makes a path's tree where it waits to be registered."""
        item = self._work.items[path]
        if isinstance(item, Alias):
            return make_alias(making.staging(path), item.target, self._store_dir, owner=self._owner)
        links = self._delivery.links and item.path not in self._work.foreign
        if isinstance(item, PathInfo):
            made = self._write(path, None, making, links=links)
            if made.nar_hash != item.nar_hash:
                raise corrupt_original(item.path, self._store_dir)
            return made
        info = self._work.originals[item.path]
        original = self._source.store_object(item.path)
        if (self._delivery.check_inputs or item.path in self._work.foreign) and (
            isinstance(original, TreeObject)
            and object_hash(original, self._workers.progress) != info.nar_hash
        ):
            raise corrupt_original(item.path, self._store_dir)
        made = self._write(path, Rewriting.of(item, self._store_dir), making, links=links)
        check_content(self._work.content_names.get(path), made, original, item, self._store_dir)
        # References never change a length, so this much is known without a second reading.
        if info.nar_size and made.original_size != info.nar_size:
            raise corrupt_original(item.path, self._store_dir)
        return made

    def _write(
        self, path: StorePath, rewriting: Rewriting | None, making: Making, *, links: bool
    ) -> RewrittenObject:
        item = self._work.items[path]
        assert not isinstance(item, Alias)
        content_name = self._work.content_names.get(path)
        return write_tree(
            self._source.store_object(item.path),
            NewTree(
                tree=making.staging(path),
                unpacked=making.unpacked(path),
                owner=self._owner,
                links=links,
            ),
            rewriting,
            search=self._work.search,
            on_bytes=self._workers.progress,
            new_modulo=content_name.new_modulo if content_name is not None else None,
        )

    def info(self, path: StorePath, made: RewrittenObject) -> PathInfo:
        """The registration of a path that was made."""
        item = self._work.items[path]
        if isinstance(item, PathInfo):
            return replace(item, ultimate=False)
        return self._work.info(path, made.nar_hash, made.nar_size, made.found)


def _batches(paths: list[StorePath]) -> Iterator[list[StorePath]]:
    for start in range(0, len(paths), _BATCH):
        yield paths[start : start + _BATCH]
