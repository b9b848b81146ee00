"""The output of `graft plan --suggest`: the options that replace all of one package name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from graft.cli.arguments import resolve_paths
from graft.cli.output import print_document, print_line, print_note
from graft.cli.settings import Settings
from graft.formats.replacements_file import DOCUMENT_VERSION
from graft.plan.closure import Closure
from graft.ways.diff.arguments import read_package_set
from graft.ways.diff.instantiation import Nix
from graft.ways.diff.outputs import suggest_replacements


def suggest(settings: Settings, roots: Sequence[str], name: str, patched: str) -> int:
    """Prints the options, one a line; packages that need a choice go to stderr.

    Args:
        roots: the paths whose closures are searched, as arguments.
        name: the name of the package, without a version.
        patched: the origin of NEW, as an argument of `graft diff`.

    Returns:
        The exit status.

    Raises:
        UsageError, EvaluationError, BadFormatError, InvalidPathError: as for `graft diff`.
    """
    with settings.open_local_store() as store:
        closure = Closure.of(store, resolve_paths(store, roots)).infos
        nix = Nix.of_store(store.location, os.environ)
        packages = read_package_set(store, patched, nix=nix)
        made = packages.output_paths()
        for one in packages.packages:
            if one.derivation is not None:  # a link leads to one output, and all are new
                made.update(packages.derivations.outputs(one.derivation).values())
        news = made | Closure.of(store, store.path_infos(made)).infos.keys()
        found = suggest_replacements(store, name, closure, news)
    full = store.store_dir.path
    pairs = {full(old): full(new) for old, new in sorted(found.replacements.items())}
    if settings.json:
        doubtful = [
            {"old": full(old), "new": list(map(full, news))} for old, news in found.open.items()
        ]
        document = {"version": DOCUMENT_VERSION, "replacements": pairs, "doubtful": doubtful}
        print_document(document)
    else:
        for old, new in pairs.items():
            print_line(f"--replace {shlex.quote(f'{old}={new}')}")
    for path, choices in sorted(found.open.items()):
        told = " or ".join(map(full, choices)) or "nothing of its output is in the patched set"
        print_note(f"'{full(path)}' needs a choice: {told}", settings)
    if not pairs and not found.open:
        print_note(f"nothing in the closure is called '{name}', or all of it is new", settings)
    return 0 if pairs and not found.open else 1
