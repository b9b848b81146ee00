"""The forms of BASE and PATCHED: store paths, directories, lists, and files of Nix expressions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from graft.errors import BadStorePathError, UsageError
from graft.formats.derivations.derivation import Derivation, parse_derivation
from graft.formats.derivations.json import parse_derivations_json
from graft.formats.derivations.package_listing import parse_package_listing
from graft.formats.store_path import StorePath
from graft.jobs.arguments import resolve_path
from graft.store.api import Source, path_info
from graft.ways.diff.instantiation import Nix
from graft.ways.diff.packages import Derivations, Package, PackageSet, packages_of


def read_package_set(
    store: Source,
    argument: str,
    *,
    attributes: Sequence[str] = (),
    nix: Nix,
) -> PackageSet:
    """Reads the package set of an argument.

    A path in the store, a link to one, or its name, is a root, or the package that a `.drv` makes.
    A directory elsewhere is a set: its `.drv` files, or links to them or to other store paths. A
    file is a list, JSON that Nix has printed of derivations, or an expression, which Nix
    instantiates.

    Args:
        store: where paths and derivations are.
        attributes: the wanted attributes of an expression; without any, all that `nix-env` finds.
        nix: the Nix that instantiates expressions.

    Raises:
        UsageError: it is neither a path in the store nor a file or directory.
        UnknownNameError, AmbiguousNameError: a name means nothing, or several things.
        EvaluationError: Nix cannot evaluate an expression.
        BadFormatError: a file has another form, or a derivation is not there.
        InvalidPathError: a path is not valid.
    """
    try:
        path = store.resolve(argument)
    except BadStorePathError:
        if "/" in argument or os.path.lexists(argument):
            return _outside(store, argument, attributes, nix)
        path = resolve_path(store, argument)
    return PackageSet(name=argument, packages=(_root(store, path),), derivations=Derivations(store))


def _root(store: Source, path: StorePath, attribute: str | None = None) -> Package:
    """A package that is known by a store path: a derivation's file, or an output."""
    info = path_info(store, path)
    derivations = Derivations(store)
    if path.is_derivation:
        return packages_of(derivations, [(attribute, path)])[0]
    deriver = info.deriver
    if deriver is None or derivations.get(deriver) is None:
        return Package(attribute=attribute, outputs={"out": path})
    outputs = {name: found for name, found in derivations.outputs(deriver).items() if found == path}
    return Package(attribute=attribute, derivation=deriver, outputs=outputs or {"out": path})


def _outside(store: Source, argument: str, attributes: Sequence[str], nix: Nix) -> PackageSet:
    if os.path.isdir(argument):
        return _directory(store, argument)
    if not os.path.isfile(argument):
        raise UsageError(
            f"'{argument}' is neither a path in the store '{store.url}' nor a file or directory",
            argument=argument,
        )
    if argument.endswith(".nix"):
        return _listed(store, argument, nix.instantiate(argument, attributes, store.store_dir))
    with open(argument, encoding="utf-8", errors="surrogateescape") as stream:
        text = stream.read()
    if text.lstrip().startswith("{"):
        return _known(store, argument, parse_derivations_json(text, store.store_dir, argument))
    return _listed(store, argument, parse_package_listing(text, store.store_dir, argument))


def _listed(
    store: Source, argument: str, listed: Iterable[tuple[str | None, StorePath]]
) -> PackageSet:
    derivations = Derivations(store)
    return PackageSet(
        name=argument, packages=packages_of(derivations, listed), derivations=derivations
    )


def _known(
    store: Source,
    argument: str,
    known: Mapping[StorePath, Derivation],
    others: Iterable[Package] = (),
) -> PackageSet:
    """The set of the derivations that no other one needs."""
    derivations = Derivations(store, known)
    used = {path for found in known.values() for path, _ in found.input_derivations}
    tops = [(None, path) for path in sorted(known) if path not in used]
    return PackageSet(
        name=argument,
        packages=(*packages_of(derivations, tops), *others),
        derivations=derivations,
    )


def _directory(store: Source, argument: str) -> PackageSet:
    known: dict[StorePath, Derivation] = {}
    linked: list[Package] = []
    for name in sorted(os.listdir(argument)):
        file = os.path.join(argument, name)
        try:
            linked.append(_root(store, store.resolve(file), name.removesuffix(".drv")))
            continue
        except BadStorePathError:
            if not name.endswith(".drv"):
                continue
        with open(file, "rb") as stream:
            known[StorePath(name)] = parse_derivation(stream.read(), store.store_dir, file)
    if not known and not linked:
        raise UsageError(
            f"directory '{argument}' holds no derivations and no links to store paths",
            argument=argument,
        )
    return _known(store, argument, known, linked)
