"""Threads and clusters that do tasks, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from graft.workers import Resources


class Stages(list[tuple[str, int | None]]):
    """Which stages were begun, and the bytes that were told of."""

    told = 0

    @contextmanager
    def __call__(self, stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
        self.append((stage, total))

        def on_bytes(size: int) -> None:
            self.told += size

        yield on_bytes


class OneByOne:
    """A cluster of one worker, in this process."""

    slots = 1

    def __init__(self) -> None:
        self.forgotten: list[bool] = []

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(argument))
        return future

    def forget(self) -> None:
        self.forgotten.append(True)


def test_threads_tell_of_bytes_as_they_do_them() -> None:
    stages = Stages()
    with Resources(jobs=3, progress=stages).task_pool("graft", 12) as tasks:
        assert tasks.slots == 3
        tasks.submit(tasks.progress, 5).result()
        tasks.ended(7)
    assert (stages, stages.told) == ([("graft", 12)], 5)


def test_of_a_cluster_whole_tasks_are_told() -> None:
    stages, cluster = Stages(), OneByOne()
    with Resources(progress=stages, cluster=cluster).task_pool("graft", None) as tasks:
        assert tasks.slots == 1
        tasks.submit(tasks.progress, 5).result()
        tasks.ended(7)
        assert not cluster.forgotten
    assert (stages, stages.told) == ([("graft", None)], 7)
    assert len(cluster.forgotten) == 1


def test_a_cluster_forgets_what_it_was_given_also_after_an_error() -> None:
    cluster = OneByOne()
    with pytest.raises(ZeroDivisionError), Resources(cluster=cluster).task_pool("graft", 1):
        raise ZeroDivisionError
    assert len(cluster.forgotten) == 1
