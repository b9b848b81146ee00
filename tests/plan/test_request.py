"""What is asked of the planner: in path arguments, and in store paths."""

from __future__ import annotations

from graft.formats.store_path import StorePath
from graft.plan.request import Graft

_A, _B, _C = (StorePath(f"{digit * 32}-{digit}") for digit in "abc")


def test_a_root_given_twice_is_one() -> None:
    graft = Graft.of([_A, _B, _A], {_B: _C})
    assert graft.roots == (_A, _B)
    assert graft.replacements == ((_B, _C),)


def test_every_path_is_resolved_and_everything_else_stays() -> None:
    asked = Graft(
        roots=("*-pattern",),
        replacements=(("old", "new"),),
        cutoffs=("cut",),
        initrd_cutoff=False,
        deep=True,
        hidden={"holder": ("held",)},
        addressing="content",
        self_references="zeroed",
        fixups=("no-zip",),
    )
    paths = dict(zip(("old", "new", "cut", "holder", "held"), (_A, _B, _C, _A, _B), strict=True))
    assert asked.resolved(paths.__getitem__, [_C, _B]) == Graft(
        roots=(_C, _B),
        replacements=((_A, _B),),
        cutoffs=(_C,),
        initrd_cutoff=False,
        deep=True,
        hidden={_A: (_B,)},
        addressing="content",
        self_references="zeroed",
        fixups=("no-zip",),
    )
