"""What a proof has shown, as people read it."""

from __future__ import annotations

from collections.abc import Iterable

from graft.cli.output import print_note, print_table
from graft.cli.settings import Settings
from graft.formats.file_name import printable
from graft.formats.store_path import StoreDir
from graft.proof import Problem, Proof
from graft.quantities import binary_size, counted

_PROBLEMS = {
    "not-valid": "it is not registered in the store",
    "not-on-disk": "it is registered, but not on disk: run again with --repair",
    "not-the-rewrite": "its bytes are not those of its original with the references changed",
    "unresolved-library": "'{file}' no longer finds '{library}'",
    "references": "references are missing from what is registered of it",
    "nar-hash": "its bytes are not those it was registered with: run again with --repair",
}


def print_proof(proof: Proof, store_dir: StoreDir, settings: Settings) -> None:
    """Prints what reading the result again has shown: the places that are left, and the verdict."""
    read = f"{counted(proof.paths, 'path')}, {counted(proof.files, 'file')}, " + binary_size(
        proof.bytes
    )
    open_places = [found for found in proof.residual if not found.acknowledged]
    if proof.residual and not settings.quiet:
        print_table(
            ["file", "offset", "encoding", "leads to", ""],
            [
                [
                    " > ".join(
                        [
                            f"{store_dir.path(found.path)}/{printable(found.file)}".rstrip("/"),
                            *found.container,
                        ]
                    ),
                    "" if found.offset is None else str(found.offset),
                    found.encoding,
                    str(found.reference),
                    "acknowledged" if found.acknowledged else "",
                ]
                for found in proof.residual
            ],
            right=["offset"],
            to_stderr=True,
        )
    if open_places:
        print_note(
            f"not proven: replaced or rewritten paths are still found in "
            f"{counted(len(open_places), 'place')}; read: {read}",
            settings,
        )
    elif proof.residual:
        print_note(
            f"proven but for {counted(len(proof.residual), 'acknowledged place')}; read: {read}",
            settings,
        )
    elif proof.scope == "closure":
        print_note(
            f"proven: OLD is gone from every byte of the new closure; read: {read}", settings
        )
    else:
        print_note(
            f"proven for what was rewritten, and by registered references beyond; read: {read}",
            settings,
        )


def print_problems(problems: Iterable[Problem], store_dir: StoreDir, settings: Settings) -> None:
    """Prints which paths of a result are not what they should be."""
    for problem in problems:
        said = _PROBLEMS[problem.kind].format(
            file=printable(problem.file), library=printable(problem.library)
        )
        print_note(f"problem: '{store_dir.path(problem.path)}': {said}", settings)
