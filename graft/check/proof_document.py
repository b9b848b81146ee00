"""A proof as others read it: in JSON, and why it is not complete in a clause."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graft.check.proof import Proof
from graft.formats.file_name import printable
from graft.formats.store_path import StorePath
from graft.objects.references import place_document
from graft.quantities import counted


def incompleteness(proof: Proof) -> str:
    """Why a proof is not complete, in a clause that counts; empty if it is."""
    path = "path" if proof.scope == "closure" else "shared path"
    counts = [
        (proof.unsearched, path, "unread"),
        (len(proof.unread), "file", "not looked into"),
        (len(proof.unknown), "changed file", "of unknown type"),
    ]
    return ", ".join(f"{counted(count, noun)} {what}" for count, noun, what in counts if count)


def proof_document(proof: Proof, full: Callable[[StorePath], str]) -> Mapping[str, object]:
    """The PROOF object of docs/reference/json.md."""
    return {
        "scope": proof.scope,
        "verdict": proof.verdict,
        "paths": proof.paths,
        "files": proof.files,
        "bytes": proof.bytes,
        "residual": [
            {
                "path": full(found.path),
                **place_document(found.place),
                "reference": full(found.reference),
                "acknowledged": found.acknowledged,
            }
            for found in proof.residual
        ],
        "problems": [problem.as_json(full) for problem in proof.problems],
        "unsearched_paths": proof.unsearched,
        "unread": [
            {
                "path": full(path),
                "file": printable(each.file),
                "container": list(each.container),
                "type": each.fixup,
                "reason": each.reason,
            }
            for path, each in proof.unread
        ],
        "unknown": [{"path": full(path), "file": printable(file)} for path, file in proof.unknown],
        "remaining": [
            {"path": full(left.path), "name": left.name, "why": left.why}
            for left in proof.remaining
        ],
    }
