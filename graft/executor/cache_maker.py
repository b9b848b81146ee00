"""One path made in a binary cache, by any thread, process or machine that can open both stores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from graft.errors import CacheError
from graft.executor.content_check import check_content
from graft.executor.delivery import Compression
from graft.executor.work import Item
from graft.formats.narinfo import NarInfo
from graft.formats.store_path import StorePath
from graft.formats.window import Window
from graft.kernel.tree import TreeReport
from graft.objects.file_fixups import ChangedName, FixedFile
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import object_hash, search_archive
from graft.objects.rewrite import alias_archive, corrupt_original, write_archive
from graft.objects.search import DeepReport, DeepSearch, Unread
from graft.plan import Alias, ContentName
from graft.store.api import PathInfo, Source
from graft.store.caches.nar_files import NarFile, NarWriter
from graft.store.objects import NarObject, TreeObject
from graft.store.writable_cache import WritableCache
from graft.workers import untold


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One path to be made.

    Attributes:
        path: the new one.
        item: the rewrite, alias or path that becomes it.
        original: the source's registration of a rewrite's original.
        content_name: the origin of a rewrite's name, if the name comes from its contents.
    """

    path: StorePath
    item: Item
    original: PathInfo | None
    content_name: ContentName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The result of a task.

    Attributes:
        file: the NAR in the cache.
        info: another cache's registration of a path whose NAR file was copied.
        found: paths that are found in the bytes, new or not.
        report: the changes to its files, if they are known.
        unread: files of a copied NAR that could not be looked into.
        fixed: files in which fix-ups found something.
        changed: the original's files that are other ones now, if they are known.
    """

    file: NarFile | None = None
    info: NarInfo | None = None
    found: frozenset[StorePath] = frozenset()
    report: TreeReport | None = None
    unread: tuple[Unread, ...] = ()
    fixed: tuple[FixedFile, ...] = ()
    changed: tuple[ChangedName, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class CacheMaker:
    """The data that all tasks share, and their work; may be pickled for other processes.

    Attributes:
        source: where originals are read.
        target: the cache that is written.
        search: the search in the new bytes.
        compression: the compression of new NAR files; a copied NAR file keeps its own.
        check_inputs: compare originals that are trees with their registered NAR hash first.
        progress: called with the number of NAR bytes done since the last call; may raise to stop.
            It stays behind when the rest is pickled.
    """

    source: Source
    target: WritableCache
    search: DeepSearch
    compression: Compression
    check_inputs: bool = False
    progress: Callable[[int], object] = untold

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "progress": untold}

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
        made, file = write_archive(
            original,
            self._new_archive,
            Rewriting.of(item, self.target.store_dir),
            search=self.search,
            on_bytes=self.progress,
            new_modulo=task.content_name.new_modulo if task.content_name is not None else None,
        )
        check_content(task.content_name, made, original, item, self.target.store_dir)
        if task.original.nar_size and made.original_size != task.original.nar_size:
            raise corrupt_original(item.path, self.target.store_dir)
        return Made(
            file=file, found=made.found, report=made.tree, fixed=made.fixed, changed=made.changed
        )

    def _fetch(self, info: PathInfo) -> Made:
        original = self.source.store_object(info.path)
        if isinstance(original, NarObject):
            reports: list[DeepReport] = []

            def search(readinto: Callable[[memoryview], int]) -> None:
                window = Window(readinto, lambda chunk: self.progress(len(chunk)))
                reports.append(search_archive(window, self.search))

            taken = self.target.copy_nar(original.cache, info.path, read_nar=search)
            [report] = reports
            found = self.search.seen(report)
            return Made(info=taken, found=found, report=report.report, unread=report.unread)
        made, file = write_archive(
            original, self._new_archive, None, search=self.search, on_bytes=self.progress
        )
        if made.nar_hash != info.nar_hash:
            raise corrupt_original(info.path, self.target.store_dir)
        return Made(file=file, report=made.tree)

    def is_sound(self, path: StorePath) -> bool:
        """Whether a path of the target can be read and has its registered hash."""
        try:
            object_hash(self.target.store_object(path), self.progress)
        except CacheError:
            return False
        return True

    def close(self) -> None:
        """Closes the stores; for processes that have unpickled it."""
        self.target.close()
        self.source.close()

    def _new_archive(self) -> AbstractContextManager[NarWriter]:
        how = self.compression
        return self.target.writing(compression=how.name, level=how.level, threads=how.threads)
