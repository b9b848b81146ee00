"""New names are pure functions of the plan."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys

from tests.plan.graphs import new, path, paths, plan_of, table

_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
DIAMOND = {"root": "left right", "left": "lib", "right": "lib old", "lib": "old low data"}
PAIRS = [("old", "new"), ("low", "lew")]


def made_name(text: str, name: str, store_dir: str = "/nix/store") -> str:
    """Nix's makeStorePath with type output:graft, from the Nix manual and nothing of graft's."""
    inner = hashlib.sha256(text.encode()).hexdigest()
    outer = hashlib.sha256(f"output:graft:sha256:{inner}:{store_dir}:{name}".encode()).digest()
    folded = [0] * 20
    for position, byte in enumerate(outer):
        folded[position % 20] ^= byte
    number = int.from_bytes(bytes(folded), "little")
    digits = [_ALPHABET[number >> 5 * place & 31] for place in range(31, -1, -1)]
    return "".join(digits) + "-" + name


def test_a_rewritten_path_is_named_after_itself_and_its_table() -> None:
    plan = plan_of(DIAMOND, PAIRS)
    lines = sorted([f"{path('old')} {path('new')}\n", f"{path('low')} {path('lew')}\n"])
    lib = made_name(f"graft-1\n{path('lib')}\n{''.join(lines)}", "lib")
    assert new(plan, "lib") == lib
    left = made_name(f"graft-1\n{path('left')}\n{path('lib')} {lib}\n", "left")
    assert new(plan, "left") == left


def test_an_alias_is_named_after_old_and_where_new_ended_up() -> None:
    plan = plan_of({"root": "old-1.0", "new-1.0.1": "low"}, {"old-1.0": "new-1.0.1", "low": "lew"})
    target = new(plan, "new-1.0.1")
    assert target != path("new-1.0.1")
    text = f"graft-alias-1\n{path('old-1.0')}\n{target}\n"
    assert new(plan, "old-1.0") == made_name(text, "old-1.0")


def test_names_are_what_they_have_always_been() -> None:
    # These never change while the first line of the text stays what it is.
    plan = plan_of(
        {"root": "app lib", "app": "lib old", "lib": "old low"}, [("old", "newer"), ("low", "lew")]
    )
    assert {old.name: str(target) for old, target in plan.moved.items()} == {
        "root": "8mk7xigw6fndficzicm2v7c65zq20chv-root",
        "app": "mzxx4r0axqir13p534ibv9rih20z32mz-app",
        "lib": "5zp58ncsjfp4snbzp0d5bky74zkx9298-lib",
        "old": "skh8w2xqq2g5sikmwixi1n6d00kjx8cw-old",
        "low": path("lew"),
    }


def test_the_store_directory_is_part_of_the_name() -> None:
    plan = plan_of({"root": "old"}, {"old": "new"}, store_dir="/gnu/store")
    text = f"graft-1\n{path('root')}\n{path('old')} {path('new')}\n"
    assert new(plan, "root") == made_name(text, "root", "/gnu/store")
    assert new(plan, "root") != new(plan_of({"root": "old"}, {"old": "new"}), "root")


def test_names_do_not_depend_on_the_roots() -> None:
    whole = plan_of(DIAMOND, PAIRS, roots="root left right lib").moved
    for count in (1, 2, 3):
        for roots in itertools.permutations(DIAMOND, count):
            for old, target in plan_of(DIAMOND, PAIRS, roots=" ".join(roots)).moved.items():
                assert whole[old] == target


def test_names_do_not_depend_on_replacements_that_are_out_of_reach() -> None:
    plan = plan_of(DIAMOND, PAIRS)
    more = plan_of(DIAMOND | {"aside": "far"}, [*PAIRS, ("far", "fur")], roots="root aside")
    assert plan.moved.items() <= more.moved.items()


def test_names_do_not_depend_on_the_order_of_anything() -> None:
    plan = plan_of(DIAMOND, PAIRS, roots="root left", cutoffs="data right")
    turned = plan_of(
        {label: " ".join(text.split()[::-1]) for label, text in reversed(DIAMOND.items())},
        PAIRS[::-1],
        roots="left root",
        cutoffs="right data",
    )
    assert turned.rewrites == plan.rewrites
    assert (turned.moved, turned.new_references) == (plan.moved, plan.new_references)


def test_planning_twice_gives_the_same() -> None:
    assert plan_of(DIAMOND, PAIRS).rewrites == plan_of(DIAMOND, PAIRS).rewrites


def test_names_do_not_depend_on_the_process() -> None:
    program = (
        "from tests.plan.graphs import plan_of\n"
        "from tests.plan.test_naming import DIAMOND, PAIRS\n"
        "print([rewrite.new_path for rewrite in plan_of(DIAMOND, PAIRS).rewrites])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    here = [str(rewrite.new_path) for rewrite in plan_of(DIAMOND, PAIRS).rewrites]
    assert run.stdout == f"{here}\n"


def test_two_tables_give_one_path_two_names() -> None:
    first = plan_of(DIAMOND, PAIRS)
    second = plan_of(DIAMOND, PAIRS[:1])
    assert table(second, "lib") == {path("old"): path("new")}
    assert len({new(first, "lib"), new(second, "lib"), *paths("lib")}) == 3
