"""The demo's objects put into a store: named like Nix's outputs, built for their final paths."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.cli.demo.derivations import derivations_of
from graft.cli.demo.programs import Compiled, DemoLink, DemoText, Recipe, compile_c, filled
from graft.formats.content_address import ContentAddress
from graft.formats.store_path import StoreDir, StorePath
from graft.objects.reading import references_in
from graft.objects.references import WantedPaths
from graft.objects.rewrite import NewTree, write_tree
from graft.store.api import Making, PathInfo
from graft.store.local import LocalStore
from graft.store.objects import TreeObject


def output_paths(
    recipes: Sequence[Recipe], store_dir: StoreDir, compiler: str | None
) -> dict[str, StorePath]:
    """The store path of each recipe, known before anything is built.

    Args:
        recipes: each after its inputs.
        compiler: the compiler of its programs.
    """
    made = derivations_of(recipes, store_dir, compiler)
    return {name: derivation.output for name, derivation in made.items()}


def build_objects(
    store: LocalStore, recipes: Sequence[Recipe], compiler: str | None
) -> dict[str, StorePath]:
    """Builds and registers every recipe's object, and its derivation.

    Args:
        recipes: each after its inputs.
        compiler: the compiler for objects that are compiled.

    Returns:
        The store path of each name.

    Raises:
        GraftError: an object cannot be compiled, written or registered; then no object is.
    """
    derivations = derivations_of(recipes, store.store_dir, compiler)
    paths = {name: derivation.output for name, derivation in derivations.items()}
    full = {name: store.store_dir.path(path) for name, path in paths.items()}
    every = [*(one.path for one in derivations.values()), *paths.values()]
    store.protect(every)
    with (
        tempfile.TemporaryDirectory() as scratch,
        store.making(every) as making,
    ):
        for derivation in derivations.values():
            file = Path(scratch, derivation.path)
            file.write_bytes(derivation.text)
            digest = hashlib.sha256(derivation.text).digest()
            address = ContentAddress(prefix="text:", algorithm="sha256", digest=digest)
            _register(store, making, file, derivation.path, every, content_address=str(address))
        for recipe in recipes:
            tree = Path(scratch, recipe.name)
            _build(recipe, tree, {**full, "out": full[recipe.name]}, compiler)
            derivation = derivations[recipe.name]
            _register(store, making, tree, derivation.output, every, deriver=derivation.path)
    return paths


def _register(
    store: LocalStore,
    making: Making,
    tree: Path,
    path: StorePath,
    known: Iterable[StorePath],
    **fields: Any,
) -> None:
    """Puts a tree into the store, and registers it with the references that it holds."""
    made = write_tree(
        TreeObject(str(tree)),
        NewTree(
            tree=making.staging(path),
            unpacked=making.unpacked(path),
            owner=store.owner,
            links=False,
        ),
        None,
        search=None,
        on_bytes=lambda _size: None,
    )
    item = TreeObject(making.staging(path))
    found = references_in(item, WantedPaths(known), lambda _size: None)
    if path.is_derivation:  # the outputs that it names are none of its references
        found = frozenset(one for one in found if one.is_derivation)
    making.finish(
        PathInfo(
            path=path,
            nar_hash=made.nar_hash,
            nar_size=made.nar_size,
            references=found,
            ultimate=True,
            **fields,
        )
    )


def _build(recipe: Recipe, tree: Path, paths: Mapping[str, str], compiler: str | None) -> None:
    """Makes an object's tree somewhere; its bytes are the ones it has at its final path."""
    for name, part in recipe.parts.items():
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        match part:
            case DemoText(text=text, executable=executable):
                file.write_text(filled(text, paths), encoding="utf-8")
                file.chmod(0o755 if executable else 0o644)
            case DemoLink(target=target):
                file.symlink_to(filled(target, paths))
            case Compiled():
                assert compiler is not None
                compile_c(compiler, part, file, paths)
