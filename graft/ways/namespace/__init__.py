"""Programs in mount namespaces: NEW over OLD, and FHS roots composed of packages.

Nothing of the machine is written: the files look different for one program and its children only.
"""

from graft.ways.namespace.bubblewrap import command_line, run_program, why_unavailable
from graft.ways.namespace.composition import DEFAULT_PRIORITY, FhsPackage
from graft.ways.namespace.fhs import FhsRoot
from graft.ways.namespace.mount import Mount
from graft.ways.namespace.view import View

__all__ = [
    "DEFAULT_PRIORITY",
    "FhsPackage",
    "FhsRoot",
    "Mount",
    "View",
    "command_line",
    "run_program",
    "why_unavailable",
]
