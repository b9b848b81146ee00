"""The result of a graft on the terminal: written paths, files of fix-ups, and the proof."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from graft.cli.output import print_note, print_table
from graft.cli.settings import Settings
from graft.cli.terminal import Colour
from graft.formats.file_name import printable
from graft.objects.library_copies import Copy
from graft.quantities import binary_size, counted

if TYPE_CHECKING:
    from graft.check.proof import Problem, Proof
    from graft.check.remaining import Why
    from graft.executor import Execution
    from graft.formats.store_path import StoreDir
    from graft.jobs.outcome import Outcome

_PROBLEMS = {
    "not-valid": "it is not registered in the store",
    "not-on-disk": "it is registered, but not on disk: run again with --repair",
    "not-the-rewrite": "its bytes differ from its original in more than the references",
    "unresolved-library": "'{file}' no longer finds '{library}'",
    "references": "references are missing from its registration",
    "nar-hash": "its bytes are not those it was registered with: run again with --repair",
}


_REMAINING = {
    "other-output": ("other output", "other outputs"),
    "other-version": ("other version", "other versions"),
    "static-copy": ("static copy", "static copies"),
}

_COLOURS: Final[Mapping[str, Colour]] = {"gone": "green", "not-found": "yellow", "found": "red"}

_SHOWN: Final = 3
"""Files that are named without --verbose."""


def place_name(name: str, file: bytes, container: Iterable[str]) -> str:
    """A file, and the way to a place inside it.

    Args:
        name: the name of the tree that the file is in.
    """
    return " > ".join([f"{name}/{printable(file)}".rstrip("/"), *container])


def print_proof(proof: Proof, store_dir: StoreDir, settings: Settings) -> None:
    """Prints the result of the proof: the places that are left, and the verdict."""
    from graft.objects.references import REGISTERED

    if proof.residual and not settings.quiet:
        print_table(
            ["file", "offset", "encoding", "leads to", ""],
            [
                [
                    place_name(
                        store_dir.path(found.path),
                        found.place.file if found.place else b"",
                        found.place.container if found.place else (),
                    ),
                    str(found.place.offset) if found.place else "",
                    found.place.encoding if found.place else REGISTERED,
                    str(found.reference),
                    "acknowledged" if found.acknowledged else "",
                ]
                for found in proof.residual
            ],
            right=["offset"],
            to_stderr=True,
        )
    files = len(proof.unread) + len(proof.unknown)
    first = ", ".join(_first_files(proof)) + (", ..." if files > _SHOWN else "")
    print_note(
        f"{_verdict(proof)}{f' ({first})' if files else ''}{_remaining(proof)}; "
        f"read: {_read(proof)}",
        settings,
        _COLOURS[proof.verdict],
    )
    for line in _incomplete_files(proof, store_dir) if settings.verbosity else ():
        print_note(line, settings)


def _verdict(proof: Proof) -> str:
    """The sentence about OLD; only `gone` says *proven*."""
    from graft.check.proof_document import incompleteness

    incomplete = incompleteness(proof)
    if proof.verdict == "gone":
        return "gone: OLD is proven to be in no byte of the new closure"
    if proof.verdict == "not-found":
        return f"not-found: OLD is in nothing that was read, but {incomplete}"
    besides = f", and {incomplete}" if incomplete else ""
    if proof.open_residual:
        return (
            "found: replaced or rewritten paths are still in "
            f"{counted(len(proof.open_residual), 'place')}{besides}"
        )
    places = counted(len(proof.residual), "acknowledged place")
    return f"OLD is left where you allowed it: {places}{besides}"


def _read(proof: Proof) -> str:
    paths, files = counted(proof.paths, "path"), counted(proof.files, "file")
    return f"{paths}, {files}, {binary_size(proof.bytes)}"


def _remaining(proof: Proof) -> str:
    """The rest of the package, in a clause; empty if nothing is known to be left."""
    if not proof.remaining:
        return ""
    kinds: dict[Why, list[str]] = {}
    for left in proof.remaining:
        kinds.setdefault(left.why, []).append(left.path.name)
    clauses = []
    for why, names in kinds.items():
        more = f" and {len(names) - _SHOWN:,} more" if names[_SHOWN:] else ""
        shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
        clauses.append(f"{len(names):,} {_REMAINING[why][len(names) > 1]}, {shown}{more}")
    return f"; left of the package: {'; '.join(clauses)}"


def _first_files(proof: Proof) -> Iterator[str]:
    """The first files that were not looked into, or are of unknown types, by the package's name."""
    for path, each in proof.unread[:_SHOWN]:
        yield f"'{place_name(path.name, each.file, each.container)}': {each.fixup}: {each.reason}"
    for path, file in proof.unknown[: max(0, _SHOWN - len(proof.unread))]:
        yield f"'{place_name(path.name, file, ())}'"


def _incomplete_files(proof: Proof, store_dir: StoreDir) -> list[str]:
    """All files that were not looked into, or are of unknown types, each with why."""
    return [
        *(
            f"'{place_name(store_dir.path(path), each.file, each.container)}': "
            f"{each.fixup}: {each.reason}"
            for path, each in proof.unread
        ),
        *(
            f"'{place_name(store_dir.path(path), file, ())}': changed, and not known to be right"
            for path, file in proof.unknown
        ),
    ]


def print_problems(problems: Iterable[Problem], store_dir: StoreDir, settings: Settings) -> None:
    """Prints the wrong paths of a result."""
    for problem in problems:
        said = _PROBLEMS[problem.kind].format(
            file=printable(problem.file), library=printable(problem.library)
        )
        print_note(f"problem: '{store_dir.path(problem.path)}': {said}", settings)


NamedCopy = tuple[str, Copy, str]
"""The name of the argument, the copy in it, and the full path whose library it is."""


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
    if outcome.untouched:  # a warning says so
        return
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
            "base64: no graft rewrites them; build their paths again, or allow them with "
            "--allow-residual",
            settings,
        )
    print_problems(outcome.problems, plan.store_dir, settings)
    if not outcome.succeeded:
        print_note("the new paths stay valid, but no root or link was made", settings)


def _print_fixups(execution: Execution, settings: Settings) -> None:
    """Prints the outcomes for files of known types: files of a kind in one line."""
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
