"""A plan as JSON, as docs/reference/json.md lays it down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graft.formats.replacements_file import DOCUMENT_VERSION
from graft.formats.store_path import StoreDir, StorePath
from graft.plan.planner import Plan
from graft.plan.rewrites import PlanWarning


def plan_document(plan: Plan) -> dict[str, Any]:
    """The JSON document of a plan, with full paths; null for names that are not known yet."""
    full = plan.store_dir.path
    hidden = plan.closure.hidden

    def known(path: StorePath) -> str | None:
        return None if path in plan.placeholders else full(path)

    contents = {"self_references": plan.self_references} if plan.addressing == "content" else {}
    return {
        "version": DOCUMENT_VERSION,
        "store_dir": str(plan.store_dir),
        "addressing": plan.addressing,
        **contents,
        "roots": [full(root) for root in plan.roots],
        "replacements": full_pairs(plan.replacements, plan.store_dir),
        "cutoffs": [full(path) for path in sorted(plan.cutoffs)],
        "fixups": list(plan.fixups),
        "hidden": {full(path): sorted(map(full, hidden[path])) for path in sorted(hidden)},
        "rewrites": [
            {
                "path": full(rewrite.path),
                "new_path": known(rewrite.new_path),
                "references": {
                    full(old): known(new) for old, new in sorted(rewrite.references.items())
                },
                "nar_size": rewrite.nar_size,
            }
            for rewrite in plan.rewrites
        ],
        "aliases": [
            {
                "path": known(alias.path),
                "target": known(alias.target),
                "replaces": full(alias.replaces),
            }
            for alias in plan.aliases
        ],
        "new_roots": {full(root): known(new) for root, new in plan.new_roots.items()},
        "closure_paths": len(plan.new_references),
        "shared_paths": len(plan.shared),
        "bytes_at_most": plan.bytes_at_most,
        "warnings": warnings_document(plan.warnings, plan.store_dir),
    }


def warnings_document(
    warnings: Iterable[PlanWarning], store_dir: StoreDir
) -> list[dict[str, str | None]]:
    """The JSON list of warnings, with full paths."""
    return [
        {
            "kind": warning.kind,
            "path": store_dir.path(warning.path) if warning.path else None,
            "message": warning.message,
        }
        for warning in warnings
    ]


def full_pairs(pairs: Mapping[StorePath, StorePath], store_dir: StoreDir) -> dict[str, str]:
    """Pairs of paths as a JSON object of full paths, in sorted order."""
    return {store_dir.path(old): store_dir.path(new) for old, new in sorted(pairs.items())}
