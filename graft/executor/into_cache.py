"""Work done into a binary cache: NARs streamed from store to store, narinfos behind them.

Each path is a task of its own, which any thread, process or machine may do that can open both
stores: it reads one NAR or tree, and writes one NAR. What it gives back is small; the narinfos are
written here, each when all it refers to is valid in the cache. A task that was done twice has
written the same file twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

from graft.archive import rewrite_archive
from graft.errors import CacheError, CorruptCacheError, GraftError
from graft.executor.content_check import check_content
from graft.executor.work import Done, Item, Work
from graft.formats.compression import check_compression
from graft.formats.narinfo import NarInfo
from graft.formats.signature import SecretKey
from graft.formats.store_path import StorePath
from graft.graph import reachable, references_first
from graft.kernel import Table
from graft.plan import Alias, ContentName, Rewrite
from graft.reading import object_hash
from graft.references import WantedPaths
from graft.rewrite import (
    alias_archive,
    corrupt_original,
    rewrite_table,
    write_archive,
)
from graft.store.api import PathInfo, Source
from graft.store.nar_files import NarFile, NarWriter
from graft.store.objects import NarObject, TreeObject
from graft.store.trust import signed_narinfo
from graft.store.writable_cache import WritableCache
from graft.tree import TreeReport
from graft.window import Window

_REGISTER_SECONDS: Final = 2.0
"""How long finished paths may wait for their narinfos: each time the disk is waited for."""

_TOGETHER: Final = 512
"""Paths of which the largest is made first, so that no worker is left alone with one at the end.
More of them, and less would be registered of a run that dies: what they refer to might lack."""

_AHEAD: Final = 4
"""Tasks given out for each that can be at work: nobody waits for the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How NARs are compressed.

    Attributes:
        name: one of `graft.formats.compression.LEVELS`.
        level: of the compression; None is its own default.
        threads: of zstd's own, for each NAR.

    Raises:
        UsageError: there is no such compression or level, or threads are not for it.
    """

    name: str = "zstd"
    level: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        check_compression(self.name, self.level, self.threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One path to be made.

    Attributes:
        path: the new one.
        item: what becomes it.
        original: what the source has registered of what a rewrite is made from.
        content_name: what a rewrite's name comes from, if that is its contents.
    """

    path: StorePath
    item: Item
    original: PathInfo | None
    content_name: ContentName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of a task.

    Attributes:
        file: the NAR in the cache.
        info: what another cache says of a path whose NAR file was taken over as it is.
        found: paths that are found in the bytes, new or not.
        report: what was done to its files, if that is known.
    """

    file: NarFile | None = None
    info: NarInfo | None = None
    found: frozenset[StorePath] = frozenset()
    report: TreeReport | None = None


def _no_progress(_size: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class CacheMaker:
    """What is common to all tasks, and does them; may be pickled for other processes.

    Attributes:
        source: where originals are read.
        target: the cache that is written.
        wanted: what is looked for in the new bytes.
        compression: of what is written; a NAR file that is taken over keeps its own.
        check_inputs: compare originals that are trees with their registered NAR hash first.
        progress: called with the number of NAR bytes done since the last call; may raise to stop.
            It stays behind when the rest is pickled.
    """

    source: Source
    target: WritableCache
    wanted: WantedPaths
    compression: Compression
    check_inputs: bool = False
    progress: Callable[[int], object] = _no_progress

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "progress": _no_progress}

    def __call__(self, task: Task) -> Made:
        """Does a task.

        Raises:
            GraftError: the path cannot be made; nothing of it is left.
        """
        item = task.item
        if isinstance(item, Alias):
            archive = alias_archive(item.target, self.target.store_dir)
            with self._new_archive() as writer:
                writer.write(archive)
                return Made(file=writer.finish())
        if isinstance(item, PathInfo):
            return self._fetch(item)
        assert task.original is not None
        original = self.source.store_object(item.path)
        if (
            self.check_inputs
            and isinstance(original, TreeObject)
            and object_hash(original, self.progress) != task.original.nar_hash
        ):
            raise corrupt_original(item.path, self.target.store_dir)
        table = rewrite_table(item.path, task.path, item.references)
        made, file = write_archive(
            original,
            self._new_archive,
            table,
            wanted=self.wanted,
            on_bytes=self.progress,
            new_modulo=task.content_name.new_modulo if task.content_name is not None else None,
        )
        check_content(task.content_name, made, original, item, self.target.store_dir)
        if task.original.nar_size and made.nar_size != task.original.nar_size:
            raise corrupt_original(item.path, self.target.store_dir)
        return Made(file=file, found=made.found, report=made.tree)

    def _fetch(self, info: PathInfo) -> Made:
        original = self.source.store_object(info.path)
        if isinstance(original, NarObject):
            reports = []

            def search(readinto: Callable[[memoryview], int]) -> None:
                window = Window(readinto, lambda chunk: self.progress(len(chunk)))
                report = rewrite_archive(window, Table([]), wanted=self.wanted.table)
                reports.append(report.as_of_tree())

            taken = self.target.copy_nar(original.cache, info.path, read_nar=search)
            found = self.wanted.seen(reports[0])
            return Made(info=taken, found=found, report=reports[0])
        made, file = write_archive(
            original, self._new_archive, Table([]), wanted=self.wanted, on_bytes=self.progress
        )
        if made.nar_hash != info.nar_hash:
            raise corrupt_original(info.path, self.target.store_dir)
        return Made(file=file, report=made.tree)

    def is_sound(self, path: StorePath) -> bool:
        """Whether a path of the target can be read as what it is registered as."""
        try:
            object_hash(self.target.store_object(path), self.progress)
        except (CacheError, CorruptCacheError):
            return False
        return True

    def close(self) -> None:
        """Closes the stores; for processes that have unpickled it."""
        self.target.close()
        self.source.close()

    def _new_archive(self) -> AbstractContextManager[NarWriter]:
        how = self.compression
        return self.target.writing(compression=how.name, level=how.level, threads=how.threads)


def make_into_cache(
    work: Work,
    maker: CacheMaker,
    submit: Callable[..., Future[Any]],
    slots: int,
    *,
    repair: bool = False,
    sign_keys: Collection[SecretKey] = (),
    keep_going: bool = False,
    on_end: Callable[[StorePath, Made | GraftError], object] = lambda _path, _end: None,
) -> Done:
    """Makes and registers what is not valid in the target, each path after all it refers to.

    Args:
        maker: of the tasks, whose target is the work's.
        submit: begins the call of a function with one argument: the `submit` of a
            `concurrent.futures.Executor`, or of what looks like one.
        slots: calls that can be at work at once.
        repair: make again the new paths that are valid but cannot be read.
        sign_keys: sign what is made and fetched, beside the signatures there are.
        keep_going: do without the paths that fail, and without those above them.
        on_end: called when a task has ended, well or not.

    Raises:
        GraftError: as `graft.executor.carry_out`; of the paths that cannot be made only if not
            `keep_going`.
    """
    target = maker.target
    valid = target.path_infos(work.items).keys()
    broken: set[StorePath] = set()
    if repair:
        judged = {
            path: submit(maker.is_sound, path)
            for path in valid
            if not isinstance(work.items[path], PathInfo)
        }
        broken = {path for path, sound in judged.items() if not sound.result()}
    loop = _Loop(work, target, sign_keys, keep_going=keep_going)
    loop.done.lost = {path for path in valid - broken if not target.store_object(path).exists()}
    loop.add(work.waiting(valid - broken))
    running: dict[Future[Made], StorePath] = {}
    try:
        while loop.ready or running:
            while loop.ready and len(running) < slots * _AHEAD:
                task = loop.next_task()
                if task is not None:
                    running[submit(maker, task)] = task.path
            ended, _ = wait(running, _REGISTER_SECONDS, FIRST_COMPLETED)
            for future in ended:
                path = running.pop(future)
                try:
                    end: Made | GraftError = future.result()
                except GraftError as error:
                    end = error
                on_end(path, end)
                loop.take(path, end)
            loop.register_now_and_then()
    finally:
        # What is whole stays, whatever has happened to the rest.
        loop.register()
    return loop.done


class _Loop:
    """Which paths are still to be made, which are made, and which of them are registered."""

    def __init__(
        self,
        work: Work,
        target: WritableCache,
        sign_keys: Collection[SecretKey],
        *,
        keep_going: bool,
    ) -> None:
        self.done = Done()
        self.ready: list[tuple[int, int, StorePath]] = []
        self._work = work
        self._target = target
        self._sign_keys = sign_keys
        self._keep_going = keep_going
        self._items = dict(work.items)
        self._unregistered: dict[StorePath, None] = {}  # those to be made, in their order
        self._finished: dict[StorePath, tuple[NarInfo, Made]] = {}
        self._registered_at = time.monotonic()

    def add(self, order: Sequence[StorePath]) -> None:
        """Takes paths that are to be made, references before referrers."""
        for position, path in enumerate(order):
            item = self._items[path]
            size = 0 if isinstance(item, Alias) else item.nar_size
            heappush(self.ready, (position // _TOGETHER, -size, path))
            self._unregistered[path] = None

    def next_task(self) -> Task | None:
        """What is to be done next; None if that will not be of any use."""
        _, _, path = heappop(self.ready)
        if self._fails_below(path):
            return None
        item = self._items[path]
        original = self._work.originals[item.path] if isinstance(item, Rewrite) else None
        content_name = self._work.content_names.get(path)
        return Task(path=path, item=item, original=original, content_name=content_name)

    def take(self, path: StorePath, end: Made | GraftError) -> None:
        """Takes what came of a task.

        Raises:
            GraftError: it is an error, and the others are not to go on.
        """
        if isinstance(end, GraftError):
            if not self._keep_going:
                raise end
            self.done.failed[path] = end
            return
        if end.info is not None:
            info = end.info
        else:
            assert end.file is not None
            info = end.file.narinfo(self._info(path, end))
        self._finished[path] = info, end
        self._fetch_found(info.references)

    def _info(self, path: StorePath, made: Made) -> PathInfo:
        item = self._items[path]
        if isinstance(item, PathInfo):
            return item
        assert made.file is not None
        return self._work.info(path, made.file.nar_hash, made.file.nar_size, made.found)

    def _fetch_found(self, references: Collection[StorePath]) -> None:
        """Adds what only the bytes of a new path lead to, and is not in the cache yet."""
        unknown = references - self._unregistered.keys()
        unknown -= self._target.path_infos(unknown).keys()
        if unknown:
            closure = {path: self._work.originals[path].references for path in self._work.originals}
            missing = reachable(closure, unknown) - self._unregistered.keys()
            missing -= self._target.path_infos(missing).keys()
            self._items.update((path, self._work.originals[path]) for path in missing)
            self.add(references_first({path: closure[path] & missing - {path} for path in missing}))

    def _fails_below(self, path: StorePath) -> bool:
        """Whether a path cannot be made, because something it refers to could not be."""
        failed = self.done.failed
        below = [failed[found] for found in self._work.references.get(path, ()) if found in failed]
        if below:
            failed[path] = below[0]
        return bool(below)

    def register_now_and_then(self) -> None:
        """Registers what has waited for some time."""
        if time.monotonic() - self._registered_at >= _REGISTER_SECONDS:
            self.register()

    def register(self) -> None:
        """Registers the paths that are made, and whose references are."""
        infos: dict[StorePath, NarInfo] = {}
        before = -1
        while before < len(infos):  # what only the bytes lead to stands in no order
            before = len(infos)
            for path in self._unregistered:
                if path in self._finished and path not in infos and not self._fails_below(path):
                    info, _ = self._finished[path]
                    if not (info.references - {path} - infos.keys()) & self._unregistered.keys():
                        infos[path] = signed_narinfo(info, self._sign_keys, self._target.store_dir)
        self._target.register(infos.values())
        for path in infos:
            del self._unregistered[path]
            _, made = self._finished.pop(path)
            self.done.made[path] = made.report
            if made.info is not None:
                self.done.seen[path] = made.found
        self._registered_at = time.monotonic()
