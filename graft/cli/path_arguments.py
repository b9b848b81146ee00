"""Path arguments: store paths, links to them, and names in the closure or the store at hand."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from graft.errors import (
    BadStorePathError,
    CacheError,
    InvalidPathError,
    UnknownNameError,
    UsageError,
)

if TYPE_CHECKING:
    from graft.formats.store_path import StorePath
    from graft.store.api import Source


@dataclass(frozen=True, slots=True)
class NamedOutputs:
    """The paths that an argument means: one, or the outputs of one derivation.

    Attributes:
        outputs: the main output first.
        exact: whether the argument names one path; else a derivation, by some of its outputs.
    """

    outputs: tuple[StorePath, ...]
    exact: bool

    @property
    def main(self) -> StorePath:
        """The path that stands for all of them."""
        return self.outputs[0]


class PathNamespace:
    """The paths that names may mean: a closure, and behind it all valid paths of its store.

    Args:
        store: where paths must be valid.
        closure: the paths that are looked at first.
        place: the closure in words.
    """

    def __init__(
        self, store: Source, closure: Collection[StorePath] | None = None, place: str = ""
    ) -> None:
        self._store = store
        self._closure = closure
        self._place = place

    @classmethod
    def of_closure(
        cls, store: Source, roots: Iterable[StorePath], place: str = "the closure of ROOT"
    ) -> PathNamespace:
        """The names in the closure of some roots."""
        from graft.plan.closure import Closure

        return cls(store, Closure.of(store, roots).infos.keys(), place)

    @cached_property
    def _valid(self) -> Collection[StorePath]:
        return self._store.valid_paths()

    def path(self, argument: str) -> StorePath:
        """The one valid path that an argument means; of several outputs the main one.

        Raises:
            BadStorePathError: a path leads nowhere inside the store.
            InvalidPathError: a path is not valid.
            UnknownNameError, AmbiguousNameError: a name means nothing, or several things.
        """
        return self.outputs(argument).main

    def outputs(self, argument: str) -> NamedOutputs:
        """The valid paths that an argument means; errors as of `path`."""
        found = self.every(argument)
        if len(found) > 1:
            from graft.plan.path_names import ambiguous

            _, place = self._scope(argument)
            raise ambiguous(argument, [each.outputs for each in found], place)
        return found[0]

    def every(self, argument: str) -> list[NamedOutputs]:
        """All that an argument means, each version by itself; errors as of `path`."""
        from graft.store.api import path_info

        base, caret, names = argument.rpartition("^")
        if caret and base and not os.path.lexists(argument):
            return [self._outputs_named(base, names)]
        try:
            path = self._store.resolve(argument)
        except BadStorePathError:
            if "/" in argument or not argument:
                raise
            return self._named(argument)
        return [NamedOutputs((path_info(self._store, path).path,), exact=True)]

    def _named(self, text: str) -> list[NamedOutputs]:
        from graft.plan.path_names import choices_of, unlisted

        try:
            paths, place = self._scope(text)
        except CacheError:  # its paths cannot be listed
            raise unlisted(text, self._store.url) from None
        return [
            NamedOutputs(choice, exact=text in (path.name for path in choice) and len(choice) == 1)
            for choice in choices_of(self._store, paths, text, place)
        ]

    def _scope(self, text: str) -> tuple[Collection[StorePath], str]:
        """The paths among which a name is looked up, and their place in words."""
        from graft.plan.path_names import named_paths

        whole = "the store"
        if self._closure is None:
            return self._valid, whole
        if named_paths(self._closure, text) or not named_paths(self._valid, text):
            return self._closure, self._place
        return self._valid, whole

    def _outputs_named(self, base: str, names: str) -> NamedOutputs:
        """The outputs of `BASE^NAME,NAME` or `BASE^*`, as Nix has them."""
        outputs = self.outputs_by_name(self.outputs(base))
        if names == "*":
            return NamedOutputs(tuple(outputs.values()), exact=len(outputs) == 1)
        wanted = names.split(",")
        if missing := [name for name in wanted if name not in outputs]:
            raise UnknownNameError(
                f"'{base}' has no output '{missing[0]}' that is valid here: it has "
                f"{', '.join(outputs) or 'none'}; build it first, or name another",
                name=missing[0],
                nearest=list(outputs),
            )
        return NamedOutputs(tuple(outputs[name] for name in wanted), exact=len(wanted) == 1)

    def outputs_by_name(self, named: NamedOutputs) -> dict[str, StorePath]:
        """The valid outputs of a derivation by their names, `out` first.

        Without a known derivation these are the valid paths whose names differ in the output alone.
        """
        from graft.ways.diff.outputs import OutputNames, sibling_outputs

        names = OutputNames(self._store)
        paths = {*sibling_outputs(self._store, named.main), *named.outputs}
        paths = {path for path in paths if not path.is_derivation}
        found = {names.of(path): path for path in sorted(paths, reverse=True)}
        return dict(sorted(found.items(), key=lambda item: (item[0] != "out", item[0])))


def split_replacement(
    argument: str, old_names: PathNamespace, new_names: PathNamespace
) -> tuple[list[NamedOutputs], NamedOutputs]:
    """The halves of `OLD=NEW`; names may hold `=`, and the text is split where both are known.

    Returns:
        All meanings of OLD, and the one of NEW.

    Raises:
        UsageError: there is no `=`, or both halves are known at more than one.
        BadStorePathError, InvalidPathError, UnknownNameError, AmbiguousNameError: the half that is
            named is not known.
    """
    places = [place for place, character in enumerate(argument) if character == "="]
    found: list[tuple[list[NamedOutputs], NamedOutputs]] = []
    trouble: list[tuple[int, Exception]] = []
    for place in places:
        halves: list[list[NamedOutputs]] = []
        for half, text, names in (
            ("OLD", argument[:place], old_names),
            ("NEW", argument[place + 1 :], new_names),
        ):
            if not text:
                break
            try:
                halves.append(
                    names.every(text) if half == "OLD" else [names.outputs(text)],
                )
            except (BadStorePathError, InvalidPathError, UnknownNameError) as error:
                told = f"--replace '{argument}': {half} is not known: {error.message}"
                trouble.append((len(halves), type(error)(told, **_fields(error.fields, argument))))
                break
        if len(halves) == 2:
            found.append((halves[0], halves[1][0]))
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise UsageError(
            f"--replace '{argument}' can be split at more than one '=': give full store paths",
            argument=argument,
        )
    if trouble:  # of several places the one where more is known
        raise max(trouble, key=lambda item: item[0])[1]
    raise UsageError(
        f"--replace '{argument}' is not OLD=NEW, two store paths, links to them or names",
        argument=argument,
    )


def _fields(fields: Mapping[str, object], argument: str) -> dict[str, object]:
    return {**fields, "argument": argument}
