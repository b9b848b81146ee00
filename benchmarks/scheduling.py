"""Tasks on several workers: when all of them are done, if nobody is idle who could work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True)
class Schedule:
    """How a list schedule went, in seconds.

    Attributes:
        makespan: until the last task has ended.
        critical_path: the longest chain of tasks that wait for each other: with any number of
            workers it takes no less.
        work: of all tasks together: with one worker it takes no less.
    """

    makespan: float
    critical_path: float
    work: float


def list_schedule(
    seconds: Mapping[str, float], waits_for: Mapping[str, Collection[str]], workers: int
) -> Schedule:
    """Gives each worker that is free the largest task that is ready.

    Args:
        seconds: what each task takes.
        waits_for: the tasks that must have ended before a task is ready; none if it is missing.

    Raises:
        ValueError: tasks wait for each other in a circle, or for none of these.
    """
    waiting = {task: len(waits_for.get(task, ())) for task in seconds}
    after: dict[str, list[str]] = {task: [] for task in seconds}
    for task in seconds:
        for before in waits_for.get(task, ()):
            if before not in after:
                raise ValueError(f"{task} waits for {before}, which is no task")
            after[before].append(task)
    ready = [(-seconds[task], task) for task, count in waiting.items() if not count]
    heapify(ready)
    running: list[tuple[float, str]] = []
    chain = dict.fromkeys(seconds, 0.0)  # of each task, the longest that must end before
    now = longest = 0.0
    done = 0
    while ready or running:
        while ready and len(running) < workers:
            _, task = heappop(ready)
            heappush(running, (now + seconds[task], task))
        now, task = heappop(running)
        done += 1
        chain[task] += seconds[task]
        longest = max(longest, chain[task])
        for other in after[task]:
            chain[other] = max(chain[other], chain[task])
            waiting[other] -= 1
            if not waiting[other]:
                heappush(ready, (-seconds[other], other))
    if done < len(seconds):
        raise ValueError("tasks wait for each other in a circle")
    return Schedule(makespan=now, critical_path=longest, work=sum(seconds.values()))
