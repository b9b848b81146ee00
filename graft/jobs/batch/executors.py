"""Who does the tasks of a batch: threads of this process, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graft.jobs.batch.cluster import Cluster
from graft.workers import Workers, untold


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who does the tasks.

    Attributes:
        submit: begins the call of a function with one argument.
        slots: calls that can be at work at once.
        progress: for the tasks to call, where they are in this process.
        ended: to be called with the size of each that has ended.
    """

    submit: Callable[..., Future[Any]]
    slots: int
    progress: Callable[[int], object]
    ended: Callable[[int], object]


@contextmanager
def open_crew(
    cluster: Cluster | None, threads: int | None, on_bytes: Callable[[int], object]
) -> Iterator[Crew]:
    """Who is at hand as long as the block runs: the cluster if there is one.

    Args:
        threads: of this process; the number of usable processors if None.
        on_bytes: told of the bytes done: by threads as they do them, else of whole tasks.
    """
    if cluster is None:
        with Workers(threads, on_bytes) as workers:
            yield Crew(
                submit=workers.pool.submit,
                slots=workers.jobs,
                progress=workers.progress,
                ended=untold,
            )
        return
    try:
        yield Crew(submit=cluster.submit, slots=cluster.slots, progress=untold, ended=on_bytes)
    finally:
        cluster.forget()
