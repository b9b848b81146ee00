"""All outputs of one derivation replaced by another's, and all paths of one package name."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from graft.errors import InvalidPathError, OutputsError, UnlistedCacheError
from graft.formats.store_path import StorePath
from graft.plan.path_names import name_without_output, output_suffix
from graft.store.api import Source, path_info
from graft.ways.diff.packages import Derivations

_log = logging.getLogger(__name__)


def outputs_of(store: Source, derivation: StorePath) -> dict[str, StorePath]:
    """The outputs of a derivation by name; if the derivation is missing, its valid outputs.

    Raises:
        BadFormatError: the file holds something else.
    """
    derivations = Derivations(store)
    if derivations.get(derivation) is not None:
        return derivations.outputs(derivation)
    name = derivation.derivation_name
    alike = {
        path for path in _listed(store) if path.name == name or path.name.startswith(f"{name}-")
    }
    infos = store.path_infos(alike)
    built = {path for path, info in infos.items() if info.deriver == derivation}
    return {
        "out" if path.name == name else path.name.removeprefix(f"{name}-"): path for path in built
    }


def deriver_of(store: Source, path: StorePath) -> StorePath:
    """The derivation a path is an output of.

    Raises:
        InvalidPathError: the path is not valid.
        OutputsError: no derivation of it is known.
    """
    if path.is_derivation:
        return path
    deriver = path_info(store, path).deriver
    if deriver is None:
        full = store.store_dir.path(path)
        raise OutputsError(
            f"the derivation that built '{full}' is unknown: name each of its outputs with "
            "--replace",
            path=full,
        )
    return deriver


def paired_outputs(
    store: Source,
    old: StorePath,
    new: StorePath,
    *,
    closure: Collection[StorePath],
    settled: Collection[StorePath] = (),
) -> list[tuple[StorePath, StorePath]]:
    """Pairs the outputs of two derivations by name, for OLD's outputs that are in a closure.

    Args:
        closure: the paths that the roots lead to.
        settled: paths that are replaced or kept
            otherwise.

    Raises:
        OutputsError: NEW lacks one of them, or the closure holds no output of OLD.
        InvalidPathError: an output of NEW that is needed is not built.
    """
    full = store.store_dir.path
    olds, news = outputs_of(store, old), outputs_of(store, new)
    wanted = {name: path for name, path in olds.items() if path in closure}
    if not wanted:
        raise OutputsError(
            f"no output of '{full(old)}' is in the closure: there is nothing to replace",
            derivation=full(old),
        )
    lacking = {
        name: path for name, path in wanted.items() if name not in news and path not in settled
    }
    for name, path in sorted(lacking.items()):
        choices = " or ".join(f"--replace {full(path)}={full(one)}" for one in news.values())
        raise OutputsError(
            f"output '{name}' of '{full(old)}' is in the closure, and '{full(new)}' has no output "
            f"of that name: give {choices or 'another NEW'}, or keep it with --cutoff {full(path)}",
            derivation=full(new),
            output=name,
            path=full(path),
            choices=[full(one) for one in news.values()],
        )
    pairs = [
        (path, news[name])
        for name, path in sorted(wanted.items())
        if path not in settled and name in news
    ]
    valid = store.path_infos(path for _, path in pairs)
    for _, path in pairs:
        if path not in valid:
            raise InvalidPathError(
                f"output '{full(path)}' of '{full(new)}' is not valid in the store '{store.url}': "
                f"build it with 'nix-store --realise {full(new)}'",
                path=full(path),
                derivation=full(new),
            )
    return pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """The replacements for one package name.

    Attributes:
        replacements: each OLD of the closure with its NEW.
        open: every other OLD, with the NEWs it may be; empty if no NEW is of its output.
    """

    replacements: Mapping[StorePath, StorePath]
    open: Mapping[StorePath, tuple[StorePath, ...]]


def suggest_replacements(
    store: Source, name: str, closure: Iterable[StorePath], news: Iterable[StorePath]
) -> Suggestion:
    """Pairs every path of a package name with the patched set's, output by output.

    Args:
        name: without a version.
        closure: the paths that the roots lead to.
        news: the paths of the patched set.

    Raises:
        BadFormatError: a derivation's file holds something else.
    """
    by_output: dict[str, list[StorePath]] = {}
    outputs = OutputNames(store)
    news = {path for path in news if path.package_name == name and not path.is_derivation}
    for path in sorted(news):
        by_output.setdefault(outputs.of(path), []).append(path)
    found: dict[StorePath, StorePath] = {}
    unpaired: dict[StorePath, tuple[StorePath, ...]] = {}
    for path in sorted(closure):
        if path.package_name != name or path.is_derivation or path in news:
            continue
        choices = by_output.get(outputs.of(path), [])
        alike = [choice for choice in choices if choice.name == path.name]
        certain = choices if len(choices) == 1 else alike
        if len(certain) == 1:
            found[path] = certain[0]
        else:
            unpaired[path] = tuple(choices)
    return Suggestion(replacements=found, open=unpaired)


def sibling_outputs(store: Source, path: StorePath) -> set[StorePath]:
    """The valid outputs of the derivation that a path is an output of, itself included.

    Without a known derivation, these are the paths whose names differ in the output alone, if each
    of the names is there once.

    Args:
        path: a valid path; or a derivation, for its own outputs.

    Raises:
        BadFormatError: the derivation's file holds something else.
    """
    deriver = path if path.is_derivation else path_info(store, path).deriver
    if deriver is not None:
        found = outputs_of(store, deriver).values()
        return {*store.path_infos(found), *(() if path.is_derivation else (path,))}
    stem = name_without_output(path)
    alike = [one for one in _listed(store) if name_without_output(one) == stem]
    if path not in alike:
        return {path}
    infos = store.path_infos(alike)
    alike = [one for one in alike if infos[one].deriver is None]
    if len({one.name for one in alike}) < len(alike):
        return {path}
    return set(alike)


def _listed(store: Source) -> set[StorePath]:
    """The valid paths of a store; nothing of a cache that cannot list its paths."""
    try:
        return store.valid_paths()
    except UnlistedCacheError:
        _log.info("'%s' cannot list its paths: only known outputs are paired", store.url)
        return set()


class OutputNames:
    """Tells which output of its derivation a path is."""

    def __init__(self, store: Source) -> None:
        self._store = store
        self._derivations = Derivations(store)

    def of(self, path: StorePath) -> str:
        """The name of the output; by the path's name where no derivation tells."""
        info = self._store.path_infos([path]).get(path)
        deriver = None if info is None else info.deriver
        if deriver is not None:
            if self._derivations.get(deriver) is not None:
                for name, output in self._derivations.outputs(deriver).items():
                    if output == path:
                        return name
            if path.name.startswith(deriver.derivation_name):
                rest = path.name.removeprefix(deriver.derivation_name)
                return rest.removeprefix("-") or "out"
        return output_suffix(path)
