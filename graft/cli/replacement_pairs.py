"""Pairs to replace that depend on the closure: all outputs of derivations, and files of pairs."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from graft.cli.path_arguments import NamedOutputs, PathNamespace, split_replacement
from graft.errors import OutputsError, UsageError
from graft.formats.store_path import StorePath
from graft.plan.closure import Closure
from graft.plan.path_names import ambiguous, same_derivation
from graft.store.api import Source, path_info
from graft.ways.diff.outputs import OutputNames, deriver_of, paired_outputs

Pair = tuple[StorePath, StorePath]
"""OLD and NEW."""

_log = logging.getLogger(__name__)

_CLOSURE = "the closure of ROOT"


def pairs_of_arguments(
    store: Source,
    roots: Iterable[StorePath],
    arguments: Iterable[str],
    *,
    settled: Iterable[Pair] = (),
    cutoffs: Iterable[str] = (),
    outputs: bool = True,
    versions: bool = False,
) -> list[Pair]:
    """The pairs that `OLD=NEW` arguments mean, after the settled ones.

    Every output of OLD's derivation in the closure is paired with NEW's output of the same name, if
    there is one. Two derivations stand for all their outputs; a lacking output is an error.

    Args:
        roots: they lead to all outputs that are paired; names of OLDs are looked up there first.
        settled: the pairs that are known already.
        cutoffs: arguments of paths that are kept.
        outputs: whether the other outputs are paired too.
        versions: whether an OLD that means several versions means all of them.

    Raises:
        UsageError: an argument cannot be split, or one of a pair is a derivation and the other not.
        BadStorePathError, InvalidPathError: a half leads nowhere, or is not valid.
        UnknownNameError, AmbiguousNameError: a name means nothing, or several things.
        OutputsError: a derivation lacks an output, or no output of OLD has a partner.
    """
    closure = Closure.of(store, store.path_infos(roots))
    old_names = PathNamespace(store, closure.infos.keys(), _CLOSURE)
    if not closure.infos:
        old_names = PathNamespace(store)
    pairing = _Pairing(store, closure, settled, map(old_names.path, cutoffs), outputs=outputs)
    asked: list[tuple[NamedOutputs, NamedOutputs]] = []
    for argument in arguments:
        olds, new = split_replacement(argument, old_names, PathNamespace(store))
        if len(olds) > 1:
            siblings = set(pairing.outputs_of_new(new).values())
            olds = [old for old in olds if siblings.isdisjoint(old.outputs)]
        if len(olds) > 1 and not versions:
            text = argument.partition("=")[0]
            raise ambiguous(text, [old.outputs for old in olds], _CLOSURE)
        asked += [(old, new) for old in olds]
    for old, new in asked:
        pairing.take_exact(old, new)
    for old, new in asked:
        pairing.take_outputs(old, new)
    return pairing.pairs


class _Pairing:
    """The pairs found so far, and the paths that need no other."""

    def __init__(
        self,
        store: Source,
        closure: Closure,
        settled: Iterable[Pair],
        cutoffs: Iterable[StorePath],
        *,
        outputs: bool,
    ) -> None:
        self.pairs: list[Pair] = []
        self._store = store
        self._closure = closure
        self._cutoffs = frozenset(cutoffs)
        self._outputs = outputs
        self._names = OutputNames(store)
        settled = list(settled)
        self.pairs += [pair for pair in settled if not any(path.is_derivation for path in pair)]
        for old, new in settled:
            if old.is_derivation or new.is_derivation:
                self._take_derivations(old, new)

    @property
    def _settled(self) -> set[StorePath]:
        return {old for old, _ in self.pairs}.union(self._cutoffs)

    def outputs_of_new(self, new: NamedOutputs) -> dict[str, StorePath]:
        """The valid outputs of NEW by their names."""
        return PathNamespace(self._store).outputs_by_name(new)

    def take_exact(self, old: NamedOutputs, new: NamedOutputs) -> None:
        """Takes the pair that is named path by path."""
        if not old.exact or old.main.is_derivation or new.main.is_derivation:
            return
        chosen = new.main
        if not new.exact:
            chosen = self.outputs_of_new(new).get(self._names.of(old.main), new.main)
        self.pairs.append((old.main, chosen))

    def take_outputs(self, old: NamedOutputs, new: NamedOutputs) -> None:
        """Takes the pairs of all outputs of OLD that are in the closure."""
        if old.main.is_derivation or new.main.is_derivation:
            self._take_derivations(old.main, new.main)
            return
        if not self._outputs:
            if not old.exact:
                self.pairs.append((old.main, new.main))
            return
        partners = self.outputs_of_new(new)
        settled = self._settled
        named = [path for path in old.outputs if path in self._closure] or old.outputs
        found = [
            (path, partners[name])
            for path in dict.fromkeys([*named, *self._siblings(old.main)])
            if path not in settled and (name := self._names.of(path)) in partners
        ]
        self.pairs += [(path, partner) for path, partner in found if path != partner]
        if found or old.exact or not settled.isdisjoint(old.outputs):
            return
        if len(old.outputs) > 1:
            full = self._store.store_dir.path
            raise OutputsError(
                f"no output of '{full(old.main)}' has the name of an output of "
                f"'{full(new.main)}': give pairs of full store paths",
                path=full(old.main),
                new=full(new.main),
            )
        self.pairs.append((old.main, new.main))

    def _siblings(self, old: StorePath) -> tuple[StorePath, ...]:
        """The outputs of OLD's derivation in the closure."""
        infos = self._closure.infos
        if old not in infos:
            return ()
        name = old.package_name
        alike = {path: info for path, info in infos.items() if path.package_name == name}
        return next(group for group in same_derivation(alike) if old in group)

    def _take_derivations(self, old: StorePath, new: StorePath) -> None:
        if old.is_derivation != new.is_derivation:
            full = self._store.store_dir.path
            raise UsageError(
                f"--replace '{full(old)}={full(new)}': one of them is a derivation: give both, or "
                "two of their outputs, as DRV^*"
            )
        self.pairs += paired_outputs(
            self._store,
            *(deriver_of(self._store, path) for path in (old, new)),
            closure=self._closure.infos,
            settled=self._settled,
        )


def pairs_of_file(
    store: Source, roots: Iterable[StorePath], pairs: Iterable[tuple[str, str]], file: str
) -> list[tuple[StorePath, StorePath]]:
    """The pairs of a file, which may be made for more roots than these.

    A valid OLD counts even if the roots do not lead to it: something new may lead there.

    Args:
        file: the file's name in messages.

    Raises:
        UsageError: no pair is left.
        InvalidPathError: the NEW of a path of the closures is not valid.
    """
    named = [(store.resolve(old), store.resolve(new)) for old, new in pairs]
    asked = {path for pair in named for path in pair}
    valid = store.path_infos(asked)
    if len(valid) == len(asked):
        return named
    closure = Closure.of(store, roots)
    for old, new in named:
        if old in closure:
            path_info(store, new)
    found = [(old, new) for old, new in named if old in valid and new in valid]
    if not found:
        raise UsageError(
            f"nothing that '{file}' replaces is in the closures of the roots", file=file
        )
    _log.warning(
        "%d of %d replacements in '%s' are left out: no root leads to them, and they are not valid",
        len(named) - len(found),
        len(named),
        file,
    )
    return found
