"""The rules of derivations for the references of their outputs, held against a graft.

A derivation may allow or forbid references and requisites of its outputs; Nix checks the rules when
it builds. A graft builds nothing, so the rules of each rewritten path's deriver are checked here.
A path that moves counts as the path it was: a rebuild would have the new one in its rules, too.

Source: checkOutputs in src/libstore/build/derivation-check.cc of Nix.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graft.errors import BadFormatError, BadStorePathError, TreeError
from graft.formats.derivations.derivation import Derivation, parse_derivation
from graft.formats.store_path import StorePath
from graft.graph import reachable
from graft.plan import Plan, PlanWarning, Rewrite
from graft.quantities import counted
from graft.store.api import Source
from graft.store.objects import TreeObject

_RULES: Final = (
    "allowedReferences",
    "allowedRequisites",
    "disallowedReferences",
    "disallowedRequisites",
)


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """A rule of a derivation for one of its outputs.

    Attributes:
        name: `allowedReferences` or another of the four.
        items: the store paths in full and names of outputs in it.
    """

    name: str
    items: tuple[str, ...]

    @property
    def is_recursive(self) -> bool:
        """Whether the rule is for all requisites."""
        return self.name.endswith("Requisites")

    @property
    def forbids(self) -> bool:
        """Whether the items of the rule are forbidden; else no others are allowed."""
        return self.name.startswith("disallowed")


def reference_rules(plan: Plan, source: Source) -> tuple[PlanWarning, ...]:
    """The warnings for new paths that break a rule of their original's deriver.

    Args:
        source: the store of the originals. A deriver that lies in no tree there is not read.

    Raises:
        TreeError: a derivation cannot be read.
    """
    infos = plan.closure.infos
    derivers = {
        deriver for rewrite in plan.rewrites if (deriver := infos[rewrite.path].deriver) is not None
    }
    known = {
        path: derivation
        for path in sorted(source.path_infos(derivers))
        if (derivation := _derivation(path, source)) is not None
    }
    warnings: list[PlanWarning] = []
    for rewrite in plan.rewrites:
        deriver = infos[rewrite.path].deriver
        if deriver in known:
            warnings += _broken(plan, rewrite, known[deriver])
    return tuple(warnings)


def rules_of(derivation: Derivation, output: str) -> tuple[ReferenceRule, ...]:
    """The rules for one output, as attributes of the builder or with structured attributes."""
    environment = dict(derivation.environment)
    if "__json" not in environment:
        rules = {name: environment[name].split() for name in _RULES if name in environment}
    else:
        try:
            checks = json.loads(environment["__json"])["outputChecks"][output]
            rules = {
                name: [str(item) for item in checks[name]] for name in _RULES if name in checks
            }
        except (ValueError, LookupError, TypeError):
            return ()
    return tuple(ReferenceRule(name, tuple(items)) for name, items in rules.items())


def _derivation(path: StorePath, source: Source) -> Derivation | None:
    item = source.store_object(path)
    if not isinstance(item, TreeObject):
        return None
    try:
        with open(item.tree, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TreeError(
            f"'{item.tree}' cannot be read: {error.strerror}", path=item.tree
        ) from error
    try:
        return parse_derivation(data, source.store_dir, str(path))
    except BadFormatError:
        return None  # of a later version of Nix, perhaps


def _broken(plan: Plan, rewrite: Rewrite, derivation: Derivation) -> Iterator[PlanWarning]:
    outputs = {each.name: each.path for each in derivation.outputs if each.path is not None}
    name = next((name for name, path in outputs.items() if path == rewrite.path), None)
    if name is None:
        return
    new = rewrite.new_path
    direct = set(plan.new_references[new]) - {new}
    for rule in rules_of(derivation, name):
        listed = set(_paths(plan, rule.items, outputs))
        found = reachable(plan.new_references, direct) - {new} if rule.is_recursive else direct
        broken = found & listed if rule.forbids else found - listed
        if broken:
            yield _warning(plan, rewrite, rule, sorted(broken))


def _paths(
    plan: Plan, items: Iterable[str], outputs: Mapping[str, StorePath]
) -> Iterator[StorePath]:
    """The paths of a rule, as they were and where they move to."""
    ends: dict[Any, StorePath] = {alias.path: alias.target for alias in plan.aliases}
    for item in items:
        try:
            path = outputs[item] if item in outputs else plan.store_dir.parse(item)
        except BadStorePathError:
            continue  # a placeholder of an output that is not known yet
        yield path
        moved = plan.moved.get(path)
        if moved is not None:
            yield moved
            if moved in ends:
                yield ends[moved]


def _warning(
    plan: Plan, rewrite: Rewrite, rule: ReferenceRule, broken: list[StorePath]
) -> PlanWarning:
    full = plan.store_dir.path
    more = f" (and {counted(len(broken) - 1, 'more path')})" if len(broken) > 1 else ""
    what = "leads" if rule.is_recursive else "refers"
    verb = "forbids" if rule.forbids else "does not allow"
    return PlanWarning(
        kind="reference-rule",
        path=rewrite.path,
        message=f"'{full(rewrite.path)}' {what} to '{full(broken[0])}'{more} after the graft, "
        f"which {rule.name} of its derivation {verb}: take another NEW, or build it again",
    )
