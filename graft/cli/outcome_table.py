"""What came of a graft, on the terminal: what was written, what fix-ups did, and the proof."""

from __future__ import annotations

import posixpath

from graft.cli.output import print_note, print_table
from graft.cli.proof_table import print_problems, print_proof
from graft.cli.settings import Settings
from graft.executor import Execution
from graft.formats.file_name import printable
from graft.outcome import Outcome
from graft.quantities import binary_size, counted


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
