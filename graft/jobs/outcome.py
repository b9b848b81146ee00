"""The result of a whole job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graft.check.proof import Problem, Proof, Residual
from graft.check.proof_document import proof_document
from graft.executor import Execution
from graft.formats.file_name import printable
from graft.plan import Plan, PlanWarning, full_pairs, warnings_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a whole job.

    Attributes:
        plan: the plan of the job.
        execution: the written paths.
        proof: the result of reading them again; None without a proof.
        problems: paths that are registered and not on disk, where no proof says so.
        warnings: the warnings of the plan and of the job.
        seconds: seconds of wall time.
        graft: its name in the record of grafts; None if it is not recorded.
        strict: whether the result may only be used if the proof is complete.
        untouched: whether no root leads to an OLD: nothing was replaced, and there is no proof.
    """

    plan: Plan
    execution: Execution
    proof: Proof | None
    problems: tuple[Problem, ...]
    warnings: tuple[PlanWarning, ...]
    seconds: float
    graft: str | None = None
    strict: bool = False
    untouched: bool = False

    @property
    def hidden_residual(self) -> tuple[Residual, ...]:
        """The residual references without registration that the user did not acknowledge; a deep
        plan moves them.
        """
        originals = {rewrite.new_path: rewrite.path for rewrite in self.plan.rewrites}
        return tuple(
            found
            for found in (self.proof.open_residual if self.proof is not None else ())
            if not found.is_spelled
            and (original := originals.get(found.path, found.path)) in self.plan.closure
            and found.reference not in self.plan.closure.references(original) | {original}
        )

    @property
    def spelled_residual(self) -> tuple[Residual, ...]:
        """The residual references in other spellings that the user did not acknowledge; no plan
        moves them.
        """
        residual = self.proof.open_residual if self.proof is not None else ()
        return tuple(found for found in residual if found.is_spelled)

    @property
    def succeeded(self) -> bool:
        """Whether the result may be used: OLD was replaced, nothing of it is left, and nothing is
        broken.
        """
        return (
            not self.untouched
            and not self.problems
            and (self.proof is None or self.proof.satisfies(strict=self.strict))
        )


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """The result of `graft apply` as docs/reference/json.md lays it down."""
    plan, execution = outcome.plan, outcome.execution
    full = plan.store_dir.path
    return {
        "version": 1,
        "new_roots": {full(root): full(new) for root, new in plan.new_roots.items()},
        "paths": full_pairs(plan.moved, plan.store_dir),
        "rewritten_paths": len(execution.rewritten),
        "resumed_paths": len(execution.resumed),
        "fetched_paths": len(execution.fetched),
        "references_rewritten": execution.references_rewritten,
        "files": {
            "patched": execution.files.patched,
            "linked": execution.files.linked,
            "reflinked": execution.files.reflinked,
            "copied": execution.files.copied,
        },
        "bytes": {"written": execution.bytes_written, "shared": execution.bytes_shared},
        "fixups": [
            {
                "path": full(path),
                "file": printable(file.file),
                "container": list(done.container),
                "fixup": done.fixup,
                "outcome": done.outcome,
                "reason": done.reason,
            }
            for path, files in execution.fixed.items()
            for file in files
            for done in file.outcomes
        ],
        "warnings": warnings_document(outcome.warnings, plan.store_dir),
        "proof": proof_document(outcome.proof, full) if outcome.proof is not None else None,
        "seconds": round(outcome.seconds, 6),
        "graft": outcome.graft,
    }
