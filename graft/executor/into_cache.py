"""Work done into a binary cache: NARs streamed from store to store, narinfos behind them.

Each path is a task of its own, which any thread, process or machine may do that can open both
stores: it reads one NAR or tree, and writes one NAR. Its result is small. The narinfos are written
here, each when all its references are valid in the cache. A task that was done twice has written
the same file twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from heapq import heappop, heappush
from typing import Final

from graft.errors import GraftError
from graft.executor.cache_maker import CacheMaker, Made, Task
from graft.executor.delivery import Delivery
from graft.executor.work import Done, Work, nar_size
from graft.formats.narinfo import NarInfo
from graft.formats.signature import SecretKey
from graft.formats.store_path import StorePath
from graft.graph import reachable, references_first
from graft.plan import Rewrite
from graft.store.api import PathInfo
from graft.store.trust import signed_narinfo
from graft.store.writable_cache import WritableCache
from graft.workers import AHEAD, TaskPool

OnEnd = Callable[[StorePath, Made | GraftError], object]
"""Called when a path is made, or could not be."""

_REGISTER_SECONDS: Final = 2.0
"""How long finished paths may wait for their narinfos: each time the disk is waited for."""

_TOGETHER: Final = 512
"""Paths of which the largest is made first, so that no worker is left alone with one at the end.
With more of them, a run that dies would have registered less: the paths that they refer to might be
missing."""


def make_into_cache(
    work: Work,
    maker: CacheMaker,
    tasks: TaskPool,
    delivery: Delivery,
    *,
    keep_going: bool,
    on_end: OnEnd,
) -> Done:
    """Makes and registers the paths not valid in the target, each path after its references.

    Args:
        maker: the function of the tasks, whose target is the work's.
        tasks: the workers that call it.
        delivery: how it is written; `repair` makes again the new paths that cannot be read.
        keep_going: do without the paths that fail, and without the paths above them.
        on_end: called when a task has ended, well or not.

    Raises:
        GraftError: as `graft.executor.carry_out`; of the paths that cannot be made only if not
            `keep_going`.
    """
    target = maker.target
    valid = target.path_infos(work.items).keys()
    broken: set[StorePath] = set()
    if delivery.repair:
        judged = {
            path: tasks.submit(maker.is_sound, path)
            for path in valid
            if not isinstance(work.items[path], PathInfo)
        }
        broken = {path for path, sound in judged.items() if not sound.result()}
    loop = _Loop(work, target, delivery.sign_keys, keep_going=keep_going)
    loop.done.lost = {path for path in valid - broken if not target.store_object(path).exists()}
    loop.add(work.waiting(valid - broken))
    running: dict[Future[Made], StorePath] = {}
    try:
        while loop.ready or running:
            while loop.ready and len(running) < tasks.slots * AHEAD:
                task = loop.next_task()
                if task is not None:
                    running[tasks.submit(maker, task)] = task.path
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
        # Each whole path stays, also if the rest has failed.
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
        self._unregistered: dict[StorePath, None] = {}  # paths to be made, in their order
        self._finished: dict[StorePath, tuple[NarInfo, Made]] = {}
        self._registered_at = time.monotonic()

    def add(self, order: Sequence[StorePath]) -> None:
        """Takes paths that are to be made, references before referrers."""
        for position, path in enumerate(order):
            heappush(self.ready, (position // _TOGETHER, -nar_size(self._items[path]), path))
            self._unregistered[path] = None

    def next_task(self) -> Task | None:
        """The next task, if any is of use."""
        _, _, path = heappop(self.ready)
        if self._fails_below(path):
            return None
        item = self._items[path]
        original = self._work.originals[item.path] if isinstance(item, Rewrite) else None
        content_name = self._work.content_names.get(path)
        return Task(path=path, item=item, original=original, content_name=content_name)

    def take(self, path: StorePath, end: Made | GraftError) -> None:
        """Takes the result of a task.

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
        """Adds paths that only the bytes of a new path lead to, and the cache does not have yet."""
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
        """Registers the paths that have waited for some time."""
        if time.monotonic() - self._registered_at >= _REGISTER_SECONDS:
            self.register()

    def register(self) -> None:
        """Registers the paths that are made, and whose references are."""
        infos: dict[StorePath, NarInfo] = {}
        before = -1
        while before < len(infos):  # paths that only the bytes lead to stand in no order
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
            self.done.fixed[path] = made.fixed
            if made.changed is not None:
                self.done.changed[path] = made.changed
            if made.info is not None:
                self.done.seen[path] = made.found
                self.done.unread[path] = made.unread
        self._registered_at = time.monotonic()
