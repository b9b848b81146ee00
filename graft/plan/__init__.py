"""Replacements and a closure make a plan: which paths are rewritten, into which names, and why.

Pure: no byte of any path is read. The rules are in docs/explanation/semantics.md.
"""

from graft.plan.document import full_pairs, plan_document, warnings_document
from graft.plan.plan_file import PlanFile
from graft.plan.planner import Plan
from graft.plan.rewrites import ADDRESSINGS, Addressing, Alias, ContentName, PlanWarning, Rewrite

__all__ = [
    "ADDRESSINGS",
    "Addressing",
    "Alias",
    "ContentName",
    "Plan",
    "PlanFile",
    "PlanWarning",
    "Rewrite",
    "full_pairs",
    "plan_document",
    "warnings_document",
]
