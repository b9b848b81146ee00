"""The rest of the replaced packages after a graft, though nothing leads to OLD any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from graft.formats.store_path import StorePath
from graft.plan import Plan, PlanWarning

Why = Literal["other-output", "other-version", "static-copy"]


@dataclass(frozen=True, slots=True, order=True)
class Remaining:
    """A path of the new closure with something of a replaced package.

    Attributes:
        path: the path.
        name: the package name of the OLD.
        why: `other-output`: an output of OLD's derivation or version that is not replaced;
            `other-version`: the package in another version; `static-copy`: a copy of OLD's code.
    """

    path: StorePath
    name: str
    why: Why


def remaining(plan: Plan, warnings: Iterable[PlanWarning] = ()) -> tuple[Remaining, ...]:
    """The rest of the replaced packages, by name, by deriver and by warnings of copies.

    Args:
        warnings: more of them than the plan's.
    """
    return tuple(sorted(set(_remaining(plan, [*plan.warnings, *warnings]))))


def _remaining(plan: Plan, warnings: Iterable[PlanWarning]) -> Iterator[Remaining]:
    replaced = {old: new for old, new in plan.replacements.items() if old != new}
    olds: dict[str, list[StorePath]] = defaultdict(list)
    for old in replaced:
        olds[old.package_name].append(old)
    originals = {new: old for old, new in plan.moved.items()}
    wanted = {*replaced.values(), *(alias.path for alias in plan.aliases)}
    for path in plan.new_references:
        original = originals.get(path, path)
        if path.is_derivation or {path, original} & wanted or {path, original} & replaced.keys():
            continue
        for old in olds.get(path.package_name, ()):
            why: Why = "other-output" if _is_output(plan, original, old) else "other-version"
            yield Remaining(path, old.package_name, why)
            break
    for warning in warnings:
        if warning.kind == "static-copy" and warning.path is not None:
            name = ", ".join(sorted(olds))
            yield Remaining(plan.moved.get(warning.path, warning.path), name, "static-copy")


def _is_output(plan: Plan, path: StorePath, old: StorePath) -> bool:
    """Whether a path is another output of an OLD's derivation, or called like one."""
    infos = plan.closure.infos
    deriver = infos[old].deriver if old in infos else None
    if deriver is not None and path in infos and infos[path].deriver is not None:
        return infos[path].deriver == deriver
    return path.name == old.name or path.name.startswith(f"{old.name}-")
