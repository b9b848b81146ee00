"""Two package sets or closures held against each other: what must be replaced, and what follows."""

from graft.ways.diff.comparison import compare_packages
from graft.ways.diff.difference import Difference
from graft.ways.diff.document import difference_document
from graft.ways.diff.packages import Package, PackageSet

__all__ = [
    "Difference",
    "Package",
    "PackageSet",
    "compare_packages",
    "difference_document",
]
