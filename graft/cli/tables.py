"""What came of a graft, on the terminal: what was written, what fix-ups did, and the proof."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

from graft.cli.output import print_note, print_table
from graft.cli.settings import Settings
from graft.formats.file_name import printable
from graft.objects.library_copies import Copy
from graft.quantities import binary_size, counted

if TYPE_CHECKING:
    from graft.check.proof import Problem, Proof
    from graft.executor import Execution
    from graft.formats.store_path import StoreDir
    from graft.jobs.outcome import Outcome

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


NamedCopy = tuple[str, Copy, str]
"""What the argument is called, the copy in it, and the full path whose library it is."""


def print_copies(copies: Iterable[NamedCopy]) -> None:
    """Prints a table of copies."""
    print_table(
        ["file", "copy of", "strings", "for example"],
        [
            [
                f"{name}/{printable(copy.file)}".rstrip("/"),
                old,
                f"{copy.strings} of {copy.of}",
                copy.text.partition("\n")[0][:60],
            ]
            for name, copy, old in copies
        ],
        right=["strings"],
    )


def copy_document(name: str, copy: Copy, old: str) -> dict[str, object]:
    """An entry of `copies` in docs/reference/json.md."""
    return {
        "path": name,
        "file": printable(copy.file),
        "offset": copy.offset,
        "like": old,
        "versioned": copy.versioned,
        "strings": copy.strings,
        "of": copy.of,
        "text": copy.text,
    }


def print_summary(outcome: Outcome, settings: Settings) -> None:
    """Prints it on stderr."""
    execution, plan = outcome.execution, outcome.plan
    resumed = f", {len(execution.resumed):,} were there already" if execution.resumed else ""
    if execution.fetched:
        resumed += f", {len(execution.fetched):,} fetched"
    print_note(
        f"{counted(len(execution.rewritten), 'path')} written{resumed}, "
        f"{len(plan.shared):,} of {len(plan.new_references):,} shared; "
        f"{counted(execution.references_rewritten, 'reference')} in "
        f"{counted(execution.files.patched, 'file')}; {binary_size(execution.bytes_written)} "
        f"written, {binary_size(execution.bytes_shared)} linked; {outcome.seconds:.2f} s",
        settings,
    )
    _print_fixups(execution, settings)
    if outcome.proof is not None:
        print_proof(outcome.proof, plan.store_dir, settings)
    if outcome.hidden_residual:
        print_note(
            f"{len(outcome.hidden_residual)} of these places hold references that are not "
            "registered: run again with --deep to move such references as well",
            settings,
        )
    if outcome.spelled_residual:
        print_note(
            f"{len(outcome.spelled_residual)} of these places spell a path otherwise, as in "
            "base64: no graft rewrites them; build what they are in again, or allow them with "
            "--allow-residual",
            settings,
        )
    print_problems(outcome.problems, plan.store_dir, settings)
    if not outcome.succeeded:
        print_note("the new paths stay valid, but no root or link was made", settings)


def _print_fixups(execution: Execution, settings: Settings) -> None:
    """What became of files of known types: those of a kind in one line."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for path, files in sorted(execution.fixed.items(), key=lambda item: item[0].name):
        for file in files:
            for done in file.outcomes:
                kind = done.outcome, done.fixup, done.reason or ""
                kinds.setdefault(kind, []).append(f"{path}/{printable(file.file)}")
    changed = {kind: places for kind, places in kinds.items() if kind[0] != "noted"}
    if changed and not settings.quiet:
        print_table(
            ["files", "", "fix-up", "for example", "why"],
            [
                [f"{len(places):,}", outcome, fixup, places[0], why]
                for (outcome, fixup, why), places in sorted(changed.items())
            ],
            right=["files"],
            to_stderr=True,
        )
    for (outcome, fixup, why), places in sorted(kinds.items()):
        if outcome == "noted":
            example = posixpath.basename(places[0])
            print_note(f"{counted(len(places), 'file')}, as '{example}': {why} ({fixup})", settings)
