"""The demo's story: a vulnerability deep in a store, the graft, and its effects."""

from __future__ import annotations

import os
import re
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from graft.cli.demo.builder import build_objects
from graft.cli.demo.programs import recipes
from graft.cli.demo.shell import DemoStep, Shell
from graft.errors import UsageError
from graft.kernel.tree import remove_tree
from graft.store.local import LocalStore

# The store's directory is written into scripts and RPATHs, where other characters mean something.
_PLAIN_DIRECTORY = re.compile(r"[A-Za-z0-9/._+=~-]+")

PAGE = "./ways.html"
"""The page of the comparison, in a directory that stays."""

_REPLACE = ("--replace", "parse=./parse-1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """The subject of the next steps.

    Attributes:
        title: a few words.
        remark: a sentence or two; empty if the steps speak for themselves.
    """

    title: str
    remark: str = ""


@contextmanager
def prepared(directory: str | None) -> Iterator[str]:
    """The directory the demo happens in, empty and without symlinks in its path.

    Args:
        directory: made if it is missing, and kept; a temporary one, removed in the end, if None.

    Raises:
        UsageError: it is not empty, is no directory, or cannot be used.
    """
    if directory is None:
        # By the real path: like Nix, a store does not want symlinks in its directory's path.
        directory = os.path.realpath(tempfile.mkdtemp(prefix="graft-demo-"))
        try:
            _check_plain(directory)
            yield directory
        finally:
            remove_tree(directory)
        return
    directory = os.path.realpath(directory)
    _check_plain(directory)
    if os.path.lexists(directory) and not os.path.isdir(directory):
        raise UsageError(f"'{directory}' is no directory: name another", path=directory)
    os.makedirs(directory, exist_ok=True)
    if os.listdir(directory):
        raise UsageError(
            f"the directory '{directory}' is not empty: name an empty or a new one", path=directory
        )
    yield directory


def _check_plain(directory: str) -> None:
    if _PLAIN_DIRECTORY.fullmatch(directory) is None:
        raise UsageError(
            f"programs cannot have '{directory}' written into them: name a directory with only "
            "letters, digits and plain punctuation in its path",
            path=directory,
        )


def tell(
    directory: str, compiler: str | None, page: str = PAGE, *, store_only: bool = False
) -> Iterator[Chapter | DemoStep]:
    """Makes the store, and does each step while it is told.

    Args:
        directory: as `prepared` gives it.
        compiler: a C compiler; None: all programs are scripts.
        page: the file of the comparison, seen from the directory.
        store_only: end when the store is there.

    Raises:
        GraftError: a step did not end as it must.
    """
    for part in _chapters(directory, compiler, page, store_only=store_only):
        yield part
        if isinstance(part, DemoStep):
            part.check()


def _chapters(
    directory: str, compiler: str | None, page: str, *, store_only: bool
) -> Iterator[Chapter | DemoStep]:
    shell = Shell()
    store_dir, state_dir = os.path.join(directory, "store"), os.path.join(directory, "state")
    store, state = urllib.parse.quote(store_dir), urllib.parse.quote(state_dir)
    yield Chapter(title="A store of its own")
    yield shell.run("graft", "store", "init", f"local?store={store}&state={state}")
    yield shell.enter(directory)
    yield shell.export(NIX_STORE_DIR=store_dir, NIX_STATE_DIR=state_dir)

    _fill(directory, store_dir, state_dir, compiler)
    if store_only:
        return
    made = f"compiled by {compiler}" if compiler else "made of scripts, as there is no C compiler"
    yield Chapter(
        title="A program with a vulnerability",
        remark=f"Now in the store, {made}:\n"
        "a parser, a library that uses it, the program 'notes', its wrapper, an environment,\n"
        "and on top a system. 'notes' is to show notes; the password next to them is not a note.",
    )
    yield shell.run("./system/sw/bin/notes", "--version")
    yield shell.run("./system/sw/bin/notes", "todo")
    yield shell.run("./system/sw/bin/notes", "../password")

    yield Chapter(
        title="Where it comes from",
        remark="The vulnerability is in parse-1.0, and parse-1.1 has the fix. But everything\n"
        "above has the path of parse-1.0 in its bytes, or a path that leads to it: all of\n"
        "these would have to be built again.",
    )
    yield shell.run("graft", "why", "./system", "parse")

    yield Chapter(title="The graft, planned")
    yield shell.run("graft", "plan", "./system", *_REPLACE)

    yield Chapter(title="The graft, and its proof")
    yield shell.run("graft", "apply", "./system", *_REPLACE, "--add-root", "./patched")

    yield Chapter(title="The same program, without the vulnerability")
    yield shell.run("./patched/sw/bin/notes", "--version")
    yield shell.run("./patched/sw/bin/notes", "todo")
    yield shell.run("./patched/sw/bin/notes", "../password", expected=1)
    yield shell.run("graft", "why", "./patched", "./parse-1.0", expected=1)

    yield Chapter(
        title="The unchanged part",
        remark="Nothing was changed in place, so the old root still runs, with its vulnerability:\n"
        "the way back. Paths that do not lead to it are shared. Finished work is not done twice.",
    )
    yield shell.run("./system/sw/bin/notes", "--version")
    yield shell.run("./patched/sw/bin/hello")
    yield shell.run("graft", "apply", "./system", *_REPLACE, "--add-root", "./patched")

    yield Chapter(
        title="All the ways, side by side",
        remark="A pivot reaches programs that look for it: the wrapper of 'notes' does. A mount\n"
        "lasts as long as its program. A rebuild builds all derivations above parse-1.0 again.",
    )
    yield shell.run(
        *("graft", "compare", "./system", *_REPLACE, "--pivot", "parser=./parse-1.1"),
        *("--probe", "sw/bin/notes --version", "--html", page),
    )


def _fill(directory: str, store_dir: str, state_dir: str, compiler: str | None) -> None:
    """Builds the objects, and links to the ones that the story speaks of."""
    with LocalStore(store=store_dir, state=state_dir) as store:
        paths = build_objects(store, recipes(compiled=compiler is not None), compiler)
        for link, name in (("system", "system-1"), *((n, n) for n in ("parse-1.0", "parse-1.1"))):
            store.add_root(os.path.join(directory, link), paths[name])
