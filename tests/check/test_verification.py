"""What stands in a store, held against its plan."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest

from graft.check.verification import verify
from graft.jobs.apply import apply
from graft.kernel.tree import read_tree
from graft.plan import Plan
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.api import PathInfo, path_info
from tests.graftable import Graftable
from tests.store_objects import new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _kinds(plan: Plan, it: Graftable) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for problem in verify(plan, it.store).problems:
        kinds.setdefault(problem.kind, []).append(problem.path.name)
    return {kind: sorted(names) for kind, names in kinds.items()}


def test_what_apply_made_is_verified(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new})
    proof = verify(outcome.plan, it.store)
    assert proof.holds
    assert proof.paths == len(outcome.plan.new_references)


def test_before_it_was_applied_nothing_of_a_plan_is_valid(it: Graftable) -> None:
    plan = make_plan(it.store, Graft.of([it.env], [(it.old, it.new)]))
    assert _kinds(plan, it) == {"not-valid": ["app-1", "env-1"]}


def _tamper(it: Graftable, outcome_path: str) -> None:
    file = Path(outcome_path, "bin", "run")
    file.parent.chmod(0o755)
    file.chmod(0o755)
    file.write_bytes(file.read_bytes().replace(b"cat", b"dog"))
    file.chmod(0o555)
    os.utime(file, (1, 1))
    file.parent.chmod(0o555)


def test_other_bytes_are_a_problem(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new})
    _tamper(it, it.tree(outcome.plan.moved[it.app]))
    assert _kinds(outcome.plan, it) == {"nar-hash": ["app-1"]}


def test_other_bytes_that_were_registered_as_such_are_a_problem(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new})
    new_app = outcome.plan.moved[it.app]
    _tamper(it, it.tree(new_app))
    digest = hashlib.sha256()
    size = read_tree(it.tree(new_app), sink=digest.update).nar_size
    info = path_info(it.store, new_app)
    with it.store.making([new_app], repair=[new_app]) as making:
        os.rename(it.tree(new_app), making.staging(new_app))
        making.finish(
            PathInfo(
                path=new_app,
                nar_hash=digest.digest(),
                nar_size=size,
                references=info.references,
                ultimate=True,
            )
        )
    assert _kinds(outcome.plan, it) == {"not-the-rewrite": ["app-1"]}


def test_a_reference_that_is_not_registered_is_a_problem(it: Graftable) -> None:
    outcome = apply(it.store, [it.env], {it.old: it.new})
    with sqlite3.connect(Path(it.store.location.database_dir, "db.sqlite")) as connection:
        connection.execute(
            "delete from Refs where referrer = (select id from ValidPaths where path = ?)",
            (it.store.store_dir.path(outcome.plan.moved[it.app]),),
        )
    connection.close()
    assert _kinds(outcome.plan, it) == {"references": ["app-1"]}
