"""The demo's objects put into a store: named like Nix's outputs, built for their final paths."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from graft.cli.demo.programs import Compiled, DemoLink, DemoText, Recipe, compile_c, filled
from graft.formats.store_path import StoreDir, StorePath, make_store_path
from graft.objects.reading import references_in
from graft.objects.references import WantedPaths
from graft.objects.rewrite import NewTree, write_tree
from graft.store.api import PathInfo
from graft.store.local import LocalStore
from graft.store.objects import TreeObject


def output_paths(
    recipes: Sequence[Recipe], store_dir: StoreDir, compiler: str | None
) -> dict[str, StorePath]:
    """The store path of each recipe, known before anything is built.

    As with Nix the name comes from the origin of an object: its parts, the paths of its inputs, and
    the compiler.

    Args:
        recipes: each after its inputs.
        compiler: the compiler of its programs.
    """
    paths: dict[str, StorePath] = {}
    for recipe in recipes:
        lines = [
            recipe.name,
            compiler or "no compiler",
            *(paths[name] for name in recipe.inputs),
            *(f"{name} {part!r}" for name, part in sorted(recipe.parts.items())),
        ]
        digest = hashlib.sha256("\n".join(lines).encode()).digest()
        paths[recipe.name] = make_store_path("output:out", digest, recipe.name, store_dir)
    return paths


def build_objects(
    store: LocalStore, recipes: Sequence[Recipe], compiler: str | None
) -> dict[str, StorePath]:
    """Builds and registers every recipe's object.

    Args:
        recipes: each after its inputs.
        compiler: the compiler for objects that are compiled.

    Returns:
        The store path of each name.

    Raises:
        GraftError: an object cannot be compiled, written or registered; then no object is.
    """
    paths = output_paths(recipes, store.store_dir, compiler)
    wanted = WantedPaths(paths.values())
    full = {name: store.store_dir.path(path) for name, path in paths.items()}
    store.protect(paths.values())
    with (
        tempfile.TemporaryDirectory() as scratch,
        store.making(list(paths.values())) as making,
    ):
        for recipe in recipes:
            path = paths[recipe.name]
            tree = Path(scratch, recipe.name)
            _build(recipe, tree, {**full, "out": full[recipe.name]}, compiler)
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
            making.finish(
                PathInfo(
                    path=path,
                    nar_hash=made.nar_hash,
                    nar_size=made.nar_size,
                    references=references_in(item, wanted, lambda _size: None),
                    ultimate=True,
                )
            )
    return paths


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
