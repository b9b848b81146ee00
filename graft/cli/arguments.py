"""Path arguments and replacements, as commands take them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from graft.cli.path_arguments import PathNamespace
from graft.cli.settings import gather
from graft.errors import BadStorePathError, UsageError
from graft.formats.hash_modulo import SELF_REFERENCES, SelfReferencesChoice

if TYPE_CHECKING:
    from graft.formats.store_path import StorePath
    from graft.plan import Plan, PlanFile
    from graft.plan.request import Graft
    from graft.store.api import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanArguments:
    """The arguments of a plan, as they were typed; the names belong to its options."""

    roots: tuple[str, ...]
    all_roots: bool = False
    replacements: tuple[str, ...] = ()
    replacements_file: str | None = None
    replace_outputs: bool = False
    only_this_output: bool = False
    all_versions: bool = False
    cutoffs: tuple[str, ...] = ()
    initrd_cutoff: bool = True
    deep: bool = False
    content_addressed: bool = False
    self_references: SelfReferencesChoice | None = None
    fixups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """The request of a plan.

    Attributes:
        graft: that.
        file: the plan file it was read from, and that planning must agree with.
        derived: whether the replacements say more than the arguments, by names or other outputs.
    """

    graft: Graft[StorePath]
    file: PlanFile | None = None
    derived: bool = False

    def approve(self, plan: Plan) -> None:
        """Makes sure that a plan equals the plan file, if there is one.

        Raises:
            StalePlanError: it is not.
        """
        if self.file is not None:
            self.file.check_current(plan)


strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Status 1 unless every file was looked into, and every changed file is of a known type.",
)


def plan_options(command: Callable[..., int]) -> Callable[..., int]:
    """Adds ROOT... and the options of a plan; the command gets them as `asked`."""
    wrapped = gather("graft.cli.arguments:PlanArguments", "asked")(command)
    for option in (
        click.option(
            "--self-references",
            type=click.Choice(SELF_REFERENCES),
            help="With --content-addressed: how the Nix that is to take the result hashes paths "
            "that hold their own names: 'zeroed' from 2.17 to 2.34, else 'positions'. The default, "
            "'auto', is the rule of the Nix of the target.",
        ),
        click.option(
            "--content-addressed",
            is_flag=True,
            help="Name new paths after their contents, and convert paths without a signature: "
            "other stores take such paths unsigned.",
        ),
        click.option(
            "--fixup",
            "fixups",
            metavar="[no-]NAME",
            multiple=True,
            help="Rewrite files of this type where that is not the default, as 'initrd'; or leave "
            "them alone, as 'no-zip'.",
        ),
        click.option(
            "--deep",
            is_flag=True,
            help="Read the whole closure for references that are not registered; move them too.",
        ),
        click.option(
            "--no-initrd-cutoff",
            "initrd_cutoff",
            flag_value=False,
            default=True,
            help="Graft the initrd of a NixOS system too, which is otherwise a cutoff.",
        ),
        click.option(
            "--cutoff",
            "cutoffs",
            metavar="PATH",
            multiple=True,
            help="Keep this path and all its references unchanged.",
        ),
        click.option(
            "--replace-outputs",
            is_flag=True,
            help="Replace all outputs of the derivations that built OLD and NEW: the default.",
        ),
        click.option(
            "--only-this-output",
            is_flag=True,
            help="Replace OLD alone, and not the other outputs of its derivation.",
        ),
        click.option(
            "--replacements",
            "replacements_file",
            metavar="FILE",
            help="More replacements: JSON, or a pair 'OLD NEW' a line. A pair is left out if its "
            "OLD is neither in the closures of ROOTs nor valid.",
        ),
        click.option(
            "--replace",
            "replacements",
            metavar="OLD=NEW",
            multiple=True,
            help="Put NEW in the place of OLD everywhere, with all outputs. OLD and NEW are paths, "
            "links or names, as in openssl=./openssl-fixed.",
        ),
        click.argument("roots", metavar="ROOT...", nargs=-1),
    ):
        wrapped = option(wrapped)
    return wrapped


def resolve_request(store: Source, asked: PlanArguments) -> PlanRequest:
    """The request of the options of `plan_options`; one ROOT that is a file is a plan file.

    Args:
        store: in which the paths must be valid.

    Raises:
        UsageError: there is no root or nothing to replace, or more is said than the plan file says.
        BadFormatError: a file has not its form.
        BadStorePathError, InvalidPathError: a path argument names no store path, or the path is not
            valid.
    """
    from graft.plan import PlanFile
    from graft.plan.request import Graft

    if not asked.roots:
        raise UsageError("name the paths to graft: one ROOT or several, or a plan file")
    if (
        len(asked.roots) == 1
        and os.path.isfile(asked.roots[0])
        and _is_outside(store, asked.roots[0])
    ):
        if asked != PlanArguments(roots=asked.roots):
            raise UsageError(
                f"'{asked.roots[0]}' is a plan file, which says all that is to be planned: leave "
                "out --replace, --only-this-output, --replacements, --cutoff, --no-initrd-cutoff, "
                "--fixup, --deep, --content-addressed and --self-references"
            )
        file = PlanFile.parse(_read(asked.roots[0]), asked.roots[0])
        graft = file.graft.resolved(
            partial(resolve_path, store), resolve_paths(store, file.graft.roots)
        )
        return PlanRequest(graft=graft, file=file)
    roots = resolve_paths(store, asked.roots)
    if asked.replace_outputs and asked.only_this_output:
        raise UsageError("--replace-outputs and --only-this-output contradict each other")
    pairs = requested_pairs(store, roots, asked)
    if asked.self_references is not None and not asked.content_addressed:
        raise UsageError("--self-references says nothing without --content-addressed")
    if not pairs and not asked.content_addressed:
        raise UsageError("there is nothing to replace: give --replace OLD=NEW or --replacements")
    names = PathNamespace.of_closure(store, roots) if asked.cutoffs else PathNamespace(store)
    full = store.store_dir.path
    typed = {f"{full(old)}={full(new)}" for old, new in pairs}
    return PlanRequest(
        derived=asked.replacements_file is None and typed != set(asked.replacements),
        graft=Graft(
            roots=roots,
            replacements=tuple(pairs),
            cutoffs=tuple(map(names.path, asked.cutoffs)),
            initrd_cutoff=asked.initrd_cutoff,
            deep=asked.deep,
            addressing="content" if asked.content_addressed else "input",
            self_references=asked.self_references or SELF_REFERENCES[0],
            fixups=asked.fixups,
        ),
    )


def requested_pairs(
    store: Source, roots: Collection[StorePath], asked: PlanArguments
) -> list[tuple[StorePath, StorePath]]:
    """The replacements that are asked for; errors as of `resolve_request`.

    Args:
        roots: the paths to be grafted: pairs of files, and of derivations' outputs, are left out if
            no root leads to them.
    """
    from graft.cli.replacement_pairs import pairs_of_arguments, pairs_of_file

    pairs: list[tuple[StorePath, StorePath]] = []
    if asked.replacements_file is not None:
        from graft.formats.replacements_file import parse_replacements

        text = _read(asked.replacements_file)
        named = parse_replacements(text, asked.replacements_file)
        pairs = pairs_of_file(store, roots, named, asked.replacements_file)
    if asked.replacements or any(path.is_derivation for pair in pairs for path in pair):
        pairs = pairs_of_arguments(
            store,
            roots,
            asked.replacements,
            settled=pairs,
            cutoffs=asked.cutoffs,
            outputs=not asked.only_this_output,
            versions=asked.all_versions,
        )
    return pairs


def _is_outside(store: Source, argument: str) -> bool:
    try:
        store.resolve(argument)
    except BadStorePathError:
        return True
    return False


def _read(file: str) -> str:
    with open(file, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def resolve_replacements(
    store: Source, arguments: Iterable[str], root: StorePath | None = None
) -> list[tuple[StorePath, StorePath]]:
    """The pairs that `OLD=NEW` arguments mean, and the pairs of the other outputs.

    Args:
        root: the closure in which names are looked up, and outputs are paired; without it nothing
            is paired, and names are looked up in the store.

    Raises:
        UsageError: one of them cannot be split, or in more than one way.
        InvalidPathError: both sides are store paths, but one is not valid.
        UnknownNameError, AmbiguousNameError: a name means nothing, or several things.
    """
    from graft.cli.replacement_pairs import pairs_of_arguments

    arguments = list(arguments)
    roots = () if root is None else (root,)
    return (
        pairs_of_arguments(store, roots, arguments, outputs=root is not None) if arguments else []
    )


def resolve_path(store: Source, argument: str) -> StorePath:
    """The valid path that an argument means.

    Raises:
        BadStorePathError: it leads nowhere inside the store.
        InvalidPathError: the path is not valid.
        UnknownNameError, AmbiguousNameError: a name means nothing, or several things.
    """
    return PathNamespace(store).path(argument)


def resolve_paths(store: Source, arguments: Iterable[str]) -> tuple[StorePath, ...]:
    """The valid paths that arguments mean, in their order."""
    return tuple(map(PathNamespace(store).path, arguments))
