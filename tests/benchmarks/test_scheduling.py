"""The schedules of the simulation, on graphs whose schedules can be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scheduling import Schedule, list_schedule
from benchmarks.simulate import Rates


def test_one_worker_does_one_task_after_the_other() -> None:
    done = list_schedule({"a": 1.0, "b": 2.0, "c": 4.0}, {"c": ["a"]}, 1)
    assert done == Schedule(makespan=7.0, critical_path=5.0, work=7.0)


def test_with_workers_enough_the_longest_chain_counts() -> None:
    seconds = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 3.0}
    waits = {"b": ["a"], "c": ["b"], "d": ["a"]}
    assert list_schedule(seconds, waits, 9) == Schedule(7.0, 7.0, 10.0)
    assert list_schedule(seconds, {}, 9) == Schedule(4.0, 4.0, 10.0)


def test_the_largest_task_that_is_ready_comes_first() -> None:
    seconds = {"a": 1.0, "b": 1.0, "c": 2.0}
    assert list_schedule(seconds, {}, 2).makespan == 2.0
    # The largest of all is not ready yet: nobody waits for it.
    assert list_schedule({**seconds, "d": 5.0}, {"d": ["c"]}, 2).makespan == 7.0


def test_what_waits_for_several_waits_for_the_last_of_them() -> None:
    seconds = {"short": 1.0, "long": 6.0, "both": 1.0}
    assert list_schedule(seconds, {"both": ["short", "long"]}, 2).makespan == 7.0


def test_circles_and_unknown_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        list_schedule({"a": 1.0, "b": 1.0, "c": 1.0}, {"a": ["b"], "b": ["a"]}, 2)
    with pytest.raises(ValueError, match="a waits for b, which is no task"):
        list_schedule({"a": 1.0}, {"a": ["b"]}, 2)


@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=12),
    edges=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11))),
    workers=st.integers(1, 5),
)
def test_no_schedule_is_faster_than_its_bounds_or_slower_than_twice(
    sizes: list[int], edges: list[tuple[int, int]], workers: int
) -> None:
    seconds = {str(task): float(size) for task, size in enumerate(sizes)}
    waits = {
        str(task): {str(below) for above, below in edges if above == task and below < task}
        for task in range(len(sizes))
    }
    done = list_schedule(seconds, waits, workers)
    least = max(done.critical_path, done.work / workers)
    assert least <= done.makespan
    # R. L. Graham, Bounds on multiprocessing timing anomalies, 1969
    assert done.makespan <= (2 - 1 / workers) * least + 1e-9
    assert list_schedule(seconds, waits, len(sizes)).makespan == done.critical_path


def test_rates_are_found_again_in_what_they_give() -> None:
    rates = Rates(seconds=0.25, size=1000.0)
    sizes = [0, 10, 500, 40_000, 90_000]
    found = Rates.of([(size, rates.of_path(size)) for size in sizes])
    assert found.seconds == pytest.approx(0.25)
    assert found.size == pytest.approx(1000.0)


def test_noise_does_not_make_a_path_take_less_than_nothing() -> None:
    found = Rates.of([(100, 0.001), (100, 0.0), (10_000, 1.0), (10_000, 1.0)])
    assert found.seconds == 0.0
    assert found.size == 10_000.0
