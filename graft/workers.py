"""Threads that share one piece of work, and stop together when one of them fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar


class Progress(Protocol):
    """Shows how far a stage of the job is."""

    def __call__(
        self, stage: str, total: int | None
    ) -> AbstractContextManager[Callable[[int], object]]:
        """Begins a stage of `total` bytes; the function it gives takes the bytes done."""


def untold(_size: int) -> None:
    """Takes the bytes done, and shows nothing."""


def no_progress(stage: str, total: int | None) -> AbstractContextManager[Callable[[int], object]]:
    """Progress that is not shown."""
    del stage, total
    return nullcontext(untold)


AHEAD: Final = 4
"""Tasks given out for each that can be at work: no worker waits for the next one."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class StoppedError(Exception):
    """Another thread failed: this one's work is not wanted any more."""


def usable_processors() -> int:
    """The processors this process may run on."""
    return len(os.sched_getaffinity(0))


class Workers:
    """A pool of threads.

    Args:
        jobs: how many; the number of usable processors if None.
        on_bytes: told of progress in bytes, from any thread.

    Attributes:
        jobs: how many threads there are at most.
        pool: the threads.
    """

    def __init__(self, jobs: int | None, on_bytes: Callable[[int], object] | None = None) -> None:
        self.jobs = jobs or usable_processors()
        self.pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="graft")
        self._stop = threading.Event()
        self._on_bytes = on_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stop.set()
        self.pool.shutdown(cancel_futures=True)

    def progress(self, size: int) -> None:
        """Reports bytes done; the work calls it often, for it is also where a thread stops.

        Raises:
            StoppedError: another thread failed.
        """
        if self._stop.is_set():
            raise StoppedError
        if self._on_bytes is not None:
            self._on_bytes(size)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Does the work on every item, and yields the results as they come, in any order.

        When one fails, or the caller stops iterating by an exception, no thread is still at work
        on an item once this raises.
        """
        futures = [self.pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            self._stop.set()
            for future in futures:
                future.cancel()
            wait(futures)
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPool:
    """The workers of tasks: threads of this process, or the workers of a cluster.

    Attributes:
        submit: begins the call of a function with one argument.
        slots: calls that can be at work at once.
        progress: for the tasks to call, where they are in this process.
        ended: to be called with the size of each task that has ended.
    """

    submit: Callable[..., Future[Any]]
    slots: int
    progress: Callable[[int], object] = untold
    ended: Callable[[int], object] = untold


class TaskCluster(Protocol):
    """The workers of other processes or machines."""

    @property
    def slots(self) -> int:
        """Calls that can be at work at once."""

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Begins a call of a function that can be pickled."""

    def forget(self) -> None:
        """Lets the workers close the files that the functions had open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The workers of a job, and its progress.

    Attributes:
        jobs: threads; the number of usable processors if None.
        progress: shows how far each stage is.
        cluster: does the tasks that can be done elsewhere; None: threads of this process do.
    """

    jobs: int | None = None
    progress: Progress = no_progress
    cluster: TaskCluster | None = None

    @contextmanager
    def workers(self, stage: str, total: int | None) -> Iterator[Workers]:
        """Threads for a stage of `total` bytes, as long as the block runs."""
        with self.progress(stage, total) as on_bytes, Workers(self.jobs, on_bytes) as workers:
            yield workers

    @contextmanager
    def task_pool(self, stage: str, total: int | None) -> Iterator[TaskPool]:
        """The workers for the tasks of a stage of `total` bytes: the cluster if there is one.

        Progress comes from threads as they read and write, from a cluster task by task.
        """
        if self.cluster is None:
            with self.workers(stage, total) as workers:
                yield TaskPool(
                    submit=workers.pool.submit, slots=workers.jobs, progress=workers.progress
                )
            return
        with self.progress(stage, total) as on_bytes:
            try:
                yield TaskPool(submit=self.cluster.submit, slots=self.cluster.slots, ended=on_bytes)
            finally:
                self.cluster.forget()


DEFAULT_RESOURCES: Final = Resources()
"""As many threads as there are usable processors, and no observer of progress."""
