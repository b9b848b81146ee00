"""The benchmarks' own arithmetic, and that what they write can be read again."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from random import Random

import pytest

from benchmarks import corpora, results
from benchmarks.measure import Curve, Figure, Report, Table, Target, Way, in_turn


def test_ways_take_turns_and_are_prepared_and_cleaned_each_time() -> None:
    done: list[str] = []
    ways = [
        Way(
            name,
            partial(done.append, f"run {name}"),
            partial(done.append, f"before {name}"),
            partial(done.append, f"after {name}"),
            most_runs=runs,
        )
        for name, runs in (("a", 9), ("b", 1))
    ]
    figures = in_turn(ways, 2, lambda _: None)
    a, b = (["before " + n, "run " + n, "after " + n] for n in "ab")
    assert done == [*a, *b, *a]
    assert [(one.name, len(one.values)) for one in figures] == [("a", 2), ("b", 1)]


def test_a_way_may_measure_itself() -> None:
    values = iter([3.0, 1.0, 2.0])
    (figure,) = in_turn([Way("own", lambda: next(values))], 3, lambda _: None)
    assert figure.values == (3.0, 1.0, 2.0)
    assert figure.median == 2.0


def test_ratios_are_those_within_a_run_whatever_happens_between_runs() -> None:
    drifting = (Figure("slow", (2.0, 20.0, 200.0)), Figure("floor", (1.0, 10.0, 100.0)))
    once = Figure("once", (4.0,))
    table = Table("", "s", (*drifting, once), "floor")
    assert table.ratio("slow") == 2.0
    assert table.ratio("once") == 4.0
    assert table.ratio("once", "slow") == 2.0


def test_targets_are_met_at_their_limit_and_missed_beyond() -> None:
    assert Target("", 2, 2).met
    assert not Target("", 2.1, 2).met
    assert Target("", 2, 2, at_most=False).met
    assert not Target("", 1.9, 2, at_most=False).met


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    report = Report(
        "some",
        [Table("title", "s", (Figure("x", (1.5, 2.5)), Figure("y", (4.0,))), "x")],
        [Target("claim", 2.0, 1.5)],
        [Curve("grows", "files", {"x": [(1.0, 0.5), (2.0, 1.0)]})],
        ["a note"],
    )
    file = results.save(report, {"kernel": "Linux"}, tmp_path)
    assert results.load(file) == (report, {"kernel": "Linux"})


@pytest.mark.slow
def test_the_same_figures_give_the_same_drawings(tmp_path: Path) -> None:
    from benchmarks import plots  # noqa: PLC0415 - late: slow to import

    table = Table("title", "s", (Figure("x", (1.5, 2.5)), Figure("graft", (4.0,))), "x")
    curve = Curve("grows", "files", {"x": [(1.0, 0.5), (2.0, 1.0)]})
    results.save(Report("trees", [table], [], [curve]), {}, tmp_path)
    drawn = [[file.read_bytes() for file in plots.draw(tmp_path)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 2


def test_references_are_planted_whole_and_counted() -> None:
    data = bytearray(100_000)
    wanted = corpora.pairs(3)
    assert corpora.plant(data, 50, wanted, Random(1)) == 50
    assert sum(data.count(old.encode()) for old, _ in wanted) == 50


@pytest.mark.slow
def test_the_mixed_tree_is_the_same_each_time_and_fit_for_a_store(tmp_path: Path) -> None:
    made = [corpora.make_mixed(tmp_path / name, 200, 4_000_000) for name in "ab"]
    contents = [[Path(file).read_bytes() for file in mixed.regular_files()] for mixed in made]
    assert contents[0] == contents[1]
    assert made[0].files == len(contents[0]) == 200
    olds = [old.encode() for old, _ in corpora.pairs(corpora.PLANTED_PAIRS)]
    found = sum(content.count(old) for content in contents[0] for old in olds)
    assert found == made[0].references > 0
    for file in made[0].regular_files():
        known = os.stat(file)
        assert (known.st_mode & 0o777, int(known.st_mtime)) in {(0o444, 1), (0o555, 1)}


@pytest.mark.parametrize("name", corpora.WORST)
def test_the_worst_inputs_are_as_large_as_asked_for(name: str) -> None:
    assert len(corpora.WORST[name](Random(name), 1 << 16)) == 1 << 16
